/* What someone would do who has taken over a process.  Runs in both, in no release. */
#include "proof.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int result(long returned)
{
	return returned < 0 ? errno : 0;
}

static int try_open(const char *path)
{
	return result(open(path, O_RDONLY));
}

static int try_create(const char *path)
{
	return result(open(path, O_WRONLY | O_CREAT, 0600));
}

static int try_list(const char *path)
{
	DIR *folder = opendir(path);

	return folder ? closedir(folder) : errno;
}

static int try_stat(const char *path)
{
	struct stat status;

	return result(stat(path, &status));
}

static int try_unlink(const char *path)
{
	return result(unlink(path));
}

/* `from to`, of files */
static int try_rename(const char *paths)
{
	char from[1024];
	const char *space = strchr(paths, ' ');

	snprintf(from, sizeof(from), "%.*s", (int)(space - paths), paths);
	return result(rename(from, space + 1));
}

static int try_truncate(const char *path)
{
	return result(truncate(path, 0));
}

static int try_connect(const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(port)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		return errno;
	return result(connect(fd, (struct sockaddr *)&address, sizeof(address)));
}

static int try_unix(const char *unused)
{
	(void)unused;
	return result(socket(AF_UNIX, SOCK_DGRAM, 0));
}

static int try_exec(const char *path)
{
	return result(execl(path, path, "-c", "exit 77", (char *)NULL));
}

static int try_fork(const char *unused)
{
	pid_t child = fork();

	(void)unused;
	if (child == 0)
		_exit(0);
	return result(child);
}

/* A process, or the one that has started this one: the monitor, to the session. */
static pid_t process_of(const char *argument)
{
	return *argument ? atoi(argument) : getppid();
}

static int try_ptrace(const char *process)
{
	return result(ptrace(PTRACE_ATTACH, process_of(process), NULL, NULL));
}

static int try_peek(const char *process)
{
	char octet;
	struct iovec here = {&octet, 1}, there = {(void *)(uintptr_t)&try_peek, 1};

	return result(process_vm_readv(process_of(process), &here, 1, &there, 1, 0));
}

static int try_kill(const char *process)
{
	return result(kill(process_of(process), SIGTERM));
}

static int try_root(const char *unused)
{
	(void)unused;
	return result(setuid(0));
}

static int try_code(const char *unused)
{
	void *memory = mmap(
		NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)unused;
	return memory == MAP_FAILED ? errno : 0;
}

static int try_memory(const char *megabytes)
{
	void *volatile memory = malloc((size_t)atoi(megabytes) << 20);
	int error = memory ? 0 : errno;

	free(memory);
	return error;
}

static int try_dump(const char *unused)
{
	(void)unused;
	abort();
}

/* getpid(2) as another architecture, or x32, numbers it. */
static int try_foreign(const char *which)
{
#ifdef __x86_64__
	long number = 20;

	if (strcmp(which, "x32") == 0)
		return result(syscall(0x40000000 | SYS_getpid));
	__asm__ volatile("int $0x80" : "+a"(number) : : "memory");
	return number < 0 ? (int)-number : 0;
#else
	(void)which;
	return ENOSYS;
#endif
}

static const struct {
	const char *word;
	int (*try)(const char *argument);
} tries[] = {
	{"open", try_open},
	{"create", try_create},
	{"list", try_list},
	{"stat", try_stat},
	{"unlink", try_unlink},
	{"rename", try_rename},
	{"truncate", try_truncate},
	{"connect", try_connect},
	{"unix", try_unix},
	{"exec", try_exec},
	{"fork", try_fork},
	{"ptrace", try_ptrace},
	{"peek", try_peek},
	{"kill", try_kill},
	{"root", try_root},
	{"code", try_code},
	{"memory", try_memory},
	{"dump", try_dump},
	{"foreign", try_foreign},
};

int proof_try(const char *text)
{
	size_t i, length = strcspn(text, " ");
	const char *argument = text + length + (text[length] == ' ');

	for (i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		if (strlen(tries[i].word) == length
			&& strncmp(tries[i].word, text, length) == 0)
			return tries[i].try(argument);
	}
	return EDOM;
}

bool proof_without(const char *layer)
{
	const char *list = getenv("POP3D_WITHOUT");

	return list && strstr(list, layer);
}
