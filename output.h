/* A new file, written from its beginning to its end by way of a buffer, which may hold secrets. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct output {
	int fd;      /* the caller's */
	int error;   /* errno of the first write that failed, or 0 */
	uint64_t at; /* octets so far, those in the buffer included */
	size_t used;
	char buffer[65536];
};

void output_start(struct output *output, int fd);
void output_put(struct output *output, const void *data, size_t length);

/* Writes what is left, and wipes the buffer.  Returns 0, or -1 with errno: not all was written. */
int output_end(struct output *output);

#endif
