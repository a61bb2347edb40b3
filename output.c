/* See output.h.  Runs in pop3passwd. */
#include "output.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void output_start(struct output *output, int fd)
{
	output->fd = fd;
	output->error = 0;
	output->at = 0;
	output->used = 0;
}

static void flush(struct output *output)
{
	size_t done = 0;

	while (!output->error && done < output->used) {
		ssize_t n = write(output->fd, output->buffer + done, output->used - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			output->error = errno;
	}
	output->used = 0;
}

void output_put(struct output *output, const void *data, size_t length)
{
	const char *from = data;

	output->at += length;
	while (length > 0) {
		size_t room = sizeof(output->buffer) - output->used;
		size_t piece = length < room ? length : room;

		memcpy(output->buffer + output->used, from, piece);
		output->used += piece;
		from += piece;
		length -= piece;
		if (output->used == sizeof(output->buffer))
			flush(output);
	}
}

int output_end(struct output *output)
{
	flush(output);
	explicit_bzero(output->buffer, sizeof(output->buffer));
	errno = output->error;
	return output->error ? -1 : 0;
}
