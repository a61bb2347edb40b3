/* Proofs of client certificates, as the process that checks them gets them: what it is (one of
 * the modes below), which of some real handshakes, then edits of its messages, each a kind,
 * where (2), and an octet.  Only what was not changed proves anything.  With UNSIGNED all
 * signatures are right, so that what stands behind them is read too; with RAW the rest of the
 * input is the transcript, with NAMES it is edits of a client's certificate alone.  Keys and
 * certificates are made at the start. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "../../tls.c"
#include "../../tls_client.c"
#include "fuzz.h"
#include "identity.h"

enum { EDITS, UNSIGNED, RAW, UNSIGNED_RAW, NAMES, MODES };
enum { FLIP, INSERT, DROP, CUT, REPEAT, KINDS };

static bool is_unsigned;

bool __real_handshake_is_signed(
	const struct handshake *h, const struct signer *who, EVP_PKEY *key);
bool __wrap_handshake_is_signed(
	const struct handshake *h, const struct signer *who, EVP_PKEY *key);

bool __wrap_handshake_is_signed(
	const struct handshake *h, const struct signer *who, EVP_PKEY *key)
{
	MUST(who == &h->server || who == &h->client);
	return __real_handshake_is_signed(h, who, key) || is_unsigned;
}

/* The handshakes. */

enum { ONLY_1_2, ONLY_1_3, RETRIED, HOWS };

static struct shaken {
	unsigned char transcript[TLS_TRANSCRIPT_MAX];
	struct tls_proof proof;
} handshakes[HOWS * 2]; /* with an RSA and an EC key of the client's */

static struct identity ca, ours, clients[2];
static struct tls_server *servers[2]; /* by common name, by e-mail address */
static SSL *client;
static struct tls_proof made;

static ssize_t hook_get(void *owner, void *data, size_t length)
{
	int got = BIO_read(SSL_get_wbio(client), data, (int)length);

	(void)owner;
	errno = EAGAIN;
	return got > 0 ? got : -1;
}

static ssize_t hook_put(void *owner, const void *data, size_t length)
{
	(void)owner;
	return BIO_write(SSL_get_rbio(client), data, (int)length);
}

static size_t hook_sign(void *owner, const struct tls_sign *wanted, unsigned char *out)
{
	size_t length = tls_library.sign(servers[0], wanted, out);

	(void)owner;
	made.number = wanted->number;
	made.signature_length = (uint32_t)length;
	memcpy(made.signature, out, length);
	return length;
}

static enum tls_ticket hook_ticket(void *owner, bool fresh,
	unsigned char name[TLS_TICKET_NAME], struct tls_ticket_keys *keys)
{
	(void)owner, (void)fresh, (void)name, (void)keys;
	return TLS_TICKET_UNKNOWN;
}

