/* The session with the client: the command table and the loop.  RFC 1939 section 3, RFC
 * 2449 sections 3 to 5.  Runs in a process of its own, which can open nothing: what it
 * needs of the users and the maildrop it asks of the monitor (request.h). */
#include "command.h"
#include "sandbox.h"

#include <string.h>
#include <strings.h>

static command_handler cmd_capa, cmd_unknown;
#ifdef PROOF
#include "proof.h"
#include <errno.h>
static command_handler cmd_xtry;
#endif

#define AUTHORIZATION STATE_AUTHORIZATION
#define TRANSACTION STATE_TRANSACTION
#define BOTH (STATE_AUTHORIZATION | STATE_TRANSACTION)

static const struct command {
	const char *keyword; /* NULL: whatever else the client sends */
	unsigned states;
	enum capability capability;
	unsigned least, most; /* arguments */
	bool rest;            /* the argument is the rest of the line, spaces and all */
	command_handler *handler;
} commands[] = {
	{"APOP", AUTHORIZATION, CAPA_APOP, 2, 2, false, cmd_apop},
	/* RFC 5034 s.4.  Without arguments it is a question that some clients ask. */
	{"AUTH", AUTHORIZATION, CAPA_SASL, 0, 2, false, cmd_auth},
	{"CAPA", BOTH, CAPA_ALWAYS, 0, 0, false, cmd_capa},
	{"DELE", TRANSACTION, CAPA_ALWAYS, 1, 1, false, cmd_dele},
	{"LIST", TRANSACTION, CAPA_ALWAYS, 0, 1, false, cmd_list},
	{"NOOP", TRANSACTION, CAPA_ALWAYS, 0, 0, false, cmd_noop},
	{"PASS", AUTHORIZATION, CAPA_USER, 1, 1, true, cmd_pass},
	{"QUIT", BOTH, CAPA_ALWAYS, 0, 0, false, cmd_quit},
	{"RETR", TRANSACTION, CAPA_ALWAYS, 1, 1, false, cmd_retr},
	{"RSET", TRANSACTION, CAPA_ALWAYS, 0, 0, false, cmd_rset},
	{"STLS", AUTHORIZATION, CAPA_STLS, 0, 0, false, cmd_stls},
	{"STAT", TRANSACTION, CAPA_ALWAYS, 0, 0, false, cmd_stat},
	{"TOP", TRANSACTION, CAPA_TOP, 2, 2, false, cmd_top},
	{"UIDL", TRANSACTION, CAPA_UIDL, 0, 1, false, cmd_uidl},
	{"USER", AUTHORIZATION, CAPA_USER, 1, 1, false, cmd_user},
#ifdef PROOF
	{"XTRY", BOTH, CAPA_ALWAYS, 1, 1, true, cmd_xtry},
#endif
	{NULL, BOTH, CAPA_ALWAYS, 0, ARGUMENTS_MAX + 1, false, cmd_unknown},
};

const char *session_keyword(unsigned number)
{
	return commands[number].keyword;
}

static void put_text(struct wire *wire, enum text text, uint64_t first, uint64_t second)
{
	const char *rest = text_get(text), *percent;

	while ((percent = strchr(rest, '%')) != NULL) {
		wire_write(wire, rest, (size_t)(percent - rest));
		wire_number(wire, percent[1] == '1' ? first : second);
		rest = percent + 2;
	}
	wire_string(wire, rest);
	wire_string(wire, "\r\n");
}

/* RFC 1957: clients have been seen that need something behind the status indicator. */
enum next reply_ok(struct session *s, enum text text, uint64_t first, uint64_t second)
{
	wire_string(&s->wire, "+OK ");
	put_text(&s->wire, text, first, second);
	return NEXT_COMMAND;
}

enum next reply_err(struct session *s, enum response_code code, enum text text,
	uint64_t first, uint64_t second)
{
	wire_string(&s->wire, "-ERR ");
	wire_string(&s->wire, capa_code(s, code));
	put_text(&s->wire, text, first, second);
	return NEXT_COMMAND;
}

enum next reply_end(struct session *s, enum request_end reason)
{
	s->end = reason;
	return NEXT_END;
}

static enum next cmd_capa(struct session *s, const struct arguments *arguments)
{
	(void)arguments;
	reply_ok(s, TEXT_CAPABILITIES, 0, 0);
	capa_list(s);
	wire_string(&s->wire, ".\r\n");
	return NEXT_COMMAND;
}

static enum next cmd_unknown(struct session *s, const struct arguments *arguments)
{
	(void)arguments;
	return reply_err(s, CODE_NONE, TEXT_UNKNOWN_COMMAND, 0, 0);
}

#ifdef PROOF
/* `XTRY what`, or `XTRY monitor what`. */
static enum next cmd_xtry(struct session *s, const struct arguments *arguments)
{
	const char *what = arguments->word[0];
	struct request request = {.kind = REQUEST_TRY};
	struct reply reply = {.status = 0};

	if (strncmp(what, "monitor ", 8) != 0) {
		reply.status = (uint32_t)proof_try(what);
	} else {
		strcpy(request.login.user, what + 8);
		request_send(s->monitor, &request);
		if (reply_receive(s->monitor, &reply, NULL) < 0)
			reply.status = ESRCH;
	}
	wire_string(&s->wire, reply.status ? "-ERR " : "+OK ");
	wire_string(&s->wire, reply.status ? strerrorname_np((int)reply.status) : "done");
	wire_string(&s->wire, "\r\n");
	return NEXT_COMMAND;
}
#endif

/* The loop. */

/* Arguments are separated by one space each: RFC 2449 s.3.  Spaces at the end of a line
 * are no argument: clients send them. */
