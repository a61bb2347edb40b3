/* What a session that was taken over may ask of the monitor: flags, then requests and, between
 * them, what other programs do to the Maildir.  Each begins with an octet, see step().  Flags
 * say what index is there at the login.  Replies must be replies, with nothing but descriptors
 * of the index and of messages, which can only be read; log lines must be lines; and all
 * that was opened must be closed. */
#include "fuzz.h"
#include "maildrop.h"
#include "monitor.h"
#include "pam.h"
#include "program.h"
#include "sandbox.h"
#include "stamp.h"

#include <crypt.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What is not done here: giving up rights, waiting, killing, hashing, TLS. */

int sandbox_maildir(const char *path);

static bool tls_is_broken, tls_is_loaded, forgotten;

int sandbox_become(const struct account *account, const char *name)
{
	MUST(account->uid != 0 && *name && (forgotten || !tls_is_loaded));
	return 0;
}

int sandbox_maildir(const char *path)
{
	MUST(path[0] == '/');
	return 0;
}

void sandbox_checker(const struct sandbox_user *user, int socket, unsigned seconds)
{
	(void)user, (void)socket, (void)seconds;
	MUST(!"there is no process that checks");
}

enum auth_verdict pam_ask(const struct auth_attempt *attempt,
	const struct conf_users *source, struct account *account, char *reason)
{
	(void)attempt, (void)source, (void)account, (void)reason;
	MUST(!"there is no PAM");
	return AUTH_UNSURE;
}

void pam_finish(void)
{
}

unsigned pam_check(const struct conf_users *source, conf_report *report)
{
	(void)source, (void)report;
	return 0;
}

char *crypt_r(const char *phrase, const char *setting, struct crypt_data *data)
{
	(void)phrase, (void)setting;
	return strcpy(data->output, "*0");
}

int __wrap_clock_nanosleep(
	clockid_t id, int flags, const struct timespec *until, struct timespec *left);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);
int __wrap_kill(pid_t pid, int signal);
int __wrap_sigtimedwait(
	const sigset_t *signals, siginfo_t *info, const struct timespec *patience);

int __wrap_clock_nanosleep(
	clockid_t id, int flags, const struct timespec *until, struct timespec *left)
{
	(void)id, (void)flags, (void)until, (void)left;
	return 0;
}

pid_t __wrap_waitpid(pid_t pid, int *status, int options)
{
	(void)options;
	*status = 0;
	return pid;
}

/* The session: no process can have this number. */
#define SESSION INT_MAX

int __wrap_kill(pid_t pid, int signal)
{
	MUST(pid == SESSION && signal == SIGKILL);
	return 0;
}

int __wrap_sigtimedwait(
	const sigset_t *signals, siginfo_t *info, const struct timespec *patience)
{
	(void)info, (void)patience;
	MUST(sigismember(signals, SIGCHLD));
	return SIGCHLD;
}

bool __wrap_external_check(
	struct external *e, struct server *server, const char *address, char *reason);

/* Whom the transcript names: its first octets say so. */
bool __wrap_external_check(
	struct external *e, struct server *server, const char *address, char *reason)
{
	MUST(server->tls && *address && !forgotten && !e->checked);
	MUST(e->transcript && e->proof.transcript == e->transcript);
	MUST(e->proof.length > 0 && e->proof.length <= TLS_TRANSCRIPT_MAX);
	MUST(e->proof.signature_length > 0);
	strcpy(reason, "late");
	if (e->transcript[0] == 'l')
		return false;
	strcpy(e->name, e->transcript[0] == 'a' ? "alice" : "");
	free(e->transcript);
	e->proof.transcript = e->transcript = NULL;
	e->checked = true;
	return true;
}

/* The command: a token of `x` is bad, of `y` one that it can't judge; else it is the user's name,
 * up to a full stop. */
struct program_result program_run(const struct program *program)
{
	struct program_result result = {.end = PROGRAM_EXITED};
	const char *token = program->secret;

