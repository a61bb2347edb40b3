/* See store.h: crypt(5), SCRAM's keys (RFC 5802 section 3, RFC 7677).  Runs in pop3passwd. */
#include "store.h"
#include "base64.h"
#include "saslprep.h"
#include "scram.h"
#include "users.h"

#include <crypt.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#define SALT_SIZE 16    /* octets of SCRAM's */
#define BCRYPT_TAKES 72 /* octets of a password: the rest would not count */

typedef const char *maker(const struct store_scheme *scheme, const char *password,
	unsigned rounds, char out[STORE_MAX]);

static maker make_crypt, make_scram, make_plain;

static const struct store_scheme {
	const char *name;
	maker *make;
	const char *prefix;          /* as it is written */
	enum digest digest;          /* of SCRAM */
	unsigned least, most, usual; /* rounds; 0, 0: it has none */
	const char *wrong;           /* what to say of others */
} schemes[] = {
	{"yescrypt", make_crypt, "$y$", 0, 1, 11, 5, "yescrypt's cost is 1 to 11"},
	{"sha512crypt", make_crypt, "$6$", 0, 1000, 999999999, 0,
		"sha512crypt's rounds are 1000 to 999999999"},
	{"bcrypt", make_crypt, "$2b$", 0, 4, 31, 12, "bcrypt's cost is 4 to 31"},
	{"SCRAM-SHA-256", make_scram, "{SCRAM-SHA-256}", DIGEST_SHA_256, 4096, 9999999,
		4096, "SCRAM's iterations are 4096 to 9999999"},
	{"SCRAM-SHA-1", make_scram, "{SCRAM-SHA-1}", DIGEST_SHA_1, 4096, 9999999, 4096,
		"SCRAM's iterations are 4096 to 9999999"},
	{"PLAIN", make_plain, "{PLAIN}", 0, 0, 0, 0, "PLAIN has no rounds"},
};

#define SCHEME_COUNT (sizeof(schemes) / sizeof(schemes[0]))

/* A setting for crypt(3), with a salt; false where it does not know the method. */
static bool make_setting(const struct store_scheme *scheme, unsigned rounds,
	char out[CRYPT_GENSALT_OUTPUT_SIZE])
{
	char random[SALT_SIZE];
	bool made = getrandom(random, sizeof(random), 0) == sizeof(random)
		&& crypt_gensalt_rn(scheme->prefix, rounds, random, sizeof(random), out,
			CRYPT_GENSALT_OUTPUT_SIZE)
		&& strncmp(out, scheme->prefix, strlen(scheme->prefix)) == 0;

	explicit_bzero(random, sizeof(random));
	return made;
}

static const char *make_crypt(const struct store_scheme *scheme, const char *password,
	unsigned rounds, char out[STORE_MAX])
{
	static struct crypt_data data;
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	const char *made, *wrong = NULL;

	if (strcmp(scheme->name, "bcrypt") == 0 && strlen(password) > BCRYPT_TAKES)
		return "the password is longer than the 72 octets that bcrypt takes";
	if (!make_setting(scheme, rounds, setting))
		return "crypt(3) of this system does not know that scheme";
	made = crypt_r(password, setting, &data);
	if (!made || made[0] == '*' || strlen(made) >= STORE_MAX)
		wrong = "crypt(3) can't hash this password";
	else
		strcpy(out, made);
	explicit_bzero(&data, sizeof(data));
	return wrong;
}

static const char *make_scram(const struct store_scheme *scheme, const char *password,
	unsigned rounds, char out[STORE_MAX])
{
	struct scram_keys keys = {.digest = scheme->digest, .iterations = rounds};
	size_t size = digest_size(scheme->digest);
	char salt[BASE64_SIZE(SALT_SIZE)], stored[BASE64_SIZE(DIGEST_MAX)],
		server[BASE64_SIZE(DIGEST_MAX)], prepared[2 * USERS_PASSWORD_MAX];

	/* As the client makes its own: RFC 5802 s.2.2. */
	saslprep(prepared, sizeof(prepared), password);
	keys.salt_length = SALT_SIZE;
	if (getrandom(keys.salt, SALT_SIZE, 0) != SALT_SIZE)
		return "this system has no random numbers";
	scram_make(&keys, prepared);
	base64_encode(salt, keys.salt, SALT_SIZE);
	base64_encode(stored, keys.stored, size);
	base64_encode(server, keys.server, size);
	snprintf(out, STORE_MAX, "%s%u,%s,%s,%s", scheme->prefix, rounds, salt, stored,
		server);
	explicit_bzero(&keys, sizeof(keys));
	explicit_bzero(prepared, sizeof(prepared));
	explicit_bzero(stored, sizeof(stored));
	explicit_bzero(server, sizeof(server));
	return NULL;
}

static const char *make_plain(const struct store_scheme *scheme, const char *password,
	unsigned rounds, char out[STORE_MAX])
{
	(void)rounds;
	if (strchr(password, ':'))
		return "a password with a colon can't be stored as PLAIN";
	snprintf(out, STORE_MAX, "%s%s", scheme->prefix, password);
	return NULL;
}

const struct store_scheme *store_find(const char *name)
{
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	size_t i;

	if (!name)
		return &schemes[make_setting(&schemes[0], schemes[0].usual, setting) ? 0
										     : 1];
	for (i = 0; i < SCHEME_COUNT; i++) {
		if (strcasecmp(schemes[i].name, name) == 0)
			return &schemes[i];
	}
	return NULL;
}

const char *store_name(unsigned number)
{
	return number < SCHEME_COUNT ? schemes[number].name : NULL;
}

unsigned store_rounds(const struct store_scheme *scheme, unsigned rounds, unsigned scram)
{
	if (rounds == 0 && scheme->make == make_scram && scram > 0)
		return scram;
	return rounds == 0 ? scheme->usual : rounds;
}

const char *store_rounds_check(const struct store_scheme *scheme, unsigned rounds)
{
	if (rounds == 0 || (rounds >= scheme->least && rounds <= scheme->most))
		return NULL;
	return scheme->wrong;
}

const char *store_make(const struct store_scheme *scheme, const char *password,
	unsigned rounds, char out[STORE_MAX])
{
	return scheme->make(scheme, password, rounds, out);
}

/* crypt(5)'s prefixes, of what pop3passwd writes and others. */
static const char *const hashes[][2] = {
	{"$y$", "yescrypt"},
	{"$gy$", "gost-yescrypt"},
	{"$7$", "scrypt"},
	{"$2", "bcrypt"},
	{"$6$", "sha512crypt"},
	{"$5$", "sha256crypt"},
	{"$1$", "md5crypt"},
	{"", "crypt"},
};

const char *store_kind(const char *stored)
{
	const char *value;
	size_t i = 0;

	switch (users_stored(stored, &value)) {
	case USERS_SECRET:
		return "PLAIN";
	case USERS_SCRAM_SHA_1:
		return "SCRAM-SHA-1";
	case USERS_SCRAM_SHA_256:
		return "SCRAM-SHA-256";
	case USERS_LOCKED:
		return "locked";
	case USERS_HASH:
		while (strncmp(value, hashes[i][0], strlen(hashes[i][0])) != 0)
			i++;
		return hashes[i][1];
	default:
		return "unknown";
	}
}
