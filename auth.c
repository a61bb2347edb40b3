/* The verdict on a login: passwords, APOP (RFC 1939 section 7), CRAM-MD5 (RFC 2195), SCRAM
 * (RFC 5802, RFC 7677), EXTERNAL (RFC 4422 appendix A), tokens (RFC 6750).  Runs in the monitor, before
 * it becomes the user. */
#include "auth.h"
#include "saslprep.h"

#include <crypt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* What a stranger's password is checked against where the users offer nothing better:
 * Debian's default method, so that it costs what a user of the system costs. */
#define STAND_IN "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$"

#define SECRET USERS_STORED(USERS_SECRET)
#define SCRAM_SHA_1 USERS_STORED(USERS_SCRAM_SHA_1)
#define SCRAM_SHA_256 USERS_STORED(USERS_SCRAM_SHA_256)
#define ANY (SECRET | USERS_STORED(USERS_HASH) | SCRAM_SHA_1 | SCRAM_SHA_256)
#define CHECKED USERS_STORED(USERS_CHECKED)
#define JUDGED USERS_STORED(USERS_JUDGED)
#define PASSWORD (ANY | CHECKED | JUDGED)
#define UNLOCKED (ANY | USERS_STORED(USERS_NONE) | USERS_STORED(USERS_UNKNOWN))

typedef bool matcher(const struct auth_attempt *attempt, const struct account *account,
	unsigned char *signature);

static matcher password_matches, apop_matches, cram_matches, scram_matches, name_matches,
	token_matches;

static const struct method {
	const char *name;
	unsigned stored; /* USERS_STORED() of the passwords that serve it */
	matcher *matches;
	const char *wrong; /* for the log */
} methods[AUTH_METHODS] = {
	[AUTH_PASS] = {"PASS", PASSWORD, password_matches, "password"},
	[AUTH_APOP] = {"APOP", SECRET | CHECKED, apop_matches, "digest"},
	[AUTH_PLAIN] = {"PLAIN", PASSWORD, password_matches, "password"},
	[AUTH_LOGIN] = {"LOGIN", PASSWORD, password_matches, "password"},
	[AUTH_CRAM_MD5] = {"CRAM-MD5", SECRET, cram_matches, "digest"},
	[AUTH_SCRAM_SHA_1]
	= {"SCRAM-SHA-1", SECRET | SCRAM_SHA_1, scram_matches, "proof"},
	[AUTH_SCRAM_SHA_256]
	= {"SCRAM-SHA-256", SECRET | SCRAM_SHA_256, scram_matches, "proof"},
	[AUTH_SCRAM_SHA_1_PLUS]
	= {"SCRAM-SHA-1-PLUS", SECRET | SCRAM_SHA_1, scram_matches, "proof"},
	[AUTH_SCRAM_SHA_256_PLUS]
	= {"SCRAM-SHA-256-PLUS", SECRET | SCRAM_SHA_256, scram_matches, "proof"},
	[AUTH_EXTERNAL] = {"EXTERNAL", UNLOCKED, name_matches, "certificate"},
	[AUTH_OAUTHBEARER] = {"OAUTHBEARER", UNLOCKED, token_matches, "other-user"},
	[AUTH_XOAUTH2] = {"XOAUTH2", UNLOCKED, token_matches, "other-user"},
};

const char *auth_method_name(enum auth_method method)
{
	return methods[method].name;
}

bool auth_is_scram(enum auth_method method)
{
	return methods[method].matches == scram_matches;
}

bool auth_is_bound(enum auth_method method)
{
	return method == AUTH_SCRAM_SHA_1_PLUS || method == AUTH_SCRAM_SHA_256_PLUS
		|| method == AUTH_EXTERNAL;
}

bool auth_takes_password(enum auth_method method)
{
	return methods[method].matches == password_matches;
}

bool auth_takes_token(enum auth_method method)
{
	return methods[method].matches == token_matches;
}

