/* Whole sessions: flags, how the client's octets come (a number, so many octets), then what it
 * sends.  The monitor is made of request_send() and reply_receive() here: the name that logs
 * in says what it does.  Replies are compared with what the commands call for. */
#include "fuzz.h"
#include "index_write.h"
#include "message.h"
#include "sandbox.h"
#include "session.h"
#include "slow.h"

#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The maildrop. */

#define MESSAGES 8
#define LARGE 33000

static char large[LARGE];

static struct {
	const char *text;
	size_t length;
	enum reply_status status; /* of a REQUEST_OPEN */
	uint64_t wrong;           /* so many octets more stand in the index */
	const char *unique_id;
	int fd;
} messages[MESSAGES] = {
	{"Subject: one\n\nbody\n.\n..\nlast\n", 30, REPLY_OK, 0, NULL, -1},
	{"Subject: two\r\n\r\n.dot\r\n\r\nno end", 30, REPLY_OK, 0, "hashed", -1},
	{"", 0, REPLY_OK, 0, NULL, -1},
	{"\0\r\r\n\n\r.\n.", 9, REPLY_OK, 0, NULL, -1},
	{large, LARGE, REPLY_OK, 0, NULL, -1},
	{"A: b\n\nlonger than it was\n", 25, REPLY_OK, 7, NULL, -1},
	{"gone", 4, REPLY_GONE, 0, NULL, -1},
	{"changed", 7, REPLY_CHANGED, 0, NULL, -1},
};

static struct index maildrop;
static int torn_index = -1; /* the same, but for a record that makes no sense */

static void make_messages(struct index_message added[MESSAGES])
{
	static char names[MESSAGES][20];
	size_t i;

	for (i = 0; i < LARGE; i++)
		large[i] = ".\n.."[i % 4];
	for (i = 0; i < MESSAGES; i++) {
		struct message_count count = MESSAGE_START;

		messages[i].fd = fuzz_file(-1, messages[i].text, messages[i].length);
		message_count(&count, messages[i].text, messages[i].length);
		snprintf(
			names[i], sizeof(names[i]), "%zu.host%s", i, i % 2 ? ":2,S" : "");
		added[i] = (struct index_message){.name = names[i],
			.unique_id = messages[i].unique_id,
			.octets = message_octets(&count) + messages[i].wrong,
			.size = messages[i].length};
	}
}

static void make_maildrop(void)
{
	struct index_message added[MESSAGES];
	struct index_update update = {.added = added, .added_count = MESSAGES};
	char copy[65536];
	ssize_t size;

	make_messages(added);
	maildrop.fd = -1;
	MUST(index_update(&maildrop, -1, &update) == 0);
	size = pread(maildrop.fd, copy, sizeof(copy), 0);
	memset(copy + INDEX_RECORDS_AT + 2 * sizeof(struct index_record), 0xff, 30);
	torn_index = fuzz_file(-1, copy, (size_t)size);
}

static int open_again(int fd)
{
	return open(fuzz_path(fd), O_RDONLY | O_CLOEXEC);
}

/* The monitor. */

static struct {
	bool apop, tls_is_broken;
	unsigned methods, challenges;
	bool greeted, entered, over, ended;
	bool dead;
	struct request asked;
	bool is_asked;
	struct request end;
	bool deleted[MESSAGES];
} monitor;

static const struct {
	const char *name;
	enum reply_status status;
} logins[] = {
	{"denied", REPLY_DENIED},
	{"last", REPLY_DENIED_LAST},
	{"inuse", REPLY_IN_USE},
	{"temporary", REPLY_TEMPORARY},
	{"permanent", REPLY_PERMANENT},
};

static enum reply_status login_status(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
		if (strcmp(name, logins[i].name) == 0)
			return logins[i].status;
	}
	return REPLY_OK;
}

#define NONCE "nonce"
#define SALT "c2FsdA=="

static void take_marks(const struct request *request)
{
	size_t i;

	MUST(request->number == 0);
	for (i = 0; i < 8 * REQUEST_MARKS; i++) {
		bool set = request->marks[i / 8] >> (i % 8) & 1;

		MUST(!set || i < MESSAGES);
		if (i < MESSAGES && request->kind == REQUEST_DELETED)
			monitor.deleted[i] = set;
	}
}

