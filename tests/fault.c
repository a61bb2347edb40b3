/* LD_PRELOAD for crash tests: what changes a Maildir can be made to fail, or to be the last
 * thing that the process did not live to do.
 *
 *   FAULT_KILL=n             SIGKILL before the nth change
 *   FAULT_COUNT=file         writes how many there were, at a normal end
 *   FAULT_FAIL=call:errno[:text]  that call fails (where its file name holds text)
 *   FAULT_RUN=n:command      runs a command before the nth change: another program
 *   FAULT_READ=n:command     likewise after the nth time that a directory was read; 0: each
 *   FAULT_LONG=n             a file system with long names: NAME+ has n octets x for its +
 *   FAULT_SLOW=seconds       so much longer takes each crypt(3)
 *   FAULT_OLD=1              a file system that has no renameat2(2)
 *   FAULT_READ_AT=n:text     the nth read(2) of what begins with text fails: EIO
 *   FAULT_CRYPT=prefix       a crypt(3) that does not know this method
 *
 * pop3d's processes are jailed and may do none of this: an agent does it, a process that is
 * forked before they start, which they ask through memory that they share. */
#define _GNU_SOURCE
#include <crypt.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned changes, reads;

/* What is asked of the agent: one thing at a time, of one process. */
enum ask { NOTHING, RUN, KILL, COUNT, NAME };
static struct {
	volatile int ask;
	pid_t pid;
	int fd;
	unsigned changes;
	char text[4096]; /* RUN: the command; NAME: the answer */
} * shared;

static void answer(void)
{
	char link[64];
	ssize_t length;
	FILE *file;

	switch (shared->ask) {
	case RUN:
		if (system(shared->text) < 0)
			abort();
		break;
	case KILL:
		kill(shared->pid, SIGKILL);
		break;
	case COUNT:
		file = fopen(getenv("FAULT_COUNT"), "w");
		fprintf(file, "%u\n", shared->changes);
		fclose(file);
		break;
	case NAME:
		snprintf(link, sizeof(link), "/proc/%d/fd/%d", shared->pid, shared->fd);
		length = readlink(link, shared->text, sizeof(shared->text) - 1);
		shared->text[length < 0 ? 0 : length] = '\0';
	}
}

/* Until the process that it was made for has gone. */
static void run_agent(pid_t whose)
{
	int fd;

	for (fd = 0; fd < 256; fd++) {
		if (fd != 2)
			close(fd);
	}
	unsetenv("LD_PRELOAD");
	open("/dev/null", O_RDWR);
	dup(0);
	while (kill(whose, 0) == 0 || errno == EPERM) {
		if (shared->ask == NOTHING) {
			usleep(200);
			continue;
		}
		answer();
		shared->ask = NOTHING;
	}
	_exit(0);
}

