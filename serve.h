/* One connection, from its start to its end. */
#ifndef SERVE_H
#define SERVE_H

#include "sandbox.h"
#include "session.h"

#include <sys/socket.h>
#include <time.h>

/* What all connections share. */
struct server {
	struct conf conf;
	struct sandbox_user user;
	struct tls_server *tls; /* NULL: not loaded */
};

struct connection {
	struct peer peer;
	struct wire_ends ends;   /* -1 once it is closed here */
	struct timespec started; /* by the monotonic clock */
	int64_t deadline;        /* of AUTHORIZATION, by wire_now() */
	bool tls;                /* from the first octet */
	int client; /* the monitor's copy, to know whether it is dead; or -1 */
};

/* Sets what TCP is to do for the connection behind a socket; or for all that a listening one will
 * bring. */
void serve_tune(int fd);

/* Loads certificates and keys where there are any and that has not been done.  Returns false after a log
 * line that says what is wrong. */
bool serve_load_tls(struct server *server, enum tls_use use);

/* Takes up the client behind `in` and `out`.  `address` is its, or NULL where it is to be found
 * out. */
void serve_take(struct connection *c, const struct conf *conf, int in, int out,
	const struct sockaddr_storage *address);

/* Who has an address: for the log and for `plaintext local`. */
void serve_address(struct peer *peer, const struct sockaddr_storage *address);

/* Parts into session and monitor and serves the client.  Returns the exit status of the
 * process. */
int serve(struct server *server, struct connection *c);

#endif
