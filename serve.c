/* From a connection to the two processes that serve it.  Runs as whoever pop3d was started
 * as; what parts here never comes together again. */
#include "serve.h"
#include "monitor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

void serve_address(struct peer *peer, const struct sockaddr_storage *address)
{
	const struct sockaddr_in *v4 = (const void *)address;
	const struct sockaddr_in6 *v6 = (const void *)address;
	struct in_addr mapped;

	strcpy(peer->address, "?");
	peer->local = false;
	if (address->ss_family == AF_UNIX) {
		strcpy(peer->address, "unix");
		peer->local = true;
	} else if (address->ss_family == AF_INET6
		&& !IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		inet_ntop(AF_INET6, &v6->sin6_addr, peer->address, sizeof(peer->address));
		peer->local = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
	} else if (address->ss_family == AF_INET6 || address->ss_family == AF_INET) {
		/* IPv4 over an IPv6 socket is IPv4: for the log, and for what reads it. */
		memcpy(&mapped, &v6->sin6_addr.s6_addr[12], sizeof(mapped));
		if (address->ss_family == AF_INET)
			mapped = v4->sin_addr;
		inet_ntop(AF_INET, &mapped, peer->address, sizeof(peer->address));
		peer->local = ntohl(mapped.s_addr) >> 24 == 127;
	}
}

void serve_peer(struct peer *peer, int fd)
{
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof(address);
	struct stat status;

	if (getpeername(fd, (struct sockaddr *)&address, &length) == 0) {
		serve_address(peer, &address);
		return;
	}
	/* A socket whose client has gone already is not known to be near. */
	peer->local = fstat(fd, &status) == 0 && !S_ISSOCK(status.st_mode);
	strcpy(peer->address, peer->local ? "pipe" : "?");
}

int serve(const struct conf *conf, const struct sandbox_user *user,
	const struct peer *peer, int in, int out)
{
	int pair[2];
	pid_t session;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0
		|| (session = fork()) < 0) {
		log_line(
			LOG_ERR, "no session for %s: %s", peer->address, strerror(errno));
		return EX_OSERR;
	}
	if (session == 0) {
		sandbox_session(user, in, out, pair[1]);
		session_run(conf, peer);
		_exit(0);
	}
	/* The session alone holds the connection: when it ends, the client sees it. */
	close(pair[1]);
	if (in > 2)
		close(in);
	if (out > 2 && out != in)
		close(out);
	sandbox_null_stdio(conf->log == LOG_TO_STDERR);
	monitor_run(conf, peer, pair[0], session);
	return 0;
}
