/* The AUTH command and its mechanisms: RFC 5034; PLAIN (RFC 4616), LOGIN
 * (draft-murchison-sasl-login), CRAM-MD5 (RFC 2195).  Runs in the session. */
#include "sasl.h"

#include <string.h>
#include <strings.h>

static sasl_mechanism plain, login, cram_md5;

/* Strongest first: there are clients that take the first one that they know. */
static const struct mechanism {
	enum auth_method method;
	sasl_mechanism *run;
	bool responds;   /* the client begins, and may do so with AUTH itself */
	bool challenges; /* there are so many of these, sasl_challenge() */
	bool certified;  /* needs a client's certificate */
} mechanisms[] = {
	{AUTH_EXTERNAL, sasl_external, true, false, true},
	{AUTH_SCRAM_SHA_256_PLUS, sasl_scram, true, true, false},
	{AUTH_SCRAM_SHA_1_PLUS, sasl_scram, true, true, false},
	{AUTH_SCRAM_SHA_256, sasl_scram, true, true, false},
	{AUTH_SCRAM_SHA_1, sasl_scram, true, true, false},
	{AUTH_CRAM_MD5, cram_md5, false, true, false},
	{AUTH_PLAIN, plain, true, false, false},
	{AUTH_LOGIN, login, true, false, false},
	/* Who has a token knows what to ask for. */
	{AUTH_OAUTHBEARER, sasl_oauth, true, false, false},
	{AUTH_XOAUTH2, sasl_oauth, true, false, false},
};

#define COUNT (sizeof(mechanisms) / sizeof(mechanisms[0]))

static bool is_offered(const struct session *s, const struct mechanism *m)
{
	return (s->methods & AUTH_METHOD(m->method))
		&& (!auth_sends_secret(m->method) || capa_plaintext(s))
		&& (!auth_is_bound(m->method) || s->secure)
		&& (!m->challenges || s->challenges > 0)
		&& (!m->certified || s->certified);
}

bool sasl_any(const struct session *s)
{
	size_t i;

	for (i = 0; i < COUNT; i++) {
		if (is_offered(s, &mechanisms[i]))
			return true;
	}
	return false;
}

void sasl_list(struct session *s, const char *before, const char *after)
{
	size_t i;

	for (i = 0; i < COUNT; i++) {
		if (!is_offered(s, &mechanisms[i]))
			continue;
		wire_string(&s->wire, before);
		wire_string(&s->wire, auth_method_name(mechanisms[i].method));
		wire_string(&s->wire, after);
	}
}

static bool fail(struct session *s, enum next *next, enum text text)
{
	*next = reply_err(s, CODE_NONE, text, 0, 0);
	return false;
}

static bool decode(struct session *s, char *text, struct response *r, enum next *next)
{
	ssize_t length = base64_decode(text, text);

	if (length < 0) {
		wire_forget(&s->wire);
		return fail(s, next, TEXT_NOT_BASE64);
	}
	r->data = text;
	r->length = (size_t)length;
	return true;
}

static void put_challenge(struct session *s, const void *challenge, size_t length)
{
	char *room = wire_room(&s->wire, BASE64_SIZE(length) + 4);

	if (room) {
		memcpy(room, "+ ", 2);
		wire_wrote(&s->wire, 2 + base64_encode(room + 2, challenge, length));
		wire_string(&s->wire, "\r\n");
	}
}

bool sasl_last_step(
	struct session *s, const void *challenge, size_t length, enum next *next)
{
	char *line;

	put_challenge(s, challenge, length);
	if (wire_read_line(&s->wire, &line) != WIRE_NO_LINE)
		return true;
	*next = reply_end(s, end_of_wire(s->wire.state));
	return false;
}

bool sasl_step(struct session *s, const void *challenge, size_t length,
	struct response *response, enum next *next)
{
	char *line;

	response->given = false;
	put_challenge(s, challenge, length);
	switch (wire_read_line(&s->wire, &line)) {
	case WIRE_LINE:
		break;
	case WIRE_BAD_LINE:
		return fail(s, next, TEXT_BAD_LINE);
	default:
		*next = reply_end(s, end_of_wire(s->wire.state));
		return false;
	}
	if (strcmp(line, "*") == 0)
		return fail(s, next, TEXT_CANCELLED);
	return decode(s, line, response, next);
}

bool sasl_initial(struct session *s, struct response *response, enum next *next)
{
	return response->given || sasl_step(s, "", 0, response, next);
}

bool sasl_text(char to[REQUEST_TEXT_MAX], const char *from, size_t length)
{
	if (length >= REQUEST_TEXT_MAX || memchr(from, '\0', length))
		return false;
	memcpy(to, from, length);
	to[length] = '\0';
	return true;
}

const char *sasl_name(char to[REQUEST_TEXT_MAX], const char *from)
{
	size_t length = 0;

	for (; *from != ','; from++) {
		char c = *from;

		if (c == '\0' || length == REQUEST_TEXT_MAX - 1)
			return NULL;
		if (c == '=') {
			if (strncmp(from, "=2C", 3) != 0 && strncmp(from, "=3D", 3) != 0)
				return NULL;
			c = from[2] == 'C' ? ',' : '=';
			from += 2;
		}
		to[length++] = c;
	}
	to[length] = '\0';
	return length > 0 ? from + 1 : NULL;
}

