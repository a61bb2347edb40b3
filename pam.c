/* See pam.h. */
#include "pam.h"
#include "aside.h"
#include "memory.h"
#include "serve.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#define ASKED_SECONDS 30   /* for an answer: modules ask others */
#define CLOSED_SECONDS 10  /* that the monitor waits for the session's end */
#define CLOSING_SECONDS 60 /* that the keeper may take for it */
#define MONITOR_SOCKET 3

/* What the keeper has to say. */
struct answer {
	enum auth_verdict verdict;
	char name[AUTH_NAME_MAX]; /* whom PAM takes the user for */
	char reason[LOG_LINE_MAX];
};

struct question {
	const struct auth_attempt *attempt;
	const struct conf_users *source;
	struct account *account;
};

static struct aside keeper;

/* The system's user whom PAM has let in, or whom all of the source's share; NULL: none who can have
 * mail. */
static const struct passwd *find_user(const struct conf_users *source, const char *name)
{
	const char *wanted = source->words[1] ? source->words[1] : name;
	const struct passwd *user = users_name_is_safe(name) ? getpwnam(wanted) : NULL;

	return user && user->pw_uid != 0 ? user : NULL;
}

/* In the keeper. */

/* The library: loaded there, so that nobody else pays for it. */
static struct {
	__typeof__(pam_start) *start;
	__typeof__(pam_end) *end;
	__typeof__(pam_set_item) *set_item;
	__typeof__(pam_get_item) *get_item;
	__typeof__(pam_authenticate) *authenticate;
	__typeof__(pam_acct_mgmt) *acct_mgmt;
	__typeof__(pam_setcred) *setcred;
	__typeof__(pam_open_session) *open_session;
	__typeof__(pam_close_session) *close_session;
	__typeof__(pam_strerror) *strerror;
} pam;

static const struct {
	const char *name;
	void *address;
} functions[] = {
	{"pam_start", &pam.start},
	{"pam_end", &pam.end},
	{"pam_set_item", &pam.set_item},
	{"pam_get_item", &pam.get_item},
	{"pam_authenticate", &pam.authenticate},
	{"pam_acct_mgmt", &pam.acct_mgmt},
	{"pam_setcred", &pam.setcred},
	{"pam_open_session", &pam.open_session},
	{"pam_close_session", &pam.close_session},
	{"pam_strerror", &pam.strerror},
};

static bool load(char *reason)
{
	void *object = dlopen("libpam.so.0", RTLD_NOW | RTLD_GLOBAL), *address;
	size_t i;

	for (i = 0; object && i < sizeof(functions) / sizeof(functions[0]); i++) {
		address = dlsym(object, functions[i].name);
		if (!address)
			object = NULL;
		memcpy(functions[i].address, &address, sizeof(address));
	}
	if (!object)
		snprintf(reason, LOG_LINE_MAX, "pam: %s", dlerror());
	return object != NULL;
}

/* What modules ask for is the password, as far as a POP3 client can be asked.  They free the answers. */
static int converse(int count, const struct pam_message **messages,
	struct pam_response **answers, void *attempt)
{
	const char *secret = ((const struct auth_attempt *)attempt)->secret;
	struct pam_response *made;
	int i;

	if (count <= 0 || count > PAM_MAX_NUM_MSG)
		return PAM_CONV_ERR;
	for (i = 0; i < count; i++) {
		if (messages[i]->msg_style == PAM_PROMPT_ECHO_ON)
			return PAM_CONV_ERR;
	}
	made = memory_resize(NULL, (size_t)count * sizeof(*made));
	memset(made, 0, (size_t)count * sizeof(*made));
	for (i = 0; i < count; i++) {
		if (messages[i]->msg_style == PAM_PROMPT_ECHO_OFF)
			made[i].resp = memory_copy(secret);
	}
	*answers = made;
	return PAM_SUCCESS;
}

/* The monitor has a delay of its own, which tells nothing. */
static void no_delay(int status, unsigned microseconds, void *argument)
{
	(void)status, (void)microseconds, (void)argument;
}

/* What is the client's affair, in the log's words; all else is a failure of the system. */
static const struct {
	int status;
	const char *reason;
} denials[] = {
	{PAM_AUTH_ERR, "password"},
	{PAM_MAXTRIES, "password"},
	{PAM_CRED_INSUFFICIENT, "password"},
	{PAM_USER_UNKNOWN, "unknown-user"},
	{PAM_PERM_DENIED, "locked"},
	{PAM_ACCT_EXPIRED, "account-expired"},
	{PAM_NEW_AUTHTOK_REQD, "password-must-be-changed"},
	{PAM_AUTHTOK_EXPIRED, "password-expired"},
};

