/* Finding out what is in a Maildir: its directories beside the index; new, renamed and vanished messages.
 * scan_own.h has the other parts.  Runs in the monitor, as the user. */
#include "memory.h"
#include "scan_own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t keep_name(struct scan *scan, const char *name)
{
	size_t length = strlen(name) + 1, at = scan->names_used;

	while (scan->names_room - scan->names_used < length) {
		scan->names_room = scan->names_room ? 2 * scan->names_room : 16384;
		scan->names = memory_resize(scan->names, scan->names_room);
	}
	memcpy(scan->names + at, name, length);
	scan->names_used += length;
	return at;
}

static int read_directory(struct scan *scan, int dir, bool in_new)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *file;
	int error;

	if (!stream) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while (errno = 0, (file = readdir(stream)) != NULL) {
		struct scan_entry *entry;

		/* A name that begins with a dot is no message: djb's Maildir page. */
		if (file->d_name[0] == '.')
			continue;
		if (file->d_type != DT_REG && file->d_type != DT_UNKNOWN)
			continue;
		/* File systems in user space may have longer names than an index. */
		if (strlen(file->d_name) > INDEX_NAME_MAX) {
			errno = ENAMETOOLONG;
			scan_cannot_read(scan, file->d_name);
			continue;
		}
		scan->entries = memory_grow(scan->entries, scan->entry_count,
			&scan->entry_room, sizeof(*scan->entries));
		entry = &scan->entries[scan->entry_count++];
		memset(entry, 0, sizeof(*entry));
		entry->name = keep_name(scan, file->d_name);
		entry->in_new = in_new;
		entry->inode = file->d_ino;
	}
	error = errno;
	closedir(stream);
	errno = error;
	return error ? -1 : 0;
}

/* What the index says of the directories in `which`. */
static int read_index(struct scan *scan, struct index *index, unsigned which)
{
	uint64_t number = which == SCAN_NEW ? index->header.first_new : 0;

	for (; number < index->header.count; number++) {
		struct index_record record;
		struct scan_known *known;
		char name[INDEX_NAME_MAX + 1];
		bool in_new;

		if (index_record(index, number, &record) < 0) {
			errno = EBADMSG;
			return -1;
		}
		in_new = record.flags & INDEX_IN_NEW;
		if (!(which & (in_new ? SCAN_NEW : SCAN_CUR)))
			continue;
		if (index_name(index, &record, name) < 0) {
			errno = EBADMSG;
			return -1;
		}
		scan->known = memory_grow(scan->known, scan->known_count,
			&scan->known_room, sizeof(*scan->known));
		known = &scan->known[scan->known_count++];
		*known = (struct scan_known){.number = number,
			.name = keep_name(scan, name),
			.in_new = in_new};
	}
	return 0;
}

/* Finds the message that the index has for this entry: under this very name, or, once
 * all of those are found, under another name with the same base. */
static void match(struct scan *scan, uint32_t number, bool exactly)
{
	struct scan_entry *entry = &scan->entries[number];
	const char *name = scan->names + entry->name;
	size_t slot = scan_slot(scan, name);
	uint32_t who;

	while (!entry->matched
		&& (who = scan_table_next(scan, name, &slot)) != SCAN_NOBODY) {
		struct scan_known *known = &scan->known[who];
		bool same = known->in_new == entry->in_new
			&& strcmp(scan->names + known->name, name) == 0;

		if (known->seen || (exactly && !same))
			continue;
		known->seen = entry->matched = true;
		known->renamed = !same;
		known->name = entry->name;
		known->in_new = entry->in_new;
	}
}

