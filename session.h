/* One POP3 session: what the process that talks to the client knows. */
#ifndef SESSION_H
#define SESSION_H

#include "capa.h"
#include "conf.h"
#include "index.h"
#include "request.h"
#include "wire.h"

/* Who is at the other end. */
struct peer {
	char address[NETWORK_TEXT]; /* for the log: an address, `unix`, `pipe` */
	struct address at;
};

/* What a session begins with. */
struct session_start {
	const struct conf *conf;
	const struct peer *peer;
	struct wire_ends ends;
	int64_t deadline;       /* of AUTHORIZATION, by wire_now() */
	struct tls_server *tls; /* NULL: TLS is not used from the start */
	bool after_stls;        /* the client has had its greeting */
};

enum session_state { STATE_AUTHORIZATION = 1, STATE_TRANSACTION = 2 };

/* What is large stands first and last, as in struct index and struct wire: so what a session that rests
 * has written to is few pages. */
struct session {
	struct index index;
	int monitor;
	const struct conf *conf;
	const struct peer *peer;
	enum session_state state;
	bool secure;                        /* TLS is on */
	struct tls_hooks hooks;             /* what it calls */
	struct reply_ticket ticket;         /* for the first one that it gives */
	enum request_end end;               /* why it ended, once it has */
	unsigned methods;                   /* auth_offers() */
	char timestamp[AUTH_TIMESTAMP_MAX]; /* empty: no APOP */
	struct terms least, most;           /* of all users; after the login its own */
	bool delays;                        /* LOGIN-DELAY has been announced */
	unsigned challenges;                /* that may still be asked for */
	bool certified; /* the client has shown a certificate that is good */
	uint32_t
		transcript_length; /* of what the monitor has been given of the handshake */
	char user[REQUEST_TEXT_MAX]; /* after USER; empty: none */

	/* TRANSACTION: what has been done to the maildrop. */
	uint64_t count, octets;                 /* in the maildrop */
	uint64_t deleted_count, deleted_octets; /* of these, marked */
	uint32_t fetched;                       /* messages sent in full */
	uint64_t fetched_octets;
	bool plaintext_refused; /* a password was not taken for want of TLS */
	size_t marks_size;      /* octets in each: a bit a message */
	unsigned char *deleted_marks, *fetched_marks;
	/* Messages that the monitor has opened, from `ahead_number` on, when they were asked for
	 * one after the other. */
	uint64_t ahead_number;
	size_t ahead_count, ahead_at;
	uint32_t ahead_most; /* how many more were asked for last */
	int ahead[REQUEST_FILES];
	struct wire wire;
};

/* Talks to the client on SANDBOX_IN and SANDBOX_OUT until it ends, and tells the monitor
 * why.  Runs after sandbox_session(). */
void session_run(const struct session_start *start);

/* Keywords of the command table, for -V; NULL after the last. */
const char *session_keyword(unsigned number);

#endif
