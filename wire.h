/* The client: every octet read from it and written to it passes here.  Session only. */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_LINE_MAX 255 /* octets of a command, CR LF included: RFC 2449 s.4 */
#define WIRE_INPUT 4096
#define WIRE_OUTPUT (65536 + 1024)

/* Why nothing more can be read or written. */
enum wire_state {
	WIRE_OPEN,
	WIRE_CLOSED,  /* the client has closed its side */
	WIRE_TIMEOUT, /* it said nothing for too long */
	WIRE_STALLED, /* it read nothing for too long */
	WIRE_BROKEN,  /* an error while writing */
	WIRE_ORPHAN   /* the other process is gone */
};

struct wire {
	int in, out;
	int watch; /* a descriptor whose hang-up ends it all */
	bool out_is_socket;
	enum wire_state state;
	int64_t deadline;  /* of the next wait, in milliseconds of the monotonic clock */
	int64_t idle;      /* 0: the deadline stands; else it is this much ahead again
			    * with each command and each write that gets on */
	bool swallowing;   /* the rest of a line that is too long */
	size_t start, end; /* what is unread in `input` */
	size_t used;       /* what is unsent in `output` */
	char input[WIRE_INPUT];
	char output[WIRE_OUTPUT];
};

/* Starts with a deadline `milliseconds` from now for everything that follows. */
void wire_start(struct wire *wire, int in, int out, int watch, int64_t milliseconds);

/* From now on there are `milliseconds` for each command, and for each write. */
void wire_set_idle(struct wire *wire, int64_t milliseconds);

enum wire_line {
	WIRE_LINE,     /* here is one, without its end, NUL-terminated */
	WIRE_BAD_LINE, /* one was too long or held a NUL; it has been swallowed */
	WIRE_NO_LINE   /* no more will come: see `state` */
};

/* The next command line.  What has been written is sent first where the line has yet to
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

/* Wipes what has been read and handed out: a password was in it. */
void wire_forget(struct wire *wire);

/* Sends what has been written.  Returns false where it can't be. */
bool wire_flush(struct wire *wire);

#endif
