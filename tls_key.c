/* Private keys: how they are read, the stand-ins for them in the session, and the monitor's signatures.
 * Part of tls.so.
 *
 * A stand-in has the public half, and asks the monitor.  All of this is done with what OpenSSL 3 calls
 * deprecated (RSA_METHOD, EC_KEY_METHOD, d2i functions by kind of key): its own decoders and providers
 * take many times as long, and each start under a super server would pay for them. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tls_server.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

/* One of both. */
struct key {
	RSA *rsa;
	EC_KEY *ec;
};

static void free_key(struct key *key)
{
	RSA_free(key->rsa);
	EC_KEY_free(key->ec);
}

/* Reading. */

static const char strange[] = "the key must be an RSA or an ECDSA key";
static const char strange_curve[] = "ECDSA keys must be of P-256, P-384 or P-521";

/* RFC 5958 (PKCS #8): the curve of an EC key stands outside of it. */
static const char *decode_any(struct key *key, const unsigned char *der, long length)
{
	PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &der, length);
	const X509_ALGOR *algorithm;
	const ASN1_OBJECT *kind;
	const void *parameter;
	const char *wrong = NULL;
	int size, type;

	if (!info || !PKCS8_pkey_get0(NULL, &der, &size, &algorithm, info)) {
		PKCS8_PRIV_KEY_INFO_free(info);
		return tls_error();
	}
	X509_ALGOR_get0(&kind, &type, &parameter, algorithm);
	switch (OBJ_obj2nid(kind)) {
	case NID_rsaEncryption:
		key->rsa = d2i_RSAPrivateKey(NULL, &der, size);
		break;
	case NID_X9_62_id_ecPublicKey:
		if (type == V_ASN1_OBJECT)
			key->ec = EC_KEY_new_by_curve_name(OBJ_obj2nid(parameter));
		else
			wrong = strange_curve;
		if (key->ec && !d2i_ECPrivateKey(&key->ec, &der, size)) {
			EC_KEY_free(key->ec);
			key->ec = NULL;
		}
		break;
	default:
		wrong = strange;
	}
	PKCS8_PRIV_KEY_INFO_free(info);
	if (!wrong && !key->rsa && !key->ec)
		wrong = tls_error();
	return wrong;
}

static const char *decode(
	struct key *key, const char *name, const unsigned char *der, long length)
{
	if (strcmp(name, PEM_STRING_PKCS8INF) == 0)
		return decode_any(key, der, length);
	if (strcmp(name, PEM_STRING_RSA) == 0)
		key->rsa = d2i_RSAPrivateKey(NULL, &der, length);
	else if (strcmp(name, PEM_STRING_ECPRIVATEKEY) == 0)
		key->ec = d2i_ECPrivateKey(NULL, &der, length);
	else
		return strange;
	return key->rsa || key->ec ? NULL : tls_error();
}

static bool is_private_key(const char *name)
{
	static const char end[] = "PRIVATE KEY";
	size_t length = strlen(name);

	return length >= sizeof(end) - 1
		&& strcmp(name + length - (sizeof(end) - 1), end) == 0;
}

/* The first one in the file.  Returns what is wrong, or NULL. */
static const char *read_key(struct key *key, BIO *pem)
{
	char *name, *header;
	unsigned char *der;
	long length;
	const char *wrong = NULL;
	bool found = false;

	while (!found && PEM_read_bio(pem, &name, &header, &der, &length)) {
		found = is_private_key(name);
		if (found && (*header || strcmp(name, PEM_STRING_PKCS8) == 0))
			wrong = "the key is encrypted";
		else if (found)
			wrong = decode(key, name, der, length);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_free(der);
	}
	return found ? wrong : tls_error();
}

static const char *check(const struct key *key)
{
	if (key->rsa)
		return RSA_size(key->rsa) <= TLS_SIGN_MAX
			? NULL
			: "RSA keys may have 4096 bits, not more";
	switch (EC_GROUP_get_curve_name(EC_KEY_get0_group(key->ec))) {
	case NID_X9_62_prime256v1:
	case NID_secp384r1:
	case NID_secp521r1:
		return NULL;
	default:
		return strange_curve;
	}
}

