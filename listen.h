/* Accepting connections and forking for each. */
#ifndef LISTEN_H
#define LISTEN_H

#include "serve.h"

#include <stdbool.h>
#include <stddef.h>

#define LISTEN_MAX 64

/* Where connections come to. */
struct listen_socket {
	int fd;
	bool tls; /* they begin with TLS */
};

/* Whether connections come to this descriptor. */
bool listen_accepts(int fd);

/* Where the configuration says to listen.  Fills in `sockets` (LISTEN_MAX) and returns how
 * many, or -1 after a log line. */
int listen_open(const struct conf *conf, struct listen_socket *sockets);

/* Looks up the addresses: reports those that there are not, and returns how many. */
unsigned listen_check(const struct conf *conf, conf_report *report);

/* Tells a client that it is not served, as far as that takes no waiting, and no TLS, and closes its
 * connection.  The log gets a line a second at most: a flood is not to fill it. */
enum listen_refusal { LISTEN_DENIED, LISTEN_FULL, LISTEN_MANY, LISTEN_NO_PROCESS };
void listen_turn_away(const struct connection *c, enum listen_refusal why);

/* Serves every connection to `sockets` in a process of its own, until SIGTERM or SIGINT or,
 * with `exit_when_idle`, until nobody has come for a while.  SIGHUP reads `source` again.
 * Returns the exit status, in the listener and in each of its children. */
int listen_run(struct server *server, const struct conf_source *source,
	const struct listen_socket *sockets, size_t count, bool exit_when_idle);

#endif
