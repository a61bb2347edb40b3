/* message.c against a slow and obvious version, over random blocks.  A socket does reach all
 * of this, but not each split of it into blocks.  Prints one line and ends with 0 or 1. */
#include "message.h"

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

/* An octet at a time. */
static size_t slow_stuff(const char *in, size_t length, char *out, uint64_t *octets)
{
	size_t i, n = 0;
	char last = '\n';

	*octets = 0;
	for (i = 0; i < length; i++) {
		if (last == '\n' && in[i] == '.')
			out[n++] = '.';
		if (in[i] == '\n' && last != '\r') {
			out[n++] = '\r';
			++*octets;
		}
		out[n++] = last = in[i];
		++*octets;
	}
	if (last != '\n') {
		memcpy(out + n, "\r\n", 2);
		n += 2;
		*octets += 2;
	}
	memcpy(out + n, ".\r\n", 3);
	return n + 3;
}

/* Where TOP ends: after the empty line and `lines` more. */
static size_t slow_top(const char *in, size_t length, uint64_t lines)
{
	size_t i, start = 0;
	int body = 0;

	for (i = 0; i < length; i++) {
		if (in[i] != '\n')
			continue;
		if (body)
			lines--;
		else if (i == start || (i == start + 1 && in[start] == '\r'))
			body = 1;
		if (body && lines == 0)
			return i + 1;
		start = i + 1;
	}
	return length;
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
