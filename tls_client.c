/* Whom a client's certificate names, for who believes nothing but signatures: RFC 5280 sections
 * 4.1.2.6 and 4.2.1.6.  Part of tls.so; runs in the process that checks certificates (external.c),
 * which does nothing else. */
#include "tls_server.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

/* Our certificate, and our signature in this connection: then nobody can have signed this handshake
 * but who took part in this connection's.  An RSA signature does not show that, for the session says what is signed,
 * salt and all, and can have one made again; ECDSA's has a random number of the monitor's in it. */
static bool is_of_connection(const struct tls_server *server, const struct handshake *h,
	const struct tls_proof *proof)
{
	struct octets list = h->server.certificates, shown;
	const struct octets *signature = &h->server.signature;
	unsigned char *ours = NULL;
	bool good = false;
	X509 *leaf;
	int length;

	if (proof->number >= server->count
		|| !certificate_is_ecdsa(&server->certificates[proof->number])
		|| proof->signature_length == 0
		|| signature->length != proof->signature_length
		|| memcmp(signature->at, proof->signature, signature->length) != 0
		|| !handshake_certificate(h, &list, &shown))
		return false;
	leaf = server->certificates[proof->number].leaf;
	length = i2d_X509(leaf, &ours);
	if (length > 0 && shown.length == (size_t)length
		&& memcmp(shown.at, ours, shown.length) == 0)
		good = handshake_is_signed(h, &h->server, X509_get0_pubkey(leaf));
	OPENSSL_free(ours);
	return good;
}

/* Certificates as the client has sent them.  Returns NULL where one is none. */
static STACK_OF(X509) * parse_chain(const struct handshake *h)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	struct octets list = h->client.certificates, der;

	while (chain && list.length > 0) {
		const unsigned char *end;
		X509 *x = NULL;

		if (handshake_certificate(h, &list, &der)) {
			end = der.at;
			x = d2i_X509(NULL, &end, (long)der.length);
		}
		if (!x || end != der.at + der.length || sk_X509_push(chain, x) <= 0) {
			X509_free(x);
			sk_X509_pop_free(chain, X509_free);
			return NULL;
		}
	}
	return chain;
}

/* By the rules that the handshake has been by.  Returns X509_V_OK or what is wrong. */
static int check_chain(
	const struct tls_server *server, X509 *leaf, STACK_OF(X509) * chain)
{
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	X509_STORE *authorities = SSL_CTX_get_cert_store(server->context);
	int error = X509_V_ERR_UNSPECIFIED;

	if (context && X509_STORE_CTX_init(context, authorities, leaf, chain) == 1
		&& X509_STORE_CTX_set_default(context, "ssl_client") == 1) {
		X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(context),
			SSL_CTX_get_security_level(server->context));
		if (X509_verify_cert(context) == 1)
			error = X509_V_OK;
		else if (X509_STORE_CTX_get_error(context) != X509_V_OK)
			error = X509_STORE_CTX_get_error(context);
	}
	X509_STORE_CTX_free(context);
	return error;
}

static bool is_utf8(const unsigned char *text, int length)
{
	unsigned long character;

	while (length > 0) {
		int used = UTF8_getc(text, length, &character);

		if (used <= 0)
			return false;
		text += used;
		length -= used;
	}
	return true;
}

static bool is_ascii(const unsigned char *text, int length)
{
	while (length > 0 && *text < 0x80) {
		text++;
		length--;
	}
	return length == 0;
}

static bool copy_text(const ASN1_STRING *string, char name[TLS_TEXT_MAX])
{
	const unsigned char *text = ASN1_STRING_get0_data(string);
	int length = ASN1_STRING_length(string);
	bool good;

	if (length < 1 || length >= TLS_TEXT_MAX || memchr(text, '\0', (size_t)length))
		return false;
	switch (ASN1_STRING_type(string)) {
	case V_ASN1_UTF8STRING:
		good = is_utf8(text, length);
		break;
	case V_ASN1_PRINTABLESTRING:
	case V_ASN1_IA5STRING:
		good = is_ascii(text, length);
		break;
	default:
		good = false;
	}
	if (good)
		memcpy(name, text, (size_t)length);
	return good;
}

static bool common_name(X509 *certificate, char name[TLS_TEXT_MAX])
{
	X509_NAME *subject = X509_get_subject_name(certificate);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	return at >= 0 && X509_NAME_get_index_by_NID(subject, NID_commonName, at) < 0
		&& copy_text(
			X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), name);
}

static bool email(X509 *certificate, char name[TLS_TEXT_MAX])
{
	GENERAL_NAMES *names
		= X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	const ASN1_STRING *found = NULL;
	int i, count = 0;
	bool good;

	for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *one = sk_GENERAL_NAME_value(names, i);

		if (one->type != GEN_EMAIL)
			continue;
		found = one->d.rfc822Name;
		count++;
	}
	good = count == 1 && copy_text(found, name);
	GENERAL_NAMES_free(names);
	return good;
}

/* Where more than one name could be meant, none is. */
static bool find_name(
	enum tls_client_user which, X509 *certificate, char name[TLS_TEXT_MAX])
{
	switch (which) {
	case TLS_CLIENT_USER_CN:
		return common_name(certificate, name);
	case TLS_CLIENT_USER_EMAIL:
		return email(certificate, name);
	default:
		return false;
	}
}

static enum tls_proven judge(const struct tls_server *server, const struct handshake *h,
	STACK_OF(X509) * chain, struct tls_identity *identity)
{
	X509 *leaf = sk_X509_value(chain, 0);
	EVP_PKEY *key = leaf ? X509_get0_pubkey(leaf) : NULL;

	if (!key)
		return TLS_PROOF_MALFORMED;
	if (!handshake_is_signed(h, &h->client, key))
		return TLS_PROOF_FORGED;
	identity->error = (uint32_t)check_chain(server, leaf, chain);
	if (identity->error != X509_V_OK)
		return TLS_PROOF_CERTIFICATE;
	return find_name(server->client_user, leaf, identity->name) ? TLS_PROVEN
								    : TLS_PROOF_NAME;
}

void client_prove(const struct tls_server *server, const struct tls_proof *proof,
	struct tls_identity *identity)
{
	struct handshake h;
	STACK_OF(X509) *chain = NULL;

	memset(identity, 0, sizeof(*identity));
	if (!handshake_read(&h, proof->transcript, proof->length)) {
		identity->verdict = TLS_PROOF_MALFORMED;
	} else if (!is_of_connection(server, &h, proof)) {
		identity->verdict = TLS_PROOF_FOREIGN;
	} else {
		chain = parse_chain(&h);
		identity->verdict = judge(server, &h, chain, identity);
	}
	if (identity->verdict != TLS_PROVEN)
		memset(identity->name, 0, sizeof(identity->name));
	sk_X509_pop_free(chain, X509_free);
	ERR_clear_error();
}

const char *client_reason(const struct tls_identity *identity)
{
	static const char *const words[] = {
		[TLS_PROOF_MALFORMED] = "what should prove it is no handshake",
		[TLS_PROOF_FOREIGN] = "the handshake is not this connection's",
		[TLS_PROOF_FORGED] = "the client's signature is wrong",
		[TLS_PROOF_NAME]
		= "it has not just one name of the kind of tls_client_user",
	};

	if (identity->verdict == TLS_PROOF_CERTIFICATE)
		return X509_verify_cert_error_string((long)identity->error);
	return identity->verdict < sizeof(words) / sizeof(words[0])
			&& words[identity->verdict]
		? words[identity->verdict]
		: "there is no such verdict";
}
