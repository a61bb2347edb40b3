/* Text files line by line, without stdio: one fixed buffer, which may hold secrets
 * and is wiped at the end. */
#ifndef LINES_H
#define LINES_H

#include <stddef.h>
#include <stdint.h>

#define LINES_MAX 4096 /* octets in a line, its end included */

struct lines {
	int fd;
	unsigned number;          /* of the line that lines_next() returned, from 1 */
	uint64_t offset;          /* of that line in the file */
	const char *bad;          /* why that line can't be used, or NULL */
	int error;                /* errno of a read that failed, or 0 */
	uint64_t base;            /* of the buffer in the file */
	size_t start, end, dirty; /* of the buffer; how much of it has been used */
	char buffer[4 * LINES_MAX];
};

/* Returns 0, or -1 with errno. */
int lines_open(struct lines *lines, const char *path);

/* The next line without its end, to be changed at will until the next call; NULL at
 * the end of the file or when it can't be read (`error`).  A line too long or with a
 * NUL in it is returned cut, with `bad` set. */
char *lines_next(struct lines *lines);

void lines_close(struct lines *lines);

#endif
