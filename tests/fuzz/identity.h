/* Keys and certificates for targets that shake hands, and random numbers that are the same in every
 * run. */
#ifndef IDENTITY_H
#define IDENTITY_H

#include "fuzz.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Random numbers. */

static uint64_t random_state;

static int random_octets(unsigned char *to, int length)
{
	int i;

	for (i = 0; i < length; i++) {
		random_state = random_state * 6364136223846793005U + 1442695040888963407U;
		to[i] = (unsigned char)(random_state >> 56);
	}
	return 1;
}

static int random_ready(void)
{
	return 1;
}

static const RAND_METHOD same_numbers
	= {.bytes = random_octets, .pseudorand = random_octets, .status = random_ready};

/* Certificates. */

struct identity {
	EVP_PKEY *key;
	X509 *certificate;
};

static void add_extension(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	MUST(extension && X509_add_ext(certificate, extension, -1));
	X509_EXTENSION_free(extension);
}

static struct identity make_identity(EVP_PKEY *key, const char *name,
	const struct identity *by, int nid, const char *value)
{
	static long serial = 1;
	struct identity made = {key, X509_new()};
	X509_NAME *subject = X509_get_subject_name(made.certificate);

	X509_set_version(made.certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(made.certificate), serial++);
	X509_gmtime_adj(X509_getm_notBefore(made.certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(made.certificate), 86400L * 365);
	X509_NAME_add_entry_by_txt(
		subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(
		made.certificate, by ? X509_get_subject_name(by->certificate) : subject);
	X509_set_pubkey(made.certificate, key);
	add_extension(made.certificate, nid, value);
	MUST(X509_sign(made.certificate, by ? by->key : key, EVP_sha256()) > 0);
	return made;
}

static char *write_pem(
	const char *directory, const char *name, const struct identity *from)
{
	char *path = malloc(strlen(directory) + strlen(name) + 2);
	BIO *file;

	sprintf(path, "%s/%s", directory, name);
	file = BIO_new_file(path, "w");
	MUST(file && PEM_write_bio_X509(file, from->certificate));
	MUST(PEM_write_bio_PrivateKey(file, from->key, NULL, NULL, 0, NULL, NULL));
	BIO_free(file);
	return path;
}

#endif
