/* Writing pop3d.index: see index.h for its shape.  Monitor only.
 *
 * Changes go into the file in place where they can: names are added at its end, then
 * the records that point at them, then the header, each with a single write, so that a
 * process killed anywhere leaves a file that is right or is seen not to be.  What can't
 * be done in place makes a new file, which then takes the old one's place. */
#ifndef INDEX_WRITE_H
#define INDEX_WRITE_H

#include "index.h"

#define INDEX_FILE "pop3d.index"

enum index_change_kind {
	INDEX_GONE, /* no longer in the maildrop */
	INDEX_RENAMED /* `name` and `in_new` are new; its unique-id stays */,
	INDEX_RESIZED /* `octets` and `size` are new */
};

struct index_change {
	uint64_t number;
	enum index_change_kind kind;
	const char *name;
	bool in_new;
	uint64_t octets, size;
	uint64_t name_at; /* index_write.c's own */
};

/* A message to be added at the end. */
struct index_message {
	const char *name;
	const char *unique_id; /* NULL: the name up to its first colon */
	bool in_new;
	uint64_t octets, size;
};

struct index_update {
	struct index_change *changes; /* in the order of their numbers */
	size_t change_count;
	const struct index_message *added;
	size_t added_count;
	struct stamp cur, new;
};

/* Opens pop3d.index in the Maildir `dir` and verifies it where it has to be.  `*settled`
 * is false where the directories must be read again whatever the header says.  Returns
 * 0, or -1 where there is no index to be used: `index` is then empty. */
int index_load(struct index *index, int dir, bool *settled);

/* Brings the index up to date, in the file or, where that fails, in memory.  `dir` is -1
 * where there is no Maildir.  Returns 0, or -1 with errno. */
int index_update(struct index *index, int dir, struct index_update *update);

/* The same for an index that a session is reading: only renamed or resized messages.  Returns 0, or -1 with errno. */
int index_amend(struct index *index, struct index_update *update);

/* A descriptor that can only be read, for the session; -1 with errno. */
int index_reader(const struct index *index, int dir);

/* This start of the system, as the kernel names it; empty where it can't be known.
 * Read once a process, and by the listener for all its children. */
const char *index_boot(void);

#endif
