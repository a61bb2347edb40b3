/* Looking users up: passwd and shadow, or a users file with passwd-file lines.
 * Runs in the monitor until the login; users_check() before the processes part. */
#include "users.h"
#include "lines.h"
#include "saslprep.h"
#include "scram.h"
#include "users_index.h"

#include <crypt.h>
#include <errno.h>
#include <malloc.h>
#include <pwd.h>
#include <search.h>
#include <shadow.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum field { NAME, PASSWORD, UID, GID, GECOS, HOME, SHELL, EXTRA, FIELDS };

bool users_name_is_safe(const char *name)
{
	const char *at = strrchr(name, '@');
	const unsigned char *p;

	if (name[0] == '\0' || name[0] == '.' || (at && at[1] == '.'))
		return false;
	for (p = (const unsigned char *)name; *p; p++) {
		if (*p <= ' ' || *p == 0x7f || *p == '/' || *p == ':')
			return false;
	}
	return true;
}

static const struct {
	const char *name;
	enum users_stored kind;
} schemes[] = {
	{"{PLAIN}", USERS_SECRET},
	{"{CLEARTEXT}", USERS_SECRET},
	{"{SCRAM-SHA-1}", USERS_SCRAM_SHA_1},
	{"{SCRAM-SHA-256}", USERS_SCRAM_SHA_256},
	/* A crypt(3) hash says by itself what it is. */
	{"{CRYPT}", USERS_HASH},
	{"{MD5-CRYPT}", USERS_HASH},
	{"{BLF-CRYPT}", USERS_HASH},
	{"{SHA256-CRYPT}", USERS_HASH},
	{"{SHA512-CRYPT}", USERS_HASH},
};

enum users_stored users_stored(const char *password, const char **value)
{
	enum users_stored kind = *password == '{' ? USERS_UNKNOWN : USERS_HASH;
	size_t i;

	for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t length = strlen(schemes[i].name);

		if (strncasecmp(password, schemes[i].name, length) != 0)
			continue;
		password += length;
		kind = schemes[i].kind;
		break;
	}
	if (value)
		*value = password;
	/* shadow(5): an account without a password. */
	if (kind == USERS_HASH && strcmp(password, "*") == 0)
		return USERS_NONE;
	/* Locked as passwd(1) and usermod(8) do it. */
	if (*password == '\0' || (kind == USERS_HASH && strchr("!*{", *password)))
		return USERS_LOCKED;
	return kind;
}

/* Splits a line at its colons; the last field takes the rest.  Fields that are not
 * there are empty. */
static void split(char *line, char *field[FIELDS])
{
	int i;

	for (i = 0; i < FIELDS; i++) {
		char *colon = i < FIELDS - 1 ? strchr(line, ':') : NULL;

		field[i] = line;
		line += strlen(line);
		if (colon) {
			*colon = '\0';
			line = colon + 1;
		}
	}
}

/* An id, or the one pop3d runs as where there is none. */
static bool parse_id(const char *text, unsigned ours, unsigned *id)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long long number = strtoull(text, NULL, 10);

	*id = *text ? (unsigned)number : ours;
	return digits <= 10 && text[digits] == '\0' && number < UINT32_MAX;
}

static bool copy(char *to, size_t size, const char *from)
{
	size_t length = strlen(from);

	if (length >= size)
		return false;
	memcpy(to, from, length + 1);
	return true;
}

/* Takes the words of the extra field, which is cut into pieces.  `maildir` is NULL, or gets what
 * stands there.  Returns NULL or what is wrong. */
static const char *parse_extra(char *extra, struct terms *terms, const char **maildir)
{
	char *rest, *word = strtok_r(extra, " \t", &rest);
	const char *wrong = NULL;
	bool known;

	for (; word && !wrong; word = strtok_r(NULL, " \t", &rest)) {
		char *value = strchr(word, '=');

		if (!value)
			continue;
		*value++ = '\0';
		if (maildir && strcmp(word, "maildir") == 0)
			*maildir = value;
		else
			wrong = conf_term(terms, word, value, &known);
	}
	return wrong;
}

