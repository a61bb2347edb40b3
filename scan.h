/* What new/ and cur/ hold, against what the index says: Maildir, and DESIGN's rules for
 * unique-ids and order.  Monitor only. */
#ifndef SCAN_H
#define SCAN_H

#include "index_write.h"

enum { SCAN_CUR = 1, SCAN_NEW = 2 };

/* How often it is tried to see directories that stand still. */
#define SCAN_TRIES 5

struct scan_entry;
struct scan_known;

/* Zeroed before use; scan_free() is due in any case. */
struct scan {
	/* For index_update() and index_amend(); the names are owned by the scan. */
	struct index_change *changes;
	size_t change_count;
	struct index_message *added;
	size_t added_count;

	/* Files that could not be read, and one of them with the reason. */
	unsigned unreadable;
	char example[INDEX_NAME_MAX + 1];
	int example_errno;
	/* Something was seen that the directories' times will not tell of again. */
	bool incomplete;
	/* The names changed whenever they were read: some may not have been seen. */
	bool unsteady;

	/* scan_own.h's */
	unsigned which;
	char *names;
	size_t names_used, names_room;
	struct scan_entry *entries;
	size_t entry_count, entry_room;
	struct scan_known *known;
	size_t known_count, known_room;
	uint32_t *table;
	size_t table_size;
};

/* Reads the directories in `which` and compares them with what the index says of those
 * same directories: fills in `changes`, messages that are gone or renamed, in the order
 * of their numbers.  Returns 0, or -1 with errno. */
int scan_compare(
	struct scan *scan, struct index *index, int cur, int new, unsigned which);

/* Looks into the files that the index does not have: fills in `added`, in the order of
 * delivery.  Returns 0, or -1 with errno: with EAGAIN where names have changed meanwhile
 * and both are due again. */
int scan_measure(struct scan *scan, struct index *index, int cur, int new);

/* Keeps errno. */
void scan_free(struct scan *scan);

/* Octets on the wire of an open message file of `size` octets.  What its `name` says of
 * them is not believed where that is NULL.  Returns 0, or -1 with errno. */
int scan_octets(int fd, uint64_t size, const char *name, uint64_t *octets);

#endif
