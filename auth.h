/* The verdict on a login.  Runs in the monitor, before it becomes the user. */
#ifndef AUTH_H
#define AUTH_H

#include "base64.h"
#include "conf.h"
#include "scram.h"
#include "users.h"

#include <stdint.h>

#define AUTH_NAME_MAX USERS_NAME_MAX
#define AUTH_DIGEST_SIZE 16    /* MD5, RFC 1321 */
#define AUTH_TIMESTAMP_MAX 320 /* `<...@host>` and its NUL */

/* How the client logs in; the names stand in the log. */
enum auth_method {
	AUTH_PASS,
	AUTH_APOP,
	AUTH_PLAIN, /* from here on by AUTH: sasl.c */
	AUTH_LOGIN,
	AUTH_CRAM_MD5,
	AUTH_SCRAM_SHA_1,
	AUTH_SCRAM_SHA_256,
	AUTH_SCRAM_SHA_1_PLUS,
	AUTH_SCRAM_SHA_256_PLUS,
	AUTH_EXTERNAL,
	AUTH_OAUTHBEARER,
	AUTH_XOAUTH2,
	AUTH_METHODS
};
#define AUTH_METHOD(method) (1u << (method))
const char *auth_method_name(enum auth_method method);
bool auth_is_scram(enum auth_method method);
enum digest auth_digest(enum auth_method method); /* of SCRAM */
bool auth_takes_password(enum auth_method method);
bool auth_takes_token(enum auth_method method);
bool auth_sends_secret(
	enum auth_method method); /* one of these, in the clear but for TLS */

bool auth_is_bound(enum auth_method method); /* to TLS: only with that */

/* The methods that can be offered, AUTH_METHOD() of each: those that serve every user, however their
 * passwords are stored; or of those in `mechanisms` each that serves anyone. */
unsigned auth_offers(const struct conf *conf, const struct users_summary *users);

/* Warns of what is in `mechanisms` and can't work, and where nobody can log in. */
void auth_report(const struct conf *conf, conf_report *report);

enum auth_verdict {
	AUTH_GRANTED,
	AUTH_DENIED, /* the same whatever the reason: only the log tells */
	AUTH_BROKEN, /* the system can't say: RFC 3206 SYS/PERM */
	AUTH_UNSURE  /* nor can who was asked, now: SYS/TEMP */
};

struct auth_attempt;
struct server;

/* Has a source judge an attempt that keeps its passwords to itself: USERS_ASK.  AUTH_GRANTED:
 * `account` is whom it has let in; otherwise there may be a `reason`. */
typedef enum auth_verdict auth_asker(const struct auth_attempt *attempt,
	const struct conf_users *source, struct account *account, char *reason);

struct auth_attempt {
	const struct conf *conf;
	auth_asker *ask;             /* NULL: nobody is asked */
	const struct server *server; /* for that */
	const char *address;         /* likewise: the client's; NULL where it has none */
	const struct users_summary *users;
	enum auth_method method;
	const char
		*user; /* NUL-terminated, from the client; with a token it may be empty */
	/* The password; APOP and CRAM-MD5: the digest, 16 octets; SCRAM: the proof; a token;
	 * EXTERNAL: whom the client's certificate names, or nobody. */
	const char *secret;
	const char *named; /* with a token: whose it is */
	/* APOP: the greeting's timestamp, empty where there is none.  CRAM-MD5: the
	 * challenge.  SCRAM: the AuthMessage (RFC 5802 s.3). */
	const char *challenge;
};

/* Makes a timestamp for the greeting, different each time: RFC 1939 s.7, APOP.
 * Returns 0, or -1 where the system has no random numbers. */
int auth_timestamp(char timestamp[AUTH_TIMESTAMP_MAX], const char *hostname);

/* Judges one attempt.  Fills in `account` where it is granted, with SCRAM `signature`, which
 * proves to the client that we know its keys (DIGEST_MAX octets; else it may be NULL), and
 * `reason` (LOG_LINE_MAX octets) for the log where it is not.  The stored password is wiped. */
enum auth_verdict auth_check(const struct auth_attempt *attempt, struct account *account,
	unsigned char *signature, char *reason);

/* Whether the password is the one that is stored, in whatever way. */
bool auth_takes(const struct account *account, const char *password);

/* Whatever is secret in it. */
void auth_wipe(struct account *account);

/* What a SCRAM client must know of its user's keys: RFC 5802 s.5.1, `s` and `i`.  The text is
 * base64.  Who is not there, or has a password that is stored otherwise, has one that is the same
 * each time and looks like the others'.  Takes an attempt without secret and challenge; returns
 * false, with a `reason`, where users can't be looked up. */
struct auth_salt {
	uint32_t iterations;
	char text[BASE64_SIZE(SCRAM_SALT_MAX)];
};
bool auth_salt(const struct auth_attempt *attempt, struct auth_salt *salt, char *reason);

#endif
