/* Base64, RFC 4648 section 4, as strictly as section 3 allows: padded, without line ends or other
 * characters, and one text only for each value. */
#ifndef BASE64_H
#define BASE64_H

#include <stddef.h>
#include <sys/types.h>

/* Characters for `length` octets, with a NUL. */
#define BASE64_SIZE(length) (((length) + 2) / 3 * 4 + 1)

/* Returns the number of characters; `text` has BASE64_SIZE(length) of them. */
size_t base64_encode(char *text, const void *data, size_t length);

/* Returns the number of octets, or -1 where `text` is not base64.  `data` has room for strlen(text) *
 * 3 / 4 octets and one more, which is set to NUL; it may be `text` itself. */
ssize_t base64_decode(void *data, const char *text);

#endif
