/* Handshakes of clients with certificates, and what they have to prove who they are. */
#ifndef SHAKEN_H
#define SHAKEN_H

#include "../tls.h"
#include "asked.h"

#include <openssl/ssl.h>

struct identity {
	X509 *certificate;
	STACK_OF(X509) * chain;
	EVP_PKEY *key;
};

/* What the client has seen. */
struct shaken {
	unsigned char transcript[TLS_TRANSCRIPT_MAX + 1];
	struct tls_proof proof;
	struct tls_sign wanted; /* what the server has had signed */
};

/* BY_RSA: of TLS 1.3, the server's signature being RSA's and not ECDSA's. */
enum how { ONLY_1_2, ONLY_1_3, RETRIED, BY_RSA };

extern const struct tls_library *library;

/* Takes main()'s arguments: CONFIG DIRECTORY.  Returns 0, or that something is missing. */
int start_shaking(int argc, char **argv);

extern const char *directory;

/* NAME.pem and NAME.key of the directory. */
struct identity load(const char *name);

/* A monitor signs, or, where `run` is NULL, nobody but the library does.  Returns false where the handshake
 * fails, or proves nothing to the session. */
bool shake_hands(struct tls_server *tls, const struct run *run, enum how how,
	const struct identity *who, struct shaken *out);

/* With the server's own settings, without a monitor. */
bool shake(enum how how, const char *name, struct shaken *out);

#endif
