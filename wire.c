/* Lines in, octets out, and the time that both may take.  RFC 1939 section 3, RFC 2449
 * sections 4 and 6.6.  Runs in the session. */
#include "wire.h"
#include "memory.h"
#include "tls.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int64_t wire_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void wire_start(
	struct wire *wire, const struct wire_ends *ends, int watch, int64_t deadline)
{
	wire->ends = *ends;
	wire->watch = watch;
	wire->at_rest = NULL;
	wire->tls = NULL;
	wire->state = WIRE_OPEN;
	wire->deadline = deadline;
	wire->idle = 0;
	wire->swallowing = false;
	wire->start = wire->end = wire->dirty = wire->used = 0;
	wire->sent = 0;
}

void wire_set_idle(struct wire *wire, int64_t milliseconds)
{
	wire->idle = milliseconds;
}

static void give_more_time(struct wire *wire)
{
	if (wire->idle > 0)
		wire->deadline = wire_now() + wire->idle;
}

/* Nothing has happened for a while, and may not for longer. */
static void rest(struct wire *wire)
{
	if (wire->start == wire->end)
		memory_drop(wire->input, sizeof(wire->input));
	if (wire->used == 0)
		memory_drop(wire->output, sizeof(wire->output));
	if (wire->tls) {
		size_t length;
		void *records = wire->library->spare(wire->tls, &length);

		memory_drop(records, length);
	}
	memory_rest();
}

