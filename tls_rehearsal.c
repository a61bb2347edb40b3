/* A handshake of the listener with itself.  OpenSSL looks up and makes what it needs when it needs it first: each
 * connection would do so anew, and write to memory that it shares with the others. */
#include "tls_server.h"

#include <openssl/err.h>

#define STEPS 8 /* of both sides, at most */

static size_t sign(void *owner, const struct tls_sign *wanted, unsigned char *out)
{
	return server_sign(owner, wanted, out);
}

static enum tls_ticket ticket(void *owner, bool fresh,
	unsigned char name[TLS_TICKET_NAME], struct tls_ticket_keys *keys)
{
	return ticket_keys(owner, fresh, name, keys);
}

static void shake_hands(SSL *server, SSL *client)
{
	char octet = 0;
	int i;

	for (i = 0; i < STEPS; i++) {
		SSL_do_handshake(client);
		SSL_do_handshake(server);
	}
	if (SSL_is_init_finished(server)) {
		SSL_write(server, &octet, 1);
		SSL_read(client, &octet, 1);
		SSL_write(client, &octet, 1);
		SSL_read(server, &octet, 1);
	}
}

static void rehearse(struct tls_server *server, SSL_CTX *clients, int version)
{
	struct tls_hooks hooks = {.owner = server, .sign = sign, .ticket = ticket};
	SSL *ssl = SSL_new(server->context), *client = SSL_new(clients);
	BIO *here, *there;

	if (ssl && client && SSL_set_app_data(ssl, &hooks) == 1
		&& BIO_new_bio_pair(&here, 0, &there, 0) == 1) {
		key_ask(&hooks);
		SSL_set_bio(ssl, here, here);
		SSL_set_bio(client, there, there);
		SSL_set_max_proto_version(client, version);
		SSL_set_accept_state(ssl);
		SSL_set_connect_state(client);
		shake_hands(ssl, client);
		key_ask(NULL);
	}
	SSL_free(client);
	SSL_free(ssl);
}

void server_rehearse(struct tls_server *server)
{
	SSL_CTX *clients = SSL_CTX_new(TLS_client_method());

	if (clients) {
		rehearse(server, clients, TLS1_3_VERSION);
		rehearse(server, clients, TLS1_2_VERSION);
	}
	SSL_CTX_free(clients);
	/* Where it did not come about, each connection sees to that. */
	ERR_clear_error();
}
