/* Command lines: how what the client sends is cut (a number, so many octets), and what it
 * sends.  wire_read_line() is compared with a slow version, and nothing may wait in the
 * output while input is awaited (RFC 2449 s.6.6). */
#include "fuzz.h"
#include "slow.h"
#include "wire.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct wire wire;
static struct pieces pieces;
static const char *text;
static size_t left;
static int client;

/* wire.c waits: now the next piece comes. */
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	size_t length = 0;
	nfds_t i;

	(void)timeout;
	for (i = 1; i < count; i++)
		fds[i].revents = 0;
	fds[0].revents = fds[0].events;
	if (!(fds[0].events & POLLIN))
		return 1;
	MUST(wire.used == 0);
	while (left > 0 && length == 0)
		pieces_next(&pieces, left, &length);
	if (left == 0)
		shutdown(client, SHUT_WR);
	else
		MUST(write(client, text, length) == (ssize_t)length);
	text += length;
	left -= length;
	return 1;
}

static void start(int in, int out)
{
	struct wire_ends ends = {in, out, true, false};

	wire_start(&wire, &ends, -1, wire_now() + 3600000);
}

static void compare(const char *all, size_t length)
{
	static char want[SLOW_LINE_MAX + 1];
	char *line;
	size_t taken;

	while ((taken = slow_line(all, length, want)) > 0) {
		enum wire_line got = wire_read_line(&wire, &line);

		all += taken;
		length -= taken;
		if (slow_is_bad(want)) {
			MUST(got == WIRE_BAD_LINE);
			wire_forget(&wire);
			continue;
		}
		MUST(got == WIRE_LINE && strcmp(line, want) == 0);
		wire_string(&wire, "+OK\r\n");
		if (want[0] == 'P')
			wire_forget(&wire);
	}
	MUST(wire_read_line(&wire, &line) == WIRE_NO_LINE && wire.state == WIRE_CLOSED);
	MUST(wire_read_line(&wire, &line) == WIRE_NO_LINE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int null = -1;
	struct input input = {data, size};
	int pair[2];
	char *all;

	if (null < 0)
		null = open("/dev/null", O_WRONLY);
	pieces = input_pieces(&input);
	text = all = input_text(&input, &left);
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	client = pair[1];
	start(pair[0], null);
	compare(all, left);
	close(pair[0]);
	close(pair[1]);
	free(all);
	return 0;
}