/* Returns NULL or what is wrong with the line. */
static const char *parse_fields(char *field[FIELDS], struct account *account)
{
	const char *maildir = "", *wrong;
	unsigned uid, gid;

	if (!copy(account->password, sizeof(account->password), field[PASSWORD]))
		return "the password is too long";
	if (!parse_id(field[UID], getuid(), &uid))
		return "the uid is not a number";
	if (!parse_id(field[GID], getgid(), &gid))
		return "the gid is not a number";
	if (uid == 0)
		return *field[UID] ? "no mail is served as root: uid 0"
				   : "no uid is given, and pop3d runs as root";
	if (*field[GID] == '\0' && getuid() == 0)
		return "no gid is given, and pop3d runs as root";
	account->uid = uid;
	account->gid = gid;
	wrong = parse_extra(field[EXTRA], &account->terms, &maildir);
	if (!copy(account->home, sizeof(account->home), field[HOME])
		|| !copy(account->maildir, sizeof(account->maildir), maildir))
		return "a path is too long";
	return wrong;
}

static bool is_seed(const char *line, unsigned number)
{
	return number == 1 && strncmp(line, "#seed ", 6) == 0;
}

static bool is_comment(const char *line)
{
	return *line == '\0' || *line == '#';
}

static bool can_be_right(enum users_stored kind)
{
	return kind != USERS_LOCKED && kind != USERS_NONE && kind != USERS_UNKNOWN;
}

bool users_line(char *line, struct users_line *parts)
{
	char *password = strchr(line, ':'), *end, behind;
	enum users_stored kind;
	const char *value;

	if (is_comment(line) || !password)
		return false;
	*parts = (struct users_line){.name_length = (size_t)(password++ - line)};
	end = password + strcspn(password, ":");
	behind = *end;
	*end = '\0';
	kind = users_stored(password, &value);
	if (can_be_right(kind))
		parts->stored = USERS_STORED(kind);
	if (kind == USERS_HASH && end - value < USERS_PASSWORD_MAX) {
		parts->hash = value;
		parts->hash_length = (size_t)(end - value);
	}
	*end = behind;
	return true;
}

bool users_line_seeds(const char *line, unsigned number)
{
	return is_seed(line, number) || (!is_comment(line) && strchr(line, ':'));
}

/* The first hash of the file stands in for those that are not there. */
static void keep_stand_in(struct account *account, char *line)
{
	struct users_line parts;

	if (account->stand_in[0] || !users_line(line, &parts) || !parts.hash)
		return;
	memcpy(account->stand_in, parts.hash, parts.hash_length);
	account->stand_in[parts.hash_length] = '\0';
}

static bool is_line_of(const char *line, const char *name)
{
	size_t length = strlen(name);

	/* A name with a colon could be the beginning of another user's line. */
	return strncmp(line, name, length) == 0 && line[length] == ':'
		&& !memchr(name, ':', length);
}

/* What false salts are made of: a line that says so, or else one that nobody else can read. */
static void make_seed(struct account *account, const char *line)
{
	digest(DIGEST_SHA_256, line, strlen(line), account->seed);
}

/* The line is the account's. */
static void take_line(struct account *account, char *line, unsigned number)
{
	char *field[FIELDS];

	split(line, field);
	account->broken = parse_fields(field, account);
	account->line = number;
}

/* The whole of the file, wherever the user stands. */
static enum users_found scan(
	struct lines *lines, const char *name, struct account *account)
{
	enum users_found found = USERS_ABSENT;
	bool seeded = false;
	char *line;

	while ((line = lines_next(lines)) != NULL) {
		if (lines->bad)
			continue;
		if (!seeded && users_line_seeds(line, lines->number)) {
			make_seed(account, line);
			seeded = true;
		}
		if (is_comment(line))
			continue;
		keep_stand_in(account, line);
		if (found == USERS_FOUND || !is_line_of(line, name))
			continue;
		take_line(account, line, lines->number);
		found = USERS_FOUND;
	}
	return found;
}

/* By the index.  Returns false where there is none, or one that makes no sense. */
static bool look_up(const char *file, int fd, const char *name, struct account *account,
	enum users_found *found)
{
	static char line[LINES_MAX];
	struct users_index index;
	enum users_index_found seed, stand_in, user = USERS_INDEX_SENSELESS;
	unsigned number = 0;

