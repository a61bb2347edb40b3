/* A monitor, asked for a login by a session that has been taken over and has shaken hands with a client which shows
 * a certificate.
 *
 *   external_asked CONFIG DIRECTORY    as `external`
 *
 * Prints TAP. */
#include "shaken.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A monitor whose session has shaken hands with joe, or whoever. */
static bool start_shaken(struct run *run, const char *name, struct shaken *shaken)
{
	struct request request = {.kind = REQUEST_SECURED, .secured.done = 1};
	struct identity who = load(name);

	start(run, true);
	if (answer(run) != REPLY_OK
		|| !shake_hands(server.tls, run, ONLY_1_3, &who, shaken))
		return false;
	ask(run, &request);
	return true;
}

static void hand_piece(
	const struct run *run, uint32_t number, const void *data, size_t length)
{
	struct request request = {.kind = REQUEST_TRANSCRIPT, .number = number};

	request.piece.length = (uint32_t)length;
	memcpy(request.piece.data, data, length < REQUEST_PIECE ? length : REQUEST_PIECE);
	ask(run, &request);
}

static void hand_over(const struct run *run, const struct shaken *shaken)
{
	size_t at, length = shaken->proof.length;
	uint32_t number = 0;

	for (at = 0; at < length; at += REQUEST_PIECE)
		hand_piece(run, number++, shaken->transcript + at,
			length - at < REQUEST_PIECE ? length - at : REQUEST_PIECE);
}

static void ask_external(const struct run *run, const char *user, size_t length)
{
	struct request request
		= {.kind = REQUEST_EXTERNAL, .login.method = AUTH_EXTERNAL};

	request.number = (uint32_t)length;
	strcpy(request.login.user, user);
	ask(run, &request);
}

static int log_in_as(const struct run *run, const char *user, const struct shaken *shaken)
{
	ask_external(run, user, shaken->proof.length);
	return answer(run);
}

static bool granted(void)
{
	static struct shaken shaken;
	struct run run;

	if (!start_shaken(&run, "joe", &shaken))
		return false;
	hand_over(&run, &shaken);
	if (log_in_as(&run, "", &shaken) != REPLY_OK || !finish(&run)
		|| !strstr(run.words, "user=joe method=EXTERNAL"))
		return false;
	/* One that takes more than one packet. */
	if (!start_shaken(&run, "joe-many", &shaken)
		|| shaken.proof.length <= 2 * REQUEST_PIECE)
		return false;
	hand_over(&run, &shaken);
	return log_in_as(&run, "joe", &shaken) == REPLY_OK && finish(&run);
}

/* The first verdict holds; what it is worth is asked anew. */
static bool as_another(void)
{
	static struct shaken shaken;
	struct run run;

	if (!start_shaken(&run, "joe", &shaken))
		return false;
	hand_over(&run, &shaken);
	if (log_in_as(&run, "ann", &shaken) != REPLY_DENIED
		|| log_in_as(&run, "jo", &shaken) != REPLY_DENIED
		|| log_in_as(&run, "joe", &shaken) != REPLY_OK || !finish(&run)
		|| !strstr(run.words, "user=ann method=EXTERNAL reason=certificate"))
		return false;
	if (!start_shaken(&run, "joe", &shaken))
		return false;
	hand_over(&run, &shaken);
	return log_in_as(&run, "ann", &shaken) == REPLY_DENIED
		&& log_in_as(&run, "ann", &shaken) == REPLY_DENIED
		&& log_in_as(&run, "ann", &shaken) == REPLY_DENIED_LAST && finish(&run);
}

static bool told_by_another(void)
{
	static struct shaken shaken, other;
	struct run run;

	/* Of a connection before this one, with a monitor of its own. */
	if (!start_shaken(&run, "joe", &other) || !finish(&run)
		|| !start_shaken(&run, "ann", &shaken))
		return false;
	hand_over(&run, &other);
	if (log_in_as(&run, "joe", &other) != REPLY_DENIED
		|| log_in_as(&run, "", &other) != REPLY_DENIED || !finish(&run)
		|| !strstr(run.words, "the handshake is not this connection's")
		|| !strstr(run.words, "user=- method=EXTERNAL reason=certificate"))
		return false;
	/* Nothing but zeroes. */
	memset(&other, 0, sizeof(other));
	if (!start_shaken(&run, "ann", &shaken))
		return false;
	hand_piece(&run, 0, other.transcript, 100);
	ask_external(&run, "joe", 100);
	return answer(&run) == REPLY_DENIED && finish(&run)
		&& strstr(run.words, "certificate-refused address=test: ");
}

/* A recorded handshake, when the monitor is asked for the same signature again.  ECDSA's is another each time,
 * RSA's is not. */
static bool signed_again(void)
{
	static struct shaken old;
	enum how how;

	for (how = ONLY_1_2; how <= BY_RSA; how++) {
		struct request request = {.kind = REQUEST_SIGN},
			       secured = {.kind = REQUEST_SECURED, .secured.done = 1};
		struct reply reply;
		struct run run;
		bool same;

		shake(how, "joe", &old);
		request.sign = old.wanted;
		start(&run, true);
		if (answer(&run) != REPLY_OK)
			return false;
		ask(&run, &request);
		if (reply_receive(run.socket, &reply, NULL) < 0 || reply.sign.length == 0)
			return false;
		same = reply.sign.length == old.proof.signature_length
			&& memcmp(reply.sign.signature, old.proof.signature,
				   reply.sign.length)
				== 0;
		ask(&run, &secured);
		hand_over(&run, &old);
		if (same != (how == BY_RSA) || log_in_as(&run, "", &old) != REPLY_DENIED
			|| !finish(&run)) {
			printf("# %d\n", how);
			return false;
		}
	}
	return true;
}

