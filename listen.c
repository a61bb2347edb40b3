/* The accept-and-fork modes: -l, `listen`, inetd's wait, systemd's Accept=no.  The listener
 * keeps what pop3d was started with; it reads nothing from any client. */
#include "listen.h"
#include "index_write.h"
#include "memory.h"
#include "serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define IDLE_SECONDS 10

struct child {
	pid_t pid;
	struct address around;
};

struct listener {
	struct server *server;
	const struct conf_source *source;
	struct pollfd fds[LISTEN_MAX];
	bool tls[LISTEN_MAX];
	size_t fd_count;
	struct child *children; /* max_connections of them */
	size_t child_count;
	bool has_stderr; /* under inetd it is the listening socket */
};

static volatile sig_atomic_t child_ended, stop, reload;

static void on_signal(int number)
{
	if (number == SIGCHLD)
		child_ended = 1;
	else if (number == SIGHUP)
		reload = 1;
	else
		stop = 1;
}

static const int signals[] = {SIGCHLD, SIGHUP, SIGTERM, SIGINT};

/* They are blocked but while waiting.  Comes before anybody can connect: who sees that we are
 * there may send one. */
static void catch_signals(void)
{
	const struct sigaction action = {.sa_handler = on_signal};
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaction(signals[i], &action, NULL);
}

static void default_signals(void)
{
	sigset_t none;
	size_t i;

	for (i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		signal(signals[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Opening. */

bool listen_accepts(int fd)
{
	socklen_t length = sizeof(int);
	int listening = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0
		&& listening;
}

static void log_listening(const struct listener *l, size_t which)
{
	int fd = l->fds[which].fd;
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof(address);
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getsockname(fd, (struct sockaddr *)&address, &length) == 0
		&& getnameinfo((struct sockaddr *)&address, length, host, sizeof(host),
			   port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV)
			== 0)
		log_line(LOG_INFO, "listening address=%s port=%s%s", host, port,
			l->tls[which] ? " tls" : "");
}

static int open_address(const struct addrinfo *address)
{
	int fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC,
		address->ai_protocol);
	int one = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* So that `*` can have a socket for each family. */
	if (address->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, address->ai_addr, address->ai_addrlen) == 0
		&& listen(fd, SOMAXCONN) == 0)
		return fd;
	one = errno;
	close(fd);
	errno = one;
	return -1;
}

static int look_up(const struct conf_listen *l, struct addrinfo **addresses)
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};

	return getaddrinfo(*l->host ? l->host : NULL, l->port, &hints, addresses);
}

unsigned listen_check(const struct conf *conf, conf_report *report)
{
	unsigned mistakes = 0;
	size_t i;

	for (i = 0; i < conf->listen_count; i++) {
		struct addrinfo *addresses;
		char text[LOG_LINE_MAX];
		int error = look_up(&conf->listen[i], &addresses);

		if (!error) {
			freeaddrinfo(addresses);
			continue;
		}
		snprintf(text, sizeof(text), "listen %s: %s", conf->listen[i].host,
			gai_strerror(error));
		report(text);
		mistakes++;
	}
	return mistakes;
}

/* Every address that the host has: `localhost` may have two.  Returns how many; none where
 * one of them is in use. */
static size_t open_all(
	const struct conf_listen *l, struct listen_socket *sockets, size_t room)
{
	struct addrinfo *addresses, *a;
	const char *why;
	size_t count = 0;
	int error = look_up(l, &addresses);

	why = error ? gai_strerror(error) : NULL;
	for (a = error ? NULL : addresses; a && count < room; a = a->ai_next) {
		int fd = open_address(a);

		if (fd >= 0) {
			sockets[count++] = (struct listen_socket){fd, l->tls};
			continue;
		}
		why = strerror(errno);
		/* A family that this host does not have is no loss. */
		if (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL) {
			while (count > 0)
				close(sockets[--count].fd);
			break;
		}
	}
	if (!error)
		freeaddrinfo(addresses);
	if (count == 0)
		log_line(LOG_ERR, "can't listen on %s:%s: %s", *l->host ? l->host : "*",
			l->port, why ? why : "too many addresses");
	return count;
}

int listen_open(const struct conf *conf, struct listen_socket *sockets)
{
	size_t i, count = 0;

	catch_signals();
	for (i = 0; i < conf->listen_count; i++) {
		size_t opened
			= open_all(&conf->listen[i], sockets + count, LISTEN_MAX - count);

		if (opened == 0)
			return -1;
		count += opened;
	}
	return (int)count;
}