bool auth_sends_secret(enum auth_method method)
{
	return auth_takes_password(method) || auth_takes_token(method);
}

/* Whether it works for every user, or, where it is in `mechanisms`, for anyone. */
static bool serves(const struct conf *conf, unsigned stored, enum auth_method m)
{
	if (auth_takes_token(m))
		return conf->oauth != NULL;
	if (m == AUTH_EXTERNAL)
		return conf->tls_client_user != TLS_CLIENT_USER_NONE;
	if (auth_takes_password(m))
		return true;
	if (conf->mechanisms)
		return (stored & methods[m].stored) != 0;
	/* Not all commands know APOP, which clients take where it is offered. */
	return stored && !(stored & ~(methods[m].stored & ~CHECKED));
}

unsigned auth_offers(const struct conf *conf, const struct users_summary *users)
{
	unsigned offers = 0;
	enum auth_method m;

	for (m = 0; m < AUTH_METHODS; m++) {
		if (serves(conf, users->stored, m))
			offers |= AUTH_METHOD(m);
	}
	return conf->mechanisms ? offers & conf->mechanisms : offers;
}

void auth_report(const struct conf *conf, conf_report *report)
{
	struct users_summary users;
	unsigned offers, clear = 0;
	char text[LOG_LINE_MAX];
	enum auth_method m;

	users_summarize(conf, &users);
	offers = auth_offers(conf, &users);
	for (m = 0; m < AUTH_METHODS; m++) {
		const char *wrong = NULL;

		if (!auth_is_bound(m)
			&& (!auth_sends_secret(m) || conf->plaintext_count > 0))
			clear |= AUTH_METHOD(m);
		if (!(conf->mechanisms & AUTH_METHOD(m)))
			continue;
		if (auth_takes_token(m) && !conf->oauth)
			wrong = "it needs oauth, and there is none";
		else if (!(offers & AUTH_METHOD(m)))
			wrong = "no user has a password that is stored for it";
		else if (auth_is_bound(m) && conf->certificate_count == 0)
			wrong = "it needs TLS, and there is no tls_certificate";
		if (!wrong)
			continue;
		snprintf(text, sizeof(text), "mechanisms: warning: %s: %s",
			m == AUTH_PASS ? "USER" : methods[m].name, wrong);
		report(text);
	}
	if (!(offers & clear) && conf->certificate_count == 0)
		report("warning: nobody can log in: without TLS, `plaintext` and "
		       "`mechanisms` leave no way");
}

int auth_timestamp(char timestamp[AUTH_TIMESTAMP_MAX], const char *hostname)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -1;
	snprintf(timestamp, AUTH_TIMESTAMP_MAX, "<%ld.%lld.%016" PRIx64 "@%s>",
		(long)getpid(), (long long)time(NULL), random, hostname);
	return 0;
}

