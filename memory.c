/* See memory.h.  Runs in all processes. */
#include "memory.h"
#include "log.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

#define STACK_IN_USE 1024    /* octets below this frame that are left alone */
#define STACK_USED (1 << 20) /* and how far down there may be more */

void memory_drop(void *from, size_t length)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t start = ((uintptr_t)from + page - 1) / page * page;
	uintptr_t end = ((uintptr_t)from + length) / page * page;

	if (start < end)
		madvise((void *)start, end - start, MADV_DONTNEED);
}

__attribute__((noinline)) void memory_rest(void)
{
	char *here = __builtin_frame_address(0);

#ifdef __GLIBC__
	malloc_trim(0);
#endif
	/* What the stack has not grown to is not there, which is no harm. */
	memory_drop(here - STACK_USED, STACK_USED - STACK_IN_USE);
}
