/* See asked.h. */
#include "asked.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct server server;
bool stls_over;
static char last_words
	[RUN_WORDS]; /* the last monitor's log, for who looks for what is wrong */

/* It has a process to wait for, as if that were the session. */
static void be_monitor(int socket, int life, bool secure)
{
	struct connection c
		= {.ends = {-1, -1, false, false}, .tls = secure, .client = -1};
	static struct monitor m;
	pid_t session;

	if (secure ? !serve_load_tls(&server, false) : false)
		_exit(1);
	c.deadline = wire_now() + 1000 * (int64_t)server.conf.auth_timeout;
	strcpy(c.peer.address, "test");
	c.peer.at.local = true;
	c.ends.in = open("/dev/null", O_RDWR);
	c.ends.out = dup(c.ends.in);
	if (!sandbox_start(
		    &server.user, server.conf.sandbox, conf_programs(&server.conf)))
		_exit(1);
	monitor_start(&m, &server, &c);
	session = fork();
	if (session == 0) {
		char octet;

		close(socket);
		close(2);
		_exit(read(life, &octet, 1) != 0);
	}
	_exit(monitor_run(&m, socket, session, secure) ? 2 : 0);
}

void start(struct run *run, bool secure)
{
	int pair[2], log[2], life[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0 || pipe(log) < 0
		|| pipe(life) < 0)
		exit(2);
	run->pid = fork();
	if (run->pid == 0) {
		close(pair[0]);
		dup2(log[1], 2);
		close(log[0]);
		close(log[1]);
		close(life[1]);
		be_monitor(pair[1], life[0], secure);
	}
	close(life[0]);
	run->life = life[1];
	close(pair[1]);
	close(log[1]);
	run->socket = pair[0];
	run->log = log[0];
}

bool finish(struct run *run)
{
	size_t length = 0;
	ssize_t got;
	int status;

	close(run->socket);
	close(run->life);
	while (length < sizeof(run->words) - 1
		&& (got = read(run->log, run->words + length,
			    sizeof(run->words) - 1 - length))
			> 0)
		length += (size_t)got;
	run->words[length] = '\0';
	close(run->log);
	memcpy(last_words, run->words, sizeof(last_words));
	waitpid(run->pid, &status, 0);
	stls_over = WIFEXITED(status) && WEXITSTATUS(status) == 2;
	return WIFEXITED(status) && (WEXITSTATUS(status) == 0 || stls_over);
}

void send_octets(const struct run *run, const void *data, size_t length)
{
	send(run->socket, data, length, MSG_NOSIGNAL);
}

void ask(const struct run *run, const struct request *request)
{
	size_t size = request_size(request->kind);

	send_octets(run, request, size ? size : sizeof(*request));
}

void ask_ahead(const struct run *run, uint32_t kind, uint32_t number, uint32_t ahead)
{
	struct request request = {.kind = kind, .number = number};

	if (kind == REQUEST_OPEN)
		request.ahead = ahead;
	ask(run, &request);
}

void ask_kind(const struct run *run, uint32_t kind, uint32_t number)
{
	ask_ahead(run, kind, number, 0);
}

void ask_login(const struct run *run, const char *secret)
{
	struct request request = {.kind = REQUEST_LOGIN, .login.method = AUTH_PASS};

	strcpy(request.login.user, "joe");
	strcpy(request.login.secret, secret);
	ask(run, &request);
}

int answer(const struct run *run)
{
	struct pollfd ready = {.fd = run->socket, .events = POLLIN};
	struct reply reply;
	int fd;

	if (poll(&ready, 1, RUN_PATIENCE) <= 0)
		return -1;
	/* A monitor that has ended with requests unread is told before its last reply. */
	errno = 0;
	if (reply_receive(run->socket, &reply, &fd) < 0
		&& (errno != ECONNRESET || reply_receive(run->socket, &reply, &fd) < 0))
		return -1;
	if (fd >= 0)
		close(fd);
	return (int)reply.status;
}

bool start_logged_in(struct run *run)
{
	start(run, false);
	if (answer(run) != REPLY_OK)
		return false;
	ask_login(run, "secret");
	return answer(run) == REPLY_OK;
}

bool is_violation(struct run *run)
{
	bool silent = answer(run) == -1;

	return finish(run) && silent && strstr(run->words, "reason=violation");
}

unsigned seed;

unsigned next(unsigned below)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 8) % below;
}

int run_tests(const struct test *tests, size_t count)
{
	int status = 0;
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IONBF, 0);
	printf("1..%zu\n", count);
	for (i = 0; i < count; i++) {
		bool good = tests[i].test();

		printf("%sok %zu %s\n", good ? "" : "not ", i + 1, tests[i].name);
		if (!good)
			printf("# %s\n", last_words);
		status |= !good;
	}
	return status;
}