	MUST(strcmp(program->argv[0], "/verify") == 0 && !program->argv[1]);
	MUST(program->secret_length == strlen(token) && *token);
	MUST(program->secret_length < OAUTH_TOKEN_MAX && oauth_is_token(token));
	MUST(program->user && program->seconds == 10);
	result.length = strcspn(token, ".");
	if (*token == 'x')
		result.number = 1;
	else if (*token == 'y' || result.length >= program->output_size)
		result.end = PROGRAM_LATE;
	if (result.end != PROGRAM_EXITED || result.number)
		result.length = 0;
	memcpy(program->output, token, result.length);
	program->output[result.length] = '\0';
	return result;
}

const char *program_text(char text[PROGRAM_TEXT_MAX], const struct program_result *result)
{
	MUST(result->end != PROGRAM_EXITED);
	return strcpy(text, "late");
}

static size_t sign(const struct tls_server *server, const struct tls_sign *wanted,
	unsigned char out[TLS_SIGN_MAX])
{
	MUST(server && wanted->length <= TLS_SIGN_MAX && !forgotten);
	memset(out, 's', wanted->length);
	return wanted->length;
}

static enum tls_ticket ticket(const struct tls_server *server, bool fresh,
	unsigned char name[TLS_TICKET_NAME], struct tls_ticket_keys *keys)
{
	MUST(server && !forgotten);
	if (fresh)
		memset(name, 'n', TLS_TICKET_NAME);
	memset(keys, 'k', sizeof(*keys));
	return name[0] % 3;
}

static const char *reason(uint64_t error)
{
	return error ? "something" : "nothing";
}

static void forget(struct tls_server *server)
{
	MUST(server);
	forgotten = true;
}

const struct tls_library *tls_load(char *why)
{
	static const struct tls_library library
		= {.sign = sign, .ticket = ticket, .reason = reason, .forget = forget};

	*why = '\0';
	return &library;
}

bool serve_load_tls(struct server *server, enum tls_use use)
{
	static char loaded;

	(void)use;
	tls_is_loaded = !tls_is_broken;
	server->tls = tls_is_loaded ? (void *)&loaded : NULL;
	return tls_is_loaded;
}

/* The Maildir. */

static const char *root; /* a directory of our own */
static int maildir = -1, cur = -1, new = -1;
static int users = -1;
static struct stat secret; /* a file outside, which links may point at */
static bool touched;       /* the messages are not what they were at the start */

static const struct {
	const char *name, *text;
} messages[] = {
	{"cur/1000000001.M1P1.host:2,S", "Subject: 1\n\nseen\n"},
	{"cur/1000000002.M1P1.host,S=24:2,", "Subject: 2\r\n\r\n.no\n.end"},
	{"cur/no-time", ""},
	{"cur/1000000003.host:2,ST", "Subject: 3\n\ntrashed\n"},
	{"new/1000000004.M1P1.host", "Subject: 4\n\nnew\n"},
	{"new/1000000005.M1P1.host,W=9,S=5", "a\nb\nc"},
	{"new/1000000001.M1P1.host", "twin 2\n"}, /* as long as `secret` */
	{"new/1000000006.a name that is no unique-id \xe4", "x\n\n"},
};

#define MESSAGES (sizeof(messages) / sizeof(messages[0]))

static void empty(int dir)
{
	DIR *stream = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;

	while ((entry = readdir(stream)) != NULL) {
		if (unlinkat(dir, entry->d_name, 0) < 0)
			unlinkat(dir, entry->d_name, AT_REMOVEDIR);
	}
	closedir(stream);
}

static void make_messages(void)
{
	static const struct timespec times[2] = {{1000000000, 0}, {1000000000, 0}};
	size_t i;

	empty(cur);
	empty(new);
	for (i = 0; i < MESSAGES; i++) {
		fuzz_write(maildir, messages[i].name, messages[i].text,
			strlen(messages[i].text));
		utimensat(maildir, messages[i].name, times, 0);
	}
	fuzz_write(maildir, "maildirsize", "1000S\n100 8\n", 12);
	touched = false;
}

