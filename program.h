/* Other programs, run to their end: what the configuration names to judge a login.  Runs in the
 * monitor before that. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "sandbox.h"

#define PROGRAM_SECRET 3 /* the descriptor */

/* The program has that, its standard input is /dev/null, and nothing else of ours is open there; its
 * signals are as for any program, it is a process group, at home in /. */
struct program {
	const char *name;  /* for the log */
	char *const *argv; /* an absolute path first, NULL behind the last; no shell */
	const char *const
		*environment; /* beside PATH; NULL behind the last, or nothing at all */
	const struct sandbox_user
		*user;        /* as for sandbox_drop(); NULL: as whoever we are */
	unsigned seconds;     /* after which it is killed */
	const void *secret;   /* what it can read from PROGRAM_SECRET */
	size_t secret_length; /* it need not fit into a pipe */
	/* What it writes to standard error is logged, but for lines with this in them; or NULL */
	const char *unspoken;
	char *output; /* what it writes to standard output, and a NUL */
	size_t output_size;
	/* NULL, or: of what it and its children write there, only the first piece that begins so counts;
	 * the kernel tells who has written that. */
	const char *beginning;
};

enum program_end {
	PROGRAM_EXITED,   /* `number` is its status */
	PROGRAM_SIGNALED, /* its signal */
	PROGRAM_LATE,     /* it was killed for that */
	PROGRAM_VERBOSE,  /* likewise: there is no room for so much output */
	PROGRAM_BROKEN    /* it could not be started: errno */
};

struct program_result {
	enum program_end end;
	int number;
	size_t length; /* of the output */
	uid_t uid;     /* who has written it, with `beginning`; not the effective ones */
	gid_t gid;
};

/* Comes back at the latest when the time is over; of the program's process group nothing is left
 * then.  SIGPIPE is ignored (pop3d.c).  SIGCHLD is blocked meanwhile, and comes once more afterwards: for
 * whoever waits for another process by it, which may have ended too. */
struct program_result program_run(const struct program *program);

/* The result in words. */
#define PROGRAM_TEXT_MAX 80
const char *program_text(
	char text[PROGRAM_TEXT_MAX], const struct program_result *result);

/* Whether there is such a program; else a report with the key that names it. */
bool program_check(const char *key, const char *path, conf_report *report);

#endif