bool sasl_challenge(
	struct session *s, struct request *request, struct reply *reply, enum next *next)
{
	s->challenges--;
	if (!ask_monitor(s, request, reply)) {
		reply_err(s, CODE_SYS_TEMP, TEXT_TEMPORARY, 0, 0);
		*next = reply_end(s, END_MONITOR);
		return false;
	}
	if (reply->status == REPLY_OK)
		return true;
	if (reply->status == REPLY_PERMANENT)
		reply_err(s, CODE_SYS_PERM, TEXT_PERMANENT, 0, 0);
	else
		reply_err(s, CODE_SYS_TEMP, TEXT_TEMPORARY, 0, 0);
	*next = reply_end(s, END_REFUSED);
	return false;
}

/* authorization identity NUL user NUL password */
static enum next plain(
	struct session *s, enum auth_method method, struct response *response)
{
	struct request request = {.kind = REQUEST_LOGIN, .login.method = method};
	const char *user, *password, *end;
	enum next next;
	bool good;

	if (!sasl_initial(s, response, &next))
		return next;
	end = response->data + response->length;
	user = memchr(response->data, '\0', response->length);
	password = user ? memchr(user + 1, '\0', (size_t)(end - user - 1)) : NULL;
	/* Both are of one octet at least: RFC 4616 s.2. */
	good = password
		&& sasl_text(request.login.user, user + 1, (size_t)(password - user - 1))
		&& sasl_text(
			request.login.secret, password + 1, (size_t)(end - password - 1))
		&& request.login.user[0] && request.login.secret[0];
	if (!good)
		next = reply_err(s, CODE_NONE, TEXT_BAD_RESPONSE, 0, 0);
	else if (*response->data && strcmp(response->data, request.login.user) != 0)
		next = reply_err(s, CODE_AUTH, TEXT_NOT_AS_ANOTHER, 0, 0);
	else
		next = NEXT_TRANSACTION;
	wire_forget(&s->wire);
	if (next == NEXT_TRANSACTION)
		return log_in(s, &request, NULL);
	explicit_bzero(&request, sizeof(request));
	return next;
}

/* The challenges are those that clients look for. */
static enum next login(
	struct session *s, enum auth_method method, struct response *response)
{
	struct request request = {.kind = REQUEST_LOGIN, .login.method = method};
	enum next next;
	bool good;

	if (!response->given && !sasl_step(s, "Username:", 9, response, &next))
		return next;
	good = sasl_text(request.login.user, response->data, response->length);
	if (!sasl_step(s, "Password:", 9, response, &next))
		return next;
	good = sasl_text(request.login.secret, response->data, response->length) && good;
	wire_forget(&s->wire);
	if (good)
		return log_in(s, &request, NULL);
	explicit_bzero(&request, sizeof(request));
	return reply_err(s, CODE_NONE, TEXT_BAD_RESPONSE, 0, 0);
}

/* user SP digest */
static enum next cram_md5(
	struct session *s, enum auth_method method, struct response *response)
{
	struct request request = {.kind = REQUEST_CHALLENGE};
	struct reply reply;
	enum next next;
	char *space;

	if (!sasl_challenge(s, &request, &reply, &next)
		|| !sasl_step(s, reply.challenge,
			strnlen(reply.challenge, sizeof(reply.challenge)), response,
			&next))
		return next;
	request.kind = REQUEST_LOGIN;
	request.login.method = method;
	space = memrchr(response->data, ' ', response->length);
	if (!space
		|| !sasl_text(request.login.user, response->data,
			(size_t)(space - response->data))
		|| !parse_digest(space + 1, request.login.secret)
		|| strlen(response->data) != response->length)
		return reply_err(s, CODE_NONE, TEXT_BAD_RESPONSE, 0, 0);
	return log_in(s, &request, NULL);
}

/* Outlook asks so: the names, a line each. */
static enum next list(struct session *s)
{
	reply_ok(s, TEXT_MECHANISMS, 0, 0);
	sasl_list(s, "", "\r\n");
	wire_string(&s->wire, ".\r\n");
	return NEXT_COMMAND;
}

/* Why a mechanism is not to be had. */
static enum text refusal(struct session *s, const struct mechanism *m)
{
	if (m == mechanisms + COUNT || !(s->methods & AUTH_METHOD(m->method)))
		return TEXT_NO_MECHANISM;
	if (auth_is_bound(m->method) && !s->secure)
		return TEXT_ONLY_TLS;
	if (m->certified && !s->certified)
		return TEXT_NO_MECHANISM;
	if (m->challenges && s->challenges == 0)
		return TEXT_TOO_MANY_TRIES;
	s->plaintext_refused = true;
	return TEXT_NEEDS_TLS;
}

enum next cmd_auth(struct session *s, const struct arguments *arguments)
{
	struct response response = {.given = false};
	const struct mechanism *m = mechanisms;
	enum next next;

	if (arguments->count == 0)
		return list(s);
	while (m < mechanisms + COUNT
		&& strcasecmp(arguments->word[0], auth_method_name(m->method)) != 0)
		m++;
	if (m == mechanisms + COUNT || !is_offered(s, m))
		return reply_err(s, CODE_NONE, refusal(s, m), 0, 0);
	if (arguments->count > 1) {
		char *text = arguments->word[1];

		if (!m->responds)
			return reply_err(s, CODE_NONE, TEXT_NO_INITIAL_RESPONSE, 0, 0);
		/* RFC 5034 s.4: an empty one. */
		if (strcmp(text, "=") == 0)
			*text = '\0';
		if (!decode(s, text, &response, &next))
			return next;
		response.given = true;
	}
	return m->run(s, m->method, &response);
}
