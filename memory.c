/* See memory.h.  Runs in the listener and the monitor. */
#include "memory.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>

void *memory_resize(void *old, size_t size)
{
	void *memory = realloc(old, size);

	if (!memory)
		log_fatal("out of memory");
	return memory;
}

char *memory_copy(const char *text)
{
	size_t size = strlen(text) + 1;

	return memcpy(memory_resize(NULL, size), text, size);
}

void *memory_grow(void *array, size_t count, size_t *room, size_t item_size)
{
	if (count < *room)
		return array;
	*room = *room ? 2 * *room : 64;
	return memory_resize(array, *room * item_size);
}
