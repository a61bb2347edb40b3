/* Single messages of an open maildrop, and what becomes of them in the UPDATE state:
 * RFC 1939 section 6.  Runs in the monitor.
 *
 * Another program may rename a message at any time (flags, from new to cur).  Then it is
 * looked for under all names that are there now; the index is amended in place, for the
 * session is reading it. */
#include "folder.h"
#include "maildrop.h"
#include "marks.h"
#include "memory.h"
#include "quota.h"
#include "scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

/* A message under the name that the index has. */
struct located {
	struct index_record record;
	char name[INDEX_NAME_MAX + 1];
	int dir;
	bool in_new;
};

static int locate(struct maildrop *m, uint64_t number, struct located *at)
{
	if (index_record(&m->index, number, &at->record) < 0
		|| index_name(&m->index, &at->record, at->name) < 0) {
		errno = EBADMSG;
		return -1;
	}
	at->in_new = at->record.flags & INDEX_IN_NEW;
	at->dir = at->in_new ? m->new : m->cur;
	return 0;
}

/* Drops what is not a change of name: the numbers stay what they are. */
static size_t keep_renamed(struct index_change *changes, size_t count)
{
	size_t i, kept = 0;

	for (i = 0; i < count; i++) {
		if (changes[i].kind == INDEX_RENAMED)
			changes[kept++] = changes[i];
	}
	return kept;
}

/* Learns under which names the messages are now, and marks in `gone` (or NULL) those that are
 * nowhere.  Returns 0, or -1 with errno. */
static int look_again(struct maildrop *m, unsigned char *gone)
{
	struct stamp cur = stamp_of(m->cur), new = stamp_of(m->new);
	struct index_update update = {0};
	struct scan scan = {0};
	time_t now = maildrop_now(m);
	size_t i;
	int result;

	if (!gone && stamp_equal(&m->read_cur, &cur) && stamp_equal(&m->read_new, &new))
		return 0;
	result = scan_compare(&scan, &m->index, m->cur, m->new, SCAN_CUR | SCAN_NEW);
	if (result == 0 && scan.unsteady) {
		/* What was not seen may be there all the same. */
		errno = EAGAIN;
		result = -1;
	}
	for (i = 0; gone && result == 0 && i < scan.change_count; i++) {
		if (scan.changes[i].kind == INDEX_GONE)
			marks_set(gone, scan.changes[i].number);
	}
	update.changes = scan.changes;
	update.change_count = keep_renamed(scan.changes, scan.change_count);
	if (result == 0 && update.change_count > 0)
		result = index_amend(&m->index, &update);
	if (result == 0) {
		m->read_cur = stamp_settled(cur, now);
		m->read_new = stamp_settled(new, now);
	}
	scan_free(&scan);
	return result;
}

typedef int operation(struct maildrop *m, const struct located *at, void *argument);

static int attempt(struct maildrop *m, uint64_t number, operation *op, void *argument)
{
	struct located at;

	return locate(m, number, &at) < 0 ? -1 : op(m, &at, argument);
}

/* Does something to a message, wherever it is by now.  Fails with ENOENT where it is
 * nowhere. */
static int apply(struct maildrop *m, uint64_t number, operation *op, void *argument)
{
	if (attempt(m, number, op, argument) == 0)
		return 0;
	if (errno != ENOENT || look_again(m, NULL) < 0)
		return -1;
	return attempt(m, number, op, argument);
}

struct opened {
	int fd;
	uint64_t size, expected;
};

