/* Keeping a Maildir++ quota right when messages go.  Runs in the monitor. */
#include "quota.h"
#include "name.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

int quota_subtract(int dir, uint64_t messages, uint64_t octets)
{
	char line[64];
	int fd = openat(dir, "maildirsize",
		O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t put;
	int length;

	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	/* One line in one write: others append to it at the same time. */
	length = snprintf(
		line, sizeof(line), "-%" PRIu64 " -%" PRIu64 "\n", octets, messages);
	put = write(fd, line, (size_t)length);
	close(fd);
	return put == length ? 0 : -1;
}

bool quota_counts(const char *name, uint64_t size, uint64_t *octets)
{
	/* Whoever marked a message as trashed has taken it off already. */
	if (name_has_flag(name, 'T'))
		return false;
	if (!name_number(name, 'S', octets))
		*octets = size;
	return true;
}
