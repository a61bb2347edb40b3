/* A server's settings and certificates for TLS, and what OpenSSL's memory is like.  RFC 8314, RFC 9325, RFC 7301
 * (ALPN).  Runs in the listener, or the monitor; OpenSSL calls some of it in the session. */
#include "tls_server.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20" /* of TLS 1.2: RFC 9325 s.4.2 */
#define GROUPS "X25519:P-256:P-384:P-521"
#define TICKET_SECONDS 86400

#define STACK_USED 65536

/* What functions that were called before this one have left on the stack: nearest pages are wiped, the others
 * dropped.  (To wipe all of them would touch them all.)  Twice as far as they have been, for the farthest page may
 * be there in part. */
__attribute__((noinline)) static void wipe_stack(void)
{
	unsigned char area[2 * STACK_USED];
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t start = ((uintptr_t)&area + page - 1) / page * page;
	uintptr_t end = ((uintptr_t)&area + sizeof(area)) / page * page;

	if (start >= end || madvise((void *)start, end - start, MADV_DONTNEED) < 0)
		explicit_bzero(area, sizeof(area));
	else
		explicit_bzero((void *)end, (uintptr_t)&area + sizeof(area) - end);
}

const char *tls_reason(uint64_t error)
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
	unsigned long error = ERR_peek_error();

	ERR_clear_error();
	return error ? tls_reason(error)
		     : "it can't be done, for OpenSSL gives no reason";
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
	SSL_CTX_set_app_data(context, server);
	SSL_CTX_set_cert_cb(context, choose_certificate, server);
	ticket_start(server);
	return SSL_CTX_set_min_proto_version(context, least) == 1
		&& SSL_CTX_set_cipher_list(context, CIPHERS) == 1
		&& SSL_CTX_set1_groups_list(context, GROUPS) == 1
		&& SSL_CTX_set_session_id_context(
			   context, (const unsigned char *)"pop3d", 5)
		== 1
		&& SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket_callback) == 1
		&& SSL_CTX_set_session_ticket_cb(context, binding_note, NULL, NULL) == 1
		&& set_client_user(server, conf->tls_client_user);
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
void server_forget(struct tls_server *server)
{
	if (madvise(server->secrets, sizeof(*server->secrets), MADV_DONTNEED) < 0)
		abort();
}

void server_close(struct tls_server *server)
{
	size_t i;

	if (!server)
		return;
	if (server->secrets) {
		explicit_bzero(server->secrets, sizeof(*server->secrets));
		munmap(server->secrets, sizeof(*server->secrets));
	}
	for (i = 0; i < server->count; i++)
		certificate_free(&server->certificates[i]);
	SSL_CTX_free(server->context);
	explicit_bzero(server, sizeof(*server));
	free(server);
}

static bool load_certificates(struct tls_server *server, const struct conf *conf,
	enum tls_use use, conf_report *report)
{
	bool good = true;
	size_t i;

	for (i = 0; i < conf->certificate_count; i++)
		good &= certificate_load(&server->certificates[server->count++],
			&server->secrets->keys[i], (uint32_t)i, &conf->certificates[i],
			use != TLS_FOR_ONE, report);
	wipe_stack();
	return good;
}

/* Whether EXTERNAL would ever be offered. */
static bool can_prove(
	const struct tls_server *server, const struct conf *conf, conf_report *report)
{
	bool good = conf->tls_client_user == TLS_CLIENT_USER_NONE;
	size_t i;

	for (i = 0; i < server->count && !good; i++)
		good = certificate_is_ecdsa(&server->certificates[i]);
	if (!good)
		report("tls_client_user: EXTERNAL is for connections that an ECDSA "
		       "certificate is shown in: there is none");
	return good;
}

static struct tls_secrets *make_secrets(void)
{
	struct tls_secrets *secrets = mmap(NULL, sizeof(*secrets), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (secrets == MAP_FAILED)
		return NULL;
	secrets->known = true;
	return secrets;
}

static bool failed(conf_report *report, const char *why)
{
	char text[LOG_LINE_MAX];

	snprintf(text, sizeof(text), "TLS: %s", why);
	report(text);
	return false;
}

/* OpenSSL would enter each cipher and digest that it has into a table by name, which is a fifth of
 * SSL_CTX_new().  Nothing asks for a cipher by name here; those who verify a certificate ask for a digest so. */
static bool start_library(void)
{
	static const EVP_MD *(*const digests[])(void) = {EVP_sha1, EVP_sha224, EVP_sha256,
		EVP_sha384, EVP_sha512, EVP_sha512_224, EVP_sha512_256, EVP_sha3_224,
		EVP_sha3_256, EVP_sha3_384, EVP_sha3_512};
	bool good;
	size_t i;

	/* A process that ends need not free all that there is, page by page. */
	good = OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT
			| OPENSSL_INIT_NO_ADD_ALL_CIPHERS
			| OPENSSL_INIT_NO_ADD_ALL_DIGESTS,
		NULL);
	for (i = 0; i < sizeof(digests) / sizeof(digests[0]) && good; i++)
		good = EVP_add_digest(digests[i]());
	return good;
}

static bool open_all(struct tls_server *server, const struct conf *conf, enum tls_use use,
	conf_report *report)
{
	server->secrets = make_secrets();
	if (!server->secrets)
		return failed(report, strerror(errno));
	if (!memory_start())
		return failed(report, "another library has started OpenSSL");
	/* gmtime(3), by which certificates are judged, looks for /etc/localtime once. */
	tzset();
	if (start_library())
		server->context = SSL_CTX_new(TLS_server_method());
	if (server->context && !load_certificates(server, conf, use, report))
		return false;
	if (!server->context || !set_up(server, conf))
		return failed(report, tls_error());
	if (!can_be_shown(server, conf, report) || !can_prove(server, conf, report))
		return false;
	if (!certificate_show(server))
		return failed(report, tls_error());
	return !conf->tls_client_ca
		|| set_client_ca(server->context, conf->tls_client_ca, report);
}

struct tls_server *server_open(
	const struct conf *conf, enum tls_use use, conf_report *report)
{
	struct tls_server *server = calloc(1, sizeof(*server));

	if (!server)
		return NULL;
	memory_share(use == TLS_FOR_MANY);
	if (!open_all(server, conf, use, report)) {
		server_close(server);
		server = NULL;
	} else if (use == TLS_FOR_MANY) {
		server_rehearse(server);
	}
	memory_share(false);
	wipe_stack();
	return server;
}

size_t server_sign(const struct tls_server *server, const struct tls_sign *wanted,
	unsigned char out[TLS_SIGN_MAX])
{
	size_t size;

	if (wanted->number >= server->count || !server->secrets->known)
		return 0;
	size = key_sign(server->certificates[wanted->number].stand_in,
		&server->secrets->keys[wanted->number], wanted, out);
	wipe_stack();
	return size;
}
