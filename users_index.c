/* See users_index.h.  Runs in the monitor, before it becomes the user, and in pop3passwd. */
#include "users_index.h"
#include "digest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(sizeof(struct users_index_header) == 160, "the same on every machine");
_Static_assert(sizeof(struct users_index_slot) == 24, "the same on every machine");

#define STORED \
	(USERS_STORED(USERS_SECRET) | USERS_STORED(USERS_HASH) \
		| USERS_STORED(USERS_SCRAM_SHA_1) | USERS_STORED(USERS_SCRAM_SHA_256))

struct users_index_stamp users_index_stamp(const struct stat *status)
{
	return (struct users_index_stamp){
		.inode = status->st_ino,
		.size = (uint64_t)status->st_size,
		.seconds = status->st_mtim.tv_sec,
		.nanoseconds = (uint64_t)status->st_mtim.tv_nsec,
	};
}

uint64_t users_index_hash(const struct users_index_header *header, const char *name,
	size_t length, uint64_t *more)
{
	unsigned char made[DIGEST_MAX];
	uint64_t result;

	digest_hmac(DIGEST_SHA_256, header->key, sizeof(header->key), name, length, made);
	memcpy(&result, made, sizeof(result));
	if (more)
		memcpy(more, made + sizeof(result), sizeof(*more));
	return result;
}

uint64_t users_index_check_header(const struct users_index_header *header)
{
	return hash(HASH_START, header, offsetof(struct users_index_header, check));
}

uint64_t users_index_check_slot(const struct users_index_header *header,
	const struct users_index_slot *slot, uint64_t number)
{
	uint64_t so_far = hash(HASH_START, header->key, sizeof(header->key));

	so_far = hash(so_far, &number, sizeof(number));
	return hash(so_far, slot, offsetof(struct users_index_slot, check));
}

const char *users_index_wrong(enum users_index_state state)
{
	static const char *const words[] = {
		[USERS_INDEX_UNREADABLE] = "can't be read",
		[USERS_INDEX_FOREIGN]
		= "others than the owner of the users file may write it",
		[USERS_INDEX_DAMAGED] = "is damaged, or no index",
		[USERS_INDEX_STALE] = "is not of this users file",
	};

	return state < sizeof(words) / sizeof(words[0]) ? words[state] : NULL;
}

