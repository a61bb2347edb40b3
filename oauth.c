/* Bearer tokens (RFC 6750), which a command judges: it reads the token from descriptor 3, writes the
 * name of the user whom it is for, and ends with 0, or with 1 where it is good for nobody.
 * oauth_is_token() runs in both processes, the rest in the monitor. */
#include "oauth.h"
#include "program.h"
#include "saslprep.h"

#include <stdio.h>
#include <string.h>

#define DIGITS_AND_LETTERS \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

bool oauth_is_token(const char *text)
{
	size_t length = strspn(text, DIGITS_AND_LETTERS "-._~+/");

	return length > 0 && text[length + strspn(text + length, "=")] == '\0';
}

/* The first line.  Returns false where that is no name. */
static bool take_name(char *name, const char *output, size_t length)
{
	size_t end = strcspn(output, "\n");
	bool whole = end == length || output[end] == '\n';

	if (!whole || end == 0 || end >= AUTH_NAME_MAX)
		return false;
	memcpy(name, output, end);
	name[end] = '\0';
	return users_name_is_safe(name);
}

/* Fills in `name` where the token is good, else `reason`. */
static enum auth_verdict ask(const struct conf *conf, const struct sandbox_user *user,
	const char *token, char name[AUTH_NAME_MAX], char *reason)
{
	char output[1024], beginning[17], text[PROGRAM_TEXT_MAX];
	struct program program = {
		.name = "oauth",
		.argv = conf->oauth,
		.user = user,
		.seconds = conf->oauth_timeout,
		.secret = token,
		.secret_length = strlen(token),
		.unspoken = beginning,
		.output = output,
		.output_size = sizeof(output),
	};
	struct program_result result;

	snprintf(beginning, sizeof(beginning), "%s", token);
	result = program_run(&program);
	explicit_bzero(beginning, sizeof(beginning));
	if (result.end == PROGRAM_EXITED && result.number == 1) {
		strcpy(reason, "token");
		return AUTH_DENIED;
	}
	if (result.end != PROGRAM_EXITED || result.number != 0)
		program_text(text, &result);
	else if (take_name(name, output, result.length))
		return AUTH_GRANTED;
	else
		strcpy(text, "no user's name");
	snprintf(reason, LOG_LINE_MAX, "oauth: %s", text);
	return AUTH_UNSURE;
}

enum auth_verdict oauth_check(struct auth_attempt *attempt,
	const struct sandbox_user *user, char name[AUTH_NAME_MAX],
	struct account *account, char *reason)
{
	char said[AUTH_NAME_MAX];
	enum auth_verdict verdict;

	name[0] = '\0';
	verdict = ask(attempt->conf, user, attempt->secret, said, reason);
	if (verdict != AUTH_GRANTED)
		return verdict;
	/* As the client's is. */
	saslprep(name, AUTH_NAME_MAX, said);
	attempt->named = name;
	return auth_check(attempt, account, NULL, reason);
}