	if (users_index_open(&index, file, fd) != USERS_INDEX_GOOD)
		return false;
	seed = users_index_line(&index, index.header.seed, line);
	if (seed == USERS_INDEX_FOUND)
		make_seed(account, line);
	stand_in = users_index_line(&index, index.header.stand_in, line);
	if (stand_in == USERS_INDEX_FOUND)
		keep_stand_in(account, line);
	if ((stand_in == USERS_INDEX_FOUND) == (account->stand_in[0] != '\0')
		&& seed != USERS_INDEX_SENSELESS)
		user = users_index_find(&index, name, line, &number);
	if (user == USERS_INDEX_FOUND)
		take_line(account, line, number);
	users_index_close(&index);
	explicit_bzero(line, sizeof(line));
	*found = user == USERS_INDEX_FOUND ? USERS_FOUND : USERS_ABSENT;
	return stand_in != USERS_INDEX_SENSELESS && user != USERS_INDEX_SENSELESS;
}

static enum users_found find_in_file(
	const struct conf *conf, const char *name, struct account *account, char *why)
{
	static struct lines lines;
	const char *file = conf->users_file;
	enum users_found found;

	if (lines_open(&lines, file) < 0) {
		snprintf(why, LOG_LINE_MAX, "%s: %s", file, strerror(errno));
		return USERS_BROKEN;
	}
	if (!look_up(file, lines.fd, name, account, &found)) {
		explicit_bzero(account, sizeof(*account));
		account->terms = conf->terms;
		found = scan(&lines, name, account);
	}
	if (lines.error) {
		snprintf(why, LOG_LINE_MAX, "%s: %s", file, strerror(lines.error));
		found = USERS_BROKEN;
	}
	lines_close(&lines);
	return found;
}

static const char *shadow_expired(const struct spwd *shadow)
{
	long today = (long)(time(NULL) / 86400);

	if (shadow->sp_expire >= 0 && today >= shadow->sp_expire)
		return "account-expired";
	if (shadow->sp_lstchg == 0)
		return "password-must-be-changed";
	if (shadow->sp_lstchg > 0 && shadow->sp_max >= 0 && shadow->sp_max < 99999
		&& today > shadow->sp_lstchg + shadow->sp_max)
		return "password-expired";
	return NULL;
}

/* Takes from shadow(5) what passwd(5) leaves out.  Nothing of it, nor of others' lines, stays in
 * memory: the session after STLS is forked from this process. */
static void add_shadow(struct account *account, const char *name)
{
	static char buffer[16384];
	struct spwd entry, *shadow = NULL;

#ifdef M_PERTURB
	/* What is freed is overwritten: stdio's buffer. */
	mallopt(M_PERTURB, 1);
#endif
	getspnam_r(name, &entry, buffer, sizeof(buffer), &shadow);
#ifdef M_PERTURB
	mallopt(M_PERTURB, 0);
#endif
	if (shadow) {
		account->expired = shadow_expired(shadow);
		if (!copy(account->password, sizeof(account->password), shadow->sp_pwdp))
			strcpy(account->password, "!");
	}
	explicit_bzero(buffer, sizeof(buffer));
}

static bool shadow_is_readable(char *why)
{
	if (access(SHADOW, R_OK) == 0 || errno == ENOENT)
		return true;
	snprintf(why, LOG_LINE_MAX, "%s: %s", SHADOW, strerror(errno));
	return false;
}

static enum users_found find_in_system(
	const char *name, struct account *account, char *why)
{
	struct passwd *user;

	/* First, and for every name: who can't read it must not tell who exists.  (What
	 * getspnam(3) says of that depends on nsswitch.conf(5).) */
	if (!shadow_is_readable(why))
		return USERS_BROKEN;
	add_shadow(account, name);
	errno = 0;
	user = getpwnam(name);
	if (!user
		&& (errno == EIO || errno == EMFILE || errno == ENFILE
			|| errno == ENOMEM)) {
		snprintf(why, LOG_LINE_MAX, "passwd: %s", strerror(errno));
		return USERS_BROKEN;
	}
	if (!user || user->pw_uid == 0)
		return USERS_ABSENT;
	account->uid = user->pw_uid;
	account->gid = user->pw_gid;
	account->system = true;
	if (strcmp(user->pw_passwd, "x") != 0
		&& !copy(account->password, sizeof(account->password), user->pw_passwd))
		strcpy(account->password, "!");
	if (!copy(account->home, sizeof(account->home), user->pw_dir))
		account->home[0] = '\0';
	return USERS_FOUND;
}

