/* The AUTH command: RFC 5034, RFC 4422.  Runs in the session; the verdicts are the monitor's. */
#ifndef SASL_H
#define SASL_H

#include "command.h"

/* Whether there is a mechanism that would work now. */
bool sasl_any(const struct session *session);

/* Writes the names of those, each between `before` and `after`. */
void sasl_list(struct session *session, const char *before, const char *after);

/* What the client has said: text or anything else, with a NUL behind it; in the wire's input, so
 * good until the next step. */
struct response {
	char *data;
	size_t length;
	bool given; /* with AUTH, as an initial response */
};

/* Sends a challenge and takes the response.  Returns false where none came that could be used: the
 * client has been told, and `*next` is what the handler returns. */
bool sasl_step(struct session *s, const void *challenge, size_t length,
	struct response *response, enum next *next);

/* The same where it does not matter what the response is, before a reply that is -ERR in any case. */
bool sasl_last_step(
	struct session *s, const void *challenge, size_t length, enum next *next);

/* The same as sasl_step() where the client may have begun with it. */
bool sasl_initial(struct session *s, struct response *response, enum next *next);

/* No more than a name's or secret's length, and no NUL in it; copied.  Returns false otherwise. */
bool sasl_text(char to[REQUEST_TEXT_MAX], const char *from, size_t length);

/* RFC 5801 s.4, saslname: undoes =2C and =3D.  `from` ends at a comma.  Returns what follows it, or
 * NULL. */
const char *sasl_name(char to[REQUEST_TEXT_MAX], const char *from);

/* One of REQUEST_CHALLENGES, and the monitor's reply. */
bool sasl_challenge(
	struct session *s, struct request *request, struct reply *reply, enum next *next);

typedef enum next sasl_mechanism(
	struct session *s, enum auth_method method, struct response *response);

/* sasl_external.c, sasl_oauth.c, sasl_scram.c */
sasl_mechanism sasl_external, sasl_oauth, sasl_scram;

#endif
