/* What the targets share: taking an input to pieces, files that are only in memory, and
 * pop3d's static state, which must not pass from one input to the next. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Called by libFuzzer; each target has one. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* What has to be true, or the input is a finding. */
#define MUST(condition) \
	((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))
void fuzz_fail(const char *file, int line, const char *text) __attribute__((noreturn));

/* What is left of an input. */
struct input {
	const unsigned char *at;
	size_t left;
};

unsigned input_octet(struct input *input); /* 0 where there is none */

/* Up to an LF, which is taken too, or the end; with a NUL, to be freed.  A NUL ends it
 * for who takes it as a string. */
char *input_line(struct input *input);

/* All of the rest, with a NUL behind it, to be freed.  0xff n c stands for 64 * n octets c, so that small inputs
 * have long lines; 0xff at the end is itself. */
char *input_text(struct input *input, size_t *length);

/* How a text is cut: the input has a number, and so many octets, each for a piece.  Then
 * all the rest comes at once. */
struct pieces {
	const unsigned char *octets;
	unsigned count;
};

#define PIECE_PAUSE 0     /* nothing comes */
#define PIECE_HANG_UP 255 /* and nothing comes any more */

struct pieces input_pieces(struct input *input);

/* The next octet; `*length` becomes the size of that piece, `left` at most. */
unsigned pieces_next(struct pieces *pieces, size_t left, size_t *length);

/* A file in memory: fuzz_path() can be opened.  `fd` is -1 or what the last call returned. */
int fuzz_file(int fd, const void *data, size_t length);
const char *fuzz_path(int fd);

/* A file in the directory `dir`. */
void fuzz_write(int dir, const char *name, const void *data, size_t length);

/* A new directory, which is emptied and removed when the process ends. */
const char *fuzz_directory(void);

/* pop3d's static variables as they were at the start; marks_new()'s memory is given back. */
void fuzz_reset(void);

/* Which of the first 64 descriptors are open, a bit each: to see what was not closed. */
uint64_t fuzz_fds(void);

#endif