/* RFC 6750 s.2.1, slowly. */
static void check_token(const char *text)
{
	bool padded = false;
	const char *p;

	for (p = text; *p; p++) {
		MUST(isalnum((unsigned char)*p) || strchr("-._~+/=", *p));
		MUST(*p == '=' || !padded);
		padded = *p == '=';
	}
	MUST(*text && *text != '=');
}

int request_send(int socket, const struct request *request)
{
	MUST(socket == SANDBOX_MONITOR && !monitor.ended && !monitor.is_asked);
	if (monitor.dead)
		return -1;
	monitor.asked = *request;
	monitor.is_asked = true;
	switch (request->kind) {
	case REQUEST_STLS:
		MUST(!monitor.entered && !monitor.over);
		return 0;
	case REQUEST_CHALLENGE:
		MUST(!monitor.entered && !monitor.over);
		MUST(monitor.challenges++ < REQUEST_CHALLENGES);
		return 0;
	case REQUEST_TOKEN:
		MUST(!monitor.entered && !monitor.over);
		MUST(monitor.methods & AUTH_METHOD(request->login.method));
		MUST(auth_takes_token(request->login.method));
		MUST(memchr(request->login.user, '\0', REQUEST_TEXT_MAX));
		MUST(request->login.method == AUTH_OAUTHBEARER || *request->login.user);
		MUST(memchr(request->token.text, '\0', OAUTH_TOKEN_MAX));
		check_token(request->token.text);
		return 0;
	case REQUEST_SALT:
		MUST(monitor.challenges++ < REQUEST_CHALLENGES);
		MUST(auth_is_scram(request->login.method));
		/* fall through */
	case REQUEST_LOGIN:
	case REQUEST_PROOF:
		MUST(!monitor.entered && !monitor.over);
		MUST(memchr(request->login.user, '\0', REQUEST_TEXT_MAX));
		MUST(monitor.methods & AUTH_METHOD(request->login.method));
		if (auth_takes_password(request->login.method))
			MUST(memchr(request->login.secret, '\0', REQUEST_TEXT_MAX));
		if (request->kind == REQUEST_PROOF)
			MUST(auth_is_scram(request->login.method)
				&& memchr(
					request->proof.message, '\0', REQUEST_MESSAGE_MAX)
				&& strstr(request->proof.message,
					NONCE ",s=" SALT ",i=4096,c="));
		return 0;
	case REQUEST_OPEN:
	case REQUEST_RECOUNT:
		MUST(request->number < MESSAGES);
		break;
	case REQUEST_DELETED:
	case REQUEST_FETCHED:
		take_marks(request);
		break;
	case REQUEST_COMMIT:
		break;
	case REQUEST_END:
		MUST(request->end.reason < END_REASONS);
		monitor.end = *request;
		monitor.ended = true;
		return 0;
	default:
		MUST(!"a request that there is");
	}
	MUST(monitor.entered && !monitor.over);
	monitor.over = request->kind == REQUEST_COMMIT;
	monitor.is_asked
		= request->kind == REQUEST_OPEN || request->kind == REQUEST_COMMIT;
	return 0;
}

static void answer_salt(const char *name, struct reply *reply)
{
	if (strcmp(name, "nosalt") == 0)
		reply->status = REPLY_PERMANENT;
	strcpy(reply->salt.nonce, NONCE);
	strcpy(reply->salt.salt.text, SALT);
	reply->salt.salt.iterations = 4096;
}

static void answer_login(const char *name, struct reply *reply, int *fd)
{
	reply->status = login_status(name);
	monitor.over = reply->status != REPLY_OK && reply->status != REPLY_DENIED;
	if (reply->status != REPLY_OK)
		return;
	monitor.entered = true;
	reply->login.messages = MESSAGES + (strcmp(name, "more") == 0);
	reply->login.octets = maildrop.header.octets;
	if (strcmp(name, "torn") == 0)
		*fd = open_again(torn_index);
	else if (strcmp(name, "garbage") == 0)
		*fd = open_again(messages[0].fd);
	else if (strcmp(name, "nothing") != 0)
		*fd = open_again(maildrop.fd);
}

