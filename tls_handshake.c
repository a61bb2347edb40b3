/* A handshake, read again by who was not there: its messages one by one, and what server and client
 * have signed.  TLS 1.3: RFC 8446 sections 4 and 4.4; TLS 1.2: RFC 5246 sections 7.4 and 7.4.8, RFC
 * 8422 section 5.4.  Part of tls.so; runs in the process that checks certificates (external.c).
 *
 * Every octet may be an attacker's.  Who signs a handshake signs all of its octets, so it need not
 * be understood here but for who signs, how, and up to where. */
#include "tls_server.h"

#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <string.h>

#define RANDOM_SIZE 32
#define SUPPORTED_VERSIONS 43

/* How can be signed.  Clients are offered these and no others. */
static const struct scheme {
	unsigned code; /* RFC 8446 s.4.2.3 */
	const char *name;
	const char *digest; /* NULL: its own */
	int kind;           /* of key */
	int padding;        /* of RSA */
	const char *curve;  /* the only one in TLS 1.3 */
	bool old;           /* for TLS 1.2 alone */
} schemes[] = {
	{0x0403, "ecdsa_secp256r1_sha256", "SHA256", EVP_PKEY_EC, 0, "prime256v1", false},
	{0x0503, "ecdsa_secp384r1_sha384", "SHA384", EVP_PKEY_EC, 0, "secp384r1", false},
	{0x0603, "ecdsa_secp521r1_sha512", "SHA512", EVP_PKEY_EC, 0, "secp521r1", false},
	{0x0807, "ed25519", NULL, EVP_PKEY_ED25519, 0, NULL, false},
	{0x0809, "rsa_pss_pss_sha256", "SHA256", EVP_PKEY_RSA_PSS, RSA_PKCS1_PSS_PADDING,
		NULL, false},
	{0x080a, "rsa_pss_pss_sha384", "SHA384", EVP_PKEY_RSA_PSS, RSA_PKCS1_PSS_PADDING,
		NULL, false},
	{0x080b, "rsa_pss_pss_sha512", "SHA512", EVP_PKEY_RSA_PSS, RSA_PKCS1_PSS_PADDING,
		NULL, false},
	{0x0804, "rsa_pss_rsae_sha256", "SHA256", EVP_PKEY_RSA, RSA_PKCS1_PSS_PADDING,
		NULL, false},
	{0x0805, "rsa_pss_rsae_sha384", "SHA384", EVP_PKEY_RSA, RSA_PKCS1_PSS_PADDING,
		NULL, false},
	{0x0806, "rsa_pss_rsae_sha512", "SHA512", EVP_PKEY_RSA, RSA_PKCS1_PSS_PADDING,
		NULL, false},
	{0x0401, "rsa_pkcs1_sha256", "SHA256", EVP_PKEY_RSA, RSA_PKCS1_PADDING, NULL,
		true},
	{0x0501, "rsa_pkcs1_sha384", "SHA384", EVP_PKEY_RSA, RSA_PKCS1_PADDING, NULL,
		true},
	{0x0601, "rsa_pkcs1_sha512", "SHA512", EVP_PKEY_RSA, RSA_PKCS1_PADDING, NULL,
		true},
};

#define SCHEMES (sizeof(schemes) / sizeof(schemes[0]))

bool handshake_limit(SSL_CTX *context)
{
	char list[SCHEMES * 32] = "";
	size_t i;

	for (i = 0; i < SCHEMES; i++) {
		strcat(list, i > 0 ? ":" : "");
		strcat(list, schemes[i].name);
	}
	return SSL_CTX_set1_client_sigalgs_list(context, list) == 1;
}

/* Taking octets apart.  What is not there is taken by nobody. */

bool octets_take(struct octets *from, size_t length, struct octets *taken)
{
	if (length > from->length)
		return false;
	*taken = (struct octets){from->at, length};
	from->at += length;
	from->length -= length;
	return true;
}