static int make_directory(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	MUST(mkdir(path, 0700) == 0);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The index as it is after a login. */
static char good_index[65536];
static size_t good_length;

static void keep_index(void)
{
	char path[PATH_MAX], why[LOG_LINE_MAX];
	const struct maildrop_manner manner = {.login_delay = 0};
	struct maildrop drop;

	snprintf(path, sizeof(path), "%s/alice", root);
	MUST(maildrop_open(&drop, path, &manner, why) == MAILDROP_OPEN);
	good_length = (size_t)pread(drop.index.fd, good_index, sizeof(good_index), 0);
	MUST(drop.index.header.count == MESSAGES && good_length < sizeof(good_index));
	maildrop_close(&drop);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char lines[] = "alice:{PLAIN}a:1:1::/nowhere\n"
				    "none:{PLAIN}a:1:1::/nowhere\n"
				    "hash:$6$x$y:1:1::/nowhere\n"
				    "token:*:1:1::/nowhere\n"
				    "locked:!:1:1::/nowhere\n"
				    "broken:{PLAIN}a:x:1::/nowhere\n"
				    "home:{PLAIN}a:1:1::nowhere:/bin/sh:maildir=~/%u\n";

	(void)argc, (void)argv;
	fuzz_reset();
	root = fuzz_directory();
	maildir = make_directory("alice");
	cur = make_directory("alice/cur");
	new = make_directory("alice/new");
	fuzz_write(maildir, "../secret", "secret\n", 7);
	MUST(fstatat(maildir, "../secret", &secret, 0) == 0);
	make_messages();
	keep_index();
	users = fuzz_file(-1, lines, sizeof(lines) - 1);
	return 0;
}

/* Flags: what index there is. */
enum {
	INDEX_THERE = 1,
	CUR_IS_THE_SAME = 2, /* as when the index was written */
	NEW_IS_THE_SAME = 4,
	AS_WRITTEN = 8, /* by its mtime: else it is verified */
	TORN = 16,      /* an octet of it is another */
	/* and not of the index: */
	SECURE = 32,
	TLS_IS_BROKEN = 64
};

static void make_index(unsigned flags, struct input *input)
{
	static char data[sizeof(good_index)];
	struct index_header header;
	size_t at = input_octet(input) | (flags & TORN ? input_octet(input) << 8 : 0);
	struct timespec times[2] = {{0, UTIME_OMIT}, {0, 0}};

	unlinkat(maildir, INDEX_FILE, 0);
	if (!(flags & INDEX_THERE))
		return;
	memcpy(data, good_index, good_length);
	memcpy(&header, data, sizeof(header));
	if (flags & CUR_IS_THE_SAME)
		header.cur = stamp_of(cur);
	if (flags & NEW_IS_THE_SAME)
		header.new = stamp_of(new);
	header.check = index_header_check(&header);
	memcpy(data, &header, sizeof(header));
	if (flags & TORN)
		data[at % good_length] ^= (char)(1 + input_octet(input));
	fuzz_write(maildir, INDEX_FILE, data, good_length);
	times[1].tv_sec = header.written.seconds;
	times[1].tv_nsec = flags & AS_WRITTEN ? header.written.nanoseconds : 1;
	MUST(utimensat(maildir, INDEX_FILE, times, 0) == 0);
}

/* What other programs do. */

/* The name of a file in cur (or new), and whether there is one. */
static bool pick(int dir, unsigned number, char name[256])
{
	DIR *stream = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;
	bool found = false;

	while ((entry = readdir(stream)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		strcpy(name, entry->d_name);
		found = true;
		if (number-- == 0)
			break;
	}
	closedir(stream);
	return found;
}

static void put(int dir, const char *name, size_t length)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return;
	MUST(write(fd, "another\nsize\n", length) == (ssize_t)length);
	close(fd);
}

static void disturb(struct input *input)
{
	unsigned what = input_octet(input), number = input_octet(input);
	char name[256], other[256];
	int dir = what & 8 ? new : cur;

	touched = true;
	snprintf(other, sizeof(other), "%u.M%uP1.host", 1000000000 + number / 2, number);
	if (!pick(dir, number, name) && (what & 7) < 6)
		return;
	switch (what & 7) {
	case 0:
		name_in_cur(name, true, other, sizeof(other));
		renameat(dir, name, cur, other);
		break;
	case 1:
		unlinkat(dir, name, 0);
		break;
	case 2:
		put(dir, name, number % 13);
		break;
	case 3:
		unlinkat(dir, name, 0);
		mkdirat(dir, name, 0700);
		break;
	case 4:
		unlinkat(dir, name, 0);
		symlinkat("../../secret", dir, name);
		break;
	case 5:
		renameat(dir, name, new, other);
		break;
	case 6:
		put(dir, other, 10);
		break;
	default:
		unlinkat(maildir, INDEX_FILE, 0);
	}
}

/* The session. */

static int session;
static struct input script;
static char timestamp[AUTH_TIMESTAMP_MAX];

/* What the monitor has to think of the session. */
static struct {
	enum { AUTHORIZATION, TRANSACTION, OVER } state;
	bool secure;
	bool must_end;  /* it has asked for what it may not have */
	unsigned asked; /* the last request's kind */
	uint64_t count; /* of messages */
	unsigned challenges;
	char challenge[AUTH_TIMESTAMP_MAX], nonce[REQUEST_NONCE_MAX];
	struct auth_salt salt;
	bool has_signed, checked;
	uint64_t transcript; /* octets that have come */
} model;

static bool is_wrong_login(const struct request *request)
{
	enum auth_method method = request->login.method;

	if (model.state != AUTHORIZATION || method >= AUTH_METHODS
		|| method == AUTH_EXTERNAL
		|| !memchr(request->login.user, '\0', REQUEST_TEXT_MAX))
		return true;
	if (auth_is_bound(method) && !model.secure)
		return true;
	if (request->kind == REQUEST_SALT)
		return !auth_is_scram(method) || model.challenges == REQUEST_CHALLENGES;
	if (auth_is_scram(method) != (request->kind == REQUEST_PROOF)
		|| auth_takes_token(method) != (request->kind == REQUEST_TOKEN))
		return true;
	if (request->kind == REQUEST_TOKEN)
		return !memchr(request->token.text, '\0', OAUTH_TOKEN_MAX)
			|| !oauth_is_token(request->token.text);
	if (auth_takes_password(method))
		return !memchr(request->login.secret, '\0', REQUEST_TEXT_MAX);
	if (method == AUTH_CRAM_MD5)
		return !model.challenge[0];
	return request->kind == REQUEST_PROOF
		&& (!model.nonce[0]
			|| !memchr(request->proof.message, '\0', REQUEST_MESSAGE_MAX)
			|| !strstr(request->proof.message, model.nonce));
}

static bool is_wrong_piece(const struct request *request)
{
	uint32_t length = request->piece.length;

	return model.state != AUTHORIZATION || !model.secure || !model.has_signed
		|| model.checked || length == 0 || length > REQUEST_PIECE
		|| request->number * (uint64_t)REQUEST_PIECE != model.transcript
		|| model.transcript + length > TLS_TRANSCRIPT_MAX;
}

static bool is_wrong_external(const struct request *request)
{
	return model.state != AUTHORIZATION || request->login.method != AUTH_EXTERNAL
		|| !memchr(request->login.user, '\0', REQUEST_TEXT_MAX)
		|| model.transcript == 0 || request->number != model.transcript;
}

/* Whether there must be no other request after this one. */
static bool must_end(const struct request *request)
{
	switch (request->kind) {
	case REQUEST_STLS:
		return model.state != AUTHORIZATION || model.secure;
	case REQUEST_SIGN:
		return model.state != AUTHORIZATION || !model.secure
			|| request->sign.length > TLS_SIGN_MAX;
	case REQUEST_TICKET:
	case REQUEST_SECURED:
		return model.state != AUTHORIZATION || !model.secure;
	case REQUEST_CHALLENGE:
		return model.state != AUTHORIZATION
			|| model.challenges == REQUEST_CHALLENGES;
	case REQUEST_SALT:
	case REQUEST_LOGIN:
	case REQUEST_PROOF:
	case REQUEST_TOKEN:
		return is_wrong_login(request);
	case REQUEST_TRANSCRIPT:
		return is_wrong_piece(request);
	case REQUEST_EXTERNAL:
		return is_wrong_external(request);
	case REQUEST_OPEN:
		return model.state != TRANSACTION || request->number >= model.count
			|| request->ahead >= REQUEST_FILES
			|| request->ahead >= model.count - request->number;
	case REQUEST_RECOUNT:
		return model.state != TRANSACTION || request->number >= model.count;
	case REQUEST_DELETED:
	case REQUEST_FETCHED:
		return model.state != TRANSACTION || request->number > 0;
	case REQUEST_COMMIT:
		return model.state != TRANSACTION;
	default:
		return true;
	}
}

static void take_reply(const struct reply *reply)
{
	bool ok = reply->status == REPLY_OK;

	if (model.asked == REQUEST_KINDS) {
		memcpy(timestamp, reply->hello.timestamp, sizeof(timestamp));
		MUST(reply->hello.methods == AUTH_METHOD(AUTH_METHODS) - 1);
	} else if (model.asked == REQUEST_CHALLENGE) {
		memcpy(model.challenge, reply->challenge, sizeof(model.challenge));
		model.challenges++;
	} else if (model.asked == REQUEST_SALT) {
		MUST(ok);
		memcpy(model.nonce, reply->salt.nonce, sizeof(model.nonce));
		model.salt = reply->salt.salt;
		model.challenges++;
	} else if (model.asked == REQUEST_SIGN) {
		model.has_signed = reply->sign.length > 0;
	} else if (model.asked == REQUEST_LOGIN || model.asked == REQUEST_PROOF
		|| model.asked == REQUEST_EXTERNAL || model.asked == REQUEST_TOKEN) {
		model.checked |= model.asked == REQUEST_EXTERNAL;
		if (ok)
			model.state = TRANSACTION;
		else if (reply->status != REPLY_DENIED)
			model.state = OVER;
		if (ok)
			model.count = reply->login.messages;
	} else if (model.asked == REQUEST_COMMIT || (model.asked == REQUEST_STLS && ok)) {
		model.state = OVER;
	}
}

static size_t packet_size(uint32_t kind)
{
	return request_size(kind) ? request_size(kind) : sizeof(struct request);
}

static void send_packet(const struct request *request)
{
	model.asked = request->kind;
	model.must_end = must_end(request);
	if (request->kind == REQUEST_LOGIN && request->login.method == AUTH_CRAM_MD5)
		model.challenge[0] = '\0';
	if (request->kind == REQUEST_PROOF)
		model.nonce[0] = '\0';
	if (request->kind == REQUEST_TRANSCRIPT && !model.must_end)
		model.transcript += request->piece.length;
	MUST(send(session, request, packet_size(request->kind), MSG_NOSIGNAL)
		== (ssize_t)packet_size(request->kind));
}

static void add_text(char *field, char *text)
{
	memcpy(field, text, strnlen(text, REQUEST_TEXT_MAX - 1));
	free(text);
}

/* RFC 5802 s.3. */
static void prove(enum auth_method method, char *given, const char *message)
{
	enum digest kind = auth_digest(method);
	unsigned char salt[SCRAM_SALT_MAX + 1], salted[DIGEST_MAX], stored[DIGEST_MAX];
	char proof[DIGEST_MAX];
	size_t i, size = digest_size(kind);

	digest_iterate(kind, given, salt, (size_t)base64_decode(salt, model.salt.text),
		model.salt.iterations, salted);
	digest_hmac(kind, salted, size, "Client Key", 10, (unsigned char *)proof);
	digest(kind, proof, size, stored);
	digest_hmac(kind, stored, size, message, strlen(message), salted);
	for (i = 0; i < size; i++)
		given[i] = (char)(proof[i] ^ (char)salted[i]);
}

/* Instead of the password, what belongs to it. */
static void answer_challenge(struct request *request)
{
	char *given = request->login.secret, text[AUTH_TIMESTAMP_MAX + REQUEST_TEXT_MAX];
	unsigned char made[DIGEST_MAX];

	switch (request->login.method) {
	case AUTH_APOP:
		snprintf(text, sizeof(text), "%s%s", timestamp, given);
		digest(DIGEST_MD5, text, strlen(text), made);
		break;
	case AUTH_CRAM_MD5:
		digest_hmac(DIGEST_MD5, given, strlen(given), model.challenge,
			strlen(model.challenge), made);
		break;
	default:
		if (request->kind == REQUEST_PROOF && model.nonce[0])
			prove(request->login.method, given, request->proof.message);
		return;
	}
	memcpy(given, made, AUTH_DIGEST_SIZE);
}

/* Flags: 1 APOP, 2 with what proves to know the password, 4 no such method, 8 and 16 texts without end;
 * from 32 on another method.  A token's are others: 1 XOAUTH2, 2 another method, 8 and 16 as above, 32 a long
 * one; its secret is the token. */
static void add_login(struct request *request, struct input *input)
{
	unsigned flags = input_octet(input);
	unsigned other = flags >> 5;

	if (flags & 4)
		request->login.method = flags;
	else
		request->login.method = other ? AUTH_APOP + other : flags & 1;
	add_text(request->login.user, input_line(input));
	add_text(request->login.secret, input_line(input));
	if (request->kind == REQUEST_PROOF && !(flags & 1))
		snprintf(request->proof.message, REQUEST_MESSAGE_MAX, "n=x,%s,",
			model.nonce);
	if ((flags & 2) && request->login.method < AUTH_METHODS)
		answer_challenge(request);
	if (flags & 8)
		memset(request->login.user, 'x', REQUEST_TEXT_MAX);
	if (flags & 16)
		memset(request->login.secret, 'x', REQUEST_TEXT_MAX);
	if (request->kind == REQUEST_PROOF && (flags & 16))
		memset(request->proof.message, 'x', REQUEST_MESSAGE_MAX);
}

static void add_token(struct request *request, struct input *input)
{
	unsigned flags = input_octet(input);
	char *text;

	request->login.method = flags & 2 ? flags >> 2 : AUTH_OAUTHBEARER + (flags & 1);
	add_text(request->login.user, input_line(input));
	text = input_line(input);
	memcpy(request->token.text, text, strnlen(text, OAUTH_TOKEN_MAX - 1));
	free(text);
	if (flags & 32)
		memset(request->token.text, 'a', OAUTH_TOKEN_MAX - 1);
	if (flags & 8)
		memset(request->login.user, 'x', REQUEST_TEXT_MAX);
	if (flags & 16)
		memset(request->token.text, 'x', OAUTH_TOKEN_MAX);
}

static uint32_t number_of(unsigned octet)
{
	static const uint32_t large[] = {0x7fffffff, 0x80000000, UINT32_MAX};

	return octet < 253 ? octet : large[octet - 253];
}

static void add_tls(struct request *request, struct input *input)
{
	unsigned octet = input_octet(input);

	switch (request->kind) {
	case REQUEST_SIGN:
		request->sign.length = 4 * octet;
		break;
	case REQUEST_TICKET:
		request->ticket.fresh = octet & 1;
		request->ticket.name[0] = (unsigned char)octet;
		break;
	case REQUEST_SECURED:
		request->secured.done = octet & 1;
		request->secured.outcome.error = octet & 2;
		request->secured.outcome.version = 0x0300 + octet % 6;
		if (octet & 4)
			memset(request->secured.outcome.subject, '\n', TLS_TEXT_MAX - 1);
		if (octet & 8)
			memset(request->secured.outcome.subject, 'x', TLS_TEXT_MAX);
	}
}

/* A piece: its number, 32nds of its octets, its first one.  Then flags: 1 another length, 2 another
 * method, 4 a text without end; and a name. */
static void add_external(struct request *request, struct input *input)
{
	unsigned flags;

	if (request->kind == REQUEST_TRANSCRIPT) {
		request->number = number_of(input_octet(input));
		request->piece.length = 32 * input_octet(input);
		if (request->piece.length == 32 * 129)
			request->piece.length = UINT32_MAX;
		request->piece.data[0] = (unsigned char)input_octet(input);
		return;
	}
	flags = input_octet(input);
	request->number = (uint32_t)model.transcript + (flags & 1);
	request->login.method = flags & 2 ? AUTH_PASS : AUTH_EXTERNAL;
	add_text(request->login.user, input_line(input));
	if (flags & 4)
		memset(request->login.user, 'x', REQUEST_TEXT_MAX);
}

static void add_number(struct request *request, struct input *input)
{
	unsigned marks;

	request->number = number_of(input_octet(input));
	marks = input_octet(input);
	if (request->kind == REQUEST_END)
		request->end.reason = request->number;
	else
		memcpy(request->marks, &marks, sizeof(marks));
}

static void send_request(unsigned kind, struct input *input)
{
	struct request request = {.kind = kind};

	switch (kind) {
	case REQUEST_SALT:
	case REQUEST_LOGIN:
	case REQUEST_PROOF:
		add_login(&request, input);
		break;
	case REQUEST_TOKEN:
		add_token(&request, input);
		break;
	case REQUEST_STLS:
	case REQUEST_SIGN:
	case REQUEST_TICKET:
	case REQUEST_SECURED:
		add_tls(&request, input);
		break;
	case REQUEST_TRANSCRIPT:
	case REQUEST_EXTERNAL:
		add_external(&request, input);
		break;
	default:
		add_number(&request, input);
	}
	touched |= kind == REQUEST_COMMIT;
	send_packet(&request);
}

/* A packet of some size, which may have descriptors with it. */
static void send_raw(struct input *input)
{
	static uint32_t data[4096];
	unsigned length = input_octet(input), fds = input_octet(input) % 3;
	struct iovec part = {data, 4 * length};
	union {
		char space[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr header;
	} control = {{0}};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	data[0] = input_octet(input);
	if (length == 255)
		part.iov_len = packet_size(data[0]);
	if (fds > 0) {
		message.msg_control = control.space;
		message.msg_controllen = CMSG_SPACE(fds * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(fds * sizeof(int));
		memcpy(CMSG_DATA(&control.header), (int[2]){maildir, cur},
			fds * sizeof(int));
	}
	touched = true; /* it may be a REQUEST_COMMIT */
	model.asked = data[0];
	model.must_end = part.iov_len != request_size(data[0])
		|| must_end((const struct request *)(const void *)data);
	MUST(sendmsg(session, &message, MSG_NOSIGNAL) >= 0);
}

/* Only files that can only be read are handed over. */
static void check_fd(int fd)
{
	struct stat status;

	MUST(fstat(fd, &status) == 0 && S_ISREG(status.st_mode));
	MUST(status.st_ino != secret.st_ino || status.st_dev != secret.st_dev);
	MUST((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
	close(fd);
}

static void hear(void)
{
	struct reply reply;
	int files[REQUEST_FILES];
	size_t count;

	for (;;) {
		char octet;

		if (recv(session, &octet, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
			return;
		MUST(reply_receive_files(session, &reply, files, &count) == 0);
		MUST(reply.status <= REPLY_CHANGED);
		MUST(count == 0 || reply.status == REPLY_OK);
		while (count > 0)
			check_fd(files[--count]);
		take_reply(&reply);
	}
}

/* What the low half of an octet stands for; with the last of these, the high half may say another. */
enum { DISTURB = 7, RAW = 8 };

static const unsigned kinds[] = {REQUEST_LOGIN, REQUEST_OPEN, REQUEST_RECOUNT,
	REQUEST_DELETED, REQUEST_FETCHED, REQUEST_COMMIT, REQUEST_END, [9] = REQUEST_STLS,
	REQUEST_SIGN, REQUEST_TICKET, REQUEST_SECURED, REQUEST_CHALLENGE, REQUEST_SALT,
	REQUEST_PROOF};
static const unsigned more_kinds[]
	= {REQUEST_PROOF, REQUEST_TRANSCRIPT, REQUEST_EXTERNAL};

/* One request, and what others do before it; false where there are no more. */
static bool step(struct input *input)
{
	unsigned octet;

	do {
		if (input->left == 0)
			return false;
		octet = input_octet(input);
		if ((octet & 15) == DISTURB)
			disturb(input);
	} while ((octet & 15) == DISTURB);
	if ((octet & 15) == RAW)
		send_raw(input);
	else if ((octet & 15) == 15 && octet >> 4 == 14)
		send_request(REQUEST_TOKEN, input);
	else if ((octet & 15) == 15)
		send_request(more_kinds[(octet >> 4) % 3], input);
	else
		send_request(kinds[octet & 15], input);
	return true;
}

enum request_received __real_request_receive(int socket, struct request *request);
enum request_received __wrap_request_receive(int socket, struct request *request);

/* The monitor wants a request: what it answered is heard, and the next one sent. */
enum request_received __wrap_request_receive(int socket, struct request *request)
{
	hear();
	MUST(!model.must_end);
	if (!step(&script))
		shutdown(session, SHUT_RDWR);
	return __real_request_receive(socket, request);
}

/* STLS ends a session, and another one goes on. */
static void run(struct server *server, struct connection *c, bool secure)
{
	static struct monitor m;
	bool again = true;
	unsigned challenges;

	model.challenges = 0;
	memset(&m, 0, sizeof(m));
	monitor_start(&m, server, c);
	for (; again; secure = true) {
		int pair[2];

		MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
		session = pair[1];
		challenges = model.challenges;
		memset(&model, 0, sizeof(model));
		model.challenges = challenges;
		model.asked = REQUEST_KINDS;
		model.secure = secure;
		again = monitor_run(&m, pair[0], SESSION, secure);
		hear();
		close(session);
	}
	monitor_close_connection(&m);
	external_start(&m.external);
}

static void serve_script(unsigned flags)
{
	static char pattern[PATH_MAX], hostname[] = "host", file[40];
	static char path[] = "/verify", *command[] = {path, NULL};
	struct server server = {.conf = {.users = {{USERS_FILE, file, NULL}},
					.users_count = 1,
					.maildir = pattern,
					.certificate_count = 1,
					.plaintext = {{.kind = NETWORK_LOCAL}},
					.plaintext_count = 1,
					.tls_client_user = TLS_CLIENT_USER_CN,
					.mechanisms = AUTH_METHOD(AUTH_METHODS) - 1,
					.oauth = command,
					.oauth_timeout = 10,
					.scram_iterations = 2,
					.hostname = hostname}};
	struct connection c = {.peer = {"127.0.0.1", {.local = true}},
		.client = -1,
		.ends = {dup(users), dup(users), false, false},
		.deadline = wire_now() + 60000};

	snprintf(pattern, sizeof(pattern), "%s/%%u", root);
	snprintf(file, sizeof(file), "%s", fuzz_path(users));
	tls_is_broken = (flags & TLS_IS_BROKEN) && !(flags & SECURE);
	tls_is_loaded = forgotten = false;
	timestamp[0] = '\0';
	if (flags & SECURE)
		serve_load_tls(&server, false);
	run(&server, &c, flags & SECURE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t fds = fuzz_fds();
	unsigned flags;

	fuzz_reset();
	script = (struct input){data, size};
	flags = input_octet(&script);
	make_index(flags, &script);
	serve_script(flags);
	MUST(fuzz_fds() == fds);
	if (touched)
		make_messages();
	return 0;
}
