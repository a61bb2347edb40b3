/* Log lines to syslog(3) or standard error.  Runs in the listener and the monitor;
 * the session logs nothing, it tells the monitor. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

static enum log_target log_target = LOG_TO_STDERR;

void log_open(enum log_target target)
{
	log_target = target;
	if (target != LOG_TO_SYSLOG)
		return;
	openlog("pop3d", LOG_PID | LOG_NDELAY, LOG_MAIL);
	/* After the login there is no /etc/localtime. */
	tzset();
}

void log_close(void)
{
	closelog();
}

/* A single write, so that lines of several processes do not mix. */
static void write_stderr(char *line, int length)
{
	ssize_t ignored;

	line[length] = '\n';
	ignored = write(STDERR_FILENO, line, (size_t)length + 1);
	(void)ignored;
}

static void log_list(int priority, const char *format, va_list arguments)
	__attribute__((format(printf, 2, 0)));

static void log_list(int priority, const char *format, va_list arguments)
{
	char line[LOG_LINE_MAX + 1];
	int prefix = 0, length;

	if (log_target == LOG_TO_STDERR)
		prefix = snprintf(line, sizeof(line), "pop3d[%ld]: ", (long)getpid());
	length = vsnprintf(
		line + prefix, LOG_LINE_MAX - (size_t)prefix, format, arguments);
	if (length < 0)
		return;
	if (length > LOG_LINE_MAX - 1 - prefix)
		length = LOG_LINE_MAX - 1 - prefix;
	if (log_target == LOG_TO_STDERR)
		write_stderr(line, prefix + length);
	else
		syslog(priority, "%s", line);
}

void log_line(int priority, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_list(priority, format, arguments);
	va_end(arguments);
}

void log_report(const char *text)
{
	log_line(LOG_ERR, "%s", text);
}

void log_fatal(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_list(LOG_CRIT, format, arguments);
	va_end(arguments);
	_exit(EX_OSERR);
}

const char *log_quote(char out[LOG_QUOTE_SIZE], const char *text, size_t length)
{
	size_t shown = length > LOG_QUOTE_MAX ? LOG_QUOTE_MAX : length;
	char *p = out;
	size_t i;

	for (i = 0; i < shown; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c > 0x20 && c < 0x7f && !strchr("\"\\=", c))
			*p++ = (char)c;
		else
			p += sprintf(p, "\\x%02X", c);
	}
	if (length == 0)
		*p++ = '-';
	strcpy(p, shown < length ? "..." : "");
	return out;
}
