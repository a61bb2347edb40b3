/* See shaken.h. */
#include "shaken.h"

#include <errno.h>
#include <limits.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *directory;
const struct tls_library *library;

struct identity load(const char *name)
{
	struct identity who = {NULL, sk_X509_new_null(), NULL};
	char path[PATH_MAX];
	X509 *more;
	BIO *file;

	snprintf(path, sizeof(path), "%s/%s.pem", directory, name);
	file = BIO_new_file(path, "r");
	who.certificate = PEM_read_bio_X509(file, NULL, NULL, NULL);
	while ((more = PEM_read_bio_X509(file, NULL, NULL, NULL)) != NULL)
		sk_X509_push(who.chain, more);
	BIO_free(file);
	snprintf(path, sizeof(path), "%s/%s.key", directory, name);
	file = BIO_new_file(path, "r");
	who.key = PEM_read_bio_PrivateKey(file, NULL, NULL, NULL);
	BIO_free(file);
	if (!who.certificate || !who.key) {
		printf("Bail out! %s\n", path);
		exit(2);
	}
	return who;
}

static struct {
	struct tls_server *tls;
	const struct run *run; /* the monitor that signs; NULL: nobody but the library */
	SSL *client;
	struct shaken *out;
	bool recorded;
} side;

/* OpenSSL's callback: the messages up to the client's CertificateVerify. */
static void record(int sent, int version, int type, const void *data, size_t length,
	SSL *client, void *argument)
{
	struct shaken *out = argument;

	(void)version, (void)client;
	if (type != SSL3_RT_HANDSHAKE || side.recorded
		|| length > TLS_TRANSCRIPT_MAX - out->proof.length)
		return;
	memcpy(out->transcript + out->proof.length, data, length);
	out->proof.length += length;
	side.recorded
		= sent && *(const unsigned char *)data == SSL3_MT_CERTIFICATE_VERIFY;
}

static ssize_t hook_get(void *owner, void *data, size_t length)
{
	int got = BIO_read(SSL_get_wbio(side.client), data, (int)length);

	(void)owner;
	errno = EAGAIN;
	return got > 0 ? got : -1;
}

static ssize_t hook_put(void *owner, const void *data, size_t length)
{
	(void)owner;
	return BIO_write(SSL_get_rbio(side.client), data, (int)length);
}

static size_t hook_sign(void *owner, const struct tls_sign *wanted, unsigned char *out)
{
	struct request request = {.kind = REQUEST_SIGN, .sign = *wanted};
	struct reply reply;
	size_t length;

	(void)owner;
	if (side.run) {
		ask(side.run, &request);
		if (reply_receive(side.run->socket, &reply, NULL) < 0)
			return 0;
		length = reply.sign.length;
		memcpy(out, reply.sign.signature, length);
	} else {
		length = library->sign(side.tls, wanted, out);
	}
	side.out->wanted = *wanted;
	side.out->proof.number = wanted->number;
	side.out->proof.signature_length = (uint32_t)length;
	memcpy(side.out->proof.signature, out, length);
	return length;
}

static enum tls_ticket hook_ticket(void *owner, bool fresh,
	unsigned char name[TLS_TICKET_NAME], struct tls_ticket_keys *keys)
{
	(void)owner, (void)fresh, (void)name, (void)keys;
	return TLS_TICKET_UNKNOWN;
}

bool shake_hands(struct tls_server *tls, const struct run *run, enum how how,
	const struct identity *who, struct shaken *out)
{
	static const struct tls_hooks hooks
		= {NULL, hook_get, hook_put, hook_sign, hook_ticket};
	int version = how == ONLY_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	const unsigned char *kept;
	size_t length = 0;
	struct tls *accepted;
	short events;
	int i;

	memset(&side, 0, sizeof(side));
	side.tls = tls;
	side.run = run;
	side.client = SSL_new(context);
	side.out = out;
	memset(out, 0, sizeof(*out));
	out->proof.transcript = out->transcript;
	SSL_set_msg_callback(side.client, record);
	SSL_set_msg_callback_arg(side.client, out);
	SSL_set_min_proto_version(side.client, version);
	SSL_set_max_proto_version(side.client, version);
	if (how == RETRIED)
		SSL_set1_groups_list(side.client, "X448:P-384");
	if (how == BY_RSA) {
		SSL_set1_sigalgs_list(side.client, "RSA-PSS+SHA256");
		SSL_set1_client_sigalgs_list(side.client, "ECDSA+SHA256:RSA-PSS+SHA256");
	}
	SSL_use_cert_and_key(side.client, who->certificate, who->key, who->chain, 1);
	SSL_set_bio(side.client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	BIO_set_mem_eof_return(SSL_get_rbio(side.client), -1);
	SSL_set_connect_state(side.client);
	accepted = library->accept(tls, &hooks);
	for (i = 0; i < 10; i++) {
		SSL_do_handshake(side.client);
		library->handshake(accepted, &events);
	}
	kept = library->transcript(accepted, &length);
	SSL_free(side.client);
	SSL_CTX_free(context);
	return kept && length == out->proof.length
		&& memcmp(kept, out->transcript, length) == 0;
}

bool shake(enum how how, const char *name, struct shaken *out)
{
	struct identity who = load(name);

	return shake_hands(server.tls, NULL, how, &who, out);
}

int start_shaking(int argc, char **argv)
{
	struct conf_source source = {.file = argc > 1 ? argv[1] : NULL};
	static char why[LOG_LINE_MAX];

	directory = argc > 2 ? argv[2] : ".";
	library = tls_load(why);
	return !library || conf_load(&server.conf, &source, log_report) > 0
		|| sandbox_find_user(&server.user, server.conf.session_user)
		|| !serve_load_tls(&server, TLS_FOR_ONE);
}
