/* Making a users file's index: users_index.h.  In pop3passwd alone. */
#ifndef USERS_INDEX_WRITE_H
#define USERS_INDEX_WRITE_H

#include "users_index.h"

/* What is known of a line until all of them are. */
struct users_index_entry {
	uint64_t hash, more; /* 128 bits tell names apart */
	uint64_t offset;
	uint32_t line;
};

struct users_index_maker {
	struct users_index_header header;
	struct users_index_entry *entries;
	size_t count, room;
	uint32_t *table; /* 1 + number of the entry; 0: empty */
};

/* Returns 0, or -1 where the system has no random numbers.  users_index_forget() is due. */
int users_index_start(struct users_index_maker *maker);

/* Takes in a line of the users file, which is not `bad`; comments too.  `line` is unchanged at the end. */
void users_index_add(
	struct users_index_maker *maker, char *line, unsigned number, uint64_t offset);

/* Writes the index of a file with this status to `fd`, which is empty.  Returns 0, or -1 with
 * errno. */
int users_index_write(struct users_index_maker *maker, const struct stat *status, int fd);

void users_index_forget(struct users_index_maker *maker);

#endif
