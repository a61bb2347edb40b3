/* The ways in which pop3passwd(8) stores a password, one table.  pop3d reads them in users.c. */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>

#define STORE_MAX 512 /* octets of what is stored, its NUL included */

struct store_scheme;

/* By its name, in any case, or NULL.  Of a NULL name the default: yescrypt, or sha512crypt where crypt(3)
 * does not know that. */
const struct store_scheme *store_find(const char *name);

/* The names, for -V and -h; NULL after the last. */
const char *store_name(unsigned number);

/* Sets the cost where the scheme is SCRAM and `rounds` is 0. */
unsigned store_rounds(const struct store_scheme *scheme, unsigned rounds, unsigned scram);

/* Returns NULL, or what is wrong with the number: crypt(3)'s cost, SCRAM's iterations; 0 for the usual. */
const char *store_rounds_check(const struct store_scheme *scheme, unsigned rounds);

/* Makes what the file is to hold; wipe it.  Returns NULL, or what is wrong with the password. */
const char *store_make(const struct store_scheme *scheme, const char *password,
	unsigned rounds, char out[STORE_MAX]);

/* What a stored password is, in a word. */
const char *store_kind(const char *stored);

#endif
