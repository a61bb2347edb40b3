/* How the monitor answers: one handler for each kind of request, for monitor.c's table.  What they
 * share. */
#ifndef MONITOR_REQUEST_H
#define MONITOR_REQUEST_H

#include "monitor.h"

#include <string.h>

/* Returns false where the session is to be ended. */
typedef bool monitor_handler(struct monitor *m, struct request *request);

/* monitor_tls.c */
monitor_handler handle_stls, handle_sign, handle_ticket, handle_secured;

/* monitor_login.c */
monitor_handler handle_challenge, handle_salt, handle_login, handle_transcript,
	handle_external;

/* A text with its end in it. */
#define IS_TEXT(array) (memchr(array, '\0', sizeof(array)) != NULL)

/* A reply that is no more than that. */
bool monitor_reply(struct monitor *m, enum reply_status status);

/* The session has asked for what it may not have: false. */
bool monitor_violation(struct monitor *m);

/* What seals a new ticket, or opens the one that has this name.  Wipe it. */
void monitor_ticket(const struct monitor *m, bool fresh, struct reply_ticket *ticket);

/* How long a session may take to do what it must do at once, in seconds. */
#define MONITOR_PATIENCE 5

/* A session that does not answer, or does not listen, holds nobody up for longer than so many seconds.
 * After the login it may be busy with a message for hours: 0 is for ever. */
void monitor_set_patience(const struct monitor *m, int64_t receive, int64_t send);

/* No one who becomes a user takes the server's keys along, nor the connection. */
void monitor_forget_tls(struct monitor *m);

/* For the log. */
const char *monitor_tls_version(const struct monitor *m);

/* Whoever asks for salts and proves nothing may be looking for names. */
void monitor_log_unanswered(struct monitor *m);

#endif
