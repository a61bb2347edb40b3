/* TLS on OpenSSL 3: settings and connections.  RFC 8314, RFC 9325, RFC 7301 (ALPN).  Built as
 * tls.so with certificate.c and tls_*.c but tls_load.c; tls.h says who calls what. */
#include "tls_server.h"

#include <errno.h>
#include <malloc.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20" /* of TLS 1.2: RFC 9325 s.4.2 */
#define GROUPS "X25519:P-256:P-384:P-521"
#define TICKET_SECONDS 86400

#define BATCH 5 /* records, of what is written at once */
#define RECORD_AND_MORE \
	(TLS_RECORD + 256) /* a record, encrypted: RFC 8446 s.5.2, RFC 5246 s.6.2.3 */

struct tls {
	SSL *ssl;
	const struct tls_hooks *hooks;
	BIO_METHOD *method;
	bool at_end;
	bool broken; /* nothing more comes of it */
	uint64_t error;
	/* Records that go out together: `plain` octets are in them. */
	bool collecting;
	size_t plain, held, sent;
	char records[BATCH * RECORD_AND_MORE];
};

/* What OpenSSL has freed is wiped, so that no part of a key stays behind in the session. */

static void *wiping_malloc(size_t size, const char *file, int line)
{
	(void)file, (void)line;
	return malloc(size);
}

static void wiping_free(void *memory, const char *file, int line)
{
	(void)file, (void)line;
	if (memory)
		explicit_bzero(memory, malloc_usable_size(memory));
	free(memory);
}

static void *wiping_realloc(void *old, size_t size, const char *file, int line)
{
	size_t had = old ? malloc_usable_size(old) : 0;
	void *memory;

	if (had >= size && size > 0)
		return old;
	memory = size > 0 ? malloc(size) : NULL;
	if (memory && old)
		memcpy(memory, old, had);
	if (memory || size == 0)
		wiping_free(old, file, line);
	return memory;
}

__attribute__((noinline)) static void wipe_stack(void)
{
	unsigned char area[65536];

	explicit_bzero(area, sizeof(area));
}

/* Settings. */

static const char *reason(uint64_t error)
{
	const char *text;

	if (error == 0)
		return "the client closed the connection";
	if (ERR_SYSTEM_ERROR((unsigned long)error))
		return strerror(ERR_GET_REASON((unsigned long)error));
	text = ERR_reason_error_string((unsigned long)error);
	return text ? text : "an error without a name";
}

const char *tls_error(void)
{
	const char *text = reason(ERR_peek_error());

	ERR_clear_error();
	return text;
}

/* RFC 7301 s.3.2: who asks for other protocols only is not answered in this one. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *length,
	const unsigned char *offered, unsigned int offered_length, void *argument)
{
	static const unsigned char pop3[] = "\4pop3";
	int found = SSL_select_next_proto((unsigned char **)out, length, pop3,
		sizeof(pop3) - 1, offered, offered_length);

	(void)ssl, (void)argument;
	return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK
					       : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int choose_certificate(SSL *ssl, void *argument)
{
	return certificate_choose(
		argument, ssl, SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
}

/* A certificate that proves nothing is as good as none; who needs it asks later. */
static int accept_any(int good, X509_STORE_CTX *store)
{
	(void)good, (void)store;
	return 1;
}

/* What a ticket says of its client is good for as long as the authorities are the same. */
static bool tie_tickets(SSL_CTX *context, const char *file)
{
	unsigned char digest[EVP_MAX_MD_SIZE], block[4096];
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	BIO *bio = BIO_new_file(file, "r");
	unsigned length = 0;
	bool good = md && bio && EVP_DigestInit_ex2(md, EVP_sha256(), NULL);
	int got;

	while (good && (got = BIO_read(bio, block, sizeof(block))) > 0)
		good = EVP_DigestUpdate(md, block, (size_t)got);
	good = good && EVP_DigestFinal_ex(md, digest, &length)
		&& SSL_CTX_set_session_id_context(context, digest, length) == 1;
	BIO_free(bio);
	EVP_MD_CTX_free(md);
	return good;
}

