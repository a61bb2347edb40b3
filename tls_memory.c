/* OpenSSL's memory.  What it frees is wiped, so that no part of a key stays behind in the session.
 *
 * What a listener's OpenSSL has is shared by the processes that are forked from it, a page for as long as nobody
 * writes to it.  A connection writes to little: reference counts, locks, generators of random numbers.  Among all
 * that is only read, that would be half of the pages; so it has areas of its own.  And what is freed
 * before the fork is not given out after it. */
#include "tls_server.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Objects have multiples of UNIT octets, of which the first hold the length, as malloc(3) has it. */
#define UNIT 16
#define LARGEST 16384

/* What has been freed begins with what was before. */
struct freed {
	struct freed *before;
};

static struct area {
	size_t size;
	char *start, *next;                  /* NULL: not there yet */
	struct freed *freed[LARGEST / UNIT]; /* by units: the last */
} read_only = {.size = 1 << 20}, written = {.size = 256 << 10};

static bool sharing;

/* OpenSSL's sources that ask for what connections write to.  What is wrong here, or another in later versions,
 * costs memory and nothing else: bench/README.md says how much is used. */
static const char *const writers[] = {
	"cipher_aes.c",
	"digest.c",
	"drbg.c",
	"drbg_ctr.c",
	"err.c",
	"err_blocks.c",
	"evp_enc.c",
	"exchange.c",
	"kdf_meth.c",
	"keymgmt_meth.c",
	"mac_meth.c",
	"p_lib.c",
	"provider_core.c",
	"ssl_cert.c",
	"ssl_lib.c",
	"tasn_new.c",
	"threads_pthread.c",
};

static bool is_writer(const char *file)
{
	const char *name = file ? strrchr(file, '/') : NULL;
	size_t i;

	for (i = 0; name && i < sizeof(writers) / sizeof(writers[0]); i++) {
		if (strcmp(name + 1, writers[i]) == 0)
			return true;
	}
	return false;
}

static bool is_in(const struct area *area, const char *memory)
{
	return area->start && memory >= area->start && memory < area->start + area->size;
}

static struct area *area_of(const char *memory)
{
	if (is_in(&written, memory))
		return &written;
	return is_in(&read_only, memory) ? &read_only : NULL;
}

static size_t *length_of(void *memory)
{
	return (size_t *)memory - 1;
}

/* NULL: there is no room for more. */
static void *take(struct area *area, size_t length)
{
	size_t units = (length + sizeof(size_t) + UNIT - 1) / UNIT;
	struct freed *freed;
	char *memory;

	if (length > LARGEST - 2 * UNIT)
		return NULL;
	freed = area->freed[units];
	if (freed) {
		area->freed[units] = freed->before;
		return freed;
	}
	if (!area->start) {
		void *start = mmap(NULL, area->size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (start == MAP_FAILED)
			return NULL;
		area->start = start;
		area->next = area->start + UNIT;
	}
	if (units * UNIT > (size_t)(area->start + area->size - area->next))
		return NULL;
	memory = area->next;
	area->next += units * UNIT;
	*length_of(memory) = units * UNIT - sizeof(size_t);
	return memory;
}

static size_t length_usable(void *memory)
{
	return area_of(memory) ? *length_of(memory) : malloc_usable_size(memory);
}

static void *get(size_t length, const char *file, int line)
{
	void *memory
		= sharing ? take(is_writer(file) ? &written : &read_only, length) : NULL;

	(void)line;
	return memory ? memory : malloc(length);
}

static void give(void *memory, const char *file, int line)
{
	struct area *area;

	(void)file, (void)line;
	if (!memory)
		return;
	explicit_bzero(memory, length_usable(memory));
	area = area_of(memory);
	if (area) {
		size_t units = (*length_of(memory) + sizeof(size_t)) / UNIT;

		((struct freed *)memory)->before = area->freed[units];
		area->freed[units] = memory;
	} else {
		free(memory);
	}
}

static void *resize(void *old, size_t length, const char *file, int line)
{
	size_t had = old ? length_usable(old) : 0;
	void *memory;

	if (had >= length && length > 0)
		return old;
	memory = length > 0 ? get(length, file, line) : NULL;
	if (memory && old)
		memcpy(memory, old, had);
	if (memory || length == 0)
		give(old, file, line);
	return memory;
}

bool memory_start(void)
{
	static bool ours;

	if (!ours)
		ours = CRYPTO_set_mem_functions(get, resize, give);
	return ours;
}

void memory_share(bool share)
{
	sharing = share;
}
