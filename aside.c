/* See aside.h.  Runs in the monitor. */
#include "aside.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

bool aside_start(struct aside *aside, aside_runner *run, const void *argument)
{
	int pair[2];

	aside->pid = 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	aside->pid = fork();
	if (aside->pid == 0) {
		setpgid(0, 0);
		run(argument, pair[1]);
		_exit(0);
	}
	close(pair[1]);
	aside->socket = pair[0];
	/* Here too, or the group may have to be killed before there is one. */
	if (aside->pid > 0) {
		setpgid(aside->pid, aside->pid);
		return true;
	}
	aside->pid = 0;
	close(pair[0]);
	return false;
}

ssize_t aside_hear(const struct aside *aside, void *answer, size_t size, unsigned seconds)
{
	struct timeval patience = {.tv_sec = seconds};
	ssize_t got;

	setsockopt(aside->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	do
		got = recv(aside->socket, answer, size, MSG_TRUNC);
	while (got < 0 && errno == EINTR);
	return got;
}

int aside_end(struct aside *aside)
{
	int status = 0;

	if (aside->pid == 0)
		return 0;
	close(aside->socket);
	kill(-aside->pid, SIGKILL);
	while (waitpid(aside->pid, &status, 0) < 0 && errno == EINTR)
		;
	aside->pid = 0;
	return status;
}

const char *aside_text(char text[ASIDE_TEXT_MAX], int status)
{
	snprintf(text, ASIDE_TEXT_MAX, "%s-%d", WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return text;
}