static enum auth_verdict fail(pam_handle_t *handle, int status, char *reason)
{
	snprintf(reason, LOG_LINE_MAX, "pam: %s", pam.strerror(handle, status));
	return AUTH_UNSURE;
}

static enum auth_verdict judge(pam_handle_t *handle, int status, char *reason)
{
	size_t i;

	if (status == PAM_SUCCESS)
		return AUTH_GRANTED;
	for (i = 0; i < sizeof(denials) / sizeof(denials[0]); i++) {
		if (denials[i].status != status)
			continue;
		strcpy(reason, denials[i].reason);
		return AUTH_DENIED;
	}
	return fail(handle, status, reason);
}

static int prepare(pam_handle_t *handle, const struct auth_attempt *attempt)
{
	const union {
		void (*function)(int, unsigned, void *);
		const void *item;
	} delay = {no_delay};
	int status = pam.set_item(handle, PAM_FAIL_DELAY, delay.item);

	if (status == PAM_SUCCESS)
		status = pam.set_item(handle, PAM_TTY, "pop3d");
	if (status == PAM_SUCCESS && attempt->address)
		status = pam.set_item(handle, PAM_RHOST, attempt->address);
	return status;
}

/* Modules may have made another name of it. */
static int take_name(pam_handle_t *handle, char name[AUTH_NAME_MAX])
{
	const void *item = NULL;
	int status = pam.get_item(handle, PAM_USER, &item);

	if (status != PAM_SUCCESS)
		return status;
	if (!item || strlen(item) >= AUTH_NAME_MAX)
		return PAM_USER_UNKNOWN;
	strcpy(name, item);
	return PAM_SUCCESS;
}

/* Signals that end the others are for them; what modules start has them as ever. */
static void stay(int number)
{
	(void)number;
}

/* From here on the keeper ends by itself, whatever ends the others. */
static int detach(void)
{
	static const int stops[] = {SIGHUP, SIGINT, SIGTERM};
	const struct sigaction action = {.sa_handler = stay, .sa_flags = SA_RESTART};
	size_t i;

	for (i = 0; i < sizeof(stops) / sizeof(stops[0]); i++)
		sigaction(stops[i], &action, NULL);
	return prctl(PR_SET_PDEATHSIG, 0) < 0 ? PAM_SYSTEM_ERR : PAM_SUCCESS;
}

static int enter(pam_handle_t *handle)
{
	int status = detach();

	if (status == PAM_SUCCESS)
		status = pam.setcred(handle, PAM_ESTABLISH_CRED | PAM_SILENT);
	if (status != PAM_SUCCESS)
		return status;
	status = pam.open_session(handle, PAM_SILENT);
	if (status != PAM_SUCCESS)
		pam.setcred(handle, PAM_DELETE_CRED | PAM_SILENT);
	return status;
}

static int ask(pam_handle_t *handle, const struct question *q, struct answer *a)
{
	const int flags = PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK;
	int status = prepare(handle, q->attempt);

	if (status == PAM_SUCCESS)
		status = pam.authenticate(handle, flags);
	if (status == PAM_SUCCESS)
		status = pam.acct_mgmt(handle, flags);
	if (status == PAM_SUCCESS)
		status = take_name(handle, a->name);
	/* Right or wrong: who can't have mail is not told which. */
	if (status == PAM_SUCCESS && !find_user(q->source, a->name))
		status = PAM_USER_UNKNOWN;
	a->verdict = judge(handle, status, a->reason);
	if (a->verdict != AUTH_GRANTED)
		return status;
	status = enter(handle);
	if (status != PAM_SUCCESS)
		a->verdict = fail(handle, status, a->reason);
	return status;
}

/* Nothing comes from there but the end. */
static void wait_for_end(void)
{
	char octet;
	ssize_t got;

	do
		got = recv(MONITOR_SOCKET, &octet, 1, 0);
	while (got > 0 || (got < 0 && errno == EINTR));
}

