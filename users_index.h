/* FILE.index, beside a users file FILE: where each user's line is, so that a login need not read all
 * of them.  A header, then a table of slots:
 *
 *     header | slot 0 | slot 1 | ... | slot `slots` + `reach` - 1
 *
 * A name's home is slot `hash % slots`, and the name is there or in one of the `reach` slots behind;
 * where an empty slot comes first, it is not in the file.  Of two lines with the same name, the
 * first alone has a slot.  All numbers are in the byte order of the host that wrote them.
 *
 * Written by pop3passwd(8): users_index_write.h.  Read in the monitor, as root, which believes none of
 * it.  It is good for exactly the file whose stamp it has.  Each thing in it has a check value, an empty
 * slot too, so that what a disk or a crash has spoiled is not taken for an answer; and a
 * line counts only where it is the user's.  All else is USERS_INDEX_SENSELESS, and the file is
 * read as if there were no index. */
#ifndef USERS_INDEX_H
#define USERS_INDEX_H

#include "hash.h"
#include "lines.h"
#include "users.h"

#include <stdbool.h>
#include <sys/stat.h>

#define USERS_INDEX_SUFFIX ".index"
#define USERS_INDEX_MAGIC "pop3user"
#define USERS_INDEX_VERSION 1
#define USERS_INDEX_BYTE_ORDER 0x01020304u
#define USERS_INDEX_REACH_MAX 255
#define USERS_INDEX_NONE UINT64_MAX /* as an offset */

/* What tells one state of the users file from another.  (rename(2) changes the ctime.) */
struct users_index_stamp {
	uint64_t inode, size;
	int64_t seconds;
	uint64_t nanoseconds;
};

struct users_index_header {
	char magic[8];
	uint32_t byte_order, version;
	struct users_index_stamp stamp;
	/* Offsets of the line that false salts are made of, and of the first one with a hash; or
	 * USERS_INDEX_NONE. */
	uint64_t seed, stand_in;
	uint64_t users, slots;
	uint32_t reach, unused;
	struct users_summary summary; /* not ended */
	unsigned char key[16]; /* random: nobody can choose names that share a home */
	uint64_t check;
};

struct users_index_slot {
	uint64_t offset; /* of the line */
	uint32_t line;   /* its number, from 1; 0: the slot is empty */
	uint32_t hash;   /* the upper half of the name's */
	uint64_t check;  /* over the above, the number of the slot, and the key */
};

struct users_index {
	int fd, file; /* `file` is the caller's */
	struct users_index_header header;
};

enum users_index_state {
	USERS_INDEX_GOOD,
	USERS_INDEX_ABSENT,
	USERS_INDEX_UNREADABLE, /* errno */
	USERS_INDEX_FOREIGN,    /* others than the file's owner can write it */
	USERS_INDEX_DAMAGED,
	USERS_INDEX_STALE
};

/* What is wrong with it, or NULL. */
const char *users_index_wrong(enum users_index_state state);

/* Opens the index of the users file `file`, which is open as `fd`; USERS_INDEX_GOOD: to be closed. */
enum users_index_state users_index_open(
	struct users_index *index, const char *file, int fd);
void users_index_close(struct users_index *index);

enum users_index_found {
	USERS_INDEX_FOUND,
	USERS_INDEX_NOT_FOUND,
	USERS_INDEX_SENSELESS
};

/* The first line of a user, without its end, and its number.  Wipe it. */
enum users_index_found users_index_find(const struct users_index *index, const char *name,
	char line[LINES_MAX], unsigned *number);

/* The line at an offset of the header. */
enum users_index_found users_index_line(
	const struct users_index *index, uint64_t offset, char line[LINES_MAX]);

/* What the writer and the reader have in common. */
struct users_index_stamp users_index_stamp(const struct stat *status);
uint64_t users_index_hash(const struct users_index_header *header, const char *name,
	size_t length, uint64_t *more); /* 64 bits more; may be NULL */
uint64_t users_index_check_header(const struct users_index_header *header);
uint64_t users_index_check_slot(const struct users_index_header *header,
	const struct users_index_slot *slot, uint64_t number);

#endif
