/* System call filters: seccomp(2). */
#ifndef SECCOMP_H
#define SECCOMP_H

#include <stdbool.h>

/* Whom a filter is for.  A process that has one can add another, and get rid of none. */
enum seccomp_rules {
	SECCOMP_SESSION, /* what is not on its list ends it */
	SECCOMP_LOGIN,   /* the monitor before the login: what is on its list fails */
	SECCOMP_LOGIN_PROGRAMS, /* the same where the configuration names a program to run */
	SECCOMP_MAILDROP        /* and after it: what is not on its list fails */
};

/* Whether this kernel has filters. */
bool seccomp_is_there(void);

/* Makes the filter, for the processes that will enter it. */
void seccomp_prepare(enum seccomp_rules rules);

/* From now on, and in all processes that are made.  Needs PR_SET_NO_NEW_PRIVS.  Returns 0, or -1
 * with errno. */
int seccomp_enter(enum seccomp_rules rules);

#endif
