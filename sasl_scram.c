/* SCRAM's messages, RFC 5802 sections 5 to 7, with channel bindings (RFC 5929 section 4, RFC 9266).
 * Runs in the session, which sees no key: salt and signature come from the monitor, which is given
 * the proof. */
#include "sasl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FIRST_MAX 2048 /* octets of the client's first message, NUL included */

/* What an exchange has come to. */
struct exchange {
	char first[FIRST_MAX]; /* gs2-header client-first-message-bare */
	size_t header_length;
	char user[REQUEST_TEXT_MAX];
	const char *nonce; /* the client's, in `first` */
	size_t nonce_length;
	unsigned char binding[TLS_BINDING_MAX]; /* of this connection */
	size_t binding_length;
	char server_first[FIRST_MAX + 256];
	size_t server_nonce_length; /* of the nonce in it, which follows `r=` */
};

/* RFC 5802 s.7, `printable`. */
static bool is_printable(const char *text, size_t length)
{
	size_t i;

	for (i = 0; i < length; i++) {
		if (text[i] < 0x21 || text[i] > 0x7e || text[i] == ',')
			return false;
	}
	return length > 0;
}

/* What may follow that we know nothing of: `,x=value`, any number of times.  Not with `m`, which
 * says that who does not know it must fail (s.5.1), nor with a letter that has its place. */
static bool are_extensions(const char *text, const char *end)
{
	while (text < end) {
		char letter = text[1];
		const char *comma;

		if (text + 4 > end || text[0] != ',' || text[2] != '='
			|| !((letter | 0x20) >= 'a' && (letter | 0x20) <= 'z')
			|| strchr("acimnprsve", letter))
			return false;
		comma = memchr(text + 3, ',', (size_t)(end - text - 3));
		text = comma ? comma : end;
		if (text[-1] == '=' && text[-2] == letter && text[-3] == ',')
			return false;
	}
	return true;
}

/* `p=name` to its comma: the binding of that name.  Returns what follows, or NULL. */
static const char *take_binding(struct session *s, const char *p, struct exchange *e)
{
	char name[32];
	size_t length;

	p += 2;
	length = strcspn(p, ",");
	if (p[length] != ',' || length >= sizeof(name))
		return NULL;
	memcpy(name, p, length);
	name[length] = '\0';
	e->binding_length = s->wire.library->binding(s->wire.tls, name, e->binding);
	return e->binding_length > 0 ? p + length + 1 : NULL;
}

static bool is_plus(enum auth_method method)
{
	return method == AUTH_SCRAM_SHA_1_PLUS || method == AUTH_SCRAM_SHA_256_PLUS;
}

/* Whether the client would have used the channel's binding, had it been told of that. */
static bool offers_plus(const struct session *s)
{
	return s->secure
		&& (s->methods
			& (AUTH_METHOD(AUTH_SCRAM_SHA_1_PLUS)
				| AUTH_METHOD(AUTH_SCRAM_SHA_256_PLUS)));
}

/* Returns what follows the gs2-header, or NULL with what is wrong in `*wrong`. */
static const char *parse_header(struct session *s, enum auth_method method,
	struct exchange *e, char authorization[REQUEST_TEXT_MAX], enum text *wrong)
{
	const char *p = e->first;

	*wrong = TEXT_BAD_RESPONSE;
	authorization[0] = '\0';
	if (strncmp(p, "p=", 2) == 0 && is_plus(method)) {
		*wrong = TEXT_BAD_BINDING;
		p = take_binding(s, p, e);
	} else if (is_plus(method)) {
		p = NULL;
	} else if (strncmp(p, "y,", 2) == 0 && offers_plus(s)) {
		/* Someone has taken it out of the list: RFC 5802 s.6. */
		*wrong = TEXT_BAD_BINDING;
		p = NULL;
	} else {
		p = strncmp(p, "n,", 2) == 0 || strncmp(p, "y,", 2) == 0 ? p + 2 : NULL;
	}
	if (!p)
		return NULL;
	*wrong = TEXT_BAD_RESPONSE;
	if (*p == ',')
		return p + 1;
	return strncmp(p, "a=", 2) == 0 ? sasl_name(authorization, p + 2) : NULL;
}

/* Fills in the exchange.  Returns false with what is wrong in `*wrong`. */
static bool parse_first(struct session *s, enum auth_method method,
	const struct response *response, struct exchange *e, enum text *wrong)
{
	char authorization[REQUEST_TEXT_MAX];
	const char *bare, *p;

	*wrong = TEXT_BAD_RESPONSE;
	if (response->length >= sizeof(e->first)
		|| strlen(response->data) != response->length)
		return false;
	memcpy(e->first, response->data, response->length + 1);
	bare = parse_header(s, method, e, authorization, wrong);
	if (!bare)
		return false;
	e->header_length = (size_t)(bare - e->first);
	p = strncmp(bare, "n=", 2) == 0 ? sasl_name(e->user, bare + 2) : NULL;
	if (!p || strncmp(p, "r=", 2) != 0)
		return false;
	e->nonce = p + 2;
	e->nonce_length = strcspn(e->nonce, ",");
	if (authorization[0] && strcmp(authorization, e->user) != 0)
		*wrong = TEXT_NOT_AS_ANOTHER;
	else
		return is_printable(e->nonce, e->nonce_length)
			&& are_extensions(
				e->nonce + e->nonce_length, e->first + response->length);
	return false;
}

