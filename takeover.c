/* See takeover.h. */
#include "takeover.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#define WANTED_AT 1 /* the octet that who waits has locked */

volatile int takeover_asked;

static void on_urge(int number)
{
	(void)number;
	takeover_asked = 1;
}

void takeover_listen(void)
{
	const struct sigaction action = {.sa_handler = on_urge};

	takeover_asked = 0;
	sigaction(SIGURG, &action, NULL);
}

bool takeover_is_silent(struct takeover *t)
{
	int64_t enough = (int64_t)t->seconds * 1000, now = wire_now();
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);
	bool same;

	if (t->client < 0 || t->seconds == 0
		|| getsockopt(t->client, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
		return false;
	if (info.tcpi_last_data_recv >= enough && info.tcpi_last_ack_recv >= enough)
		return true;
	/* A system answers keep-alives and window probes for a client that is stopped: these
	 * acknowledge nothing new. */
	same = t->asked && t->received == info.tcpi_bytes_received
		&& t->acknowledged == info.tcpi_bytes_acked;
	if (same)
		return now - t->asked >= enough;
	t->asked = now;
	t->received = info.tcpi_bytes_received;
	t->acknowledged = info.tcpi_bytes_acked;
	return false;
}

bool takeover_ask(int lock)
{
	struct flock wanted = {.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = WANTED_AT,
		.l_len = 1};
	struct flock holder = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};

	if (fcntl(lock, F_SETLK, &wanted) < 0 || fcntl(lock, F_GETLK, &holder) < 0
		|| holder.l_type == F_UNLCK)
		return false;
	/* On another host, or in another name space of processes, it is not to be had. */
	return holder.l_pid > 0 && kill(holder.l_pid, SIGURG) == 0;
}

bool takeover_is_wanted(int lock)
{
	struct flock other = {.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = WANTED_AT,
		.l_len = 1};

	return lock >= 0 && fcntl(lock, F_GETLK, &other) == 0 && other.l_type != F_UNLCK;
}

void takeover_end(struct takeover *t)
{
	shutdown(t->client, SHUT_RDWR);
}
