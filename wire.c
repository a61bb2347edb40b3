/* Lines in, octets out, and the time that both may take.  RFC 1939 section 3, RFC 2449
 * sections 4 and 6.6.  Runs in the session. */
#include "wire.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Replies go out when they are complete, not when the last ones have been acknowledged. */
static bool is_socket(int fd)
{
	struct stat status;

	if (fstat(fd, &status) < 0 || !S_ISSOCK(status.st_mode))
		return false;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	return true;
}

void wire_start(struct wire *wire, int in, int out, int watch, int64_t milliseconds)
{
	wire->in = in;
	wire->out = out;
	wire->watch = watch;
	wire->out_is_socket = is_socket(out);
	wire->state = WIRE_OPEN;
	wire->deadline = now() + milliseconds;
	wire->idle = 0;
	wire->swallowing = false;
	wire->start = wire->end = wire->used = 0;
}

void wire_set_idle(struct wire *wire, int64_t milliseconds)
{
	wire->idle = milliseconds;
}

static void give_more_time(struct wire *wire)
{
	if (wire->idle > 0)
		wire->deadline = now() + wire->idle;
}

/* Waits until `fd` is ready; false, and the state says why, where it won't be. */
static bool wait_for(struct wire *wire, int fd, short events, enum wire_state late)
{
	struct pollfd fds[2] = {{.fd = fd, .events = events}, {.fd = wire->watch}};

	for (;;) {
		int64_t left = wire->deadline - now();
		int ready;

		if (left <= 0) {
			wire->state = late;
			return false;
		}
		ready = poll(fds, 2, left > INT_MAX ? INT_MAX : (int)left);
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready > 0 && (fds[1].revents & (POLLHUP | POLLERR | POLLNVAL))) {
			wire->state = WIRE_ORPHAN;
			return false;
		}
		if (ready != 0)
			return true;
	}
}

/* Never blocks: a socket is told so, and a pipe that poll(2) calls writable has room for
 * PIPE_BUF octets. */
static ssize_t put(const struct wire *wire, const char *data, size_t length)
{
	if (wire->out_is_socket)
		return send(wire->out, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	return write(wire->out, data, length > PIPE_BUF ? PIPE_BUF : length);
}

bool wire_flush(struct wire *wire)
{
	size_t sent = 0;

	/* A client that has closed its side may still be reading. */
	if (wire->state != WIRE_OPEN && wire->state != WIRE_CLOSED)
		return false;
	if (wire->used > 0)
		give_more_time(wire);
	while (sent < wire->used) {
		ssize_t got;

		if (!wire->out_is_socket
			&& !wait_for(wire, wire->out, POLLOUT, WIRE_STALLED))
			return false;
		got = put(wire, wire->output + sent, wire->used - sent);
		if (got > 0) {
			sent += (size_t)got;
			give_more_time(wire);
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			if (!wait_for(wire, wire->out, POLLOUT, WIRE_STALLED))
				return false;
		} else if (errno != EINTR) {
			wire->state = WIRE_BROKEN;
			return false;
		}
	}
	wire->used = 0;
	return true;
}

char *wire_room(struct wire *wire, size_t length)
{
	if (length > sizeof(wire->output) - wire->used && !wire_flush(wire))
		return NULL;
	return wire->output + wire->used;
}

void wire_wrote(struct wire *wire, size_t length)
{
	wire->used += length;
}

void wire_write(struct wire *wire, const char *data, size_t length)
{
	while (length > 0) {
		size_t part = length > WIRE_OUTPUT ? WIRE_OUTPUT : length;
		char *room = wire_room(wire, part);

		if (!room)
			return;
		memcpy(room, data, part);
		wire_wrote(wire, part);
		data += part;
		length -= part;
	}
}

void wire_string(struct wire *wire, const char *text)
{
	wire_write(wire, text, strlen(text));
}

void wire_number(struct wire *wire, uint64_t number)
{
	char digits[20], *first = digits + sizeof(digits);

	do
		*--first = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	wire_write(wire, first, (size_t)(digits + sizeof(digits) - first));
}

void wire_forget(struct wire *wire)
{
	explicit_bzero(wire->input, wire->start);
	explicit_bzero(wire->input + wire->end, sizeof(wire->input) - wire->end);
}

/* Reads on.  The time for a command begins when the server starts to wait for it: single
 * octets now and then do not prolong it. */
static bool fill(struct wire *wire)
{
	ssize_t got;

	if (wire->start > 0) {
		memmove(wire->input, wire->input + wire->start, wire->end - wire->start);
		wire->end -= wire->start;
		wire->start = 0;
	}
	do {
		if (!wait_for(wire, wire->in, POLLIN, WIRE_TIMEOUT))
			return false;
		got = read(wire->in, wire->input + wire->end,
			sizeof(wire->input) - wire->end);
	} while (got < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK));
	if (got <= 0) {
		wire->state = WIRE_CLOSED;
		return false;
	}
	wire->end += (size_t)got;
	return true;
}

/* Hands out what stands in the buffer up to its LF. */
static enum wire_line take_line(struct wire *wire, char *lf, char **line)
{
	char *first = wire->input + wire->start;
	size_t length = (size_t)(lf - first) + 1;
	bool bad = wire->swallowing || length > WIRE_LINE_MAX
		|| memchr(first, '\0', length);

	wire->start += length;
	wire->swallowing = false;
	if (bad)
		return WIRE_BAD_LINE;
	if (lf > first && lf[-1] == '\r')
		lf--;
	*lf = '\0';
	*line = first;
	return WIRE_LINE;
}

enum wire_line wire_read_line(struct wire *wire, char **line)
{
	size_t searched = 0;
	bool waiting = false;

	for (;;) {
		char *first = wire->input + wire->start;
		size_t there = wire->end - wire->start;
		char *lf = memchr(first + searched, '\n', there - searched);

		if (lf)
			return take_line(wire, lf, line);
		searched = there;
		if (there >= WIRE_LINE_MAX || wire->swallowing) {
			wire->swallowing = true;
			wire->start = wire->end = searched = 0;
		}
		if (!waiting) {
			if (!wire_flush(wire))
				return WIRE_NO_LINE;
			give_more_time(wire);
			waiting = true;
		}
		if (!fill(wire))
			return WIRE_NO_LINE;
	}
}
