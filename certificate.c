/* Certificates and their keys, and which of them a client is shown: RFC 6066 section 3 (server
 * names).  Part of tls.so.
 *
 * In the session a key is a stand-in: it has the public half, and asks the monitor for
 * signatures.  (RSA_METHOD and EC_KEY_METHOD are what OpenSSL 3 has for that; it calls them
 * deprecated, and its own providers would take three times as much.) */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tls_server.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX 131072 /* octets in a PEM file */

static void complain(
	conf_report *report, const char *key, const char *file, const char *wrong)
{
	char text[LOG_LINE_MAX];

	snprintf(text, sizeof(text), "%s %s: %s", key, file, wrong);
	report(text);
}

/* Files are read without stdio, which would leave a copy of a key behind. */
static char pem[FILE_MAX];

static BIO *open_pem(const char *key, const char *file, conf_report *report)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	const char *wrong = NULL;
	size_t length = 0;
	ssize_t got = 0;

	while (fd >= 0 && length < sizeof(pem)
		&& (got = read(fd, pem + length, sizeof(pem) - length)) > 0)
		length += (size_t)got;
	if (fd < 0 || got < 0)
		wrong = strerror(errno);
	else if (length == sizeof(pem))
		wrong = "the file is too large";
	if (fd >= 0)
		close(fd);
	if (!wrong)
		return BIO_new_mem_buf(pem, (int)length);
	complain(report, key, file, wrong);
	return NULL;
}

static void close_pem(BIO *bio)
{
	BIO_free(bio);
	explicit_bzero(pem, sizeof(pem));
}

static bool load_chain(struct certificate *c, const char *file, conf_report *report)
{
	BIO *bio = open_pem("tls_certificate", file, report);
	X509 *x;
	bool good;

	if (!bio)
		return false;
	c->chain = sk_X509_new_null();
	c->leaf = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
	good = c->leaf && c->chain;
	while (good && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		good = sk_X509_push(c->chain, x) > 0;
	close_pem(bio);
	good = good && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	if (!good)
		complain(report, "tls_certificate", file, tls_error());
	ERR_clear_error();
	return good;
}

static int no_password(char *buffer, int size, int writing, void *argument)
{
	(void)buffer, (void)size, (void)writing, (void)argument;
	return -1;
}

static bool is_common_curve(const EVP_PKEY *key)
{
	static const char *const curves[] = {"prime256v1", "secp384r1", "secp521r1"};
	char group[64];
	size_t i, length;

	if (!EVP_PKEY_get_group_name(key, group, sizeof(group), &length))
		return false;
	for (i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
		if (strcmp(group, curves[i]) == 0)
			return true;
	}
	return false;
}

static const char *check_key(const struct certificate *c, const EVP_PKEY *key)
{
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:
		if (EVP_PKEY_get_size(key) > TLS_SIGN_MAX)
			return "RSA keys may have 4096 bits, not more";
		break;
	case EVP_PKEY_EC:
		if (!is_common_curve(key))
			return "ECDSA keys must be of P-256, P-384 or P-521";
		break;
	default:
		return "the key must be an RSA or an ECDSA key";
	}
	if (X509_check_private_key(c->leaf, key) != 1)
		return "the key is not the one of the certificate";
	return NULL;
}

static EVP_PKEY *load_key(
	const struct certificate *c, const char *file, conf_report *report)
{
	BIO *bio = open_pem("tls_key", file, report);
	EVP_PKEY *key;
	const char *wrong;
	bool encrypted;

	if (!bio)
		return NULL;
	encrypted = memmem(pem, sizeof(pem), "ENCRYPTED", 9) != NULL;
	key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	close_pem(bio);
	if (key)
		wrong = check_key(c, key);
	else
		wrong = encrypted ? "the key is encrypted" : tls_error();
	ERR_clear_error();
	if (!wrong)
		return key;
	complain(report, "tls_key", file, wrong);
	EVP_PKEY_free(key);
	return NULL;
}

