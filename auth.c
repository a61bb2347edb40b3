/* The verdict on a login: passwords through crypt(3), {PLAIN} secrets, APOP.
 * RFC 1939 section 7 (PASS, APOP).  Runs in the monitor, before it becomes the user. */
#include "auth.h"

#include <crypt.h>
#include <inttypes.h>
#include <md5.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* What a stranger's password is checked against where the users offer nothing better:
 * Debian's default method, so that it costs what a user of the system costs. */
#define STAND_IN "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$"

const char *auth_method_name(enum auth_method method)
{
	static const char *const names[AUTH_METHODS] = {"PASS", "APOP"};

	return names[method];
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

/* In a time that depends on `length` alone. */
static bool equal(const void *a, const void *b, size_t length)
{
	const volatile unsigned char *p = a, *q = b;
	unsigned char difference = 0;

	while (length-- > 0)
		difference |= *p++ ^ *q++;
	return difference == 0;
}

static bool hash_matches(const char *hash, const char *password)
{
	static struct crypt_data data;
	const char *made = crypt_r(password, hash, &data);
	size_t length = strlen(hash);
	/* crypt(3) says that it can't with NULL or with a string that begins with *. */
	bool matches = made && made[0] != '*' && strlen(made) == length
		&& equal(made, hash, length);

	explicit_bzero(&data, sizeof(data));
	return matches;
}

static bool secret_matches(const char *secret, const char *password)
{
	size_t length = strlen(secret);

	return strlen(password) == length && equal(password, secret, length);
}

static bool pass_matches(const struct account *account, const char *password)
{
	const char *secret = users_secret(account->password);
	const char *hash = users_hash(account->password);

	if (secret)
		return secret_matches(secret, password);
	if (hash)
		return hash_matches(hash, password);
	/* Who has no password here, or is not there, costs one crypt(3) too. */
	hash_matches(account->stand_in[0] ? account->stand_in : STAND_IN, password);
	return false;
}

/* RFC 1939 s.7: MD5 over the timestamp and the shared secret. */
static bool apop_matches(const char *stored, const char *digest, const char *timestamp)
{
	const char *secret = users_secret(stored);
	uint8_t made[MD5_DIGEST_LENGTH];
	MD5_CTX md5;
	bool matches;

	MD5Init(&md5);
	MD5Update(&md5, (const uint8_t *)timestamp, strlen(timestamp));
	if (secret)
		MD5Update(&md5, (const uint8_t *)secret, strlen(secret));
	MD5Final(made, &md5);
	matches = equal(made, digest, AUTH_DIGEST_SIZE) && secret;
	explicit_bzero(&md5, sizeof(md5));
	explicit_bzero(made, sizeof(made));
	return matches;
}

static bool attempt_matches(
	const struct auth_attempt *attempt, const struct account *account)
{
	if (attempt->method == AUTH_PASS)
		return pass_matches(account, attempt->secret);
	return attempt->timestamp[0] != '\0'
		&& apop_matches(account->password, attempt->secret, attempt->timestamp);
}

static const char *denial(const struct auth_attempt *attempt,
	const struct account *account, enum users_found found, bool right)
{
	if (found == USERS_ABSENT)
		return "unknown-user";
	if (!users_scheme_is_known(account->password))
		return "scheme";
	if (!users_hash(account->password) && !users_secret(account->password))
		return "locked";
	if (!right)
		return attempt->method == AUTH_APOP ? "digest" : "password";
	return account->expired;
}

enum auth_verdict auth_check(const struct conf *conf, const struct auth_attempt *attempt,
	struct account *account, char *reason)
{
	enum users_found found = USERS_ABSENT;
	enum auth_verdict verdict = AUTH_GRANTED;
	const char *denied = NULL;

	memset(account, 0, sizeof(*account));
	if (users_name_is_safe(attempt->user))
		found = users_find(conf, attempt->user, account, reason);
	if (found == USERS_BROKEN)
		verdict = AUTH_BROKEN;
	else
		denied = denial(
			attempt, account, found, attempt_matches(attempt, account));
	if (denied) {
		verdict = AUTH_DENIED;
		snprintf(reason, LOG_LINE_MAX, "%s", denied);
	} else if (verdict == AUTH_GRANTED && account->broken) {
		verdict = AUTH_BROKEN;
		snprintf(reason, LOG_LINE_MAX, "%s:%u: %s", conf->users_file,
			account->line, account->broken);
	}
	explicit_bzero(account->password, sizeof(account->password));
	explicit_bzero(account->stand_in, sizeof(account->stand_in));
	return verdict;
}
