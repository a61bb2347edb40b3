/* See digest.h.  The digests themselves are libmd's; libcrypto has all of this, and takes longer to
 * load than the rest of a session (ARCHITECTURE.md).  Runs in the monitor. */
#include "digest.h"

#include <md5.h>
#include <sha1.h>
#include <sha2.h>
#include <stdint.h>
#include <string.h>

#define BLOCK 64 /* octets that each of them takes at a time */

union state {
	MD5_CTX md5;
	SHA1_CTX sha1;
	SHA2_CTX sha2;
};

#define WRAP(name, member, init, update, final) \
	static void name##_init(union state *s) \
	{ \
		init(&s->member); \
	} \
	static void name##_update(union state *s, const void *data, size_t length) \
	{ \
		update(&s->member, data, length); \
	} \
	static void name##_final(union state *s, unsigned char *out) \
	{ \
		final(out, &s->member); \
	}

WRAP(md5, md5, MD5Init, MD5Update, MD5Final)
WRAP(sha1, sha1, SHA1Init, SHA1Update, SHA1Final)
WRAP(sha256, sha2, SHA256Init, SHA256Update, SHA256Final)

static const struct {
	size_t size;
	void (*init)(union state *s);
	void (*update)(union state *s, const void *data, size_t length);
	void (*final)(union state *s, unsigned char *out);
} digests[] = {
	[DIGEST_MD5] = {MD5_DIGEST_LENGTH, md5_init, md5_update, md5_final},
	[DIGEST_SHA_1] = {SHA1_DIGEST_LENGTH, sha1_init, sha1_update, sha1_final},
	[DIGEST_SHA_256]
	= {SHA256_DIGEST_LENGTH, sha256_init, sha256_update, sha256_final},
};

size_t digest_size(enum digest kind)
{
	return digests[kind].size;
}

void digest(enum digest kind, const void *data, size_t length, unsigned char *out)
{
	union state state;

	digests[kind].init(&state);
	digests[kind].update(&state, data, length);
	digests[kind].final(&state, out);
	explicit_bzero(&state, sizeof(state));
}

/* A key, taken in: what HMAC begins each time with. */
struct keyed {
	enum digest kind;
	union state inner, outer;
};

static void start(struct keyed *k, enum digest kind, const void *key, size_t length)
{
	unsigned char block[BLOCK] = {0};
	size_t i;

	k->kind = kind;
	if (length > BLOCK)
		digest(kind, key, length, block);
	else
		memcpy(block, key, length);
	for (i = 0; i < BLOCK; i++)
		block[i] ^= 0x36;
	digests[kind].init(&k->inner);
	digests[kind].update(&k->inner, block, BLOCK);
	for (i = 0; i < BLOCK; i++)
		block[i] ^= 0x36 ^ 0x5c;
	digests[kind].init(&k->outer);
	digests[kind].update(&k->outer, block, BLOCK);
	explicit_bzero(block, sizeof(block));
}

/* HMAC of one piece of data and another. */
static void finish(const struct keyed *k, const void *data, size_t length,
	const void *more, size_t more_length, unsigned char *out)
{
	union state state = k->inner;

	digests[k->kind].update(&state, data, length);
	digests[k->kind].update(&state, more, more_length);
	digests[k->kind].final(&state, out);
	state = k->outer;
	digests[k->kind].update(&state, out, digests[k->kind].size);
	digests[k->kind].final(&state, out);
	explicit_bzero(&state, sizeof(state));
}

void digest_hmac(enum digest kind, const void *key, size_t key_length, const void *data,
	size_t length, unsigned char *out)
{
	struct keyed keyed;

	start(&keyed, kind, key, key_length);
	finish(&keyed, data, length, "", 0, out);
	explicit_bzero(&keyed, sizeof(keyed));
}

void digest_iterate(enum digest kind, const char *password, const void *salt,
	size_t salt_length, unsigned iterations, unsigned char *out)
{
	static const unsigned char one[] = {0, 0, 0, 1};
	unsigned char u[DIGEST_MAX];
	size_t i, size = digests[kind].size;
	struct keyed keyed;

	start(&keyed, kind, password, strlen(password));
	finish(&keyed, salt, salt_length, one, sizeof(one), u);
	memcpy(out, u, size);
	while (--iterations > 0) {
		finish(&keyed, u, size, "", 0, u);
		for (i = 0; i < size; i++)
			out[i] ^= u[i];
	}
	explicit_bzero(u, sizeof(u));
	explicit_bzero(&keyed, sizeof(keyed));
}

bool digest_equal(const void *a, const void *b, size_t length)
{
	const volatile unsigned char *p = a, *q = b;
	unsigned char difference = 0;

	while (length-- > 0)
		difference |= *p++ ^ *q++;
	return difference == 0;
}