static void answer_commit(struct reply *reply)
{
	size_t i;

	for (i = 0; i < MESSAGES; i++)
		reply->commit.deleted += monitor.deleted[i];
	reply->commit.failed = monitor.deleted[6];
	reply->commit.left = MESSAGES - reply->commit.deleted;
}

int reply_receive(int socket, struct reply *reply, int *fd)
{
	const struct request *asked = &monitor.asked;

	MUST(socket == SANDBOX_MONITOR);
	memset(reply, 0, sizeof(*reply));
	if (fd)
		*fd = -1;
	if (!monitor.greeted) {
		monitor.greeted = true;
		strcpy(reply->hello.timestamp, monitor.apop ? "<1.2.3@host>" : "");
		reply->hello.methods = monitor.methods;
		reply->hello.challenges = REQUEST_CHALLENGES;
		return 0;
	}
	MUST(monitor.is_asked);
	monitor.is_asked = false;
	if ((asked->kind == REQUEST_LOGIN || asked->kind == REQUEST_SALT
		    || asked->kind == REQUEST_TOKEN)
		&& strcmp(asked->login.user, "dead") == 0)
		monitor.dead = true;
	if (monitor.dead)
		return -1;
	if (asked->kind == REQUEST_STLS)
		reply->status = monitor.tls_is_broken ? REPLY_PERMANENT : REPLY_OK;
	else if (asked->kind == REQUEST_CHALLENGE)
		strcpy(reply->challenge, "<1@host>");
	else if (asked->kind == REQUEST_SALT)
		answer_salt(asked->login.user, reply);
	else if (asked->kind == REQUEST_LOGIN || asked->kind == REQUEST_PROOF
		|| asked->kind == REQUEST_TOKEN)
		answer_login(asked->login.user, reply, fd);
	else if (asked->kind == REQUEST_COMMIT)
		answer_commit(reply);
	else if ((reply->status = messages[asked->number].status) == REPLY_OK)
		*fd = open_again(messages[asked->number].fd);
	return 0;
}

int reply_receive_files(int socket, struct reply *reply, int *files, size_t *count)
{
	const struct request asked = monitor.asked;

	*count = 0;
	if (reply_receive(socket, reply, files) < 0)
		return -1;
	MUST(asked.kind == REQUEST_OPEN && asked.ahead < REQUEST_FILES);
	MUST(asked.number + asked.ahead < MESSAGES);
	if (files[0] < 0)
		return 0;
	for (*count = 1; *count <= asked.ahead; ++*count) {
		size_t number = asked.number + *count;

		if (messages[number].status != REPLY_OK)
			break;
		files[*count] = open_again(messages[number].fd);
	}
	return 0;
}

/* The client. */

static struct {
	int socket;
	struct pieces pieces;
	char *text;
	size_t length, sent;
	bool hung_up;
	char *replies; /* all that came */
	size_t used, room;
} client;

static int64_t clock_ms;

int __wrap_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
	(void)id;
	now->tv_sec = clock_ms / 1000;
	now->tv_nsec = clock_ms % 1000 * 1000000;
	return 0;
}

static void hear(void)
{
	ssize_t got;

	if (client.hung_up)
		return;
	do {
		if (client.room - client.used < 65536)
			client.replies = realloc(client.replies, client.room += 1 << 18);
		got = recv(
			client.socket, client.replies + client.used, 65536, MSG_DONTWAIT);
		client.used += got > 0 ? (size_t)got : 0;
	} while (got > 0);
}

/* Returns false where nothing comes. */
static bool say(void)
{
	size_t length, left = client.length - client.sent;
	unsigned piece = pieces_next(&client.pieces, left, &length);

	if (left == 0) {
		shutdown(client.socket, SHUT_WR);
		return true;
	}
	if (piece == PIECE_PAUSE) {
		clock_ms += 20000;
		return false;
	}
	if (piece == PIECE_HANG_UP) {
		shutdown(client.socket, SHUT_RDWR);
		client.hung_up = true;
		return true;
	}
	MUST(write(client.socket, client.text + client.sent, length) == (ssize_t)length);
	client.sent += length;
	return length > 0;
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	nfds_t i;

	MUST(timeout >= 0);
	hear();
	for (i = 0; i < count; i++)
		fds[i].revents = 0;
	if (monitor.dead && count > 1 && fds[1].fd >= 0)
		fds[1].revents = POLLHUP;
	else if (!(fds[0].events & POLLOUT) && !client.hung_up && !say())
		return 0;
	fds[0].revents = fds[0].events;
	return 1;
}