/* Serving. */

/* Each connection is a process group.  When its monitor has ended, so has its session, or it is
 * ended here: the monitor itself may have had no right to. */
static pid_t end_connection(void)
{
	siginfo_t child = {0};

	if (waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) < 0
		|| child.si_pid == 0)
		return 0;
	kill(-child.si_pid, SIGKILL);
	return waitpid(child.si_pid, NULL, 0);
}

static void reap(struct listener *l)
{
	pid_t pid;
	size_t i;

	child_ended = 0;
	while ((pid = end_connection()) > 0) {
		for (i = 0; i < l->child_count && l->children[i].pid != pid; i++)
			;
		if (i < l->child_count)
			l->children[i] = l->children[--l->child_count];
	}
}

static size_t count_around(const struct listener *l, const struct address *around)
{
	size_t i, count = 0;

	for (i = 0; i < l->child_count; i++)
		count += memcmp(l->children[i].around.octets, around->octets,
				 sizeof(around->octets))
			== 0;
	return count;
}

/* Why a client is not served. */
static const struct {
	const char *reason, *code;
	enum text text;
} refusals[] = {
	[LISTEN_DENIED] = {"deny", "SYS/PERM", TEXT_NOT_HERE},
	[LISTEN_FULL] = {"max_connections", "SYS/TEMP", TEXT_BUSY},
	[LISTEN_MANY] = {"max_per_address", "SYS/TEMP", TEXT_BUSY},
	[LISTEN_NO_PROCESS] = {"fork", "SYS/TEMP", TEXT_BUSY},
};

void listen_turn_away(const struct connection *c, enum listen_refusal why)
{
	static time_t last;
	static unsigned long unlogged;
	char reply[128];
	int length = snprintf(reply, sizeof(reply), "-ERR [%s] %s\r\n",
		refusals[why].code, text_get(refusals[why].text));

	if (!c->tls
		&& send(c->ends.out, reply, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL)
			< 0
		&& errno == ENOTSOCK && write(c->ends.out, reply, (size_t)length) < 0)
		log_line(LOG_INFO, "refused: %s", strerror(errno));
	close(c->ends.out);
	if (time(NULL) == last) {
		unlogged++;
		return;
	}
	log_line(LOG_WARNING, "refused address=%s reason=%s unlogged=%lu",
		c->peer.address, refusals[why].reason, unlogged);
	last = time(NULL);
	unlogged = 0;
}

/* In the child: the way of any single connection. */
static void serve_child(struct listener *l, struct connection *c)
{
	size_t i;

	setpgid(0, 0);
	default_signals();
	for (i = 0; i < l->fd_count; i++)
		close(l->fds[i].fd);
	_exit(serve(l->server, c));
}

static void start_child(struct listener *l, struct connection *c)
{
	const struct conf *conf = &l->server->conf;
	struct child *child;
	struct address around = network_around(&c->peer.at);
	pid_t pid;

	if (!conf_allows(conf, &c->peer.at)) {
		listen_turn_away(c, LISTEN_DENIED);
		return;
	}
	if (l->child_count >= conf->max_connections) {
		listen_turn_away(c, LISTEN_FULL);
		return;
	}
	if (count_around(l, &around) >= conf->max_per_address) {
		listen_turn_away(c, LISTEN_MANY);
		return;
	}
	pid = fork();
	if (pid == 0)
		serve_child(l, c);
	if (pid < 0) {
		listen_turn_away(c, LISTEN_NO_PROCESS);
		return;
	}
	close(c->ends.in);
	child = &l->children[l->child_count++];
	child->pid = pid;
	child->around = around;
}

static void accept_one(struct listener *l, size_t which)
{
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof(address);
	struct connection c;
	int fd = accept4(
		l->fds[which].fd, (struct sockaddr *)&address, &length, SOCK_CLOEXEC);

	if (fd >= 0) {
		serve_take(&c, &l->server->conf, fd, fd, &address);
		c.tls = l->tls[which];
		start_child(l, &c);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS
		|| errno == ENOMEM) {
		const struct timespec pause = {0, 100000000};

		log_line(LOG_ERR, "accept: %s", strerror(errno));
		nanosleep(&pause, NULL);
	}
}

static void resize_children(struct listener *l)
{
	size_t size = l->server->conf.max_connections;

	if (size < l->child_count)
		size = l->child_count;
	l->children = memory_resize(l->children, size * sizeof(*l->children));
}

