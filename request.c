/* Packets between the two processes: see request.h.  Runs in both. */
#include "request.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

const char *request_end_name(uint32_t reason)
{
	static const char *const names[END_REASONS] = {
		[END_QUIT] = "quit",
		[END_CLOSED] = "closed",
		[END_TIMEOUT] = "timeout",
		[END_STALLED] = "stalled",
		[END_WRITE] = "broken",
		[END_UNREADABLE] = "unreadable",
		[END_DENIED] = "denied",
		[END_REFUSED] = "refused",
		[END_MONITOR] = "monitor",
		[END_STLS] = "stls",
		[END_TLS] = "tls",
		[END_INJECTION] = "injection",
	};

	return reason < END_REASONS ? names[reason] : "?";
}

#define UP_TO(member) \
	(offsetof(struct request, member) + sizeof(((struct request *)0)->member))

size_t request_size(uint32_t kind)
{
	static const size_t sizes[REQUEST_KINDS] = {
		[REQUEST_STLS] = UP_TO(number),
		[REQUEST_SIGN] = UP_TO(sign),
		[REQUEST_TICKET] = UP_TO(ticket),
		[REQUEST_SECURED] = UP_TO(secured),
		[REQUEST_CHALLENGE] = UP_TO(number),
		[REQUEST_SALT] = UP_TO(login.user),
		[REQUEST_LOGIN] = UP_TO(login),
		[REQUEST_PROOF] = UP_TO(proof),
		[REQUEST_TRANSCRIPT] = UP_TO(piece),
		[REQUEST_EXTERNAL] = UP_TO(login.user),
		[REQUEST_TOKEN] = UP_TO(token),
		[REQUEST_OPEN] = UP_TO(ahead),
		[REQUEST_RECOUNT] = UP_TO(number),
		[REQUEST_DELETED] = UP_TO(marks),
		[REQUEST_FETCHED] = UP_TO(marks),
		[REQUEST_COMMIT] = UP_TO(number),
		[REQUEST_END] = UP_TO(end),
#ifdef PROOF
		[REQUEST_TRY] = UP_TO(login),
#endif
	};

	return kind < REQUEST_KINDS ? sizes[kind] : 0;
}

/* Room for descriptors beside a packet. */
union control {
	char data[CMSG_SPACE(REQUEST_FILES * sizeof(int))];
	struct cmsghdr header;
};

static int send_packet(
	int to, const void *packet, size_t length, const int *files, size_t count)
{
	struct iovec part = {(void *)packet, length};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	union control control;
	ssize_t sent;

	if (count > 0) {
		struct cmsghdr *header;

		memset(&control, 0, sizeof(control));
		message.msg_control = control.data;
		message.msg_controllen = CMSG_SPACE(count * sizeof(*files));
		header = &control.header;
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(count * sizeof(*files));
		memcpy(CMSG_DATA(header), files, count * sizeof(*files));
	}
	do
		sent = sendmsg(to, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)length ? 0 : -1;
}

/* Returns the octets that came, or -1; 0 where the other process is gone.  There is room for `*count`
 * descriptors: what comes beyond that is closed by the kernel. */
static ssize_t receive_packet(
	int from, void *packet, size_t length, int *files, size_t *count)
{
	struct iovec part = {packet, length};
	union control control;
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	struct cmsghdr *header;
	ssize_t got;

	if (*count > 0) {
		message.msg_control = control.data;
		message.msg_controllen = CMSG_LEN(*count * sizeof(*files));
	}
	got = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
	header = *count > 0 && got >= 0 ? CMSG_FIRSTHDR(&message) : NULL;
	*count = 0;
	if (header && header->cmsg_level == SOL_SOCKET
		&& header->cmsg_type == SCM_RIGHTS) {
		*count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(*files);
		memcpy(files, CMSG_DATA(header), *count * sizeof(*files));
	}
	if (got >= 0 && (message.msg_flags & MSG_TRUNC)) {
		errno = EMSGSIZE;
		return -1;
	}
	return got;
}

int request_send(int monitor, const struct request *request)
{
	return send_packet(monitor, request, request_size(request->kind), NULL, 0);
}

enum request_received request_receive(int session, struct request *request)
{
	size_t none = 0;
	ssize_t got = receive_packet(session, request, sizeof(*request), NULL, &none);

	if (got < 0 && errno == EINTR)
		return REQUEST_INTERRUPTED;
	if (got < 0 && errno == EAGAIN)
		return REQUEST_LATE;
	if (got >= (ssize_t)sizeof(request->kind)
		&& got == (ssize_t)request_size(request->kind))
		return REQUEST_CAME;
	/* Who dies with a reply unread resets the connection. */
	return got == 0 || (got < 0 && errno == ECONNRESET) ? REQUEST_NONE
							    : REQUEST_MALFORMED;
}

void reply_start(struct reply *reply, enum reply_status status)
{
	memset(reply, 0, sizeof(*reply));
	reply->status = status;
}

int reply_send(int session, const struct reply *reply, int fd)
{
	return reply_send_files(session, reply, &fd, fd >= 0);
}

#define PATIENCE 200 /* tries, 10 ms apart */

static const struct timespec moment = {.tv_nsec = 10000000};

int reply_send_files(
	int session, const struct reply *reply, const int *files, size_t count)
{
	int tries = 0, sent;

	while ((sent = send_packet(session, reply, sizeof(*reply), files, count)) < 0
		&& errno == ETOOMANYREFS && tries++ < PATIENCE)
		nanosleep(&moment, NULL);
	return sent;
}

/* Where the kernel can't tell, nobody is blamed; nor where it is behind with what it frees. */
bool reply_is_taken(int session)
{
	uint32_t memory[SK_MEMINFO_VARS] = {0};
	socklen_t length = sizeof(memory);
	int tries;

	for (tries = 0; tries < PATIENCE; tries++) {
		if (getsockopt(session, SOL_SOCKET, SO_MEMINFO, memory, &length) < 0
			|| memory[SK_MEMINFO_WMEM_ALLOC] == 0)
			return true;
		nanosleep(&moment, NULL);
	}
	return false;
}

static int receive_reply(int monitor, struct reply *reply, int *files, size_t *count)
{
	size_t room = *count;
	ssize_t got;

	do {
		*count = room;
		got = receive_packet(monitor, reply, sizeof(*reply), files, count);
	} while (got < 0 && errno == EINTR);
	if (got == (ssize_t)sizeof(*reply))
		return 0;
	while (*count > 0)
		close(files[--*count]);
	return -1;
}

int reply_receive_files(
	int monitor, struct reply *reply, int files[REQUEST_FILES], size_t *count)
{
	*count = REQUEST_FILES;
	return receive_reply(monitor, reply, files, count);
}

int reply_receive(int monitor, struct reply *reply, int *fd)
{
	int file = -1;
	size_t count = fd != NULL;
	int result = receive_reply(monitor, reply, &file, &count);

	if (fd)
		*fd = count > 0 ? file : -1;
	return result;
}
