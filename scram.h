/* The keys of SCRAM and what is made of them: RFC 5802 section 3, RFC 7677.  Monitor only; the
 * messages are the session's (sasl_scram.c). */
#ifndef SCRAM_H
#define SCRAM_H

#include "digest.h"

#define SCRAM_SALT_MAX 64 /* octets */

/* Wipe them. */
struct scram_keys {
	enum digest digest;
	unsigned iterations;
	unsigned char salt[SCRAM_SALT_MAX];
	size_t salt_length;
	unsigned char stored[DIGEST_MAX], server[DIGEST_MAX];
};

/* Reads `iterations,salt,stored key,server key`, which is how Dovecot writes them. */
bool scram_parse(const char *text, enum digest digest, struct scram_keys *keys);

/* Makes those of a password, for the digest, salt and iterations that are there. */
void scram_make(struct scram_keys *keys, const char *password);

/* Whether keys in that form are a password's. */
bool scram_takes(const char *text, enum digest digest, const char *password);

/* Whether the proof, which goes with an AuthMessage, is of someone who knows ClientKey.  Then
 * `signature` proves that we know ServerKey. */
bool scram_proves(const struct scram_keys *keys, const char *message, const void *proof,
	unsigned char signature[DIGEST_MAX]);

#endif
