/* What the sources of tls.so share. */
#ifndef TLS_SERVER_H
#define TLS_SERVER_H

#include "tls.h"

#include <openssl/ssl.h>

/* A certificate, its chain, and instead of its key one that asks for signatures. */
struct certificate {
	X509 *leaf;
	STACK_OF(X509) * chain;
	EVP_PKEY *stand_in;
	unsigned char digest[TLS_BINDING_MAX]; /* binding_digest() */
	unsigned digest_length;
};

/* What is secret: in pages of its own, which go all at once (server_forget), so that a process pays nothing
 * for what it must not have.  They are zero then, and so is `known`. */
struct tls_secrets {
	bool known;
	unsigned char tickets[32]; /* tls_ticket.c */
	/* The keys, as DER; a key of 4,096 bits has 2.4 kB. */
	struct tls_secret_key {
		size_t length;
		unsigned char der[4096];
		size_t scalar_length; /* of an ECDSA key's number; P-521 has 66 octets */
		unsigned char scalar[66];
	} keys[CONF_CERTIFICATES_MAX];
};

struct tls_server {
	SSL_CTX *context;
	struct certificate certificates[CONF_CERTIFICATES_MAX];
	size_t count;
	uint32_t shown; /* those that a connection has from the start: a bit for each */
	struct tls_secrets *secrets;
	enum tls_client_user client_user;
};

/* tls_server.c: struct tls_library's open(), close(), forget(), sign() and reason() */

struct tls_server *server_open(
	const struct conf *conf, enum tls_use use, conf_report *report);
void server_close(struct tls_server *server);
void server_forget(struct tls_server *server);
size_t server_sign(const struct tls_server *server, const struct tls_sign *wanted,
	unsigned char out[TLS_SIGN_MAX]);
const char *tls_reason(uint64_t error);

/* Why OpenSSL's last call failed; forgets it. */
const char *tls_error(void);

/* tls_memory.c */

/* Before OpenSSL has any memory: what it frees is wiped.  Returns false where it has some. */
bool memory_start(void);

/* Whether what it asks for is for processes to share that will be forked. */
void memory_share(bool share);

/* tls_rehearsal.c */

void server_rehearse(struct tls_server *server);

/* certificate.c */

/* Returns false after a report of what is wrong; certificate_free() is due all the same. */
bool certificate_load(struct certificate *c, struct tls_secret_key *secret,
	uint32_t number, const struct conf_certificate *files, bool warn,
	conf_report *report);
void certificate_free(struct certificate *c);

/* Or RSA. */
bool certificate_is_ecdsa(const struct certificate *c);

/* Gives connections the first certificate and its like, one for each kind of key.  Returns false where it
 * can't. */
bool certificate_show(struct tls_server *server);

/* Gives a connection the certificates for `name`, likewise; for NULL, or a name that none is for, the
 * first one and its like.  Returns false where it can't. */
bool certificate_choose(
	const struct tls_server *server, SSL *connection, const char *name);

/* tls_key.c */

/* Reads the first key in a PEM file, keeps it, and makes a stand-in (the caller's) that asks for its
 * signatures by `number`.  Returns what is wrong, or NULL. */
const char *key_load(
	EVP_PKEY **stand_in, struct tls_secret_key *secret, uint32_t number, BIO *pem);

/* Whom the stand-ins ask. */
void key_ask(const struct tls_hooks *hooks);

/* What the stand-in would have asked for.  Returns the signature's length, or 0. */
size_t key_sign(const EVP_PKEY *stand_in, const struct tls_secret_key *secret,
	const struct tls_sign *wanted, unsigned char out[TLS_SIGN_MAX]);

/* tls_ticket.c */

void ticket_start(struct tls_server *server);
enum tls_ticket ticket_keys(const struct tls_server *server, bool fresh,
	unsigned char name[TLS_TICKET_NAME], struct tls_ticket_keys *keys);

/* OpenSSL's callback: SSL_CTX_set_tlsext_ticket_key_evp_cb(3). */
int ticket_callback(SSL *connection, unsigned char *name, unsigned char *iv,
	EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal);

/* tls_binding.c */

/* Returns the length of the binding of that type (the name that SCRAM has for it), or 0. */
size_t binding_make(SSL *ssl, const char *type, unsigned char out[TLS_BINDING_MAX]);

/* RFC 5929 s.4.1.  Returns the digest's length, or 0. */
unsigned binding_digest(const X509 *certificate, unsigned char out[TLS_BINDING_MAX]);

/* OpenSSL's callback for a new ticket: SSL_CTX_set_session_ticket_cb(3). */
int binding_note(SSL *ssl, void *argument);

/* tls_transcript.c: a process has no more than one connection. */

void transcript_keep(SSL *connection);
const unsigned char *transcript_kept(SSL *connection, size_t *length);

/* tls_handshake.c */

struct octets {
	const unsigned char *at;
	size_t length;
};

/* Take the first `length` octets; a number of `size` octets; octets behind a number of them.
 * Return false where there are not so many. */
bool octets_take(struct octets *from, size_t length, struct octets *taken);
bool octets_number(struct octets *from, size_t size, size_t *number);
bool octets_sized(struct octets *from, size_t size, struct octets *taken);

/* What has been read of a handshake; all points into the transcript. */
struct signer {
	struct octets certificates; /* handshake_certificate() takes them apart */
	size_t scheme;              /* RFC 8446 s.4.2.3 */
	struct octets signature;
	size_t end; /* of the messages before the signature's */
};
struct handshake {
	const unsigned char *transcript;
	bool is_1_3;          /* or 1.2 */
	const EVP_MD *digest; /* of TLS 1.3 */
	size_t retried; /* octets of a first ClientHello that was not enough, or 0 */
	size_t message; /* where the one stands that is being read */
	struct octets client_random, server_random;
	struct octets parameters; /* TLS 1.2: the server's share of the key */
	struct signer server, client;
};

/* Returns false where it is not all messages of one, in their order, and nothing else. */
bool handshake_read(struct handshake *h, const unsigned char *transcript, size_t length);

bool handshake_certificate(
	const struct handshake *h, struct octets *list, struct octets *certificate);

/* Whether `who` (of `h`) has signed this handshake with this key. */
bool handshake_is_signed(
	const struct handshake *h, const struct signer *who, EVP_PKEY *key);

/* Clients may sign in no other way than handshake_is_signed() knows. */
bool handshake_limit(SSL_CTX *context);

/* tls_client.c: struct tls_library's prove() and unproven() */

void client_prove(const struct tls_server *server, const struct tls_proof *proof,
	struct tls_identity *identity);
const char *client_reason(const struct tls_identity *identity);

#endif
