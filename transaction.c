/* TRANSACTION and UPDATE: the commands on the maildrop, RFC 1939 sections 5 to 7.  Runs in
 * the session, which reads the index and sends messages; the monitor opens and removes
 * them. */
#include "command.h"
#include "marks.h"
#include "message.h"

#include <string.h>
#include <unistd.h>

bool transaction_enter(struct session *s, const struct reply *reply, int fd)
{
	if (fd < 0 || index_open(&s->index, fd) < 0)
		return false;
	s->count = s->index.header.count;
	s->octets = s->index.header.octets;
	if (s->count != reply->login.messages || s->octets != reply->login.octets)
		return false;
	s->least = s->most = reply->login.terms;
	s->marks_size = marks_size(s->count);
	s->deleted_marks = marks_new(s->marks_size);
	s->fetched_marks = marks_new(s->marks_size);
	return s->deleted_marks && s->fetched_marks;
}

/* Message-numbers: 1-based on the wire, 0-based everywhere else, converted here. */

static bool parse_number(const char *text, uint64_t *number)
{
	*number = 0;
	if (*text == '\0')
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		if (*number < UINT64_MAX / 16)
			*number = *number * 10 + (uint64_t)(*text - '0');
	}
	return true;
}

/* Has the monitor look at a message whose size or record is not right. */
static void report_message(struct session *s, uint64_t number)
{
	request_send(s->monitor,
		&(struct request){.kind = REQUEST_RECOUNT, .number = (uint32_t)number});
}

static enum next broken_index(struct session *s, uint64_t number)
{
	report_message(s, number);
	return reply_err(s, CODE_SYS_TEMP, TEXT_BROKEN_INDEX, 0, 0);
}

/* The message that an argument names, and its record; false, and the reply is given, where
 * there is none that is not deleted. */
static bool get_message(struct session *s, const char *text, uint64_t *number,
	struct index_record *record)
{
	if (!parse_number(text, number))
		reply_err(s, CODE_NONE, TEXT_NOT_A_NUMBER, 0, 0);
	else if (*number < 1 || *number > s->count)
		reply_err(s, CODE_NONE, TEXT_NO_MESSAGE, s->count, 0);
	else if (marks_has(s->deleted_marks, *number - 1))
		reply_err(s, CODE_NONE, TEXT_IS_DELETED, *number, 0);
	else if (index_record(&s->index, --*number, record) < 0)
		broken_index(s, *number);
	else
		return true;
	return false;
}

/* Room for a line of a listing and the termination octet after it, so that these are
 * never sent apart: Thunderbird waits for more then. */
#define LISTING_ROOM 128

/* A line of LIST or UIDL.  Returns what is behind it, or NULL where the index is
 * broken. */
static char *make_line(struct session *s, char *out, uint64_t number,
	const struct index_record *record, bool unique)
{
	size_t length;

	out = wire_digits(out, number + 1);
	*out++ = ' ';
	if (!unique) {
		out = wire_digits(out, record->octets);
	} else {
		length = index_unique_id(&s->index, record, out);
		if (length == 0)
			return NULL;
		out += length;
	}
	*out++ = '\r';
	*out++ = '\n';
	return out;
}

enum next cmd_stat(struct session *s, const struct arguments *arguments)
{
	(void)arguments;
	wire_string(&s->wire, "+OK ");
	wire_number(&s->wire, s->count - s->deleted_count);
	wire_string(&s->wire, " ");
	wire_number(&s->wire, s->octets - s->deleted_octets);
	wire_string(&s->wire, "\r\n");
	return NEXT_COMMAND;
}

/* In the midst of a message or a listing there is no reply left but to close. */
static enum next cut_off(struct session *s)
{
	bool open = s->wire.state == WIRE_OPEN || s->wire.state == WIRE_CLOSED;

	return reply_end(s, open ? END_UNREADABLE : end_of_wire(s->wire.state));
}

static bool put_message(struct session *s, uint64_t number, bool unique)
{
	char *line = wire_room(&s->wire, LISTING_ROOM), *end;
	struct index_record record;

	if (!line)
		return false;
	if (index_record(&s->index, number, &record) < 0
		|| !(end = make_line(s, line, number, &record, unique))) {
		report_message(s, number);
		return false;
	}
	wire_wrote(&s->wire, (size_t)(end - line));
	return true;
}

static enum next list_all(struct session *s, bool unique)
{
	uint64_t number;

	for (number = 0; number < s->count; number++) {
		if (!marks_has(s->deleted_marks, number)
			&& !put_message(s, number, unique))
			return cut_off(s);
	}
	wire_string(&s->wire, ".\r\n");
	return NEXT_COMMAND;
}

static enum next list_one(struct session *s, const char *argument, bool unique)
{
	char line[LISTING_ROOM], *end;
	struct index_record record;
	uint64_t number;

	if (!get_message(s, argument, &number, &record))
		return NEXT_COMMAND;
	end = make_line(s, line, number, &record, unique);
	if (!end)
		return broken_index(s, number);
	wire_string(&s->wire, "+OK ");
	wire_write(&s->wire, line, (size_t)(end - line));
	return NEXT_COMMAND;
}

