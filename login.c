/* AUTHORIZATION: USER, PASS and APOP, RFC 1939 section 7.  Runs in the session; the verdict
 * is the monitor's. */
#include "command.h"

#include <string.h>

enum next cmd_user(struct session *s, const struct arguments *arguments)
{
	/* Whether there is such a user is for PASS to say: RFC 1939 s.13. */
	strcpy(s->user, arguments->word[0]);
	return reply_ok(s, TEXT_SEND_PASSWORD, 0, 0);
}

/* RFC 1939 s.4: a server may close the connection after a negative reply; and once the
 * monitor has become the user, it can judge no other. */
static enum next refuse(
	struct session *s, enum response_code code, enum text text, uint32_t seconds)
{
	reply_err(s, code, text, seconds, 0);
	return reply_end(s, END_REFUSED);
}

bool ask_monitor(struct session *s, struct request *request, struct reply *reply)
{
	int sent = request_send(s->monitor, request);

	explicit_bzero(request, sizeof(*request));
	return sent == 0 && reply_receive(s->monitor, reply, NULL) == 0;
}

enum next log_in_reply(struct session *s)
{
	reply_ok(s, TEXT_OPENED, s->count, s->octets);
	return NEXT_TRANSACTION;
}

bool log_in_ask(struct session *s, struct request *request, struct verdict *verdict,
	enum next *next)
{
	int sent = request_send(s->monitor, request);

	explicit_bzero(request, sizeof(*request));
	if (sent == 0 && reply_receive(s->monitor, &verdict->reply, &verdict->fd) == 0)
		return true;
	reply_err(s, CODE_SYS_TEMP, TEXT_TEMPORARY, 0, 0);
	*next = reply_end(s, END_MONITOR);
	return false;
}

enum next log_in_tell(
	struct session *s, const struct verdict *verdict, unsigned char *signature)
{
	const struct reply *reply = &verdict->reply;

	switch (reply->status) {
	case REPLY_OK:
		if (!transaction_enter(s, reply, verdict->fd))
			return refuse(s, CODE_SYS_TEMP, TEXT_TEMPORARY, 0);
		if (!signature)
			return log_in_reply(s);
		memcpy(signature, reply->login.signature, DIGEST_MAX);
		return NEXT_TRANSACTION;
	case REPLY_DENIED:
		return reply_err(s, CODE_AUTH, TEXT_DENIED, 0, 0);
	case REPLY_DENIED_LAST:
		reply_err(s, CODE_AUTH, TEXT_DENIED, 0, 0);
		return reply_end(s, END_DENIED);
	case REPLY_IN_USE:
		return refuse(s, CODE_IN_USE, TEXT_IN_USE, reply->login.seconds);
	case REPLY_EARLY:
		return refuse(s, CODE_LOGIN_DELAY, TEXT_EARLY, reply->login.seconds);
	case REPLY_PERMANENT:
		return refuse(s, CODE_SYS_PERM, TEXT_PERMANENT, 0);
	default:
		return refuse(s, CODE_SYS_TEMP, TEXT_TEMPORARY, 0);
	}
}

enum next log_in(struct session *s, struct request *request, unsigned char *signature)
{
	struct verdict verdict;
	enum next next;

	if (!log_in_ask(s, request, &verdict, &next))
		return next;
	return log_in_tell(s, &verdict, signature);
}

enum next cmd_pass(struct session *s, const struct arguments *arguments)
{
	struct request request = {.kind = REQUEST_LOGIN, .login.method = AUTH_PASS};

	if (s->user[0] == '\0')
		return reply_err(s, CODE_NONE, TEXT_USER_FIRST, 0, 0);
	strcpy(request.login.user, s->user);
	strcpy(request.login.secret, arguments->word[0]);
	wire_forget(&s->wire);
	/* RFC 1939 s.7: PASS follows a USER; the next one another USER. */
	s->user[0] = '\0';
	return log_in(s, &request, NULL);
}

bool parse_digest(const char *text, char digest[AUTH_DIGEST_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	if (strspn(text, digits) != 2 * AUTH_DIGEST_SIZE || text[2 * AUTH_DIGEST_SIZE])
		return false;
	for (i = 0; i < AUTH_DIGEST_SIZE; i++)
		digest[i] = (char)((strchr(digits, text[2 * i]) - digits) << 4
			| (strchr(digits, text[2 * i + 1]) - digits));
	return true;
}

enum next cmd_apop(struct session *s, const struct arguments *arguments)
{
	struct request request = {.kind = REQUEST_LOGIN, .login.method = AUTH_APOP};

	s->user[0] = '\0';
	strcpy(request.login.user, arguments->word[0]);
	/* What can't be a digest is a wrong one: the monitor counts it. */
	if (!parse_digest(arguments->word[1], request.login.secret))
		memset(request.login.secret, 0, AUTH_DIGEST_SIZE);
	return log_in(s, &request, NULL);
}