static bool set_client_ca(SSL_CTX *context, const char *file, conf_report *report)
{
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(file);
	char text[LOG_LINE_MAX];

	if (names && SSL_CTX_load_verify_locations(context, file, NULL) == 1
		&& tie_tickets(context, file)) {
		SSL_CTX_set_client_CA_list(context, names);
		SSL_CTX_set_verify(context, SSL_VERIFY_PEER, accept_any);
		return true;
	}
	snprintf(text, sizeof(text), "tls_client_ca %s: %s", file, tls_error());
	report(text);
	return false;
}

static int note_end_point(SSL *ssl, void *argument);

/* EXTERNAL wants to see the client sign, each time; a ticket only says that it once did. */
static bool set_client_user(struct tls_server *server, enum tls_client_user which)
{
	server->client_user = which;
	if (which == TLS_CLIENT_USER_NONE)
		return true;
	SSL_CTX_set_options(server->context, SSL_OP_NO_TICKET);
	return SSL_CTX_set_num_tickets(server->context, 0) == 1
		&& handshake_limit(server->context);
}

static bool set_up(struct tls_server *server, const struct conf *conf)
{
	SSL_CTX *context = server->context;
	int least = conf->tls_min == TLS_MIN_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;

	SSL_CTX_set_options(context,
		SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION
			| SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(context,
		SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
			| SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(context, TICKET_SECONDS);
	SSL_CTX_set_num_tickets(context, 1);
	SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
	SSL_CTX_set_cert_cb(context, choose_certificate, server);
	return SSL_CTX_set_min_proto_version(context, least) == 1
		&& SSL_CTX_set_cipher_list(context, CIPHERS) == 1
		&& SSL_CTX_set1_groups_list(context, GROUPS) == 1
		&& SSL_CTX_set_session_id_context(
			   context, (const unsigned char *)"pop3d", 5)
		== 1
		&& SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket_callback) == 1
		&& SSL_CTX_set_session_ticket_cb(context, note_end_point, NULL, NULL) == 1
		&& ticket_start(server) && set_client_user(server, conf->tls_client_user);
}

/* Some certificates are sound and yet too weak to be shown: OpenSSL's security level. */
static bool can_be_shown(
	const struct tls_server *server, const struct conf *conf, conf_report *report)
{
	char text[LOG_LINE_MAX];
	bool good = true;
	size_t i;

	for (i = 0; i < server->count; i++) {
		const struct certificate *c = &server->certificates[i];
		SSL *ssl = SSL_new(server->context);

		if (!ssl
			|| SSL_use_cert_and_key(ssl, c->leaf, c->stand_in, c->chain, 1)
				!= 1) {
			snprintf(text, sizeof(text), "tls_certificate %s: %s",
				conf->certificates[i].certificate, tls_error());
			report(text);
			good = false;
		}
		SSL_free(ssl);
	}
	return good;
}

/* In a process that others are forked from as well: only its own copy goes. */
static void forget(struct tls_server *server)
{
	if (server->secrets)
		munmap(server->secrets, sizeof(*server->secrets));
	server->secrets = NULL;
}

static void close_server(struct tls_server *server)
{
	size_t i;

	if (!server)
		return;
	if (server->secrets)
		explicit_bzero(server->secrets, sizeof(*server->secrets));
	forget(server);
	for (i = 0; i < server->count; i++)
		certificate_free(&server->certificates[i]);
	SSL_CTX_free(server->context);
	explicit_bzero(server, sizeof(*server));
	free(server);
}

static bool load_certificates(struct tls_server *server, const struct conf *conf,
	bool warn, conf_report *report)
{
	bool good = true;
	size_t i;

	for (i = 0; i < conf->certificate_count; i++)
		good &= certificate_load(&server->certificates[server->count++],
			&server->secrets->keys[i], (uint32_t)i, &conf->certificates[i],
			warn, report);
	wipe_stack();
	return good;
}

static struct tls_secrets *make_secrets(void)
{
	struct tls_secrets *secrets = mmap(NULL, sizeof(*secrets), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return secrets == MAP_FAILED ? NULL : secrets;
}

static struct tls_server *open_server(
	const struct conf *conf, bool warn, conf_report *report)
{
	static bool wiping;
	struct tls_server *server = calloc(1, sizeof(*server));
	char text[LOG_LINE_MAX];

	if (!wiping)
		wiping = CRYPTO_set_mem_functions(
			wiping_malloc, wiping_realloc, wiping_free);
	if (!server)
		return NULL;
	/* A process that ends need not free all that there is, page by page. */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
	server->secrets = make_secrets();
	/* gmtime(3), by which certificates are judged, looks for /etc/localtime once. */
	tzset();
	server->context
		= wiping && server->secrets ? SSL_CTX_new(TLS_server_method()) : NULL;
	if (server->context && !load_certificates(server, conf, warn, report))
		goto failed;
	if (!server->context || !set_up(server, conf)) {
		snprintf(text, sizeof(text), "TLS: %s", tls_error());
		report(text);
		goto failed;
	}
	if (!can_be_shown(server, conf, report))
		goto failed;
	if (conf->tls_client_ca
		&& !set_client_ca(server->context, conf->tls_client_ca, report))
		goto failed;
	wipe_stack();
	return server;
failed:
	close_server(server);
	return NULL;
}

static size_t sign(const struct tls_server *server, const struct tls_sign *wanted,
	unsigned char out[TLS_SIGN_MAX])
{
	size_t size;

	if (wanted->number >= server->count || !server->secrets)
		return 0;
	size = key_sign(server->certificates[wanted->number].stand_in,
		&server->secrets->keys[wanted->number], wanted, out);
	wipe_stack();
	return size;
}

/* Connections. */

static int bio_read(BIO *bio, char *data, int length)
{
	struct tls *tls = BIO_get_data(bio);
	ssize_t got = tls->hooks->get(tls->hooks->owner, data, (size_t)length);

	BIO_clear_retry_flags(bio);
	if (got < 0 && errno == EAGAIN)
		BIO_set_retry_read(bio);
	tls->at_end = got == 0;
	return (int)got;
}

static int bio_write(BIO *bio, const char *data, int length)
{
	struct tls *tls = BIO_get_data(bio);
	ssize_t put;

	BIO_clear_retry_flags(bio);
	if (tls->collecting) {
		if ((size_t)length > sizeof(tls->records) - tls->held)
			return -1;
		memcpy(tls->records + tls->held, data, (size_t)length);
		tls->held += (size_t)length;
		return length;
	}
	put = tls->hooks->put(tls->hooks->owner, data, (size_t)length);
	if (put < 0 && errno == EAGAIN)
		BIO_set_retry_write(bio);
	return (int)put;
}

static long bio_control(BIO *bio, int command, long number, void *argument)
{
	const struct tls *tls = BIO_get_data(bio);

	(void)number, (void)argument;
	if (command == BIO_CTRL_EOF)
		return tls->at_end;
	return command == BIO_CTRL_FLUSH;
}

static BIO *open_bio(struct tls *tls)
{
	BIO *bio;

	tls->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "client");
	if (!tls->method || !BIO_meth_set_read(tls->method, bio_read)
		|| !BIO_meth_set_write(tls->method, bio_write)
		|| !BIO_meth_set_ctrl(tls->method, bio_control))
		return NULL;
	bio = BIO_new(tls->method);
	if (bio) {
		BIO_set_data(bio, tls);
		BIO_set_init(bio, 1);
	}
	return bio;
}

static struct tls *accept_client(struct tls_server *server, const struct tls_hooks *hooks)
{
	static struct tls tls;
	BIO *bio;

	tls.hooks = hooks;
	tls.ssl = SSL_new(server->context);
	bio = tls.ssl ? open_bio(&tls) : NULL;
	if (!bio)
		return NULL;
	key_ask(hooks);
	SSL_set_app_data(tls.ssl, (void *)hooks);
	if (server->client_user != TLS_CLIENT_USER_NONE)
		transcript_keep(tls.ssl);
	SSL_set_bio(tls.ssl, bio, bio);
	SSL_set_accept_state(tls.ssl);
	return &tls;
}

/* What a call that did not succeed has come to. */
static int unfinished(struct tls *tls, int result, short *events)
{
	if (tls->broken) {
		errno = EPROTO;
		return -1;
	}
	switch (SSL_get_error(tls->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		*events = POLLIN;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_WANT_WRITE:
		*events = POLLOUT;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		if (tls->at_end)
			ERR_clear_error();
		tls->error = ERR_peek_error();
		tls->broken = true;
		errno = EPROTO;
		return -1;
	}
}

static int handshake(struct tls *tls, short *events)
{
	int result;

	ERR_clear_error();
	result = SSL_do_handshake(tls->ssl);
	return result == 1 ? 1 : unfinished(tls, result, events);
}

static ssize_t read_client(struct tls *tls, void *data, size_t length, short *events)
{
	size_t got;
	int result;

	ERR_clear_error();
	result = SSL_read_ex(tls->ssl, data, length, &got);
	return result == 1 ? (ssize_t)got : unfinished(tls, result, events);
}

/* Less than this is not left over for a record: a client that is handed the end of a listing in two
 * pieces may wait for more. */
#define REST 128

static size_t of_next_record(size_t length)
{
	if (length <= TLS_RECORD)
		return length;
	return length < TLS_RECORD + REST ? TLS_RECORD - REST : TLS_RECORD;
}

/* Makes records of what there is, as many as go out together. */
static int collect(struct tls *tls, const char *data, size_t length)
{
	size_t put;
	int result = 1;

	tls->plain = tls->held = tls->sent = 0;
	tls->collecting = true;
	while (result == 1 && tls->plain < length
		&& tls->held <= sizeof(tls->records) - RECORD_AND_MORE) {
		result = SSL_write_ex(tls->ssl, data + tls->plain,
			of_next_record(length - tls->plain), &put);
		if (result == 1)
			tls->plain += put;
	}
	tls->collecting = false;
	return result;
}

static ssize_t write_client(
	struct tls *tls, const void *data, size_t length, short *events)
{
	int result;

	ERR_clear_error();
	if (tls->sent == tls->held && (result = collect(tls, data, length)) != 1)
		return unfinished(tls, result, events);
	while (tls->sent < tls->held) {
		ssize_t put = tls->hooks->put(tls->hooks->owner, tls->records + tls->sent,
			tls->held - tls->sent);

		if (put < 0) {
			*events = POLLOUT;
			return -1;
		}
		tls->sent += (size_t)put;
	}
	return (ssize_t)tls->plain;
}

static void *spare(struct tls *tls, size_t *length)
{
	*length = tls->sent < tls->held ? 0 : sizeof(tls->records);
	return tls->records;
}

static void shutdown_client(struct tls *tls)
{
	ERR_clear_error();
	if (tls->sent == tls->held)
		SSL_shutdown(tls->ssl);
}

static void outcome(struct tls *tls, struct tls_outcome *outcome)
{
	X509 *certificate = SSL_get0_peer_certificate(tls->ssl);

	memset(outcome, 0, sizeof(*outcome));
	outcome->error = tls->error;
	outcome->version = (uint32_t)SSL_version(tls->ssl);
	outcome->resumed = (uint32_t)SSL_session_reused(tls->ssl);
	if (certificate && SSL_get_verify_result(tls->ssl) == X509_V_OK) {
		BIO *text = BIO_new(BIO_s_mem());

		if (text
			&& X509_NAME_print_ex(text, X509_get_subject_name(certificate), 0,
				   XN_FLAG_RFC2253)
				> 0)
			BIO_read(text, outcome->subject, sizeof(outcome->subject) - 1);
		BIO_free(text);
	}
}

/* RFC 9266 s.2, s.4.2: TLS 1.2 is unique with the extended master secret only, and there an empty
 * context, as here, is another thing than none. */
static size_t exporter(SSL *ssl, unsigned char out[TLS_BINDING_MAX])
{
	static const char label[] = "EXPORTER-Channel-Binding";

	if (SSL_version(ssl) < TLS1_3_VERSION && SSL_get_extms_support(ssl) != 1)
		return 0;
	return SSL_export_keying_material(
		       ssl, out, 32, label, sizeof(label) - 1, NULL, 0, 1)
			== 1
		? 32
		: 0;
}

/* RFC 5929 s.4.1: by the digest of the certificate's signature, or a better one. */
static unsigned digest_certificate(
	const X509 *certificate, unsigned char out[TLS_BINDING_MAX])
{
	unsigned length = 0;
	int nid = NID_undef;

	if (!certificate
		|| !X509_get_signature_info((X509 *)certificate, &nid, NULL, NULL, NULL))
		return 0;
	if (nid == NID_md5 || nid == NID_sha1)
		nid = NID_sha256;
	if (nid == NID_undef
		|| X509_digest(certificate, EVP_get_digestbynid(nid), out, &length) != 1)
		return 0;
	return length;
}

/* Who comes back with a ticket is shown no certificate: the ticket holds the digest of the one that
 * was shown with it. */
static int note_end_point(SSL *ssl, void *argument)
{
	unsigned char out[TLS_BINDING_MAX];
	unsigned length;

	(void)argument;
	if (SSL_session_reused(ssl))
		return 1;
	length = digest_certificate(SSL_get_certificate(ssl), out);
	return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), out, length);
}