__attribute__((constructor)) static void at_start(void)
{
	pid_t whose = getpid(), child;

	if (strcmp(program_invocation_short_name, "pop3d") != 0)
		return;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		abort();
	child = fork();
	if (child == 0) {
		if (fork() == 0)
			run_agent(whose);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

static void ask(enum ask what)
{
	shared->pid = getpid();
	shared->ask = what;
	while (shared->ask != NOTHING)
		usleep(100);
}

static void run_at(const char *variable, unsigned count)
{
	const char *run = getenv(variable);

	if (!shared || !run || (atoi(run) != 0 && (unsigned)atoi(run) != count))
		return;
	snprintf(shared->text, sizeof(shared->text), "%s", strchr(run, ':') + 1);
	ask(RUN);
}

/* Returns whether the call is to fail, with errno. */
static int change(const char *call, const char *name)
{
	const char *kill_at = getenv("FAULT_KILL"), *fail = getenv("FAULT_FAIL");
	size_t length = strlen(call);

	if (!shared)
		return 0;
	changes++;
	if (kill_at && (unsigned)atoi(kill_at) == changes)
		ask(KILL);
	run_at("FAULT_RUN", changes);
	if (fail && strncmp(fail, call, length) == 0 && fail[length] == ':') {
		const char *text = strchr(fail + length + 1, ':');

		if (!text || (name && strstr(name, text + 1))) {
			errno = atoi(fail + length + 1);
			return 1;
		}
	}
	return 0;
}

/* The same for what has a descriptor only. */
static int change_fd(const char *call, int fd)
{
	const char *fail = getenv("FAULT_FAIL");

	if (!shared || !fail || strncmp(fail, call, strlen(call)) != 0)
		return change(call, NULL);
	shared->fd = fd;
	ask(NAME);
	return change(call, shared->text);
}

__attribute__((destructor)) static void at_end(void)
{
	if (changes == 0 || !getenv("FAULT_COUNT"))
		return;
	shared->changes = changes;
	ask(COUNT);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t read(int fd, void *data, size_t length)
{
	static int count;
	const char *at = getenv("FAULT_READ_AT");
	const char *text = at ? strchr(at, ':') + 1 : NULL;
	ssize_t got = REAL(read)(fd, data, length);

	if (shared && text && got >= (ssize_t)strlen(text)
		&& memcmp(data, text, strlen(text)) == 0 && ++count == atoi(at)) {
		errno = EIO;
		return -1;
	}
	return got;
}

int closedir(DIR *stream)
{
	run_at("FAULT_READ", ++reads);
	return REAL(closedir)(stream);
}

struct dirent64 *readdir64(DIR *stream)
{
	static union {
		struct dirent64 file;
		char data[8192];
	} longer;
	struct dirent64 *file = REAL(readdir64)(stream);
	const char *by = getenv("FAULT_LONG");
	size_t length = file ? strlen(file->d_name) : 0;
	char *end = longer.data + offsetof(struct dirent64, d_name) + length - 1;

	if (!shared || !by || length == 0 || file->d_name[length - 1] != '+')
		return file;
	memcpy(longer.data, file, offsetof(struct dirent64, d_name) + length);
	memset(end, 'x', (size_t)atoi(by));
	end[atoi(by)] = '\0';
	return &longer.file;
}

int openat64(int dir, const char *name, int flags, ...)
{
	size_t length = strlen(name);
	char real[256];
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	if (shared && getenv("FAULT_LONG") && length > 255) {
		while (length > 0 && name[length - 1] == 'x')
			length--;
		snprintf(real, sizeof(real), "%.*s+", (int)length, name);
		name = real;
	}
	return REAL(openat64)(dir, name, flags, mode);
}

char *crypt_r(const char *password, const char *hash, struct crypt_data *data)
{
	const char *slow = getenv("FAULT_SLOW");

	if (slow)
		usleep((unsigned)(atof(slow) * 1000000));
	return REAL(crypt_r)(password, hash, data);
}

char *crypt_gensalt_rn(const char *prefix, unsigned long count, const char *random,
	int length, char *out, int size)
{
	const char *unknown = getenv("FAULT_CRYPT");

	if (unknown && strcmp(unknown, prefix) == 0) {
		errno = EINVAL;
		return NULL;
	}
	return REAL(crypt_gensalt_rn)(prefix, count, random, length, out, size);
}

int renameat(int from, const char *old, int to, const char *name)
{
	return change("rename", old) ? -1 : REAL(renameat)(from, old, to, name);
}

int unlinkat(int dir, const char *name, int flags)
{
	return change("unlink", name) ? -1 : REAL(unlinkat)(dir, name, flags);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
	return change("mkdir", name) ? -1 : REAL(mkdirat)(dir, name, mode);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at)
{
	return change_fd("pwrite", fd) ? -1 : REAL(pwrite64)(fd, data, length, at);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t at)
{
	return change_fd("pwrite", fd) ? -1 : REAL(pwrite)(fd, data, length, at);
}

int ftruncate64(int fd, off64_t length)
{
	return change_fd("ftruncate", fd) ? -1 : REAL(ftruncate64)(fd, length);
}

int ftruncate(int fd, off_t length)
{
	return change_fd("ftruncate", fd) ? -1 : REAL(ftruncate)(fd, length);
}

int futimens(int fd, const struct timespec times[2])
{
	return change_fd("futimens", fd) ? -1 : REAL(futimens)(fd, times);
}

/* renameat2(2), which has no function in every C library. */
long syscall(long number, ...)
{
	long a[6];
	va_list arguments;
	int i;

	va_start(arguments, number);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	if (number == SYS_renameat2 && getenv("FAULT_OLD")) {
		errno = EINVAL;
		return -1;
	}
	if (number == SYS_renameat2 && change("rename", (const char *)a[1]))
		return -1;
	return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
