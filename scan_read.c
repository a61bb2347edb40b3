/* Reading new messages: their octets on the wire and when they were delivered.  Runs in the monitor, as the
 * user. */
#include "memory.h"
#include "message.h"
#include "scan_own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* `,W=` in a name is the size on the wire, as the program that delivered it counted.  It
 * is believed where reading the file would be dear and all that can be seen agrees. */
#define BELIEVE_FROM 65536

static bool octets_in_name(int fd, uint64_t size, const char *name, uint64_t *octets)
{
	uint64_t file_size;
	char last;

	return size >= BELIEVE_FROM && name_number(name, 'S', &file_size)
		&& file_size == size && name_number(name, 'W', octets) && *octets >= size
		&& *octets <= 2 * size && pread(fd, &last, 1, (off_t)size - 1) == 1
		&& last == '\n';
}

static char block[65536];

int scan_octets(int fd, uint64_t size, const char *name, uint64_t *octets)
{
	struct message_count count = MESSAGE_START;
	uint64_t done = 0;

	if (name && octets_in_name(fd, size, name, octets))
		return 0;
	while (done < size) {
		ssize_t got = read(fd, block, sizeof(block));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		message_count(&count, block, (size_t)got);
		done += (uint64_t)got;
	}
	*octets = message_octets(&count);
	return 0;
}

/* Names that do not begin with a time go by the file's. */
static void set_delivery(struct scan_entry *entry, const char *name, time_t modified)
{
	if (!name_delivery(name, strlen(name), &entry->delivery))
		entry->delivery.seconds = modified > 0 ? (uint64_t)modified : 0;
}

void scan_cannot_read(struct scan *scan, const char *name)
{
	if (scan->unreadable++ == 0) {
		scan->example_errno = errno;
		snprintf(scan->example, sizeof(scan->example), "%s", name);
	}
	scan->incomplete = true;
}

/* The file of a message, or -1 with errno: EMFILE is not the file's fault. */
static int open_file(struct scan *scan, const struct scan_entry *entry, int dir)
{
	const char *name = scan->names + entry->name;
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	/* Renamed or removed just now: the next session will see. */
	if (fd < 0 && errno == ENOENT)
		scan->incomplete = true;
	else if (fd < 0 && errno != ELOOP && errno != ENXIO && errno != EMFILE)
		scan_cannot_read(scan, name);
	return fd;
}

/* Only regular files are mail.  Closes it; returns false where it is none, or none to be had. */
static bool measure(struct scan *scan, struct scan_entry *entry, int fd)
{
	const char *name = scan->names + entry->name;
	struct stat status;
	bool measured = false;

	if (fstat(fd, &status) < 0) {
		scan_cannot_read(scan, name);
	} else if (S_ISREG(status.st_mode)) {
		entry->size = (uint64_t)status.st_size;
		set_delivery(entry, name, status.st_mtime);
		measured = scan_octets(fd, entry->size, name, &entry->octets) == 0;
		if (!measured)
			scan_cannot_read(scan, name);
	}
	close(fd);
	return measured;
}

#define FILES_AHEAD 32 /* that the disk may be asked for at a time */

/* Drops the entries that are no messages.  So many files are open already when one is read, and in the order of
 * their inodes: a disk has them beside one another, and does not wait for us. */
static void measure_all(struct scan *scan, int cur, int new)
{
	size_t i, opened = 0, kept = 0;
	int fds[FILES_AHEAD];

	for (i = 0; i < scan->entry_count; i++) {
		for (; opened < scan->entry_count && opened < i + FILES_AHEAD; opened++) {
			struct scan_entry *next = &scan->entries[opened];
			int fd = open_file(scan, next, next->in_new ? new : cur);

			if (fd < 0 && errno == EMFILE && opened > i)
				break;
			if (fd < 0 && errno == EMFILE)
				scan_cannot_read(scan, scan->names + next->name);
			if (fd >= 0 && opened > i)
				posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
			fds[opened % FILES_AHEAD] = fd;
		}
		if (fds[i % FILES_AHEAD] >= 0
			&& measure(scan, &scan->entries[i], fds[i % FILES_AHEAD]))
			scan->entries[kept++] = scan->entries[i];
	}
	scan->entry_count = kept;
}

/* For compare_delivery(): qsort(3) passes nothing along. */
static const char *names_being_sorted;

static int compare_delivery(const void *left, const void *right)
{
	const struct scan_entry *a = left, *b = right;

	int order = name_compare_times(&a->delivery, &b->delivery);

	return order ? order
		     : strcmp(names_being_sorted + a->name, names_being_sorted + b->name);
}

static int compare_inode(const void *left, const void *right)
{
	const struct scan_entry *a = left, *b = right;

	return (a->inode > b->inode) - (a->inode < b->inode);
}

void scan_read_new(struct scan *scan, int cur, int new)
{
	size_t i, kept = 0;

	for (i = 0; i < scan->entry_count; i++) {
		if (!scan->entries[i].matched)
			scan->entries[kept++] = scan->entries[i];
	}
	scan->entry_count = kept;
	if (kept > 1)
		qsort(scan->entries, kept, sizeof(*scan->entries), compare_inode);
	measure_all(scan, cur, new);
	memory_drop(block, sizeof(block));
	names_being_sorted = scan->names;
	if (scan->entry_count > 1)
		qsort(scan->entries, scan->entry_count, sizeof(*scan->entries),
			compare_delivery);
}