/* Reads all of `size` octets, or as many as there are; -1 where that can't be done. */
static ssize_t read_at(int fd, void *data, size_t size, uint64_t at)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got
			= pread(fd, (char *)data + done, size - done, (off_t)(at + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

/* Whether the header can be one at all, of a file that is `size` octets long. */
static bool header_is_sound(const struct users_index_header *h, uint64_t size)
{
	uint64_t slots = (size - sizeof(*h)) / sizeof(struct users_index_slot);

	return memcmp(h->magic, USERS_INDEX_MAGIC, sizeof(h->magic)) == 0
		&& h->byte_order == USERS_INDEX_BYTE_ORDER
		&& h->version == USERS_INDEX_VERSION
		&& h->check == users_index_check_header(h)
		&& h->reach <= USERS_INDEX_REACH_MAX && slots > h->reach
		&& h->slots == slots - h->reach && h->users <= h->slots
		&& size == sizeof(*h) + slots * sizeof(struct users_index_slot)
		&& (h->summary.stored & ~STORED) == 0
		&& ((h->summary.stored & USERS_STORED(USERS_HASH)) != 0
			|| h->stand_in == USERS_INDEX_NONE);
}

static enum users_index_state look_at(struct users_index_header *header, int fd, int file)
{
	struct stat status, users;
	struct users_index_stamp stamp;

	if (fstat(fd, &status) < 0 || fstat(file, &users) < 0)
		return USERS_INDEX_UNREADABLE;
	if (status.st_uid != users.st_uid || (status.st_mode & 022) != 0)
		return USERS_INDEX_FOREIGN;
	if (!S_ISREG(status.st_mode) || status.st_size < (off_t)sizeof(*header)
		|| read_at(fd, header, sizeof(*header), 0) != sizeof(*header)
		|| !header_is_sound(header, (uint64_t)status.st_size))
		return USERS_INDEX_DAMAGED;
	stamp = users_index_stamp(&users);
	return memcmp(&stamp, &header->stamp, sizeof(stamp)) == 0 ? USERS_INDEX_GOOD
								  : USERS_INDEX_STALE;
}

/* It stands beside the file itself, not beside a link to it; and realpath(3) asks for each directory. */
static int open_beside(const char *file)
{
	char path[PATH_MAX + sizeof(USERS_INDEX_SUFFIX)];

	if (readlink(file, path, 1) < 0)
		snprintf(path, PATH_MAX, "%s", file);
	else if (!realpath(file, path))
		return -1;
	strcat(path, USERS_INDEX_SUFFIX);
	return open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

enum users_index_state users_index_open(
	struct users_index *index, const char *file, int fd)
{
	enum users_index_state state;

	index->file = fd;
	index->fd = open_beside(file);
	if (index->fd < 0)
		return errno == ENOENT ? USERS_INDEX_ABSENT : USERS_INDEX_UNREADABLE;
	state = look_at(&index->header, index->fd, fd);
	if (state != USERS_INDEX_GOOD)
		close(index->fd);
	return state;
}

void users_index_close(struct users_index *index)
{
	close(index->fd);
}

/* A line that pop3d would take for one. */
static bool line_is_sound(const char *line, size_t length)
{
	return !memchr(line, '\0', length) && length > 0 && line[length - 1] != '\r';
}

/* The line that begins at `offset`, if one does. */
static bool read_line(
	const struct users_index *index, uint64_t offset, char line[LINES_MAX])
{
	char buffer[1 + LINES_MAX]; /* the end of the line before it, too */
	size_t before = offset > 0, length, wanted = before + LINES_MAX;
	bool whole = false;
	const char *lf;
	ssize_t got;

	if (offset >= index->header.stamp.size)
		return false;
	/* No more than there is, so that one read is enough anywhere in the file. */
	if (wanted > index->header.stamp.size - offset + before)
		wanted = (size_t)(index->header.stamp.size - offset) + before;
	got = read_at(index->file, buffer, wanted, offset - before);
	if (got > (ssize_t)before && (!before || buffer[0] == '\n')) {
		length = (size_t)got - before;
		lf = memchr(buffer + before, '\n', length);
		/* The last line may have no end. */
		if (lf)
			length = (size_t)(lf - buffer) - before;
		whole = (lf || offset + length == index->header.stamp.size)
			&& length < LINES_MAX && line_is_sound(buffer + before, length);
		if (whole) {
			memcpy(line, buffer + before, length);
			line[length] = '\0';
		}
	}
	explicit_bzero(buffer, wanted);
	return whole;
}

/* What a slot with the name's hash has to say. */
static enum users_index_found judge(const struct users_index *index,
	const struct users_index_slot *slot, const char *name, char line[LINES_MAX])
{
	struct users_line parts;

	if (!read_line(index, slot->offset, line) || !users_line(line, &parts))
		return USERS_INDEX_SENSELESS;
	if (parts.name_length == strlen(name)
		&& memcmp(line, name, parts.name_length) == 0)
		return USERS_INDEX_FOUND;
	/* Another name with half a hash in common is rare, and no mistake. */
	if (users_index_hash(&index->header, line, parts.name_length, NULL) >> 32
		== slot->hash)
		return USERS_INDEX_NOT_FOUND;
	return USERS_INDEX_SENSELESS;
}

enum users_index_found users_index_find(const struct users_index *index, const char *name,
	char line[LINES_MAX], unsigned *number)
{
	const struct users_index_header *h = &index->header;
	struct users_index_slot slots[1 + USERS_INDEX_REACH_MAX];
	size_t i, size = (1 + (size_t)h->reach) * sizeof(slots[0]);
	uint64_t wanted = users_index_hash(h, name, strlen(name), NULL);
	uint64_t home = wanted % h->slots;

	if (strlen(name) >= LINES_MAX || strchr(name, ':'))
		return USERS_INDEX_NOT_FOUND;
	if (read_at(index->fd, slots, size, sizeof(*h) + home * sizeof(slots[0]))
		!= (ssize_t)size)
		return USERS_INDEX_SENSELESS;
	for (i = 0; i <= h->reach; i++) {
		enum users_index_found found = USERS_INDEX_NOT_FOUND;

		if (slots[i].check != users_index_check_slot(h, &slots[i], home + i))
			return USERS_INDEX_SENSELESS;
		if (slots[i].line == 0)
			break;
		if (slots[i].hash == wanted >> 32)
			found = judge(index, &slots[i], name, line);
		*number = slots[i].line;
		if (found != USERS_INDEX_NOT_FOUND)
			return found;
	}
	return USERS_INDEX_NOT_FOUND;
}

enum users_index_found users_index_line(
	const struct users_index *index, uint64_t offset, char line[LINES_MAX])
{
	if (offset == USERS_INDEX_NONE)
		return USERS_INDEX_NOT_FOUND;
	return read_line(index, offset, line) ? USERS_INDEX_FOUND : USERS_INDEX_SENSELESS;
}
