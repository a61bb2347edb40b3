/* The monitor, asked by a session that has been taken over: requests that are out of place, of the
 * wrong size, with numbers and texts that are none, and random ones.
 *
 *   monitor CONFIG      of users joe, whose password is secret and who has three messages;
 *                       with tls_certificate, and oauth, for which `good` is joe's token
 *
 * Prints TAP.  Each test has a monitor of its own, jailed as it is in pop3d. */
#include "asked.h"
#include "marks.h"
#include "program.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MESSAGES 100 /* more than REQUEST_FILES */
#define RANDOM_RUNS 200

static int count_descriptors(pid_t pid)
{
	char path[64];
	int count = 0;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
	folder = opendir(path);
	while (folder && readdir(folder))
		count++;
	if (folder)
		closedir(folder);
	return count;
}

/* Whether it ends before anything more is said. */
static bool is_ended(const struct run *run)
{
	struct pollfd end = {.fd = run->socket};

	return poll(&end, 1, RUN_PATIENCE) == 1 && (end.revents & POLLHUP);
}

/* The tests. */

static bool out_of_place(void)
{
	static const uint32_t before[] = {REQUEST_SIGN, REQUEST_TICKET, REQUEST_SECURED,
		REQUEST_OPEN, REQUEST_RECOUNT, REQUEST_DELETED, REQUEST_FETCHED,
		REQUEST_COMMIT, REQUEST_TRANSCRIPT, REQUEST_EXTERNAL};
	static const uint32_t after[] = {REQUEST_STLS, REQUEST_SIGN, REQUEST_TICKET,
		REQUEST_SECURED, REQUEST_LOGIN, REQUEST_CHALLENGE, REQUEST_SALT,
		REQUEST_PROOF, REQUEST_TRANSCRIPT, REQUEST_EXTERNAL, REQUEST_TOKEN};
	struct run run;
	size_t i;

	for (i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		start(&run, false);
		answer(&run);
		ask_kind(&run, before[i], 0);
		if (!is_violation(&run))
			return false;
	}
	for (i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
		if (!start_logged_in(&run))
			return false;
		ask_kind(&run, after[i], 0);
		if (!is_violation(&run))
			return false;
	}
	return true;
}

static bool second_login(void)
{
	struct run run;

	if (!start_logged_in(&run))
		return false;
	ask_login(&run, "secret");
	return is_violation(&run);
}

static bool after_commit(void)
{
	uint32_t kind;
	struct run run;

	for (kind = 0; kind < REQUEST_KINDS; kind++) {
		if (kind == REQUEST_END)
			continue;
		if (!start_logged_in(&run))
			return false;
		ask_kind(&run, REQUEST_COMMIT, 0);
		if (answer(&run) != REPLY_OK)
			return false;
		ask_kind(&run, kind, 0);
		if (!is_violation(&run))
			return false;
	}
	return true;
}

static bool unknown_kinds(void)
{
	static const uint32_t kinds[]
		= {REQUEST_KINDS, REQUEST_KINDS + 1, 0x80000000u, UINT32_MAX};
	struct run run;
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		start(&run, false);
		answer(&run);
		ask_kind(&run, kinds[i], 0);
		if (!is_violation(&run))
			return false;
	}
	return true;
}

static bool wrong_sizes(void)
{
	const size_t sizes[] = {1, 4, 8, request_size(REQUEST_END) - 1,
		request_size(REQUEST_END) + 1, sizeof(struct request), 65536};
	static struct {
		struct request request;
		char more[65536];
	} packet = {.request.kind = REQUEST_END};
	struct run run;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		start(&run, false);
		answer(&run);
		send_octets(&run, &packet, sizes[i]);
		if (!is_violation(&run))
			return false;
	}
	return true;
}

static bool texts_without_end(void)
{
	struct request request;
	struct run run;
	int i;

	for (i = 0; i < 4; i++) {
		memset(&request, 0, sizeof(request));
		request.kind = REQUEST_LOGIN;
		request.login.method = i < 2 ? AUTH_PASS
			: i == 2             ? AUTH_METHODS
					     : UINT32_MAX;
		memset(i == 0 ? request.login.user : request.login.secret, 'x',
			REQUEST_TEXT_MAX);
		start(&run, false);
		answer(&run);
		ask(&run, &request);
		if (!is_violation(&run))
			return false;
	}
	return true;
}

