/* FNV-1a, 64 bits: to find names in a table, and to notice what a crash has torn.  Nothing
 * that has to withstand someone who means harm. */
#ifndef HASH_H
#define HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_START 0xcbf29ce484222325u

static inline uint64_t hash(uint64_t so_far, const void *data, size_t length)
{
	const unsigned char *p = data;

	while (length-- > 0)
		so_far = (so_far ^ *p++) * 0x100000001b3u;
	return so_far;
}

#endif