static bool keep(struct tls_secret_key *secret, const struct key *key)
{
	unsigned char *der = NULL;
	int length = key->rsa ? i2d_RSAPrivateKey(key->rsa, &der)
			      : i2d_ECPrivateKey(key->ec, &der);

	if (length > 0 && (size_t)length <= sizeof(secret->der)) {
		secret->length = (size_t)length;
		memcpy(secret->der, der, secret->length);
	}
	OPENSSL_clear_free(der, length > 0 ? (size_t)length : 0);
	if (key->ec)
		secret->scalar_length = EC_KEY_priv2oct(
			key->ec, secret->scalar, sizeof(secret->scalar));
	return secret->length > 0 && (key->rsa || secret->scalar_length > 0);
}

/* Stand-ins. */

static const struct tls_hooks *asked;

void key_ask(const struct tls_hooks *hooks)
{
	asked = hooks;
}

/* Returns the length of the signature in `out`, or 0. */
static size_t ask(const void *number, int padding, const unsigned char *data,
	size_t length, unsigned char *out)
{
	struct tls_sign wanted = {
		.number = (uint32_t)(uintptr_t)number,
		.padding = (uint32_t)padding,
		.length = (uint32_t)length,
	};

	if (!asked || length > sizeof(wanted.data))
		return 0;
	memcpy(wanted.data, data, length);
	return asked->sign(asked->owner, &wanted, out);
}

static int rsa_ask(
	int length, const unsigned char *data, unsigned char *to, RSA *rsa, int padding)
{
	unsigned char out[TLS_SIGN_MAX];
	size_t size = ask(RSA_get_ex_data(rsa, 0), padding, data, (size_t)length, out);

	if (size == 0 || size != (size_t)RSA_size(rsa))
		return -1;
	memcpy(to, out, size);
	return (int)size;
}

static int ec_ask(int type, const unsigned char *digest, int length, unsigned char *to,
	unsigned int *size, const BIGNUM *kinv, const BIGNUM *r, EC_KEY *ec)
{
	unsigned char out[TLS_SIGN_MAX];

	(void)type, (void)kinv, (void)r;
	*size = (unsigned)ask(EC_KEY_get_ex_data(ec, 0), 0, digest, (size_t)length, out);
	if (*size == 0 || *size > (unsigned)ECDSA_size(ec))
		return 0;
	memcpy(to, out, *size);
	return 1;
}

static bool stand_in_for_rsa(EVP_PKEY *stand_in, const RSA *key, void *number)
{
	static RSA_METHOD *method;
	RSA *rsa = RSA_new();
	BIGNUM *n = BN_dup(RSA_get0_n(key)), *e = BN_dup(RSA_get0_e(key));

	if (!method && (method = RSA_meth_dup(RSA_PKCS1_OpenSSL())) != NULL)
		RSA_meth_set_priv_enc(method, rsa_ask);
	if (method && rsa && RSA_set_method(rsa, method)
		&& RSA_set_ex_data(rsa, 0, number) && RSA_set0_key(rsa, n, e, NULL)) {
		n = e = NULL;
		if (EVP_PKEY_assign_RSA(stand_in, rsa))
			return true;
	}
	BN_free(n);
	BN_free(e);
	RSA_free(rsa);
	return false;
}

static bool stand_in_for_ec(EVP_PKEY *stand_in, const EC_KEY *key, void *number)
{
	static EC_KEY_METHOD *method;
	EC_KEY *ec = EC_KEY_new();

	if (!method && (method = EC_KEY_METHOD_new(EC_KEY_OpenSSL())) != NULL)
		EC_KEY_METHOD_set_sign(method, ec_ask, NULL, NULL);
	if (method && ec && EC_KEY_set_group(ec, EC_KEY_get0_group(key))
		&& EC_KEY_set_public_key(ec, EC_KEY_get0_public_key(key))
		&& EC_KEY_set_method(ec, method) && EC_KEY_set_ex_data(ec, 0, number)
		&& EVP_PKEY_assign_EC_KEY(stand_in, ec))
		return true;
	EC_KEY_free(ec);
	return false;
}

static EVP_PKEY *make_stand_in(const struct key *key, uint32_t number)
{
	void *argument = (void *)(uintptr_t)number;
	EVP_PKEY *stand_in = EVP_PKEY_new();

	if (stand_in
		&& !(key->rsa ? stand_in_for_rsa(stand_in, key->rsa, argument)
			      : stand_in_for_ec(stand_in, key->ec, argument))) {
		EVP_PKEY_free(stand_in);
		stand_in = NULL;
	}
	return stand_in;
}

