/* Digests, keys and base64 by the examples of RFCs; what listings are made of; and message.c against a
 * slow and obvious version, over random blocks.  A socket does reach all of this, but not each split of
 * it into blocks.  Prints one line and ends with 0 or 1. */
#include "base64.h"
#include "index.h"
#include "message.h"
#include "scram.h"
#include "wire.h"
#include "fuzz/slow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 64

static unsigned seed;

static unsigned next(unsigned below)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 8) % below;
}

static int differs(const char *in, size_t length)
{
	char want[4 * MOST], got[4 * MOST];
	struct message_stuffing stuffing = MESSAGE_STUFFING_START;
	struct message_count count = MESSAGE_START;
	uint64_t octets, lines = next(4);
	struct message_top top = {.lines = lines};
	size_t at = 0, n = 0, top_at = 0, want_length;

	while (at < length) {
		size_t block = 1 + next(7), made;

		if (block > length - at)
			block = length - at;
		made = message_stuff(&stuffing, in + at, block, got + n);
		if (made > 2 * block)
			return 1;
		n += made;
		message_count(&count, in + at, block);
		if (!top.done)
			top_at += message_top(&top, in + at, block);
		at += block;
	}
	n += message_end(&stuffing, got + n);
	want_length = slow_stuff(in, length, want, &octets);
	return n != want_length || memcmp(got, want, n) != 0
		|| message_octets(&count) != octets || n - stuffing.dots - 3 != octets
		|| top_at != slow_top(in, length, lines);
}

static int is_hex(const unsigned char *octets, size_t length, const char *hex)
{
	char text[2 * DIGEST_MAX + 1];
	size_t i;

	for (i = 0; i < length; i++)
		snprintf(text + 2 * i, 3, "%02x", octets[i]);
	return strcmp(text, hex) == 0;
}

static int scram_example(enum digest digest, const char *salt, const char *message,
	const char *proof, const char *signature)
{
	struct scram_keys keys = {.digest = digest, .iterations = 4096};
	unsigned char given[DIGEST_MAX + 1], made[DIGEST_MAX];
	char text[BASE64_SIZE(DIGEST_MAX)];

	keys.salt_length = (size_t)base64_decode(keys.salt, salt);
	scram_make(&keys, "pencil");
	if (base64_decode(given, proof) != (ssize_t)digest_size(digest)
		|| !scram_proves(&keys, message, given, made))
		return 0;
	base64_encode(text, made, digest_size(digest));
	given[0] ^= 1;
	return strcmp(text, signature) == 0 && !scram_proves(&keys, message, given, made);
}

