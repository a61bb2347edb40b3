/* Whose token is it?  The command that `oauth` names says so.  Runs in the monitor, before it becomes
 * the user. */
#ifndef OAUTH_H
#define OAUTH_H

#include "auth.h"
#include "sandbox.h"

#define OAUTH_TOKEN_MAX \
	9216 /* octets of a token, its NUL included: all that fits into a response */

/* RFC 6750 s.2.1: b64token. */
bool oauth_is_token(const char *text);

/* Runs the command as the session's user, and judges an attempt with a token as auth_check() does.
 * `name` becomes that of the user whom the token is for, or empty. */
enum auth_verdict oauth_check(struct auth_attempt *attempt,
	const struct sandbox_user *user, char name[AUTH_NAME_MAX],
	struct account *account, char *reason);

#endif
