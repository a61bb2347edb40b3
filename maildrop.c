/* The maildrop of the user who has logged in: opening, locking, messages.
 * RFC 1939 sections 4 and 8; RFC 2449 section 8.1.2.  Runs in the monitor. */
#include "maildrop.h"
#include "scan.h"
#include "takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* How long a session that is just ending may keep the next one waiting. */
#define LOCK_TRIES 10
#define LOCK_PAUSE_NS 50000000

static enum maildrop_status status_of(int error)
{
	static const int permanent[]
		= {EACCES, EPERM, ENOTDIR, ELOOP, ENAMETOOLONG, EISDIR, EINVAL};
	size_t i;

	for (i = 0; i < sizeof(permanent) / sizeof(permanent[0]); i++) {
		if (error == permanent[i])
			return MAILDROP_PERMANENT;
	}
	return MAILDROP_TEMPORARY;
}

static enum maildrop_status fail(char *why, const char *path, const char *file, int error)
{
	snprintf(why, LOG_LINE_MAX, "%s%s%s: %s", path, *file ? "/" : "", file,
		strerror(error));
	return status_of(error);
}

static void open_lock(struct maildrop *m)
{
	int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

	m->lock = openat(m->dir, MAILDROP_LOCK_FILE, flags);
	if (m->lock >= 0 || errno != ENOENT)
		return;
	m->lock = openat(m->dir, MAILDROP_LOCK_FILE, flags | O_CREAT | O_EXCL, 0600);
	m->lock_is_new = m->lock >= 0;
	if (m->lock < 0 && errno == EEXIST)
		m->lock = openat(m->dir, MAILDROP_LOCK_FILE, flags);
}

static void close_lock(struct maildrop *m)
{
	if (m->lock >= 0)
		close(m->lock);
	m->lock = -1;
}

