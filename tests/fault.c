/* LD_PRELOAD for crash tests: what changes a Maildir can be made to fail, or to be the last
 * thing that the process did not live to do.
 *
 *   FAULT_KILL=n             SIGKILL before the nth change
 *   FAULT_COUNT=file         writes how many there were, at a normal end
 *   FAULT_FAIL=call:errno[:text]  that call fails (where its file name holds text)
 *   FAULT_RUN=n:command      runs a command before the nth change: another program
 *   FAULT_READ=n:command     likewise after the nth time that a directory was read; 0: each
 *   FAULT_SLOW=seconds       so much longer takes each crypt(3)
 *   FAULT_OLD=1              a file system that has no renameat2(2)
 *   FAULT_READ_AT=n:text     the nth read(2) from a file whose name holds text fails: EIO */
#define _GNU_SOURCE
#include <crypt.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static unsigned changes, reads;

static void run_at(const char *variable, unsigned count)
{
	const char *run = getenv(variable);
	char command[4096];

	if (!run || (atoi(run) != 0 && (unsigned)atoi(run) != count))
		return;
	snprintf(command, sizeof(command), "unset LD_PRELOAD; %s", strchr(run, ':') + 1);
	if (system(command) < 0)
		abort();
}

/* Returns whether the call is to fail, with errno. */
static int change(const char *call, const char *name)
{
	const char *kill_at = getenv("FAULT_KILL"), *fail = getenv("FAULT_FAIL");
	size_t length = strlen(call);

	changes++;
	if (kill_at && (unsigned)atoi(kill_at) == changes)
		raise(SIGKILL);
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
	char link[64], name[4096] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (readlink(link, name, sizeof(name) - 1) < 0)
		name[0] = '\0';
	return change(call, name);
}

__attribute__((destructor)) static void at_end(void)
{
	const char *name = changes > 0 ? getenv("FAULT_COUNT") : NULL;
	FILE *file = name ? fopen(name, "w") : NULL;

	if (file) {
		fprintf(file, "%u\n", changes);
		fclose(file);
	}
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t read(int fd, void *data, size_t length)
{
	static int count;
	const char *at = getenv("FAULT_READ_AT");
	char link[64], name[4096] = "";

	if (at) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		if (readlink(link, name, sizeof(name) - 1) > 0
			&& strstr(name, strchr(at, ':') + 1) && ++count == atoi(at)) {
			errno = EIO;
			return -1;
		}
	}
	return REAL(read)(fd, data, length);
}

int closedir(DIR *stream)
{
	run_at("FAULT_READ", ++reads);
	return REAL(closedir)(stream);
}

char *crypt_r(const char *password, const char *hash, struct crypt_data *data)
{
	const char *slow = getenv("FAULT_SLOW");

	if (slow)
		usleep((unsigned)(atof(slow) * 1000000));
	return REAL(crypt_r)(password, hash, data);
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
