/* Who in a scan has a given base: a hash table.  Runs in the monitor, as the user. */
#include "hash.h"
#include "memory.h"
#include "scan_own.h"

#include <errno.h>
#include <string.h>

static bool same_base(const char *a, const char *b)
{
	size_t length = name_base_length(a);

	return name_base_length(b) == length && memcmp(a, b, length) == 0;
}

const char *scan_name(const struct scan *scan, uint32_t who)
{
	if (who < scan->known_count)
		return scan->names + scan->known[who].name;
	return scan->names + scan->entries[who - scan->known_count].name;
}

size_t scan_slot(const struct scan *scan, const char *name)
{
	uint64_t mixed = hash(HASH_START, name, name_base_length(name));

	return (size_t)(mixed ^ mixed >> 32) & (scan->table_size - 1);
}

void scan_table_add(struct scan *scan, uint32_t who)
{
	size_t slot = scan_slot(scan, scan_name(scan, who));

	while (scan->table[slot] != SCAN_NOBODY)
		slot = (slot + 1) & (scan->table_size - 1);
	scan->table[slot] = who;
}

uint32_t scan_table_next(const struct scan *scan, const char *name, size_t *slot)
{
	uint32_t who;

	while ((who = scan->table[*slot]) != SCAN_NOBODY) {
		*slot = (*slot + 1) & (scan->table_size - 1);
		if (same_base(scan_name(scan, who), name))
			return who;
	}
	return SCAN_NOBODY;
}

int scan_table_make(struct scan *scan)
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
		scan_table_add(scan, who);
	return 0;
}