bool octets_number(struct octets *from, size_t size, size_t *number)
{
	struct octets digits;

	if (!octets_take(from, size, &digits))
		return false;
	for (*number = 0; digits.length > 0; digits.at++, digits.length--)
		*number = *number << 8 | *digits.at;
	return true;
}

bool octets_sized(struct octets *from, size_t size, struct octets *taken)
{
	size_t length;

	return octets_number(from, size, &length) && octets_take(from, length, taken);
}

/* The messages. */

static bool take_client_hello(struct handshake *h, struct octets body)
{
	struct octets version;

	return octets_take(&body, 2, &version)
		&& octets_take(&body, RANDOM_SIZE, &h->client_random);
}

/* Whether the extensions say that this is TLS 1.3: RFC 8446 s.4.2.1. */
static bool find_version(struct octets extensions, bool *is_1_3)
{
	struct octets body;
	size_t kind, version;

	*is_1_3 = false;
	while (extensions.length > 0) {
		if (!octets_number(&extensions, 2, &kind)
			|| !octets_sized(&extensions, 2, &body))
			return false;
		if (kind != SUPPORTED_VERSIONS)
			continue;
		if (*is_1_3 || !octets_number(&body, 2, &version) || body.length > 0
			|| version != TLS1_3_VERSION)
			return false;
		*is_1_3 = true;
	}
	return true;
}

static bool take_server_hello(struct handshake *h, struct octets body)
{
	struct octets id, extensions = {NULL, 0};
	size_t version, cipher, compression;

	if (!octets_number(&body, 2, &version) || version != TLS1_2_VERSION
		|| !octets_take(&body, RANDOM_SIZE, &h->server_random)
		|| !octets_sized(&body, 1, &id) || !octets_number(&body, 2, &cipher)
		|| !octets_number(&body, 1, &compression)
		|| (body.length > 0 && !octets_sized(&body, 2, &extensions))
		|| body.length > 0 || !find_version(extensions, &h->is_1_3))
		return false;
	/* TLS_AES_256_GCM_SHA384 is the only one of TLS 1.3 that has another digest: RFC 8446 B.4. */
	h->digest = cipher == 0x1302 ? EVP_sha384() : EVP_sha256();
	return true;
}

/* The first certificate, and what is left of the list; its entries have extensions in TLS 1.3. */
bool handshake_certificate(
	const struct handshake *h, struct octets *list, struct octets *certificate)
{
	struct octets extensions;

	return octets_sized(list, 3, certificate)
		&& (!h->is_1_3 || octets_sized(list, 2, &extensions));
}

static bool take_certificates(
	const struct handshake *h, struct octets body, struct octets *list)
{
	struct octets context = {NULL, 0};

	return (!h->is_1_3 || octets_sized(&body, 1, &context)) && context.length == 0
		&& octets_sized(&body, 3, list) && body.length == 0;
}

static bool take_server_certificate(struct handshake *h, struct octets body)
{
	return take_certificates(h, body, &h->server.certificates);
}

static bool take_client_certificate(struct handshake *h, struct octets body)
{
	return take_certificates(h, body, &h->client.certificates);
}

static bool take_signature(struct handshake *h, struct octets body, struct signer *who)
{
	who->end = h->message;
	return octets_number(&body, 2, &who->scheme)
		&& octets_sized(&body, 2, &who->signature) && body.length == 0;
}

static bool take_server_verify(struct handshake *h, struct octets body)
{
	return take_signature(h, body, &h->server);
}

static bool take_client_verify(struct handshake *h, struct octets body)
{
	return take_signature(h, body, &h->client);
}

/* RFC 8422 s.5.4: a named curve, a point, and a signature over both. */
static bool take_key_exchange(struct handshake *h, struct octets body)
{
	struct octets point, all = body;
	size_t kind, curve;

	if (!octets_number(&body, 1, &kind) || kind != 3
		|| !octets_number(&body, 2, &curve) || !octets_sized(&body, 1, &point))
		return false;
	h->parameters = (struct octets){all.at, all.length - body.length};
	return take_signature(h, body, &h->server);
}

static bool take_any(struct handshake *h, struct octets body)
{
	(void)h, (void)body;
	return true;
}