static bool numbers(void)
{
	static const struct {
		uint32_t kind, number, ahead;
	} asked[] = {
		{REQUEST_OPEN, MESSAGES, 0},
		{REQUEST_OPEN, UINT32_MAX, 0},
		{REQUEST_OPEN, 0, REQUEST_FILES},
		{REQUEST_OPEN, MESSAGES - 3, 3},
		{REQUEST_OPEN, MESSAGES - 1, 1},
		{REQUEST_OPEN, 0, UINT32_MAX},
		{REQUEST_OPEN, UINT32_MAX, UINT32_MAX},
		{REQUEST_RECOUNT, MESSAGES, 0},
		{REQUEST_RECOUNT, 0x80000000u, 0},
		{REQUEST_DELETED, 1, 0},
		{REQUEST_DELETED, UINT32_MAX, 0},
		{REQUEST_FETCHED, 1, 0},
		{REQUEST_FETCHED, UINT32_MAX / REQUEST_MARKS + 1, 0},
	};
	struct reply reply;
	int files[REQUEST_FILES];
	struct run run;
	size_t i, count;

	for (i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		if (!start_logged_in(&run))
			return false;
		ask_ahead(&run, asked[i].kind, asked[i].number, asked[i].ahead);
		if (!is_violation(&run))
			return false;
	}
	if (!start_logged_in(&run))
		return false;
	ask_kind(&run, REQUEST_OPEN, MESSAGES - 1);
	if (answer(&run) != REPLY_OK)
		return false;
	ask_ahead(&run, REQUEST_OPEN, MESSAGES - REQUEST_FILES, REQUEST_FILES - 1);
	return reply_receive_files(run.socket, &reply, files, &count) == 0
		&& reply.status == REPLY_OK && count == REQUEST_FILES && finish(&run);
}

/* Marks for more messages than there are. */
static bool surplus_marks(void)
{
	struct request request = {.kind = REQUEST_FETCHED};
	struct run run;
	char left[32];

	snprintf(left, sizeof(left), "left=%d ", MESSAGES);
	if (!start_logged_in(&run))
		return false;
	memset(request.marks, 0xff, sizeof(request.marks));
	ask(&run, &request);
	request.kind = REQUEST_DELETED;
	memset(request.marks, 0, sizeof(request.marks));
	request.marks[MESSAGES / 8] = (unsigned char)(0xff << MESSAGES % 8);
	ask(&run, &request);
	ask_kind(&run, REQUEST_COMMIT, 0);
	if (answer(&run) != REPLY_OK)
		return false;
	ask_kind(&run, REQUEST_END, 0);
	return finish(&run) && strstr(run.words, "deleted=0") && strstr(run.words, left);
}

/* However quickly it asks. */
static bool three_tries(void)
{
	struct run run;
	int i, denied = 0, last = 0, status;

	start(&run, false);
	answer(&run);
	for (i = 0; i < 10; i++)
		ask_login(&run, i < 3 ? "wrong" : "secret");
	while ((status = answer(&run)) != -1) {
		denied += status == REPLY_DENIED;
		last += status == REPLY_DENIED_LAST;
	}
	return finish(&run) && denied == 2 && last == 1
		&& !strstr(run.words, "login address")
		&& strstr(run.words, "reason=violation");
}

static bool tls_in_the_clear(void)
{
	struct request request = {.kind = REQUEST_END, .end.reason = END_STLS};
	struct run run;

	start(&run, false);
	answer(&run);
	ask(&run, &request);
	return is_violation(&run);
}

static bool stls_once(void)
{
	struct run run;

	start(&run, true);
	answer(&run);
	ask_kind(&run, REQUEST_STLS, 0);
	if (!is_violation(&run))
		return false;
	start(&run, false);
	answer(&run);
	ask_kind(&run, REQUEST_STLS, 0);
	if (answer(&run) != REPLY_OK)
		return false;
	/* Nothing but the end is left to it. */
	ask_login(&run, "secret");
	return is_violation(&run);
}

