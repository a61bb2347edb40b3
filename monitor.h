/* The other process: see request.h for what it is asked. */
#ifndef MONITOR_H
#define MONITOR_H

#include "session.h"

#include <sys/types.h>

/* Answers the session behind `socket`, which runs as process `session`, until it ends;
 * then writes the last log line. */
void monitor_run(
	const struct conf *conf, const struct peer *peer, int socket, pid_t session);

#endif
