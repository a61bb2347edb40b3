/* The capability table, response codes.  RFC 2449 sections 5, 6 and 8; RFC 3206.
 * Runs in the session. */
#include "capa.h"
#include "sasl.h"
#include "session.h"

static bool always(const struct session *session)
{
	(void)session;
	return true;
}

bool capa_plaintext(const struct session *session)
{
	return session->secure || conf_plaintext(session->conf, &session->peer->at);
}

static bool user_allowed(const struct session *session)
{
	return (session->methods & AUTH_METHOD(AUTH_PASS)) && capa_plaintext(session);
}

/* RFC 2595 s.4: where it is permitted in the current state. */
static bool stls_allowed(const struct session *session)
{
	return session->conf->certificate_count > 0 && !session->secure
		&& session->state == STATE_AUTHORIZATION;
}

static bool has_timestamp(const struct session *session)
{
	return session->timestamp[0] != '\0';
}

static void sasl_argument(struct session *session)
{
	sasl_list(session, " ", "");
}

/* Somebody's, that is, before it is known whose: RFC 2449 s.6.5. */
static bool has_login_delay(const struct session *session)
{
	return session->most.login_delay > 0 || session->delays;
}

/* The largest before the login, the smallest of `expire`: RFC 2449 s.6.5, s.6.7. */
static void put_term(struct session *session, unsigned term, bool differs)
{
	wire_string(&session->wire, " ");
	if (term == TERMS_NEVER)
		wire_string(&session->wire, "NEVER");
	else
		wire_number(&session->wire, term);
	if (differs)
		wire_string(&session->wire, " USER");
}

static void login_delay_argument(struct session *session)
{
	put_term(session, session->most.login_delay,
		session->least.login_delay != session->most.login_delay);
}

static void expire_argument(struct session *session)
{
	put_term(session, session->least.expire,
		session->least.expire != session->most.expire);
}

static void implementation_argument(struct session *session)
{
	wire_string(&session->wire, " pop3d-" VERSION);
}

/* In the order of the IANA registry.  All of these but STLS are announced in both states by
 * the same rule (RFC 2449 s.5): offered() does not look at the state. */
static const struct row {
	const char *tag; /* NULL: not announced */
	bool (*offered)(const struct session *session);
	void (*argument)(struct session *session);
	enum text refusal;
	bool passwords; /* the refusal is for want of TLS */
} table[CAPA_COUNT] = {
	[CAPA_ALWAYS] = {NULL, always, NULL, 0, false},
	[CAPA_TOP] = {"TOP", always, NULL, 0, false},
	[CAPA_USER] = {"USER", user_allowed, NULL, TEXT_NEEDS_TLS, true},
	[CAPA_SASL] = {"SASL", sasl_any, sasl_argument, TEXT_NEEDS_TLS, true},
	[CAPA_APOP] = {NULL, has_timestamp, NULL, TEXT_NO_APOP, false},
	[CAPA_RESP_CODES] = {"RESP-CODES", always, NULL, 0, false},
	[CAPA_LOGIN_DELAY]
	= {"LOGIN-DELAY", has_login_delay, login_delay_argument, 0, false},
	[CAPA_PIPELINING] = {"PIPELINING", always, NULL, 0, false},
	[CAPA_EXPIRE] = {"EXPIRE", always, expire_argument, 0, false},
	[CAPA_UIDL] = {"UIDL", always, NULL, 0, false},
	[CAPA_IMPLEMENTATION]
	= {"IMPLEMENTATION", always, implementation_argument, 0, false},
	[CAPA_STLS] = {"STLS", stls_allowed, NULL, TEXT_NO_TLS, false},
	[CAPA_AUTH_RESP_CODE] = {"AUTH-RESP-CODE", always, NULL, 0, false},
};

bool capa_offered(const struct session *session, enum capability capability)
{
	return table[capability].offered(session);
}

enum text capa_refusal(const struct session *session, enum capability capability)
{
	if (table[capability].passwords && capa_plaintext(session))
		return TEXT_NO_MECHANISM;
	return table[capability].refusal;
}

void capa_list(struct session *session)
{
	int i;

	for (i = 0; i < CAPA_COUNT; i++) {
		const struct row *row = &table[i];

		if (!row->tag || !row->offered(session))
			continue;
		wire_string(&session->wire, row->tag);
		if (row->argument)
			row->argument(session);
		wire_string(&session->wire, "\r\n");
	}
}

static const struct code {
	const char *text;
	enum capability capability; /* that announces it */
} codes[CODE_COUNT] = {
	[CODE_NONE] = {"", CAPA_ALWAYS},
	[CODE_IN_USE] = {"[IN-USE] ", CAPA_RESP_CODES},
	[CODE_LOGIN_DELAY] = {"[LOGIN-DELAY] ", CAPA_RESP_CODES},
	[CODE_AUTH] = {"[AUTH] ", CAPA_AUTH_RESP_CODE},
	[CODE_SYS_TEMP] = {"[SYS/TEMP] ", CAPA_RESP_CODES},
	[CODE_SYS_PERM] = {"[SYS/PERM] ", CAPA_RESP_CODES},
};

const char *capa_code(const struct session *session, enum response_code code)
{
	return capa_offered(session, codes[code].capability) ? codes[code].text : "";
}

const char *capa_tag(unsigned number)
{
	unsigned i;

	for (i = 0; i < CAPA_COUNT; i++) {
		if (table[i].tag && number-- == 0)
			return table[i].tag;
	}
	return NULL;
}
