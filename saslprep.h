/* SASLprep, RFC 4013: names and passwords that look the same are the same.  Monitor only, before it
 * becomes the user. */
#ifndef SASLPREP_H
#define SASLPREP_H

#include <stdbool.h>
#include <stddef.h>

/* What `text` is when prepared, in `out`; ASCII is what it is.  Returns false where that is not to be
 * had: it is not UTF-8, or has what RFC 4013 s.2.3 prohibits, or does not fit, or there is no library
 * that knows.  Then `out` is the same text, or its beginning. */
bool saslprep(char *out, size_t size, const char *text);

#endif
