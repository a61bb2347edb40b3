/* TLS on OpenSSL 3: connections, and the table of all that pop3d calls.  Built as tls.so with certificate.c and
 * tls_*.c but tls_load.c; tls.h says who calls what. */
#include "tls_server.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <string.h>

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
	if (!tls.ssl || SSL_set_app_data(tls.ssl, (void *)hooks) != 1)
		return NULL;
	bio = open_bio(&tls);
	if (!bio)
		return NULL;
	key_ask(hooks);
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

static const unsigned char *transcript(struct tls *tls, size_t *length)
{
	return transcript_kept(tls->ssl, length);
}

static size_t binding(
	struct tls *tls, const char *type, unsigned char out[TLS_BINDING_MAX])
{
	return binding_make(tls->ssl, type, out);
}

__attribute__((visibility("default"))) extern const struct tls_library tls_library;
const struct tls_library tls_library = {
	.open = server_open,
	.close = server_close,
	.sign = server_sign,
	.ticket = ticket_keys,
	.reason = tls_reason,
	.forget = server_forget,
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