/* What the replies have to be. */

struct expected {
	const char *at, *end; /* what is left of the replies */
	bool deleted[MESSAGES];
	bool stls; /* TLS begins */
	bool auth; /* the next line is a response */
};

static bool is_cut_off(void)
{
	return !monitor.ended || monitor.end.end.reason != END_QUIT;
}

/* The next line, which has to end in CR LF; NULL where there is none. */
static const char *next_line(struct expected *e, size_t *length)
{
	const char *first = e->at;
	const char *lf = memchr(first, '\n', (size_t)(e->end - first));

	if (!lf)
		return NULL;
	MUST(lf > first && lf[-1] == '\r');
	*length = (size_t)(lf - first) - 1;
	e->at = lf + 1;
	return first;
}

/* The lines of a multi-line response up to its end; false where it is cut off. */
static bool skip_lines(struct expected *e, size_t *count)
{
	const char *line;
	size_t length;

	for (*count = 0; (line = next_line(e, &length)) != NULL; ++*count) {
		if (length == 1 && *line == '.')
			return true;
		MUST(length == 0 || *line != '.' || line[1] == '.');
	}
	MUST(is_cut_off());
	return false;
}

/* RETR and TOP: the message itself. */
static void check_message(
	const char *first, const char *end, size_t number, const char *lines)
{
	size_t length = messages[number].length, made;
	uint64_t octets;
	char *want;

	if (lines)
		length = slow_top(
			messages[number].text, length, strtoull(lines, NULL, 10));
	want = malloc(2 * length + 5);
	made = slow_stuff(messages[number].text, length, want, &octets);
	MUST((size_t)(end - first) == made && memcmp(first, want, made) == 0);
	free(want);
}

static size_t left(const struct expected *e)
{
	size_t i, count = 0;

	for (i = 0; i < MESSAGES; i++)
		count += !e->deleted[i];
	return count;
}

/* What follows +OK; false where it is cut off. */
static bool check_ok(struct expected *e, const char *keyword, char *words)
{
	const char *first = e->at;
	char *second = strchr(words, ' ');
	size_t count, number = strtoul(words, NULL, 10) - 1;
	bool whole,
		listing
		= strcasecmp(keyword, "LIST") == 0 || strcasecmp(keyword, "UIDL") == 0;

	if (strcasecmp(keyword, "DELE") == 0) {
		MUST(number < MESSAGES && !e->deleted[number]);
		e->deleted[number] = true;
	}
	e->stls |= strcasecmp(keyword, "STLS") == 0;
	if (strcasecmp(keyword, "RSET") == 0)
		memset(e->deleted, 0, sizeof(e->deleted));
	if (strcasecmp(keyword, "RETR") == 0 || strcasecmp(keyword, "TOP") == 0) {
		MUST(number < MESSAGES && !e->deleted[number]);
		whole = skip_lines(e, &count);
		if (whole)
			check_message(first, e->at, number, second);
		return whole;
	}
	listing |= strcasecmp(keyword, "AUTH") == 0;
	if (strcasecmp(keyword, "CAPA") != 0 && !(listing && *words == '\0'))
		return true;
	whole = skip_lines(e, &count);
	MUST(!listing || !whole || strcasecmp(keyword, "AUTH") == 0 || count == left(e));
	return whole;
}

/* What follows the +OK to a response: nothing. */
static bool is_response(struct expected *e)
{
	bool was = e->auth;

	e->auth = false;
	return was;
}

