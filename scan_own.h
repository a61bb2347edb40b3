/* What the sources of struct scan share: scan.c, scan_read.c, scan_table.c, scan_unique.c. */
#ifndef SCAN_OWN_H
#define SCAN_OWN_H

#include "scan.h"

#define SCAN_NOBODY UINT32_MAX

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

/* scan_table.c: finds whoever has a given base: known messages, then (from known_count on) entries.  Open
 * addressing; equal bases follow one another. */

/* The table with the known messages, and room for all.  Returns 0, or -1 with errno. */
int scan_table_make(struct scan *scan);
void scan_table_add(struct scan *scan, uint32_t who);

/* Where to begin for the base of `name`; the next one that has it, from `*slot` on, which is moved past it, or
 * SCAN_NOBODY. */
size_t scan_slot(const struct scan *scan, const char *name);
uint32_t scan_table_next(const struct scan *scan, const char *name, size_t *slot);

/* The name of someone in it. */
const char *scan_name(const struct scan *scan, uint32_t who);

/* scan_read.c: drops all entries but the new messages, reads those, and sorts them by delivery. */
void scan_read_new(struct scan *scan, int cur, int new);

/* scan_read.c: counts a file that is left out, for the log: errno says why. */
void scan_cannot_read(struct scan *scan, const char *name);

/* scan_unique.c: gives entry `number` its unique-id, and puts it into the table.  Returns false, with errno,
 * where none can be given. */
bool scan_unique_id(
	struct scan *scan, struct index *index, uint32_t number, int cur, int new);

#endif