static size_t end_point(SSL *ssl, unsigned char out[TLS_BINDING_MAX])
{
	void *noted;
	size_t length = 0;

	if (!SSL_session_reused(ssl))
		return digest_certificate(SSL_get_certificate(ssl), out);
	if (SSL_SESSION_get0_ticket_appdata(SSL_get_session(ssl), &noted, &length) != 1
		|| length > TLS_BINDING_MAX)
		return 0;
	memcpy(out, noted, length);
	return length;
}

/* RFC 5929 s.3.1: the first Finished message of the handshake.  TLS 1.3 has no such binding. */
static size_t unique(SSL *ssl, unsigned char out[TLS_BINDING_MAX])
{
	if (SSL_version(ssl) != TLS1_2_VERSION || SSL_get_extms_support(ssl) != 1)
		return 0;
	return SSL_session_reused(ssl) ? SSL_get_finished(ssl, out, TLS_BINDING_MAX)
				       : SSL_get_peer_finished(ssl, out, TLS_BINDING_MAX);
}

static const struct {
	const char *type;
	size_t (*make)(SSL *ssl, unsigned char out[TLS_BINDING_MAX]);
} bindings[] = {
	{"tls-exporter", exporter},
	{"tls-server-end-point", end_point},
	{"tls-unique", unique},
};

static size_t binding(
	struct tls *tls, const char *type, unsigned char out[TLS_BINDING_MAX])
{
	size_t i;

	ERR_clear_error();
	for (i = 0; i < sizeof(bindings) / sizeof(bindings[0]); i++) {
		if (strcmp(type, bindings[i].type) == 0)
			return bindings[i].make(tls->ssl, out);
	}
	return 0;
}

static const unsigned char *transcript(struct tls *tls, size_t *length)
{
	return transcript_kept(tls->ssl, length);
}

__attribute__((visibility("default"))) extern const struct tls_library tls_library;
const struct tls_library tls_library = {
	.open = open_server,
	.close = close_server,
	.sign = sign,
	.ticket = ticket_keys,
	.reason = reason,
	.forget = forget,
	.accept = accept_client,
	.handshake = handshake,
	.read = read_client,
	.write = write_client,
	.spare = spare,
	.shutdown = shutdown_client,
	.outcome = outcome,
	.binding = binding,
	.transcript = transcript,
	.prove = client_prove,
	.unproven = client_reason,
};
