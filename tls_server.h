/* What the sources of tls.so share. */
#ifndef TLS_SERVER_H
#define TLS_SERVER_H

#include "tls.h"

#include <openssl/ssl.h>

/* A certificate, its chain, and its key: in the listener and the monitor the real one, until
 * that is forgotten, and always one that asks for its signatures. */
struct certificate {
	X509 *leaf;
	STACK_OF(X509) * chain;
	EVP_PKEY *key;
	EVP_PKEY *stand_in;
};

struct tls_server {
	SSL_CTX *context;
	struct certificate certificates[CONF_CERTIFICATES_MAX];
	size_t count;
	unsigned char ticket_secret[32];
};

/* tls.c: why OpenSSL's last call failed; forgets it. */
const char *tls_error(void);

/* certificate.c */

/* Returns false after a report of what is wrong; certificate_free() is due all the same. */
bool certificate_load(struct certificate *c, uint32_t number,
	const struct conf_certificate *files, bool warn, conf_report *report);
void certificate_free(struct certificate *c);
void certificate_forget_key(struct certificate *c);

size_t certificate_sign(const struct certificate *c, const struct tls_sign *wanted,
	unsigned char out[TLS_SIGN_MAX]);

/* Whom the stand-ins ask. */
void certificate_ask(const struct tls_hooks *hooks);

/* Gives a connection the certificates for `name`, one for each kind of key; for NULL, or a
 * name that none is for, the first one and its like.  Returns false where it can't. */
bool certificate_choose(
	const struct tls_server *server, SSL *connection, const char *name);

/* tls_ticket.c */

bool ticket_start(struct tls_server *server);
enum tls_ticket ticket_keys(const struct tls_server *server, bool fresh,
	unsigned char name[TLS_TICKET_NAME], struct tls_ticket_keys *keys);

/* OpenSSL's callback: SSL_CTX_set_tlsext_ticket_key_evp_cb(3). */
int ticket_callback(SSL *connection, unsigned char *name, unsigned char *iv,
	EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal);

#endif