/* The reply to one line of so many octets; false where there is no more. */
static bool check_reply(struct expected *e, char *line, size_t taken)
{
	char *end = line + strlen(line), *space;
	const char *reply;
	size_t length;

	reply = next_line(e, &length);
	if (!reply)
		return false;
	/* But for challenges: RFC 5034 s.4. */
	MUST((length <= 510 || *reply == '+') && !memchr(reply, '\0', length));
	if (length >= 2 && memcmp(reply, "+ ", 2) == 0) {
		MUST(e->auth || strncasecmp(line, "AUTH ", 5) == 0);
		e->auth = true;
		return true;
	}
	if (length >= 4 && memcmp(reply, "-ERR", 4) == 0) {
		e->auth = false;
		return true;
	}
	MUST(length >= 4 && memcmp(reply, "+OK ", 4) == 0 && !slow_is_bad(line));
	if (is_response(e))
		return true;
	MUST(taken <= WIRE_LINE_MAX || strncasecmp(line, "AUTH ", 5) == 0);
	while (end > line && end[-1] == ' ')
		*--end = '\0';
	space = strchr(line, ' ');
	if (space)
		*space++ = '\0';
	return check_ok(e, line, space ? space : end);
}

static void check_replies(void)
{
	struct expected e
		= {client.replies, client.replies + client.used, {false}, false, false};
	const char *at = client.text;
	size_t left_over = client.sent, taken, length;
	static char line[SLOW_LINE_MAX + 1];
	bool more = next_line(&e, &length) != NULL;

	MUST(more || client.hung_up);
	while (more && (taken = slow_line(at, left_over, line)) > 0) {
		at += taken;
		left_over -= taken;
		more = check_reply(&e, line, taken);
		/* Nothing that came in the clear is left for the session with TLS. */
		MUST(!e.stls || left_over == 0 || client.sent > WIRE_INPUT);
	}
	if (client.hung_up)
		return;
	/* Everything is answered, unless the session ended before. */
	MUST(more || !monitor.ended || monitor.end.end.reason != END_CLOSED);
	if (monitor.ended && monitor.end.end.reason != END_UNREADABLE)
		MUST(e.at == e.end);
	if (monitor.over && monitor.entered && monitor.ended)
		MUST(memcmp(e.deleted, monitor.deleted, sizeof(e.deleted)) == 0);
}

/* A session. */

static void run(bool local, bool has_tls)
{
	static char hostname[] = "host", scope[] = "scope", url[] = "https://host/";
	struct conf conf = {.hostname = hostname,
		.plaintext = {{.kind = NETWORK_LOCAL}},
		.plaintext_count = 1,
		.certificate_count = has_tls,
		.oauth_scope = scope,
		.oauth_discovery = url,
		.auth_timeout = 60,
		.idle_timeout = 600};
	struct peer peer = {"127.0.0.1", {.local = local}};
	struct session_start start = {.conf = &conf,
		.peer = &peer,
		.ends = {SANDBOX_IN, SANDBOX_OUT, true, true},
		.deadline = wire_now() + 60000};

	session_run(&start);
}

static void connect_client(void)
{
	int pair[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){8192}, sizeof(int));
	MUST(dup2(pair[0], SANDBOX_IN) >= 0 && dup2(pair[0], SANDBOX_OUT) >= 0);
	close(pair[0]);
	client.socket = pair[1];
	client.used = 0;
	client.hung_up = false;
	client.sent = 0;
}

/* The session's descriptors are kept free of others. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	int null = open("/dev/null", O_RDWR);

	(void)argc, (void)argv;
	MUST(null <= SANDBOX_MONITOR && dup2(null, SANDBOX_MONITOR) >= 0);
	make_maildrop();
	fuzz_reset();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	unsigned flags = input_octet(&input);
	uint64_t fds, left;

	fuzz_reset();
	memset(&monitor, 0, sizeof(monitor));
	monitor.apop = flags & 1;
	monitor.methods = flags & 16 ? AUTH_METHOD(AUTH_PASS) | AUTH_METHOD(AUTH_APOP)
				     : AUTH_METHOD(AUTH_METHODS) - 1;
	monitor.tls_is_broken = flags & 8;
	client.pieces = input_pieces(&input);
	client.text = input_text(&input, &client.length);
	connect_client();
	fds = fuzz_fds();
	run(!(flags & 2), flags & 4);
	hear();
	check_replies();
	/* The index, and nothing else, stays open to the end of the process. */
	left = fuzz_fds() ^ fds;
	if (left != 0)
		close(__builtin_ctzll(left));
	MUST(fuzz_fds() == fds);
	close(client.socket);
	free(client.text);
	return 0;
}
