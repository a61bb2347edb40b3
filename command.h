/* What the commands of a session share: see session.c for the table and the loop, login.c
 * and transaction.c for the commands. */
#ifndef COMMAND_H
#define COMMAND_H

#include "session.h"

#define ARGUMENTS_MAX 2

struct arguments {
	unsigned count; /* ARGUMENTS_MAX + 1: more than that */
	char *word[ARGUMENTS_MAX + 1];
};

/* What happens after a command; only the loop changes the state. */
enum next { NEXT_COMMAND, NEXT_TRANSACTION, NEXT_END };

typedef enum next command_handler(struct session *s, const struct arguments *arguments);

command_handler cmd_apop, cmd_auth, cmd_pass, cmd_stls, cmd_user;
command_handler cmd_dele, cmd_list, cmd_noop, cmd_quit, cmd_retr, cmd_rset, cmd_stat,
	cmd_top, cmd_uidl;

/* The first line of a reply, `+OK text` or `-ERR [CODE] text`; the numbers are those of
 * the text.  For the end of a handler: NEXT_COMMAND. */
enum next reply_ok(struct session *s, enum text text, uint64_t first, uint64_t second);
enum next reply_err(struct session *s, enum response_code code, enum text text,
	uint64_t first, uint64_t second);

/* For the end of a handler after which the session ends: NEXT_END. */
enum next reply_end(struct session *s, enum request_end reason);

/* Why, where the client can't be read from or written to. */
enum request_end end_of_wire(enum wire_state state);

/* Asks for the verdict on a login, and wipes the request.  With a `signature` (DIGEST_MAX octets)
 * the +OK is left to the caller: NEXT_TRANSACTION then. */
enum next log_in(struct session *s, struct request *request, unsigned char *signature);
enum next log_in_reply(struct session *s);

/* The same in two steps, for who has something to say in between.  The first one returns false
 * where there is no verdict: the client has been told, and `*next` is what the handler returns. */
struct verdict {
	struct reply reply;
	int fd;
};
bool log_in_ask(struct session *s, struct request *request, struct verdict *verdict,
	enum next *next);
enum next log_in_tell(
	struct session *s, const struct verdict *verdict, unsigned char *signature);

/* 32 lower-case hexadecimal digits: RFC 1939 s.7, RFC 2195 s.2. */
bool parse_digest(const char *text, char digest[AUTH_DIGEST_SIZE]);

/* A request of the monitor and its reply; wipes the request.  Returns false where that is gone. */
bool ask_monitor(struct session *s, struct request *request, struct reply *reply);

/* The handshake.  Returns false where it came to nothing, and s->end says why. */
bool secure_start(struct session *s, struct tls_server *server);

/* Takes over the maildrop's index behind `fd`, whatever it is.  Returns false where that
 * can't be used. */
bool transaction_enter(struct session *s, const struct reply *reply, int fd);

/* Closes messages that nobody has fetched after all. */
void transaction_leave(struct session *s);

#endif