struct step {
	unsigned type;
	bool (*take)(struct handshake *h, struct octets body);
};

/* After the ServerHello: RFC 8446 s.2, RFC 5246 s.7.3. */
static const struct step steps_1_3[] = {
	{SSL3_MT_ENCRYPTED_EXTENSIONS, take_any},
	{SSL3_MT_CERTIFICATE_REQUEST, take_any},
	{SSL3_MT_CERTIFICATE, take_server_certificate},
	{SSL3_MT_CERTIFICATE_VERIFY, take_server_verify},
	{SSL3_MT_FINISHED, take_any},
	{SSL3_MT_CERTIFICATE, take_client_certificate},
	{SSL3_MT_CERTIFICATE_VERIFY, take_client_verify},
};
static const struct step steps_1_2[] = {
	{SSL3_MT_CERTIFICATE, take_server_certificate},
	{SSL3_MT_SERVER_KEY_EXCHANGE, take_key_exchange},
	{SSL3_MT_CERTIFICATE_REQUEST, take_any},
	{SSL3_MT_SERVER_DONE, take_any},
	{SSL3_MT_CERTIFICATE, take_client_certificate},
	{SSL3_MT_CLIENT_KEY_EXCHANGE, take_any},
	{SSL3_MT_CERTIFICATE_VERIFY, take_client_verify},
};
static const struct step client_hello = {SSL3_MT_CLIENT_HELLO, take_client_hello};
static const struct step server_hello = {SSL3_MT_SERVER_HELLO, take_server_hello};

static bool take_step(
	struct handshake *h, struct octets *rest, const struct step *expected)
{
	struct octets body;
	size_t type;

	h->message = (size_t)(rest->at - h->transcript);
	return octets_number(rest, 1, &type) && type == expected->type
		&& octets_sized(rest, 3, &body) && expected->take(h, body);
}

/* RFC 8446 s.4.1.3: a ServerHello with this in it asks for another ClientHello. */
static bool is_retry(const struct handshake *h)
{
	static const unsigned char random[RANDOM_SIZE]
		= {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02,
			0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c,
			0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

	return h->is_1_3 && memcmp(h->server_random.at, random, RANDOM_SIZE) == 0;
}

static bool take_hellos(struct handshake *h, struct octets *rest)
{
	const EVP_MD *digest;

	if (!take_step(h, rest, &client_hello) || !take_step(h, rest, &server_hello))
		return false;
	if (!is_retry(h))
		return true;
	h->retried = h->message;
	digest = h->digest;
	return take_step(h, rest, &client_hello) && take_step(h, rest, &server_hello)
		&& h->is_1_3 && !is_retry(h) && h->digest == digest;
}

bool handshake_read(struct handshake *h, const unsigned char *transcript, size_t length)
{
	struct octets rest = {transcript, length};
	size_t i;

	memset(h, 0, sizeof(*h));
	h->transcript = transcript;
	if (!take_hellos(h, &rest))
		return false;
	/* Both lists have as many. */
	for (i = 0; i < sizeof(steps_1_3) / sizeof(steps_1_3[0]); i++) {
		if (!take_step(h, &rest, h->is_1_3 ? &steps_1_3[i] : &steps_1_2[i]))
			return false;
	}
	return rest.length == 0;
}

/* Signatures. */

/* RFC 8446 s.4.4.1: the digest over all messages before that one.  A first ClientHello that
 * was answered by a HelloRetryRequest stands there as its own digest. */
static bool digest_messages(
	const struct handshake *h, size_t end, unsigned char out[EVP_MAX_MD_SIZE])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char size = (unsigned char)EVP_MD_get_size(h->digest);
	unsigned char head[] = {SSL3_MT_MESSAGE_HASH, 0, 0, size};
	bool good = context && EVP_DigestInit_ex2(context, h->digest, NULL);

	if (h->retried > 0)
		good = good && EVP_DigestUpdate(context, h->transcript, h->retried)
			&& EVP_DigestFinal_ex(context, out, NULL)
			&& EVP_DigestInit_ex2(context, h->digest, NULL)
			&& EVP_DigestUpdate(context, head, sizeof(head))
			&& EVP_DigestUpdate(context, out, size);
	good = good
		&& EVP_DigestUpdate(context, h->transcript + h->retried, end - h->retried)
		&& EVP_DigestFinal_ex(context, out, NULL);
	EVP_MD_CTX_free(context);
	return good;
}

