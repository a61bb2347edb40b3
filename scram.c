/* See scram.h.  Runs in the monitor, before it becomes the user. */
#include "scram.h"
#include "base64.h"

#include <stdlib.h>
#include <string.h>

/* A piece of `text` up to a comma, which is base64 of `least` to `most` octets.  Returns the
 * comma, or the end, or NULL. */
static const char *take_base64(
	const char *text, unsigned char *out, size_t least, size_t most, size_t *length)
{
	char piece[BASE64_SIZE(SCRAM_SALT_MAX)];
	size_t span = strcspn(text, ",");
	ssize_t got;
	bool good;

	if (span >= sizeof(piece))
		return NULL;
	memcpy(piece, text, span);
	piece[span] = '\0';
	got = base64_decode(piece, piece);
	good = got >= (ssize_t)least && got <= (ssize_t)most;
	if (good) {
		memcpy(out, piece, (size_t)got);
		*length = (size_t)got;
	}
	explicit_bzero(piece, sizeof(piece));
	return good ? text + span : NULL;
}

bool scram_parse(const char *text, enum digest digest, struct scram_keys *keys)
{
	size_t size = digest_size(digest), digits = strspn(text, "0123456789"), length;

	keys->digest = digest;
	if (digits == 0 || digits > 7 || text[digits] != ',')
		return false;
	keys->iterations = (unsigned)strtoul(text, NULL, 10);
	text = take_base64(
		text + digits + 1, keys->salt, 1, SCRAM_SALT_MAX, &keys->salt_length);
	text = text && *text ? take_base64(text + 1, keys->stored, size, size, &length)
			     : NULL;
	text = text && *text ? take_base64(text + 1, keys->server, size, size, &length)
			     : NULL;
	return text && *text == '\0' && keys->iterations > 0;
}

void scram_make(struct scram_keys *keys, const char *password)
{
	size_t size = digest_size(keys->digest);
	unsigned char salted[DIGEST_MAX], client[DIGEST_MAX];

	digest_iterate(keys->digest, password, keys->salt, keys->salt_length,
		keys->iterations, salted);
	digest_hmac(keys->digest, salted, size, "Client Key", 10, client);
	digest(keys->digest, client, size, keys->stored);
	digest_hmac(keys->digest, salted, size, "Server Key", 10, keys->server);
	explicit_bzero(salted, sizeof(salted));
	explicit_bzero(client, sizeof(client));
}

bool scram_takes(const char *text, enum digest digest, const char *password)
{
	struct scram_keys keys = {0}, made;
	bool matches = false;

	if (scram_parse(text, digest, &keys)) {
		made = keys;
		scram_make(&made, password);
		matches = digest_equal(made.stored, keys.stored, digest_size(digest));
		explicit_bzero(&made, sizeof(made));
	}
	explicit_bzero(&keys, sizeof(keys));
	return matches;
}

bool scram_proves(const struct scram_keys *keys, const char *message, const void *proof,
	unsigned char signature[DIGEST_MAX])
{
	const unsigned char *given = proof;
	unsigned char made[DIGEST_MAX];
	size_t i, size = digest_size(keys->digest), length = strlen(message);
	bool matches;

	digest_hmac(keys->digest, keys->stored, size, message, length, made);
	for (i = 0; i < size; i++)
		made[i] ^= given[i];
	digest(keys->digest, made, size, made);
	matches = digest_equal(made, keys->stored, size);
	if (matches)
		digest_hmac(keys->digest, keys->server, size, message, length, signature);
	explicit_bzero(made, sizeof(made));
	return matches;
}
