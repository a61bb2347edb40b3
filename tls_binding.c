/* Channel bindings: what a connection is known by to both of its ends.  RFC 5929, RFC 9266.  Runs in the session. */
#include "tls_server.h"

#include <openssl/err.h>
#include <string.h>

/* RFC 9266 s.2, s.4.2: TLS 1.2 is unique with the extended master secret only, and there an empty
 * context, as here, is another thing than none. */
static size_t exporter(SSL *ssl, unsigned char out[TLS_BINDING_MAX])
{
	static const char label[] = "EXPORTER-Channel-Binding";

	if (SSL_version(ssl) < TLS1_3_VERSION && SSL_get_extms_support(ssl) != 1)
		return 0;
	return SSL_export_keying_material(
		       ssl, out, 32, label, sizeof(label) - 1, NULL, 0, 1)
			== 1
		? 32
		: 0;
}

/* By the digest of the certificate's signature, or a better one. */
unsigned binding_digest(const X509 *certificate, unsigned char out[TLS_BINDING_MAX])
{
	unsigned length = 0;
	int nid = NID_undef;

	if (!X509_get_signature_info((X509 *)certificate, &nid, NULL, NULL, NULL))
		return 0;
	if (nid == NID_md5 || nid == NID_sha1)
		nid = NID_sha256;
	if (nid == NID_undef
		|| X509_digest(certificate, EVP_get_digestbynid(nid), out, &length) != 1)
		return 0;
	return length;
}

/* The certificate that the client has been shown. */
static const struct certificate *shown(SSL *ssl)
{
	const struct tls_server *server = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const X509 *leaf = SSL_get_certificate(ssl);
	size_t i;

	for (i = 0; i < server->count; i++) {
		if (server->certificates[i].leaf == leaf)
			return &server->certificates[i];
	}
	return NULL;
}

/* Who comes back with a ticket is shown no certificate: the ticket holds the digest of the one that
 * was shown with it. */
int binding_note(SSL *ssl, void *argument)
{
	const struct certificate *c = SSL_session_reused(ssl) ? NULL : shown(ssl);

	(void)argument;
	return !c
		|| SSL_SESSION_set1_ticket_appdata(
			SSL_get_session(ssl), c->digest, c->digest_length);
}

static size_t end_point(SSL *ssl, unsigned char out[TLS_BINDING_MAX])
{
	const struct certificate *c;
	void *noted;
	size_t length = 0;

	if (!SSL_session_reused(ssl)) {
		c = shown(ssl);
		if (c)
			memcpy(out, c->digest, c->digest_length);
		return c ? c->digest_length : 0;
	}
	if (SSL_SESSION_get0_ticket_appdata(SSL_get_session(ssl), &noted, &length) != 1
		|| length > TLS_BINDING_MAX)
		return 0;
	memcpy(out, noted, length);
	return length;
}

/* RFC 5929 s.3.1: the first Finished message of the handshake.  TLS 1.3 has no such binding. */
static size_t unique(SSL *ssl, unsigned char out[TLS_BINDING_MAX])
{
	if (SSL_version(ssl) != TLS1_2_VERSION || SSL_get_extms_support(ssl) != 1)
		return 0;
	return SSL_session_reused(ssl) ? SSL_get_finished(ssl, out, TLS_BINDING_MAX)
				       : SSL_get_peer_finished(ssl, out, TLS_BINDING_MAX);
}

static const struct {
	const char *type;
	size_t (*make)(SSL *ssl, unsigned char out[TLS_BINDING_MAX]);
} bindings[] = {
	{"tls-exporter", exporter},
	{"tls-server-end-point", end_point},
	{"tls-unique", unique},
};

size_t binding_make(SSL *ssl, const char *type, unsigned char out[TLS_BINDING_MAX])
{
	size_t i;

	ERR_clear_error();
	for (i = 0; i < sizeof(bindings) / sizeof(bindings[0]); i++) {
		if (strcmp(type, bindings[i].type) == 0)
			return bindings[i].make(ssl, out);
	}
	return 0;
}
