/* TLS as the session sees it: STLS, the handshake, and what that asks of the monitor.
 * RFC 2595 sections 2 and 4, RFC 8314.
 *
 * A session never turns on TLS half-way.  The one in the clear ends, and another process, which
 * has heard nothing of what was said before, goes on with the same client. */
#include "command.h"

#include <string.h>

enum next cmd_stls(struct session *s, const struct arguments *arguments)
{
	struct request request = {.kind = REQUEST_STLS};
	struct reply reply;

	(void)arguments;
	/* What came with it, in the clear, may be from someone in between who would have it
	 * taken for the client's own after the handshake.  No word of it is answered. */
	if (wire_has_more(&s->wire))
		return reply_end(s, END_INJECTION);
	if (!ask_monitor(s, &request, &reply))
		return reply_end(s, END_MONITOR);
	if (reply.status != REPLY_OK)
		return reply_err(s, CODE_SYS_PERM, TEXT_TLS_BROKEN, 0, 0);
	reply_ok(s, TEXT_BEGIN_TLS, 0, 0);
	return reply_end(s, wire_flush(&s->wire) ? END_STLS : end_of_wire(s->wire.state));
}

/* struct tls_hooks */

static ssize_t get(void *owner, void *data, size_t length)
{
	struct session *s = owner;

	return wire_get(&s->wire, data, length);
}

static ssize_t put(void *owner, const void *data, size_t length)
{
	struct session *s = owner;

	return wire_put(&s->wire, data, length);
}

static size_t sign(void *owner, const struct tls_sign *wanted, unsigned char *out)
{
	struct request request = {.kind = REQUEST_SIGN, .sign = *wanted};
	struct reply reply;

	if (!ask_monitor(owner, &request, &reply)
		|| reply.sign.length > sizeof(reply.sign.signature))
		return 0;
	memcpy(out, reply.sign.signature, reply.sign.length);
	return reply.sign.length;
}

static enum tls_ticket use_ticket(struct reply_ticket *ticket,
	unsigned char name[TLS_TICKET_NAME], struct tls_ticket_keys *keys)
{
	enum tls_ticket found = TLS_TICKET_UNKNOWN;

	if (ticket->found <= TLS_TICKET_GOOD) {
		found = ticket->found;
		memcpy(name, ticket->name, TLS_TICKET_NAME);
		*keys = ticket->keys;
	}
	explicit_bzero(ticket, sizeof(*ticket));
	return found;
}

static enum tls_ticket ticket(void *owner, bool fresh,
	unsigned char name[TLS_TICKET_NAME], struct tls_ticket_keys *keys)
{
	struct session *s = owner;
	struct request request = {.kind = REQUEST_TICKET, .ticket.fresh = fresh};
	struct reply reply;
	static unsigned shown;

	if (fresh && s->ticket.found != TLS_TICKET_UNKNOWN)
		return use_ticket(&s->ticket, name, keys);
	/* A client may show any number of tickets. */
	if (!fresh && ++shown >= TLS_TICKETS)
		return TLS_TICKET_UNKNOWN;
	if (!fresh)
		memcpy(request.ticket.name, name, TLS_TICKET_NAME);
	if (!ask_monitor(s, &request, &reply))
		return TLS_TICKET_UNKNOWN;
	return use_ticket(&reply.ticket, name, keys);
}

bool secure_start(struct session *s, struct tls_server *server)
{
	struct request request = {.kind = REQUEST_SECURED};
	char why[LOG_LINE_MAX];
	/* Whoever made `server` has loaded it. */
	const struct tls_library *library = tls_load(why);
	struct tls *tls;
	size_t length;

	s->hooks = (struct tls_hooks){
		.owner = s, .get = get, .put = put, .sign = sign, .ticket = ticket};
	tls = library->accept(server, &s->hooks);
	if (!tls) {
		s->end = END_TLS;
		return false;
	}
	s->secure = wire_secure(&s->wire, library, tls);
	explicit_bzero(&s->ticket, sizeof(s->ticket));
	if (s->wire.state != WIRE_OPEN) {
		s->end = end_of_wire(s->wire.state);
		return false;
	}
	request.secured.done = s->secure;
	library->outcome(tls, &request.secured.outcome);
	if (!s->secure)
		s->end = END_TLS;
	else
		s->certified = library->transcript(tls, &length) != NULL;
	if (request_send(s->monitor, &request) < 0) {
		s->end = END_MONITOR;
		return false;
	}
	return s->secure;
}
