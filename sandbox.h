/* Giving up rights, for good. */
#ifndef SANDBOX_H
#define SANDBOX_H

#include "users.h"
#include "wire.h"

/* Whom the session runs as; `started_as_root` false: as whoever we are. */
struct sandbox_user {
	bool started_as_root;
	uid_t uid;
	gid_t gid;
};

/* Finds the session's user: `name`, or where that is NULL pop3d, or nobody.  Returns NULL
 * or what is wrong. */
const char *sandbox_find_user(struct sandbox_user *user, const char *name);

/* In the listener, or before the processes part: finds out what this system has of the jail, logs
 * what it has not, and gives up what neither listener nor monitor will ever need; other `programs`
 * too, unless some are to be run.  Called again it may give up more.  Returns false, after a log
 * line, where something is missing and may not be (`sandbox require`), or where what is needed
 * has been given up before. */
bool sandbox_start(
	const struct sandbox_user *user, enum sandbox_mode mode, bool programs);

/* In the session: `ends` and `monitor` become these descriptors, and nothing else stays open;
 * then it is jailed.  Ends the process where that fails. */
enum { SANDBOX_IN = 0, SANDBOX_OUT = 1, SANDBOX_MONITOR = 3 };
void sandbox_session(
	const struct sandbox_user *user, struct wire_ends *ends, int monitor);

/* In a process that the monitor has made to check something: `monitor` becomes SANDBOX_MONITOR, and
 * nothing else stays open; then it is jailed likewise, for so many seconds of the processor's time.
 * Ends the process where that fails. */
void sandbox_checker(const struct sandbox_user *user, int monitor, unsigned seconds);
/* Becomes the session's user, without groups, where we are root.  Returns 0, or -1 with errno. */
int sandbox_drop(const struct sandbox_user *user);

/* In the monitor: becomes the user who has logged in.  Returns 0, or -1 with errno. */
int sandbox_become(const struct account *account, const char *name);

/* After that: nothing is left but the Maildir at `path`.  Returns 0, or -1 with errno. */
int sandbox_maildir(const char *path);

/* Closes all descriptors from this one on. */
void sandbox_close_from(unsigned first);

/* Puts /dev/null in the place of standard input, output and, unless `keep_stderr`, error. */
void sandbox_null_stdio(bool keep_stderr);

#endif
