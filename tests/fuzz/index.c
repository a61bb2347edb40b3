/* Index files: flags, a number, then the file.  Flags have the header, the records' checks and
 * the sum of octets made right, so that what stands behind them is reached; let the file
 * shrink while it is open; or have it changed (in place or, where that can't be, anew). */
#include "fuzz.h"
#include "index_write.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	REPAIR_HEADER = 1,
	REPAIR_RECORDS = 2, /* their checks, and the sum */
	REPAIR_CAPACITY = 4,
	SHRINK = 8,
	AMEND = 16,
	UPDATE = 32
};

/* The whole file; the header and the records have to be looked at by way of copies. */
struct file {
	char *data;
	size_t size;
};

static struct index_header header_of(const struct file *file)
{
	struct index_header header = {0};

	memcpy(&header, file->data,
		file->size < sizeof(header) ? file->size : sizeof(header));
	return header;
}

/* Where record `number` is; NULL where the file does not have it. */
static char *record_at(const struct file *file, uint64_t number)
{
	uint64_t at = INDEX_RECORDS_AT + number * sizeof(struct index_record);

	if (number > file->size || at + sizeof(struct index_record) > file->size)
		return NULL;
	return file->data + at;
}

/* Record `number` where it makes sense, and its names. */
static const char *names_of(
	const struct file *file, uint64_t number, struct index_record *record)
{
	struct index_header header = header_of(file);
	const char *at = record_at(file, number);
	uint64_t length;

	if (!at || number >= header.count)
		return NULL;
	memcpy(record, at, sizeof(*record));
	length = record->name_length;
	if (record->flags & INDEX_HASHED)
		length += record->unique_length;
	else if (record->unique_length > record->name_length)
		return NULL;
	if (record->name_length < 1 || record->name_length > INDEX_NAME_MAX
		|| record->unique_length < 1 || record->unique_length > UNIQUE_ID_MAX
		|| record->name_at
			< INDEX_RECORDS_AT + header.capacity * sizeof(struct index_record)
		|| record->name_at > file->size || length > file->size - record->name_at)
		return NULL;
	return file->data + record->name_at;
}

static size_t names_length(const struct index_record *record)
{
	return record->name_length
		+ (record->flags & INDEX_HASHED ? (size_t)record->unique_length : 0);
}

static uint64_t repair_records(struct file *file)
{
	struct index_record record;
	uint64_t number, octets = 0;
	const char *names;

	for (number = 0; (names = names_of(file, number, &record)) != NULL; number++) {
		record.check = index_record_check(&record, names, names_length(&record));
		memcpy(record_at(file, number), &record, sizeof(record));
		octets += record.octets;
	}
	return octets;
}

static void repair(struct file *file, unsigned flags)
{
	struct index_header header = header_of(file);

	if (file->size < sizeof(header))
		return;
	if (flags & REPAIR_CAPACITY) {
		header.count %= 5;
		header.capacity = header.count + header.capacity % 3;
		memcpy(file->data, &header, sizeof(header));
	}
	if (flags & REPAIR_RECORDS)
		header.octets = repair_records(file);
	if (flags & REPAIR_HEADER) {
		memcpy(header.magic, INDEX_MAGIC, sizeof(header.magic));
		header.byte_order = INDEX_BYTE_ORDER;
		header.record_size = sizeof(struct index_record);
		header.check = index_header_check(&header);
	}
	memcpy(file->data, &header, sizeof(header));
}

/* A record that was given out is in the file, and names are what names may be. */
static void check_record(struct index *index, const struct file *file, uint64_t number)
{
	char name[INDEX_NAME_MAX + 1], unique_id[UNIQUE_ID_MAX + 1];
	struct index_record record, want;
	const char *names = names_of(file, number, &want), *got;
	size_t length, i;

	MUST((index_record(index, number, &record) == 0) == (names != NULL));
	if (!names)
		return;
	MUST(memcmp(&record, &want, sizeof(record)) == 0);
	got = index_names(index, &record, &length);
	MUST(got && length == names_length(&want) && memcmp(got, names, length) == 0);
	if (index_name(index, &record, name) == 0) {
		MUST(strlen(name) == want.name_length && name[0] != '.');
		MUST(!strchr(name, '/') && memcmp(name, names, strlen(name)) == 0);
	}
	length = index_unique_id(index, &record, unique_id);
	MUST(length == 0 || length == want.unique_length);
	for (i = 0; i < length; i++)
		MUST(unique_id[i] >= 0x21 && unique_id[i] <= 0x7e);
	MUST(length == 0 || unique_id[length] == '\0');
	names += want.flags & INDEX_HASHED ? want.name_length : 0;
	MUST(memcmp(unique_id, names, length) == 0);
}