static void shake_hands(int how, const struct identity *who, struct shaken *out)
{
	static const struct tls_hooks hooks
		= {NULL, hook_get, hook_put, hook_sign, hook_ticket};
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	const unsigned char *kept;
	struct tls *tls;
	short events;
	int i;

	client = SSL_new(context);
	SSL_set_max_proto_version(
		client, how == ONLY_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION);
	if (how == RETRIED)
		SSL_set1_groups_list(client, "X448:P-384");
	SSL_use_certificate(client, who->certificate);
	SSL_use_PrivateKey(client, who->key);
	SSL_set_bio(client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	BIO_set_mem_eof_return(SSL_get_rbio(client), -1);
	SSL_set_connect_state(client);
	tls = tls_library.accept(servers[0], &hooks);
	for (i = 0; i < 10; i++) {
		SSL_do_handshake(client);
		tls_library.handshake(tls, &events);
	}
	kept = tls_library.transcript(tls, &made.length);
	MUST(kept);
	memcpy(out->transcript, kept, made.length);
	out->proof = made;
	out->proof.transcript = out->transcript;
	SSL_free(client);
	SSL_free(tls->ssl);
	BIO_meth_free(tls->method);
	SSL_CTX_free(context);
	ERR_clear_error();
}

/* Edits. */

#define TEXT_MOST (2 * TLS_TRANSCRIPT_MAX)

static unsigned char text[TEXT_MOST];
static size_t length;

static void edit(unsigned kind, size_t at, unsigned octet)
{
	size_t size;

	if (at >= length)
		return;
	switch (kind % KINDS) {
	case FLIP:
		text[at] ^= (unsigned char)octet;
		break;
	case INSERT:
		if (length == TEXT_MOST)
			return;
		memmove(text + at + 1, text + at, length - at);
		text[at] = (unsigned char)octet;
		length++;
		break;
	case DROP:
		size = octet + 1 < length - at ? octet + 1 : length - at;
		memmove(text + at, text + at + size, length - at - size);
		length -= size;
		break;
	case CUT:
		length = at;
		break;
	case REPEAT:
		size = 4 * octet < length - at ? 4 * octet : length - at;
		if (size > TEXT_MOST - length)
			return;
		memmove(text + at + size, text + at, length - at);
		length += size;
	}
}

static void edit_text(struct input *input, const void *from, size_t size)
{
	memcpy(text, from, size);
	length = size;
	while (input->left >= 4) {
		unsigned kind = input_octet(input);
		size_t at = input_octet(input);

		at += 256 * input_octet(input);
		edit(kind, at, input_octet(input));
	}
}

/* What must be so of every name. */
static void check_name(const char name[TLS_TEXT_MAX], bool found)
{
	size_t size = strnlen(name, TLS_TEXT_MAX);

	MUST(!found || (size > 0 && size < TLS_TEXT_MAX));
	MUST(!found || is_utf8((const unsigned char *)name, (int)size));
}

static void prove(
	const struct tls_server *server, const struct tls_proof *proof, bool is_same)
{
	struct tls_proof changed = *proof;
	struct tls_identity identity;
	unsigned char *copy = malloc(length + 1);
	struct handshake h;

	/* Its exact size, so that what reads behind it is seen. */
	memcpy(copy + 1, text, length);
	changed.transcript = copy + 1;
	changed.length = length;
	/* Else nothing would get past that. */
	if (is_unsigned && handshake_read(&h, changed.transcript, length)
		&& h.server.signature.length > 0
		&& h.server.signature.length <= TLS_SIGN_MAX) {
		changed.signature_length = (uint32_t)h.server.signature.length;
		memcpy(changed.signature, h.server.signature.at,
			h.server.signature.length);
	}
	tls_library.prove(server, &changed, &identity);
	free(copy);
	MUST(identity.verdict < TLS_PROOF_VERDICTS);
	MUST(*tls_library.unproven(&identity));
	check_name(identity.name, identity.verdict == TLS_PROVEN);
	if (!is_unsigned)
		MUST((identity.verdict == TLS_PROVEN) == is_same);
	if (identity.verdict == TLS_PROVEN && is_same)
		MUST(strcmp(identity.name, server == servers[0] ? "joe" : "joe@host")
			== 0);
}

static void find_names(void)
{
	const unsigned char *end = text;
	X509 *certificate = d2i_X509(NULL, &end, (long)length);
	char name[2][TLS_TEXT_MAX] = {"", ""};

	if (certificate) {
		check_name(name[0], find_name(TLS_CLIENT_USER_CN, certificate, name[0]));
		check_name(
			name[1], find_name(TLS_CLIENT_USER_EMAIL, certificate, name[1]));
		check_chain(servers[0], certificate, NULL);
	}
	X509_free(certificate);
	ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	unsigned mode = input_octet(&input) % MODES, which = input_octet(&input);
	const struct tls_server *server = servers[which >> 7];
	const struct shaken *shaken = &handshakes[which % (HOWS * 2)];
	unsigned char *der = NULL;

	is_unsigned = mode == UNSIGNED || mode == UNSIGNED_RAW;
	if (mode == RAW || mode == UNSIGNED_RAW) {
		length = input.left < TLS_TRANSCRIPT_MAX ? input.left
							 : TLS_TRANSCRIPT_MAX;
		memcpy(text, input.at, length);
		prove(server, &shaken->proof, false);
	} else if (mode == NAMES) {
		size = (size_t)i2d_X509(clients[which & 1].certificate, &der);
		edit_text(&input, der, size);
		OPENSSL_free(der);
		find_names();
	} else {
		edit_text(&input, shaken->transcript, shaken->proof.length);
		prove(server, &shaken->proof,
			length == shaken->proof.length
				&& memcmp(text, shaken->transcript, length) == 0);
	}
	return 0;
}

static void open_servers(void)
{
	static struct conf conf;
	const char *directory = fuzz_directory();

	conf.tls_client_ca = write_pem(directory, "ca", &ca);
	conf.certificates[0].certificate = write_pem(directory, "ours", &ours);
	conf.certificate_count = 1;
	conf.tls_client_user = TLS_CLIENT_USER_CN;
	servers[0] = tls_library.open(&conf, TLS_FOR_ONE, log_report);
	conf.tls_client_user = TLS_CLIENT_USER_EMAIL;
	servers[1] = tls_library.open(&conf, TLS_FOR_ONE, log_report);
	MUST(servers[0] && servers[1]);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	int i;

	(void)argc, (void)argv;
	/* Before OpenSSL has any memory. */
	MUST(memory_start());
	RAND_set_rand_method(&same_numbers);
	ca = make_identity(EVP_EC_gen("P-256"), "ca", NULL, NID_basic_constraints,
		"critical,CA:true");
	ours = make_identity(EVP_EC_gen("P-256"), "ours", NULL, NID_subject_alt_name,
		"DNS:pop.example.org");
	clients[0] = make_identity(
		EVP_RSA_gen(2048), "joe", &ca, NID_subject_alt_name, "email:joe@host");
	clients[1] = make_identity(
		EVP_EC_gen("P-256"), "joe", &ca, NID_subject_alt_name, "email:joe@host");
	open_servers();
	for (i = 0; i < HOWS * 2; i++)
		shake_hands(i / 2, &clients[i & 1], &handshakes[i]);
	return 0;
}