enum next cmd_list(struct session *s, const struct arguments *arguments)
{
	if (arguments->count == 1)
		return list_one(s, arguments->word[0], false);
	reply_ok(s, TEXT_SCAN_LISTING, s->count - s->deleted_count,
		s->octets - s->deleted_octets);
	return list_all(s, false);
}

enum next cmd_uidl(struct session *s, const struct arguments *arguments)
{
	if (arguments->count == 1)
		return list_one(s, arguments->word[0], true);
	reply_ok(s, TEXT_UNIQUE_IDS, 0, 0);
	return list_all(s, true);
}

/* The next of those that are open already. */
static int take_ahead(struct session *s)
{
	s->ahead_number++;
	return s->ahead[s->ahead_at++];
}

void transaction_leave(struct session *s)
{
	while (s->ahead_at < s->ahead_count)
		close(take_ahead(s));
}

/* How many more are to be opened with this one: twice as many as last time while they are taken one
 * after the other, and none where they are not. */
static uint32_t choose_ahead(const struct session *s, uint64_t number)
{
	uint64_t behind = s->count - number - 1;
	uint32_t most = 2 * s->ahead_most + 1;

	if (number == 0 || number != s->ahead_number)
		return 0;
	if (most > REQUEST_FILES - 1)
		most = REQUEST_FILES - 1;
	return most < behind ? most : (uint32_t)behind;
}

/* What of a message was read last. */
#define BLOCK 32768
static char block[BLOCK];

/* Reads the first octets of a message that was opened before it was asked for: false where it is not
 * as long as it was.  A read that falls short says so itself. */
static bool read_first(int fd, uint64_t size, ssize_t *got)
{
	if (size >= BLOCK && lseek(fd, (off_t)(0 - size), SEEK_END) != 0)
		return false;
	*got = read(fd, block, BLOCK);
	return size < BLOCK ? *got == (ssize_t)size : *got == BLOCK;
}

/* The descriptor of a message, whose first octets are in the block; -1, and the reply is given,
 * where it can't be had. */
static int open_message(struct session *s, uint64_t number, uint64_t size, ssize_t *got)
{
	struct request request = {.kind = REQUEST_OPEN, .number = (uint32_t)number};
	struct reply reply;
	int fd;

	while (s->ahead_at < s->ahead_count && s->ahead_number < number)
		close(take_ahead(s));
	if (s->ahead_at < s->ahead_count && s->ahead_number == number) {
		fd = take_ahead(s);
		if (read_first(fd, size, got))
			return fd;
		close(fd);
	}
	request.ahead = s->ahead_most = choose_ahead(s, number);
	transaction_leave(s);
	s->ahead_number = number;
	s->ahead_at = 0;
	if (request_send(s->monitor, &request) < 0
		|| reply_receive_files(s->monitor, &reply, s->ahead, &s->ahead_count) < 0)
		reply.status = REPLY_TEMPORARY;
	else if (reply.status == REPLY_OK && s->ahead_count > 0) {
		fd = take_ahead(s);
		*got = read(fd, block, BLOCK);
		if (*got >= 0)
			return fd;
		close(fd);
	}
	transaction_leave(s);
	if (reply.status == REPLY_GONE)
		reply_err(s, CODE_SYS_TEMP, TEXT_GONE, number + 1, 0);
	else if (reply.status == REPLY_CHANGED)
		reply_err(s, CODE_SYS_TEMP, TEXT_CHANGED, number + 1, 0);
	else
		reply_err(s, CODE_SYS_TEMP, TEXT_UNREADABLE, number + 1, 0);
	return -1;
}

/* Sends a message of so many octets (a guess: it is read to its end), or the top of it, the first of
 * it being in the block.  Fills in its octets on the wire, or returns false where it could not be sent
 * to its end. */
static bool send_message(struct session *s, int fd, ssize_t got, struct message_top *top,
	uint64_t expected, uint64_t *octets)
{
	struct message_stuffing stuffing = MESSAGE_STUFFING_START;
	uint64_t sent = 0;
	size_t made;
	char *out;

	while (got > 0) {
		size_t wanted = (size_t)got;

		if (top)
			wanted = message_top(top, block, wanted);
		/* The end of the message finds room behind its last line. */
		out = wire_room(&s->wire, 2 * wanted + MESSAGE_END_MAX);
		if (!out)
			return false;
		made = message_stuff(&stuffing, block, wanted, out);
		wire_wrote(&s->wire, made);
		sent += made;
		if (top && top->done)
			break;
		/* A read that fell short, and all is there: no other one has to say so. */
		if (got < BLOCK
			&& sent - stuffing.dots + message_missing(&stuffing) == expected)
			break;
		got = read(fd, block, BLOCK);
	}
	out = wire_room(&s->wire, MESSAGE_END_MAX);
	if (got < 0 || !out)
		return false;
	made = message_end(&stuffing, out);
	wire_wrote(&s->wire, made);
	*octets = sent + made - stuffing.dots - 3;
	return true;
}