enum users_found users_find(
	const struct conf *conf, const char *name, struct account *account, char *why)
{
	memset(account, 0, sizeof(*account));
	account->terms = conf->terms;
	if (conf->users == USERS_FILE)
		return find_in_file(conf, name, account, why);
	return find_in_system(name, account, why);
}

bool users_ready(const struct conf *conf, char *why)
{
	if (conf->users == USERS_SYSTEM)
		return shadow_is_readable(why);
	if (access(conf->users_file, R_OK) == 0)
		return true;
	snprintf(why, LOG_LINE_MAX, "%s: %s", conf->users_file, strerror(errno));
	return false;
}

const char *users_maildir(char path[PATH_MAX], const struct conf *conf, const char *name,
	const struct account *account)
{
	const char *pattern = account->maildir[0] ? account->maildir : conf->maildir;
	const char *wrong = conf_maildir_check(pattern);

	return wrong ? wrong : conf_maildir(path, pattern, name, account->home);
}

/* A term that the user's line does not have. */
#define USUAL (TERMS_NEVER - 1)

/* The eighth field, as far as there is one. */
static const char *extra_of(const char *line)
{
	int i;

	for (i = 0; i < EXTRA; i++) {
		line = strchr(line, ':');
		if (!line)
			return "";
		line++;
	}
	return line;
}

static void add_term(
	unsigned term, unsigned *least, unsigned *most, uint32_t *usual, uint32_t which)
{
	if (term == USUAL) {
		*usual |= which;
		return;
	}
	if (term < *least)
		*least = term;
	if (term > *most)
		*most = term;
}

enum { USUAL_LOGIN_DELAY = 1, USUAL_EXPIRE = 2, SOMEBODY = 4 };

static void add_terms(struct users_summary *s, const struct terms *terms)
{
	s->usual |= SOMEBODY;
	add_term(terms->login_delay, &s->least.login_delay, &s->most.login_delay,
		&s->usual, USUAL_LOGIN_DELAY);
	add_term(terms->expire, &s->least.expire, &s->most.expire, &s->usual,
		USUAL_EXPIRE);
}

static void add_password(struct users_summary *summary, const char *password)
{
	const char *value;
	enum users_stored kind = users_stored(password, &value);
	enum digest digest = kind == USERS_SCRAM_SHA_1 ? DIGEST_SHA_1 : DIGEST_SHA_256;
	struct scram_keys keys;

	if (!can_be_right(kind))
		return;
	summary->stored |= USERS_STORED(kind);
	if ((kind != USERS_SCRAM_SHA_1 && kind != USERS_SCRAM_SHA_256)
		|| summary->scram[digest].iterations)
		return;
	if (scram_parse(value, digest, &keys)) {
		summary->scram[digest].iterations = keys.iterations;
		summary->scram[digest].salt_length = (uint32_t)keys.salt_length;
	}
	explicit_bzero(&keys, sizeof(keys));
}

void users_summary_start(struct users_summary *summary)
{
	memset(summary, 0, sizeof(*summary));
	summary->least.login_delay = summary->least.expire = UINT_MAX;
}

void users_summary_add(struct users_summary *summary, const char *line)
{
	struct terms terms = {USUAL, USUAL};
	const char *password = strchr(line, ':');
	char copied[LINES_MAX];
	size_t length;

	if (is_comment(line) || !password)
		return;
	length = strcspn(++password, ":");
	if (length < sizeof(copied)) {
		memcpy(copied, password, length);
		copied[length] = '\0';
		add_password(summary, copied);
	}
	if (copy(copied, sizeof(copied), extra_of(line)))
		parse_extra(copied, &terms, NULL);
	add_terms(summary, &terms);
	explicit_bzero(copied, sizeof(copied));
}