static bool needs_tls(const struct listener *l)
{
	bool needs = false;
	size_t i;

	for (i = 0; i < l->fd_count; i++)
		needs |= l->tls[i];
	return needs;
}

/* What keeps `fresh` from being used, or NULL; `why` (LOG_LINE_MAX octets) has room for it. */
static const char *find_fault(const struct listener *l, const struct conf_source *source,
	struct server *fresh, char *why)
{
	const char *wrong;

	if (conf_load(&fresh->conf, source, log_report) > 0)
		return "see above";
	wrong = sandbox_find_user(&fresh->user, fresh->conf.session_user);
	if (!wrong && !users_ready(&fresh->conf, why))
		wrong = why;
	if (!wrong && fresh->conf.log == LOG_TO_STDERR && !l->has_stderr)
		wrong = "log: there is no standard error under inetd";
	if (!wrong && !serve_load_tls(fresh, TLS_FOR_MANY))
		wrong = "see above";
	if (!wrong && needs_tls(l) && !fresh->tls)
		wrong = "there is no tls_certificate any more";
	/* Last, for what it gives up does not come back. */
	if (!wrong
		&& !sandbox_start(
			&fresh->user, fresh->conf.sandbox, conf_programs(&fresh->conf)))
		wrong = "see above";
	return wrong;
}

static void free_server(struct server *server)
{
	char why[LOG_LINE_MAX];

	if (server->tls)
		tls_load(why)->close(server->tls);
	conf_free(&server->conf);
}

/* SIGHUP: what is wrong leaves everything as it was.  Addresses are not opened anew. */
static void read_again(struct listener *l)
{
	struct server fresh = {.tls = NULL};
	char why[LOG_LINE_MAX];
	const char *wrong;

	reload = 0;
	wrong = find_fault(l, l->source, &fresh, why);
	if (wrong) {
		log_line(LOG_ERR, "configuration not reloaded: %s", wrong);
		free_server(&fresh);
		return;
	}
	free_server(l->server);
	*l->server = fresh;
	resize_children(l);
	log_open(fresh.conf.log);
	memory_rest();
	log_line(LOG_INFO, "configuration reloaded");
}

/* A listening socket, wherever it came from, out of the way of standard input. */
static int take_over(int listening)
{
	int fd = fcntl(listening, F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		log_fatal("listening: %s", strerror(errno));
	close(listening);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	serve_tune(fd);
	return fd;
}

int listen_run(struct server *server, const struct conf_source *source,
	const struct listen_socket *sockets, size_t count, bool exit_when_idle)
{
	static struct listener l;
	char why[LOG_LINE_MAX];
	sigset_t none;
	size_t i;

	catch_signals();
	sigemptyset(&none);
	l.server = server;
	l.source = source;
	l.fd_count = count;
	l.has_stderr = !listen_accepts(STDERR_FILENO);
	log_open(server->conf.log);
	if (!users_ready(&server->conf, why)) {
		log_line(LOG_ERR, "%s", why);
		return EX_CONFIG;
	}
	if (!serve_load_tls(server, TLS_FOR_MANY))
		return EX_CONFIG;
	if (!sandbox_start(
		    &server->user, server->conf.sandbox, conf_programs(&server->conf)))
		return EX_UNAVAILABLE;
	for (i = 0; i < count; i++) {
		l.fds[i] = (struct pollfd){
			.fd = take_over(sockets[i].fd), .events = POLLIN};
		l.tls[i] = sockets[i].tls;
	}
	/* Under inetd all three are the listening socket.  Else standard error is kept, for a
	 * log that may be changed to it. */
	sandbox_null_stdio(l.has_stderr);
	resize_children(&l);
	/* What every child would otherwise have to find out for itself. */
	index_boot();
	/* What each child would otherwise do, and have pages of its own for. */
	memory_rest();
	for (i = 0; i < count; i++)
		log_listening(&l, i);
	while (!stop) {
		const struct timespec idle = {IDLE_SECONDS, 0};
		bool may_end = exit_when_idle && l.child_count == 0;
		int ready = ppoll(l.fds, l.fd_count, may_end ? &idle : NULL, &none);

		if (child_ended)
			reap(&l);
		if (reload)
			read_again(&l);
		if (ready == 0 && may_end)
			break;
		for (i = 0; ready > 0 && i < l.fd_count; i++) {
			if (l.fds[i].revents)
				accept_one(&l, i);
		}
	}
	log_line(LOG_INFO, "stopped");
	return EX_OK;
}
