/* The monitor: judges logins, holds the lock, opens and removes messages, writes the log.
 * It starts with the rights that pop3d was started with and becomes the user at the login.
 *
 * Whoever sends the requests may have been taken over by the client: each is checked for
 * its size (request.c), its place in the session, its numbers and its texts, and one that
 * is wrong ends the session. */
#include "monitor_request.h"
#include "aside.h"
#include "marks.h"
#include "memory.h"
#include "pam.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* That is what a handshake takes. */
#define SIGNATURES 1

static monitor_handler handle_open, handle_recount, handle_marks, handle_commit,
	handle_end;

#ifdef PROOF
#include "proof.h"
static monitor_handler handle_try;
#endif

#define AUTHORIZATION MONITOR_AUTHORIZATION
#define TRANSACTION MONITOR_TRANSACTION
#define OVER MONITOR_OVER

static const struct {
	unsigned states;
	monitor_handler *handle;
} handlers[REQUEST_KINDS] = {
	[REQUEST_STLS] = {AUTHORIZATION, handle_stls},
	[REQUEST_SIGN] = {AUTHORIZATION, handle_sign},
	[REQUEST_TICKET] = {AUTHORIZATION, handle_ticket},
	[REQUEST_SECURED] = {AUTHORIZATION, handle_secured},
	[REQUEST_CHALLENGE] = {AUTHORIZATION, handle_challenge},
	[REQUEST_SALT] = {AUTHORIZATION, handle_salt},
	[REQUEST_LOGIN] = {AUTHORIZATION, handle_login},
	[REQUEST_PROOF] = {AUTHORIZATION, handle_login},
	[REQUEST_TRANSCRIPT] = {AUTHORIZATION, handle_transcript},
	[REQUEST_EXTERNAL] = {AUTHORIZATION, handle_external},
	[REQUEST_TOKEN] = {AUTHORIZATION, handle_login},
	[REQUEST_OPEN] = {TRANSACTION, handle_open},
	[REQUEST_RECOUNT] = {TRANSACTION, handle_recount},
	[REQUEST_DELETED] = {TRANSACTION, handle_marks},
	[REQUEST_FETCHED] = {TRANSACTION, handle_marks},
	[REQUEST_COMMIT] = {TRANSACTION, handle_commit},
	[REQUEST_END] = {AUTHORIZATION | TRANSACTION | OVER, handle_end},
#ifdef PROOF
	[REQUEST_TRY] = {AUTHORIZATION | TRANSACTION, handle_try},
#endif
};

bool monitor_reply(struct monitor *m, enum reply_status status)
{
	struct reply reply;

	reply_start(&reply, status);
	return reply_send(m->session, &reply, -1) == 0;
}

bool monitor_violation(struct monitor *m)
{
	m->violated = true;
	return false;
}

void monitor_set_patience(const struct monitor *m, int64_t receive, int64_t send)
{
	struct timeval in = {.tv_sec = receive}, out = {.tv_sec = send};

	setsockopt(m->session, SOL_SOCKET, SO_RCVTIMEO, &in, sizeof(in));
	setsockopt(m->session, SOL_SOCKET, SO_SNDTIMEO, &out, sizeof(out));
}

/* The messages that are probably wanted next.  Returns how many; what is wrong with the one after
 * them is told to who asks for that. */
static size_t open_ahead(struct monitor *m, const struct request *request, int *files)
{
	size_t count = 0;

	while (count < request->ahead
		&& maildrop_message(
			   &m->maildrop, request->number + 1 + count, files + count)
			== MESSAGE_OPEN)
		count++;
	return count;
}

static void log_unreadable(const struct monitor *m, uint32_t number)
{
	log_line(LOG_WARNING, "unreadable address=%s user=%s message=%" PRIu32 ": %s",
		m->connection->peer.address, m->user, number + 1, strerror(errno));
}

static bool handle_open(struct monitor *m, struct request *request)
{
	static const enum reply_status replies[] = {
		[MESSAGE_OPEN] = REPLY_OK,
		[MESSAGE_GONE] = REPLY_GONE,
		[MESSAGE_CHANGED] = REPLY_CHANGED,
		[MESSAGE_UNREADABLE] = REPLY_TEMPORARY,
	};
	enum message_status status;
	struct reply reply;
	int files[REQUEST_FILES];
	size_t count = 0;
	bool sent;

	reply_start(&reply, REPLY_OK);
	if (request->number >= m->count || request->ahead >= REQUEST_FILES
		|| request->ahead >= m->count - request->number)
		return monitor_violation(m);
	/* Descriptors on their way count for all processes of the user id, which many users may
	 * share: a session has one reply's. */
	if (!reply_is_taken(m->session))
		return monitor_violation(m);
	status = maildrop_message(&m->maildrop, request->number, files);
	if (status == MESSAGE_OPEN)
		count = 1 + open_ahead(m, request, files + 1);
	if (status == MESSAGE_UNREADABLE)
		log_unreadable(m, request->number);
	reply.status = replies[status];
	sent = reply_send_files(m->session, &reply, files, count) == 0;
	if (!sent && errno == ETOOMANYREFS) {
		log_unreadable(m, request->number);
		sent = monitor_reply(m, REPLY_TEMPORARY);
	}
	while (count > 0)
		close(files[--count]);
	return sent;
}

