/* Unique-ids of new messages (RFC 1939 s.7, UIDL).  Runs in the monitor, as the user. */
#include "memory.h"
#include "scan_own.h"

#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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
	const char *name = scan_name(scan, who);
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

/* Who has a unique-id, of all with the base of `name`; or SCAN_NOBODY. */
static uint32_t holder(const struct scan *scan, struct index *index, const char *name,
	const char *unique_id)
{
	size_t slot = scan_slot(scan, name);
	uint32_t who;

	while ((who = scan_table_next(scan, name, &slot)) != SCAN_NOBODY) {
		char other[UNIQUE_ID_MAX + 1];

		unique_id_of(scan, index, who, other);
		if (strcmp(other, unique_id) == 0)
			break;
	}
	return who;
}

static unsigned count_base(const struct scan *scan, const char *name)
{
	size_t slot = scan_slot(scan, name);
	unsigned count = 0;

	while (scan_table_next(scan, name, &slot) != SCAN_NOBODY)
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
	return fstatat(in_new ? new : cur, scan_name(scan, who), &status,
		       AT_SYMLINK_NOFOLLOW)
		< 0
		&& errno == ENOENT;
}

/* The base where it can be one and nobody has it, else a hash.  False, with errno: none can
 * be given. */
bool scan_unique_id(
	struct scan *scan, struct index *index, uint32_t number, int cur, int new)
{
	struct scan_entry *entry = &scan->entries[number];
	const char *name = scan->names + entry->name;
	size_t length = name_base_length(name);
	char unique_id[UNIQUE_ID_MAX + 1] = "";
	uint32_t who = SCAN_NOBODY;

	if (index_is_unique_id(name, length)) {
		memcpy(unique_id, name, length);
		unique_id[length] = '\0';
		who = holder(scan, index, name, unique_id);
	}
	if (who != SCAN_NOBODY && has_gone(scan, who, cur, new)) {
		errno = EAGAIN;
		return false;
	}
	if (unique_id[0] == '\0' || who != SCAN_NOBODY) {
		unsigned copy = count_base(scan, name);

		do
			hash_base(name, copy++, unique_id);
		while (holder(scan, index, name, unique_id) != SCAN_NOBODY);
		entry->unique_id = memory_copy(unique_id);
	}
	scan_table_add(scan, (uint32_t)scan->known_count + number);
	return true;
}