void users_summary_end(struct users_summary *summary, const struct terms *usual)
{
	struct terms terms = *usual;

	/* Where there is nobody, what somebody would have. */
	if (!(summary->usual & USUAL_LOGIN_DELAY) && (summary->usual & SOMEBODY))
		terms.login_delay = summary->least.login_delay;
	if (!(summary->usual & USUAL_EXPIRE) && (summary->usual & SOMEBODY))
		terms.expire = summary->least.expire;
	add_terms(summary, &terms);
}

/* What the index says of all lines.  Returns false where there is none. */
static bool summary_by_index(const char *file, int fd, struct users_summary *summary)
{
	struct users_index index;

	if (users_index_open(&index, file, fd) != USERS_INDEX_GOOD)
		return false;
	*summary = index.header.summary;
	users_index_close(&index);
	return true;
}

void users_summarize(const struct conf *conf, struct users_summary *summary)
{
	static struct lines lines;
	char *line;

	users_summary_start(summary);
	if (conf->users == USERS_SYSTEM) {
		summary->stored = USERS_STORED(USERS_HASH);
	} else if (lines_open(&lines, conf->users_file) == 0) {
		if (!summary_by_index(conf->users_file, lines.fd, summary)) {
			while ((line = lines_next(&lines)) != NULL) {
				if (!lines.bad)
					users_summary_add(summary, line);
			}
		}
		lines_close(&lines);
	}
	users_summary_end(summary, &conf->terms);
}

static bool each_in_file(
	const struct conf *conf, users_visitor *each, void *argument, char *why)
{
	static struct lines lines;
	static struct account account;
	const char *file = conf->users_file;
	char *line, *field[FIELDS];

	if (lines_open(&lines, file) < 0) {
		snprintf(why, LOG_LINE_MAX, "%s: %s", file, strerror(errno));
		return false;
	}
	while ((line = lines_next(&lines)) != NULL) {
		if (lines.bad || is_comment(line) || !strchr(line, ':'))
			continue;
		split(line, field);
		if (!users_name_is_safe(field[NAME]))
			continue;
		memset(&account, 0, sizeof(account));
		account.terms = conf->terms;
		account.broken = parse_fields(field, &account);
		explicit_bzero(account.password, sizeof(account.password));
		each(argument, field[NAME], &account);
	}
	if (lines.error)
		snprintf(why, LOG_LINE_MAX, "%s: %s", file, strerror(lines.error));
	lines_close(&lines);
	return lines.error == 0;
}

static bool each_in_system(
	const struct conf *conf, users_visitor *each, void *argument, char *why)
{
	static struct account account;
	const struct passwd *user;

	setpwent();
	while (errno = 0, (user = getpwent()) != NULL) {
		if (user->pw_uid == 0 || !users_name_is_safe(user->pw_name))
			continue;
		memset(&account, 0, sizeof(account));
		account.terms = conf->terms;
		account.system = true;
		account.uid = user->pw_uid;
		account.gid = user->pw_gid;
		if (!copy(account.home, sizeof(account.home), user->pw_dir))
			account.broken = "a path is too long";
		each(argument, user->pw_name, &account);
	}
	snprintf(why, LOG_LINE_MAX, "passwd: %s", strerror(errno));
	endpwent();
	return errno == 0 || errno == ENOENT;
}

bool users_each(const struct conf *conf, users_visitor *each, void *argument, char *why)
{
	return (conf->users == USERS_FILE ? each_in_file : each_in_system)(
		conf, each, argument, why);
}

