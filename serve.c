/* From a connection to the two processes that serve it.  Runs as whoever pop3d was started
 * as; what parts here never comes together again. */
#include "serve.h"
#include "monitor.h"
#include "sandbox.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static bool is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)address;

		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	}
	if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)address;

		return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr)
			|| (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)
				&& v6->sin6_addr.s6_addr[12] == 127);
	}
	return address->sa_family == AF_UNIX;
}

void serve_peer_address(struct peer *peer, const struct sockaddr *address, socklen_t length)
{
	peer->local = is_loopback(address);
	if (address->sa_family == AF_UNIX) {
		strcpy(peer->address, "unix");
		return;
	}
	if (getnameinfo(address, length, peer->address, sizeof(peer->address), NULL, 0,
		    NI_NUMERICHOST)
		!= 0)
		strcpy(peer->address, "?");
	/* IPv4 over an IPv6 socket is IPv4: for the log, and for what reads it. */
	if (strncmp(peer->address, "::ffff:", 7) == 0 && strchr(peer->address, '.'))
		memmove(peer->address, peer->address + 7, strlen(peer->address + 7) + 1);
}

void serve_peer(struct peer *peer, int fd)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	struct stat status;

	if (getpeername(fd, (struct sockaddr *)&address, &length) == 0) {
		serve_peer_address(peer, (struct sockaddr *)&address, length);
		return;
	}
	/* A socket whose client has gone already is not known to be near. */
	peer->local = fstat(fd, &status) == 0 && !S_ISSOCK(status.st_mode);
	strcpy(peer->address, peer->local ? "pipe" : "?");
}

int serve(const struct conf *conf, const struct peer *peer, int in, int out)
{
	struct sandbox_user user;
	const char *wrong = sandbox_find_user(&user, conf->session_user);
	int pair[2];
	pid_t session;

	if (wrong) {
		log_line(LOG_ERR, "%s", wrong);
		return EX_CONFIG;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0
		|| (session = fork()) < 0) {
		log_line(LOG_ERR, "no session for %s: %s", peer->address, strerror(errno));
		return EX_OSERR;
	}
	if (session == 0) {
		sandbox_session(&user, in, out, pair[1]);
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