/* Each of these ends it. */
static void unsigned_(struct run *run, const struct shaken *shaken)
{
	finish(run);
	start(run, true);
	answer(run);
	hand_over(run, shaken);
}

static void from_second(struct run *run, const struct shaken *shaken)
{
	hand_piece(run, 1, shaken->transcript, REQUEST_PIECE);
}

static void twice(struct run *run, const struct shaken *shaken)
{
	hand_piece(run, 0, shaken->transcript, REQUEST_PIECE);
	hand_piece(run, 0, shaken->transcript, REQUEST_PIECE);
}

static void behind_the_last(struct run *run, const struct shaken *shaken)
{
	hand_piece(run, 0, shaken->transcript, 100);
	hand_piece(run, 1, shaken->transcript, 100);
}

static void nothing(struct run *run, const struct shaken *shaken)
{
	hand_piece(run, 0, shaken->transcript, 0);
}

static void too_long(struct run *run, const struct shaken *shaken)
{
	hand_piece(run, 0, shaken->transcript, REQUEST_PIECE + 1);
}

static void far_too_long(struct run *run, const struct shaken *shaken)
{
	hand_piece(run, 0, shaken->transcript, UINT32_MAX);
}

static void too_many(struct run *run, const struct shaken *shaken)
{
	uint32_t i;

	for (i = 0; i <= TLS_TRANSCRIPT_MAX / REQUEST_PIECE; i++)
		hand_piece(run, i, shaken->transcript, REQUEST_PIECE);
}

static void without(struct run *run, const struct shaken *shaken)
{
	(void)shaken;
	ask_external(run, "joe", 0);
}

static void of_another_length(struct run *run, const struct shaken *shaken)
{
	hand_over(run, shaken);
	ask_external(run, "joe", shaken->proof.length - 1);
}

static void after_the_check(struct run *run, const struct shaken *shaken)
{
	hand_over(run, shaken);
	ask_external(run, "ann", shaken->proof.length);
	answer(run);
	hand_over(run, shaken);
}

static void more_after_the_check(struct run *run, const struct shaken *shaken)
{
	hand_piece(run, 0, shaken->transcript, REQUEST_PIECE);
	ask_external(run, "ann", REQUEST_PIECE);
	answer(run);
	hand_piece(run, 1, shaken->transcript, REQUEST_PIECE);
}

static void as_a_login(struct run *run, const struct shaken *shaken)
{
	struct request request = {.kind = REQUEST_LOGIN, .login.method = AUTH_EXTERNAL};

	hand_over(run, shaken);
	strcpy(request.login.user, "joe");
	strcpy(request.login.secret, "joe");
	ask(run, &request);
}

static void as_a_proof(struct run *run, const struct shaken *shaken)
{
	struct request request = {.kind = REQUEST_PROOF, .login.method = AUTH_EXTERNAL};

	hand_over(run, shaken);
	strcpy(request.login.user, "joe");
	strcpy(request.login.secret, "joe");
	ask(run, &request);
}

static void by_another_method(struct run *run, const struct shaken *shaken)
{
	struct request request = {.kind = REQUEST_EXTERNAL, .login.method = AUTH_PASS};

	hand_over(run, shaken);
	request.number = (uint32_t)shaken->proof.length;
	strcpy(request.login.user, "joe");
	ask(run, &request);
}

static void without_an_end(struct run *run, const struct shaken *shaken)
{
	struct request request
		= {.kind = REQUEST_EXTERNAL, .login.method = AUTH_EXTERNAL};

	hand_over(run, shaken);
	request.number = (uint32_t)shaken->proof.length;
	memset(request.login.user, 'x', sizeof(request.login.user));
	ask(run, &request);
}

static void after_the_login(struct run *run, const struct shaken *shaken)
{
	hand_over(run, shaken);
	ask_external(run, "", shaken->proof.length);
	answer(run);
	ask_external(run, "", shaken->proof.length);
}

static bool violations(void)
{
	static void (*const wrong[])(struct run *, const struct shaken *)
		= {unsigned_, from_second, twice, behind_the_last, nothing, too_long,
			far_too_long, too_many, without, of_another_length,
			after_the_check, more_after_the_check, as_a_login, as_a_proof,
			by_another_method, without_an_end, after_the_login};
	static struct shaken shaken;
	struct run run;
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (!start_shaken(&run, "joe", &shaken))
			return false;
		wrong[i](&run, &shaken);
		if (!is_violation(&run)) {
			printf("# %zu\n", i);
			return false;
		}
	}
	return true;
}

static bool not_offered(void)
{
	enum tls_client_user which = server.conf.tls_client_user;
	static struct shaken shaken;
	struct run run;
	bool good;

	if (!shake(ONLY_1_3, "joe", &shaken))
		return false;
	server.conf.tls_client_user = TLS_CLIENT_USER_NONE;
	good = start_shaken(&run, "joe", &shaken);
	hand_over(&run, &shaken);
	good = is_violation(&run) && good;
	server.conf.tls_client_user = which;
	/* In the clear. */
	start(&run, false);
	answer(&run);
	hand_over(&run, &shaken);
	return is_violation(&run) && good;
}

static const struct test tests[] = {
	{"granted", granted},
	{"as another user", as_another},
	{"another connection's, and none at all", told_by_another},
	{"the same signature, asked for again", signed_again},
	{"violations", violations},
	{"not offered", not_offered},
};

int main(int argc, char **argv)
{
	if (start_shaking(argc, argv))
		return 2;
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