static bool keep_key(struct tls_secret_key *secret, const EVP_PKEY *key)
{
	unsigned char *der = NULL;
	int length = i2d_PrivateKey(key, &der);

	if (length > 0 && (size_t)length <= sizeof(secret->der)) {
		secret->length = (size_t)length;
		memcpy(secret->der, der, secret->length);
	}
	OPENSSL_clear_free(der, length > 0 ? (size_t)length : 0);
	return secret->length > 0;
}

/* What does not keep it from working, for now. */
static void check_strange(const struct certificate *c,
	const struct conf_certificate *files, conf_report *report)
{
	const char *key = files->key ? files->key : files->certificate;
	struct stat status;

	if (X509_cmp_current_time(X509_get0_notAfter(c->leaf)) < 0)
		complain(report, "tls_certificate", files->certificate,
			"warning: the certificate has expired");
	if (X509_cmp_current_time(X509_get0_notBefore(c->leaf)) > 0)
		complain(report, "tls_certificate", files->certificate,
			"warning: the certificate is not valid yet");
	if (stat(key, &status) == 0 && (status.st_mode & S_IROTH))
		complain(report, "tls_key", key, "warning: all users can read the key");
}

/* Stand-ins. */

static const struct tls_hooks *asked;

void certificate_ask(const struct tls_hooks *hooks)
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

static bool make_rsa(EVP_PKEY *stand_in, const EVP_PKEY *key, void *number)
{
	static RSA_METHOD *method;
	BIGNUM *n = NULL, *e = NULL;
	RSA *rsa = RSA_new();

	if (!method && (method = RSA_meth_dup(RSA_PKCS1_OpenSSL())) != NULL)
		RSA_meth_set_priv_enc(method, rsa_ask);
	if (method && rsa && RSA_set_method(rsa, method)
		&& RSA_set_ex_data(rsa, 0, number)
		&& EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n)
		&& EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e)
		&& RSA_set0_key(rsa, n, e, NULL)) {
		n = e = NULL;
		if (EVP_PKEY_assign_RSA(stand_in, rsa))
			return true;
	}
	BN_free(n);
	BN_free(e);
	RSA_free(rsa);
	return false;
}

static EC_KEY *ec_public_half(const EVP_PKEY *key)
{
	unsigned char point[256];
	char group[64];
	size_t length;
	EC_KEY *ec = NULL;

	if (EVP_PKEY_get_group_name(key, group, sizeof(group), &length))
		ec = EC_KEY_new_by_curve_name(OBJ_sn2nid(group));
	if (ec
		&& (!EVP_PKEY_get_octet_string_param(
			    key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &length)
			|| !EC_KEY_oct2key(ec, point, length, NULL))) {
		EC_KEY_free(ec);
		ec = NULL;
	}
	return ec;
}

static bool make_ec(EVP_PKEY *stand_in, const EVP_PKEY *key, void *number)
{
	static EC_KEY_METHOD *method;
	EC_KEY *ec = ec_public_half(key);

	if (!method && (method = EC_KEY_METHOD_new(EC_KEY_OpenSSL())) != NULL)
		EC_KEY_METHOD_set_sign(method, ec_ask, NULL, NULL);
	if (method && ec && EC_KEY_set_method(ec, method)
		&& EC_KEY_set_ex_data(ec, 0, number)
		&& EVP_PKEY_assign_EC_KEY(stand_in, ec))
		return true;
	EC_KEY_free(ec);
	return false;
}

static bool make_stand_in(struct certificate *c, const EVP_PKEY *key, uint32_t number)
{
	void *argument = (void *)(uintptr_t)number;

	c->stand_in = EVP_PKEY_new();
	if (!c->stand_in)
		return false;
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
		return make_rsa(c->stand_in, key, argument);
	return make_ec(c->stand_in, key, argument);
}

