/* Writing pop3d.index, in place or anew.  Runs in the monitor. */
#include "index_write.h"
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define INDEX_FILE_NEW "pop3d.index.new"
#define MODE 0600

const char *index_boot(void)
{
	static char boot[sizeof(((struct index_header *)NULL)->boot)];

	if (boot[0] == '\0') {
		int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
		ssize_t got = -1;

		if (fd >= 0)
			got = read(fd, boot, sizeof(boot) - 1);
		if (got <= 0)
			strcpy(boot, "?");
		boot[strcspn(boot, "\n")] = '\0';
		if (fd >= 0)
			close(fd);
	}
	return boot[0] == '?' ? "" : boot;
}

static bool same_time(const struct stamp *stamp, const struct stat *status)
{
	return stamp->seconds == status->st_mtim.tv_sec
		&& stamp->nanoseconds == (uint32_t)status->st_mtim.tv_nsec;
}

/* Whether nobody but the last writer has touched the file, and it can't be torn. */
static bool is_as_written(const struct index *index)
{
	const char *boot = index_boot();
	struct stat status;

	return fstat(index->fd, &status) == 0
		&& same_time(&index->header.written, &status) && *boot
		&& strncmp(index->header.boot, boot, sizeof(index->header.boot)) == 0;
}

int index_load(struct index *index, int dir, bool *settled)
{
	int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int fd = openat(dir, INDEX_FILE, O_RDWR | flags);

	if (fd < 0)
		fd = openat(dir, INDEX_FILE, O_RDONLY | flags);
	*settled = false;
	index->fd = -1;
	if (fd < 0 || index_open(index, fd) < 0) {
		index_close(index);
		return -1;
	}
	*settled = is_as_written(index);
	if (*settled || index_verify(index) == 0)
		return 0;
	index_close(index);
	return -1;
}

/* Sequential writes at a place of their own, gathered. */
struct output {
	int fd;
	uint64_t at;
	size_t used;
	bool failed;
	char data[32768];
};

static void output_start(struct output *output, int fd, uint64_t at)
{
	output->fd = fd;
	output->at = at;
	output->used = 0;
	output->failed = false;
}

static bool write_at(int fd, const void *data, size_t length, uint64_t at)
{
	const char *p = data;

	while (length > 0) {
		ssize_t put = pwrite(fd, p, length, (off_t)at);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		p += put;
		at += (uint64_t)put;
		length -= (size_t)put;
	}
	return true;
}

static bool output_flush(struct output *output)
{
	if (!output->failed && output->used > 0)
		output->failed
			= !write_at(output->fd, output->data, output->used, output->at);
	output->at += output->used;
	output->used = 0;
	return !output->failed;
}

/* Returns where it goes. */
static uint64_t output_put(struct output *output, const void *data, size_t length)
{
	uint64_t at;

	if (length > sizeof(output->data) - output->used)
		output_flush(output);
	at = output->at + output->used;
	memcpy(output->data + output->used, data, length);
	output->used += length;
	return at;
}

/* A record with its name and, where it is hashed, its unique-id. */
struct item {
	struct index_record record;
	size_t length;
	char names[INDEX_NAME_MAX + UNIQUE_ID_MAX];
};

static void item_put(struct item *item, const char *text, size_t length)
{
	memcpy(item->names + item->length, text, length);
	item->length += length;
}

static void item_set_new(struct item *item, bool in_new)
{
	item->record.flags &= (uint16_t)~INDEX_IN_NEW;
	item->record.flags |= in_new ? INDEX_IN_NEW : 0;
}

static void item_make(struct item *item, const struct index_message *message)
{
	size_t unique_length = strcspn(message->name, ":");

	memset(&item->record, 0, sizeof(item->record));
	item->length = 0;
	item_put(item, message->name, strlen(message->name));
	item->record.name_length = (uint16_t)item->length;
	if (message->unique_id) {
		unique_length = strlen(message->unique_id);
		item_put(item, message->unique_id, unique_length);
		item->record.flags = INDEX_HASHED;
	}
	item->record.unique_length = (uint16_t)unique_length;
	item_set_new(item, message->in_new);
	item->record.octets = message->octets;
	item->record.size = message->size;
}

/* What the index has under `number`.  Returns false, with EBADMSG, where that can't be read. */
static bool item_read(struct item *item, struct index *index, uint64_t number)
{
	const char *names;

	errno = EBADMSG;
	if (index_record(index, number, &item->record) < 0)
		return false;
	names = index_names(index, &item->record, &item->length);
	if (!names)
		return false;
	memcpy(item->names, names, item->length);
	return true;
}

static void item_change(struct item *item, const struct index_change *change)
{
	char unique_id[UNIQUE_ID_MAX];
	size_t hashed = item->length - item->record.name_length;

	if (change->kind == INDEX_RESIZED) {
		item->record.octets = change->octets;
		item->record.size = change->size;
		return;
	}
	memcpy(unique_id, item->names + item->record.name_length, hashed);
	item->length = 0;
	item_put(item, change->name, strlen(change->name));
	item->record.name_length = (uint16_t)item->length;
	item_put(item, unique_id, hashed);
	item_set_new(item, change->in_new);
}

