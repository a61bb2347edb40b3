/* See checkpassword.h.  The command gets name, password and timestamp on descriptor 3; where it accepts
 * them it becomes the user and runs what stands behind it: checkpassword_report(). */
#include "checkpassword.h"
#include "memory.h"
#include "program.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define SECONDS 10
#define MAGIC "pop3d-user\n"
#define DATA_MAX 512 /* on descriptor 3, by the interface */

/* The report: where the user is at home, and the Maildir where there is another.  Who it is says the
 * kernel, for as soon as the command has become that user, the user may have a hand in what it
 * does: ptrace(2). */

#define REPORT_MAX (sizeof(MAGIC) + 2 * PATH_MAX + 2)

static const char *line_of(const char *text)
{
	return text && strlen(text) < PATH_MAX && !strchr(text, '\n') ? text : "";
}

int checkpassword_report(void)
{
	char text[REPORT_MAX], *directory = NULL;
	const char *home = getenv("HOME");
	int length;

	if (!home || *home != '/')
		home = directory = getcwd(NULL, 0);
	length = snprintf(text, sizeof(text), MAGIC "%s\n%s\n", line_of(home),
		line_of(getenv("MAILDIR")));
	free(directory);
	return write(STDOUT_FILENO, text, (size_t)length) == length ? EX_OK : EX_IOERR;
}

/* Reading it. */

/* A path in which no percent sign means anything. */
static bool take_maildir(const char *text, struct account *account)
{
	size_t used = 0;

	for (; *text; text++) {
		if (used + 2 >= sizeof(account->maildir))
			return false;
		if (*text == '%')
			account->maildir[used++] = '%';
		account->maildir[used++] = *text;
	}
	account->maildir[used] = '\0';
	return true;
}

static char *take_line(char **text)
{
	char *line = *text, *end = strchr(line, '\n');

	if (!end)
		return NULL;
	*end = '\0';
	*text = end + 1;
	return line;
}

static bool take_report(char *text, struct account *account)
{
	char *home, *maildir;

	text += strlen(MAGIC);
	home = take_line(&text);
	maildir = home ? take_line(&text) : NULL;
	return maildir && strlen(home) < sizeof(account->home)
		&& strcpy(account->home, home) && take_maildir(maildir, account);
}

/* The command. */

/* name NUL password NUL timestamp NUL; APOP's password is the digest, as the client has written it.
 * Returns their length, also where that is more than there is room for. */
static size_t make_secret(const struct auth_attempt *attempt, char *out, size_t size)
{
	char digest[2 * AUTH_DIGEST_SIZE + 1];
	bool apop = attempt->method == AUTH_APOP;
	int i, length;

	for (i = 0; apop && i < AUTH_DIGEST_SIZE; i++)
		snprintf(digest + 2 * i, 3, "%02x", (unsigned char)attempt->secret[i]);
	length = snprintf(out, size, "%s%c%s%c%s", attempt->user, 0,
		apop ? digest : attempt->secret, 0, apop ? attempt->challenge : "");
	explicit_bzero(digest, sizeof(digest));
	return (size_t)length + 1;
}

/* The groups are those of the system's user who has these ids, if there is one. */
static void take_ids(const struct program_result *result, struct account *account)
{
	const struct passwd *user;
	int count = ACCOUNT_GROUPS_MAX;

	account->uid = result->uid;
	account->gid = result->gid;
	user = getpwuid(account->uid);
	if (user && user->pw_gid == account->gid
		&& getgrouplist(user->pw_name, user->pw_gid, account->groups, &count) > 0)
		account->group_count = (size_t)count;
}

static enum auth_verdict judge(const struct program_result *result, char *output,
	struct account *account, char *reason)
{
	char text[PROGRAM_TEXT_MAX];
	const char *wrong = NULL;

	if (result->end == PROGRAM_EXITED && result->number == 1)
		return AUTH_DENIED;
	if (result->end != PROGRAM_EXITED || result->number != 0)
		wrong = program_text(text, result);
	else if (result->length == 0 || !take_report(output, account))
		wrong = "it has not run what stands behind it";
	else if (result->uid == 0)
		return AUTH_DENIED; /* root has no mail: as with a wrong password */
	if (!wrong) {
		take_ids(result, account);
		return AUTH_GRANTED;
	}
	snprintf(reason, LOG_LINE_MAX, "checkpassword: %s", wrong);
	return AUTH_UNSURE;
}

static char self[PATH_MAX];

void checkpassword_start(void)
{
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[length > 0 ? length : 0] = '\0';
}

enum auth_verdict checkpassword(const struct auth_attempt *attempt,
	const struct conf_users *source, struct account *account, char *reason)
{
	char secret[DATA_MAX + 1];
	char output[REPORT_MAX + 1];
	char address[sizeof("TCPREMOTEIP=") + NETWORK_TEXT];
	const char *environment[] = {"PROTO=TCP", address, NULL};
	char **words, word[] = CHECKPASSWORD_WORD;
	struct program program = {
		.name = "checkpassword",
		.seconds = SECONDS,
		.secret = secret,
		.output = output,
		.output_size = sizeof(output),
		.beginning = MAGIC,
		.unspoken = auth_takes_password(attempt->method) ? attempt->secret : NULL,
	};
	struct program_result result;
	size_t count = 0;

	strcpy(reason, auth_takes_password(attempt->method) ? "password" : "digest");
	program.secret_length = make_secret(attempt, secret, sizeof(secret));
	if (program.secret_length > DATA_MAX)
		return AUTH_DENIED;
	if (attempt->address) {
		snprintf(address, sizeof(address), "TCPREMOTEIP=%s", attempt->address);
		program.environment = environment;
	}
	while (source->words[count])
		count++;
	program.argv = words = memory_resize(NULL, (count + 3) * sizeof(*words));
	memcpy(words, source->words, count * sizeof(*words));
	words[count] = self;
	words[count + 1] = word;
	words[count + 2] = NULL;
	result = program_run(&program);
	explicit_bzero(secret, sizeof(secret));
	free(words);
	return judge(&result, output, account, reason);
}