static bool lock_directory(const struct maildrop *m)
{
	return flock(m->dir, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

/* Who can read the directory can hold flock(2) on it. */
static bool others_can_read(const struct maildrop *m)
{
	struct stat status;

	return fstat(m->dir, &status) < 0 || (status.st_mode & (S_IRGRP | S_IROTH));
}

/* fcntl(2) on the lock file works between hosts, and no one but the user can hold it.  Where
 * there can be none, flock(2) on the directory has to do.  The kernel drops both with the
 * process. */
static bool try_lock(struct maildrop *m)
{
	struct flock first = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};

	if (m->lock < 0)
		open_lock(m);
	if (m->lock >= 0 && fcntl(m->lock, F_SETLK, &first) == 0) {
		/* Both: when another session came, or comes, there may be no such file. */
		if (lock_directory(m) || others_can_read(m))
			return true;
		close_lock(m);
		return false;
	}
	if (m->lock >= 0 && (errno == EAGAIN || errno == EACCES))
		return false;
	m->lock_errno = errno;
	close_lock(m);
	return lock_directory(m);
}

/* Whether who asks for the lock would be refused for being early: then nobody is to make way. */
static bool is_early(const struct maildrop *m, const struct maildrop_manner *manner)
{
	struct stat status;
	time_t now = time(NULL);

	return fstat(m->lock, &status) == 0 && status.st_mtime <= now
		&& status.st_mtime + (time_t)manner->login_delay > now;
}

static bool lock(struct maildrop *m, const struct maildrop_manner *manner)
{
	const struct timespec pause = {0, LOCK_PAUSE_NS};
	int tries;

	for (tries = 1; !try_lock(m); tries++) {
		if (manner->no_login || tries == LOCK_TRIES)
			return false;
		if (m->lock >= 0 && !is_early(m, manner))
			takeover_ask(m->lock);
		nanosleep(&pause, NULL);
	}
	return true;
}

/* How long the other session has had it: since its login. */
static uint32_t seconds_in_use(const struct maildrop *m)
{
	struct stat status;
	time_t now = time(NULL);

	if (m->lock < 0 || fstat(m->lock, &status) < 0 || status.st_atime > now)
		return 0;
	return (uint32_t)(now - status.st_atime);
}

static time_t monotonic_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

time_t maildrop_now(const struct maildrop *m)
{
	return monotonic_seconds() + (time_t)m->clock;
}

#define SECOND INT64_C(1000000000)

static int64_t nanoseconds(const struct timespec *time)
{
	return time->tv_sec * SECOND + time->tv_nsec;
}

/* The lock file's mtime is the last login; where one may come before its time, as many delays
 * earlier as are left of the burst.  So it is all that is ever to be known, by any host.  Its atime
 * is this login.  Both are of the file system's own clock, which over a network may not be this
 * machine's.  Returns false, and how long it is too soon, with the file as it was. */
static bool check_in(struct maildrop *m, const struct maildrop_manner *manner)
{
	int64_t delay = manner->login_delay * SECOND, now, due, last;
	struct stat before, status;
	struct timespec times[2] = {{0, 0}, {0, 0}};

	m->clock = time(NULL) - monotonic_seconds();
	if (m->lock < 0 || fstat(m->lock, &before) < 0 || futimens(m->lock, NULL) < 0
		|| fstat(m->lock, &status) < 0)
		return true;
	m->clock = status.st_mtime - monotonic_seconds();
	/* Where nobody has been, whoever comes next comes for the first time. */
	if (!m->lock_is_new) {
		times[0] = before.st_atim;
		times[1] = before.st_mtim;
	}
	if (manner->no_login) {
		futimens(m->lock, times);
		return true;
	}
	now = nanoseconds(&status.st_mtim);
	last = m->lock_is_new ? INT64_MIN / 2 : nanoseconds(&before.st_mtim);
	due = last + delay;
	/* A clock that has been set back is not to shut anybody out. */
	if (last <= now && due > now) {
		futimens(m->lock, times);
		m->seconds = (uint32_t)((due - now + SECOND - 1) / SECOND);
		return false;
	}
	if (due < now - manner->burst * delay || last > now)
		due = now - manner->burst * delay;
	if (due < now) {
		times[0] = status.st_atim;
		times[1].tv_sec = (time_t)(due / SECOND);
		times[1].tv_nsec = (long)(due % SECOND);
		futimens(m->lock, times);
	}
	return true;
}

static void log_unreadable(const struct scan *scan, const char *path)
{
	char quoted[LOG_QUOTE_SIZE];

	if (scan->unreadable > 0)
		log_line(LOG_WARNING,
			"maildrop=%s: %u files can't be read, such as %s: %s", path,
			scan->unreadable,
			log_quote(quoted, scan->example, strlen(scan->example)),
			strerror(scan->example_errno));
}

/* Reads the directories in `which`, whose stamps are now `update`'s, and writes down what
 * is new.  Returns 0, or -1 with errno. */
static int refresh_once(
	struct maildrop *m, const char *path, unsigned which, struct index_update *update)
{
	struct scan scan = {0};
	int result = -1;

	if (scan_compare(&scan, &m->index, m->cur, m->new, which) < 0
		|| scan_measure(&scan, &m->index, m->cur, m->new) < 0)
		goto out;
	log_unreadable(&scan, path);
	if (scan.incomplete)
		update->cur = update->new = STAMP_NONE;
	update->changes = scan.changes;
	update->change_count = scan.change_count;
	update->added = scan.added;
	update->added_count = scan.added_count;
	result = 0;
	if (m->index.fd < 0 || scan.change_count > 0 || scan.added_count > 0
		|| memcmp(&update->cur, &m->index.header.cur, sizeof(update->cur)) != 0
		|| memcmp(&update->new, &m->index.header.new, sizeof(update->new)) != 0)
		result = index_update(&m->index, m->dir, update);
out:
	scan_free(&scan);
	return result;
}

static int refresh(
	struct maildrop *m, const char *path, unsigned which, struct index_update *update)
{
	int tries, result = -1;

	for (tries = 0; tries < SCAN_TRIES && result < 0; tries++) {
		result = refresh_once(m, path, which, update);
		if (errno != EAGAIN)
			break;
		/* What was moved came from, or went to, the other one. */
		which = SCAN_CUR | SCAN_NEW;
	}
	return result;
}

/* Makes the index true.  Where nothing has changed since it was written, neither
 * directory is read. */
static int bring_up_to_date(struct maildrop *m, const char *path)
{
	time_t now = maildrop_now(m);
	struct stamp cur = stamp_of(m->cur), new = stamp_of(m->new);
	bool as_left;
	bool loaded = index_load(&m->index, m->dir, &as_left) == 0;
	const struct index_header *header = &m->index.header;
	struct index_update update
		= {.cur = stamp_settled(cur, now), .new = stamp_settled(new, now)};
	unsigned which = 0;

	if (!loaded || !as_left || !stamp_equal(&header->cur, &cur))
		which |= SCAN_CUR;
	if (!loaded || !as_left || !stamp_equal(&header->new, &new))
		which |= SCAN_NEW;
	if (which == 0 || refresh(m, path, which, &update) == 0)
		return 0;
	if (errno != EBADMSG)
		return -1;
	/* The index is not what its header promises. */
	index_close(&m->index);
	return refresh(m, path, SCAN_CUR | SCAN_NEW, &update);
}

static int open_folder(const struct maildrop *m, const char *name, bool make)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(m->dir, name, flags);

	if (fd < 0 && errno == ENOENT && make && mkdirat(m->dir, name, 0700) == 0)
		fd = openat(m->dir, name, flags);
	return fd;
}