static void item_seal(struct item *item, uint64_t name_at)
{
	item->record.name_at = name_at;
	item->record.check = index_record_check(&item->record, item->names, item->length);
}

static void note_time(struct index_header *header, const struct item *item)
{
	struct name_time time;

	if (name_delivery(item->names, item->record.name_length, &time)
		&& name_compare_times(&time, &header->newest) > 0)
		header->newest = time;
}

/* An even second, as every file system's times can have it, and so long ago that nothing written from
 * now on bears that time, be it as coarse as it may. */
static bool choose_time(struct timespec *time)
{
	if (clock_gettime(CLOCK_REALTIME, time) < 0)
		return false;
	time->tv_sec = (time->tv_sec / 2 - 2) * 2;
	time->tv_nsec = 0;
	return true;
}

/* The header comes last of all; the mtime then says that the file is as we left it. */
static bool write_header(
	int fd, struct index_header *header, const struct index_update *update)
{
	struct timespec times[2] = {{0, UTIME_OMIT}, {0, 0}};

	memcpy(header->magic, INDEX_MAGIC, sizeof(header->magic));
	header->byte_order = INDEX_BYTE_ORDER;
	header->record_size = sizeof(struct index_record);
	header->cur = update->cur;
	header->new = update->new;
	memset(header->boot, 0, sizeof(header->boot));
	strcpy(header->boot, index_boot());
	if (!choose_time(&times[1]))
		return false;
	header->written.seconds = times[1].tv_sec;
	header->written.nanoseconds = (uint32_t)times[1].tv_nsec;
	header->check = index_header_check(header);
	return write_at(fd, header, sizeof(*header), 0) && futimens(fd, times) == 0;
}

/* From here on `index` is what was just written behind `fd`. */
static bool adopt(struct index *index, int fd, const struct index_header *header)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return false;
	if (index->fd >= 0 && index->fd != fd)
		close(index->fd);
	index->fd = fd;
	index->size = (uint64_t)status.st_size;
	index->header = *header;
	index_forget(index);
	return true;
}

/* Names first, so that no record ever points at nothing. */
static bool amend_names(
	struct index *index, struct index_update *update, struct index_header *header)
{
	static struct output names;
	size_t i;

	output_start(&names, index->fd, index->size);
	for (i = 0; i < update->change_count; i++) {
		struct index_change *change = &update->changes[i];
		struct item item;

		if (change->kind != INDEX_RENAMED)
			continue;
		if (!item_read(&item, index, change->number))
			return false;
		header->wasted += item.length;
		item_change(&item, change);
		change->name_at = output_put(&names, item.names, item.length);
	}
	return output_flush(&names);
}

static bool amend_records(
	struct index *index, struct index_update *update, struct index_header *header)
{
	size_t i;

	for (i = 0; i < update->change_count; i++) {
		struct index_change *change = &update->changes[i];
		struct item item;

		if (!item_read(&item, index, change->number))
			return false;
		header->octets -= item.record.octets;
		item_change(&item, change);
		header->octets += item.record.octets;
		item_seal(&item,
			change->kind == INDEX_RENAMED ? change->name_at
						      : item.record.name_at);
		if (!write_at(index->fd, &item.record, sizeof(item.record),
			    INDEX_RECORDS_AT + change->number * sizeof(item.record)))
			return false;
		if ((item.record.flags & INDEX_IN_NEW)
			&& change->number < header->first_new)
			header->first_new = change->number;
	}
	return true;
}

/* What is added goes behind what is there: first the names, then the records. */
static bool add_in_place(struct index *index, const struct index_update *update,
	struct index_header *header)
{
	static struct output names, records;
	struct stat status;
	size_t i;

	if (update->added_count == 0)
		return true;
	if (fstat(index->fd, &status) < 0)
		return false;
	output_start(&names, index->fd, (uint64_t)status.st_size);
	output_start(&records, index->fd,
		INDEX_RECORDS_AT + header->count * sizeof(struct index_record));
	for (i = 0; i < update->added_count; i++) {
		struct item item;

		item_make(&item, &update->added[i]);
		note_time(header, &item);
		item_seal(&item, output_put(&names, item.names, item.length));
		output_put(&records, &item.record, sizeof(item.record));
		header->octets += item.record.octets;
	}
	header->count += update->added_count;
	return output_flush(&names) && output_flush(&records);
}

/* Moves first_new past what is in cur/. */
static void advance_first_new(struct index *index, struct index_header *header)
{
	struct index_record record;

	while (header->first_new < header->count
		&& index_record(index, header->first_new, &record) == 0
		&& !(record.flags & INDEX_IN_NEW))
		header->first_new++;
}