bool users_ids(const char *file, const char *name, uid_t *uid, gid_t *gid)
{
	static struct lines lines;
	bool found = false;
	char *line, *field[FIELDS];

	if (lines_open(&lines, file) < 0)
		return false;
	while (!found && (line = lines_next(&lines)) != NULL) {
		if (lines.bad || !is_line_of(line, name))
			continue;
		split(line, field);
		found = *field[UID] && parse_id(field[UID], 0, uid) && *field[GID]
			&& parse_id(field[GID], 0, gid);
	}
	lines_close(&lines);
	return found;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Returns NULL or what is wrong with the stored password. */
static const char *check_password(const char *password)
{
	struct scram_keys keys;
	const char *value;
	bool good = true;

	switch (users_stored(password, &value)) {
	case USERS_UNKNOWN:
		return "pop3d does not know how this password is stored";
	case USERS_SCRAM_SHA_1:
		good = scram_parse(value, DIGEST_SHA_1, &keys);
		break;
	case USERS_SCRAM_SHA_256:
		good = scram_parse(value, DIGEST_SHA_256, &keys);
		break;
#ifdef CRYPT_SALT_INVALID
	case USERS_HASH:
		if (crypt_checksalt(value) == CRYPT_SALT_INVALID)
			return "crypt(3) does not know how this password is hashed";
		break;
#endif
	default:
		break;
	}
	explicit_bzero(&keys, sizeof(keys));
	return good ? NULL : "must be iterations,salt,stored key,server key in base64";
}

/* One line of the users file; `names` are those before it. */
static const char *check_line(const struct conf *conf, char *line, void **names)
{
	struct account account = {0};
	char *field[FIELDS], path[PATH_MAX], prepared[LINES_MAX];
	const char *wrong;
	char *name, **known;

	if (!strchr(line, ':'))
		return "must be name:password:uid:gid:gecos:home:shell:extra";
	split(line, field);
	if (!users_name_is_safe(field[NAME]))
		return "no user can have this name";
	if (saslprep(prepared, sizeof(prepared), field[NAME])
		&& strcmp(prepared, field[NAME]) != 0)
		return "SASL finds the name only as SASLprep (RFC 4013) has it";
	name = strdup(field[NAME]);
	known = name ? tsearch(name, names, compare_names) : NULL;
	if (known && *known != name) {
		free(name);
		return "the name is in the file already: only its first line counts";
	}
	wrong = parse_fields(field, &account);
	if (!wrong)
		wrong = check_password(account.password);
	if (!wrong)
		wrong = users_maildir(path, conf, field[NAME], &account);
	explicit_bzero(&account, sizeof(account));
	return wrong;
}

static void check_index(const char *file, int fd, conf_report *report)
{
	char text[LOG_LINE_MAX];
	struct users_index index;
	enum users_index_state state = users_index_open(&index, file, fd);
	const char *wrong = users_index_wrong(state);

	if (state == USERS_INDEX_GOOD)
		users_index_close(&index);
	if (!wrong)
		return;
	snprintf(text, sizeof(text), "%s%s: warning: %s: run pop3passwd -i", file,
		USERS_INDEX_SUFFIX, wrong);
	report(text);
}

static unsigned check_file(const struct conf *conf, conf_report *report)
{
	static struct lines lines;
	const char *file = conf->users_file;
	char text[LOG_LINE_MAX];
	void *names = NULL;
	unsigned mistakes = 0;
	struct stat status;
	char *line;

	if (lines_open(&lines, file) < 0) {
		snprintf(text, sizeof(text), "%s: %s", file, strerror(errno));
		report(text);
		return 1;
	}
	if (fstat(lines.fd, &status) == 0 && (status.st_mode & 077) != 0) {
		snprintf(text, sizeof(text),
			"%s: warning: others than its owner have access", file);
		report(text);
	}
	check_index(file, lines.fd, report);
	while ((line = lines_next(&lines)) != NULL) {
		const char *wrong = lines.bad;

		if (!wrong && !is_comment(line))
			wrong = check_line(conf, line, &names);
		if (wrong) {
			snprintf(text, sizeof(text), "%s:%u: %s", file, lines.number,
				wrong);
			report(text);
			mistakes++;
		}
	}
	if (lines.error) {
		snprintf(text, sizeof(text), "%s: %s", file, strerror(lines.error));
		report(text);
		mistakes++;
	}
	lines_close(&lines);
	while (names) {
		char *name = *(char **)names;

		tdelete(name, &names, compare_names);
		free(name);
	}
	return mistakes;
}

unsigned users_check(const struct conf *conf, conf_report *report)
{
	if (conf->users == USERS_FILE)
		return check_file(conf, report);
	if (getuid() != 0)
		report("users: warning: only root can read the passwords of `system`");
	return 0;
}
