/* TLS, RFC 2595 and RFC 8314, as an object of its own: tls.c is built as tls.so, the one place
 * that knows OpenSSL, and is loaded where TLS is about to be used, for loading it costs more
 * than the rest of a start.
 *
 * Private keys stay with the monitor.  The session has certificates only: where a handshake
 * needs a signature, or a ticket a key, it asks (struct tls_hooks). */
#ifndef TLS_H
#define TLS_H

#include "conf.h"

#include <stdint.h>
#include <sys/types.h>

#define TLS_SIGN_MAX 512 /* octets of an RSA key of 4096 bits */
#define TLS_TEXT_MAX 256
#define TLS_TICKET_NAME 16
#define TLS_RECORD 16384         /* octets of a record at most: RFC 8446 s.5.1 */
#define TLS_BINDING_MAX 64       /* octets of a channel binding */
#define TLS_TRANSCRIPT_MAX 49152 /* octets of a handshake, of more nothing is kept */

/* Keys for tickets that a connection may ask for: one is for the ticket that it gives, the others
 * for those that it is shown. */
#define TLS_TICKETS 8

/* A signature that is wanted: of `data`, by the key of certificate `number`. */
struct tls_sign {
	uint32_t number;
	uint32_t padding; /* OpenSSL's, of RSA; ECDSA: 0 */
	uint32_t length;
	unsigned char data[TLS_SIGN_MAX];
};

/* What seals and opens the tickets that have this name (RFC 5077 s.4).  The first four octets
 * of a name are the day on which it was made, the others are random. */
struct tls_ticket_keys {
	unsigned char cipher[32]; /* AES-256-CBC */
	unsigned char mac[32];    /* HMAC-SHA-256 */
};
enum tls_ticket { TLS_TICKET_UNKNOWN, TLS_TICKET_OLD, TLS_TICKET_GOOD };

/* Certificates, keys and settings. */
struct tls_server;

/* One connection; a process has no more than one. */
struct tls;

/* What a connection needs of its process. */
struct tls_hooks {
	void *owner;
	/* As read(2) and send(2) of a connection that does not block: -1 with EAGAIN. */
	ssize_t (*get)(void *owner, void *data, size_t length);
	ssize_t (*put)(void *owner, const void *data, size_t length);
	/* Return the length of the signature that is in `out` (TLS_SIGN_MAX), 0: none. */
	size_t (*sign)(void *owner, const struct tls_sign *wanted, unsigned char *out);
	/* With `fresh`, makes a new name. */
	enum tls_ticket (*ticket)(void *owner, bool fresh,
		unsigned char name[TLS_TICKET_NAME], struct tls_ticket_keys *keys);
};

/* What a handshake has come to. */
struct tls_outcome {
	uint64_t error;   /* OpenSSL's code for what went wrong; 0: nothing */
	uint32_t version; /* as on the wire: 0x0304 is TLS 1.3 */
	uint32_t resumed;
	/* RFC 5280 section 4.1.2.6, of the client's certificate where it has proven to have one
	 * that `tls_client_ca` has signed; else empty. */
	char subject[TLS_TEXT_MAX];
};

/* What is to prove whom the client's certificate names (`tls_client_user`), on the word of a session
 * that is not believed. */
struct tls_proof {
	/* All messages of the handshake up to the client's CertificateVerify, with that. */
	const unsigned char *transcript;
	size_t length;
	/* The signature that was made for this connection, by the key of certificate `number`. */
	uint32_t number;
	uint32_t signature_length; /* 0: there is none yet */
	unsigned char signature[TLS_SIGN_MAX];
};

enum tls_proven {
	TLS_PROVEN,
	TLS_PROOF_MALFORMED,   /* no handshake */
	TLS_PROOF_FOREIGN,     /* the server's signature is not this connection's */
	TLS_PROOF_FORGED,      /* the client's signature is not by its certificate */
	TLS_PROOF_CERTIFICATE, /* which `tls_client_ca` does not vouch for: `error` */
	TLS_PROOF_NAME,        /* none, or more than one, or no text */
	TLS_PROOF_VERDICTS
};

struct tls_identity {
	uint32_t verdict;
	uint32_t error;          /* X509_V_ERR_... */
	char name[TLS_TEXT_MAX]; /* where it is proven: not empty; UTF-8 */
};

/* What a server is opened for. */
enum tls_use {
	TLS_FOR_ONE, /* one connection: what is only strange about certificates is not reported */
	TLS_FOR_NONE, /* -t */
	TLS_FOR_MANY  /* the listener: each connection is forked from it */
};

struct tls_library {
	/* Listener, monitor, -t.  open() reports each mistake as one line, and returns NULL
	 * then. */
	struct tls_server *(*open)(
		const struct conf *conf, enum tls_use use, conf_report *report);
	void (*close)(struct tls_server *server);
	size_t (*sign)(const struct tls_server *server, const struct tls_sign *wanted,
		unsigned char out[TLS_SIGN_MAX]);
	enum tls_ticket (*ticket)(const struct tls_server *server, bool fresh,
		unsigned char name[TLS_TICKET_NAME], struct tls_ticket_keys *keys);
	/* The words for a tls_outcome's error and version. */
	const char *(*reason)(uint64_t error);

	/* Gives up the private keys, and what tickets are made with: in the session before it
	 * reads, in the monitor before it becomes the user.  The rest remains usable. */
	void (*forget)(struct tls_server *server);

	/* Session.  accept() returns NULL where there is no memory.  handshake() returns 1 when
	 * it is done, read() and write() return octets; 0 is the end of the connection.  -1
	 * with EAGAIN says in `*events` what poll(2) has to wait for; another errno is the end
	 * too, and outcome() has more to say. */
	struct tls *(*accept)(struct tls_server *server, const struct tls_hooks *hooks);
	int (*handshake)(struct tls *tls, short *events);
	ssize_t (*read)(struct tls *tls, void *data, size_t length, short *events);
	ssize_t (*write)(struct tls *tls, const void *data, size_t length, short *events);
	/* While nothing happens: returns what it has no use for then, and how much that is. */
	void *(*spare)(struct tls *tls, size_t *length);
	void (*shutdown)(struct tls *tls); /* says goodbye; waits for no answer */
	void (*outcome)(struct tls *tls, struct tls_outcome *outcome);
	/* What only the two ends of this connection know, or, as tls-server-end-point, what
	 * certificate it has: RFC 9266, RFC 5929 s.4.  Returns its octets; 0 where there is
	 * no binding of this type. */
	size_t (*binding)(
		struct tls *tls, const char *type, unsigned char out[TLS_BINDING_MAX]);
	/* After the handshake, with `tls_client_user`: what proves the client's certificate.
	 * Returns NULL where it has none that is good. */
	const unsigned char *(*transcript)(struct tls *tls, size_t *length);

	/* The process that checks it.  Fills in `identity`. */
	void (*prove)(const struct tls_server *server, const struct tls_proof *proof,
		struct tls_identity *identity);
	/* Monitor: the words for a verdict other than TLS_PROVEN. */
	const char *(*unproven)(const struct tls_identity *identity);
};

/* Loads tls.so, once.  Returns NULL where that can't be had; `why` (LOG_LINE_MAX octets)
 * says so. */
const struct tls_library *tls_load(char *why);

#endif