static bool handle_recount(struct monitor *m, struct request *request)
{
	if (request->number >= m->count)
		return monitor_violation(m);
	maildrop_recount(&m->maildrop, request->number);
	return true;
}

static bool handle_marks(struct monitor *m, struct request *request)
{
	unsigned char *marks
		= request->kind == REQUEST_DELETED ? m->deleted_marks : m->fetched_marks;
	size_t at = (size_t)request->number * REQUEST_MARKS;
	size_t length = REQUEST_MARKS;

	if (request->number > m->marks_size / REQUEST_MARKS || at >= m->marks_size)
		return monitor_violation(m);
	if (length > m->marks_size - at)
		length = m->marks_size - at;
	memcpy(marks + at, request->marks, length);
	m->marked = true;
	return true;
}

static void log_expired(const struct monitor *m)
{
	if (m->result.expired > 0)
		log_line(LOG_INFO,
			"expired address=%s user=%s messages=%" PRIu64 " octets=%" PRIu64
			" days=%u",
			m->connection->peer.address, m->user, m->result.expired,
			m->result.expired_octets, m->terms.expire);
	if (m->result.unexpired > 0)
		log_line(LOG_ERR,
			"not-expired address=%s user=%s messages=%" PRIu64 ": %s",
			m->connection->peer.address, m->user, m->result.unexpired,
			strerror(m->result.expire_error));
}

static bool handle_commit(struct monitor *m, struct request *request)
{
	struct maildrop_orders orders = {
		.deleted = m->deleted_marks,
		.fetched = m->fetched_marks,
		.marked = m->marked,
		.expire = m->terms.expire,
		.folder = m->server->conf.deleted_folder,
	};
	struct reply reply;

	reply_start(&reply, REPLY_OK);
	(void)request;
	maildrop_commit(&m->maildrop, &orders, &m->result);
	/* RFC 1939 s.6: the lock goes before the reply, or a client that comes back at
	 * once would find it. */
	maildrop_close(&m->maildrop);
	m->state = OVER;
	if (m->result.failed > 0)
		log_line(LOG_ERR,
			"not-removed address=%s user=%s messages=%" PRIu64 ": %s",
			m->connection->peer.address, m->user, m->result.failed,
			strerror(m->result.error));
	log_expired(m);
	reply.commit.deleted = m->result.deleted;
	reply.commit.failed = m->result.failed;
	reply.commit.left = m->result.left;
	reply.commit.left_octets = m->result.left_octets;
	return reply_send(m->session, &reply, -1) == 0;
}

static bool handle_end(struct monitor *m, struct request *request)
{
	if (request->end.reason == END_STLS && !m->stls)
		return monitor_violation(m);
	m->end = request->end;
	m->ended = true;
	m->state = OVER;
	return false;
}

#ifdef PROOF
static bool handle_try(struct monitor *m, struct request *request)
{
	return monitor_reply(m, (enum reply_status)proof_try(request->login.user));
}
#endif

static bool hello(struct monitor *m)
{
	struct reply reply;
	bool sent;

	reply_start(&reply, REPLY_OK);
	reply.hello.methods = m->offers;
	reply.hello.challenges = m->challenges;
	reply.hello.least = m->users.least;
	reply.hello.most = m->users.most;
	memcpy(reply.hello.timestamp, m->timestamp, sizeof(m->timestamp));
	if (m->secure)
		monitor_ticket(m, true, &reply.hello.ticket);
	sent = reply_send(m->session, &reply, -1) == 0;
	explicit_bzero(&reply.hello.ticket, sizeof(reply.hello.ticket));
	return sent;
}

/* Whether another session has been let in: then this one ends as if its client had gone, and
 * deletes nothing. */
static bool give_way(struct monitor *m)
{
	if (!takeover_asked || m->state != TRANSACTION)
		return false;
	takeover_asked = 0;
	m->taken_over = takeover_is_wanted(m->maildrop.lock)
		&& takeover_is_silent(&m->takeover);
	if (m->taken_over)
		takeover_end(&m->takeover);
	return m->taken_over;
}

/* Nothing was asked for a while.  Before the login that is more than a session may take. */
static bool rest(struct monitor *m)
{
	if (m->state == AUTHORIZATION)
		return monitor_violation(m);
	memory_rest();
	monitor_set_patience(m, 0, MONITOR_PATIENCE);
	return true;
}

