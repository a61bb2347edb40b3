/* Maildir++ quota: the file `maildirsize`.  Monitor only. */
#ifndef QUOTA_H
#define QUOTA_H

#include <stdbool.h>
#include <stdint.h>

/* Takes `messages` messages of `octets` octets in files off the sum that maildirsize in
 * the Maildir `dir` keeps, if there is one.  Returns 0, or -1 with errno. */
int quota_subtract(int dir, uint64_t messages, uint64_t octets);

/* What a message file called `name`, of `size` octets, counts for in maildirsize.
 * Returns false where it does not count at all. */
bool quota_counts(const char *name, uint64_t size, uint64_t *octets);

#endif
