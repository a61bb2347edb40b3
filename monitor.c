/* The monitor: judges logins, holds the lock, opens and removes messages, writes the log.
 * It starts with the rights that pop3d was started with and becomes the user at the login.
 *
 * Whoever sends the requests may have been taken over by the client: each is checked for
 * its size (request.c), its place in the session, its numbers and its texts, and one that
 * is wrong ends the session. */
#include "monitor.h"
#include "marks.h"
#include "sandbox.h"
#include "saslprep.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* After each failed login the answer comes this many seconds after the question, or a
 * multiple of them where the verdict took longer: its time tells nothing, and guessing is
 * slow. */
static const unsigned delays[] = {1, 2, 4};

#define TRIES (sizeof(delays) / sizeof(delays[0]))

/* That is what a handshake takes. */
#define SIGNATURES 1

/* How long a session may take to do what it must do at once, in seconds. */
#define PATIENCE 5

/* Returns false where the session is to be ended. */
typedef bool handler(struct monitor *m, struct request *request);

static handler handle_stls, handle_sign, handle_ticket, handle_secured, handle_challenge,
	handle_salt, handle_login, handle_transcript, handle_external, handle_open,
	handle_recount, handle_marks, handle_commit, handle_end;

#ifdef PROOF
#include "proof.h"
static handler handle_try;
#endif

#define AUTHORIZATION MONITOR_AUTHORIZATION
#define TRANSACTION MONITOR_TRANSACTION
#define OVER MONITOR_OVER

