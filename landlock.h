/* Which files a process can get at: Landlock, landlock(7). */
#ifndef LANDLOCK_H
#define LANDLOCK_H

#include <stdbool.h>

/* Whether this kernel has enough of it. */
bool landlock_is_there(void);

/* From now on nothing can be opened, made, moved or removed but beneath the directory `path`, or
 * nothing at all where there is no such directory; nor can there be connections, nor signals to
 * others, as far as this kernel knows how to forbid that.  What is open stays open.  Needs
 * PR_SET_NO_NEW_PRIVS.  Returns 0, or -1 with errno. */
int landlock_enter(const char *path);

#endif