/* Answers one request.  Returns false once there is nothing more to answer. */
static bool serve_request(struct monitor *m)
{
	struct request *request = &m->request;
	bool more;

	switch (request_receive(m->session, request)) {
	case REQUEST_CAME:
		break;
	case REQUEST_NONE:
		return false;
	case REQUEST_INTERRUPTED:
		return !give_way(m);
	case REQUEST_LATE:
		return rest(m);
	default:
		return monitor_violation(m);
	}
	if (request->kind >= REQUEST_KINDS
		|| !(handlers[request->kind].states & m->state))
		more = monitor_violation(m);
	else
		more = handlers[request->kind].handle(m, request);
	explicit_bzero(request, request_size(request->kind));
	return more;
}

/* How the session's process ended, where it did not say so itself.  One that does not end is
 * killed: here, or by who started this process, or by the kernel. */
static const char *end_of_process(
	const struct monitor *m, pid_t session, char text[ASIDE_TEXT_MAX])
{
	const struct timespec patience = {MONITOR_PATIENCE, 0};
	sigset_t child;
	int status = 0;
	pid_t ended = 0;

	if (m->violated)
		kill(session, SIGKILL);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	do {
		if (sigtimedwait(&child, NULL, &patience) < 0 && errno == EAGAIN)
			break;
		ended = waitpid(session, &status, WNOHANG);
	} while (ended == 0);
	if (ended != session) {
		kill(session, SIGKILL);
		return "lost";
	}
	return aside_text(text, status);
}

static void log_end(const struct monitor *m, const char *process)
{
	bool told = m->ended;
	const char *reason = told ? request_end_name(m->end.reason) : process;
	struct timespec now;
	long long milliseconds;

	if (m->violated)
		reason = "violation";
	if (m->taken_over)
		reason = "takeover";
	if (told && m->end.plaintext_refused)
		log_line(LOG_NOTICE,
			"login-refused address=%s user=- method=- reason=plaintext",
			m->connection->peer.address);
	clock_gettime(CLOCK_MONOTONIC, &now);
	milliseconds = (now.tv_sec - m->connection->started.tv_sec) * 1000LL
		+ (now.tv_nsec - m->connection->started.tv_nsec) / 1000000;
	log_line(LOG_INFO,
		"end address=%s user=%s reason=%s fetched=%" PRIu32
		" fetched_octets=%" PRIu64 " deleted=%" PRIu64 " deleted_octets=%" PRIu64
		" left=%" PRIu64 " left_octets=%" PRIu64 " seconds=%lld.%03lld",
		m->connection->peer.address, m->user, reason, m->end.fetched,
		m->end.fetched_octets, m->result.deleted, m->result.deleted_octets,
		m->result.left, m->result.left_octets, milliseconds / 1000,
		milliseconds % 1000);
}

void monitor_start(struct monitor *m, struct server *server, struct connection *c)
{
	sigset_t child;

	m->server = server;
	m->connection = c;
	strcpy(m->user, "-");
	maildrop_none(&m->maildrop);
	users_summarize(&server->conf, &m->users);
	m->offers = auth_offers(&server->conf, &m->users);
	m->challenges = REQUEST_CHALLENGES;
	if ((m->offers & AUTH_METHOD(AUTH_APOP))
		&& auth_timestamp(m->timestamp, server->conf.hostname) < 0)
		m->timestamp[0] = '\0';
	/* Taken, not handled: end_of_process waits for it. */
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
}

/* The client sees the end of its session, unless another one follows. */
static void close_client(struct monitor *m, bool goes_on)
{
	if (goes_on || m->connection->client < 0)
		return;
	close(m->connection->client);
	m->connection->client = -1;
}

bool monitor_run(struct monitor *m, int socket, pid_t session, bool secure)
{
	const char *process;
	char text[ASIDE_TEXT_MAX];

	m->session = socket;
	m->state = AUTHORIZATION;
	m->secure = secure;
	m->stls = false;
	m->signatures = SIGNATURES;
	m->tickets = TLS_TICKETS;
	m->challenge[0] = m->nonce[0] = '\0';
	m->ended = false;
	external_start(&m->external);
	monitor_set_patience(m,
		(m->connection->deadline - wire_now()) / 1000 + MONITOR_PATIENCE,
		MONITOR_PATIENCE);
	if (hello(m)) {
		while (serve_request(m))
			;
	}
	monitor_log_unanswered(m);
	/* Before the wait: the session may have been ended for what it asked. */
	maildrop_close(&m->maildrop);
	close(socket);
	close_client(m, m->stls && m->ended);
	process = end_of_process(m, session, text);
	if (m->stls && m->ended && m->end.reason == END_STLS)
		return true;
	monitor_forget_tls(m);
	pam_finish();
	log_end(m, process);
	return false;
}
