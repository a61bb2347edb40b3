/* What a directory looked like when it was read: if it looks the same, it is the same. */
#ifndef STAMP_H
#define STAMP_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct stamp {
	int64_t seconds,
		changed_seconds; /* mtime and ctime: who sets one moves the other */
	uint32_t nanoseconds, changed_nanoseconds;
	uint64_t inode;
};

/* Equal to none: it has to be read again. */
#define STAMP_NONE ((struct stamp){0})

struct stamp stamp_of(int fd);

bool stamp_equal(const struct stamp *then, const struct stamp *now);

/* The stamp, or STAMP_NONE where it is so young that a later change might bear the same
 * times: mtime may have been set back, but ctime can't be.  `now` is by the clock of the file system. */
struct stamp stamp_settled(struct stamp stamp, time_t now);

#endif
