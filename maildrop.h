/* One user's Maildir as a POP3 maildrop: lock, index, messages, UPDATE.  Monitor only,
 * as the user.  Message numbers are 0-based. */
#ifndef MAILDROP_H
#define MAILDROP_H

#include "conf.h"
#include "index_write.h"
#include "log.h"

#define MAILDROP_LOCK_FILE "pop3d.lock"

struct maildrop {
	struct index index;      /* first: see session.h */
	int dir, cur, new, lock; /* -1: not open, or not there */
	int lock_errno;          /* why there is no lock file */
	bool lock_is_new;        /* nobody has ever logged in */
	uint32_t seconds;        /* MAILDROP_IN_USE: for how long; EARLY: until when */
	/* The directories as they were when the names in the index were last right. */
	struct stamp read_cur, read_new;
	int64_t clock; /* what the file system's clock is ahead of the monotonic one, s */
	/* Sizes that will be written down when the session no longer reads the index. */
	struct index_change *resized;
	size_t resized_count, resized_room;
	unsigned char *is_resized; /* marks */
	bool distrusted; /* the index makes no sense: all of it is to be checked */
};

enum maildrop_status {
	MAILDROP_OPEN,
	MAILDROP_IN_USE,    /* another session has it: RFC 2449 s.8.1.2 */
	MAILDROP_EARLY,     /* too soon after the last login: RFC 2449 s.8.1.1 */
	MAILDROP_TEMPORARY, /* RFC 3206 SYS/TEMP */
	MAILDROP_PERMANENT  /* RFC 3206 SYS/PERM */
};

/* What maildrop_close() leaves: nothing is open. */
void maildrop_none(struct maildrop *maildrop);

/* How a maildrop is to be opened. */
struct maildrop_manner {
	unsigned login_delay; /* seconds */
	unsigned burst;       /* logins that may come before their time */
	bool no_login; /* nobody has come: no trace of that, and no waiting for the lock */
};

/* Locks the Maildir at `path` and brings its index up to date.  A Maildir that is not
 * there yet, in a directory that is, is an empty maildrop.  On failure nothing is held,
 * and `why` (LOG_LINE_MAX octets) is for the log. */
enum maildrop_status maildrop_open(struct maildrop *maildrop, const char *path,
	const struct maildrop_manner *manner, char *why);

/* A read-only descriptor of the index; -1 with errno. */
int maildrop_reader(const struct maildrop *maildrop);

enum message_status {
	MESSAGE_OPEN,
	MESSAGE_GONE,      /* another program has removed it */
	MESSAGE_CHANGED,   /* it is not the size that it was: right in the next session */
	MESSAGE_UNREADABLE /* see errno */
};

/* Opens a message, under whatever name it has by now.  The caller owns `*fd`. */
enum message_status maildrop_message(struct maildrop *maildrop, uint64_t number, int *fd);

/* Counts the octets of a message again, for the sessions to come: in this one, numbers and
 * sizes stay what they were.  Where its record makes no sense, the next session makes the
 * index again. */
void maildrop_recount(struct maildrop *maildrop, uint64_t number);

/* Writes down what maildrop_recount() found; for maildrop_close(). */
void maildrop_write_sizes(struct maildrop *maildrop);

/* The present, by the clock of the Maildir's file system. */
time_t maildrop_now(const struct maildrop *maildrop);

/* What is to become of the messages. */
struct maildrop_orders {
	/* What the session has marked: see marks.h.  NULL: there is none, and what stays is
	 * left as it is. */
	const unsigned char *deleted, *fetched;
	bool marked;        /* any of them */
	unsigned expire;    /* days; 0: what was fetched is deleted; or TERMS_NEVER */
	const char *folder; /* where what is deleted goes; NULL: nowhere */
};

struct maildrop_result {
	uint64_t deleted, deleted_octets;
	uint64_t failed;                  /* of those to be deleted */
	uint64_t expired, expired_octets; /* beside these */
	uint64_t unexpired;               /* of what was too old: it is still there */
	int expire_error;                 /* errno of the last of these */
	uint64_t left, left_octets;
	int error; /* errno of the first failure */
};

/* UPDATE, RFC 1939 s.6: removes what is marked as deleted and what is too old, moves the rest to
 * cur/ and marks it as seen where it was fetched. */
void maildrop_commit(struct maildrop *maildrop, const struct maildrop_orders *orders,
	struct maildrop_result *result);

/* Lets the lock go. */
void maildrop_close(struct maildrop *maildrop);

#endif
