/* A message on its way to the wire: RFC 1939 sections 3 and 11.
 *
 * On disk a line may end in LF or in CR LF; on the wire every line ends in CR LF.
 * A bare LF becomes CR LF, a CR LF stays, a lone CR is an octet like any other, and
 * a message whose last line has no end is given one.  Everything here works on
 * blocks of any size, so lines and messages have no limit and NUL passes. */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Counting: how many octets a message takes in a scan listing, that is what
 * message_stuff() sends of it without the stuffed dots.  Start with MESSAGE_START,
 * feed all blocks in order, then ask for the total. */
struct message_count {
	uint64_t octets;
	char last; /* the octet before the next block; LF at the start */
};

#define MESSAGE_START \
	{ \
		0, '\n' \
	}

void message_count(struct message_count *count, const char *block, size_t length);
uint64_t message_octets(const struct message_count *count);

/* Sending.  Start with MESSAGE_STUFFING_START.  message_stuff() writes at most
 * 2 * length octets to `out` and returns how many; message_end() writes the line end that
 * is missing, if any, and the termination octet: at most MESSAGE_END_MAX octets.  What was
 * written in all, less `dots` and the three octets of the last line, is what
 * message_octets() gives. */
struct message_stuffing {
	uint64_t dots;
	char last;
};

#define MESSAGE_STUFFING_START \
	{ \
		0, '\n' \
	}
#define MESSAGE_END_MAX 5

size_t message_stuff(
	struct message_stuffing *stuffing, const char *block, size_t length, char *out);
size_t message_missing(
	const struct message_stuffing *stuffing); /* octets of that line end */
size_t message_end(const struct message_stuffing *stuffing, char *out);

/* TOP: how much of each block belongs to the header, the empty line after it and
 * the first `lines` lines of the body.  Less than `length` is returned once the end
 * is inside the block; `done` tells that no further block is wanted. */
struct message_top {
	uint64_t lines;
	enum { TOP_EMPTY, TOP_CR, TOP_TEXT } line; /* what this line holds so far */
	bool body;
	bool done;
};

size_t message_top(struct message_top *top, const char *block, size_t length);

#endif