static bool stls_ends(void)
{
	struct request request = {.kind = REQUEST_END, .end.reason = END_STLS};
	struct run run;

	start(&run, false);
	answer(&run);
	ask_kind(&run, REQUEST_STLS, 0);
	if (answer(&run) != REPLY_OK)
		return false;
	ask(&run, &request);
	return finish(&run) && stls_over;
}

static bool one_signature(void)
{
	struct request request = {.kind = REQUEST_SIGN, .sign.length = 32};
	struct run run;

	start(&run, true);
	answer(&run);
	ask(&run, &request);
	if (answer(&run) != REPLY_OK)
		return false;
	ask(&run, &request);
	if (!is_violation(&run))
		return false;
	request.sign.length = TLS_SIGN_MAX + 1;
	start(&run, true);
	answer(&run);
	ask(&run, &request);
	return is_violation(&run);
}

/* Keys and certificates that there are not. */
static bool odd_signatures(void)
{
	static const uint32_t lengths[] = {0, 1, 511, 512};
	struct request request = {.kind = REQUEST_SIGN};
	struct run run;
	size_t i;

	for (i = 0; i < 2 * sizeof(lengths) / sizeof(lengths[0]); i++) {
		request.sign.number = i % 2 ? 0 : UINT32_MAX;
		request.sign.padding = (uint32_t)i;
		request.sign.length = lengths[i / 2];
		start(&run, true);
		answer(&run);
		ask(&run, &request);
		if (answer(&run) != REPLY_OK || !finish(&run))
			return false;
	}
	return true;
}

static bool eight_tickets(void)
{
	struct run run;
	int i;

	start(&run, true);
	answer(&run);
	for (i = 0; i < 8; i++) {
		ask_kind(&run, REQUEST_TICKET, 0);
		if (answer(&run) != REPLY_OK)
			return false;
	}
	ask_kind(&run, REQUEST_TICKET, 0);
	return is_violation(&run);
}

static bool handshake_told_once(void)
{
	struct request request = {.kind = REQUEST_SECURED, .secured.done = 1};
	struct run run;

	start(&run, true);
	answer(&run);
	ask(&run, &request);
	ask(&run, &request);
	if (!is_violation(&run))
		return false;
	memset(request.secured.outcome.subject, 'x', TLS_TEXT_MAX);
	start(&run, true);
	answer(&run);
	ask(&run, &request);
	return is_violation(&run);
}

/* For methods that are not offered, by the wrong request, without a challenge that it could answer, or
 * with one that was answered. */
static bool answers_without_questions(void)
{
	static const struct {
		uint32_t kind, method;
	} cases[] = {
		{REQUEST_LOGIN, AUTH_CRAM_MD5},
		{REQUEST_LOGIN, AUTH_SCRAM_SHA_256},
		{REQUEST_PROOF, AUTH_SCRAM_SHA_256},
		{REQUEST_PROOF, AUTH_PASS},
		{REQUEST_PROOF, AUTH_CRAM_MD5},
		{REQUEST_SALT, AUTH_PASS},
		{REQUEST_SALT, AUTH_CRAM_MD5},
		{REQUEST_SALT, AUTH_METHODS},
		{REQUEST_SALT, UINT32_MAX},
		{REQUEST_PROOF, UINT32_MAX},
		{REQUEST_LOGIN, AUTH_OAUTHBEARER},
		{REQUEST_PROOF, AUTH_XOAUTH2},
		{REQUEST_SALT, AUTH_OAUTHBEARER},
		{REQUEST_TOKEN, AUTH_PASS},
		{REQUEST_TOKEN, AUTH_SCRAM_SHA_256},
		{REQUEST_TOKEN, AUTH_METHODS},
		{REQUEST_TOKEN, UINT32_MAX},
	};
	struct request request;
	struct run run;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&request, 0, sizeof(request));
		request.kind = cases[i].kind;
		request.login.method = cases[i].method;
		strcpy(request.login.user, "joe");
		start(&run, false);
		answer(&run);
		ask(&run, &request);
		if (!is_violation(&run)) {
			printf("# case %zu\n", i);
			return false;
		}
	}
	memset(&request, 0, sizeof(request));
	start(&run, false);
	answer(&run);
	ask_kind(&run, REQUEST_CHALLENGE, 0);
	if (answer(&run) != REPLY_OK)
		return false;
	request.kind = REQUEST_LOGIN;
	request.login.method = AUTH_CRAM_MD5;
	strcpy(request.login.user, "joe");
	ask(&run, &request);
	if (answer(&run) != REPLY_DENIED)
		return false;
	ask(&run, &request);
	return is_violation(&run);
}

