/* Digests, and what is built of them: HMAC (RFC 2104) and Hi(), which is PBKDF2 with one block
 * (RFC 5802 section 2.2).  Monitor only: what goes in is secret. */
#ifndef DIGEST_H
#define DIGEST_H

#include <stdbool.h>
#include <stddef.h>

enum digest { DIGEST_MD5, DIGEST_SHA_1, DIGEST_SHA_256 };

#define DIGEST_MAX 32 /* octets of the longest */

size_t digest_size(enum digest kind);

/* Each fills in digest_size() octets. */
void digest(enum digest kind, const void *data, size_t length, unsigned char *out);
void digest_hmac(enum digest kind, const void *key, size_t key_length, const void *data,
	size_t length, unsigned char *out);
void digest_iterate(enum digest kind, const char *password, const void *salt,
	size_t salt_length, unsigned iterations, unsigned char *out);

/* In a time that depends on `length` alone. */
bool digest_equal(const void *a, const void *b, size_t length);

#endif
