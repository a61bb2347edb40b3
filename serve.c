/* From a connection to the two processes that serve it.  Runs as whoever pop3d was started
 * as; what parts here never comes together again. */
#include "serve.h"
#include "memory.h"
#include "monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

void serve_address(struct peer *peer, const struct sockaddr_storage *address)
{
	peer->at = network_address(address);
	network_text(peer->address, &peer->at);
	if (address->ss_family == AF_UNIX)
		strcpy(peer->address, "unix");
}

static void find_peer(struct peer *peer, int fd, bool is_socket)
{
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof(address);

	if (getpeername(fd, (struct sockaddr *)&address, &length) == 0) {
		serve_address(peer, &address);
		return;
	}
	/* A socket whose client has gone already is not known to be near. */
	peer->at = (struct address){.local = !is_socket};
	strcpy(peer->address, peer->at.local ? "pipe" : "?");
}

static bool is_socket(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

void serve_tune(int fd)
{
	static const struct {
		int level, option, value;
	} options[] = {
		/* Replies go out when they are complete, not when the last ones have been
		 * acknowledged. */
		{IPPROTO_TCP, TCP_NODELAY, 1},
		/* A client that is no longer there is noticed after three minutes, whether it
		 * was to say something or to hear it.  (RFC 9293 s.3.8.4 has keep-alives
		 * after two hours, where nobody says otherwise.) */
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, 60},
		{IPPROTO_TCP, TCP_KEEPINTVL, 15},
		{IPPROTO_TCP, TCP_KEEPCNT, 8},
		{IPPROTO_TCP, TCP_USER_TIMEOUT, 180000},
	};
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		setsockopt(fd, options[i].level, options[i].option, &options[i].value,
			sizeof(options[i].value));
}

void serve_take(struct connection *c, const struct conf *conf, int in, int out,
	const struct sockaddr_storage *address)
{
	c->ends.in = in;
	c->ends.out = out;
	c->ends.in_is_socket = is_socket(in);
	c->ends.out_is_socket = in == out ? c->ends.in_is_socket : is_socket(out);
	clock_gettime(CLOCK_MONOTONIC, &c->started);
	c->deadline = wire_now() + 1000 * (int64_t)conf->auth_timeout;
	c->tls = false;
	c->client = -1;
	if (c->ends.out_is_socket && !address)
		serve_tune(out);
	if (address)
		serve_address(&c->peer, address);
	else
		find_peer(&c->peer, in, c->ends.in_is_socket);
}

bool serve_load_tls(struct server *server, enum tls_use use)
{
	const struct tls_library *library;
	char why[LOG_LINE_MAX];

	if (server->tls || server->conf.certificate_count == 0)
		return true;
	library = tls_load(why);
	if (library)
		server->tls = library->open(&server->conf, use, log_report);
	else
		log_line(LOG_ERR, "%s", why);
	return server->tls != NULL;
}

/* In the session's process. */
static void run_session(
	struct server *server, const struct connection *c, bool after_stls, int monitor)
{
	char why[LOG_LINE_MAX];
	struct session_start start = {
		.conf = &server->conf,
		.peer = &c->peer,
		.ends = c->ends,
		.deadline = c->deadline,
		.tls = c->tls || after_stls ? server->tls : NULL,
		.after_stls = after_stls,
	};

	if (server->tls)
		tls_load(why)->forget(server->tls);
	sandbox_session(&server->user, &start.ends, monitor);
	session_run(&start);
	_exit(0);
}

static struct monitor the_monitor;

/* Returns the session's process, and the socket to it; -1 with errno. */
static pid_t start_session(
	struct server *server, const struct connection *c, bool after_stls, int *socket)
{
	int pair[2];
	pid_t session;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	session = fork();
	if (session == 0) {
		memory_drop(&the_monitor, sizeof(the_monitor));
		run_session(server, c, after_stls, pair[1]);
	}
	close(pair[1]);
	if (session < 0)
		close(pair[0]);
	*socket = pair[0];
	return session;
}

/* After an STLS another session needs the connection; else the session alone holds it, and when
 * that ends, the client sees it.  Standard input and output are /dev/null from here on. */
static void keep_connection(struct server *server, struct connection *c)
{
	int in = -1, out = -1;

	if (server->conf.certificate_count > 0 && !c->tls) {
		in = fcntl(c->ends.in, F_DUPFD_CLOEXEC, 3);
		out = fcntl(c->ends.out, F_DUPFD_CLOEXEC, 3);
	}
	if (server->conf.takeover > 0 && c->peer.at.known)
		c->client = fcntl(c->ends.out, F_DUPFD_CLOEXEC, 3);
	if (c->ends.in > 2)
		close(c->ends.in);
	if (c->ends.out > 2 && c->ends.out != c->ends.in)
		close(c->ends.out);
	c->ends.in = in;
	c->ends.out = out;
	sandbox_null_stdio(server->conf.log == LOG_TO_STDERR);
}

int serve(struct server *server, struct connection *c)
{
	struct monitor *m = &the_monitor;
	bool after_stls = false;
	pid_t session;
	int socket;

	if (c->tls && !serve_load_tls(server, TLS_FOR_ONE))
		return EX_CONFIG;
	monitor_start(m, server, c);
	do {
		session = start_session(server, c, after_stls, &socket);
		if (session < 0) {
			log_line(LOG_ERR, "no session for %s: %s", c->peer.address,
				strerror(errno));
			return EX_OSERR;
		}
		if (after_stls)
			monitor_close_connection(m);
		else
			keep_connection(server, c);
		after_stls = monitor_run(m, socket, session, c->tls || after_stls);
	} while (after_stls);
	return 0;
}
