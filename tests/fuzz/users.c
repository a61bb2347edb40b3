/* Users files: a name, a password, then the file.  Looking up and judging are compared with a
 * slow version; crypt(3) is replaced: `right` is the password behind every hash.  The same with an index,
 * which is as it should be, cut, or has one octet changed: what, follows from the input. */
#include "fuzz.h"
#include "auth.h"
#include "hash.h"
#include "lines.h"
#include "users_index_write.h"

#include <crypt.h>
#include <fcntl.h>
#include <md5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

char *crypt_r(const char *phrase, const char *setting, struct crypt_data *data)
{
	bool right
		= strcmp(phrase, "right") == 0 && strlen(setting) < sizeof(data->output);

	strcpy(data->output, right ? setting : "*0");
	return data->output;
}

/* What the file says of a name. */
struct slow {
	unsigned line; /* 0: nothing */
	char *password;
	bool secrets; /* somebody has one */
};

/* The first line that may be used and begins with the name and a colon. */
static void slow_take(
	struct slow *slow, const char *line, unsigned number, const char *name)
{
	const char *colon = strchr(line, ':');

	if (*line == '\0' || *line == '#' || !colon)
		return;
	slow->secrets
		|= (strncasecmp(colon, ":{PLAIN}", 8) == 0 && colon[8] && colon[8] != ':')
		|| (strncasecmp(colon, ":{CLEARTEXT}", 12) == 0 && colon[12]
			&& colon[12] != ':');
	if (slow->line > 0 || strlen(name) != (size_t)(colon - line)
		|| memcmp(line, name, strlen(name)) != 0)
		return;
	slow->line = number;
	slow->password = strndup(colon + 1, strcspn(colon + 1, ":"));
}

static void slow_read(
	struct slow *slow, const char *text, size_t length, const char *name)
{
	unsigned number;

	for (number = 1; length > 0; number++) {
		const char *lf = memchr(text, '\n', length);
		size_t end = lf ? (size_t)(lf - text) : length;
		char *line = malloc(end + 1);

		memcpy(line, text, end);
		line[end] = '\0';
		if (end < LINES_MAX && strlen(line) == end
			&& (end == 0 || line[end - 1] != '\r'))
			slow_take(slow, line, number, name);
		free(line);
		text += end + (lf ? 1 : 0);
		length -= end + (lf ? 1 : 0);
	}
}

/* Whether this password opens what is stored. */
static bool slow_opens(const char *stored, const char *password)
{
	static const char *const crypts[] = {"{CRYPT}", "{MD5-CRYPT}", "{BLF-CRYPT}",
		"{SHA256-CRYPT}", "{SHA512-CRYPT}"};
	size_t i;

	if (strncasecmp(stored, "{PLAIN}", 7) == 0)
		return stored[7] && strcmp(stored + 7, password) == 0;
	if (strncasecmp(stored, "{CLEARTEXT}", 11) == 0)
		return stored[11] && strcmp(stored + 11, password) == 0;
	for (i = 0; i < sizeof(crypts) / sizeof(crypts[0]); i++) {
		if (strncasecmp(stored, crypts[i], strlen(crypts[i])) == 0) {
			stored += strlen(crypts[i]);
			break;
		}
	}
	return *stored && !strchr("!*{", *stored) && strlen(stored) < CRYPT_OUTPUT_SIZE
		&& strcmp(password, "right") == 0;
}

static void must_be_safe(const char *name)
{
	const char *at = strrchr(name, '@');

	MUST(*name && *name != '.' && !strchr(name, '/') && !(at && at[1] == '.'));
}

static void check_verdict(const struct slow *slow, enum auth_verdict verdict,
	const struct account *account, const char *name, bool opens, const char *reason)
{
	if (verdict != AUTH_GRANTED)
		MUST(*reason);
	if (verdict != AUTH_DENIED) {
		must_be_safe(name);
		MUST(slow->line > 0 && opens);
		MUST((verdict == AUTH_BROKEN) == (account->broken != NULL));
		MUST(account->broken || account->uid != 0);
	} else if (slow->line > 0 && opens && users_name_is_safe(name)) {
		/* Too long for the account to hold it. */
		MUST(strlen(slow->password) >= USERS_PASSWORD_MAX);
	}
	MUST(account->password[0] == '\0' && account->stand_in[0] == '\0');
}

static void check_logins(const struct conf *conf, const struct slow *slow,
	const char *name, const char *password)
{
	static struct account account;
	unsigned char digest[AUTH_DIGEST_SIZE];
	MD5_CTX context;
	struct users_summary users;
	struct auth_attempt attempt = {.conf = conf,
		.users = &users,
		.method = AUTH_PASS,
		.user = name,
		.secret = password};
	char reason[LOG_LINE_MAX], text[600];
	const char *secret = NULL;
	enum auth_verdict verdict;
	bool opens = slow->line > 0 && slow_opens(slow->password, password);

	if (slow->line > 0 && users_stored(slow->password, &secret) != USERS_SECRET)
		secret = NULL;
	users_summarize(conf, &users);
	MUST(((users.stored & USERS_STORED(USERS_SECRET)) != 0) == slow->secrets);
	verdict = auth_check(&attempt, &account, NULL, reason);
	check_verdict(slow, verdict, &account, name, opens, reason);
	/* APOP, with the digest of the password that was given. */
	snprintf(text, sizeof(text), "<1@host>%s", password);
	MD5Init(&context);
	MD5Update(&context, (const uint8_t *)text, strlen(text));
	MD5Final(digest, &context);
	attempt.method = AUTH_APOP;
	attempt.secret = (const char *)digest;
	attempt.challenge = "<1@host>";
	verdict = auth_check(&attempt, &account, NULL, reason);
	if (strlen(password) < 500)
		check_verdict(slow, verdict, &account, name,
			secret && strcmp(secret, password) == 0, reason);
}