/* Puts the server's first message together. */
static bool answer_first(
	struct session *s, enum auth_method method, struct exchange *e, enum next *next)
{
	struct request request = {.kind = REQUEST_SALT, .login.method = method};
	struct reply reply;

	strcpy(request.login.user, e->user);
	if (!sasl_challenge(s, &request, &reply, next))
		return false;
	e->server_nonce_length = e->nonce_length + strlen(reply.salt.nonce);
	snprintf(e->server_first, sizeof(e->server_first), "r=%.*s%s,s=%s,i=%" PRIu32,
		(int)e->nonce_length, e->nonce, reply.salt.nonce, reply.salt.salt.text,
		reply.salt.salt.iterations);
	return true;
}

/* `c=` and `r=`, which are what they must be.  Returns what follows them, or NULL with what is
 * wrong in `*wrong`. */
static const char *check_final(
	const char *final, const struct exchange *e, enum text *wrong)
{
	char channel[FIRST_MAX + TLS_BINDING_MAX];
	char text[BASE64_SIZE(sizeof(channel))];
	size_t length = e->header_length;

	memcpy(channel, e->first, length);
	memcpy(channel + length, e->binding, e->binding_length);
	length = base64_encode(text, channel, length + e->binding_length);
	*wrong = TEXT_BAD_RESPONSE;
	if (strncmp(final, "c=", 2) != 0)
		return NULL;
	final += 2;
	if (strncmp(final, text, length) != 0 || final[length] != ',') {
		*wrong = TEXT_BAD_BINDING;
		return NULL;
	}
	final += length + 1;
	length = 2 + e->server_nonce_length;
	if (strncmp(final, e->server_first, length) != 0)
		return NULL;
	return final[length] == ',' ? final + length : NULL;
}

/* The last `,p=`. */
static char *find_proof(char *text)
{
	char *found = NULL, *p = text;

	while ((p = strstr(p, ",p=")) != NULL)
		found = p++;
	return found;
}

/* Fills in the request.  Returns false with what is wrong in `*wrong`. */
static bool parse_final(const struct response *response, const struct exchange *e,
	struct request *request, enum text *wrong)
{
	char *proof = strlen(response->data) == response->length
		? find_proof(response->data)
		: NULL;
	const char *rest = check_final(response->data, e, wrong);
	size_t size = digest_size(auth_digest(request->login.method));
	int length;

	if (!rest)
		return false;
	*wrong = TEXT_BAD_RESPONSE;
	if (!proof || !are_extensions(rest, proof))
		return false;
	*proof = '\0';
	proof += 3;
	if (strlen(proof) != BASE64_SIZE(size) - 1
		|| base64_decode(request->login.secret, proof) != (ssize_t)size)
		return false;
	length = snprintf(request->proof.message, sizeof(request->proof.message),
		"%s,%s,%s", e->first + e->header_length, e->server_first, response->data);
	return (size_t)length < sizeof(request->proof.message);
}

/* The monitor has opened the maildrop; whether the client goes on, now that it is told who we
 * are, is for it to say. */
static enum next show_signature(struct session *s, enum auth_method method,
	const unsigned char *signature, struct response *response)
{
	char text[2 + BASE64_SIZE(DIGEST_MAX)] = "v=";
	size_t length;
	enum next next;

	length = 2 + base64_encode(text + 2, signature, digest_size(auth_digest(method)));
	if (sasl_step(s, text, length, response, &next)) {
		if (response->length == 0)
			return log_in_reply(s);
		reply_err(s, CODE_NONE, TEXT_BAD_RESPONSE, 0, 0);
		next = NEXT_COMMAND;
	}
	return next == NEXT_END ? next : reply_end(s, END_REFUSED);
}

enum next sasl_scram(
	struct session *s, enum auth_method method, struct response *response)
{
	static struct exchange e;
	struct request request = {.kind = REQUEST_PROOF};
	unsigned char signature[DIGEST_MAX];
	enum text wrong;
	enum next next;

	memset(&e, 0, sizeof(e));
	if (!sasl_initial(s, response, &next))
		return next;
	if (!parse_first(s, method, response, &e, &wrong))
		return reply_err(s, CODE_NONE, wrong, 0, 0);
	if (!answer_first(s, method, &e, &next)
		|| !sasl_step(s, e.server_first, strlen(e.server_first), response, &next))
		return next;
	request.login.method = method;
	strcpy(request.login.user, e.user);
	if (!parse_final(response, &e, &request, &wrong))
		return reply_err(s, CODE_NONE, wrong, 0, 0);
	next = log_in(s, &request, signature);
	if (next != NEXT_TRANSACTION)
		return next;
	return show_signature(s, method, signature, response);
}
