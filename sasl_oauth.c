/* OAUTHBEARER (RFC 7628) and XOAUTH2, which came before it and is Google's.  Runs in the session; the
 * monitor has the token judged. */
#include "sasl.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define KVSEP '\1'
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define SCHEME "Bearer "

/* RFC 7628 s.3.1: OAUTHBEARER has the user in a gs2-header, without a channel binding.  Returns
 * what follows, or NULL. */
static const char *take_header(const char *p, char user[REQUEST_TEXT_MAX])
{
	if (strncmp(p, "n,", 2) != 0 && strncmp(p, "y,", 2) != 0)
		return NULL;
	p += 2;
	if (*p == ',')
		p++;
	else
		p = strncmp(p, "a=", 2) == 0 ? sasl_name(user, p + 2) : NULL;
	return p && *p == KVSEP ? p + 1 : NULL;
}

/* XOAUTH2 has the user in a pair, the first one. */
static const char *take_user(const char *p, char user[REQUEST_TEXT_MAX])
{
	const char *end = strchr(p, KVSEP);

	if (!end || strncmp(p, "user=", 5) != 0)
		return NULL;
	p += 5;
	return p < end && sasl_text(user, p, (size_t)(end - p)) ? end + 1 : NULL;
}

/* The value of `auth`: nothing, or a scheme (RFC 7235 s.2.1: in any case) and the token. */
static bool take_token(const char *value, size_t length, char token[OAUTH_TOKEN_MAX])
{
	const size_t scheme = sizeof(SCHEME) - 1;

	if (length == 0)
		return true;
	if (strncasecmp(value, SCHEME, scheme) != 0)
		return false;
	for (value += scheme, length -= scheme; length > 0 && *value == ' '; length--)
		value++;
	if (length >= OAUTH_TOKEN_MAX)
		return false;
	memcpy(token, value, length);
	token[length] = '\0';
	return oauth_is_token(token);
}

static bool is_value(const char *text, size_t length)
{
	size_t i;

	for (i = 0; i < length; i++) {
		if ((text[i] < 0x20 || text[i] > 0x7e) && !memchr("\t\r\n", text[i], 3))
			return false;
	}
	return true;
}

/* key=value pairs, each with a KVSEP behind it, and another one behind all.  Those that we have no
 * use for, such as host and port, count for nothing: s.3.1. */
static bool take_pairs(const char *p, char token[OAUTH_TOKEN_MAX])
{
	bool found = false;

	while (*p != KVSEP) {
		const char *end = strchr(p, KVSEP);
		size_t key = strspn(p, LETTERS), length;

		if (!end || key == 0 || p[key] != '=')
			return false;
		length = (size_t)(end - p) - key - 1;
		if (!is_value(p + key + 1, length))
			return false;
		if (key == 4 && memcmp(p, "auth", 4) == 0) {
			if (found || !take_token(p + 5, length, token))
				return false;
			found = true;
		}
		p = end + 1;
	}
	return p[1] == '\0';
}

/* Fills in the user and the token; either may be empty. */
static bool parse(const struct response *response, struct request *request)
{
	const char *p = response->data;

	if (strlen(p) != response->length)
		return false;
	p = request->login.method == AUTH_XOAUTH2 ? take_user(p, request->login.user)
						  : take_header(p, request->login.user);
	return p && take_pairs(p, request->token.text);
}

/* s.3.2.2: why not, to which the client says nothing of interest. */
static bool explain(struct session *s, enum next *next)
{
	const char *scope = s->conf->oauth_scope, *url = s->conf->oauth_discovery;
	char text[2 * CONF_OAUTH_TEXT_MAX + 80];
	int length = snprintf(text, sizeof(text),
		"{\"status\":\"invalid_token\"%s%s%s%s%s%s}",
		scope ? ",\"scope\":\"" : "", scope ? scope : "", scope ? "\"" : "",
		url ? ",\"openid-configuration\":\"" : "", url ? url : "",
		url ? "\"" : "");

	return sasl_last_step(s, text, (size_t)length, next);
}

static enum next deny(struct session *s, bool last)
{
	enum next next;

	if (!explain(s, &next))
		return next;
	reply_err(s, CODE_AUTH, TEXT_BAD_TOKEN, 0, 0);
	return last ? reply_end(s, END_DENIED) : NEXT_COMMAND;
}

enum next sasl_oauth(
	struct session *s, enum auth_method method, struct response *response)
{
	struct request request = {.kind = REQUEST_TOKEN, .login.method = method};
	struct verdict verdict;
	enum next next;
	bool good;

	if (!sasl_initial(s, response, &next))
		return next;
	good = parse(response, &request);
	wire_forget(&s->wire);
	if (good && !*request.token.text)
		return deny(s, false);
	if (!good) {
		explicit_bzero(&request, sizeof(request));
		return reply_err(s, CODE_NONE, TEXT_BAD_RESPONSE, 0, 0);
	}
	if (!log_in_ask(s, &request, &verdict, &next))
		return next;
	if (verdict.reply.status == REPLY_DENIED
		|| verdict.reply.status == REPLY_DENIED_LAST)
		return deny(s, verdict.reply.status == REPLY_DENIED_LAST);
	return log_in_tell(s, &verdict, NULL);
}
