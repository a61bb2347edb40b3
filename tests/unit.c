/* message.c against a slow and obvious version, over random blocks.  A socket does reach all
 * of this, but not each split of it into blocks.  Prints one line and ends with 0 or 1. */
#include "message.h"
#include "fuzz/slow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 64

static unsigned seed;

static unsigned next(unsigned below)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 8) % below;
}

static int differs(const char *in, size_t length)
{
	char want[4 * MOST], got[4 * MOST];
	struct message_stuffing stuffing = MESSAGE_STUFFING_START;
	struct message_count count = MESSAGE_START;
	uint64_t octets, lines = next(4);
	struct message_top top = {.lines = lines};
	size_t at = 0, n = 0, top_at = 0, want_length;

	while (at < length) {
		size_t block = 1 + next(7), made;

		if (block > length - at)
			block = length - at;
		made = message_stuff(&stuffing, in + at, block, got + n);
		if (made > 2 * block)
			return 1;
		n += made;
		message_count(&count, in + at, block);
		if (!top.done)
			top_at += message_top(&top, in + at, block);
		at += block;
	}
	n += message_end(&stuffing, got + n);
	want_length = slow_stuff(in, length, want, &octets);
	return n != want_length || memcmp(got, want, n) != 0
		|| message_octets(&count) != octets || n - stuffing.dots - 3 != octets
		|| top_at != slow_top(in, length, lines);
}

int main(void)
{
	static const char alphabet[] = "\n\n\n\r\r..x";
	char in[MOST];
	unsigned round;

	for (round = 0; round < 2000000; round++) {
		size_t i, length = next(MOST / 2);

		seed = round;
		for (i = 0; i < length; i++)
			in[i] = alphabet[next(sizeof(alphabet) - 1)];
		if (differs(in, length)) {
			printf("round %u differs\n", round);
			return 1;
		}
	}
	printf("%u rounds agree\n", round);
	return 0;
}
