/* The other process: see request.h for what it is asked. */
#ifndef MONITOR_H
#define MONITOR_H

#include "external.h"
#include "maildrop.h"
#include "serve.h"
#include "takeover.h"

#include <sys/types.h>
#include <time.h>

enum monitor_state {
	MONITOR_AUTHORIZATION = 1,
	MONITOR_TRANSACTION = 2,
	MONITOR_OVER = 4 /* nothing more is answered */
};

struct monitor {
	struct maildrop maildrop;
	struct server *server;
	struct connection *connection;
	int session; /* the socket */
	enum monitor_state state;
	bool secure;                  /* this session runs, or is to run, TLS */
	bool stls;                    /* it was told that TLS may begin */
	unsigned signatures, tickets; /* that it may still ask for */
	bool secured;                 /* it has told how the handshake went */
	struct tls_outcome outcome;
	struct users_summary users;
	unsigned offers; /* auth_offers() */
	char timestamp[AUTH_TIMESTAMP_MAX];
	char challenge[AUTH_TIMESTAMP_MAX]; /* of the next CRAM-MD5, or empty */
	char nonce[REQUEST_NONCE_MAX];      /* of the next SCRAM, or empty */
	struct request_login asked;         /* whose salt was told with it */
	unsigned challenges;                /* of both that it may still ask for */
	struct external external;           /* what its client's certificate proves */
	unsigned failures;
	char tried[LOG_QUOTE_SIZE]; /* the name in the last login, fit for the log */
	char user[LOG_QUOTE_SIZE];  /* who has logged in, likewise; `-`: nobody */
	struct takeover takeover;
	bool taken_over;    /* by another session of the same user */
	bool violated;      /* the session asked for what it may not have */
	struct terms terms; /* of who has logged in */
	uint64_t count;     /* of messages in the maildrop */
	size_t marks_size;
	unsigned char *deleted_marks, *fetched_marks;
	bool marked;
	struct maildrop_result result;
	bool ended; /* the session has said why: */
	struct request_ended end;
	struct request request; /* the one that is served; large, so last */
};

/* One connection begins: before its first session's process is forked, for SIGCHLD is blocked
 * from here on.  `m` is all zero. */
void monitor_start(struct monitor *m, struct server *server, struct connection *c);

/* Answers the session behind `socket`, which runs as process `session`, until it ends.
 * Returns true where it ended for another one to go on with TLS; else the last log line has
 * been written. */
bool monitor_run(struct monitor *m, int socket, pid_t session, bool secure);

/* Closes this process's copy of the connection. */
void monitor_close_connection(struct monitor *m);

#endif
