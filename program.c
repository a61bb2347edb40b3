/* Running other programs: fork(2), exec(3), pipes and a deadline.  Runs in the monitor before the
 * login; program_check() before the processes part. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define ENVIRONMENT_MAX 32
#define ERROR_LINES 16 /* of standard error are logged */
#define ERROR_LINE_MAX 256

/* The pipes, and the order in which the program has them. */
enum { OUTPUT, ERRORS, SECRET, STARTED, PIPES, SIGNALS = PIPES, FDS };

static const struct {
	bool to_program;
	int fd; /* there; STARTED is closed by exec */
} pipes[PIPES] = {
	[OUTPUT] = {false, STDOUT_FILENO},
	[ERRORS] = {false, STDERR_FILENO},
	[SECRET] = {true, PROGRAM_SECRET},
	[STARTED] = {false, PROGRAM_SECRET + 1},
};

struct run {
	const struct program *program;
	pid_t pid;
	struct pollfd fds[FDS];    /* our ends; -1: closed */
	size_t sent;               /* of the secret */
	char line[ERROR_LINE_MAX]; /* of standard error, its beginning */
	size_t line_length;
	unsigned lines; /* that have been logged */
	bool ended;     /* it has, and has not been waited for */
	struct program_result result;
};

static struct program_result broken(int error)
{
	return (struct program_result){.end = PROGRAM_BROKEN, .number = error};
}

static void close_end(struct run *run, int which)
{
	if (run->fds[which].fd >= 0)
		close(run->fds[which].fd);
	run->fds[which].fd = -1;
}

/* In the program's process. */

static void fail(void) __attribute__((noreturn));
static void be_program(const struct program *p, const int theirs[PIPES], pid_t parent)
	__attribute__((noreturn));

/* What went wrong, for who started it. */
static void fail(void)
{
	int error = errno;
	ssize_t ignored = write(pipes[STARTED].fd, &error, sizeof(error));

	(void)ignored;
	_exit(EX_OSERR);
}

static void arrange_descriptors(const int theirs[PIPES])
{
	int high[PIPES], i;

	for (i = 0; i < PIPES; i++)
		high[i] = fcntl(theirs[i], F_DUPFD_CLOEXEC, 10);
	sandbox_null_stdio(false);
	for (i = 0; i < PIPES; i++) {
		if (high[i] < 0
			|| dup3(high[i], pipes[i].fd, i == STARTED ? O_CLOEXEC : 0) < 0)
			_exit(EX_OSERR);
	}
	sandbox_close_from((unsigned)pipes[STARTED].fd + 1);
}

