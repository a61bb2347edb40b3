/* What the session asks of the monitor, and what comes back: packets over a socketpair(2),
 * SOCK_SEQPACKET, each kind of a fixed size.  No protocol text crosses it but SCRAM's AuthMessage,
 * of which the monitor looks for its own nonce and makes a digest.
 *
 *     monitor -> session   hello                        once, first
 *     session -> monitor   stls, sign, ticket, secured  for TLS
 *                          challenge, salt              for the login that follows
 *                          transcript ..., external     likewise, in its place
 *                          login, proof, token               until one is granted
 *                          open n, recount n            after that
 *                          marks ..., commit            once
 *                          end                          last, at any time
 *
 * Each request but secured, transcript, recount, marks and end is answered by one reply, with a descriptor
 * where it says so.  Numbers are 0-based. */
#ifndef REQUEST_H
#define REQUEST_H

#include "oauth.h"
#include "tls.h"

#include <stdbool.h>
#include <stdint.h>

#define REQUEST_TEXT_MAX 256     /* octets of a name or secret, its NUL included */
#define REQUEST_MARKS 512        /* octets of marks in one request: 4096 messages */
#define REQUEST_MESSAGE_MAX 4096 /* octets of an AuthMessage, its NUL included */
#define REQUEST_CHALLENGES 8     /* a connection */
#define REQUEST_PIECE 4096       /* octets of a handshake in one request */
#define REQUEST_FILES 64         /* messages opened by one request */
#define REQUEST_NONCE_MAX 33 /* octets of the monitor's part of a nonce, NUL included */

enum request_kind {
	REQUEST_STLS,    /* may TLS begin?  A session of its own will do that */
	REQUEST_SIGN,    /* the handshake's signature */
	REQUEST_TICKET,  /* what seals or opens a ticket */
	REQUEST_SECURED, /* how the handshake went */
	REQUEST_LOGIN,   /* by anything but SCRAM and tokens */
	REQUEST_OPEN, /* message `number`: its descriptor comes back, and of the `ahead` next
			  * ones those before the first that can't be opened; once the last
			  * reply has been taken */
	REQUEST_RECOUNT, /* message `number` was not as long as the index says */
	REQUEST_DELETED, /* marks, from message 8 * REQUEST_MARKS * `number` on */
	REQUEST_FETCHED, /* likewise */
	REQUEST_COMMIT,  /* UPDATE: deletes */
	REQUEST_END,
	REQUEST_CHALLENGE, /* what CRAM-MD5 is to answer */
	REQUEST_SALT,      /* a user's salt and iterations, and a nonce */
	REQUEST_PROOF,     /* SCRAM, with the nonce of the last `salt` in its message */
	REQUEST_TRANSCRIPT, /* piece `number` of the handshake's messages, each but the last full */
	REQUEST_EXTERNAL, /* by these, `number` octets; an empty user is the certificate's */
	REQUEST_TOKEN,    /* for the user that it names; empty: for whom the token is */
#ifdef PROOF
	REQUEST_TRY, /* proof.h, `login.user` is the text */
#endif
	REQUEST_KINDS
};

/* Why a session ended; request_end_name() has the words for the log. */
enum request_end {
	END_QUIT,
	END_CLOSED,     /* the client went without QUIT */
	END_TIMEOUT,    /* auth_timeout or idle_timeout */
	END_STALLED,    /* the client stopped reading */
	END_WRITE,      /* the connection broke while writing */
	END_UNREADABLE, /* a message could not be read to its end */
	END_DENIED,     /* too many failed logins */
	END_REFUSED,    /* the maildrop could not be opened */
	END_MONITOR,    /* the monitor is gone */
	END_STLS,       /* no end at all: the session with TLS follows */
	END_TLS,        /* the handshake failed */
	END_INJECTION,  /* there was more behind STLS */
	END_REASONS
};

const char *request_end_name(uint32_t reason);

struct request_login {
	uint32_t method; /* enum auth_method */
	char user[REQUEST_TEXT_MAX];
	char secret[REQUEST_TEXT_MAX]; /* see struct auth_attempt */
};

struct request_ended {
	uint32_t reason; /* enum request_end */
	uint32_t fetched;
	uint64_t fetched_octets;
	uint32_t plaintext_refused; /* where `plaintext` forbids */
};