static bool is_right(const struct file *file)
{
	struct index_header header = header_of(file);
	uint64_t number, octets = 0;

	for (number = 0; number < header.count; number++) {
		struct index_record record;
		const char *names = names_of(file, number, &record);

		if (!names
			|| record.check
				!= index_record_check(
					&record, names, names_length(&record))
			|| ((record.flags & INDEX_IN_NEW) && number < header.first_new))
			return false;
		octets += record.octets;
	}
	return octets == header.octets;
}

/* Reads without comparing: the file is no longer what it was. */
static void read_all(struct index *index)
{
	char name[INDEX_NAME_MAX + 1], unique_id[UNIQUE_ID_MAX + 1];
	struct index_record record;
	uint64_t number;
	size_t length;

	for (number = 0; number < index->header.count && number < 100; number++) {
		if (index_record(index, number, &record) < 0)
			continue;
		index_names(index, &record, &length);
		index_name(index, &record, name);
		index_unique_id(index, &record, unique_id);
	}
	index_verify(index);
}

static void change(struct index *index, uint64_t number, unsigned flags)
{
	struct index_message added[] = {
		{"2000000000.M1P1.host:2,S", NULL, false, 1, 1},
		{"2000000001.M1P1.host", "0123456789abcdef", true, 2, 2},
	};
	struct index_change changes[] = {
		{number, INDEX_RENAMED, "1.another:2,RS", true, 0, 0, 0},
		{number, INDEX_RESIZED, NULL, false, 100, 99, 0},
	};
	struct index_update update
		= {.changes = changes, .change_count = 1 + number % 2, .added = added};
	bool right = !(flags & SHRINK) && index_verify(index) == 0;
	uint64_t count = index->header.count;

	struct index_record record;

	if (number >= count)
		update.change_count = 0;
	/* A new name has the base, and so the unique-id, of the old one. */
	else if (index_record(index, number, &record) < 0
		|| (!(record.flags & INDEX_HASHED)
			&& record.unique_length > strlen("1.another:2,RS")))
		right = false;
	if (flags & UPDATE) {
		if (number % 3 == 0)
			changes[0].kind = INDEX_GONE, update.change_count %= 2;
		count -= update.change_count > 0 && changes[0].kind == INDEX_GONE;
		update.added_count = 2;
		count += 2;
	}
	if ((flags & UPDATE ? index_update(index, -1, &update)
			    : index_amend(index, &update))
		< 0)
		MUST(!right);
	else if (right)
		MUST(index_verify(index) == 0 && index->header.count == count);
}

static void look(int fd, const struct file *file, uint64_t number, unsigned flags)
{
	static struct index index;
	uint64_t i;

	if (index_open(&index, fd) < 0)
		return;
	if (flags & SHRINK) {
		index_record(&index, 0, &(struct index_record){0});
		MUST(ftruncate(fd, (off_t)(file->size * number / 256)) == 0);
		read_all(&index);
	} else {
		for (i = 0; i <= index.header.count; i++)
			check_record(&index, file, i);
		check_record(&index, file, number);
		MUST((index_verify(&index) == 0) == is_right(file));
	}
	if (flags & (AMEND | UPDATE)) {
		change(&index, number, flags);
		read_all(&index);
	}
	index_close(&index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	unsigned flags = input_octet(&input), number = input_octet(&input);
	struct file file;
	uint64_t fds = fuzz_fds();

	fuzz_reset();
	file.data = input_text(&input, &file.size);
	repair(&file, flags);
	look(fuzz_file(-1, file.data, file.size), &file, number, flags);
	MUST(fuzz_fds() == fds);
	free(file.data);
	return 0;
}