static const struct {
	unsigned states;
	handler *handle;
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

/* A text with its end in it. */
#define IS_TEXT(array) (memchr(array, '\0', sizeof(array)) != NULL)

static bool reply_status(struct monitor *m, enum reply_status status)
{
	struct reply reply = {.status = status};

	return reply_send(m->session, &reply, -1) == 0;
}

static bool violation(struct monitor *m)
{
	m->violated = true;
	return false;
}

void monitor_close_connection(struct monitor *m)
{
	struct wire_ends *ends = &m->connection->ends;

	if (ends->in >= 0)
		close(ends->in);
	if (ends->out >= 0)
		close(ends->out);
	ends->in = ends->out = -1;
}

/* TLS. */

static bool handle_stls(struct monitor *m, struct request *request)
{
	(void)request;
	if (m->secure || m->connection->ends.in < 0)
		return violation(m);
	if (!serve_load_tls(m->server, false))
		return reply_status(m, REPLY_PERMANENT);
	m->stls = true;
	m->state = OVER;
	return reply_status(m, REPLY_OK);
}

static bool handle_sign(struct monitor *m, struct request *request)
{
	struct reply reply = {.status = REPLY_OK};
	char why[LOG_LINE_MAX];

	if (!m->secure || m->signatures == 0 || request->sign.length > TLS_SIGN_MAX)
		return violation(m);
	m->signatures--;
	reply.sign.length = (uint32_t)tls_load(why)->sign(
		m->server->tls, &request->sign, reply.sign.signature);
	external_signed(
		&m->external, &request->sign, reply.sign.signature, reply.sign.length);
	return reply_send(m->session, &reply, -1) == 0;
}

static bool handle_ticket(struct monitor *m, struct request *request)
{
	struct reply reply = {.status = REPLY_OK};
	char why[LOG_LINE_MAX];
	bool sent;

	if (!m->secure || m->tickets == 0)
		return violation(m);
	m->tickets--;
	memcpy(reply.ticket.name, request->ticket.name, TLS_TICKET_NAME);
	reply.ticket.found = tls_load(why)->ticket(m->server->tls,
		request->ticket.fresh != 0, reply.ticket.name, &reply.ticket.keys);
	sent = reply_send(m->session, &reply, -1) == 0;
	explicit_bzero(&reply, sizeof(reply));
	return sent;
}

/* The words are the session's; what they can do is mislead a reader of the log. */
static bool handle_secured(struct monitor *m, struct request *request)
{
	const struct tls_outcome *outcome = &request->secured.outcome;
	char subject[LOG_QUOTE_SIZE], why[LOG_LINE_MAX];

	if (!m->secure || m->secured || !IS_TEXT(outcome->subject))
		return violation(m);
	m->secured = true;
	m->outcome = *outcome;
	if (!request->secured.done)
		log_line(LOG_INFO, "tls-failed address=%s: %s",
			m->connection->peer.address,
			tls_load(why)->reason(outcome->error));
	else if (outcome->subject[0])
		log_line(LOG_INFO, "certificate address=%s subject=%s",
			m->connection->peer.address,
			log_quote(subject, outcome->subject, strlen(outcome->subject)));
	return true;
}

/* For the log. */
static const char *tls_version(const struct monitor *m)
{
	if (!m->secured)
		return "-";
	return m->outcome.version >= 0x0304 ? "1.3" : "1.2";
}

/* No one who becomes a user takes the server's keys along, nor the connection. */
static void forget_tls(struct monitor *m)
{
	char why[LOG_LINE_MAX];

	monitor_close_connection(m);
	if (m->server->tls)
		tls_load(why)->forget(m->server->tls);
	m->signatures = m->tickets = 0;
}

static void wait_until(struct timespec when)
{
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
		;
}

static bool deny(struct monitor *m, struct timespec asked)
{
	unsigned delay = delays[m->failures++];
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	do
		asked.tv_sec += delay;
	while (asked.tv_sec < now.tv_sec
		|| (asked.tv_sec == now.tv_sec && asked.tv_nsec < now.tv_nsec));
	wait_until(asked);
	if (m->failures < TRIES)
		return reply_status(m, REPLY_DENIED);
	m->state = OVER;
	return reply_status(m, REPLY_DENIED_LAST);
}

/* The log's words for an attempt. */
static void log_attempt(const struct monitor *m, int priority, const char *event,
	const struct request_login *login, const char *reason)
{
	log_line(priority, "%s address=%s user=%s method=%s reason=%s", event,
		m->connection->peer.address, m->tried, auth_method_name(login->method),
		reason);
}

/* Nothing more can be asked: the monitor may have become the user by now. */
static bool refuse(struct monitor *m, const struct request *request,
	enum reply_status status, const char *reason)
{
	bool usual = status == REPLY_IN_USE || status == REPLY_EARLY;
	struct reply reply = {.status = status, .login.seconds = m->maildrop.seconds};

	log_attempt(
		m, usual ? LOG_INFO : LOG_ERR, "login-refused", &request->login, reason);
	m->state = OVER;
	return reply_send(m->session, &reply, -1) == 0;
}

static enum reply_status status_of(enum maildrop_status status)
{
	switch (status) {
	case MAILDROP_OPEN:
		return REPLY_OK;
	case MAILDROP_IN_USE:
		return REPLY_IN_USE;
	case MAILDROP_EARLY:
		return REPLY_EARLY;
	case MAILDROP_PERMANENT:
		return REPLY_PERMANENT;
	default:
		return REPLY_TEMPORARY;
	}
}

/* Becomes the user and opens the maildrop.  `reason` tells why not. */
static enum reply_status enter(
	struct monitor *m, const struct account *account, const char *user, char *reason)
{
	const struct maildrop_manner manner = {
		.login_delay = account->terms.login_delay,
		.burst = m->server->conf.login_delay_burst,
	};
	char path[PATH_MAX];
	const char *wrong = users_maildir(path, &m->server->conf, user, account);

	if (wrong) {
		snprintf(reason, LOG_LINE_MAX, "maildir: %s", wrong);
		return REPLY_PERMANENT;
	}
	forget_tls(m);
	if (sandbox_become(account, user) < 0) {
		snprintf(reason, LOG_LINE_MAX, "can't become uid %lu: %s",
			(unsigned long)account->uid, strerror(errno));
		return REPLY_PERMANENT;
	}
	index_boot(); /* which stands elsewhere */
	if (sandbox_maildir(path) < 0) {
		snprintf(reason, LOG_LINE_MAX, "sandbox: %s", strerror(errno));
		return REPLY_TEMPORARY;
	}
	m->terms = account->terms;
	return status_of(maildrop_open(&m->maildrop, path, &manner, reason));
}

/* A session that does not answer, or does not listen, holds nobody up for long.  After the login
 * it may be busy with a message for hours. */
static void set_patience(const struct monitor *m, int64_t receive, int64_t send)
{
	struct timeval in = {.tv_sec = receive}, out = {.tv_sec = send};

	setsockopt(m->session, SOL_SOCKET, SO_RCVTIMEO, &in, sizeof(in));
	setsockopt(m->session, SOL_SOCKET, SO_SNDTIMEO, &out, sizeof(out));
}

static bool grant(struct monitor *m, const struct request *request,
	const unsigned char signature[DIGEST_MAX])
{
	const struct index_header *header = &m->maildrop.index.header;
	struct reply reply = {.status = REPLY_OK};
	int reader = maildrop_reader(&m->maildrop);
	bool sent;

	if (reader < 0)
		return refuse(m, request, REPLY_TEMPORARY, strerror(errno));
	m->count = reply.login.messages = header->count;
	reply.login.octets = m->result.left_octets = header->octets;
	memcpy(reply.login.signature, signature, DIGEST_MAX);
	reply.login.terms = m->terms;
	m->result.left = header->count;
	m->marks_size = marks_size(m->count);
	m->deleted_marks = marks_new(m->marks_size);
	m->fetched_marks = marks_new(m->marks_size);
	if (!m->deleted_marks || !m->fetched_marks)
		log_fatal("out of memory");
	m->state = TRANSACTION;
	m->takeover.client = m->connection->client;
	m->takeover.seconds = m->server->conf.takeover;
	takeover_listen();
	set_patience(m, 0, PATIENCE);
	strcpy(m->user, m->tried);
	log_line(LOG_INFO,
		"login address=%s user=%s method=%s tls=%s messages=%" PRIu64
		" octets=%" PRIu64,
		m->connection->peer.address, m->user,
		auth_method_name(request->login.method), tls_version(m), header->count,
		header->octets);
	sent = reply_send(m->session, &reply, reader) == 0;
	close(reader);
	return sent;
}

/* What the next login has to answer. */

/* RFC 5034 s.4, RFC 4013.  A name that can't be prepared is nobody's who was looked for so. */
static void prepare_name(struct request_login *login)
{
	char prepared[REQUEST_TEXT_MAX];

	if (login->method >= AUTH_PLAIN
		&& saslprep(prepared, sizeof(prepared), login->user))
		memcpy(login->user, prepared, strlen(prepared) + 1);
}

/* Whoever asks for salts and proves nothing may be looking for names. */
static void log_unanswered(struct monitor *m)
{
	if (!m->nonce[0])
		return;
	m->nonce[0] = '\0';
	log_quote(m->tried, m->asked.user, strlen(m->asked.user));
	log_attempt(m, LOG_NOTICE, "login-failed", &m->asked, "unanswered");
}

/* Whether this session may log in so, now. */
static bool may_use(const struct monitor *m, uint32_t method)
{
	return method < AUTH_METHODS && (m->offers & AUTH_METHOD(method))
		&& (m->secure
			|| (!auth_is_bound(method)
				&& (!auth_sends_secret(method)
					|| conf_plaintext(&m->server->conf,
						&m->connection->peer.at))));
}

static bool handle_challenge(struct monitor *m, struct request *request)
{
	struct reply reply = {.status = REPLY_OK};

	(void)request;
	if (m->challenges == 0)
		return violation(m);
	m->challenges--;
	log_unanswered(m);
	if (auth_timestamp(m->challenge, m->server->conf.hostname) < 0) {
		m->challenge[0] = '\0';
		reply.status = REPLY_TEMPORARY;
	}
	memcpy(reply.challenge, m->challenge, sizeof(m->challenge));
	return reply_send(m->session, &reply, -1) == 0;
}

static bool handle_salt(struct monitor *m, struct request *request)
{
	const struct auth_attempt attempt = {
		.conf = &m->server->conf,
		.users = &m->users,
		.method = request->login.method,
		.user = request->login.user,
	};
	struct reply reply = {.status = REPLY_OK};
	unsigned char random[REQUEST_NONCE_MAX / 4 * 3];
	char reason[LOG_LINE_MAX] = "";

	if (m->challenges == 0 || !may_use(m, request->login.method)
		|| !auth_is_scram(request->login.method) || !IS_TEXT(request->login.user))
		return violation(m);
	m->challenges--;
	log_unanswered(m);
	prepare_name(&request->login);
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return reply_status(m, REPLY_TEMPORARY);
	base64_encode(m->nonce, random, sizeof(random));
	memcpy(reply.salt.nonce, m->nonce, sizeof(m->nonce));
	m->asked.method = request->login.method;
	memcpy(m->asked.user, request->login.user, sizeof(m->asked.user));
	if (!auth_salt(&attempt, &reply.salt.salt, reason)) {
		m->nonce[0] = '\0';
		log_quote(m->tried, attempt.user, strlen(attempt.user));
		return refuse(m, request, REPLY_PERMANENT, reason);
	}
	return reply_send(m->session, &reply, -1) == 0;
}

/* A challenge is good for one answer.  That it stands in an AuthMessage makes the proof a new one:
 * the monitor need not know the rest of that. */
static bool take_challenge(
	struct monitor *m, const struct request *request, struct auth_attempt *attempt)
{
	static char challenge[AUTH_TIMESTAMP_MAX];
	bool good = true;

	switch (attempt->method) {
	case AUTH_APOP:
		attempt->challenge = m->timestamp;
		break;
	case AUTH_CRAM_MD5:
		memcpy(challenge, m->challenge, sizeof(challenge));
		attempt->challenge = challenge;
		good = challenge[0] != '\0';
		m->challenge[0] = '\0';
		break;
	default:
		if (!auth_is_scram(attempt->method))
			break;
		attempt->challenge = request->proof.message;
		good = IS_TEXT(request->proof.message) && m->nonce[0]
			&& strstr(request->proof.message, m->nonce);
		m->nonce[0] = '\0';
	}
	return good;
}

static uint32_t kind_of(enum auth_method method)
{
	if (auth_is_scram(method))
		return REQUEST_PROOF;
	if (method == AUTH_EXTERNAL)
		return REQUEST_EXTERNAL;
	return auth_takes_token(method) ? REQUEST_TOKEN : REQUEST_LOGIN;
}

static bool login_is_sound(const struct monitor *m, const struct request *request)
{
	const struct request_login *login = &request->login;

	if (!may_use(m, login->method) || request->kind != kind_of(login->method)
		|| !IS_TEXT(login->user))
		return false;
	if (request->kind == REQUEST_TOKEN)
		return IS_TEXT(request->token.text)
			&& oauth_is_token(request->token.text);
	return !auth_takes_password(login->method) || IS_TEXT(login->secret);
}

static void wipe_secrets(struct request *request)
{
	if (request->kind == REQUEST_TOKEN)
		explicit_bzero(request->token.text, sizeof(request->token.text));
	else if (request->kind != REQUEST_EXTERNAL)
		explicit_bzero(request->login.secret, sizeof(request->login.secret));
}

static bool judge(struct monitor *m, struct request *request,
	struct auth_attempt *attempt, struct timespec asked)
{
	static struct account account;
	unsigned char signature[DIGEST_MAX] = {0};
	char reason[LOG_LINE_MAX] = "", named[AUTH_NAME_MAX] = "";
	enum auth_verdict verdict;
	enum reply_status status;
	const char *user;

	if (request->kind == REQUEST_TOKEN)
		verdict = oauth_check(attempt, &m->server->user, named, &account, reason);
	else
		verdict = auth_check(attempt, &account, signature, reason);
	wipe_secrets(request);
	user = *attempt->user ? attempt->user : named;
	log_quote(m->tried, user, strlen(user));
	if (verdict == AUTH_DENIED) {
		log_attempt(m, LOG_NOTICE, "login-failed", &request->login, reason);
		return deny(m, asked);
	}
	if (verdict == AUTH_BROKEN)
		return refuse(m, request, REPLY_PERMANENT, reason);
	if (verdict == AUTH_UNSURE)
		return refuse(m, request, REPLY_TEMPORARY, reason);
	status = enter(m, &account, user, reason);
	if (status != REPLY_OK)
		return refuse(m, request, status, reason);
	return grant(m, request, signature);
}

/* A proof and a token begin as a login does. */
static bool handle_login(struct monitor *m, struct request *request)
{
	struct auth_attempt attempt = {
		.conf = &m->server->conf,
		.users = &m->users,
		.method = request->login.method,
		.user = request->login.user,
		.secret = request->kind == REQUEST_TOKEN ? request->token.text
							 : request->login.secret,
	};
	struct timespec asked;

	if (!login_is_sound(m, request) || !take_challenge(m, request, &attempt))
		return violation(m);
	clock_gettime(CLOCK_MONOTONIC, &asked);
	prepare_name(&request->login);
	return judge(m, request, &attempt, asked);
}

static bool handle_transcript(struct monitor *m, struct request *request)
{
	if (!m->secure || !(m->offers & AUTH_METHOD(AUTH_EXTERNAL))
		|| !external_take(&m->external, request->number, request->piece.data,
			request->piece.length))
		return violation(m);
	return true;
}

/* RFC 4422 A.: who does not say who it is, is whom the certificate names. */
static bool handle_external(struct monitor *m, struct request *request)
{
	struct external *e = &m->external;
	const char *user = request->login.user;
	struct auth_attempt attempt
		= {.conf = &m->server->conf, .users = &m->users, .method = AUTH_EXTERNAL};
	char reason[LOG_LINE_MAX];
	struct timespec asked;

	if (!login_is_sound(m, request) || e->proof.length == 0
		|| request->number != e->proof.length)
		return violation(m);
	clock_gettime(CLOCK_MONOTONIC, &asked);
	prepare_name(&request->login);
	log_quote(m->tried, user, strlen(user));
	if (!e->checked
		&& !external_check(e, m->server, m->connection->peer.address, reason))
		return refuse(m, request, REPLY_TEMPORARY, reason);
	attempt.user = *user ? user : e->name;
	attempt.secret = e->name;
	return judge(m, request, &attempt, asked);
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
	struct reply reply = {0};
	int fd = -1;
	bool sent;

	if (request->number >= m->count)
		return violation(m);
	status = maildrop_message(&m->maildrop, request->number, &fd);
	if (status == MESSAGE_UNREADABLE)
		log_line(LOG_WARNING,
			"unreadable address=%s user=%s message=%" PRIu32 ": %s",
			m->connection->peer.address, m->user, request->number + 1,
			strerror(errno));
	reply.status = replies[status];
	sent = reply_send(m->session, &reply, fd) == 0;
	if (fd >= 0)
		close(fd);
	return sent;
}

static bool handle_recount(struct monitor *m, struct request *request)
{
	if (request->number >= m->count)
		return violation(m);
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
		return violation(m);
	if (length > m->marks_size - at)
		length = m->marks_size - at;
	memcpy(marks + at, request->marks, length);
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
		.expire = m->terms.expire,
		.folder = m->server->conf.deleted_folder,
	};
	struct reply reply = {.status = REPLY_OK};

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
		return violation(m);
	m->end = *request;
	m->state = OVER;
	return false;
}

