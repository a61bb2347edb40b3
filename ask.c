/* See ask.h.  Runs in pop3passwd. */
#include "ask.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const int signals[]
	= {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU};
#define SIGNAL_COUNT (sizeof(signals) / sizeof(signals[0]))

static volatile sig_atomic_t caught;

static void catch (int number)
{
	caught = number;
}

/* An octet, while signals are let in; 0 at the end, -1 with errno. */
static ssize_t next(int fd, char *octet, const sigset_t *let_in)
{
	struct pollfd poll = {.fd = fd, .events = POLLIN};

	if (let_in && ppoll(&poll, 1, NULL, let_in) < 0)
		return -1;
	return read(fd, octet, 1);
}

/* One line, octet by octet: what is behind it is someone else's.  Returns NULL, or what is wrong. */
static const char *read_line(int fd, char line[ASK_SIZE], const sigset_t *let_in)
{
	const char *wrong = NULL;
	size_t length = 0;
	ssize_t got;
	char octet;

	while ((got = next(fd, &octet, let_in)) > 0 && octet != '\n') {
		if (octet == '\0' || octet == '\r')
			wrong = "the password has a NUL or CR in it, which no client can "
				"send";
		else if (length == ASK_SIZE - 1)
			wrong = "the password is longer than 255 octets";
		else
			line[length++] = octet;
	}
	line[length] = '\0';
	octet = '\0';
	if (got < 0)
		return "the password can't be read";
	return !wrong && length == 0 ? "the password is empty" : wrong;
}

/* With the handlers installed and their signals held; `old` is what they were. */
static void set_signals(struct sigaction old[SIGNAL_COUNT], sigset_t *mask)
{
	struct sigaction action = {.sa_handler = catch};
	sigset_t held;
	size_t i;

	caught = 0;
	sigemptyset(&held);
	for (i = 0; i < SIGNAL_COUNT; i++)
		sigaddset(&held, signals[i]);
	sigprocmask(SIG_BLOCK, &held, mask);
	for (i = 0; i < SIGNAL_COUNT; i++) {
		sigaction(signals[i], &action, &old[i]);
		/* As under nohup(1). */
		if (old[i].sa_handler == SIG_IGN)
			sigaction(signals[i], &old[i], NULL);
	}
}

/* What has come meanwhile does now what it would have done. */
static void reset_signals(struct sigaction old[SIGNAL_COUNT], const sigset_t *mask)
{
	size_t i;

	for (i = 0; i < SIGNAL_COUNT; i++)
		sigaction(signals[i], &old[i], NULL);
	if (caught)
		raise(caught);
	sigprocmask(SIG_SETMASK, mask, NULL);
}

static bool has_stopped(void)
{
	return caught == SIGTSTP || caught == SIGTTIN || caught == SIGTTOU;
}

static void say(int tty, const char *text)
{
	ssize_t ignored = write(tty, text, strlen(text));

	(void)ignored;
}

/* Asks once, and again where the process was stopped in between. */
static const char *ask(int tty, const char *prompt, char password[ASK_SIZE])
{
	struct sigaction old[SIGNAL_COUNT];
	struct termios before, silent;
	const char *wrong;
	sigset_t mask;

	do {
		set_signals(old, &mask);
		wrong = "the terminal can't be read without echo";
		if (tcgetattr(tty, &before) == 0) {
			silent = before;
			silent.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
			silent.c_lflag |= ICANON | ISIG;
			if (tcsetattr(tty, TCSAFLUSH, &silent) == 0) {
				say(tty, prompt);
				wrong = read_line(tty, password, &mask);
				say(tty, "\n");
				tcsetattr(tty, TCSAFLUSH, &before);
			}
		}
		reset_signals(old, &mask);
	} while (has_stopped());
	return wrong;
}

static const char *ask_terminal(
	int tty, char password[ASK_SIZE], const char *user, bool twice)
{
	char prompt[sizeof("Password for : ") + LOG_QUOTE_SIZE], quoted[LOG_QUOTE_SIZE];
	char again[ASK_SIZE];
	const char *wrong;

	snprintf(prompt, sizeof(prompt),
		"%s for %s: ", twice ? "New password" : "Password",
		log_quote(quoted, user, strlen(user)));
	wrong = ask(tty, prompt, password);
	if (!wrong && twice) {
		ask(tty, "The same again: ", again);
		if (strcmp(again, password) != 0)
			wrong = "the two passwords are not the same";
		explicit_bzero(again, sizeof(again));
	}
	return wrong;
}

const char *ask_password(char password[ASK_SIZE], const char *user, bool twice)
{
	const char *wrong;
	int tty;

	password[0] = '\0';
	if (!isatty(STDIN_FILENO))
		return read_line(STDIN_FILENO, password, NULL);
	tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tty < 0)
		return "there is no terminal to ask on: /dev/tty";
	wrong = ask_terminal(tty, password, user, twice);
	close(tty);
	return wrong;
}