/* A Maildir that has one of the two but not the other gets it.  Returns the name of the
 * one that can't be had, with errno, or NULL. */
static const char *open_folders(struct maildrop *m)
{
	m->new = open_folder(m, "new", false);
	if (m->new < 0 && errno != ENOENT)
		return "new";
	m->cur = open_folder(m, "cur", m->new >= 0);
	if (m->cur < 0)
		return "cur";
	if (m->new < 0)
		m->new = open_folder(m, "new", true);
	return m->new < 0 ? "new" : NULL;
}

/* No mail has come yet: as good as empty, as long as the place it will come to is
 * there.  Where that is gone too, or a symbolic link leads nowhere, a file system may not
 * be mounted. */
static enum maildrop_status open_absent(struct maildrop *m, const char *path, char *why)
{
	struct index_update nothing = {0};
	struct stat link;
	char parent[PATH_MAX];
	size_t length = strlen(path);

	if (lstat(path, &link) == 0)
		return fail(why, path, "", ENOENT);
	memcpy(parent, path, length + 1);
	while (length > 1 && parent[length - 1] == '/')
		length--;
	while (length > 1 && parent[length - 1] != '/')
		length--;
	parent[length] = '\0';
	if (access(parent, F_OK) < 0 || index_update(&m->index, -1, &nothing) < 0)
		return fail(why, parent, "", errno);
	log_line(LOG_NOTICE, "maildrop=%s: not there yet, taken as empty", path);
	return MAILDROP_OPEN;
}

static enum maildrop_status open_locked(struct maildrop *m, const char *path, char *why)
{
	const char *missing;

	missing = open_folders(m);
	if (missing) {
		fail(why, path, missing, errno);
		return errno == ENOENT ? MAILDROP_PERMANENT : status_of(errno);
	}
	if (bring_up_to_date(m, path) < 0)
		return fail(why, path, "", errno);
	m->read_cur = m->index.header.cur;
	m->read_new = m->index.header.new;
	if (m->lock < 0)
		log_line(LOG_NOTICE, "maildrop=%s: %s: %s: locked on this host only",
			path, MAILDROP_LOCK_FILE, strerror(m->lock_errno));
	if (m->index.in_memory)
		log_line(LOG_NOTICE, "maildrop=%s: %s: %s: done without", path,
			INDEX_FILE, strerror(m->index.in_memory_errno));
	return MAILDROP_OPEN;
}

void maildrop_none(struct maildrop *m)
{
	index_none(&m->index);
	memset((char *)m + sizeof(m->index), 0, sizeof(*m) - sizeof(m->index));
	m->dir = m->cur = m->new = m->lock = -1;
}

enum maildrop_status maildrop_open(struct maildrop *m, const char *path,
	const struct maildrop_manner *manner, char *why)
{
	enum maildrop_status status;

	maildrop_none(m);
	m->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->dir < 0 && errno == ENOENT)
		return open_absent(m, path, why);
	if (m->dir < 0)
		return fail(why, path, "", errno);
	if (!lock(m, manner)) {
		snprintf(why, LOG_LINE_MAX, "%s: in use", path);
		m->seconds = seconds_in_use(m);
		status = MAILDROP_IN_USE;
	} else if (!check_in(m, manner)) {
		snprintf(why, LOG_LINE_MAX, "login_delay: %u seconds too soon",
			(unsigned)m->seconds);
		status = MAILDROP_EARLY;
	} else {
		status = open_locked(m, path, why);
	}
	if (status != MAILDROP_OPEN)
		maildrop_close(m);
	return status;
}

void maildrop_close(struct maildrop *m)
{
	/* Who gets the lock finds the directory's free. */
	int *const fds[] = {&m->cur, &m->new, &m->dir, &m->lock};
	size_t i;

	maildrop_write_sizes(m);
	/* With another time than the one that is written in it, it is verified. */
	if (m->distrusted && m->index.fd >= 0)
		futimens(m->index.fd, NULL);
	m->distrusted = false;
	index_close(&m->index);
	free(m->resized);
	m->resized = NULL;
	m->resized_room = 0;
	for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

int maildrop_reader(const struct maildrop *m)
{
	return index_reader(&m->index, m->dir);
}