#ifdef PROOF
static bool handle_try(struct monitor *m, struct request *request)
{
	return reply_status(m, (enum reply_status)proof_try(request->login.user));
}
#endif

static bool hello(struct monitor *m)
{
	struct reply reply = {.status = REPLY_OK};

	reply.hello.methods = m->offers;
	reply.hello.challenges = m->challenges;
	reply.hello.least = m->users.least;
	reply.hello.most = m->users.most;
	memcpy(reply.hello.timestamp, m->timestamp, sizeof(m->timestamp));
	return reply_send(m->session, &reply, -1) == 0;
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

/* Answers one request.  Returns false once there is nothing more to answer. */
static bool serve_request(struct monitor *m)
{
	struct request request;
	bool more;

	switch (request_receive(m->session, &request)) {
	case REQUEST_CAME:
		break;
	case REQUEST_NONE:
		return false;
	case REQUEST_INTERRUPTED:
		return !give_way(m);
	default:
		return violation(m);
	}
	if (request.kind >= REQUEST_KINDS || !(handlers[request.kind].states & m->state))
		more = violation(m);
	else
		more = handlers[request.kind].handle(m, &request);
	explicit_bzero(&request, sizeof(request));
	return more;
}

/* How the session's process ended, where it did not say so itself.  One that does not end is
 * killed: here, or by who started this process, or by the kernel. */
static const char *end_of_process(const struct monitor *m, pid_t session, char text[40])
{
	const struct timespec patience = {PATIENCE, 0};
	sigset_t child;
	int status = 0;
	pid_t ended;

	if (m->violated)
		kill(session, SIGKILL);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	/* Asked first: the signal may have been taken by who waited for another process. */
	while ((ended = waitpid(session, &status, WNOHANG)) == 0) {
		if (sigtimedwait(&child, NULL, &patience) < 0 && errno == EAGAIN)
			break;
	}
	if (ended != session) {
		kill(session, SIGKILL);
		return "lost";
	}
	if (WIFSIGNALED(status))
		snprintf(text, 40, "signal-%d", WTERMSIG(status));
	else
		snprintf(text, 40, "status-%d", WEXITSTATUS(status));
	return text;
}

static void log_end(const struct monitor *m, const char *process)
{
	bool told = m->end.kind == REQUEST_END;
	const char *reason = told ? request_end_name(m->end.end.reason) : process;
	struct timespec now;
	long long milliseconds;

	if (m->violated)
		reason = "violation";
	if (m->taken_over)
		reason = "takeover";
	if (told && m->end.end.plaintext_refused)
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
		m->connection->peer.address, m->user, reason, m->end.end.fetched,
		m->end.end.fetched_octets, m->result.deleted, m->result.deleted_octets,
		m->result.left, m->result.left_octets, milliseconds / 1000,
		milliseconds % 1000);
}

void monitor_start(struct monitor *m, struct server *server, struct connection *c)
{
	sigset_t child;

	memset(m, 0, sizeof(*m));
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
	char text[40];

	m->session = socket;
	m->state = AUTHORIZATION;
	m->secure = secure;
	m->stls = false;
	m->signatures = SIGNATURES;
	m->tickets = TLS_TICKETS;
	m->challenge[0] = m->nonce[0] = '\0';
	external_start(&m->external);
	m->end.kind = 0;
	set_patience(
		m, (m->connection->deadline - wire_now()) / 1000 + PATIENCE, PATIENCE);
	if (hello(m)) {
		while (serve_request(m))
			;
	}
	log_unanswered(m);
	/* Before the wait: the session may have been ended for what it asked. */
	maildrop_close(&m->maildrop);
	close(socket);
	close_client(m, m->stls && m->end.kind == REQUEST_END);
	process = end_of_process(m, session, text);
	if (m->stls && m->end.kind == REQUEST_END && m->end.end.reason == END_STLS)
		return true;
	forget_tls(m);
	log_end(m, process);
	return false;
}