static bool update_in_place(struct index *index, struct index_update *update)
{
	struct index_header header = index->header, old = index->header;

	if (amend_names(index, update, &header) && amend_records(index, update, &header)
		&& add_in_place(index, update, &header)
		&& adopt(index, index->fd, &header)) {
		advance_first_new(index, &header);
		if (write_header(index->fd, &header, update)
			&& adopt(index, index->fd, &header))
			return true;
	}
	/* Without the header, nothing that was added counts. */
	adopt(index, index->fd, &old);
	return false;
}

static bool fits_in_place(const struct index *index, const struct index_update *update)
{
	size_t i;

	if (index->fd < 0
		|| index->header.count + update->added_count > index->header.capacity
		|| index->header.wasted > 65536 + index->size / 2)
		return false;
	for (i = 0; i < update->change_count; i++) {
		if (update->changes[i].kind == INDEX_GONE)
			return false;
	}
	return true;
}

/* A file being made anew. */
struct rewriting {
	struct index_header header;
	struct output records, names;
};

static void rewrite_item(struct rewriting *to, struct item *item)
{
	if ((item->record.flags & INDEX_IN_NEW) && to->header.first_new == UINT64_MAX)
		to->header.first_new = to->header.count;
	note_time(&to->header, item);
	item_seal(item, output_put(&to->names, item->names, item->length));
	output_put(&to->records, &item->record, sizeof(item->record));
	to->header.octets += item->record.octets;
	to->header.count++;
}

/* All of the new file but its header; `from` is the old one, which may be empty. */
static bool rewrite_items(
	struct rewriting *to, struct index *from, const struct index_update *update)
{
	const struct index_change *changes = update->changes;
	size_t i, next = 0;
	struct item item;
	uint64_t number;

	for (number = 0; number < from->header.count; number++) {
		bool gone = false;

		if (!item_read(&item, from, number))
			return false;
		for (; next < update->change_count && changes[next].number == number;
			next++) {
			if (changes[next].kind == INDEX_GONE)
				gone = true;
			else
				item_change(&item, &changes[next]);
		}
		if (!gone)
			rewrite_item(to, &item);
	}
	for (i = 0; i < update->added_count; i++) {
		item_make(&item, &update->added[i]);
		rewrite_item(to, &item);
	}
	return output_flush(&to->names) && output_flush(&to->records);
}

/* Makes the whole file behind `fd`. */
static bool rewrite(struct rewriting *to, int fd, struct index *from,
	const struct index_update *update)
{
	uint64_t most = from->header.count + update->added_count;

	if (most > INDEX_COUNT_MAX) {
		errno = EFBIG;
		return false;
	}
	memset(&to->header, 0, sizeof(to->header));
	to->header.first_new = UINT64_MAX;
	/* Room for what is to come, so that it can be added in place. */
	to->header.capacity = most + most / 4 + 64;
	output_start(&to->records, fd, INDEX_RECORDS_AT);
	output_start(&to->names, fd,
		INDEX_RECORDS_AT + to->header.capacity * sizeof(struct index_record));
	if (ftruncate(fd, (off_t)to->names.at) < 0 || !rewrite_items(to, from, update))
		return false;
	if (to->header.first_new == UINT64_MAX)
		to->header.first_new = to->header.count;
	return write_header(fd, &to->header, update);
}

static bool rewrite_file(struct index *index, int dir, const struct index_update *update)
{
	static struct rewriting to;
	int flags = O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int error, fd = openat(dir, INDEX_FILE_NEW, flags, MODE);

	if (fd < 0)
		return false;
	if (rewrite(&to, fd, index, update)
		&& renameat(dir, INDEX_FILE_NEW, dir, INDEX_FILE) == 0
		&& adopt(index, fd, &to.header)) {
		index->in_memory = false;
		memory_drop(&to, sizeof(to));
		return true;
	}
	error = errno;
	unlinkat(dir, INDEX_FILE_NEW, 0);
	close(fd);
	errno = error;
	return false;
}

static bool rewrite_memory(struct index *index, const struct index_update *update)
{
	static struct rewriting to;
	int error = errno, fd = memfd_create(INDEX_FILE, MFD_CLOEXEC);

	if (fd < 0)
		return false;
	if (rewrite(&to, fd, index, update) && adopt(index, fd, &to.header)) {
		index->in_memory = true;
		index->in_memory_errno = error;
		return true;
	}
	error = errno;
	close(fd);
	errno = error;
	return false;
}

int index_update(struct index *index, int dir, struct index_update *update)
{
	if (fits_in_place(index, update) && update_in_place(index, update))
		return 0;
	if (dir >= 0 && rewrite_file(index, dir, update))
		return 0;
	return rewrite_memory(index, update) ? 0 : -1;
}

int index_amend(struct index *index, struct index_update *update)
{
	update->added_count = 0;
	update->cur = index->header.cur;
	update->new = index->header.new;
	/* The session goes on with the file: sizes and unique-ids are in there. */
	return update_in_place(index, update) || rewrite_memory(index, update) ? 0 : -1;
}

int index_reader(const struct index *index, int dir)
{
	char path[40];

	if (!index->in_memory)
		return openat(dir, INDEX_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", index->fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}
