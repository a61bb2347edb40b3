/* See fuzz.h.  Here too is what takes the place of things that no target may do: log lines go
 * nowhere, and marks are from malloc(3), where AddressSanitizer sees what is next to them. */
#include "fuzz.h"
#include "marks.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <syslog.h>
#include <unistd.h>

void fuzz_fail(const char *file, int line, const char *text)
{
	fprintf(stderr, "%s:%d: is not so: %s\n", file, line, text);
	abort();
}

unsigned input_octet(struct input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->at++;
}

char *input_line(struct input *input)
{
	const unsigned char *lf
		= input->left > 0 ? memchr(input->at, '\n', input->left) : NULL;
	size_t length = lf ? (size_t)(lf - input->at) : input->left;
	char *line = malloc(length + 1);

	memcpy(line, input->at, length);
	line[length] = '\0';
	input->at += length + (lf ? 1 : 0);
	input->left -= length + (lf ? 1 : 0);
	return line;
}

#define TEXT_MOST 65536

/* The next octet of a text, and how often it comes. */
static size_t input_run(struct input *input, unsigned *octet)
{
	size_t times = 1;

	*octet = input_octet(input);
	if (*octet == 0xff && input->left >= 2) {
		times = 64 * input_octet(input);
		*octet = input_octet(input);
	}
	return times;
}

char *input_text(struct input *input, size_t *length)
{
	struct input again = *input;
	unsigned octet;
	char *text;

	for (*length = 0; again.left > 0 && *length < TEXT_MOST;)
		*length += input_run(&again, &octet);
	text = malloc(*length + 1);
	for (*length = 0; input->left > 0 && *length < TEXT_MOST;) {
		size_t times = input_run(input, &octet);

		memset(text + *length, (int)octet, times);
		*length += times;
	}
	text[*length] = '\0';
	return text;
}

struct pieces input_pieces(struct input *input)
{
	struct pieces pieces = {.count = input_octet(input)};

	if (pieces.count > input->left)
		pieces.count = (unsigned)input->left;
	pieces.octets = input->at;
	input->at += pieces.count;
	input->left -= pieces.count;
	return pieces;
}

/* From this octet on, pieces grow by more than one. */
#define LARGE 200

unsigned pieces_next(struct pieces *pieces, size_t left, size_t *length)
{
	unsigned octet = 1;

	*length = left;
	if (pieces->count > 0) {
		pieces->count--;
		octet = *pieces->octets++;
		*length = octet < LARGE ? octet : (octet - LARGE) * 128;
	}
	if (*length > left)
		*length = left;
	return octet;
}

int fuzz_file(int fd, const void *data, size_t length)
{
	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	MUST(fd >= 0 && ftruncate(fd, 0) == 0);
	MUST(pwrite(fd, data, length, 0) == (ssize_t)length);
	return fd;
}

const char *fuzz_path(int fd)
{
	static char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return path;
}

void fuzz_write(int dir, const char *name, const void *data, size_t length)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	MUST(fd >= 0 && write(fd, data, length) == (ssize_t)length);
	close(fd);
}

static char directory[200];

static void remove_directory(void)
{
	char command[sizeof(directory) + 20];

	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	if (system(command) != 0)
		fprintf(stderr, "%s is left\n", directory);
}

const char *fuzz_directory(void)
{
	const char *where = getenv("TMPDIR");

	snprintf(directory, sizeof(directory), "%s/pop3d-fuzz-XXXXXX",
		where ? where : "/tmp");
	MUST(mkdtemp(directory));
	atexit(remove_directory);
	return directory;
}

uint64_t fuzz_fds(void)
{
	struct pollfd fds[64];
	uint64_t open = 0;
	int i;

	for (i = 0; i < 64; i++)
		fds[i] = (struct pollfd){.fd = i};
	MUST(ppoll(fds, 64, &(struct timespec){0}, NULL) >= 0);
	for (i = 0; i < 64; i++)
		open |= (uint64_t) !(fds[i].revents & POLLNVAL) << i;
	return open;
}

/* Marks last as long as the process: here they last until the next input. */
#define MARKS_MOST 64

static unsigned char *marks[MARKS_MOST];
static size_t marks_count;

unsigned char *__wrap_marks_new(size_t size);

unsigned char *__wrap_marks_new(size_t size)
{
	MUST(marks_count < MARKS_MOST);
	return marks[marks_count++] = calloc(1, size);
}

/* The sections of state.h; null where no source has such variables. */
extern char __start_pop3d_bss[] __attribute__((weak));
extern char __stop_pop3d_bss[] __attribute__((weak));
extern char __start_pop3d_data[] __attribute__((weak));
extern char __stop_pop3d_data[] __attribute__((weak));

/* Not memcpy(3): between variables are AddressSanitizer's red zones.  In words, for there is
 * much of it. */
__attribute__((no_sanitize("address", "undefined"), no_builtin)) static void copy(
	char *to, const char *from, size_t length)
{
	const uint64_t *words = (const void *)from;
	size_t i, whole = length / sizeof(*words);

	for (i = 0; i < whole; i++)
		/* cppcheck-suppress nullPointer */
		((uint64_t *)(void *)to)[i] = from ? words[i] : 0;
	for (i = whole * sizeof(*words); i < length; i++)
		to[i] = from ? from[i] : 0;
}

void fuzz_reset(void)
{
	static char *saved;
	/* cppcheck-suppress comparePointers */
	size_t length = (size_t)(__stop_pop3d_data - __start_pop3d_data);

	if (!saved) {
		saved = malloc(length + 1);
		copy(saved, __start_pop3d_data, length);
	}
	copy(__start_pop3d_data, saved, length);
	/* cppcheck-suppress comparePointers */
	copy(__start_pop3d_bss, NULL, (size_t)(__stop_pop3d_bss - __start_pop3d_bss));
	while (marks_count > 0)
		free(marks[--marks_count]);
}

/* Log lines: one line each, whatever a client sent. */

static void must_be_one_line(const char *format, va_list arguments)
{
	char line[4096];
	const char *p;

	vsnprintf(line, sizeof(line), format, arguments);
	for (p = line; *p; p++)
		MUST((unsigned char)*p >= 0x20 && *p != 0x7f);
}

void __wrap_log_line(int priority, const char *format, ...);
void __wrap_log_fatal(const char *format, ...);

void __wrap_log_line(int priority, const char *format, ...)
{
	va_list arguments;

	(void)priority;
	va_start(arguments, format);
	must_be_one_line(format, arguments);
	va_end(arguments);
}

void __wrap_log_fatal(const char *format, ...)
{
	fuzz_fail("log_fatal", 0, format);
}
