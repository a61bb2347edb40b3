/* The few things wanted of OpenSSL's libcrypto, which is loaded on first use: most
 * sessions need none of it, and loading it costs more than the rest of the start. */
#ifndef CRYPTO_H
#define CRYPTO_H

#include <stddef.h>

/* One digest over the whole of `data`: `name` is OpenSSL's, such as "MD5", "SHA256".
 * Returns the length of what is in `digest` (CRYPTO_DIGEST_MAX octets at most), or 0
 * where libcrypto can't be loaded or does not offer that digest. */
#define CRYPTO_DIGEST_MAX 64
size_t crypto_digest(const char *name, const void *data, size_t length,
	unsigned char digest[CRYPTO_DIGEST_MAX]);

/* Loads the library now, in the listener, so that no session has to. */
void crypto_preload(void);

/* `length` octets as lower-case hexadecimal digits and a NUL. */
void crypto_hex(char *out, const unsigned char *octets, size_t length);

#endif
