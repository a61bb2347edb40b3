/* Checking a client's certificate, in a process of its own: see external.h. */
#include "external.h"
#include "aside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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

struct check {
	const struct external *external;
	const struct server *server;
};

/* In the process that checks.  It has nothing but a socket, and one answer to give. */
static void run_checker(const void *argument, int monitor)
{
	const struct check *check = argument;
	const struct server *server = check->server;
	char why[LOG_LINE_MAX];
	const struct tls_library *library = tls_load(why);
	struct tls_identity identity;

	library->forget(server->tls);
	sandbox_checker(&server->user, monitor, PATIENCE);
#ifdef PROOF
	if (getenv("POP3D_CHECKER"))
		_exit(proof_try(getenv("POP3D_CHECKER")));
#endif
	library->prove(server->tls, &check->external->proof, &identity);
	send(SANDBOX_MONITOR, &identity, sizeof(identity), MSG_NOSIGNAL);
	_exit(0);
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
	const struct check check = {e, server};
	struct tls_identity identity = {0};
	struct aside checker;
	char end[40], text[ASIDE_TEXT_MAX];
	ssize_t got;
	int status;

	if (!aside_start(&checker, run_checker, &check)) {
		snprintf(reason, LOG_LINE_MAX, "certificate: %s", strerror(errno));
		return false;
	}
	got = aside_hear(&checker, &identity, sizeof(identity), PATIENCE);
	status = aside_end(&checker);
	free(e->transcript);
	e->proof.transcript = e->transcript = NULL;
	e->checked = true;
	if (got < 0) {
		snprintf(reason, LOG_LINE_MAX, "certificate: checking it takes too long");
		return false;
	}
	snprintf(end, sizeof(end), "the check ended with %s", aside_text(text, status));
	if (got == (ssize_t)sizeof(identity) && is_sound(&identity))
		judge(e, &identity, address, NULL);
	else
		judge(e, &identity, address, end);
	return true;
}
