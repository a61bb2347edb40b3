/* A process, and a process group, that the monitor makes to do one thing in its stead, and which
 * answers once. */
#ifndef ASIDE_H
#define ASIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct aside {
	pid_t pid;  /* 0: none */
	int socket; /* to it: SOCK_SEQPACKET */
};

/* Runs there, with the other end of the socket, and does not return. */
typedef void aside_runner(const void *argument, int socket);

/* Returns false, with errno, where there can be no such process. */
bool aside_start(struct aside *aside, aside_runner *run, const void *argument);

/* Waits for the answer.  Returns its octets, which may be more than `size`; 0 where the process has
 * ended without one; -1 where none came in so many seconds. */
ssize_t aside_hear(
	const struct aside *aside, void *answer, size_t size, unsigned seconds);

/* Kills the group and waits for the process; nothing where there is none.  Returns its status, as waitpid(2) has it.
 * SIGCHLD is left as it is: one for the session may be among them. */
int aside_end(struct aside *aside);

/* That in words. */
#define ASIDE_TEXT_MAX 24
const char *aside_text(char text[ASIDE_TEXT_MAX], int status);

#endif