/* Waits until `fd` is ready; false, and the state says why, where it won't be. */
static bool wait_for(struct wire *wire, int fd, short events, enum wire_state late)
{
	struct pollfd fds[2] = {{.fd = fd, .events = events}, {.fd = wire->watch}};

	int64_t most = 1000 * MEMORY_REST_AFTER;

	for (;;) {
		int64_t left = wire->deadline - wire_now();
		int ready;

		if (left <= 0) {
			wire->state = late;
			return false;
		}
		ready = poll(fds, 2, (int)(left > most ? most : left));
		if (ready == 0 && most < INT_MAX) {
			if (wire->at_rest && events == POLLIN)
				wire->at_rest(wire->owner);
			rest(wire);
			most = INT_MAX;
		}
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

/* A socket is told not to block, and anything else that poll(2) calls ready does not. */
static bool is_ready(int fd, short events)
{
	struct pollfd one = {.fd = fd, .events = events};

	if (poll(&one, 1, 0) > 0)
		return true;
	errno = EAGAIN;
	return false;
}

ssize_t wire_get(struct wire *wire, void *data, size_t length)
{
	if (wire->ends.in_is_socket)
		return recv(wire->ends.in, data, length, MSG_DONTWAIT);
	return is_ready(wire->ends.in, POLLIN) ? read(wire->ends.in, data, length) : -1;
}

/* A pipe that poll(2) calls writable has room for PIPE_BUF octets. */
ssize_t wire_put(struct wire *wire, const void *data, size_t length)
{
	ssize_t put = -1;

	if (wire->ends.out_is_socket)
		put = send(wire->ends.out, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	else if (is_ready(wire->ends.out, POLLOUT))
		put = write(wire->ends.out, data, length > PIPE_BUF ? PIPE_BUF : length);
	if (put > 0)
		wire->sent += (uint64_t)put;
	return put;
}

/* Waits for what TLS says that it waits for. */
static bool wait_for_tls(struct wire *wire, short events, enum wire_state late)
{
	int fd = events == POLLIN ? wire->ends.in : wire->ends.out;

	return wait_for(wire, fd, events, late);
}

bool wire_secure(struct wire *wire, const struct tls_library *library, struct tls *tls)
{
	short events;
	int result;

	while ((result = library->handshake(tls, &events)) < 0 && errno == EAGAIN) {
		if (!wait_for_tls(wire, events, WIRE_TIMEOUT))
			return false;
	}
	if (result != 1)
		return false;
	wire->library = library;
	wire->tls = tls;
	return true;
}

static ssize_t put(struct wire *wire, const char *data, size_t length, short *events)
{
	if (wire->tls)
		return wire->library->write(wire->tls, data, length, events);
	*events = POLLOUT;
	return wire_put(wire, data, length);
}

/* Sends the first `length` octets of what has been written. */
static bool flush(struct wire *wire, size_t length)
{
	size_t sent = 0;

	/* A client that has closed its side may still be reading. */
	if (wire->state != WIRE_OPEN && wire->state != WIRE_CLOSED)
		return false;
	if (length > 0)
		give_more_time(wire);
	while (sent < length) {
		uint64_t before = wire->sent;
		short events;
		ssize_t got = put(wire, wire->output + sent, length - sent, &events);

		/* (Of TLS, some of it may have gone before there was no more room.) */
		if (wire->sent != before)
			give_more_time(wire);
		if (got > 0) {
			sent += (size_t)got;
		} else if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			if (!wait_for_tls(wire, events, WIRE_STALLED))
				return false;
		} else if (got == 0 || errno != EINTR) {
			wire->state = WIRE_BROKEN;
			return false;
		}
	}
	wire->used -= sent;
	memmove(wire->output, wire->output + sent, wire->used);
	return true;
}

bool wire_flush(struct wire *wire)
{
	return flush(wire, wire->used);
}

bool wire_has_more(const struct wire *wire)
{
	return wire->end > wire->start;
}

void wire_close(struct wire *wire)
{
	if (wire->tls)
		wire->library->shutdown(wire->tls);
}

char *wire_room(struct wire *wire, size_t length)
{
	/* There is more to come: with TLS, only whole records go out. */
	size_t rest = wire->tls ? wire->used % TLS_RECORD : 0;

	if (length > sizeof(wire->output) - rest)
		rest = 0;
	if (length > sizeof(wire->output) - wire->used && !flush(wire, wire->used - rest))
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

/* Two digits at a time: of a listing this is half the work. */
char *wire_digits(char *out, uint64_t number)
{
	static const char pairs[] = "00010203040506070809"
				    "10111213141516171819"
				    "20212223242526272829"
				    "30313233343536373839"
				    "40414243444546474849"
				    "50515253545556575859"
				    "60616263646566676869"
				    "70717273747576777879"
				    "80818283848586878889"
				    "90919293949596979899";
	char digits[WIRE_DIGITS], *first = digits + sizeof(digits);
	size_t length;

	for (; number >= 100; number /= 100)
		memcpy(first -= 2, pairs + 2 * (number % 100), 2);
	if (number >= 10)
		memcpy(first -= 2, pairs + 2 * number, 2);
	else
		*--first = (char)('0' + number);
	length = (size_t)(digits + sizeof(digits) - first);
	memcpy(out, first, length);
	return out + length;
}

void wire_number(struct wire *wire, uint64_t number)
{
	char digits[WIRE_DIGITS];

	wire_write(wire, digits, (size_t)(wire_digits(digits, number) - digits));
}

void wire_forget(struct wire *wire)
{
	explicit_bzero(wire->input, wire->start);
	explicit_bzero(wire->input + wire->end, wire->dirty - wire->end);
	wire->dirty = wire->end;
}

/* Waits until there is something to read, and reads it.  Returns 0 at the end and -1 where
 * there is no more waiting. */
static ssize_t get(struct wire *wire, char *data, size_t length)
{
	ssize_t got;

	do {
		if (!wait_for(wire, wire->ends.in, POLLIN, WIRE_TIMEOUT))
			return -1;
		got = read(wire->ends.in, data, length);
	} while (got < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK));
	return got;
}

static ssize_t get_tls(struct wire *wire, char *data, size_t length)
{
	short events;
	ssize_t got;

	while ((got = wire->library->read(wire->tls, data, length, &events)) < 0
		&& errno == EAGAIN) {
		if (!wait_for_tls(wire, events, WIRE_TIMEOUT))
			return -1;
	}
	return got;
}

/* Reads on.  The time for a command begins when the server starts to wait for it: single
 * octets now and then do not prolong it. */
static bool fill(struct wire *wire)
{
	size_t room;
	ssize_t got;

	if (wire->start > 0) {
		memmove(wire->input, wire->input + wire->start, wire->end - wire->start);
		wire->end -= wire->start;
		wire->start = 0;
	}
	room = sizeof(wire->input) - wire->end;
	got = (wire->tls ? get_tls : get)(wire, wire->input + wire->end, room);
	if (got > 0) {
		wire->end += (size_t)got;
		if (wire->dirty < wire->end)
			wire->dirty = wire->end;
		return true;
	}
	if (wire->state == WIRE_OPEN)
		wire->state = WIRE_CLOSED;
	return false;
}

/* Hands out what stands in the buffer up to its LF. */
static enum wire_line take_line(struct wire *wire, char *lf, char **line)
{
	char *first = wire->input + wire->start;
	size_t length = (size_t)(lf - first) + 1;
	bool bad = wire->swallowing || length > WIRE_RESPONSE_MAX
		|| memchr(first, '\0', length);

	wire->start += length;
	wire->length = length;
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
		if (there >= WIRE_RESPONSE_MAX || wire->swallowing) {
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
