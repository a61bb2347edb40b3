/* EXTERNAL, RFC 4422 appendix A: whom the client's certificate names.  Runs in the monitor,
 * before the login.
 *
 * The handshake is the session's, which may have been taken over by its client.  So its word counts
 * for nothing: it hands over the messages of the handshake, and these hold two signatures, the one
 * that the monitor has made in this connection, and the client's over that.  Certificates are not
 * for the monitor to parse either: a process does that which is jailed as the session is. */
#ifndef EXTERNAL_H
#define EXTERNAL_H

#include "request.h"
#include "serve.h"

struct external {
	struct tls_proof proof;    /* as far as it has come */
	unsigned char *transcript; /* TLS_TRANSCRIPT_MAX octets; NULL: none, or no more */
	bool checked;
	char name[TLS_TEXT_MAX]; /* whom it names; empty: nobody */
};

/* Another handshake. */
void external_start(struct external *e);

/* What the monitor has signed for it. */
void external_signed(struct external *e, const struct tls_sign *wanted,
	const unsigned char *signature, size_t length);

/* Takes the messages, in pieces of REQUEST_PIECE octets: each is full but the last.  Returns false
 * where this is not the next one, or one too many. */
bool external_take(
	struct external *e, uint32_t number, const unsigned char *data, size_t length);

/* Has it checked, once, and the name filled in; the log says why there is none.  Returns
 * false, with a `reason` (LOG_LINE_MAX octets), where that can't be done now. */
bool external_check(
	struct external *e, struct server *server, const char *address, char *reason);

#endif