/* Asks for a salt, and returns a proof to go on with: the message has the nonce in it. */
static bool start_proof(struct run *run, struct request *request)
{
	struct reply reply;
	int fd;

	memset(request, 0, sizeof(*request));
	request->kind = REQUEST_SALT;
	request->login.method = AUTH_SCRAM_SHA_256;
	strcpy(request->login.user, "joe");
	start(run, false);
	answer(run);
	ask(run, request);
	if (reply_receive(run->socket, &reply, &fd) < 0 || reply.status != REPLY_OK)
		return false;
	request->kind = REQUEST_PROOF;
	snprintf(request->proof.message, REQUEST_MESSAGE_MAX, "n=joe,r=x%s",
		reply.salt.nonce);
	return true;
}

/* A proof over a message in which the nonce does not stand is one of another session; and each nonce
 * is good for one. */
static bool proof_of_another(void)
{
	struct request request;
	struct run run;

	if (!start_proof(&run, &request))
		return false;
	request.proof.message[strlen(request.proof.message) - 1] ^= 1;
	ask(&run, &request);
	if (!is_violation(&run) || !start_proof(&run, &request))
		return false;
	memset(request.proof.message, 'x', sizeof(request.proof.message));
	ask(&run, &request);
	if (!is_violation(&run) || !start_proof(&run, &request))
		return false;
	ask(&run, &request);
	if (answer(&run) != REPLY_DENIED)
		return false;
	ask(&run, &request);
	return is_violation(&run);
}

static void make_token(struct request *request, const char *user, const char *token)
{
	memset(request, 0, sizeof(*request));
	request->kind = REQUEST_TOKEN;
	request->login.method = AUTH_OAUTHBEARER;
	strcpy(request->login.user, user);
	strcpy(request->token.text, token);
}

/* A token that is none does not get as far as the command. */
static bool tokens(void)
{
	static const char *const none[] = {"", "=", "a b", "a\n", "a=b", "\xe4"};
	struct request request;
	struct run run;
	size_t i;

	for (i = 0; i < sizeof(none) / sizeof(none[0]) + 2; i++) {
		make_token(&request, "joe", i < 6 ? none[i] : "good");
		if (i == 6)
			memset(request.token.text, 'x', OAUTH_TOKEN_MAX);
		if (i == 7)
			memset(request.login.user, 'x', REQUEST_TEXT_MAX);
		start(&run, false);
		answer(&run);
		ask(&run, &request);
		if (!is_violation(&run)) {
			printf("# case %zu\n", i);
			return false;
		}
	}
	start(&run, false);
	answer(&run);
	make_token(&request, "joe", "bad");
	ask(&run, &request);
	if (answer(&run) != REPLY_DENIED)
		return false;
	make_token(&request, "", "good");
	ask(&run, &request);
	return answer(&run) == REPLY_OK && finish(&run)
		&& strstr(run.words, "user=joe method=OAUTHBEARER reason=token")
		&& strstr(run.words, "login address=test user=joe");
}

/* program.h, with what `oauth` has no use for: an environment, 16 KiB, and a process of our own that ends
 * meanwhile.  Nothing of it is left. */