static void check_find(const struct conf *conf, const struct slow *slow, const char *name)
{
	static struct account account;
	char why[LOG_LINE_MAX], path[PATH_MAX];
	enum users_found found = users_find(conf, name, &account, why);

	MUST(found == (slow->line > 0 ? USERS_FOUND : USERS_ABSENT));
	if (found != USERS_FOUND)
		return;
	MUST(account.line == slow->line);
	MUST(account.broken || strlen(slow->password) < USERS_PASSWORD_MAX);
	MUST(account.broken || strcmp(account.password, slow->password) == 0);
	if (!account.broken && users_name_is_safe(name)
		&& !users_maildir(path, conf, name, &account))
		MUST(path[0] == '/' && strlen(path) < PATH_MAX);
}

static unsigned reports;

static void report(const char *text)
{
	MUST(!strchr(text, '\n'));
	reports += strstr(text, ": warning: ") == NULL;
}

static void check_file(
	const char *name, const char *password, const char *text, size_t length)
{
	static char pattern[] = "/home/%d/%n/%u";
	static int fd = -1;
	struct conf conf
		= {.users = {{.kind = USERS_FILE}}, .users_count = 1, .maildir = pattern};
	struct slow slow = {0};
	uid_t uid;
	gid_t gid;

	fd = fuzz_file(fd, text, length);
	conf.users[0].file = strdup(fuzz_path(fd));
	slow_read(&slow, text, length, name);
	check_find(&conf, &slow, name);
	check_logins(&conf, &slow, name, password);
	reports = 0;
	MUST(users_check(&conf, report) == reports);
	users_ids(conf.users[0].file, name, &uid, &gid);
	free(slow.password);
	free(conf.users[0].file);
}

/* The index of the file, with no more than one mistake in it. */
static void make_index(const char *file, uint64_t spoil)
{
	static struct users_index_maker maker;
	static struct lines lines;
	char path[PATH_MAX], octet, *line;
	struct stat status;
	int fd;

	snprintf(path, sizeof(path), "%s" USERS_INDEX_SUFFIX, file);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	MUST(fd >= 0 && stat(file, &status) == 0 && users_index_start(&maker) == 0);
	/* The same each time. */
	memset(maker.header.key, 'k', sizeof(maker.header.key));
	MUST(lines_open(&lines, file) == 0);
	while ((line = lines_next(&lines)) != NULL) {
		if (!lines.bad)
			users_index_add(&maker, line, lines.number, lines.offset);
	}
	lines_close(&lines);
	MUST(users_index_write(&maker, &status, fd) == 0);
	users_index_forget(&maker);
	MUST(fstat(fd, &status) == 0);
	if (spoil % 4 == 1) {
		off_t at = (off_t)(spoil / 4 % (uint64_t)status.st_size);

		MUST(pread(fd, &octet, 1, at) == 1);
		octet = (char)(octet ^ 1 << (spoil >> 60) % 8);
		MUST(pwrite(fd, &octet, 1, at) == 1);
	} else if (spoil % 4 == 2) {
		MUST(ftruncate(fd, (off_t)(spoil / 4 % (uint64_t)status.st_size)) == 0);
	}
	close(fd);
}

static void check_indexed(
	const char *name, const char *text, size_t length, uint64_t spoil)
{
	static char file[PATH_MAX], pattern[] = "/home/%d/%n/%u";
	static int dir = -1;
	struct conf conf = {.users = {{USERS_FILE, file, NULL}},
		.users_count = 1,
		.maildir = pattern};
	struct users_index index;
	struct users_summary summary;
	struct slow slow = {0};
	int fd;

	if (dir < 0) {
		const char *directory = fuzz_directory();

		dir = open(directory, O_RDONLY | O_DIRECTORY);
		snprintf(file, sizeof(file), "%s/users", directory);
	}
	fuzz_write(dir, "users", text, length);
	make_index(file, spoil);
	fd = open(file, O_RDONLY);
	if (spoil % 4 == 0 || spoil % 4 == 3) {
		MUST(users_index_open(&index, file, fd) == USERS_INDEX_GOOD);
		users_index_close(&index);
	}
	close(fd);
	slow_read(&slow, text, length, name);
	check_find(&conf, &slow, name);
	users_summarize(&conf, &summary);
	MUST(((summary.stored & USERS_STORED(USERS_SECRET)) != 0) == slow.secrets);
	free(slow.password);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	char *name = input_line(&input), *password = input_line(&input);
	size_t length;
	char *text = input_text(&input, &length);
	uint64_t fds;

	check_file("", "", "", 0);
	check_indexed("", "", 0, 0);
	fds = fuzz_fds();
	check_file(name, password, text, length);
	MUST(fuzz_fds() == fds);
	check_indexed(name, text, length, hash(HASH_START, data, size));
	free(name);
	free(password);
	free(text);
	return 0;
}
