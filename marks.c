/* Room for marks: see marks.h.  Runs in both processes. */
#include "marks.h"

#include <string.h>
#include <sys/mman.h>

size_t marks_size(uint64_t count)
{
	return (size_t)(count / 8 + 1);
}

unsigned char *marks_new(size_t size)
{
	void *marks = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return marks == MAP_FAILED ? NULL : marks;
}

void marks_clear(unsigned char *marks, size_t size)
{
	/* Linux: such pages are zeroes when they are looked at next. */
	if (madvise(marks, size, MADV_DONTNEED) < 0)
		memset(marks, 0, size);
}
