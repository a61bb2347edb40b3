/* Certificates, and which of them a client is shown: RFC 6066 section 3 (server names).  Part of
 * tls.so. */
#include "tls_server.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
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
static size_t pem_length;

static void close_pem(BIO *bio)
{
	BIO_free(bio);
	explicit_bzero(pem, pem_length);
}

static BIO *open_pem(const char *key, const char *file, conf_report *report)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	const char *wrong = NULL;
	BIO *bio = NULL;
	ssize_t got = 0;

	pem_length = 0;
	while (fd >= 0 && pem_length < sizeof(pem)
		&& (got = read(fd, pem + pem_length, sizeof(pem) - pem_length)) > 0)
		pem_length += (size_t)got;
	if (fd < 0 || got < 0)
		wrong = strerror(errno);
	else if (pem_length == sizeof(pem))
		wrong = "the file is too large";
	else if ((bio = BIO_new_mem_buf(pem, (int)pem_length)) == NULL)
		wrong = strerror(ENOMEM);
	if (fd >= 0)
		close(fd);
	if (wrong) {
		close_pem(bio);
		complain(report, key, file, wrong);
	}
	return bio;
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

static bool load_key(struct certificate *c, struct tls_secret_key *secret,
	uint32_t number, const char *file, conf_report *report)
{
	BIO *bio = open_pem("tls_key", file, report);
	const char *wrong;

	if (!bio)
		return false;
	wrong = key_load(&c->stand_in, secret, number, bio);
	close_pem(bio);
	if (!wrong && X509_check_private_key(c->leaf, c->stand_in) != 1)
		wrong = "the key is not the one of the certificate";
	ERR_clear_error();
	if (wrong)
		complain(report, "tls_key", file, wrong);
	return !wrong;
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

bool certificate_load(struct certificate *c, struct tls_secret_key *secret,
	uint32_t number, const struct conf_certificate *files, bool warn,
	conf_report *report)
{
	memset(c, 0, sizeof(*c));
	if (!load_chain(c, files->certificate, report)
		|| !load_key(c, secret, number,
			files->key ? files->key : files->certificate, report))
		return false;
	c->digest_length = binding_digest(c->leaf, c->digest);
	if (warn)
		check_strange(c, files, report);
	return true;
}

void certificate_free(struct certificate *c)
{
	EVP_PKEY_free(c->stand_in);
	sk_X509_pop_free(c->chain, X509_free);
	X509_free(c->leaf);
}

bool certificate_is_ecdsa(const struct certificate *c)
{
	return EVP_PKEY_get_base_id(c->stand_in) == EVP_PKEY_EC;
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

/* A bit for each certificate that goes with the name. */
static uint32_t choose(const struct tls_server *server, const char *name)
{
	bool named = false, has_rsa = false, has_ec = false;
	uint32_t chosen = 0;
	size_t i;

	for (i = 0; name && i < server->count && !named; i++)
		named = is_for(&server->certificates[i], name);
	for (i = 0; i < server->count; i++) {
		const struct certificate *c = &server->certificates[i];
		bool *has = certificate_is_ecdsa(c) ? &has_ec : &has_rsa;

		if (*has || !(named ? is_for(c, name) : is_default(server, i)))
			continue;
		chosen |= UINT32_C(1) << i;
		*has = true;
	}
	return chosen;
}

bool certificate_show(struct tls_server *server)
{
	size_t i;

	server->shown = choose(server, NULL);
	for (i = 0; i < server->count; i++) {
		const struct certificate *c = &server->certificates[i];

		if ((server->shown & UINT32_C(1) << i)
			&& SSL_CTX_use_cert_and_key(
				   server->context, c->leaf, c->stand_in, c->chain, 1)
				!= 1)
			return false;
	}
	return true;
}

bool certificate_choose(
	const struct tls_server *server, SSL *connection, const char *name)
{
	uint32_t chosen = choose(server, name);
	size_t i;

	/* What connections have anyway costs nothing. */
	if (chosen == server->shown)
		return true;
	SSL_certs_clear(connection);
	for (i = 0; i < server->count; i++) {
		const struct certificate *c = &server->certificates[i];

		if ((chosen & UINT32_C(1) << i)
			&& SSL_use_cert_and_key(
				   connection, c->leaf, c->stand_in, c->chain, 1)
				!= 1)
			return false;
	}
	return true;
}