struct request {
	uint32_t kind;
	uint32_t number;
	union {
		struct request_login login; /* salt, external: without a secret */
		struct {
			struct request_login login;
			char message[REQUEST_MESSAGE_MAX];
		} proof;
		struct {
			uint32_t length;
			unsigned char data[REQUEST_PIECE];
		} piece;
		struct {
			struct request_login login; /* without a secret */
			char text[OAUTH_TOKEN_MAX];
		} token;
		struct tls_sign sign;
		uint32_t ahead; /* open: less than REQUEST_FILES */
		struct {
			uint32_t fresh; /* make a new name */
			unsigned char name[TLS_TICKET_NAME];
		} ticket;
		struct {
			uint32_t done; /* 0: it failed */
			struct tls_outcome outcome;
		} secured;
		unsigned char marks[REQUEST_MARKS];
		struct request_ended end;
	};
};

enum reply_status {
	REPLY_OK,
	REPLY_DENIED,      /* login: wrong, another try is allowed */
	REPLY_DENIED_LAST, /* login: wrong, and that was the last one */
	REPLY_IN_USE,      /* login: right, but the maildrop is locked */
	REPLY_EARLY,       /* login: right, but too soon after the last one */
	REPLY_TEMPORARY,   /* login, open: SYS/TEMP */
	REPLY_PERMANENT,   /* login, open: SYS/PERM */
	REPLY_GONE,        /* open: removed by another program */
	REPLY_CHANGED      /* open: not the message that was counted */
};

struct reply_ticket {
	uint32_t found; /* enum tls_ticket */
	unsigned char name[TLS_TICKET_NAME];
	struct tls_ticket_keys keys;
};

struct reply {
	uint32_t status;
	union {
		struct {
			uint32_t methods;         /* auth_offers() */
			uint32_t challenges;      /* that may still be asked for */
			struct terms least, most; /* of all users */
			char timestamp[AUTH_TIMESTAMP_MAX]; /* empty: no APOP */
			/* What the first ticket is sealed with: each handshake gives one. */
			struct reply_ticket ticket;
		} hello;
		char challenge[AUTH_TIMESTAMP_MAX];
		struct {
			struct auth_salt salt;
			char nonce[REQUEST_NONCE_MAX];
		} salt;
		struct {
			uint32_t length; /* 0: there is none */
			unsigned char signature[TLS_SIGN_MAX];
		} sign;
		struct reply_ticket ticket;
		struct { /* login, proof, token: the index's descriptor too */
			uint64_t messages, octets;
			unsigned char signature[DIGEST_MAX];
			struct terms terms;
			uint32_t seconds; /* in use: for how long; early: until when */
		} login;
		struct { /* commit */
			uint64_t deleted, failed, left, left_octets;
		} commit;
	};
};

/* The octets of a request; 0 where there is no such kind.  Each kind has its own size. */
size_t request_size(uint32_t kind);

/* Sends one packet; returns 0, or -1 where the other process is gone. */
int request_send(int monitor, const struct request *request);

/* The rest is zero, whatever compilers make of a union that is initialized in part: all of it is sent. */
void reply_start(struct reply *reply, enum reply_status status);

int reply_send(int session, const struct reply *reply, int fd); /* fd: -1 for none */

/* The same with up to REQUEST_FILES descriptors.  ETOOMANYREFS: too many are on their way to processes of
 * this user, and were for two seconds. */
int reply_send_files(
	int session, const struct reply *reply, const int *files, size_t count);

/* Whether the session has taken all that was sent to it; waits two seconds for that. */
bool reply_is_taken(int session);

/* Waits for one packet.  Returns 0, or -1 where the other process is gone or what came is
 * not one packet of the right size.  A descriptor that came along is the caller's, or -1;
 * `fd` may be NULL where none is expected. */
int reply_receive(int monitor, struct reply *reply, int *fd);

/* The same with `*count` of them. */
int reply_receive_files(
	int monitor, struct reply *reply, int files[REQUEST_FILES], size_t *count);

/* The same for the monitor, which does not trust who sends and takes no descriptors. */
enum request_received {
	REQUEST_CAME,
	REQUEST_NONE,
	REQUEST_MALFORMED,
	REQUEST_INTERRUPTED, /* by a signal */
	REQUEST_LATE         /* nothing came for as long as SO_RCVTIMEO says */
};
enum request_received request_receive(int session, struct request *request);

#endif