static int open_message(struct maildrop *m, const struct located *at, void *argument)
{
	struct opened *opened = argument;
	struct stat status;

	(void)m;
	opened->fd = openat(
		at->dir, at->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (opened->fd < 0)
		return -1;
	if (fstat(opened->fd, &status) == 0 && S_ISREG(status.st_mode)) {
		opened->size = (uint64_t)status.st_size;
		opened->expected = at->record.size;
		return 0;
	}
	close(opened->fd);
	errno = ELOOP;
	return -1;
}

enum message_status maildrop_message(struct maildrop *m, uint64_t number, int *fd)
{
	struct opened opened;

	if (apply(m, number, open_message, &opened) < 0)
		return errno == ENOENT ? MESSAGE_GONE : MESSAGE_UNREADABLE;
	if (opened.size == opened.expected) {
		*fd = opened.fd;
		return MESSAGE_OPEN;
	}
	close(opened.fd);
	maildrop_recount(m, number);
	return MESSAGE_CHANGED;
}

void maildrop_recount(struct maildrop *m, uint64_t number)
{
	struct index_change change = {.number = number, .kind = INDEX_RESIZED};
	struct opened opened;

	if (!m->is_resized)
		m->is_resized = marks_new(marks_size(m->index.header.count));
	if (!m->is_resized || marks_has(m->is_resized, number))
		return;
	if (apply(m, number, open_message, &opened) < 0) {
		m->distrusted |= errno == EBADMSG;
		return;
	}
	change.size = opened.size;
	if (scan_octets(opened.fd, opened.size, NULL, &change.octets) == 0) {
		m->resized = memory_grow(m->resized, m->resized_count, &m->resized_room,
			sizeof(*m->resized));
		m->resized[m->resized_count++] = change;
		marks_set(m->is_resized, number);
	}
	close(opened.fd);
}

void maildrop_write_sizes(struct maildrop *m)
{
	struct index_update update
		= {.changes = m->resized, .change_count = m->resized_count};

	if (m->resized_count > 0 && index_amend(&m->index, &update) < 0)
		log_line(LOG_WARNING, "%s: %s", INDEX_FILE, strerror(errno));
	m->resized_count = 0;
}

/* rename(2) that does not replace a file. */
static int rename_new(int from, const char *old, int to, const char *name)
{
	struct stat status;

	if (syscall(SYS_renameat2, from, old, to, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (fstatat(to, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return -1;
	}
	return renameat(from, old, to, name);
}

/* What is done in cur/ and new/, to be written down afterwards. */
struct commit {
	const struct maildrop_orders *orders;
	int folder; /* -1: not open */
	struct maildrop_result *result;
	struct index_change *changes;
	size_t count, room;
	uint64_t *missing; /* numbers of messages that were not where the index says */
	size_t missing_count, missing_room;
	unsigned char *gone; /* marks: what is nowhere; NULL: nothing was missing */
	bool touched_cur, touched_new;
	time_t oldest; /* what was delivered before that has expired */
	uint64_t quota_messages, quota_octets;
};

static struct index_change *add_change(
	struct commit *commit, uint64_t number, enum index_change_kind kind)
{
	struct index_change *change;

	commit->changes = memory_grow(
		commit->changes, commit->count, &commit->room, sizeof(*commit->changes));
	change = &commit->changes[commit->count++];
	memset(change, 0, sizeof(*change));
	change->number = number;
	change->kind = kind;
	return change;
}

static void add_missing(struct commit *commit, uint64_t number)
{
	commit->missing = memory_grow(commit->missing, commit->missing_count,
		&commit->missing_room, sizeof(*commit->missing));
	commit->missing[commit->missing_count++] = number;
}

static void touch(struct commit *commit, bool in_new)
{
	*(in_new ? &commit->touched_new : &commit->touched_cur) = true;
}

static void has_left(struct commit *commit, uint64_t number, const struct located *at)
{
	touch(commit, at->in_new);
	add_change(commit, number, INDEX_GONE);
}

static void uncount(struct commit *commit, const struct located *at)
{
	uint64_t octets;

	if (quota_counts(at->name, at->record.size, &octets)) {
		commit->quota_messages++;
		commit->quota_octets += octets;
	}
}

static int remove_message(struct maildrop *m, struct commit *commit, uint64_t number,
	const struct located *at)
{
	(void)m;
	if (unlinkat(at->dir, at->name, 0) < 0)
		return -1;
	has_left(commit, number, at);
	uncount(commit, at);
	return 0;
}

/* What a client deletes, where the site wants to have it all the same. */
static int move_message(struct maildrop *m, struct commit *commit, uint64_t number,
	const struct located *at)
{
	char name[INDEX_NAME_MAX + 1];

	if (!commit->orders->folder)
		return remove_message(m, commit, number, at);
	if (commit->folder < 0)
		commit->folder = folder_open(m->dir, commit->orders->folder);
	if (commit->folder < 0) {
		/* This is not the message that is missing. */
		errno = errno == ENOENT ? ENOTDIR : errno;
		return -1;
	}
	if (!name_in_cur(at->name, marks_has(commit->orders->fetched, number), name,
		    sizeof(name)))
		memcpy(name, at->name, sizeof(name));
	if (rename_new(at->dir, at->name, commit->folder, name) < 0)
		return -1;
	has_left(commit, number, at);
	if (!folder_counts(commit->orders->folder))
		uncount(commit, at);
	return 0;
}

/* What stays goes to cur/, with the flag S where it was fetched. */
static int keep_message(struct maildrop *m, struct commit *commit, uint64_t number,
	const struct located *at)
{
	char name[INDEX_NAME_MAX + 1];
	struct index_change *change;

	if (!name_in_cur(at->name, marks_has(commit->orders->fetched, number), name,
		    sizeof(name))
		|| (!at->in_new && strcmp(at->name, name) == 0))
		return 0;
	if (rename_new(at->dir, at->name, m->cur, name) < 0)
		return -1;
	touch(commit, at->in_new);
	touch(commit, false);
	change = add_change(commit, number, INDEX_RENAMED);
	change->name = memory_copy(name);
	return 0;
}

static bool is_in_new(struct maildrop *m, uint64_t number)
{
	struct index_record record;

	return number >= m->index.header.first_new
		&& index_record(&m->index, number, &record) == 0
		&& (record.flags & INDEX_IN_NEW);
}

/* With `expire 0`, what was fetched is deleted: RFC 2449 s.6.7. */
static bool is_deleted(const struct maildrop_orders *orders, uint64_t number)
{
	return orders->deleted
		&& (marks_has(orders->deleted, number)
			|| (orders->expire == 0 && marks_has(orders->fetched, number)));
}

static bool expires(const struct maildrop_orders *orders)
{
	return orders->expire != 0 && orders->expire != TERMS_NEVER;
}

/* By its name and by its file: what one of them says is younger stays. */
static bool has_expired(const struct commit *commit, const struct located *at)
{
	struct name_time delivered;
	struct stat status;

	if (name_delivery(at->name, strlen(at->name), &delivered)
		&& delivered.seconds >= (uint64_t)commit->oldest)
		return false;
	return fstatat(at->dir, at->name, &status, AT_SYMLINK_NOFOLLOW) == 0
		&& S_ISREG(status.st_mode) && status.st_mtime < commit->oldest;
}

/* What could not be removed is there again in the next session. */
static void expire_message(struct maildrop *m, struct commit *commit, uint64_t number,
	const struct located *at)
{
	if (remove_message(m, commit, number, at) < 0) {
		commit->result->unexpired++;
		commit->result->expire_error = errno;
		return;
	}
	commit->result->expired++;
	commit->result->expired_octets += at->record.octets;
}

/* Removes or keeps one message.  One that is missing comes again once all the others are
 * done, unless it is known to be nowhere: then it has been removed by someone else. */
static void commit_message(struct maildrop *m, struct commit *commit, uint64_t number)
{
	bool deleted = is_deleted(commit->orders, number);
	struct maildrop_result *result = commit->result;
	struct located at;
	int done;

	if (!deleted && !expires(commit->orders)
		&& !marks_has(commit->orders->fetched, number) && !is_in_new(m, number))
		return;
	done = locate(m, number, &at);
	if (done == 0 && !deleted && expires(commit->orders)
		&& has_expired(commit, &at)) {
		expire_message(m, commit, number, &at);
		return;
	}
	if (!commit->orders->deleted)
		return;
	if (done == 0)
		done = (deleted ? move_message : keep_message)(m, commit, number, &at);
	if (done < 0 && errno == ENOENT
		&& !(commit->gone && marks_has(commit->gone, number))) {
		add_missing(commit, number);
	} else if (deleted && (done == 0 || errno == ENOENT)) {
		result->deleted++;
		result->deleted_octets += at.record.octets;
	} else if (deleted && result->failed++ == 0) {
		result->error = errno;
	}
	/* Flags are a courtesy to other programs: without them, nothing is lost. */
}

/* Whoever has renamed a message may do so once more before it is removed. */
static void commit_missing(struct maildrop *m, struct commit *commit)
{
	size_t i, count;
	int tries;

	if (commit->missing_count > 0)
		commit->gone = marks_new(marks_size(m->index.header.count));
	for (tries = 0; commit->gone && commit->missing_count > 0; tries++) {
		errno = EAGAIN;
		if (tries == SCAN_TRIES || look_again(m, commit->gone) < 0)
			break;
		count = commit->missing_count;
		commit->missing_count = 0;
		for (i = 0; i < count; i++)
			commit_message(m, commit, commit->missing[i]);
	}
	for (i = 0; i < commit->missing_count; i++) {
		if (is_deleted(commit->orders, commit->missing[i])
			&& commit->result->failed++ == 0)
			commit->result->error = errno;
	}
}

static int compare_changes(const void *left, const void *right)
{
	const struct index_change *a = left, *b = right;

	return a->number < b->number ? -1 : a->number > b->number;
}

/* The index is true again before the next session can want it. */
static void commit_index(struct maildrop *m, struct commit *commit)
{
	const struct index_header *header = &m->index.header;
	struct index_update update = {
		.changes = commit->changes,
		.change_count = commit->count,
		.cur = commit->touched_cur ? STAMP_NONE : header->cur,
		.new = commit->touched_new ? STAMP_NONE : header->new,
	};

	if (commit->gone && commit->count > 1)
		qsort(commit->changes, commit->count, sizeof(*commit->changes),
			compare_changes);
	if (commit->count > 0 && index_update(&m->index, m->dir, &update) < 0)
		log_line(LOG_WARNING, "%s: %s", INDEX_FILE, strerror(errno));
}

static void free_commit(struct commit *commit)
{
	size_t i;

	for (i = 0; i < commit->count; i++)
		free((char *)commit->changes[i].name);
	free(commit->changes);
	free(commit->missing);
	if (commit->folder >= 0)
		close(commit->folder);
}

/* The first message from `number` on with which there may be something to be done. */
static uint64_t next_concerned(
	const struct maildrop *m, const struct maildrop_orders *orders, uint64_t number)
{
	uint64_t old = m->index.header.first_new;

	if (expires(orders) || number >= old)
		return number;
	if (!orders->marked)
		return old;
	while (number % 8 == 0 && number + 8 <= old && orders->deleted[number / 8] == 0
		&& orders->fetched[number / 8] == 0)
		number += 8;
	return number;
}

void maildrop_commit(struct maildrop *m, const struct maildrop_orders *orders,
	struct maildrop_result *result)
{
	struct commit commit = {.orders = orders, .result = result, .folder = -1};
	uint64_t number, count = m->index.header.count, octets;

	maildrop_write_sizes(m);
	octets = m->index.header.octets;
	memset(result, 0, sizeof(*result));
	commit.oldest = maildrop_now(m) - (time_t)orders->expire * 86400;
	for (number = 0; (number = next_concerned(m, orders, number)) < count; number++)
		commit_message(m, &commit, number);
	commit_missing(m, &commit);
	if (commit.quota_messages > 0
		&& quota_subtract(m->dir, commit.quota_messages, commit.quota_octets) < 0)
		log_line(LOG_WARNING, "maildirsize: %s", strerror(errno));
	commit_index(m, &commit);
	result->left = count - result->deleted - result->expired;
	result->left_octets = octets - result->deleted_octets - result->expired_octets;
	free_commit(&commit);
}
