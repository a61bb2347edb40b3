/* Resumption without a memory: RFC 5077, RFC 8446 section 4.6.1.  Part of tls.so.
 *
 * Every connection is a process of its own, so what seals a ticket must be known to all of
 * them: it is derived from the key of the first certificate, the day, and a number that is
 * different for each ticket and stands in its name.  The session learns what belongs to the
 * names that it has been shown, or has been given, and no more. */
#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_Init() and so on */
#include "tls_server.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define DAY 86400
#define DAY_SIZE 4

/* RFC 2104, with SHA-256.  OpenSSL's own HMAC costs each connection more than all else that it does for a
 * ticket. */
static void hmac(const unsigned char key[32], const void *data, size_t length,
	unsigned char out[SHA256_DIGEST_LENGTH])
{
	unsigned char inner[SHA256_CBLOCK], outer[SHA256_CBLOCK];
	SHA256_CTX sha;
	size_t i;

	for (i = 0; i < sizeof(inner); i++) {
		unsigned char octet = i < 32 ? key[i] : 0;

		inner[i] = octet ^ 0x36;
		outer[i] = octet ^ 0x5c;
	}
	SHA256_Init(&sha);
	SHA256_Update(&sha, inner, sizeof(inner));
	SHA256_Update(&sha, data, length);
	SHA256_Final(out, &sha);
	SHA256_Init(&sha);
	SHA256_Update(&sha, outer, sizeof(outer));
	SHA256_Update(&sha, out, SHA256_DIGEST_LENGTH);
	SHA256_Final(out, &sha);
	OPENSSL_cleanse(inner, sizeof(inner));
	OPENSSL_cleanse(outer, sizeof(outer));
	OPENSSL_cleanse(&sha, sizeof(sha));
}

void ticket_start(struct tls_server *server)
{
	static const unsigned char label[32] = "pop3d: what seals TLS tickets";
	const struct tls_secret_key *first = &server->secrets->keys[0];

	hmac(label, first->der, first->length, server->secrets->tickets);
}

static void put_day(unsigned char *name, uint32_t day)
{
	int i;

	for (i = DAY_SIZE - 1; i >= 0; i--, day >>= 8)
		name[i] = (unsigned char)day;
}

static uint32_t get_day(const unsigned char *name)
{
	uint32_t day = 0;
	int i;

	for (i = 0; i < DAY_SIZE; i++)
		day = day << 8 | name[i];
	return day;
}

enum tls_ticket ticket_keys(const struct tls_server *server, bool fresh,
	unsigned char name[TLS_TICKET_NAME], struct tls_ticket_keys *keys)
{
	uint32_t today = (uint32_t)(time(NULL) / DAY), age;
	unsigned char text[TLS_TICKET_NAME + 1], day[32];

	if (fresh) {
		put_day(name, today);
		if (getrandom(name + DAY_SIZE, TLS_TICKET_NAME - DAY_SIZE, 0)
			!= TLS_TICKET_NAME - DAY_SIZE)
			return TLS_TICKET_UNKNOWN;
	}
	age = today - get_day(name);
	if (age > 1 || !server->secrets->known)
		return TLS_TICKET_UNKNOWN;
	memcpy(text, name, TLS_TICKET_NAME);
	hmac(server->secrets->tickets, name, DAY_SIZE, day);
	text[TLS_TICKET_NAME] = 'c';
	hmac(day, text, sizeof(text), keys->cipher);
	text[TLS_TICKET_NAME] = 'm';
	hmac(day, text, sizeof(text), keys->mac);
	OPENSSL_cleanse(day, sizeof(day));
	return age == 0 ? TLS_TICKET_GOOD : TLS_TICKET_OLD;
}

static bool set_mac(EVP_MAC_CTX *mac, struct tls_ticket_keys *keys)
{
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_octet_string(
			OSSL_MAC_PARAM_KEY, keys->mac, sizeof(keys->mac)),
		OSSL_PARAM_construct_utf8_string(
			OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

int ticket_callback(SSL *connection, unsigned char *name, unsigned char *iv,
	EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
	const struct tls_hooks *hooks = SSL_get_app_data(connection);
	struct tls_ticket_keys keys;
	enum tls_ticket found = hooks->ticket(hooks->owner, seal, name, &keys);
	bool good;

	/* No ticket at all, or a full handshake. */
	if (found == TLS_TICKET_UNKNOWN)
		return 0;
	if (seal)
		good = RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1
			&& EVP_EncryptInit_ex2(
				cipher, EVP_aes_256_cbc(), keys.cipher, iv, NULL);
	else
		good = EVP_DecryptInit_ex2(
			cipher, EVP_aes_256_cbc(), keys.cipher, iv, NULL);
	good = good && set_mac(mac, &keys);
	OPENSSL_cleanse(&keys, sizeof(keys));
	if (!good)
		return -1;
	/* 2 is: and give another.  RFC 8446 C.4 would have no ticket used twice. */
	return found == TLS_TICKET_OLD || SSL_version(connection) == TLS1_3_VERSION ? 2
										    : 1;
}