bool certificate_load(struct certificate *c, struct tls_secret_key *secret,
	uint32_t number, const struct conf_certificate *files, bool warn,
	conf_report *report)
{
	EVP_PKEY *key;
	bool good;

	memset(c, 0, sizeof(*c));
	if (!load_chain(c, files->certificate, report))
		return false;
	key = load_key(c, files->key ? files->key : files->certificate, report);
	if (!key)
		return false;
	good = make_stand_in(c, key, number) && keep_key(secret, key);
	EVP_PKEY_free(key);
	if (!good)
		complain(report, "tls_certificate", files->certificate, tls_error());
	else if (warn)
		check_strange(c, files, report);
	return good;
}

void certificate_free(struct certificate *c)
{
	EVP_PKEY_free(c->stand_in);
	sk_X509_pop_free(c->chain, X509_free);
	X509_free(c->leaf);
}

/* The real signature.  (EVP's decoders would take longer than ECDSA itself.) */

static size_t rsa_sign(const struct tls_secret_key *secret, const struct tls_sign *wanted,
	unsigned char *out)
{
	const unsigned char *der = secret->der;
	RSA *rsa = d2i_RSAPrivateKey(NULL, &der, (long)secret->length);
	int padding = wanted->padding == RSA_PKCS1_PADDING ? RSA_PKCS1_PADDING
							   : RSA_NO_PADDING;
	int size = rsa ? RSA_private_encrypt(
			   (int)wanted->length, wanted->data, out, rsa, padding)
		       : 0;

	RSA_free(rsa);
	return size > 0 ? (size_t)size : 0;
}

static size_t ec_sign(const struct tls_secret_key *secret, const struct tls_sign *wanted,
	unsigned char *out)
{
	const unsigned char *der = secret->der;
	EC_KEY *ec = d2i_ECPrivateKey(NULL, &der, (long)secret->length);
	unsigned size = 0;

	if (!ec || !ECDSA_sign(0, wanted->data, (int)wanted->length, out, &size, ec))
		size = 0;
	EC_KEY_free(ec);
	return size;
}

size_t certificate_sign(const struct certificate *c, const struct tls_secret_key *secret,
	const struct tls_sign *wanted, unsigned char out[TLS_SIGN_MAX])
{
	size_t size = 0;

	if (wanted->length <= sizeof(wanted->data))
		size = (EVP_PKEY_get_base_id(c->stand_in) == EVP_PKEY_RSA
				? rsa_sign
				: ec_sign)(secret, wanted, out);
	ERR_clear_error();
	return size;
}

/* Which one is shown. */

/* The names in it, as they are encoded; NULL: none. */
static const ASN1_OCTET_STRING *names_of(const struct certificate *c)
{
	int at = X509_get_ext_by_NID(c->leaf, NID_subject_alt_name, -1);

	return at < 0 ? NULL : X509_EXTENSION_get_data(X509_get_ext(c->leaf, at));
}

/* Whether it is the first one, or has all the names of that and another kind of key. */
static bool is_default(const struct tls_server *server, size_t number)
{
	const ASN1_OCTET_STRING *ours = names_of(&server->certificates[number]);
	const ASN1_OCTET_STRING *first = names_of(&server->certificates[0]);

	return number == 0 || (ours && first && ASN1_OCTET_STRING_cmp(ours, first) == 0);
}

static bool is_for(const struct certificate *c, const char *name)
{
	return X509_check_host(c->leaf, name, strlen(name), 0, NULL) == 1;
}

static bool show(SSL *connection, const struct certificate *c)
{
	return SSL_use_cert_and_key(connection, c->leaf, c->stand_in, c->chain, 1) == 1;
}

bool certificate_choose(
	const struct tls_server *server, SSL *connection, const char *name)
{
	bool named = false, has_rsa = false, has_ec = false;
	size_t i;

	for (i = 0; name && i < server->count && !named; i++)
		named = is_for(&server->certificates[i], name);
	for (i = 0; i < server->count; i++) {
		const struct certificate *c = &server->certificates[i];
		bool *has = EVP_PKEY_get_base_id(c->stand_in) == EVP_PKEY_RSA ? &has_rsa
									      : &has_ec;

		if (*has || !(named ? is_for(c, name) : is_default(server, i)))
			continue;
		if (!show(connection, c))
			return false;
		*has = true;
	}
	return true;
}
