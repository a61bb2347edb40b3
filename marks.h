/* A bit a message: what a session has deleted or fetched.  Bit n % 8 of octet n / 8 is that
 * of message n.  Both processes hold such marks; they travel in requests (request.h). */
#ifndef MARKS_H
#define MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Octets that the marks of `count` messages take. */
size_t marks_size(uint64_t count);

/* Zeroes, which take memory only where they are written to; NULL where there is no room.
 * They last as long as the process. */
unsigned char *marks_new(size_t size);

/* All zeroes again, and their memory given back. */
void marks_clear(unsigned char *marks, size_t size);

static inline bool marks_has(const unsigned char *marks, uint64_t number)
{
	return marks[number / 8] >> (number % 8) & 1;
}

static inline void marks_set(unsigned char *marks, uint64_t number)
{
	marks[number / 8] |= (unsigned char)(1 << (number % 8));
}

#endif