const char *key_load(
	EVP_PKEY **stand_in, struct tls_secret_key *secret, uint32_t number, BIO *pem)
{
	struct key key = {NULL, NULL};
	const char *wrong = read_key(&key, pem);

	if (!wrong)
		wrong = check(&key);
	if (!wrong) {
		*stand_in = make_stand_in(&key, number);
		if (!*stand_in || !keep(secret, &key))
			wrong = tls_error();
	}
	free_key(&key);
	ERR_clear_error();
	return wrong;
}

/* The real signature. */

/* RFC 8017 s.9.1.2, but for the digest of what is signed, which nobody says: `length` octets that begin
 * with `zeros` bits which are none. */
static bool is_pss_of(
	const EVP_MD *md, const unsigned char *encoded, size_t length, int zeros)
{
	size_t size = (size_t)EVP_MD_get_size(md), block = length - size - 1, i;
	unsigned char data[TLS_SIGN_MAX];

	if (length < 2 * size + 2 || encoded[length - 1] != 0xbc
		|| encoded[0] >> (8 - zeros) != 0
		|| PKCS1_MGF1(data, (long)block, encoded + block, (long)size, md) != 0)
		return false;
	for (i = 0; i < block; i++)
		data[i] ^= encoded[i];
	data[0] &= (unsigned char)(0xff >> zeros);
	for (i = 0; i < block - size - 1; i++)
		if (data[i] != 0)
			return false;
	return data[i] == 1;
}

/* Nothing else is signed as it stands, for then a session could have anything decrypted. */
static bool is_pss(const RSA *rsa, const unsigned char *data, size_t length)
{
	int bits = RSA_bits(rsa) - 1;
	size_t skipped = length - (size_t)(bits + 7) / 8;
	int zeros = (int)(8 * (length - skipped)) - bits;

	if (length != (size_t)RSA_size(rsa) || (skipped > 0 && data[0] != 0))
		return false;
	data += skipped;
	length -= skipped;
	return is_pss_of(EVP_sha256(), data, length, zeros)
		|| is_pss_of(EVP_sha384(), data, length, zeros)
		|| is_pss_of(EVP_sha512(), data, length, zeros);
}

static size_t rsa_sign(const struct tls_secret_key *secret, const struct tls_sign *wanted,
	unsigned char *out)
{
	const unsigned char *der = secret->der;
	RSA *rsa = d2i_RSAPrivateKey(NULL, &der, (long)secret->length);
	int length = (int)wanted->length, size = 0;

	if (rsa && wanted->padding == RSA_PKCS1_PADDING)
		size = RSA_private_encrypt(
			length, wanted->data, out, rsa, RSA_PKCS1_PADDING);
	else if (rsa && is_pss(rsa, wanted->data, wanted->length))
		size = RSA_private_encrypt(
			length, wanted->data, out, rsa, RSA_NO_PADDING);
	RSA_free(rsa);
	return size > 0 ? (size_t)size : 0;
}

/* Not from the DER: what OpenSSL has of the curve is there already. */
static size_t ec_sign(const EVP_PKEY *stand_in, const struct tls_secret_key *secret,
	const struct tls_sign *wanted, unsigned char *out)
{
	EC_KEY *ec = EC_KEY_new();
	unsigned size = 0;

	if (!ec
		|| !EC_KEY_set_group(
			ec, EC_KEY_get0_group(EVP_PKEY_get0_EC_KEY(stand_in)))
		|| !EC_KEY_oct2priv(ec, secret->scalar, secret->scalar_length)
		|| !ECDSA_sign(0, wanted->data, (int)wanted->length, out, &size, ec))
		size = 0;
	EC_KEY_free(ec);
	return size;
}

size_t key_sign(const EVP_PKEY *stand_in, const struct tls_secret_key *secret,
	const struct tls_sign *wanted, unsigned char out[TLS_SIGN_MAX])
{
	size_t size = 0;

	if (wanted->length <= sizeof(wanted->data))
		size = EVP_PKEY_get_base_id(stand_in) == EVP_PKEY_RSA
			? rsa_sign(secret, wanted, out)
			: ec_sign(stand_in, secret, wanted, out);
	ERR_clear_error();
	return size;
}
