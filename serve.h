/* One connection, from its start to its end. */
#ifndef SERVE_H
#define SERVE_H

#include "sandbox.h"
#include "session.h"

#include <sys/socket.h>

/* Who is behind a descriptor, or has an address: for the log and for `plaintext local`. */
void serve_peer(struct peer *peer, int fd);
void serve_address(struct peer *peer, const struct sockaddr_storage *address);

/* Parts into session and monitor and serves the client behind `in` and `out`, which are
 * closed in the monitor.  Returns the exit status of the process. */
int serve(const struct conf *conf, const struct sandbox_user *user,
	const struct peer *peer, int in, int out);

#endif