#define SIGNED_MAX (2 * RANDOM_SIZE + 3 + 1 + 255 + EVP_MAX_MD_SIZE)

/* RFC 8446 s.4.4.3. */
static size_t signed_in_1_3(const struct handshake *h, const struct signer *who,
	unsigned char out[SIGNED_MAX])
{
	static const char by_server[] = "TLS 1.3, server CertificateVerify";
	static const char by_client[] = "TLS 1.3, client CertificateVerify";

	memset(out, ' ', 64);
	memcpy(out + 64, who == &h->server ? by_server : by_client, sizeof(by_server));
	if (!digest_messages(h, who->end, out + 64 + sizeof(by_server)))
		return 0;
	return 64 + sizeof(by_server) + (size_t)EVP_MD_get_size(h->digest);
}

/* RFC 8422 s.5.4. */
static size_t signed_by_server_in_1_2(
	const struct handshake *h, unsigned char out[SIGNED_MAX])
{
	memcpy(out, h->client_random.at, RANDOM_SIZE);
	memcpy(out + RANDOM_SIZE, h->server_random.at, RANDOM_SIZE);
	memcpy(out + 2 * (size_t)RANDOM_SIZE, h->parameters.at, h->parameters.length);
	return 2 * (size_t)RANDOM_SIZE + h->parameters.length;
}

static bool is_of_curve(const EVP_PKEY *key, const char *curve)
{
	char group[64];
	size_t length;

	return EVP_PKEY_get_group_name(key, group, sizeof(group), &length)
		&& strcmp(group, curve) == 0;
}

static const struct scheme *find_scheme(
	const struct handshake *h, const struct signer *who, const EVP_PKEY *key)
{
	const struct scheme *s = schemes;

	while (s < schemes + SCHEMES && s->code != who->scheme)
		s++;
	if (s == schemes + SCHEMES || EVP_PKEY_get_base_id(key) != s->kind
		|| (h->is_1_3 && (s->old || (s->curve && !is_of_curve(key, s->curve)))))
		return NULL;
	return s;
}

static bool verify(const struct scheme *scheme, EVP_PKEY *key,
	const struct octets *signature, const unsigned char *data, size_t length)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *of_key;
	bool good = context
		&& EVP_DigestVerifyInit_ex(
			   context, &of_key, scheme->digest, NULL, NULL, key, NULL)
			== 1;

	if (scheme->padding)
		good = good && EVP_PKEY_CTX_set_rsa_padding(of_key, scheme->padding) == 1;
	if (scheme->padding == RSA_PKCS1_PSS_PADDING)
		good = good
			&& EVP_PKEY_CTX_set_rsa_pss_saltlen(
				   of_key, RSA_PSS_SALTLEN_DIGEST)
				== 1;
	good = good
		&& EVP_DigestVerify(
			   context, signature->at, signature->length, data, length)
			== 1;
	EVP_MD_CTX_free(context);
	return good;
}

bool handshake_is_signed(
	const struct handshake *h, const struct signer *who, EVP_PKEY *key)
{
	const struct scheme *scheme = find_scheme(h, who, key);
	unsigned char text[SIGNED_MAX];
	const unsigned char *data = text;
	size_t length;

	if (!scheme)
		return false;
	if (h->is_1_3) {
		length = signed_in_1_3(h, who, text);
	} else if (who == &h->server) {
		length = signed_by_server_in_1_2(h, text);
	} else {
		/* RFC 5246 s.7.4.8: all messages before it. */
		data = h->transcript;
		length = who->end;
	}
	return length > 0 && verify(scheme, key, &who->signature, data, length);
}
