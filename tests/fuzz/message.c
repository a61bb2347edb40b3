/* Messages on their way to the wire: the lines that TOP is asked for, how the message comes
 * in blocks (a number, so many octets), and the message.  Counting, stuffing and TOP are
 * compared with slow versions. */
#include "fuzz.h"
#include "message.h"
#include "slow.h"

#include <stdlib.h>

struct made {
	struct message_stuffing stuffing;
	struct message_count count;
	struct message_top top;
	char *out;
	size_t length, top_length;
};

/* Each block is in memory of its own, and so is what becomes of it: nothing may be read or
 * written beside them. */
static void add_block(struct made *made, const char *data, size_t length)
{
	char *block = malloc(length), *out = malloc(2 * length);
	size_t got;

	memcpy(block, data, length);
	got = message_stuff(&made->stuffing, block, length, out);
	MUST(got <= 2 * length);
	memcpy(made->out + made->length, out, got);
	made->length += got;
	message_count(&made->count, block, length);
	if (!made->top.done) {
		got = message_top(&made->top, block, length);
		MUST(got <= length && (got == length || made->top.done));
		made->top_length += got;
	}
	free(block);
	free(out);
}

static void compare(struct made *made, const char *all, size_t length, uint64_t lines)
{
	char *want = malloc(2 * length + 5);
	uint64_t octets;
	size_t want_length = slow_stuff(all, length, want, &octets);

	MUST(made->length == want_length && memcmp(made->out, want, want_length) == 0);
	MUST(message_octets(&made->count) == octets);
	MUST(made->length - made->stuffing.dots - 3 == octets);
	MUST(made->top_length == slow_top(all, length, lines));
	free(want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	uint64_t lines = input_octet(&input);
	struct pieces pieces = input_pieces(&input);
	struct made made = {.stuffing = MESSAGE_STUFFING_START,
		.count = MESSAGE_START,
		.top = {.lines = lines}};
	const char *all = (const char *)input.at;
	size_t length, at, block;

	length = input.left;
	made.out = malloc(2 * length + MESSAGE_END_MAX);
	for (at = 0; at < length; at += block) {
		pieces_next(&pieces, length - at, &block);
		add_block(&made, all + at, block);
	}
	made.length += message_end(&made.stuffing, made.out + made.length);
	compare(&made, all, length, lines);
	free(made.out);
	return 0;
}