enum next cmd_retr(struct session *s, const struct arguments *arguments)
{
	struct index_record record;
	uint64_t number, octets = 0;
	ssize_t got;
	bool whole;
	int fd;

	if (!get_message(s, arguments->word[0], &number, &record)
		|| (fd = open_message(s, number, record.size, &got)) < 0)
		return NEXT_COMMAND;
	reply_ok(s, TEXT_OCTETS, record.octets, 0);
	whole = send_message(s, fd, got, NULL, record.octets, &octets);
	close(fd);
	if (!whole)
		return cut_off(s);
	if (octets != record.octets)
		report_message(s, number);
	marks_set(s->fetched_marks, number);
	s->fetched++;
	s->fetched_octets += octets;
	return NEXT_COMMAND;
}

enum next cmd_top(struct session *s, const struct arguments *arguments)
{
	struct message_top top = {0};
	struct index_record record;
	uint64_t number, octets;
	ssize_t got;
	bool whole;
	int fd;

	if (!parse_number(arguments->word[1], &top.lines))
		return reply_err(s, CODE_NONE, TEXT_NOT_A_COUNT, 0, 0);
	if (!get_message(s, arguments->word[0], &number, &record)
		|| (fd = open_message(s, number, record.size, &got)) < 0)
		return NEXT_COMMAND;
	reply_ok(s, TEXT_TOP, 0, 0);
	whole = send_message(s, fd, got, &top, UINT64_MAX, &octets);
	close(fd);
	return whole ? NEXT_COMMAND : cut_off(s);
}

enum next cmd_dele(struct session *s, const struct arguments *arguments)
{
	struct index_record record;
	uint64_t number;

	if (!get_message(s, arguments->word[0], &number, &record))
		return NEXT_COMMAND;
	marks_set(s->deleted_marks, number);
	s->deleted_count++;
	s->deleted_octets += record.octets;
	return reply_ok(s, TEXT_MARKED, number + 1, 0);
}

enum next cmd_noop(struct session *s, const struct arguments *arguments)
{
	(void)arguments;
	return reply_ok(s, TEXT_NOTHING_DONE, 0, 0);
}

enum next cmd_rset(struct session *s, const struct arguments *arguments)
{
	(void)arguments;
	if (s->deleted_count > 0)
		marks_clear(s->deleted_marks, s->marks_size);
	s->deleted_count = s->deleted_octets = 0;
	return reply_ok(s, TEXT_RESET, s->count, s->octets);
}

/* UPDATE. */

/* Sends the marks that there are, a piece at a time. */
static int send_marks(
	struct session *s, enum request_kind kind, const unsigned char *marks)
{
	static const unsigned char none[REQUEST_MARKS];
	size_t at;

	for (at = 0; at < s->marks_size; at += REQUEST_MARKS) {
		struct request request
			= {.kind = kind, .number = (uint32_t)(at / REQUEST_MARKS)};
		size_t length = s->marks_size - at;

		if (length > REQUEST_MARKS)
			length = REQUEST_MARKS;
		if (memcmp(marks + at, none, length) == 0)
			continue;
		memcpy(request.marks, marks + at, length);
		if (request_send(s->monitor, &request) < 0)
			return -1;
	}
	return 0;
}

static enum next quit_transaction(struct session *s)
{
	struct request request = {.kind = REQUEST_COMMIT};
	struct reply reply;

	/* On NFS, what is open is not removed but renamed. */
	transaction_leave(s);
	/* A client that has gone before it got its messages has not seen them. */
	if ((s->deleted_count > 0 || (s->fetched > 0 && s->most.expire == 0))
		&& !wire_flush(&s->wire))
		return cut_off(s);
	if ((s->deleted_count > 0 && send_marks(s, REQUEST_DELETED, s->deleted_marks) < 0)
		|| (s->fetched > 0
			&& send_marks(s, REQUEST_FETCHED, s->fetched_marks) < 0)
		|| request_send(s->monitor, &request) < 0
		|| reply_receive(s->monitor, &reply, NULL) < 0) {
		reply_err(s, CODE_SYS_TEMP,
			s->deleted_count ? TEXT_NOT_REMOVED : TEXT_TEMPORARY,
			s->deleted_count, s->deleted_count);
		return reply_end(s, END_MONITOR);
	}
	if (reply.commit.failed > 0)
		reply_err(s, CODE_SYS_TEMP, TEXT_NOT_REMOVED, reply.commit.failed,
			reply.commit.failed + reply.commit.deleted);
	else if (reply.commit.left == 0)
		reply_ok(s, TEXT_GOODBYE_EMPTY, 0, 0);
	else
		reply_ok(s, TEXT_GOODBYE_LEFT, reply.commit.left, 0);
	return reply_end(s, END_QUIT);
}

enum next cmd_quit(struct session *s, const struct arguments *arguments)
{
	(void)arguments;
	if (s->state == STATE_TRANSACTION)
		return quit_transaction(s);
	reply_ok(s, TEXT_GOODBYE, 0, 0);
	return reply_end(s, END_QUIT);
}
