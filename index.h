/* The maildrop's index, the file pop3d.index: a header, a fixed-size record a message
 * in the order of the message numbers, and the names they point at.
 *
 *     0       the header
 *     256     capacity * sizeof(struct index_record); count of them are in use
 *     then    file names, each where its record says; what is replaced stays behind
 *
 * It is a cache in the machine's own byte order.  Everything read from it is checked
 * before it is used: whoever owns the Maildir can write there, and a crash can leave
 * anything.  Numbers are 0-based here.
 *
 * index.c reads (both processes), index_write.c writes (monitor only). */
#ifndef INDEX_H
#define INDEX_H

#include "name.h"
#include "stamp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INDEX_NAME_MAX 255 /* octets in a file name */
#define UNIQUE_ID_MAX 70   /* RFC 1939 s.7, UIDL */
#define INDEX_COUNT_MAX 0x7fffffffu

struct index_header {
	char magic[8];
	uint32_t byte_order, record_size;
	uint64_t count, capacity;
	uint64_t octets;         /* of all messages together */
	uint64_t wasted;         /* octets of names that no record points at any more */
	uint64_t first_new;      /* no message before this number is in new/ */
	struct name_time newest; /* no base in the index has a later time */
	/* The directories when they were read; STAMP_NONE: they have to be read again. */
	struct stamp cur, new;
	/* The file is trusted as it is where its mtime is `written` and the system has
	 * not been started anew since; else index_verify() looks at all of it. */
	struct stamp written;
	char boot[40];
	uint64_t check;
};

enum {
	INDEX_IN_NEW = 1,
	INDEX_HASHED = 2 /* the unique-id is not the start of the name but follows it */
};

struct index_record {
	uint64_t octets;        /* on the wire */
	uint64_t size;          /* of the file */
	uint64_t name_at;       /* offset in the index file */
	uint16_t name_length;   /* 1 to INDEX_NAME_MAX */
	uint16_t unique_length; /* 1 to UNIQUE_ID_MAX */
	uint16_t flags;
	uint16_t unused;
	uint64_t check; /* over the above, the name and the unique-id */
};

#define INDEX_MAGIC "pop3d\0\0\1"
#define INDEX_BYTE_ORDER 0x01020304u
#define INDEX_RECORDS_AT 256
#define INDEX_WINDOW 8192

/* Parts of the file that have been read: of the records, and of the names. */
enum { INDEX_OF_RECORDS, INDEX_OF_NAMES, INDEX_WINDOWS };
struct index_window {
	uint64_t at;
	size_t length;
};

struct index {
	char data[INDEX_WINDOWS][INDEX_WINDOW]; /* first: see session.h */
	struct index_window windows[INDEX_WINDOWS];
	int fd; /* -1: none */
	uint64_t size;
	struct index_header header;
	bool in_memory;      /* index_write.c: not the file, which can't be written */
	int in_memory_errno; /* and why */
};

/* What index_close() leaves: nothing is open.  (The data are touched only where they are used.) */
void index_none(struct index *index);

/* What has been read may have changed. */
void index_forget(struct index *index);

/* Looks at the file behind `fd`, which `index` then owns, and at its header.  Returns 0,
 * or -1 where it is no index; `fd` is closed then. */
int index_open(struct index *index, int fd);
void index_close(struct index *index);

/* Record `number`, checked against the bounds of the file, not against `check`.
 * Returns 0, or -1 where there is no such record or it makes no sense. */
int index_record(struct index *index, uint64_t number, struct index_record *record);

/* The name and, where it is hashed, the unique-id behind it, `*length` octets that are
 * good until the next call; NULL where the file does not have them. */
const char *index_names(
	struct index *index, const struct index_record *record, size_t *length);

/* The name as it was when the record was read, with a NUL; checked to be a plain file
 * name.  Returns 0 or -1. */
int index_name(struct index *index, const struct index_record *record,
	char name[INDEX_NAME_MAX + 1]);

/* RFC 1939 s.7: 1 to 70 octets in the range 0x21 to 0x7E. */
bool index_is_unique_id(const char *text, size_t length);

/* The unique-id, with a NUL; checked to be one.  Returns its length, or 0. */
size_t index_unique_id(struct index *index, const struct index_record *record,
	char unique_id[UNIQUE_ID_MAX + 1]);

/* What `check` has to be. */
uint64_t index_header_check(const struct index_header *header);
uint64_t index_record_check(
	const struct index_record *record, const char *names, size_t length);

/* Reads the whole file and compares every check.  Returns 0, or -1. */
int index_verify(struct index *index);

#endif