static void collect_changes(struct scan *scan)
{
	size_t room = 0;
	uint32_t who;

	for (who = 0; who < scan->known_count; who++) {
		const struct scan_known *known = &scan->known[who];
		struct index_change *change;

		if (known->seen && !known->renamed)
			continue;
		scan->changes = memory_grow(
			scan->changes, scan->change_count, &room, sizeof(*scan->changes));
		change = &scan->changes[scan->change_count++];
		memset(change, 0, sizeof(*change));
		change->number = known->number;
		change->kind = INDEX_GONE;
		if (known->seen) {
			change->kind = INDEX_RENAMED;
			change->name = scan->names + known->name;
			change->in_new = known->in_new;
		}
	}
}

/* A rename in cur/ while it is read can hide a file or show it twice, and a move there from
 * new/ too; then it is all read once more.  Deliveries do no such harm. */
static int read_directories(struct scan *scan, int cur, int new, unsigned which)
{
	int tries;

	for (tries = 0; tries < SCAN_TRIES; tries++) {
		struct stamp before = stamp_of(cur), after;

		scan->entry_count = scan->names_used = scan->unreadable = 0;
		if (((which & SCAN_NEW) && read_directory(scan, new, true) < 0)
			|| ((which & SCAN_CUR) && read_directory(scan, cur, false) < 0))
			return -1;
		after = stamp_of(cur);
		if (stamp_equal(&before, &after))
			return 0;
	}
	scan->unsteady = scan->incomplete = true;
	return 0;
}

int scan_compare(struct scan *scan, struct index *index, int cur, int new, unsigned which)
{
	uint32_t i;

	scan->which = which;
	if (read_directories(scan, cur, new, which) < 0
		|| read_index(scan, index, which) < 0)
		return -1;
	if (scan_table_make(scan) < 0)
		return -1;
	for (i = 0; i < scan->entry_count; i++)
		match(scan, i, true);
	for (i = 0; i < scan->entry_count; i++)
		match(scan, i, false);
	collect_changes(scan);
	return 0;
}

/* Whether a base is later than all that the index has, and so can't be there already. */
static bool all_are_later(const struct scan *scan, const struct index *index)
{
	size_t i;

	for (i = 0; i < scan->entry_count; i++) {
		const char *name = scan->names + scan->entries[i].name;
		struct name_time time;

		if (!name_delivery(name, strlen(name), &time)
			|| name_compare_times(&time, &index->header.newest) <= 0)
			return false;
	}
	return true;
}

/* Where one of the two was not read, what the index has of it is as it was. */
static int add_unread(struct scan *scan, struct index *index)
{
	size_t i = scan->known_count;

	if (read_index(scan, index, (SCAN_CUR | SCAN_NEW) & ~scan->which) < 0)
		return -1;
	for (; i < scan->known_count; i++)
		scan->known[i].seen = true;
	return scan_table_make(scan);
}

int scan_measure(struct scan *scan, struct index *index, int cur, int new)
{
	uint32_t i;

	scan_read_new(scan, cur, new);
	if (scan->entry_count == 0)
		return 0;
	if (scan->which != (SCAN_CUR | SCAN_NEW) && !all_are_later(scan, index)
		&& add_unread(scan, index) < 0)
		return -1;
	scan->added = memory_resize(NULL, scan->entry_count * sizeof(*scan->added));
	for (i = 0; i < scan->entry_count; i++) {
		struct scan_entry *entry = &scan->entries[i];

		if (!scan_unique_id(scan, index, i, cur, new))
			return -1;
		scan->added[i] = (struct index_message){
			.name = scan->names + entry->name,
			.unique_id = entry->unique_id,
			.in_new = entry->in_new,
			.octets = entry->octets,
			.size = entry->size,
		};
	}
	scan->added_count = scan->entry_count;
	return 0;
}

void scan_free(struct scan *scan)
{
	int error = errno;
	size_t i;

	for (i = 0; i < scan->entry_count; i++)
		free(scan->entries[i].unique_id);
	free(scan->changes);
	free(scan->added);
	free(scan->names);
	free(scan->entries);
	free(scan->known);
	free(scan->table);
	memset(scan, 0, sizeof(*scan));
	errno = error;
}
