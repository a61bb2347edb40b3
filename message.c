/* What a message looks like on the wire: counting its octets, line ends, stuffed
 * dots, the part that TOP wants.  RFC 1939 sections 3, 7 (TOP) and 11.
 * Runs in both processes: the monitor counts, the session sends. */
#include "message.h"

#include <string.h>

/* LFs without a CR, in so many octets.  Without branches, with a length that is known and sums that are an
 * octet each, compilers make vector instructions of it: ten times as fast. */
#define STRIP 128
#define LANES 16

static unsigned count_strip(const char *text)
{
	uint8_t lanes[LANES] = {0};
	unsigned bare = 0;
	int i, lane;

	for (i = 0; i < STRIP; i += LANES) {
		for (lane = 0; lane < LANES; lane++)
			lanes[lane] += (text[i + lane] == '\n')
				& (text[i + lane - 1] != '\r');
	}
	for (lane = 0; lane < LANES; lane++)
		bare += lanes[lane];
	return bare;
}

void message_count(struct message_count *count, const char *block, size_t length)
{
	uint64_t bare;
	size_t i;

	if (length == 0)
		return;
	bare = block[0] == '\n' && count->last != '\r';
	for (i = 1; i + STRIP <= length; i += STRIP)
		bare += count_strip(block + i);
	for (; i < length; i++)
		bare += (block[i] == '\n') & (block[i - 1] != '\r');
	count->octets += length + bare;
	count->last = block[length - 1];
}

uint64_t message_octets(const struct message_count *count)
{
	return count->octets + (count->last == '\n' ? 0 : 2);
}

size_t message_stuff(
	struct message_stuffing *stuffing, const char *block, size_t length, char *out)
{
	const char *end = block + length;
	char *start = out;

	while (block < end) {
		const char *lf = memchr(block, '\n', (size_t)(end - block));
		size_t run = (size_t)((lf ? lf : end) - block);

		if (stuffing->last == '\n' && *block == '.') {
			*out++ = '.';
			stuffing->dots++;
		}
		if (run > 0) {
			memcpy(out, block, run);
			out += run;
			stuffing->last = block[run - 1];
		}
		if (!lf)
			break;
		if (stuffing->last != '\r')
			*out++ = '\r';
		*out++ = stuffing->last = '\n';
		block = lf + 1;
	}
	return (size_t)(out - start);
}

size_t message_missing(const struct message_stuffing *stuffing)
{
	return stuffing->last == '\n' ? 0 : 2;
}

size_t message_end(const struct message_stuffing *stuffing, char *out)
{
	static const char end[MESSAGE_END_MAX] = "\r\n.\r\n";
	size_t skip = 2 - message_missing(stuffing);

	memcpy(out, end + skip, sizeof(end) - skip);
	return sizeof(end) - skip;
}

/* One line, or what this block has of it, is complete at its LF. */
static void top_line_end(struct message_top *top)
{
	if (top->body)
		top->lines--;
	else if (top->line != TOP_TEXT)
		top->body = true;
	top->line = TOP_EMPTY;
	top->done = top->body && top->lines == 0;
}

size_t message_top(struct message_top *top, const char *block, size_t length)
{
	size_t at = 0;

	while (at < length && !top->done) {
		const char *lf = memchr(block + at, '\n', length - at);
		size_t run = (lf ? (size_t)(lf - block) : length) - at;

		if (run == 1 && block[at] == '\r' && top->line == TOP_EMPTY)
			top->line = TOP_CR;
		else if (run > 0)
			top->line = TOP_TEXT;
		at += run;
		if (!lf)
			break;
		at++;
		top_line_end(top);
	}
	return at;
}