static bool programs(void)
{
	static char secret[16384], output[64];
	static char shell[] = "/bin/sh", option[] = "-c",
		    script[]
		= "printf '%s,' \"$A\" \"$B\"; sleep 0.2; cat <&3 | wc -c; exit 7";
	char *argv[] = {shell, option, script, NULL};
	const char *environment[] = {"A=one", "B=two words", NULL};
	struct program program = {.name = "test",
		.argv = argv,
		.environment = environment,
		.seconds = RUN_PATIENCE / 1000,
		.secret = secret,
		.secret_length = sizeof(secret),
		.output = output,
		.output_size = sizeof(output)};
	int before = count_descriptors(getpid()), status;
	struct program_result result;
	pid_t other = fork();

	if (other == 0)
		_exit(77);
	result = program_run(&program);
	if (result.end != PROGRAM_EXITED || result.number != 7
		|| strcmp(output, "one,two words,16384\n") != 0)
		return false;
	program.output_size = result.length;
	result = program_run(&program);
	if (result.end != PROGRAM_VERBOSE || strcmp(output, "one,two words,16384") != 0)
		return false;
	return count_descriptors(getpid()) == before
		&& waitpid(-1, &status, WNOHANG) == other && WEXITSTATUS(status) == 77
		&& waitpid(-1, &status, WNOHANG) < 0 && errno == ECHILD;
}

static bool eight_challenges(void)
{
	struct request request = {.kind = REQUEST_SALT, .login.method = AUTH_SCRAM_SHA_1};
	struct run run;
	int i;

	start(&run, false);
	answer(&run);
	for (i = 0; i < REQUEST_CHALLENGES; i++) {
		if (i % 2)
			ask(&run, &request);
		else
			ask_kind(&run, REQUEST_CHALLENGE, 0);
		if (answer(&run) != REPLY_OK)
			return false;
	}
	ask(&run, &request);
	return is_violation(&run);
}

/* What a session says in the log has no line and no field of its own. */
static bool told_in_the_log(void)
{
	struct request request = {.kind = REQUEST_SECURED, .secured.done = 1};
	struct run run;

	strcpy(request.secured.outcome.subject, "CN=x\nlogin address=1 user=root");
	start(&run, true);
	answer(&run);
	ask(&run, &request);
	request.secured.done = 0;
	request.secured.outcome.error = UINT64_MAX;
	ask_kind(&run, REQUEST_END, UINT32_MAX);
	return finish(&run) && !strstr(run.words, "\nlogin")
		&& !strstr(run.words, "user=root")
		&& strstr(run.words, "subject=CN\\x3Dx\\x0Alogin");
}

/* The monitor takes none. */
static bool descriptors(void)
{
	struct request request = {.kind = REQUEST_OPEN, .number = 0};
	struct reply reply;
	struct run run;
	int i, before, after, fd;
	char data[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec part = {&request, request_size(REQUEST_OPEN)};
	struct msghdr message = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = data,
		.msg_controllen = sizeof(data)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &(int){2}, sizeof(int));
	if (!start_logged_in(&run))
		return false;
	before = count_descriptors(run.pid);
	for (i = 0; i < 20; i++) {
		sendmsg(run.socket, &message, MSG_NOSIGNAL);
		if (reply_receive(run.socket, &reply, &fd) < 0 || fd < 0)
			return false;
		close(fd);
	}
	after = count_descriptors(run.pid);
	/* The files of the login and of the last reply may yet be about to be closed. */
	return finish(&run) && abs(after - before) < 10;
}

/* Who has messages opened and does not take them has no others opened. */
static bool not_taken(void)
{
	struct reply reply;
	int files[REQUEST_FILES];
	struct run run;
	size_t count;

	if (!start_logged_in(&run))
		return false;
	ask_ahead(&run, REQUEST_OPEN, 0, REQUEST_FILES - 1);
	ask_ahead(&run, REQUEST_OPEN, 0, REQUEST_FILES - 1);
	/* The monitor ends with the second one; what it has sent can be read then. */
	if (!is_ended(&run) || reply_receive_files(run.socket, &reply, files, &count) < 0
		|| count != REQUEST_FILES)
		return false;
	while (count > 0)
		close(files[--count]);
	return is_violation(&run);
}