/* The socket to the monitor is all that is open. */
static void arrange(int monitor)
{
	int high = fcntl(monitor, F_DUPFD_CLOEXEC, 10);
	sigset_t none;

	log_close();
	if (chdir("/") < 0)
		_exit(EX_OSERR);
	sandbox_null_stdio(false);
	if (high < 0 || dup3(high, MONITOR_SOCKET, O_CLOEXEC) < 0)
		_exit(EX_OSERR);
	sandbox_close_from(MONITOR_SOCKET + 1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Until it is known to go on without the monitor. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		_exit(EX_OSERR);
}

static void run_keeper(const void *argument, int monitor)
{
	const struct question *q = argument;
	const struct pam_conv conversation = {converse, (void *)q->attempt};
	struct answer answer = {.verdict = AUTH_UNSURE};
	pam_handle_t *handle = NULL;
	char why[LOG_LINE_MAX];
	int status = PAM_ABORT;

	if (q->attempt->server->tls)
		tls_load(why)->forget(q->attempt->server->tls);
	arrange(monitor);
	if (load(answer.reason)) {
		status = pam.start(
			q->source->words[0], q->attempt->user, &conversation, &handle);
		if (status == PAM_SUCCESS)
			status = ask(handle, q, &answer);
		else
			judge(NULL, status, answer.reason);
	}
	/* For as long as the session is, this need not be here. */
	explicit_bzero((char *)q->attempt->secret, strlen(q->attempt->secret));
	auth_wipe(q->account);
	send(MONITOR_SOCKET, &answer, sizeof(answer), MSG_NOSIGNAL);
	if (answer.verdict == AUTH_GRANTED) {
		wait_for_end();
		alarm(CLOSING_SECONDS);
		status = pam.close_session(handle, PAM_SILENT);
		pam.setcred(handle, PAM_DELETE_CRED | PAM_SILENT);
	}
	if (handle)
		pam.end(handle, status);
	_exit(EX_OK);
}

/* In the monitor. */

static enum auth_verdict take_user(const struct conf_users *source, const char *name,
	struct account *account, char *reason)
{
	const struct passwd *user = find_user(source, name);
	int count = ACCOUNT_GROUPS_MAX;

	if (!user || strlen(user->pw_dir) >= sizeof(account->home)) {
		strcpy(reason, "pam: the user is gone");
		return AUTH_BROKEN;
	}
	account->uid = user->pw_uid;
	account->gid = user->pw_gid;
	/* (Those that fit, where there are more.) */
	getgrouplist(user->pw_name, user->pw_gid, account->groups, &count);
	account->group_count
		= count < ACCOUNT_GROUPS_MAX ? (size_t)count : ACCOUNT_GROUPS_MAX;
	strcpy(account->home, user->pw_dir);
	strcpy(account->name, name);
	return AUTH_GRANTED;
}

static void wait_for_keeper(void)
{
	char octet;

	shutdown(keeper.socket, SHUT_WR);
	aside_hear(&keeper, &octet, sizeof(octet), CLOSED_SECONDS);
}

enum auth_verdict pam_ask(const struct auth_attempt *attempt,
	const struct conf_users *source, struct account *account, char *reason)
{
	const struct question question = {attempt, source, account};
	enum auth_verdict verdict = AUTH_UNSURE;
	struct answer answer;
	char text[ASIDE_TEXT_MAX];
	ssize_t got;
	int status;

	if (!auth_takes_password(attempt->method))
		return AUTH_DENIED;
	if (!aside_start(&keeper, run_keeper, &question)) {
		snprintf(reason, LOG_LINE_MAX, "pam: %s", strerror(errno));
		return AUTH_UNSURE;
	}
	got = aside_hear(&keeper, &answer, sizeof(answer), ASKED_SECONDS);
	if (got == (ssize_t)sizeof(answer)) {
		verdict = answer.verdict;
		memcpy(reason, answer.reason, sizeof(answer.reason));
	}
	if (verdict == AUTH_GRANTED)
		return take_user(source, answer.name, account, reason);
	/* Modules may have something left to say. */
	if (got > 0)
		wait_for_keeper();
	status = aside_end(&keeper);
	if (got < 0)
		strcpy(reason, "pam: no answer in time");
	else if (got != (ssize_t)sizeof(answer))
		snprintf(reason, LOG_LINE_MAX, "pam: no answer, but the end: %s",
			aside_text(text, status));
	return verdict;
}

/* It can't be killed any more, nor need it be. */
void pam_finish(void)
{
	if (keeper.pid == 0)
		return;
	wait_for_keeper();
	close(keeper.socket);
	keeper.pid = 0;
}

unsigned pam_check(const struct conf_users *source, conf_report *report)
{
	static const char *const places[] = {"/etc/pam.d", "/usr/lib/pam.d"};
	char text[LOG_LINE_MAX], path[PATH_MAX];
	unsigned mistakes = 0;
	bool known = false;
	size_t i;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", places[i], source->words[0]);
		known |= access(path, F_OK) == 0;
	}
	if (!known) {
		snprintf(text, sizeof(text),
			"users: warning: there is no %s/%s: PAM takes `other`", places[0],
			source->words[0]);
		report(text);
	}
	if (getuid() != 0)
		report("users: warning: only root can ask most modules of PAM");
	if (source->words[1] && !find_user(source, "-")) {
		snprintf(text, sizeof(text),
			"users: there is no user %s who may have mail", source->words[1]);
		report(text);
		mistakes++;
	}
	return mistakes;
}
