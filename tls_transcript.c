/* What a client's certificate is proven by: the messages of the handshake, kept in the session for
 * who does not believe it (tls_handshake.c).  Part of tls.so. */
#include "tls_server.h"

#include <string.h>

static struct {
	unsigned char data[TLS_TRANSCRIPT_MAX];
	size_t length;
	enum { OPEN, WHOLE, LOST } state; /* lost: it is too long */
} kept;

/* OpenSSL's callback: SSL_set_msg_callback(3), with whole messages and their heads. */
static void keep(int to_client, int version, int type, const void *data, size_t length,
	SSL *connection, void *argument)
{
	(void)version, (void)connection, (void)argument;
	if (type != SSL3_RT_HANDSHAKE || kept.state != OPEN || length == 0)
		return;
	if (length > sizeof(kept.data) - kept.length) {
		kept.state = LOST;
		return;
	}
	memcpy(kept.data + kept.length, data, length);
	kept.length += length;
	/* It is the last one that a proof needs. */
	if (!to_client && *(const unsigned char *)data == SSL3_MT_CERTIFICATE_VERIFY)
		kept.state = WHOLE;
}

void transcript_keep(SSL *connection)
{
	kept.length = 0;
	kept.state = OPEN;
	SSL_set_msg_callback(connection, keep);
}

const unsigned char *transcript_kept(SSL *connection, size_t *length)
{
	int signed_by;

	/* With RSA it proves nothing: tls_client.c. */
	if (kept.state != WHOLE || SSL_get_signature_type_nid(connection, &signed_by) != 1
		|| signed_by != EVP_PKEY_EC || !SSL_get0_peer_certificate(connection)
		|| SSL_get_verify_result(connection) != X509_V_OK)
		return NULL;
	*length = kept.length;
	return kept.data;
}
