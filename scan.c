/* Finding out what is in a Maildir: new, renamed and vanished messages, their sizes,
 * unique-ids and order.  Runs in the monitor, as the user. */
#include "scan.h"
#include "hash.h"
#include "memory.h"
#include "message.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY UINT32_MAX

/* A file that is there. */
struct scan_entry {
	size_t name; /* offset in `names`, which may move while it grows */
	bool in_new, matched;
	uint64_t inode, octets, size;
	struct name_time delivery;
	char *unique_id;
};

/* A message that the index has. */
struct scan_known {
	uint64_t number;
	size_t name;
	bool in_new;
	bool seen, renamed; /* it is there, under the above name: another than it was */
};

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

static bool same_base(const char *a, const char *b)
{
	size_t length = name_base_length(a);

	return name_base_length(b) == length && memcmp(a, b, length) == 0;
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

/* The table finds whoever has a given base: known messages, then (above known_count)
 * entries.  Open addressing; equal bases follow one another. */
static const char *name_of(const struct scan *scan, uint32_t who)
{
	if (who < scan->known_count)
		return scan->names + scan->known[who].name;
	return scan->names + scan->entries[who - scan->known_count].name;
}

static size_t slot_of(const struct scan *scan, const char *name)
{
	uint64_t mixed = hash(HASH_START, name, name_base_length(name));

	return (size_t)(mixed ^ mixed >> 32) & (scan->table_size - 1);
}

static void table_add(struct scan *scan, uint32_t who)
{
	size_t slot = slot_of(scan, name_of(scan, who));

	while (scan->table[slot] != NOBODY)
		slot = (slot + 1) & (scan->table_size - 1);
	scan->table[slot] = who;
}

/* The next one with the base of `name`, from `*slot` on, which is moved past it. */
static uint32_t table_next(const struct scan *scan, const char *name, size_t *slot)
{
	uint32_t who;

	while ((who = scan->table[*slot]) != NOBODY) {
		*slot = (*slot + 1) & (scan->table_size - 1);
		if (same_base(name_of(scan, who), name))
			return who;
	}
	return NOBODY;
}

/* The table with the known messages.  Returns 0, or -1 with errno. */
static int table_make(struct scan *scan)
{
	uint32_t who;

	if (scan->entry_count + scan->known_count > INDEX_COUNT_MAX) {
		errno = EFBIG;
		return -1;
	}
	scan->table_size = 64;
	while (scan->table_size < 2 * (scan->known_count + scan->entry_count))
		scan->table_size *= 2;
	scan->table = memory_resize(scan->table, scan->table_size * sizeof(*scan->table));
	memset(scan->table, 0xff, scan->table_size * sizeof(*scan->table));
	for (who = 0; who < scan->known_count; who++)
		table_add(scan, who);
	return 0;
}

/* Finds the message that the index has for this entry: under this very name, or, once
 * all of those are found, under another name with the same base. */
static void match(struct scan *scan, uint32_t number, bool exactly)
{
	struct scan_entry *entry = &scan->entries[number];
	const char *name = scan->names + entry->name;
	size_t slot = slot_of(scan, name);
	uint32_t who;

	while (!entry->matched && (who = table_next(scan, name, &slot)) != NOBODY) {
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

		scan->entry_count = scan->names_used = 0;
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
	if (table_make(scan) < 0)
		return -1;
	for (i = 0; i < scan->entry_count; i++)
		match(scan, i, true);
	for (i = 0; i < scan->entry_count; i++)
		match(scan, i, false);
	collect_changes(scan);
	return 0;
}

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

static void cannot_read(struct scan *scan, const char *name)
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
		cannot_read(scan, name);
	return fd;
}

/* Only regular files are mail.  Closes it; returns false where it is none, or none to be had. */
static bool measure(struct scan *scan, struct scan_entry *entry, int fd)
{
	const char *name = scan->names + entry->name;
	struct stat status;
	bool measured = false;

	if (fstat(fd, &status) < 0) {
		cannot_read(scan, name);
	} else if (S_ISREG(status.st_mode)) {
		entry->size = (uint64_t)status.st_size;
		set_delivery(entry, name, status.st_mtime);
		measured = scan_octets(fd, entry->size, name, &entry->octets) == 0;
		if (!measured)
			cannot_read(scan, name);
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
				cannot_read(scan, scan->names + next->name);
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

/* A hash of the base, 32 hexadecimal digits; `copy` tells files with the same base
 * apart. */
#define HASHED_LENGTH 32

static void hash_base(const char *name, unsigned copy, char unique_id[UNIQUE_ID_MAX + 1])
{
	char text[INDEX_NAME_MAX + 16], hex[SHA256_DIGEST_STRING_LENGTH];
	size_t length = name_base_length(name);

	memcpy(text, name, length);
	if (copy > 0)
		length += (size_t)sprintf(text + length, ":%u", copy);
	SHA256Data((const uint8_t *)text, length, hex);
	memcpy(unique_id, hex, HASHED_LENGTH);
	unique_id[HASHED_LENGTH] = '\0';
}

/* The unique-id of someone in the table. */
static void unique_id_of(const struct scan *scan, struct index *index, uint32_t who,
	char unique_id[UNIQUE_ID_MAX + 1])
{
	const char *name = name_of(scan, who);
	struct index_record record;

	if (who < scan->known_count) {
		if (index_record(index, scan->known[who].number, &record) < 0
			|| index_unique_id(index, &record, unique_id) == 0)
			unique_id[0] = '\0';
	} else if (scan->entries[who - scan->known_count].unique_id) {
		strcpy(unique_id, scan->entries[who - scan->known_count].unique_id);
	} else {
		memcpy(unique_id, name, name_base_length(name));
		unique_id[name_base_length(name)] = '\0';
	}
}

/* Who has a unique-id, of all with the base of `name`; or NOBODY. */
static uint32_t holder(const struct scan *scan, struct index *index, const char *name,
	const char *unique_id)
{
	size_t slot = slot_of(scan, name);
	uint32_t who;

	while ((who = table_next(scan, name, &slot)) != NOBODY) {
		char other[UNIQUE_ID_MAX + 1];

		unique_id_of(scan, index, who, other);
		if (strcmp(other, unique_id) == 0)
			break;
	}
	return who;
}

static unsigned count_base(const struct scan *scan, const char *name)
{
	size_t slot = slot_of(scan, name);
	unsigned count = 0;

	while (table_next(scan, name, &slot) != NOBODY)
		count++;
	return count;
}

/* Two files with one base may be a single one that was moved while we looked.  True where
 * the one that was seen before has gone. */
static bool has_gone(const struct scan *scan, uint32_t who, int cur, int new)
{
	struct stat status;
	bool in_new;

	if (who < scan->known_count && !scan->known[who].seen)
		return false;
	in_new = who < scan->known_count ? scan->known[who].in_new
					 : scan->entries[who - scan->known_count].in_new;
	return fstatat(in_new ? new : cur, name_of(scan, who), &status,
		       AT_SYMLINK_NOFOLLOW)
		< 0
		&& errno == ENOENT;
}

/* The base where it can be one and nobody has it, else a hash.  False, with errno: none can
 * be given. */
static bool give_unique_id(
	struct scan *scan, struct index *index, uint32_t number, int cur, int new)
{
	struct scan_entry *entry = &scan->entries[number];
	const char *name = scan->names + entry->name;
	size_t length = name_base_length(name);
	char unique_id[UNIQUE_ID_MAX + 1] = "";
	uint32_t who = NOBODY;

	if (index_is_unique_id(name, length)) {
		memcpy(unique_id, name, length);
		unique_id[length] = '\0';
		who = holder(scan, index, name, unique_id);
	}
	if (who != NOBODY && has_gone(scan, who, cur, new)) {
		errno = EAGAIN;
		return false;
	}
	if (unique_id[0] == '\0' || who != NOBODY) {
		unsigned copy = count_base(scan, name);

		do
			hash_base(name, copy++, unique_id);
		while (holder(scan, index, name, unique_id) != NOBODY);
		entry->unique_id = memory_copy(unique_id);
	}
	table_add(scan, (uint32_t)scan->known_count + number);
	return true;
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

/* Drops all entries but the new messages, and sorts those. */
static void keep_new_messages(struct scan *scan, int cur, int new)
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

/* Where cur/ was not read, what the index has of it is as it was. */
static int add_unread(struct scan *scan, struct index *index)
{
	size_t i = scan->known_count;

	if (read_index(scan, index, SCAN_CUR) < 0)
		return -1;
	for (; i < scan->known_count; i++)
		scan->known[i].seen = true;
	return table_make(scan);
}

int scan_measure(struct scan *scan, struct index *index, int cur, int new)
{
	uint32_t i;

	keep_new_messages(scan, cur, new);
	if (scan->entry_count == 0)
		return 0;
	if (!(scan->which & SCAN_CUR) && !all_are_later(scan, index)
		&& add_unread(scan, index) < 0)
		return -1;
	scan->added = memory_resize(NULL, scan->entry_count * sizeof(*scan->added));
	for (i = 0; i < scan->entry_count; i++) {
		struct scan_entry *entry = &scan->entries[i];

		if (!give_unique_id(scan, index, i, cur, new))
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
