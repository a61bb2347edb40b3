/* The verdict on a login.  Runs in the monitor, before it becomes the user. */
#ifndef AUTH_H
#define AUTH_H

#include "conf.h"
#include "users.h"

#define AUTH_DIGEST_SIZE 16    /* MD5, RFC 1321 */
#define AUTH_TIMESTAMP_MAX 320 /* `<...@host>` and its NUL */

/* How the client logs in; the names stand in the log. */
enum auth_method { AUTH_PASS, AUTH_APOP, AUTH_METHODS };
const char *auth_method_name(enum auth_method method);

enum auth_verdict {
	AUTH_GRANTED,
	AUTH_DENIED, /* the same whatever the reason: only the log tells */
	AUTH_BROKEN  /* the system can't say: RFC 3206 SYS/PERM */
};

struct auth_attempt {
	enum auth_method method;
	const char *user; /* NUL-terminated, from the client */
	const char
		*secret; /* AUTH_PASS: the password; AUTH_APOP: the digest, 16 octets */
	const char *timestamp; /* what the greeting said; empty: no APOP */
};

/* Makes a timestamp for the greeting, different each time: RFC 1939 s.7, APOP.
 * Returns 0, or -1 where the system has no random numbers. */
int auth_timestamp(char timestamp[AUTH_TIMESTAMP_MAX], const char *hostname);

/* Judges one attempt.  Fills in `account` where it is granted, and `reason`
 * (LOG_LINE_MAX octets) for the log where it is not.  The stored password is wiped. */
enum auth_verdict auth_check(const struct conf *conf, const struct auth_attempt *attempt,
	struct account *account, char *reason);

#endif