static bool hash_matches(const char *hash, const char *password)
{
	/* It has 32 KiB, which are not to stay. */
	struct crypt_data *data = mmap(NULL, sizeof(*data), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const char *made = data == MAP_FAILED ? NULL : crypt_r(password, hash, data);
	size_t length = strlen(hash);
	/* crypt(3) says that it can't with NULL or with a string that begins with *. */
	bool matches = made && made[0] != '*' && strlen(made) == length
		&& digest_equal(made, hash, length);

	if (data != MAP_FAILED)
		munmap(data, sizeof(*data));
	return matches;
}

static bool equal(const char *a, const char *b)
{
	size_t length = strlen(a);

	return strlen(b) == length && digest_equal(a, b, length);
}

#define PREPARED_MAX (2 * USERS_PASSWORD_MAX)

/* RFC 4616 s.2: what is stored as it came may not be prepared yet. */
static bool secret_matches(const char *secret, const char *password)
{
	char prepared[PREPARED_MAX];
	bool matches = equal(secret, password);

	saslprep(prepared, sizeof(prepared), secret);
	matches |= *prepared && equal(prepared, password);
	explicit_bzero(prepared, sizeof(prepared));
	return matches;
}

/* What a user's password costs that is stored as this one is not, but others are: the time is the
 * same for all, and for whom there is not. */
static void spend_password(const struct auth_attempt *attempt,
	const struct account *account, enum users_stored kind, const char *password)
{
	const struct users_summary *users = attempt->users;
	struct scram_keys keys = {0};
	enum digest d;

	if (kind != USERS_HASH && (users->stored & USERS_STORED(USERS_HASH)))
		hash_matches(
			account->stand_in[0] ? account->stand_in : STAND_IN, password);
	for (d = DIGEST_SHA_1; d <= DIGEST_SHA_256; d++) {
		if (users->scram[d].iterations == 0
			|| kind
				== (d == DIGEST_SHA_1 ? USERS_SCRAM_SHA_1
						      : USERS_SCRAM_SHA_256))
			continue;
		keys.digest = d;
		keys.iterations = users->scram[d].iterations;
		keys.salt_length = users->scram[d].salt_length;
		scram_make(&keys, password);
	}
	explicit_bzero(&keys, sizeof(keys));
}

static bool compare_password(const struct auth_attempt *attempt,
	const struct account *account, const char *password)
{
	const char *value;
	enum users_stored kind = users_stored(account->password, &value);

	spend_password(attempt, account, kind, password);
	switch (kind) {
	case USERS_SECRET:
		return secret_matches(value, password);
	case USERS_HASH:
		return hash_matches(value, password);
	case USERS_SCRAM_SHA_1:
		return scram_takes(value, DIGEST_SHA_1, password);
	case USERS_SCRAM_SHA_256:
		return scram_takes(value, DIGEST_SHA_256, password);
	default:
		return false;
	}
}

/* As it came, for who has made a hash of that; and prepared. */
static bool password_matches(const struct auth_attempt *attempt,
	const struct account *account, unsigned char *signature)
{
	char prepared[PREPARED_MAX];
	bool matches = compare_password(attempt, account, attempt->secret);

	(void)signature;
	if (saslprep(prepared, sizeof(prepared), attempt->secret) && *prepared
		&& strcmp(prepared, attempt->secret) != 0)
		matches |= compare_password(attempt, account, prepared);
	explicit_bzero(prepared, sizeof(prepared));
	return matches;
}

bool auth_takes(const struct account *account, const char *password)
{
	const struct users_summary nobody_else = {.stored = 0};
	const struct auth_attempt attempt = {.users = &nobody_else, .secret = password};

	return password_matches(&attempt, account, NULL);
}

/* The password as it is, or an empty one that nothing is to match. */
static const char *secret_of(const struct account *account)
{
	const char *value;

	return users_stored(account->password, &value) == USERS_SECRET ? value : "";
}

/* RFC 1939 s.7: MD5 over the timestamp and the shared secret. */
static bool apop_matches(const struct auth_attempt *attempt,
	const struct account *account, unsigned char *signature)
{
	const char *secret = secret_of(account);
	char text[AUTH_TIMESTAMP_MAX + USERS_PASSWORD_MAX];
	unsigned char made[DIGEST_MAX];
	bool matches;

	(void)signature;
	snprintf(text, sizeof(text), "%s%s", attempt->challenge, secret);
	digest(DIGEST_MD5, text, strlen(text), made);
	matches = digest_equal(made, attempt->secret, AUTH_DIGEST_SIZE) && *secret
		&& attempt->challenge[0];
	explicit_bzero(text, sizeof(text));
	explicit_bzero(made, sizeof(made));
	return matches;
}

/* RFC 2195 s.2: HMAC-MD5 over the challenge, with the shared secret as its key. */
static bool cram_matches(const struct auth_attempt *attempt,
	const struct account *account, unsigned char *signature)
{
	const char *secret = secret_of(account);
	unsigned char made[DIGEST_MAX];
	bool matches;

	(void)signature;
	digest_hmac(DIGEST_MD5, secret, strlen(secret), attempt->challenge,
		strlen(attempt->challenge), made);
	matches = digest_equal(made, attempt->secret, AUTH_DIGEST_SIZE) && *secret;
	explicit_bzero(made, sizeof(made));
	return matches;
}

/* SCRAM. */

enum digest auth_digest(enum auth_method method)
{
	return methods[method].stored & SCRAM_SHA_1 ? DIGEST_SHA_1 : DIGEST_SHA_256;
}

/* The same for a user each time, and for every user and digest another one; where the password is
 * stored as it is, or is not there.  It looks like those of the users who have keys. */
static void make_salt(const struct auth_attempt *attempt, const struct account *account,
	struct scram_keys *keys)
{
	const unsigned iterations = attempt->users->scram[keys->digest].iterations;
	unsigned char user[DIGEST_MAX], made[2][DIGEST_MAX];

	keys->iterations = iterations ? iterations : attempt->conf->scram_iterations;
	keys->salt_length
		= iterations ? attempt->users->scram[keys->digest].salt_length : 16;
	digest_hmac(DIGEST_SHA_256, account->seed, sizeof(account->seed), attempt->user,
		strlen(attempt->user), user);
	digest_hmac(DIGEST_SHA_256, user, sizeof(user),
		keys->digest == DIGEST_SHA_1 ? "1" : "2", 1, made[0]);
	digest_hmac(
		DIGEST_SHA_256, user, sizeof(user), made[0], sizeof(made[0]), made[1]);
	memcpy(keys->salt, made, SCRAM_SALT_MAX);
}

/* Those of the account.  Returns whether they can be right. */
static bool find_keys(const struct auth_attempt *attempt, const struct account *account,
	struct scram_keys *keys)
{
	const char *value;
	enum users_stored kind = users_stored(account->password, &value);

	keys->digest = auth_digest(attempt->method);
	make_salt(attempt, account, keys);
	if ((kind == USERS_SCRAM_SHA_1 || kind == USERS_SCRAM_SHA_256)
		&& (methods[attempt->method].stored & USERS_STORED(kind))
		&& scram_parse(value, keys->digest, keys))
		return true;
	return kind == USERS_SECRET;
}

static bool scram_matches(const struct auth_attempt *attempt,
	const struct account *account, unsigned char *signature)
{
	struct scram_keys keys = {0}, spent;
	char prepared[PREPARED_MAX];
	bool can, matches;

	can = find_keys(attempt, account, &keys);
	if (*secret_of(account)) {
		saslprep(prepared, sizeof(prepared), secret_of(account));
		scram_make(&keys, prepared);
		explicit_bzero(prepared, sizeof(prepared));
	} else if (attempt->users->stored & SECRET) {
		/* Where some take this time, all do. */
		spent = keys;
		scram_make(&spent, attempt->user);
		explicit_bzero(&spent, sizeof(spent));
	}
	matches = scram_proves(&keys, attempt->challenge, attempt->secret, signature)
		&& can;
	explicit_bzero(&keys, sizeof(keys));
	return matches;
}

/* What the certificate says has been verified (external.c); here is only whether that is who
 * the client wants to be. */
static bool name_matches(const struct auth_attempt *attempt,
	const struct account *account, unsigned char *signature)
{
	(void)account, (void)signature;
	return attempt->secret[0] && strcmp(attempt->secret, attempt->user) == 0;
}

/* It is known whose it is; the client may have said so too. */
static bool token_matches(const struct auth_attempt *attempt,
	const struct account *account, unsigned char *signature)
{
	(void)account, (void)signature;
	return !*attempt->user || strcmp(attempt->user, attempt->named) == 0;
}

static const char *denial(const struct auth_attempt *attempt,
	const struct account *account, enum users_found found, bool right)
{
	enum users_stored kind = users_stored(account->password, NULL);

	if (attempt->method == AUTH_EXTERNAL && !right)
		return methods[attempt->method].wrong;
	if (found == USERS_ABSENT)
		return "unknown-user";
	if (kind == USERS_LOCKED)
		return "locked";
	if (!(methods[attempt->method].stored & USERS_STORED(kind))) {
		if (kind == USERS_NONE)
			return "locked";
		return kind == USERS_UNKNOWN ? "scheme" : "stored-otherwise";
	}
	if (!right)
		return methods[attempt->method].wrong;
	return account->expired;
}

/* Nobody's password is empty, whatever a directory says to such a one. */
static enum auth_verdict ask(const struct auth_attempt *attempt,
	const struct conf_users *source, struct account *account, char *reason)
{
	if (!attempt->ask || !(methods[attempt->method].stored & (CHECKED | JUDGED))
		|| (auth_takes_password(attempt->method) && !*attempt->secret))
		return AUTH_DENIED;
	return attempt->ask(attempt, source, account, reason);
}

/* Looks in all sources, in their order.  Returns false where one has given the `verdict` itself. */
static bool search(const struct auth_attempt *attempt, struct account *account,
	enum users_found *found, enum auth_verdict *verdict, char *reason)
{
	const char *user = attempt->named ? attempt->named : attempt->user;
	size_t at = 0;

	*found = USERS_ABSENT;
	users_begin(attempt->conf, account);
	if (!users_name_is_safe(user))
		return true;
	while ((*found = users_search(attempt->conf, &at, user, account, reason))
		== USERS_ASK) {
		*verdict = ask(attempt, &attempt->conf->users[at - 1], account, reason);
		if (*verdict != AUTH_DENIED)
			return false;
	}
	return true;
}

/* Where no source has judged itself. */
static enum auth_verdict judge(const struct auth_attempt *attempt,
	const struct account *account, enum users_found found, unsigned char *signature,
	char *reason)
{
	const char *denied;
	bool right;

	if (found == USERS_BROKEN)
		return AUTH_BROKEN;
	right = methods[attempt->method].matches(attempt, account, signature);
	denied = denial(attempt, account, found, right);
	if (denied) {
		/* Who was asked may know better than that it is nobody here. */
		if (found != USERS_ABSENT || !*reason)
			snprintf(reason, LOG_LINE_MAX, "%s", denied);
		return AUTH_DENIED;
	}
	if (account->broken) {
		snprintf(reason, LOG_LINE_MAX, "%s:%u: %s", account->file, account->line,
			account->broken);
		return AUTH_BROKEN;
	}
	return AUTH_GRANTED;
}

void auth_wipe(struct account *account)
{
	explicit_bzero(account->password, sizeof(account->password));
	explicit_bzero(account->stand_in, sizeof(account->stand_in));
	explicit_bzero(account->seed, sizeof(account->seed));
}

enum auth_verdict auth_check(const struct auth_attempt *attempt, struct account *account,
	unsigned char *signature, char *reason)
{
	enum users_found found;
	enum auth_verdict verdict;

	if (search(attempt, account, &found, &verdict, reason))
		verdict = judge(attempt, account, found, signature, reason);
	auth_wipe(account);
	return verdict;
}

bool auth_salt(const struct auth_attempt *attempt, struct auth_salt *salt, char *reason)
{
	struct account account;
	enum users_found found = USERS_ABSENT;
	struct scram_keys keys = {0};

	users_begin(attempt->conf, &account);
	if (users_name_is_safe(attempt->user))
		found = users_find(attempt->conf, attempt->user, &account, reason);
	find_keys(attempt, &account, &keys);
	salt->iterations = keys.iterations;
	base64_encode(salt->text, keys.salt, keys.salt_length);
	auth_wipe(&account);
	explicit_bzero(&keys, sizeof(keys));
	return found != USERS_BROKEN;
}
