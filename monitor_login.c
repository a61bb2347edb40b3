/* Logins: challenges, verdicts, delays, and what becomes of who is let in.  Runs in the monitor, which
 * becomes the user here. */
#include "checkpassword.h"
#include "marks.h"
#include "monitor_request.h"
#include "memory.h"
#include "pam.h"
#include "sandbox.h"
#include "saslprep.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

/* After each failed login the answer comes this many seconds after the question, or a
 * multiple of them where the verdict took longer: its time tells nothing, and guessing is
 * slow. */
static const unsigned delays[] = {1, 2, 4};

#define TRIES (sizeof(delays) / sizeof(delays[0]))

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
		return monitor_reply(m, REPLY_DENIED);
	m->state = MONITOR_OVER;
	return monitor_reply(m, REPLY_DENIED_LAST);
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
	struct reply reply;

	reply_start(&reply, status);
	reply.login.seconds = m->maildrop.seconds;
	log_attempt(
		m, usual ? LOG_INFO : LOG_ERR, "login-refused", &request->login, reason);
	m->state = MONITOR_OVER;
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
	monitor_forget_tls(m);
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

static bool grant(struct monitor *m, const struct request *request,
	const unsigned char signature[DIGEST_MAX])
{
	const struct index_header *header = &m->maildrop.index.header;
	struct reply reply;
	int reader = maildrop_reader(&m->maildrop);
	bool sent;

	reply_start(&reply, REPLY_OK);
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
	m->state = MONITOR_TRANSACTION;
	m->takeover.client = m->connection->client;
	m->takeover.seconds = m->server->conf.takeover;
	takeover_listen();
	monitor_set_patience(m, MEMORY_REST_AFTER, MONITOR_PATIENCE);
	strcpy(m->user, m->tried);
	log_line(LOG_INFO,
		"login address=%s user=%s method=%s tls=%s messages=%" PRIu64
		" octets=%" PRIu64,
		m->connection->peer.address, m->user,
		auth_method_name(request->login.method), monitor_tls_version(m),
		header->count, header->octets);
	sent = reply_send(m->session, &reply, reader) == 0;
	if (!sent && errno == ETOOMANYREFS)
		sent = refuse(m, request, REPLY_TEMPORARY, strerror(errno));
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

void monitor_log_unanswered(struct monitor *m)
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

bool handle_challenge(struct monitor *m, struct request *request)
{
	struct reply reply;

	reply_start(&reply, REPLY_OK);
	(void)request;
	if (m->challenges == 0)
		return monitor_violation(m);
	m->challenges--;
	monitor_log_unanswered(m);
	if (auth_timestamp(m->challenge, m->server->conf.hostname) < 0) {
		m->challenge[0] = '\0';
		reply.status = REPLY_TEMPORARY;
	}
	memcpy(reply.challenge, m->challenge, sizeof(m->challenge));
	return reply_send(m->session, &reply, -1) == 0;
}

bool handle_salt(struct monitor *m, struct request *request)
{
	const struct auth_attempt attempt = {
		.conf = &m->server->conf,
		.users = &m->users,
		.method = request->login.method,
		.user = request->login.user,
	};
	struct reply reply;
	unsigned char random[REQUEST_NONCE_MAX / 4 * 3];
	char reason[LOG_LINE_MAX] = "";

	reply_start(&reply, REPLY_OK);
	if (m->challenges == 0 || !may_use(m, request->login.method)
		|| !auth_is_scram(request->login.method) || !IS_TEXT(request->login.user))
		return monitor_violation(m);
	m->challenges--;
	monitor_log_unanswered(m);
	prepare_name(&request->login);
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return monitor_reply(m, REPLY_TEMPORARY);
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
	struct account account;
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
	if (account.name[0]) {
		user = account.name;
		log_quote(m->tried, user, strlen(user));
	}
	status = enter(m, &account, user, reason);
	if (status != REPLY_OK)
		return refuse(m, request, status, reason);
	return grant(m, request, signature);
}

static enum auth_verdict ask_source(const struct auth_attempt *attempt,
	const struct conf_users *source, struct account *account, char *reason)
{
	return (source->kind == USERS_PAM ? pam_ask : checkpassword)(
		attempt, source, account, reason);
}

/* A proof and a token begin as a login does. */
bool handle_login(struct monitor *m, struct request *request)
{
	struct auth_attempt attempt = {
		.conf = &m->server->conf,
		.users = &m->users,
		.ask = ask_source,
		.server = m->server,
		.address
		= m->connection->peer.at.known ? m->connection->peer.address : NULL,
		.method = request->login.method,
		.user = request->login.user,
		.secret = request->kind == REQUEST_TOKEN ? request->token.text
							 : request->login.secret,
	};
	struct timespec asked;

	if (!login_is_sound(m, request) || !take_challenge(m, request, &attempt))
		return monitor_violation(m);
	clock_gettime(CLOCK_MONOTONIC, &asked);
	prepare_name(&request->login);
	return judge(m, request, &attempt, asked);
}

bool handle_transcript(struct monitor *m, struct request *request)
{
	if (!m->secure || !(m->offers & AUTH_METHOD(AUTH_EXTERNAL))
		|| !external_take(&m->external, request->number, request->piece.data,
			request->piece.length))
		return monitor_violation(m);
	return true;
}

/* RFC 4422 A.: who does not say who it is, is whom the certificate names. */
bool handle_external(struct monitor *m, struct request *request)
{
	struct external *e = &m->external;
	const char *user = request->login.user;
	struct auth_attempt attempt
		= {.conf = &m->server->conf, .users = &m->users, .method = AUTH_EXTERNAL};
	char reason[LOG_LINE_MAX];
	struct timespec asked;

	if (!login_is_sound(m, request) || e->proof.length == 0
		|| request->number != e->proof.length)
		return monitor_violation(m);
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
