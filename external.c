/* Checking a client's certificate, in a process of its own: see external.h. */
#include "external.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef PROOF
#include "proof.h"
#endif

#define PATIENCE 5 /* seconds */

void external_start(struct external *e)
{
	free(e->transcript);
	memset(e, 0, sizeof(*e));
}

void external_signed(struct external *e, const struct tls_sign *wanted,
	const unsigned char *signature, size_t length)
{
	e->proof.number = wanted->number;
	e->proof.signature_length = (uint32_t)length;
	memcpy(e->proof.signature, signature, length);
}

bool external_take(
	struct external *e, uint32_t number, const unsigned char *data, size_t length)
{
	if (e->proof.signature_length == 0 || e->checked || length == 0
		|| length > REQUEST_PIECE
		|| (uint64_t)number * REQUEST_PIECE != e->proof.length
		|| length > TLS_TRANSCRIPT_MAX - e->proof.length)
		return false;
	if (!e->transcript)
		e->transcript = malloc(TLS_TRANSCRIPT_MAX);
	if (!e->transcript)
		log_fatal("out of memory");
	memcpy(e->transcript + e->proof.length, data, length);
	e->proof.transcript = e->transcript;
	e->proof.length += length;
	return true;
}

/* In the process that checks.  It has nothing but a socket, and one answer to give. */
static void run_checker(
	const struct external *e, const struct server *server, int monitor)
{
	char why[LOG_LINE_MAX];
	const struct tls_library *library = tls_load(why);
	struct tls_identity identity;

	library->forget(server->tls);
	sandbox_checker(&server->user, monitor, PATIENCE);
#ifdef PROOF
	if (getenv("POP3D_CHECKER"))
		_exit(proof_try(getenv("POP3D_CHECKER")));
#endif
	library->prove(server->tls, &e->proof, &identity);
	send(SANDBOX_MONITOR, &identity, sizeof(identity), MSG_NOSIGNAL);
	_exit(0);
}

/* Returns its process and the socket to it; -1 with errno. */
static pid_t start_checker(
	const struct external *e, const struct server *server, int *socket)
{
	int pair[2];
	pid_t checker;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	checker = fork();
	if (checker == 0)
		run_checker(e, server, pair[1]);
	close(pair[1]);
	if (checker < 0)
		close(pair[0]);
	*socket = pair[0];
	return checker;
}

/* Returns the octets that came; -1 with EAGAIN where none did in time. */
static ssize_t hear_checker(int from, struct tls_identity *identity)
{
	struct timeval patience = {.tv_sec = PATIENCE};
	ssize_t got;

	setsockopt(from, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	do
		got = recv(from, identity, sizeof(*identity), MSG_TRUNC);
	while (got < 0 && errno == EINTR);
	return got;
}

/* SIGCHLD is left as it is: one for the session may be among them. */
static void end_checker(pid_t checker, char text[40])
{
	int status = 0;

	kill(checker, SIGKILL);
	while (waitpid(checker, &status, 0) < 0 && errno == EINTR)
		;
	snprintf(text, 40, "the check ended with %s-%d",
		WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

/* Whoever answers may have been taken over by what it read. */
static bool is_sound(const struct tls_identity *identity)
{
	return identity->verdict < TLS_PROOF_VERDICTS
		&& memchr(identity->name, '\0', sizeof(identity->name));
}

static void judge(struct external *e, const struct tls_identity *identity,
	const char *address, const char *failure)
{
	char why[LOG_LINE_MAX];

	if (!failure && identity->verdict != TLS_PROVEN)
		failure = tls_load(why)->unproven(identity);
	if (!failure && !users_name_is_safe(identity->name))
		failure = "no user can have the name in it";
	if (failure)
		log_line(LOG_NOTICE, "certificate-refused address=%s: %s", address,
			failure);
	else
		strcpy(e->name, identity->name);
}

bool external_check(
	struct external *e, struct server *server, const char *address, char *reason)
{
	struct tls_identity identity = {0};
	char end[40];
	int socket;
	pid_t checker = start_checker(e, server, &socket);
	ssize_t got;
	bool sound;

	if (checker < 0) {
		snprintf(reason, LOG_LINE_MAX, "certificate: %s", strerror(errno));
		return false;
	}
	got = hear_checker(socket, &identity);
	close(socket);
	end_checker(checker, end);
	free(e->transcript);
	e->proof.transcript = e->transcript = NULL;
	e->checked = true;
	if (got < 0) {
		snprintf(reason, LOG_LINE_MAX, "certificate: checking it takes too long");
		return false;
	}
	sound = got == (ssize_t)sizeof(identity) && is_sound(&identity);
	judge(e, &identity, address, sound ? NULL : end);
	return true;
}
