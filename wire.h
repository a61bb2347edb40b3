/* The client: every octet read from it and written to it passes here.  Session only. */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tls;
struct tls_library;

#define WIRE_LINE_MAX 255 /* octets of a command, CR LF included: RFC 2449 s.4 */
#define WIRE_RESPONSE_MAX (12288 + 2) /* of a response, likewise: RFC 5034 s.4 */
#define WIRE_INPUT 16384
#define WIRE_OUTPUT (131072 + 1024)

/* Why nothing more can be read or written. */
enum wire_state {
	WIRE_OPEN,
	WIRE_CLOSED,  /* the client has closed its side */
	WIRE_TIMEOUT, /* it said nothing for too long */
	WIRE_STALLED, /* it read nothing for too long */
	WIRE_BROKEN,  /* an error while writing */
	WIRE_ORPHAN   /* the other process is gone */
};

/* The two directions of a connection. */
struct wire_ends {
	int in, out;
	bool in_is_socket, out_is_socket;
};

struct wire {
	struct wire_ends ends;
	int watch; /* a descriptor whose hang-up ends it all */
	/* Called when no command has come for a second; or NULL. */
	void (*at_rest)(void *owner);
	void *owner;
	const struct tls_library *library;
	struct tls *tls; /* NULL: in the clear */
	enum wire_state state;
	int64_t deadline;  /* of the next wait, in milliseconds of the monotonic clock */
	int64_t idle;      /* 0: the deadline stands; else it is this much ahead again
			    * with each command and each write that gets on */
	bool swallowing;   /* the rest of a line that is too long */
	size_t start, end; /* what is unread in `input` */
	size_t dirty;      /* nothing has been read behind this since wire_forget() */
	size_t length;     /* octets of the last line, its end included */
	size_t used;       /* what is unsent in `output` */
	uint64_t sent;     /* octets that the client has been sent, as they went */
	char input[WIRE_INPUT];
	char output[WIRE_OUTPUT];
};

/* Milliseconds of the monotonic clock. */
int64_t wire_now(void);

/* Starts with a deadline, by wire_now(), for everything that follows. */
void wire_start(
	struct wire *wire, const struct wire_ends *ends, int watch, int64_t deadline);

/* Runs the handshake; from then on all goes through TLS.  Returns false where it failed:
 * `state` is WIRE_OPEN then where that was the client's or OpenSSL's doing. */
bool wire_secure(struct wire *wire, const struct tls_library *library, struct tls *tls);

/* What TLS reads and writes by: as read(2) and write(2) of a connection that does not block. */
ssize_t wire_get(struct wire *wire, void *data, size_t length);
ssize_t wire_put(struct wire *wire, const void *data, size_t length);

/* From now on there are `milliseconds` for each command, and for each write. */
void wire_set_idle(struct wire *wire, int64_t milliseconds);

enum wire_line {
	WIRE_LINE,     /* here is one, without its end, NUL-terminated */
	WIRE_BAD_LINE, /* one was too long or held a NUL; it has been swallowed */
	WIRE_NO_LINE   /* no more will come: see `state` */
};

/* The next line, of WIRE_RESPONSE_MAX octets at most.  What has been written is sent first where the line has yet to
 * come (RFC 2449 s.6.6).  `*line` may be changed, and is good until the next call. */
enum wire_line wire_read_line(struct wire *wire, char **line);

/* Room for `length` octets (at most WIRE_OUTPUT) to write to in place, after which
 * wire_wrote() says how many were used.  NULL where nothing can be sent any more. */
char *wire_room(struct wire *wire, size_t length);
void wire_wrote(struct wire *wire, size_t length);

/* Adds to what is to be sent.  Does nothing where nothing can be sent any more. */
void wire_write(struct wire *wire, const char *data, size_t length);
void wire_string(struct wire *wire, const char *text);
void wire_number(struct wire *wire, uint64_t number);

/* Writes a number to `out`, WIRE_DIGITS octets at most; returns what is behind it. */
#define WIRE_DIGITS 20
char *wire_digits(char *out, uint64_t number);

/* Wipes what has been read and handed out: a password was in it. */
void wire_forget(struct wire *wire);

/* Sends what has been written.  Returns false where it can't be. */
bool wire_flush(struct wire *wire);

/* Whether the client has sent more than has been handed out. */
bool wire_has_more(const struct wire *wire);

/* Tells the client, where there is TLS, that this is the end and no accident. */
void wire_close(struct wire *wire);

#endif
