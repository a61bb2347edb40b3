/* Who may log in: `users` of pop3d.conf(5). */
#ifndef USERS_H
#define USERS_H

#include "conf.h"
#include "digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define USERS_PASSWORD_MAX 1024

#define ACCOUNT_GROUPS_MAX 64
#define USERS_NAME_MAX 256 /* octets of a name, its NUL included */

struct account {
	uid_t uid; /* 0 where the users file gives none and pop3d runs as root */
	gid_t gid;
	bool system; /* in passwd, with supplementary groups */
	struct terms terms;
	const char *expired;               /* why it may not log in any more, or NULL */
	const char *broken;                /* what keeps it from working, or NULL */
	char password[USERS_PASSWORD_MAX]; /* as stored; wipe it */
	/* Of all users: the first hash, for whom has none, or empty; and what is the same on each
	 * day and host as long as the first line is.  Wipe them. */
	char stand_in[USERS_PASSWORD_MAX];
	unsigned char seed[32];
	char name[USERS_NAME_MAX]; /* where it is not what was asked for; or empty */
	const char *file;          /* the users file, or NULL */
	unsigned line;             /* of that */
	gid_t groups[ACCOUNT_GROUPS_MAX]; /* all of them; none: as `system` says */
	size_t group_count;
	/* Last, for what follows the first NUL of these says nothing: ACCOUNT_FIXED. */
	char home[PATH_MAX];    /* empty: none */
	char maildir[PATH_MAX]; /* its own pattern; empty: the configured one */
};
#define ACCOUNT_FIXED offsetof(struct account, home)

enum users_found {
	USERS_FOUND,
	USERS_ABSENT,
	USERS_ASK,   /* a source that keeps its passwords to itself */
	USERS_BROKEN /* the answer is not to be had: see `why` */
};

/* A name that can stand in a path, a log and a users file: not empty, no `/`, colon, space or
 * control character, and neither it nor what follows its last @ begins with a dot. */
bool users_name_is_safe(const char *name);

/* What a line of a users file says.  Comments, and lines that are not a user's, say nothing: then it
 * returns false.  `hash` is in the line, and has no NUL behind it; NULL where it can't be a stand-in.  (The
 * line is changed meanwhile.) */
struct users_line {
	size_t name_length;
	unsigned stored; /* USERS_STORED() of the password; 0: nothing is right */
	const char *hash;
	size_t hash_length;
};
bool users_line(char *line, struct users_line *parts);

/* Whether the seed of false salts may be made of this line: the first of these counts. */
bool users_line_seeds(const char *line, unsigned number);

/* Looks for the account called `name`; `stand_in` and `seed` are there for whom is not, too.
 * `why` (LOG_LINE_MAX octets) says what is broken with USERS_BROKEN.  An account whose own line is
 * wrong is found, with its password and `broken`: only who knows the password is to learn of
 * it.  How long it takes does not tell who is there. */
enum users_found users_find(
	const struct conf *conf, const char *name, struct account *account, char *why);

/* The same from the source `*at` of the configuration on; `account` is begun with users_begin().  Stops
 * with USERS_ASK at one that keeps its passwords to itself, which then stands before `*at`. */
void users_begin(const struct conf *conf, struct account *account);
enum users_found users_search(const struct conf *conf, size_t *at, const char *name,
	struct account *account, char *why);

/* Whether users can be looked up at all; `why` (LOG_LINE_MAX octets) says what is wrong. */
bool users_ready(const struct conf *conf, char *why);

/* The path of the account's Maildir, by its own pattern or the configured one.  Returns
 * NULL, or what is wrong. */
const char *users_maildir(char path[PATH_MAX], const struct conf *conf, const char *name,
	const struct account *account);

/* How a password is stored. */
enum users_stored {
	USERS_LOCKED,  /* nothing is right: empty, `!...` */
	USERS_UNKNOWN, /* in a way that pop3d does not know */
	USERS_SECRET,  /* as it is: {PLAIN} */
	USERS_HASH,    /* for crypt(3) */
	USERS_SCRAM_SHA_1,
	USERS_SCRAM_SHA_256,
	USERS_CHECKED, /* elsewhere: a command knows, of APOP too */
	USERS_JUDGED,  /* elsewhere: PAM knows */
	USERS_NONE     /* `*`: no password is right, what needs none may be */
};
#define USERS_STORED(kind) (1u << (kind))

/* `value` is what stands behind the scheme, in `password`; it may be NULL. */
enum users_stored users_stored(const char *password, const char **value);

/* Calls `each` for every account that there is, without its password; one that is `broken`, too.
 * Returns false where they can't be read to the end: see `why` (LOG_LINE_MAX octets). */
typedef void users_visitor(
	void *argument, const char *name, const struct account *account);
bool users_each(const struct conf *conf, users_visitor *each, void *argument, char *why);

/* What is known of all users together; nothing of it is secret.  The same on every machine. */
struct users_summary {
	uint32_t stored; /* USERS_STORED() of each way that is in use and can be right */
	/* What the first SCRAM keys are like, by enum digest; no iterations: there are none. */
	struct {
		uint32_t iterations, salt_length;
	} scram[DIGEST_SHA_256 + 1];
	struct terms least, most; /* that one of them has */
	uint32_t usual;           /* whether some have those of the configuration */
};
void users_summarize(const struct conf *conf, struct users_summary *summary);

/* By steps: `usual` terms are told apart until users_summary_end(). */
void users_summary_start(struct users_summary *summary);
void users_summary_add(struct users_summary *summary, const char *line);
void users_summary_end(struct users_summary *summary, const struct terms *usual);

/* The ids in the line of `name` in a file such as /etc/passwd.  Returns false where there is
 * no such line, or it is no good. */
bool users_ids(const char *file, const char *name, uid_t *uid, gid_t *gid);

/* Reads the whole of what `users` names and reports what is wrong; returns how many
 * mistakes there were.  Warnings are reported and not counted. */
unsigned users_check(const struct conf *conf, conf_report *report);

#endif