static void split(char *text, bool rest, struct arguments *arguments)
{
	size_t length = text ? strlen(text) : 0;

	arguments->count = 0;
	if (!rest) {
		while (length > 0 && text[length - 1] == ' ')
			text[--length] = '\0';
	}
	if (length == 0)
		return;
	while (text && arguments->count <= ARGUMENTS_MAX) {
		char *space = rest ? NULL : strchr(text, ' ');

		arguments->word[arguments->count++] = text;
		if (space)
			*space++ = '\0';
		text = space;
	}
}

/* RFC 2449 s.4: 255 octets.  Some clients put a long initial response behind AUTH all the same. */
static enum next run_command(struct session *s, char *line)
{
	const struct command *command = commands;
	char *space = strchr(line, ' ');
	struct arguments arguments;

	if (space)
		*space++ = '\0';
	while (command->keyword && strcasecmp(command->keyword, line) != 0)
		command++;
	if (s->wire.length > WIRE_LINE_MAX && command->handler != cmd_auth)
		return reply_err(s, CODE_NONE, TEXT_BAD_LINE, 0, 0);
	split(space, command->rest, &arguments);
	if (!(command->states & s->state))
		return reply_err(s, CODE_NONE,
			s->state == STATE_TRANSACTION ? TEXT_LOGGED_IN
						      : TEXT_LOG_IN_FIRST,
			0, 0);
	if (!capa_offered(s, command->capability)) {
		s->plaintext_refused |= !capa_plaintext(s)
			&& (command->capability == CAPA_USER
				|| command->capability == CAPA_SASL);
		return reply_err(
			s, CODE_NONE, capa_refusal(s, command->capability), 0, 0);
	}
	if (arguments.count < command->least)
		return reply_err(s, CODE_NONE, TEXT_TOO_FEW, 0, 0);
	if (arguments.count > command->most)
		return reply_err(s, CODE_NONE, TEXT_TOO_MANY, 0, 0);
	return command->handler(s, &arguments);
}

enum request_end end_of_wire(enum wire_state state)
{
	switch (state) {
	case WIRE_TIMEOUT:
		return END_TIMEOUT;
	case WIRE_STALLED:
		return END_STALLED;
	case WIRE_BROKEN:
		return END_WRITE;
	case WIRE_ORPHAN:
		return END_MONITOR;
	default:
		return END_CLOSED;
	}
}

static enum next next_command(struct session *s)
{
	char *line;

	switch (wire_read_line(&s->wire, &line)) {
	case WIRE_LINE:
		return run_command(s, line);
	case WIRE_BAD_LINE:
		return reply_err(s, CODE_NONE, TEXT_BAD_LINE, 0, 0);
	default:
		return reply_end(s, end_of_wire(s->wire.state));
	}
}

static void greet(struct session *s)
{
	wire_string(&s->wire, "+OK ");
	wire_string(&s->wire, s->conf->hostname);
	wire_string(&s->wire, " ");
	wire_string(&s->wire, text_get(TEXT_READY));
	if (s->timestamp[0]) {
		wire_string(&s->wire, " ");
		wire_string(&s->wire, s->timestamp);
	}
	wire_string(&s->wire, "\r\n");
}

/* RFC 1939 s.3: who is ended by a timer is not sent a response. */
static void tell_end(struct session *s)
{
	struct request request = {.kind = REQUEST_END};

	/* Whether the monitor lives no longer matters. */
	s->wire.watch = -1;
	if (!wire_flush(&s->wire) && s->end == END_QUIT)
		s->end = end_of_wire(s->wire.state);
	wire_close(&s->wire);
	request.end.reason = s->end;
	request.end.fetched = s->fetched;
	request.end.plaintext_refused = s->plaintext_refused;
	request.end.fetched_octets = s->fetched_octets;
	request_send(s->monitor, &request);
}

/* Other sessions may want the descriptors, and another program the room of what it has removed. */
static void at_rest(void *owner)
{
	transaction_leave(owner);
}

static void run_commands(struct session *s)
{
	enum next next = NEXT_COMMAND;

	while (next != NEXT_END) {
		next = next_command(s);
		/* There may have been a password in it, however wrong the line was. */
		if (s->state == STATE_AUTHORIZATION)
			wire_forget(&s->wire);
		if (next == NEXT_TRANSACTION) {
			s->state = STATE_TRANSACTION;
			wire_set_idle(&s->wire, 1000 * s->conf->idle_timeout);
		}
	}
}

void session_run(const struct session_start *start)
{
	static struct session s;
	struct reply hello;

	s.conf = start->conf;
	s.peer = start->peer;
	s.monitor = SANDBOX_MONITOR;
	s.state = STATE_AUTHORIZATION;
	s.index.fd = -1;
	wire_start(&s.wire, &start->ends, s.monitor, start->deadline);
	s.wire.at_rest = at_rest;
	s.wire.owner = &s;
	if (reply_receive(s.monitor, &hello, NULL) < 0)
		return;
	s.methods = hello.hello.methods;
	s.challenges = hello.hello.challenges;
	s.least = hello.hello.least;
	s.most = hello.hello.most;
	s.delays = s.most.login_delay > 0;
	memcpy(s.timestamp, hello.hello.timestamp, sizeof(s.timestamp) - 1);
	s.ticket = hello.hello.ticket;
	explicit_bzero(&hello.hello.ticket, sizeof(hello.hello.ticket));
	if (!start->tls || secure_start(&s, start->tls)) {
		if (!start->after_stls)
			greet(&s);
		run_commands(&s);
	}
	transaction_leave(&s);
	tell_end(&s);
}
