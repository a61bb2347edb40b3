/* Slow and obvious versions, to compare with. */
#ifndef SLOW_H
#define SLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A message on the wire, and the line that ends it; `out` has room for 2 * length + 5.
 * `*octets` is what a scan listing says: the same without stuffed dots and the last line. */
static inline size_t slow_stuff(
	const char *in, size_t length, char *out, uint64_t *octets)
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
static inline size_t slow_top(const char *in, size_t length, uint64_t lines)
{
	size_t i, start = 0;
	bool body = false;

	for (i = 0; i < length; i++) {
		if (in[i] != '\n')
			continue;
		if (body)
			lines--;
		else if (i == start || (i == start + 1 && in[start] == '\r'))
			body = true;
		if (body && lines == 0)
			return i + 1;
		start = i + 1;
	}
	return length;
}

/* The next line, of 12290 octets at most (RFC 5034 s.4) and without a NUL: `line` has it without its end, or a lone LF where it is a bad one.  Returns what it takes, or 0
 * where no line is complete. */
#define SLOW_LINE_MAX 12290

static inline size_t slow_line(
	const char *in, size_t length, char line[SLOW_LINE_MAX + 1])
{
	size_t i, n = 0;
	bool bad = false;

	for (i = 0; i < length; i++) {
		bad |= in[i] == '\0' || i >= SLOW_LINE_MAX;
		if (!bad)
			line[n++] = in[i];
		if (in[i] != '\n')
			continue;
		if (!bad && n >= 2 && line[n - 2] == '\r')
			n--;
		if (bad)
			strcpy(line, "\n");
		else
			line[n - 1] = '\0';
		return i + 1;
	}
	return 0;
}

static inline bool slow_is_bad(const char *line)
{
	return line[0] == '\n';
}

#endif
