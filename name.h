/* The names of message files in a Maildir: `base`, then in cur/ a colon and the flags.  In
 * the base, `,S=` and `,W=` tell sizes, and the time of the delivery comes first. */
#ifndef NAME_H
#define NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The unique part of a name: up to the first colon. */
size_t name_base_length(const char *name);

/* The number behind `,key=` in the base; false where there is none. */
bool name_number(const char *name, char key, uint64_t *number);

/* When a message was delivered: the seconds that its name begins with, and microseconds
 * after an M behind the first dot.  Equal bases have equal times. */
struct name_time {
	uint64_t seconds, microseconds;
};

/* The time in the first `length` octets, which need no NUL; false where there is none. */
bool name_delivery(const char *name, size_t length, struct name_time *time);
int name_compare_times(const struct name_time *a, const struct name_time *b);

/* Whether flags behind `:2,` hold this one. */
bool name_has_flag(const char *name, char flag);

/* The name that a message has in cur/, with the flag S or with the flags that it has.  Flags
 * stand in ASCII order; behind another kind of info there are none.  `out` has room for
 * `size` octets; returns false where that is too little. */
bool name_in_cur(const char *name, bool seen, char *out, size_t size);

#endif