/* What is caught becomes so by exec; what is ignored does not. */
static void default_signals(void)
{
	struct sigaction action;
	sigset_t none;
	int i;

	for (i = 1; i < NSIG; i++) {
		if (sigaction(i, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			signal(i, SIG_DFL);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void exec(const struct program *p)
{
	static char path[]
		= "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char *environment[ENVIRONMENT_MAX + 2] = {path};
	size_t i;

	for (i = 0; p->environment && p->environment[i] && i < ENVIRONMENT_MAX; i++)
		environment[1 + i] = (char *)p->environment[i];
	execve(p->argv[0], p->argv, environment);
}

static void be_program(const struct program *p, const int theirs[PIPES], pid_t parent)
{
	setpgid(0, 0);
	arrange_descriptors(theirs);
	default_signals();
	if (chdir("/") < 0 || (p->user && sandbox_drop(p->user) < 0))
		fail();
	/* Whatever ends us ends it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		fail();
	if (getppid() == parent)
		exec(p);
	fail();
}

/* Starting it. */

/* Which says with each message who has sent it: unix(7). */
static int open_socket(int ends[2])
{
	int yes = 1;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	return setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes));
}

/* Our ends go into `run`.  Returns false, with errno, where there are none. */
static bool open_pipes(struct run *run, int theirs[PIPES])
{
	int i, ends[2];

	for (i = 0; i < PIPES; i++) {
		int ours = pipes[i].to_program ? 1 : 0;

		if ((i == OUTPUT && run->program->beginning ? open_socket(ends)
							    : pipe2(ends, O_CLOEXEC))
			< 0)
			return false;
		theirs[i] = ends[!ours];
		run->fds[i] = (struct pollfd){
			.fd = ends[ours], .events = ours ? POLLOUT : POLLIN};
		fcntl(ends[ours], F_SETFL, O_NONBLOCK);
	}
	return true;
}

static void start(struct run *run)
{
	int theirs[PIPES] = {-1, -1, -1, -1}, i, error;
	pid_t parent = getpid();

	run->pid = open_pipes(run, theirs) ? fork() : -1;
	error = errno;
	if (run->pid == 0)
		be_program(run->program, theirs, parent);
	for (i = 0; i < PIPES; i++) {
		if (theirs[i] >= 0)
			close(theirs[i]);
	}
	/* Here too: the group may have to be killed before the child has made it. */
	if (run->pid > 0)
		setpgid(run->pid, run->pid);
	else
		run->result = broken(error);
}

/* While it runs. */

static bool is_over(const struct run *run)
{
	return run->ended || run->result.end != PROGRAM_EXITED;
}

static void send_secret(struct run *run)
{
	const struct program *p = run->program;
	ssize_t sent = 0;

	if (run->sent < p->secret_length)
		sent = write(run->fds[SECRET].fd, (const char *)p->secret + run->sent,
			p->secret_length - run->sent);
	if (sent > 0)
		run->sent += (size_t)sent;
	/* It need not want all of it. */
	if (run->sent == p->secret_length
		|| (sent < 0 && errno != EAGAIN && errno != EINTR))
		close_end(run, SECRET);
}

/* What there is to read.  Returns false where there is nothing, for now or any more. */
static bool take(struct run *run, int which, void *data, size_t room, size_t *length)
{
	ssize_t got = run->fds[which].fd < 0 ? -1 : read(run->fds[which].fd, data, room);

	if (got > 0) {
		*length = (size_t)got;
		return true;
	}
	if (got == 0)
		close_end(run, which);
	return false;
}

/* Returns false where there is nothing to take. */
static bool take_message(struct run *run)
{
	const struct program *p = run->program;
	size_t length = strlen(p->beginning);
	union {
		char room[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr aligned;
	} control;
	char ignored;
	bool came = run->result.length > 0;
	struct iovec piece = {came ? &ignored : p->output, came ? 1 : p->output_size - 1};
	struct msghdr message = {.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room)};
	struct cmsghdr *header;
	struct ucred sender;
	ssize_t got = run->fds[OUTPUT].fd < 0
		? -1
		: recvmsg(run->fds[OUTPUT].fd, &message, MSG_CMSG_CLOEXEC);

	/* An empty message is none; the end can be read again. */
	if (got == 0 && (run->fds[OUTPUT].revents & POLLHUP))
		close_end(run, OUTPUT);
	if (got <= 0)
		return got == 0 && run->fds[OUTPUT].fd >= 0;
	header = CMSG_FIRSTHDR(&message);
	if (came || (size_t)got < length || memcmp(p->output, p->beginning, length) != 0
		|| (message.msg_flags & MSG_TRUNC) || !header
		|| header->cmsg_level != SOL_SOCKET
		|| header->cmsg_type != SCM_CREDENTIALS)
		return true;
	memcpy(&sender, CMSG_DATA(header), sizeof(sender));
	run->result.length = (size_t)got;
	run->result.uid = sender.uid;
	run->result.gid = sender.gid;
	return true;
}

static bool take_output(struct run *run)
{
	const struct program *p = run->program;
	size_t got;

	if (p->beginning)
		return take_message(run);

	if (!take(run, OUTPUT, p->output + run->result.length,
		    p->output_size - run->result.length, &got))
		return false;
	run->result.length += got;
	if (run->result.length < p->output_size)
		return true;
	run->result.end = PROGRAM_VERBOSE;
	run->result.length = p->output_size - 1;
	return false;
}

static void log_error_line(struct run *run)
{
	const char *unspoken = run->program->unspoken;

	run->line[run->line_length] = '\0';
	if (run->line_length > 0 && run->lines++ < ERROR_LINES
		&& !(unspoken && *unspoken && strstr(run->line, unspoken)))
		log_line(LOG_WARNING, "%s: %s", run->program->name, run->line);
	run->line_length = 0;
}

static bool take_errors(struct run *run)
{
	char data[1024];
	size_t got, i;

	if (!take(run, ERRORS, data, sizeof(data), &got))
		return false;
	for (i = 0; i < got; i++) {
		unsigned char c = (unsigned char)data[i];

		if (c == '\n')
			log_error_line(run);
		else if (run->line_length < sizeof(run->line) - 1)
			run->line[run->line_length++]
				= (char)(c >= 0x20 && c < 0x7f ? c : '?');
	}
	return true;
}

static void take_start(struct run *run)
{
	int error;
	size_t got;

	if (take(run, STARTED, &error, sizeof(error), &got) && got == sizeof(error))
		run->result = broken(error);
}

static void take_signal(struct run *run)
{
	struct signalfd_siginfo info;
	siginfo_t child = {0};
	size_t got;

	while (take(run, SIGNALS, &info, sizeof(info), &got))
		;
	/* It is not waited for yet: so nobody else has its number. */
	run->ended
		= waitid(P_PID, (id_t)run->pid, &child, WEXITED | WNOHANG | WNOWAIT) < 0
		|| child.si_pid == run->pid;
}

/* What it has left in the pipes; of what others still write, no more than fits in there. */
static void take_rest(struct run *run)
{
	int i;

	/* Of who might still write nothing is to be left. */
	kill(-run->pid, SIGKILL);
	take_start(run);
	for (i = 0; i < 64 && take_output(run); i++)
		;
	for (i = 0; i < 64 && take_errors(run); i++)
		;
	log_error_line(run);
}

static void watch(struct run *run)
{
	int64_t end = wire_now() + 1000 * (int64_t)run->program->seconds;

	while (!is_over(run)) {
		int64_t left = end - wire_now();

		if (left <= 0) {
			run->result.end = PROGRAM_LATE;
			break;
		}
		if (poll(run->fds, FDS, (int)left) < 0 && errno != EINTR) {
			run->result = broken(errno);
			break;
		}
		if (run->fds[STARTED].revents)
			take_start(run);
		if (run->fds[SECRET].revents)
			send_secret(run);
		if (run->fds[OUTPUT].revents)
			take_output(run);
		if (run->fds[ERRORS].revents)
			take_errors(run);
		if (run->fds[SIGNALS].revents)
			take_signal(run);
	}
	take_rest(run);
}

/* Waits for it: it has been killed, its children too. */
static void finish(struct run *run)
{
	struct program_result *result = &run->result;
	int status;
	pid_t pid;

	do
		pid = waitpid(run->pid, &status, 0);
	while (pid < 0 && errno == EINTR);
	if (result->end != PROGRAM_EXITED)
		return;
	if (pid < 0)
		*result = broken(errno);
	else if (WIFSIGNALED(status))
		result->end = PROGRAM_SIGNALED, result->number = WTERMSIG(status);
	else
		result->number = WEXITSTATUS(status);
}

struct program_result program_run(const struct program *program)
{
	struct run run = {.program = program};
	sigset_t child, before;
	int i;

	for (i = 0; i < FDS; i++)
		run.fds[i].fd = -1;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &before);
	run.fds[SIGNALS] = (struct pollfd){
		.fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK), .events = POLLIN};
	if (run.fds[SIGNALS].fd < 0)
		run.result = broken(errno);
	else
		start(&run);
	if (run.pid > 0) {
		watch(&run);
		finish(&run);
	}
	for (i = 0; i < FDS; i++)
		close_end(&run, i);
	/* What has been taken was not only ours. */
	raise(SIGCHLD);
	sigprocmask(SIG_SETMASK, &before, NULL);
	program->output[run.result.length] = '\0';
	return run.result;
}

const char *program_text(char text[PROGRAM_TEXT_MAX], const struct program_result *result)
{
	switch (result->end) {
	case PROGRAM_EXITED:
		snprintf(text, PROGRAM_TEXT_MAX, "exit status %d", result->number);
		break;
	case PROGRAM_SIGNALED:
		snprintf(text, PROGRAM_TEXT_MAX, "signal %d", result->number);
		break;
	case PROGRAM_LATE:
		strcpy(text, "no answer in time");
		break;
	case PROGRAM_VERBOSE:
		strcpy(text, "too much output");
		break;
	default:
		snprintf(text, PROGRAM_TEXT_MAX, "can't be run: %s",
			strerror(result->number));
	}
	return text;
}

bool program_check(const char *key, const char *path, conf_report *report)
{
	char text[LOG_LINE_MAX];
	const char *wrong = NULL;
	struct stat status;

	if (stat(path, &status) < 0 || access(path, X_OK) < 0)
		wrong = strerror(errno);
	else if (!S_ISREG(status.st_mode))
		wrong = "is no program";
	if (wrong) {
		snprintf(text, sizeof(text), "%s: %s: %s", key, path, wrong);
		report(text);
	}
	return !wrong;
}
