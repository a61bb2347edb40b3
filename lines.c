/* The lines of a text file: pop3d.conf and the users file.  Runs before the processes
 * part, and in the monitor. */
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int lines_open(struct lines *lines, const char *path)
{
	lines->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	lines->number = 0;
	lines->offset = lines->base = 0;
	lines->bad = NULL;
	lines->error = 0;
	lines->start = lines->end = lines->dirty = 0;
	return lines->fd < 0 ? -1 : 0;
}

/* Makes room and reads on; 0 at the end of the file or on an error. */
static int fill(struct lines *lines)
{
	ssize_t got;

	memmove(lines->buffer, lines->buffer + lines->start, lines->end - lines->start);
	lines->end -= lines->start;
	lines->base += lines->start;
	lines->start = 0;
	do
		got = read(lines->fd, lines->buffer + lines->end,
			sizeof(lines->buffer) - 1 - lines->end);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		lines->error = errno;
	if (got <= 0)
		return 0;
	lines->end += (size_t)got;
	if (lines->end > lines->dirty)
		lines->dirty = lines->end;
	return 1;
}

/* Finds the end of the line at `start`, reading on as needed.  NULL: the file ends
 * first, or the line is longer than the buffer. */
static char *find_end(struct lines *lines)
{
	size_t searched = 0;

	for (;;) {
		char *from = lines->buffer + lines->start + searched;
		char *lf = memchr(from, '\n', lines->end - lines->start - searched);

		if (lf)
			return lf;
		searched = lines->end - lines->start;
		if (searched >= LINES_MAX || !fill(lines))
			return NULL;
	}
}

/* The rest of a line too long goes unread. */
static void skip_line(struct lines *lines)
{
	char *lf;

	do {
		lf = memchr(
			lines->buffer + lines->start, '\n', lines->end - lines->start);
		lines->start = lf ? (size_t)(lf - lines->buffer) + 1 : lines->end;
	} while (!lf && fill(lines));
}

char *lines_next(struct lines *lines)
{
	char *lf = find_end(lines);
	char *line = lines->buffer + lines->start;
	size_t length = (size_t)((lf ? lf : lines->buffer + lines->end) - line);

	if (!lf && length == 0)
		return NULL;
	lines->number++;
	lines->offset = lines->base + lines->start;
	lines->bad = NULL;
	if (length >= LINES_MAX) {
		lines->bad = "the line is too long";
		lines->start += LINES_MAX - 1;
		if (lf)
			lines->start = (size_t)(lf - lines->buffer) + 1;
		else
			skip_line(lines);
		/* skip_line() may have moved or overwritten it. */
		lines->buffer[0] = '\0';
		return lines->buffer;
	}
	lines->start += length + (lf ? 1 : 0);
	line[length] = '\0';
	if (memchr(line, '\0', length))
		lines->bad = "the line holds a NUL octet";
	if (length > 0 && line[length - 1] == '\r')
		lines->bad = "the line ends in CR LF";
	return line;
}

void lines_close(struct lines *lines)
{
	close(lines->fd);
	explicit_bzero(lines->buffer, lines->dirty);
}
