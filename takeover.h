/* A dead client does not hold the maildrop: who logs in while another session has it may have that
 * one ended, where its client is silent.  Monitor only, as the user.
 *
 * The session that has the maildrop holds a lock on octet 0 of the lock file.  Who wants it holds one
 * on octet 1 and sends SIGURG to the process that has it, which nobody else minds; that looks
 * whether there is really someone, and whether its own client has been silent. */
#ifndef TAKEOVER_H
#define TAKEOVER_H

#include <stdbool.h>
#include <stdint.h>

/* A connection, and what was known of it when somebody asked for the last time. */
struct takeover {
	int client; /* a copy of the connection; -1: none, or not TCP */
	unsigned seconds;
	int64_t asked;                   /* by wire_now(); 0: never */
	uint64_t received, acknowledged; /* octets, by then */
};

/* Asked by SIGURG.  From now on that interrupts a wait. */
void takeover_listen(void);
extern volatile int takeover_asked;

/* Whether nothing has come from the client for so long, not even an acknowledgement. */
bool takeover_is_silent(struct takeover *t);

/* Tells the session behind `lock`, an open lock file, that somebody is waiting.  Returns false where
 * nobody is to be told, or somebody else is waiting already. */
bool takeover_ask(int lock);

/* Whether somebody waits for the lock that this process holds. */
bool takeover_is_wanted(int lock);

/* Ends the connection: the session sees that its client has gone. */
void takeover_end(struct takeover *t);

#endif
