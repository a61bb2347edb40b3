/* A monitor, jailed as it is in pop3d, that is asked by a session which has been taken over; and tests in a row. */
#ifndef ASKED_H
#define ASKED_H

#include "../monitor.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define RUN_WORDS 4096
#define RUN_PATIENCE 30000 /* milliseconds for an answer */

/* A monitor, and the session's end of its socket. */
struct run {
	int socket, log;
	int life; /* when this is closed, what stands for the session ends */
	pid_t pid;
	char words[RUN_WORDS]; /* its log */
};

/* What monitors are started for. */
extern struct server server;

/* What the last monitor made of END_STLS. */
extern bool stls_over;

void start(struct run *run, bool secure);
bool start_logged_in(struct run *run);

/* Closes the socket and waits.  Returns false where the monitor did not end as it should. */
bool finish(struct run *run);

void send_octets(const struct run *run, const void *data, size_t length);
void ask(const struct run *run, const struct request *request);
void ask_kind(const struct run *run, uint32_t kind, uint32_t number);
void ask_ahead(const struct run *run, uint32_t kind, uint32_t number, uint32_t ahead);
void ask_login(const struct run *run, const char *secret);

/* The status of the next reply, or -1 where there is none any more. */
int answer(const struct run *run);

/* Whether what was asked has ended it, and the log says why. */
bool is_violation(struct run *run);

/* Numbers that look random, and are the same for the same seed. */
extern unsigned seed;
unsigned next(unsigned below);

/* Runs them all and prints TAP.  Returns main()'s status. */
struct test {
	const char *name;
	bool (*test)(void);
};
int run_tests(const struct test *tests, size_t count);

#endif
