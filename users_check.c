/* What is wrong with a users file, for pop3d -t. */
#include "lines.h"
#include "pam.h"
#include "program.h"
#include "saslprep.h"
#include "scram.h"
#include "users_file.h"
#include "users_index.h"

#include <crypt.h>
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
	char *field[USERS_FIELDS], path[PATH_MAX], prepared[LINES_MAX];
	const char *wrong;
	char *name, **known;
	bool is_new;

	if (!strchr(line, ':'))
		return "must be name:password:uid:gid:gecos:home:shell:extra";
	users_file_split(line, field);
	if (!users_name_is_safe(field[USERS_FIELD_NAME]))
		return "no user can have this name";
	if (saslprep(prepared, sizeof(prepared), field[USERS_FIELD_NAME])
		&& strcmp(prepared, field[USERS_FIELD_NAME]) != 0)
		return "SASL finds the name only as SASLprep (RFC 4013) has it";
	name = strdup(field[USERS_FIELD_NAME]);
	known = name ? tsearch(name, names, compare_names) : NULL;
	is_new = known && *known == name;
	if (!is_new)
		free(name);
	if (known && !is_new)
		return "the name is in the file already: only its first line counts";
	wrong = users_file_parse(field, &account);
	if (!wrong)
		wrong = check_password(account.password);
	if (!wrong)
		wrong = users_maildir(path, conf, field[USERS_FIELD_NAME], &account);
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

static unsigned check_file(const struct conf *conf, const char *file, conf_report *report)
{
	static struct lines lines;
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

		if (!wrong && !users_file_is_comment(line))
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
	unsigned mistakes = 0;
	size_t i;

	for (i = 0; i < conf->users_count; i++) {
		const struct conf_users *users = &conf->users[i];

		if (users->kind == USERS_FILE)
			mistakes += check_file(conf, users->file, report);
		else if (users->kind == USERS_CHECKPASSWORD)
			mistakes += !program_check("users", users->words[0], report);
		else if (users->kind == USERS_PAM)
			mistakes += pam_check(users, report);
		else if (getuid() != 0)
			report("users: warning: only root can read the passwords of "
			       "`system`");
	}
	return mistakes;
}
