/* See users_file.h.  Runs in the monitor until the login, and before the processes part. */
#include "users_file.h"
#include "lines.h"
#include "users_index.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void users_file_split(char *line, char *field[USERS_FIELDS])
{
	int i;

	for (i = 0; i < USERS_FIELDS; i++) {
		char *colon = i < USERS_FIELDS - 1 ? strchr(line, ':') : NULL;

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

bool users_copy(char *to, size_t size, const char *from)
{
	size_t length = strlen(from);

	if (length >= size)
		return false;
	memcpy(to, from, length + 1);
	return true;
}

const char *users_file_extra(char *extra, struct terms *terms, const char **maildir)
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

const char *users_file_parse(char *field[USERS_FIELDS], struct account *account)
{
	const char *maildir = "", *wrong;
	unsigned uid, gid;

	if (!users_copy(account->password, sizeof(account->password),
		    field[USERS_FIELD_PASSWORD]))
		return "the password is too long";
	if (!parse_id(field[USERS_FIELD_UID], getuid(), &uid))
		return "the uid is not a number";
	if (!parse_id(field[USERS_FIELD_GID], getgid(), &gid))
		return "the gid is not a number";
	if (uid == 0)
		return *field[USERS_FIELD_UID]
			? "no mail is served as root: uid 0"
			: "no uid is given, and pop3d runs as root";
	if (*field[USERS_FIELD_GID] == '\0' && getuid() == 0)
		return "no gid is given, and pop3d runs as root";
	account->uid = uid;
	account->gid = gid;
	wrong = users_file_extra(field[USERS_FIELD_EXTRA], &account->terms, &maildir);
	if (!users_copy(account->home, sizeof(account->home), field[USERS_FIELD_HOME])
		|| !users_copy(account->maildir, sizeof(account->maildir), maildir))
		return "a path is too long";
	return wrong;
}

static bool is_seed(const char *line, unsigned number)
{
	return number == 1 && strncmp(line, "#seed ", 6) == 0;
}

bool users_file_is_comment(const char *line)
{
	return *line == '\0' || *line == '#';
}

bool users_can_be_right(enum users_stored kind)
{
	return kind != USERS_LOCKED && kind != USERS_NONE && kind != USERS_UNKNOWN;
}

bool users_line(char *line, struct users_line *parts)
{
	char *password = strchr(line, ':'), *end, behind;
	enum users_stored kind;
	const char *value;

	if (users_file_is_comment(line) || !password)
		return false;
	*parts = (struct users_line){.name_length = (size_t)(password++ - line)};
	end = password + strcspn(password, ":");
	behind = *end;
	*end = '\0';
	kind = users_stored(password, &value);
	if (users_can_be_right(kind))
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
	return is_seed(line, number)
		|| (!users_file_is_comment(line) && strchr(line, ':'));
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
	char *field[USERS_FIELDS];

	users_file_split(line, field);
	account->broken = users_file_parse(field, account);
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
		if (users_file_is_comment(line))
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
	char line[LINES_MAX];
	struct users_index index;
	enum users_index_found seed, stand_in, user = USERS_INDEX_SENSELESS;
	unsigned number = 0;
	bool had_stand_in = account->stand_in[0] != '\0';

	if (users_index_open(&index, file, fd) != USERS_INDEX_GOOD)
		return false;
	seed = users_index_line(&index, index.header.seed, line);
	if (seed == USERS_INDEX_FOUND)
		make_seed(account, line);
	stand_in = users_index_line(&index, index.header.stand_in, line);
	if (stand_in == USERS_INDEX_FOUND)
		keep_stand_in(account, line);
	if ((had_stand_in
		    || (stand_in == USERS_INDEX_FOUND) == (account->stand_in[0] != '\0'))
		&& seed != USERS_INDEX_SENSELESS)
		user = users_index_find(&index, name, line, &number);
	if (user == USERS_INDEX_FOUND)
		take_line(account, line, number);
	users_index_close(&index);
	explicit_bzero(line, sizeof(line));
	*found = user == USERS_INDEX_FOUND ? USERS_FOUND : USERS_ABSENT;
	return stand_in != USERS_INDEX_SENSELESS && user != USERS_INDEX_SENSELESS;
}

enum users_found users_file_find(
	const char *file, const char *name, struct account *account, char *why)
{
	struct lines lines;
	char blank[ACCOUNT_FIXED];
	enum users_found found;

	if (lines_open(&lines, file) < 0) {
		snprintf(why, LOG_LINE_MAX, "%s: %s", file, strerror(errno));
		return USERS_BROKEN;
	}
	memcpy(blank, account, sizeof(blank));
	if (!look_up(file, lines.fd, name, account, &found)) {
		memcpy(account, blank, sizeof(blank));
		account->home[0] = account->maildir[0] = '\0';
		found = scan(&lines, name, account);
	}
	if (lines.error) {
		snprintf(why, LOG_LINE_MAX, "%s: %s", file, strerror(lines.error));
		found = USERS_BROKEN;
	}
	lines_close(&lines);
	explicit_bzero(blank, sizeof(blank));
	return found;
}

bool users_file_each(const struct conf *conf, const char *file, users_visitor *each,
	void *argument, char *why)
{
	struct lines lines;
	static struct account account;
	char *line, *field[USERS_FIELDS];

	if (lines_open(&lines, file) < 0) {
		snprintf(why, LOG_LINE_MAX, "%s: %s", file, strerror(errno));
		return false;
	}
	while ((line = lines_next(&lines)) != NULL) {
		if (lines.bad || users_file_is_comment(line) || !strchr(line, ':'))
			continue;
		users_file_split(line, field);
		if (!users_name_is_safe(field[USERS_FIELD_NAME]))
			continue;
		users_begin(conf, &account);
		account.broken = users_file_parse(field, &account);
		explicit_bzero(account.password, sizeof(account.password));
		each(argument, field[USERS_FIELD_NAME], &account);
	}
	if (lines.error)
		snprintf(why, LOG_LINE_MAX, "%s: %s", file, strerror(lines.error));
	lines_close(&lines);
	return lines.error == 0;
}

bool users_ids(const char *file, const char *name, uid_t *uid, gid_t *gid)
{
	struct lines lines;
	bool found = false;
	char *line, *field[USERS_FIELDS];

	if (lines_open(&lines, file) < 0)
		return false;
	while (!found && (line = lines_next(&lines)) != NULL) {
		if (lines.bad || !is_line_of(line, name))
			continue;
		users_file_split(line, field);
		found = *field[USERS_FIELD_UID]
			&& parse_id(field[USERS_FIELD_UID], 0, uid)
			&& *field[USERS_FIELD_GID]
			&& parse_id(field[USERS_FIELD_GID], 0, gid);
	}
	lines_close(&lines);
	return found;
}