/* RFC 2104, RFC 2195, RFC 2202 (a key longer than a block), RFC 6070, RFC 5802 s.5, RFC 7677 s.3. */
static int examples(void)
{
	unsigned char out[DIGEST_MAX], key[80];
	const char *challenge = "<1896.697170952@postoffice.reston.mci.net>";

	digest_hmac(
		DIGEST_MD5, "tanstaaftanstaaf", 16, challenge, strlen(challenge), out);
	if (!is_hex(out, 16, "b913a602c7eda7a495b4e6e7334d3890"))
		return 1;
	digest_hmac(DIGEST_MD5, "Jefe", 4, "what do ya want for nothing?", 28, out);
	if (!is_hex(out, 16, "750c783e6ab0b503eaa86e310a5db738"))
		return 2;
	memset(key, 0xaa, sizeof(key));
	digest_hmac(DIGEST_SHA_1, key, sizeof(key),
		"Test Using Larger Than Block-Size Key - Hash Key First", 54, out);
	if (!is_hex(out, 20, "aa4ae5e15272d00e95705637ce8a3b55ed402112"))
		return 3;
	digest_iterate(DIGEST_SHA_1, "password", "salt", 4, 1, out);
	if (!is_hex(out, 20, "0c60c80f961f0e71f3a9b524af6012062fe037a6"))
		return 4;
	digest_iterate(DIGEST_SHA_1, "password", "salt", 4, 4096, out);
	if (!is_hex(out, 20, "4b007901b765489abead49d926f721d065a429c1"))
		return 5;
	if (!scram_example(DIGEST_SHA_1, "QSXCR+Q6sek8bf92",
		    "n=user,r=fyko+d2lbbFgONRv9qkxdawL,r=fyko+"
		    "d2lbbFgONRv9qkxdawL3rfcNHYJY1"
		    "ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,c=biws,r=fyko+"
		    "d2lbbFgONRv9qkxdawL3rf"
		    "cNHYJY1ZVvWVs7j",
		    "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "rmF9pqV8S7suAoZWja4dJRkFsKQ="))
		return 6;
	if (!scram_example(DIGEST_SHA_256, "W22ZaJ0SNY7soEsUEjb6gQ==",
		    "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%"
		    "hvYDpWUa2RaTCAfux"
		    "FIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r="
		    "rOprNGfwEbeRWgb"
		    "NEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
		    "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		    "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="))
		return 7;
	return 0;
}

/* Every value of some lengths comes back; and what is not base64 is nothing. */
static int base64(void)
{
	static const char *const none[] = {"A", "AA", "AAA", "A===", "====", "AA=A",
		"AB==", "AAB=", "AA\n=", "AAAA=", "AAA-", "AAA_", " AAA", "AAAA\n",
		"AAAAA===", "=AAA"};
	unsigned char in[40], out[41];
	char text[BASE64_SIZE(sizeof(in))];
	size_t i, length;

	for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		if (base64_decode(out, none[i]) != -1)
			return 1;
	}
	for (i = 0; i < 20000; i++) {
		for (length = 0; length < i % 40; length++)
			in[length] = (unsigned char)next(256);
		if (base64_encode(text, in, length) != strlen(text)
			|| strlen(text) + 1 != BASE64_SIZE(length)
			|| base64_decode(out, text) != (ssize_t)length
			|| memcmp(in, out, length) != 0 || out[length])
			return 2;
		/* In its own place. */
		if (base64_decode(text, text) != (ssize_t)length
			|| memcmp(in, text, length) != 0)
			return 3;
	}
	return 0;
}

static int digits(uint64_t number)
{
	char want[WIRE_DIGITS + 1], got[WIRE_DIGITS];
	size_t length = (size_t)snprintf(
		want, sizeof(want), "%llu", (unsigned long long)number);

	return (size_t)(wire_digits(got, number) - got) != length
		|| memcmp(got, want, length) != 0;
}

/* Numbers beside each power of ten; and each octet at each place of unique-ids of each length. */
static int listings(void)
{
	uint64_t power = 1;
	size_t length, at;
	unsigned octet, i;

	for (i = 0; i < WIRE_DIGITS; i++, power *= 10) {
		if (digits(power - 1) || digits(power) || digits(power + 1)
			|| digits(power * 9 + next(100)))
			return 1;
	}
	if (digits(UINT64_MAX))
		return 2;
	for (length = 0; length <= UNIQUE_ID_MAX + 1; length++) {
		for (at = 0; at < length; at++) {
			for (octet = 0; octet < 256; octet++) {
				char text[UNIQUE_ID_MAX + 1];

				for (i = 0; i < length; i++)
					text[i] = (char)('!' + next('~' - '!' + 1));
				text[at] = (char)octet;
				if (index_is_unique_id(text, length)
					!= (length <= UNIQUE_ID_MAX && octet >= '!'
						&& octet <= '~'))
					return 3;
			}
		}
	}
	return index_is_unique_id("", 0) ? 4 : 0;
}

/* `unit sasl`: what AUTH is made of; `unit listings`; else message.c. */
int main(int argc, char **argv)
{
	static const char alphabet[] = "\n\n\n\r\r..x";
	char in[MOST];
	unsigned round;

	if (argc > 1 && strcmp(argv[1], "sasl") == 0) {
		printf("example %d, base64 %d\n", examples(), base64());
		return examples() || base64();
	}
	if (argc > 1 && strcmp(argv[1], "listings") == 0) {
		printf("listings %d\n", listings());
		return listings();
	}
	for (round = 0; round < 2000000; round++) {
		size_t i, length = next(MOST / 2);

		seed = round;
		for (i = 0; i < length; i++)
			in[i] = alphabet[next(sizeof(alphabet) - 1)];
		if (differs(in, length)) {
			printf("round %u differs\n", round);
			return 1;
		}
	}
	printf("%u rounds agree\n", round);
	return 0;
}
