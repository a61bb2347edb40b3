/* Capabilities and response codes: RFC 2449, RFC 3206.
 *
 * Whether a capability is offered is decided in one place, capa_offered().  CAPA asks
 * there what to announce, the command loop what to allow, and replies whether a response
 * code may be given: none of the three can say what another does not. */
#ifndef CAPA_H
#define CAPA_H

#include "text.h"

#include <stdbool.h>

struct session;

enum capability {
	CAPA_ALWAYS, /* no capability of its own: RFC 1939's minimum */
	CAPA_TOP,
	CAPA_USER,
	CAPA_SASL,
	CAPA_APOP, /* announced by the greeting's timestamp instead: RFC 2449 s.6 */
	CAPA_RESP_CODES,
	CAPA_LOGIN_DELAY,
	CAPA_PIPELINING,
	CAPA_EXPIRE,
	CAPA_UIDL,
	CAPA_IMPLEMENTATION,
	CAPA_STLS,
	CAPA_AUTH_RESP_CODE,
	CAPA_COUNT
};

bool capa_offered(const struct session *session, enum capability capability);

/* pop3d.conf(5), `plaintext`: may a password be sent as things are? */
bool capa_plaintext(const struct session *session);

/* What to say to who asks for what is not offered. */
enum text capa_refusal(const struct session *session, enum capability capability);

/* The capability list, after the first line of CAPA's reply. */
void capa_list(struct session *session);

enum response_code {
	CODE_NONE,
	CODE_IN_USE,
	CODE_LOGIN_DELAY,
	CODE_AUTH,
	CODE_SYS_TEMP,
	CODE_SYS_PERM,
	CODE_COUNT
};

/* `[CODE] `, or nothing where it may not be given. */
const char *capa_code(const struct session *session, enum response_code code);

/* The tags of the capabilities that this program can announce, for -V; NULL after the
 * last. */
const char *capa_tag(unsigned number);

#endif
