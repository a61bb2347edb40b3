/* See users_edit.h.  Runs in pop3passwd. */
#include "users_edit.h"
#include "lines.h"
#include "output.h"
#include "users_index_write.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define SEED_SIZE 16
#define GRANULARITY 2 /* seconds: see stamp.c */

/* The file, and the names beside it; and what is open of them, or -1. */
struct place {
	char path[PATH_MAX];
	char name[NAME_MAX + 1], fresh[NAME_MAX + 1], lock[NAME_MAX + 1];
	char index[NAME_MAX + 1], fresh_index[NAME_MAX + 1];
	int dir, lock_fd, fd, index_fd;
	bool exists;
	struct stat status; /* where it exists */
	char *why;
};

static int fail(const struct place *p, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Returns the status.  With EX_OSERR, the one that errno means, which is added to the text. */
static int fail(const struct place *p, int status, const char *format, ...)
{
	int error = errno;
	size_t length;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(p->why, LOG_LINE_MAX, format, arguments);
	va_end(arguments);
	if (status != EX_OSERR)
		return status;
	length = strlen(p->why);
	snprintf(p->why + length, LOG_LINE_MAX - length, ": %s", strerror(error));
	switch (error) {
	case EACCES:
	case EPERM:
		return EX_NOPERM;
	case ENOENT:
		return EX_NOINPUT;
	case EROFS:
	case ELOOP:
	case EEXIST:
	case EISDIR:
	case ENOTDIR:
		return EX_CANTCREAT;
	default:
		return EX_IOERR;
	}
}

/* Where the file is, behind all links; one that there is not may be made, but not behind a link. */
static int find_path(struct place *p, const char *file)
{
	char copy[PATH_MAX], *slash;
	struct stat status;

	p->exists = realpath(file, p->path) != NULL;
	if (p->exists)
		return EX_OK;
	if (errno != ENOENT || lstat(file, &status) == 0 || errno != ENOENT)
		return fail(p, EX_OSERR, "%s", file);
	if (snprintf(copy, sizeof(copy), "%s%s", strchr(file, '/') ? "" : "./", file)
		>= (int)sizeof(copy))
		return fail(p, EX_USAGE, "%s: the path is too long", file);
	slash = strrchr(copy, '/');
	*slash = '\0';
	if (!realpath(*copy ? copy : "/", p->path))
		return fail(p, EX_OSERR, "%s", file);
	if (slash[1] == '\0' || strlen(p->path) + strlen(slash + 1) + 2 > PATH_MAX)
		return fail(p, EX_USAGE, "%s: is no path of a file", file);
	strcat(p->path, "/");
	strcat(p->path, slash + 1);
	return EX_OK;
}

static bool add_suffix(char out[NAME_MAX + 1], const char *name, const char *suffix)
{
	return snprintf(out, NAME_MAX + 1, "%s%s", name, suffix) <= NAME_MAX;
}

static int open_directory(struct place *p)
{
	char path[PATH_MAX], *slash;

	strcpy(path, p->path);
	slash = strrchr(path, '/');
	if (!add_suffix(p->name, slash + 1, "") || !add_suffix(p->fresh, p->name, ".new")
		|| !add_suffix(p->lock, p->name, ".lock")
		|| !add_suffix(p->index, p->name, USERS_INDEX_SUFFIX)
		|| !add_suffix(p->fresh_index, p->index, ".new"))
		return fail(p, EX_USAGE, "%s: the name is too long", p->path);
	slash[slash == path] = '\0';
	p->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return p->dir < 0 ? fail(p, EX_OSERR, "%s", path) : EX_OK;
}

/* Waits for its turn.  The lock file belongs to whom the users file does, so that they can lock it
 * too. */
static int take_lock(struct place *p)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct stat status, lock;

	p->lock_fd = openat(p->dir, p->lock,
		O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	if (p->lock_fd < 0 || fstat(p->lock_fd, &lock) < 0)
		return fail(
			p, errno == ENOENT ? EX_CANTCREAT : EX_OSERR, "%s.lock", p->path);
	if (fstatat(p->dir, p->name, &status, 0) == 0 && status.st_uid != lock.st_uid
		&& fchown(p->lock_fd, status.st_uid, status.st_gid) < 0)
		return fail(p, EX_OSERR, "%s.lock", p->path);
	while (fcntl(p->lock_fd, F_SETLKW, &whole) < 0) {
		if (errno != EINTR)
			return fail(p, EX_OSERR, "%s.lock", p->path);
	}
	return EX_OK;
}

static int place_open(struct place *p, const char *file, char *why)
{
	int status;

	*p = (struct place){
		.dir = -1, .lock_fd = -1, .fd = -1, .index_fd = -1, .why = why};
	status = find_path(p, file);
	if (status == EX_OK)
		status = open_directory(p);
	if (status == EX_OK)
		status = take_lock(p);
	if (status != EX_OK)
		return status;
	/* It may have come while we waited. */
	p->exists = fstatat(p->dir, p->name, &p->status, AT_SYMLINK_NOFOLLOW) == 0;
	if (!p->exists && errno != ENOENT)
		return fail(p, EX_OSERR, "%s", p->path);
	if (p->exists && !S_ISREG(p->status.st_mode))
		return fail(p, EX_DATAERR, "%s: is no regular file", p->path);
	return EX_OK;
}

/* What has not been renamed by now is not wanted. */
static void place_close(struct place *p)
{
	if (p->fd >= 0) {
		close(p->fd);
		unlinkat(p->dir, p->fresh, 0);
	}
	if (p->index_fd >= 0) {
		close(p->index_fd);
		unlinkat(p->dir, p->fresh_index, 0);
	}
	if (p->lock_fd >= 0)
		close(p->lock_fd);
	if (p->dir >= 0)
		close(p->dir);
}

/* One that a process left behind that was killed goes. */
static int create(struct place *p, const char *name, int *fd)
{
	unlinkat(p->dir, name, 0);
	*fd = openat(
		p->dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (*fd >= 0)
		return EX_OK;
	return fail(p, errno == ENOENT ? EX_CANTCREAT : EX_OSERR, "%s", p->path);
}

/* The owner and the mode of the users file, or what `most` leaves of the latter; on the disk. */
static int finish(struct place *p, int fd, mode_t most)
{
	const struct stat *s = &p->status;
	struct stat ours;

	if (fstat(fd, &ours) < 0)
		return fail(p, EX_OSERR, "%s", p->path);
	if (p->exists
		&& (((s->st_uid != ours.st_uid || s->st_gid != ours.st_gid)
			    && fchown(fd, s->st_uid, s->st_gid) < 0)
			|| fchmod(fd, s->st_mode & most) < 0))
		return fail(p, EX_OSERR, "%s: its owner and mode", p->path);
	return fsync(fd) < 0 ? fail(p, EX_OSERR, "%s", p->path) : EX_OK;
}

static int move(struct place *p, int *fd, const char *from, const char *to)
{
	if (renameat(p->dir, from, p->dir, to) < 0)
		return fail(p, EX_OSERR, "%s", p->path);
	close(*fd);
	*fd = -1;
	return EX_OK;
}

/* Makes the index of the file with this status and moves it to its place: before the file itself, for
 * until that is there, it is the index of no file. */
static int put_index(
	struct place *p, struct users_index_maker *maker, const struct stat *status)
{
	int result = create(p, p->fresh_index, &p->index_fd);

	if (result == EX_OK && users_index_write(maker, status, p->index_fd) < 0)
		result = fail(p, EX_OSERR, "%s%s", p->path, USERS_INDEX_SUFFIX);
	if (result == EX_OK)
		result = finish(p, p->index_fd, 0644);
	return result == EX_OK ? move(p, &p->index_fd, p->fresh_index, p->index) : result;
}

/* The new file's time is made older than now, so that whoever writes to it later changes it, however
 * coarse the times of this file system are. */
static int make_older(struct place *p, struct stat *status)
{
	struct timespec times[2];

	if (fstat(p->fd, status) == 0) {
		times[0] = times[1] = status->st_mtim;
		times[0].tv_sec = times[1].tv_sec -= GRANULARITY;
		if (futimens(p->fd, times) == 0 && fstat(p->fd, status) == 0)
			return EX_OK;
	}
	return fail(p, EX_OSERR, "%s", p->path);
}

/* Who changes the file without our lock, with an editor, is not to lose that. */
static bool is_unchanged(const struct place *p)
{
	struct stat now;

	if (fstatat(p->dir, p->name, &now, AT_SYMLINK_NOFOLLOW) < 0)
		return !p->exists && errno == ENOENT;
	return p->exists && now.st_ino == p->status.st_ino
		&& now.st_size == p->status.st_size
		&& now.st_ctim.tv_sec == p->status.st_ctim.tv_sec
		&& now.st_ctim.tv_nsec == p->status.st_ctim.tv_nsec;
}

/* The new file is complete: it takes the place of the old one. */
static int replace(struct place *p, struct users_index_maker *maker)
{
	struct stat status;
	bool indexed = maker->count > USERS_EDIT_INDEXED
		|| fstatat(p->dir, p->index, &status, AT_SYMLINK_NOFOLLOW) == 0;
	int result = indexed ? make_older(p, &status) : EX_OK;

	if (result == EX_OK)
		result = finish(p, p->fd, 07777);
	if (result == EX_OK && indexed)
		result = put_index(p, maker, &status);
	if (result == EX_OK && !is_unchanged(p))
		result = fail(
			p, EX_IOERR, "%s: was changed meanwhile; try again", p->path);
	if (result == EX_OK)
		result = move(p, &p->fd, p->fresh, p->name);
	if (result == EX_OK && fsync(p->dir) < 0)
		result = fail(p, EX_OSERR, "%s: its directory", p->path);
	return result;
}

size_t users_edit_line(char *line, const char *old, const struct users_edit *edit)
{
	size_t used = 0;
	int i, last = USERS_EDIT_PASSWORD;

	for (i = 0; i < USERS_EDIT_FIELDS; i++) {
		if (edit->field[i] && *edit->field[i] && i > last)
			last = i;
	}
	for (i = 0; i < USERS_EDIT_FIELDS && (i <= last || old); i++) {
		const char *field = edit->field[i] ? edit->field[i] : old ? old : "";
		size_t length = strcspn(old ? old : "", ":");

		if (i == USERS_EDIT_EXTRA && old)
			length = strlen(old);
		if (old)
			old = old[length] ? old + length + 1 : NULL;
		if (edit->field[i])
			length = strlen(field);
		if (used + length + 2 > LINES_MAX)
			return 0;
		if (i > 0)
			line[used++] = ':';
		memcpy(line + used, field, length);
		used += length;
	}
	line[used] = '\0';
	return used;
}

/* A copy in the making. */
struct copy {
	struct output output;
	struct users_index_maker maker;
	struct users_edit *edit;
	unsigned number; /* of lines in the new file */
	bool done;       /* the user has been met */
};

static void put_line(struct copy *c, char *line)
{
	users_index_add(&c->maker, line, ++c->number, c->output.at);
	output_put(&c->output, line, strlen(line));
	output_put(&c->output, "\n", 1);
}

/* The user's line, with the changes, or a new one. */
static int put_changed(struct place *p, struct copy *c, const char *old)
{
	static char line[LINES_MAX + 1];
	size_t length = users_edit_line(line, old, c->edit);

	if (length > 0)
		put_line(c, line);
	explicit_bzero(line, sizeof(line));
	return length > 0 ? EX_OK : fail(p, EX_DATAERR, "the line would be too long");
}

static int copy_line(struct place *p, struct copy *c, char *line)
{
	const char *name = c->edit->field[USERS_EDIT_NAME];
	size_t length = strlen(name);

	if (strncmp(line, name, length) != 0 || line[length] != ':') {
		put_line(c, line);
		return EX_OK;
	}
	/* Of two lines with the same name the first counts: without it, the second would. */
	if (c->edit->remove) {
		c->done = true;
		return EX_OK;
	}
	if (c->done) {
		put_line(c, line);
		return EX_OK;
	}
	c->done = true;
	return put_changed(p, c, line);
}

static int copy_lines(struct place *p, struct copy *c)
{
	static struct lines lines;
	int result = EX_OK;
	char *line;

	if (lines_open(&lines, p->path) < 0)
		return fail(p, EX_OSERR, "%s", p->path);
	if (fstat(lines.fd, &p->status) < 0)
		result = fail(p, EX_OSERR, "%s", p->path);
	while (result == EX_OK && (line = lines_next(&lines)) != NULL) {
		if (lines.bad)
			result = fail(p, EX_DATAERR, "%s:%u: %s; nothing was changed",
				p->path, lines.number, lines.bad);
		else
			result = copy_line(p, c, line);
	}
	if (result == EX_OK && lines.error) {
		errno = lines.error;
		result = fail(p, EX_OSERR, "%s", p->path);
	}
	lines_close(&lines);
	return result;
}

/* The first line of a new file: see users_seed(). */
static int put_seed(struct place *p, struct copy *c)
{
	char line[] = "#seed 0123456789abcdef0123456789abcdef";
	unsigned char random[SEED_SIZE];
	size_t i;

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return fail(p, EX_OSERR, "random numbers");
	for (i = 0; i < sizeof(random); i++)
		snprintf(line + 6 + 2 * i, 3, "%02x", random[i]);
	put_line(c, line);
	explicit_bzero(line, sizeof(line));
	explicit_bzero(random, sizeof(random));
	return EX_OK;
}

static int copy_file(struct place *p, struct copy *c)
{
	int result;

	if (users_index_start(&c->maker) < 0)
		return fail(p, EX_OSERR, "random numbers");
	if (!p->exists && c->edit->remove)
		return fail(p, EX_NOINPUT, "%s: %s", p->path, strerror(ENOENT));
	result = create(p, p->fresh, &p->fd);
	if (result != EX_OK)
		return result;
	output_start(&c->output, p->fd);
	result = p->exists ? copy_lines(p, c) : put_seed(p, c);
	c->edit->is_new = !c->done;
	if (result == EX_OK && !c->done && c->edit->remove)
		result = fail(p, USERS_EDIT_ABSENT, "there is no such user");
	else if (result == EX_OK && !c->done)
		result = put_changed(p, c, NULL);
	if (output_end(&c->output) < 0 && result == EX_OK)
		result = fail(p, EX_OSERR, "%s", p->path);
	return result;
}

int users_edit(const char *file, struct users_edit *edit, char *why)
{
	static struct copy copy;
	struct place place;
	int result = place_open(&place, file, why);

	copy.edit = edit;
	copy.number = 0;
	copy.done = false;
	if (result == EX_OK)
		result = copy_file(&place, &copy);
	if (result == EX_OK)
		result = replace(&place, &copy.maker);
	place_close(&place);
	users_index_forget(&copy.maker);
	return result;
}

/* Until a later change would show in the file's time. */
static void settle(const struct stat *status)
{
	time_t age = time(NULL) - status->st_mtim.tv_sec;

	if (age >= 0 && age <= GRANULARITY)
		sleep((unsigned)(GRANULARITY + 1 - age));
}

/* The lines that pop3d does not use are not in its way. */
static int index_lines(
	struct place *p, struct users_index_maker *maker, struct stat *status)
{
	static struct lines lines;
	struct stat after;
	int result = EX_OK;
	char *line;

	if (lines_open(&lines, p->path) < 0)
		return fail(p, EX_OSERR, "%s", p->path);
	while ((line = lines_next(&lines)) != NULL) {
		if (!lines.bad)
			users_index_add(maker, line, lines.number, lines.offset);
	}
	errno = lines.error;
	if (lines.error || fstat(lines.fd, &after) < 0)
		result = fail(p, EX_OSERR, "%s", p->path);
	else if (after.st_size != status->st_size || after.st_ino != status->st_ino
		|| after.st_ctim.tv_sec != status->st_ctim.tv_sec
		|| after.st_ctim.tv_nsec != status->st_ctim.tv_nsec)
		result = fail(
			p, EX_IOERR, "%s: was changed meanwhile; try again", p->path);
	lines_close(&lines);
	return result;
}

int users_edit_index(const char *file, char *why)
{
	struct users_index_maker maker;
	struct place place;
	int result = place_open(&place, file, why);

	memset(&maker, 0, sizeof(maker));
	if (result == EX_OK && !place.exists)
		result = fail(&place, EX_NOINPUT, "%s: %s", file, strerror(ENOENT));
	if (result == EX_OK) {
		settle(&place.status);
		if (users_index_start(&maker) < 0)
			result = fail(&place, EX_OSERR, "random numbers");
	}
	if (result == EX_OK)
		result = index_lines(&place, &maker, &place.status);
	if (result == EX_OK)
		result = put_index(&place, &maker, &place.status);
	if (result == EX_OK && fsync(place.dir) < 0)
		result = fail(&place, EX_OSERR, "%s: its directory", place.path);
	place_close(&place);
	users_index_forget(&maker);
	return result;
}
