/* TLS, as far as it is the monitor's: its keys, and what the log says.  Runs in the monitor, before
 * the login. */
#include "monitor_request.h"

#include <unistd.h>

void monitor_close_connection(struct monitor *m)
{
	struct wire_ends *ends = &m->connection->ends;

	if (ends->in >= 0)
		close(ends->in);
	if (ends->out >= 0)
		close(ends->out);
	ends->in = ends->out = -1;
}

bool handle_stls(struct monitor *m, struct request *request)
{
	(void)request;
	if (m->secure || m->connection->ends.in < 0)
		return monitor_violation(m);
	if (!serve_load_tls(m->server, TLS_FOR_ONE))
		return monitor_reply(m, REPLY_PERMANENT);
	m->stls = true;
	m->state = MONITOR_OVER;
	return monitor_reply(m, REPLY_OK);
}

bool handle_sign(struct monitor *m, struct request *request)
{
	struct reply reply;
	char why[LOG_LINE_MAX];

	reply_start(&reply, REPLY_OK);
	if (!m->secure || m->signatures == 0 || request->sign.length > TLS_SIGN_MAX)
		return monitor_violation(m);
	m->signatures--;
	reply.sign.length = (uint32_t)tls_load(why)->sign(
		m->server->tls, &request->sign, reply.sign.signature);
	external_signed(
		&m->external, &request->sign, reply.sign.signature, reply.sign.length);
	return reply_send(m->session, &reply, -1) == 0;
}

void monitor_ticket(const struct monitor *m, bool fresh, struct reply_ticket *ticket)
{
	char why[LOG_LINE_MAX];

	ticket->found = tls_load(why)->ticket(
		m->server->tls, fresh, ticket->name, &ticket->keys);
}

bool handle_ticket(struct monitor *m, struct request *request)
{
	struct reply reply;
	bool sent;

	reply_start(&reply, REPLY_OK);
	if (!m->secure || m->tickets == 0)
		return monitor_violation(m);
	m->tickets--;
	memcpy(reply.ticket.name, request->ticket.name, TLS_TICKET_NAME);
	monitor_ticket(m, request->ticket.fresh != 0, &reply.ticket);
	sent = reply_send(m->session, &reply, -1) == 0;
	explicit_bzero(&reply, sizeof(reply));
	return sent;
}

/* The words are the session's; what they can do is mislead a reader of the log. */
bool handle_secured(struct monitor *m, struct request *request)
{
	const struct tls_outcome *outcome = &request->secured.outcome;
	char subject[LOG_QUOTE_SIZE], why[LOG_LINE_MAX];

	if (!m->secure || m->secured || !IS_TEXT(outcome->subject))
		return monitor_violation(m);
	m->secured = true;
	m->outcome = *outcome;
	if (!request->secured.done)
		log_line(LOG_INFO, "tls-failed address=%s: %s",
			m->connection->peer.address,
			tls_load(why)->reason(outcome->error));
	else if (outcome->subject[0])
		log_line(LOG_INFO, "certificate address=%s subject=%s",
			m->connection->peer.address,
			log_quote(subject, outcome->subject, strlen(outcome->subject)));
	return true;
}

const char *monitor_tls_version(const struct monitor *m)
{
	if (!m->secured)
		return "-";
	return m->outcome.version >= 0x0304 ? "1.3" : "1.2";
}

void monitor_forget_tls(struct monitor *m)
{
	char why[LOG_LINE_MAX];

	monitor_close_connection(m);
	if (m->server->tls)
		tls_load(why)->forget(m->server->tls);
	m->signatures = m->tickets = 0;
}
