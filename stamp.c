/* See stamp.h.  Runs in the monitor. */
#include "stamp.h"

#include <string.h>
#include <sys/stat.h>

/* A directory changed this many seconds ago shows any later change in its time, on every
 * file system that is in use. */
#define GRANULARITY 2

struct stamp stamp_of(int fd)
{
	struct stamp stamp = STAMP_NONE;
	struct stat status;

	if (fstat(fd, &status) == 0) {
		stamp.seconds = status.st_mtim.tv_sec;
		stamp.nanoseconds = (uint32_t)status.st_mtim.tv_nsec;
		stamp.changed_seconds = status.st_ctim.tv_sec;
		stamp.changed_nanoseconds = (uint32_t)status.st_ctim.tv_nsec;
		stamp.inode = status.st_ino;
	}
	return stamp;
}

bool stamp_equal(const struct stamp *then, const struct stamp *now)
{
	return then->inode != 0 && memcmp(then, now, sizeof(*then)) == 0;
}

struct stamp stamp_settled(struct stamp stamp, time_t now)
{
	bool settled = stamp.seconds + GRANULARITY <= now
		&& stamp.changed_seconds + GRANULARITY <= now;

	return settled ? stamp : STAMP_NONE;
}