/* A session that asks as soon as it has its answer is not taken for that. */
static bool taken_at_once(void)
{
	struct run run;
	int i;

	if (!start_logged_in(&run))
		return false;
	for (i = 0; i < 2000; i++) {
		ask_kind(&run, REQUEST_OPEN, 0);
		if (answer(&run) != REPLY_OK)
			return false;
	}
	ask_kind(&run, REQUEST_END, 0);
	return finish(&run) && !strstr(run.words, "violation");
}

/* Who asks and does not listen is given up. */
static bool deaf(void)
{
	struct run run;
	int i;

	start(&run, true);
	for (i = 0; i < 8; i++) {
		ask_kind(&run, REQUEST_TICKET, 0);
		ask_kind(&run, REQUEST_CHALLENGE, 0);
	}
	return is_ended(&run) && finish(&run);
}

/* Who never asks, too. */
static bool silent(void)
{
	struct run run;
	char octet;

	start(&run, false);
	answer(&run);
	return recv(run.socket, &octet, 1, 0) <= 0 && finish(&run)
		&& strstr(run.words, "reason=violation");
}

static void make_random(struct request *request)
{
	unsigned char *octets = (unsigned char *)request;
	size_t i;

	for (i = 0; i < sizeof(*request); i++)
		octets[i] = next(3) ? 0 : (unsigned char)next(256);
	/* Deleting is for the session to ask. */
	do
		request->kind = next(REQUEST_KINDS + 1);
	while (request->kind == REQUEST_DELETED || request->kind == REQUEST_LOGIN
		|| request->kind == REQUEST_PROOF);
	if (next(2))
		request->number = next(MESSAGES + 1);
}

/* Ends the monitor with status 0 at the latest when the test ends, whatever is asked. */
static bool random_requests(void)
{
	struct run run;
	int i, j;

	for (i = 0; i < RANDOM_RUNS; i++) {
		seed = (unsigned)i;
		if (next(2))
			start(&run, next(2));
		else if (!start_logged_in(&run))
			return false;
		for (j = 0; j < 20; j++) {
			struct request request;

			make_random(&request);
			send_octets(&run, &request,
				next(50) ? request_size(request.kind)
					 : next(sizeof(request)));
		}
		if (!finish(&run)) {
			printf("# seed %d\n", i);
			return false;
		}
	}
	return true;
}

static const struct test tests[] = {
	{"requests out of their place", out_of_place},
	{"a second login", second_login},
	{"anything after the commit", after_commit},
	{"unknown kinds", unknown_kinds},
	{"packets of the wrong size", wrong_sizes},
	{"texts without an end, methods that there are not", texts_without_end},
	{"numbers of messages that there are not", numbers},
	{"marks for messages that there are not are nothing", surplus_marks},
	{"three tries, however quickly it asks", three_tries},
	{"the end for STLS without an STLS", tls_in_the_clear},
	{"STLS once, and nothing after it", stls_once},
	{"STLS ends it, and only for another session", stls_ends},
	{"one signature", one_signature},
	{"signatures of what is none", odd_signatures},
	{"eight ticket keys", eight_tickets},
	{"logins that answer no challenge", answers_without_questions},
	{"a proof without the monitor's nonce", proof_of_another},
	{"programs: an environment, 16 KiB, another child, nothing left", programs},
	{"tokens that are none, bad, and good", tokens},
	{"eight challenges", eight_challenges},
	{"one report of the handshake", handshake_told_once},
	{"the log has no line of the session's", told_in_the_log},
	{"descriptors are not taken", descriptors},
	{"a session that does not take what it had opened", not_taken},
	{"messages opened one after the other, however quickly", taken_at_once},
	{"a session that does not listen", deaf},
	{"a session that never asks", silent},
	{"random requests", random_requests},
};

int main(int argc, char **argv)
{
	struct conf_source source = {.file = argc > 1 ? argv[1] : NULL};

	if (conf_load(&server.conf, &source, log_report) > 0
		|| sandbox_find_user(&server.user, server.conf.session_user))
		return 2;
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
