/* See users_index_write.h.  Runs in pop3passwd. */
#include "users_index_write.h"
#include "memory.h"
#include "output.h"
#include "users.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* So many times the table is made larger for names that crowd. */
#define TRIES 4

int users_index_start(struct users_index_maker *maker)
{
	struct users_index_header *h = &maker->header;

	memset(maker, 0, sizeof(*maker));
	memcpy(h->magic, USERS_INDEX_MAGIC, sizeof(h->magic));
	h->byte_order = USERS_INDEX_BYTE_ORDER;
	h->version = USERS_INDEX_VERSION;
	h->seed = h->stand_in = USERS_INDEX_NONE;
	users_summary_start(&h->summary);
	return getrandom(h->key, sizeof(h->key), 0) == sizeof(h->key) ? 0 : -1;
}

void users_index_add(
	struct users_index_maker *maker, char *line, unsigned number, uint64_t offset)
{
	struct users_index_entry *entry;
	struct users_line parts;

	if (maker->header.seed == USERS_INDEX_NONE && users_line_seeds(line, number))
		maker->header.seed = offset;
	if (!users_line(line, &parts))
		return;
	users_summary_add(&maker->header.summary, line);
	if (parts.hash && maker->header.stand_in == USERS_INDEX_NONE)
		maker->header.stand_in = offset;
	maker->entries = memory_grow(
		maker->entries, maker->count, &maker->room, sizeof(*maker->entries));
	entry = &maker->entries[maker->count++];
	entry->hash
		= users_index_hash(&maker->header, line, parts.name_length, &entry->more);
	entry->line = number;
	entry->offset = offset;
}

/* Returns how far from its home the entry came, or -1: too far. */
static int place(struct users_index_maker *maker, size_t number)
{
	const struct users_index_entry *entry = &maker->entries[number], *other;
	uint64_t home = entry->hash % maker->header.slots;
	int i;

	for (i = 0; i <= USERS_INDEX_REACH_MAX; i++) {
		uint32_t *slot = &maker->table[home + (uint64_t)i];

		if (*slot == 0) {
			*slot = (uint32_t)number + 1;
			maker->header.users++;
			return i;
		}
		other = &maker->entries[*slot - 1];
		/* The first line of a name counts. */
		if (other->hash == entry->hash && other->more == entry->more)
			return i;
	}
	return -1;
}

static bool make_table(struct users_index_maker *maker)
{
	size_t i, all = (size_t)maker->header.slots + USERS_INDEX_REACH_MAX;

	free(maker->table);
	maker->table = calloc(all, sizeof(*maker->table));
	if (!maker->table)
		return false;
	maker->header.users = maker->header.reach = 0;
	for (i = 0; i < maker->count; i++) {
		int reached = place(maker, i);

		if (reached < 0)
			return false;
		if ((uint32_t)reached > maker->header.reach)
			maker->header.reach = (uint32_t)reached;
	}
	return true;
}

static void put_slots(struct users_index_maker *maker, struct output *output)
{
	uint64_t i, all = maker->header.slots + maker->header.reach;

	for (i = 0; i < all; i++) {
		struct users_index_slot slot = {0};

		if (maker->table[i] != 0) {
			const struct users_index_entry *entry
				= &maker->entries[maker->table[i] - 1];

			slot.offset = entry->offset;
			slot.line = entry->line;
			slot.hash = (uint32_t)(entry->hash >> 32);
		}
		slot.check = users_index_check_slot(&maker->header, &slot, i);
		output_put(output, &slot, sizeof(slot));
	}
}

int users_index_write(struct users_index_maker *maker, const struct stat *status, int fd)
{
	static struct output output;
	int tries = 0;

	/* A table that is half full at most: few names are far from home. */
	maker->header.slots = 2 * (uint64_t)maker->count + 1;
	while (!make_table(maker)) {
		if (++tries == TRIES) {
			errno = ENOMEM;
			return -1;
		}
		maker->header.slots *= 2;
	}
	maker->header.stamp = users_index_stamp(status);
	maker->header.check = users_index_check_header(&maker->header);
	output_start(&output, fd);
	output_put(&output, &maker->header, sizeof(maker->header));
	put_slots(maker, &output);
	return output_end(&output);
}

void users_index_forget(struct users_index_maker *maker)
{
	free(maker->entries);
	free(maker->table);
	explicit_bzero(maker, sizeof(*maker));
}
