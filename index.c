/* Reading pop3d.index.  Runs in both processes; nothing in the file is trusted. */
#include "index.h"
#include "hash.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

uint64_t index_header_check(const struct index_header *header)
{
	return hash(HASH_START, header, offsetof(struct index_header, check));
}

uint64_t index_record_check(
	const struct index_record *record, const char *names, size_t length)
{
	uint64_t ours = hash(HASH_START, record, offsetof(struct index_record, check));

	return hash(ours, names, length);
}

static bool header_is_sound(const struct index_header *header, uint64_t size)
{
	return memcmp(header->magic, INDEX_MAGIC, sizeof(header->magic)) == 0
		&& header->byte_order == INDEX_BYTE_ORDER
		&& header->record_size == sizeof(struct index_record)
		&& header->check == index_header_check(header)
		&& header->count <= header->capacity && header->first_new <= header->count
		&& header->capacity <= INDEX_COUNT_MAX
		&& INDEX_RECORDS_AT + header->capacity * sizeof(struct index_record)
		<= size;
}

/* Without fstat(2), which the session may not call.  What has no end is no index. */
static uint64_t size_of(int fd)
{
	off_t end = lseek(fd, 0, SEEK_END);

	return end > 0 ? (uint64_t)end : 0;
}

void index_none(struct index *index)
{
	memset(index->windows, 0, sizeof(*index) - offsetof(struct index, windows));
	index->fd = -1;
}

void index_forget(struct index *index)
{
	memset(index->windows, 0, sizeof(index->windows));
}

int index_open(struct index *index, int fd)
{
	index_none(index);
	index->fd = fd;
	index->size = size_of(fd);
	if (pread(fd, &index->header, sizeof(index->header), 0)
			== (ssize_t)sizeof(index->header)
		&& header_is_sound(&index->header, index->size))
		return 0;
	index_close(index);
	return -1;
}

void index_close(struct index *index)
{
	if (index->fd >= 0)
		close(index->fd);
	index_none(index);
}

/* `length` octets at `at`, by way of a window; NULL where the file does not have
 * them.  Good until the window is used again. */
static const char *look(struct index *index, unsigned which, uint64_t at, size_t length)
{
	struct index_window *window = &index->windows[which];
	char *data = index->data[which];
	ssize_t got;

	if (at > index->size || length > index->size - at || length > INDEX_WINDOW)
		return NULL;
	if (at >= window->at && at - window->at <= window->length
		&& length <= window->length - (at - window->at))
		return data + (at - window->at);
	do
		got = pread(index->fd, data, INDEX_WINDOW, (off_t)at);
	while (got < 0 && errno == EINTR);
	window->at = at;
	window->length = got > 0 ? (size_t)got : 0;
	return window->length >= length ? data : NULL;
}

static size_t names_length(const struct index_record *record)
{
	return record->name_length
		+ (record->flags & INDEX_HASHED ? (size_t)record->unique_length : 0);
}

static bool record_is_sound(const struct index *index, const struct index_record *record)
{
	uint64_t names_at = INDEX_RECORDS_AT + index->header.capacity * sizeof(*record);

	return record->name_length >= 1 && record->name_length <= INDEX_NAME_MAX
		&& record->unique_length >= 1 && record->unique_length <= UNIQUE_ID_MAX
		&& ((record->flags & INDEX_HASHED)
			|| record->unique_length <= record->name_length)
		&& record->name_at >= names_at && record->name_at <= index->size
		&& names_length(record) <= index->size - record->name_at;
}

/* The other process may have added names since. */
static bool is_longer_now(struct index *index)
{
	uint64_t before = index->size;

	index->size = size_of(index->fd);
	return index->size > before;
}

int index_record(struct index *index, uint64_t number, struct index_record *record)
{
	const char *data;

	if (index->fd < 0 || number >= index->header.count)
		return -1;
	data = look(index, INDEX_OF_RECORDS, INDEX_RECORDS_AT + number * sizeof(*record),
		sizeof(*record));
	if (!data)
		return -1;
	memcpy(record, data, sizeof(*record));
	return record_is_sound(index, record)
			|| (is_longer_now(index) && record_is_sound(index, record))
		? 0
		: -1;
}

const char *index_names(
	struct index *index, const struct index_record *record, size_t *length)
{
	*length = names_length(record);
	return look(index, INDEX_OF_NAMES, record->name_at, *length);
}

int index_name(struct index *index, const struct index_record *record,
	char name[INDEX_NAME_MAX + 1])
{
	size_t length = record->name_length;
	const char *data = look(index, INDEX_OF_NAMES, record->name_at, length);

	if (!data || data[0] == '.' || memchr(data, '/', length)
		|| memchr(data, '\0', length))
		return -1;
	memcpy(name, data, length);
	name[length] = '\0';
	return 0;
}

#define EACH(octet) (UINT64_C(0x0101010101010101) * (octet))

/* Eight octets of which one is below 0x21 or above 0x7e: only the first such octet can borrow or carry. */
static bool any_is_bad(const char *text)
{
	uint64_t octets;

	memcpy(&octets, text, sizeof(octets));
	return ((octets - EACH(0x21)) | (octets + EACH(0x01)) | octets) & EACH(0x80);
}

bool index_is_unique_id(const char *text, size_t length)
{
	size_t i = 0;

	if (length < 1 || length > UNIQUE_ID_MAX)
		return false;
	for (; length - i >= 8; i += 8) {
		if (any_is_bad(text + i))
			return false;
	}
	for (; i < length; i++) {
		if (text[i] < 0x21 || text[i] > 0x7e)
			return false;
	}
	return true;
}

size_t index_unique_id(struct index *index, const struct index_record *record,
	char unique_id[UNIQUE_ID_MAX + 1])
{
	size_t length = record->unique_length;
	uint64_t at = record->name_at
		+ (record->flags & INDEX_HASHED ? (uint64_t)record->name_length : 0);
	const char *data = look(index, INDEX_OF_NAMES, at, length);

	if (!data || !index_is_unique_id(data, length))
		return 0;
	memcpy(unique_id, data, length);
	unique_id[length] = '\0';
	return length;
}

int index_verify(struct index *index)
{
	struct index_record record;
	uint64_t number, octets = 0;

	for (number = 0; number < index->header.count; number++) {
		const char *names;
		size_t length;

		if (index_record(index, number, &record) < 0)
			return -1;
		names = index_names(index, &record, &length);
		if (!names || record.check != index_record_check(&record, names, length))
			return -1;
		if ((record.flags & INDEX_IN_NEW) && number < index->header.first_new)
			return -1;
		octets += record.octets;
	}
	return octets == index->header.octets ? 0 : -1;
}
