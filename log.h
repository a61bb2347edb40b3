/* What the administrator reads: one line an event, `event key=value ...`. */
#ifndef LOG_H
#define LOG_H

#include <stddef.h>
#include <stdint.h>
#include <syslog.h>

enum log_target { LOG_TO_SYSLOG, LOG_TO_STDERR };

/* Connects to syslog at once, for after the login nothing can be connected to. */
void log_open(enum log_target target);

/* In a process that is to close what is open: syslog(3) would go on with the descriptor. */
void log_close(void);

/* One line; `priority` is syslog's.  Cut at LOG_LINE_MAX octets. */
#define LOG_LINE_MAX 1024
void log_line(int priority, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A whole line, an error: what conf_load() and users_check() report to. */
void log_report(const char *text);

/* The same as log_line(), and the end of the process with status EX_OSERR: for broken invariants. */
void log_fatal(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Text that someone else chose, fit for a log line: what is not printable ASCII, and
 * space, quote, backslash and `=`, as \xHH; cut after LOG_QUOTE_MAX octets with `...`.
 * Nothing at all becomes `-`.  Returns `out`, which has LOG_QUOTE_SIZE octets. */
#define LOG_QUOTE_MAX 64
#define LOG_QUOTE_SIZE (4 * LOG_QUOTE_MAX + 4)
const char *log_quote(char out[LOG_QUOTE_SIZE], const char *text, size_t length);

#endif
