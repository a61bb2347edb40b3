/* Looking users up, wherever they are; and passwd(5) and shadow(5).  Runs in the monitor until the
 * login, and before the processes part. */
#include "users_file.h"

#include <errno.h>
#include <malloc.h>
#include <pwd.h>
#include <shadow.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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
		if (!users_copy(account->password, sizeof(account->password),
			    shadow->sp_pwdp))
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
	if (!user || user->pw_uid == 0) {
		/* shadow(5) may have had more to say of it. */
		account->expired = NULL;
		explicit_bzero(account->password, sizeof(account->password));
		return USERS_ABSENT;
	}
	account->uid = user->pw_uid;
	account->gid = user->pw_gid;
	account->system = true;
	if (strcmp(user->pw_passwd, "x") != 0
		&& !users_copy(
			account->password, sizeof(account->password), user->pw_passwd))
		strcpy(account->password, "!");
	if (!users_copy(account->home, sizeof(account->home), user->pw_dir))
		account->home[0] = '\0';
	return USERS_FOUND;
}

void users_begin(const struct conf *conf, struct account *account)
{
	memset(account, 0, ACCOUNT_FIXED);
	account->home[0] = account->maildir[0] = '\0';
	account->terms = conf->terms;
}

enum users_found users_search(const struct conf *conf, size_t *at, const char *name,
	struct account *account, char *why)
{
	enum users_found found = USERS_ABSENT;

	while (*at < conf->users_count && found == USERS_ABSENT) {
		const struct conf_users *users = &conf->users[(*at)++];

		account->file = users->file;
		if (users->kind == USERS_SYSTEM)
			found = find_in_system(name, account, why);
		else if (users->kind == USERS_FILE)
			found = users_file_find(users->file, name, account, why);
		else
			found = USERS_ASK;
	}
	return found;
}

enum users_found users_find(
	const struct conf *conf, const char *name, struct account *account, char *why)
{
	enum users_found found;
	size_t at = 0;

	users_begin(conf, account);
	do
		found = users_search(conf, &at, name, account, why);
	while (found == USERS_ASK);
	return found;
}

bool users_ready(const struct conf *conf, char *why)
{
	size_t i;

	for (i = 0; i < conf->users_count; i++) {
		const char *file = conf->users[i].file;

		if (conf->users[i].kind == USERS_SYSTEM && !shadow_is_readable(why))
			return false;
		if (!file || access(file, R_OK) == 0)
			continue;
		snprintf(why, LOG_LINE_MAX, "%s: %s", file, strerror(errno));
		return false;
	}
	return true;
}

const char *users_maildir(char path[PATH_MAX], const struct conf *conf, const char *name,
	const struct account *account)
{
	const char *pattern = account->maildir[0] ? account->maildir : conf->maildir;
	const char *wrong = conf_maildir_check(pattern);

	return wrong ? wrong : conf_maildir(path, pattern, name, account->home);
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
		users_begin(conf, &account);
		account.system = true;
		account.uid = user->pw_uid;
		account.gid = user->pw_gid;
		if (!users_copy(account.home, sizeof(account.home), user->pw_dir))
			account.broken = "a path is too long";
		each(argument, user->pw_name, &account);
	}
	snprintf(why, LOG_LINE_MAX, "passwd: %s", strerror(errno));
	endpwent();
	return errno == 0 || errno == ENOENT;
}

/* One visit of a source: whom an earlier one knows it does not have. */
struct visit {
	const struct conf *conf;
	size_t source;
	users_visitor *each;
	void *argument;
};

static void visit_user(void *argument, const char *name, const struct account *account)
{
	static struct account other;
	const struct visit *visit = argument;
	enum users_found found = USERS_ABSENT;
	char why[LOG_LINE_MAX];
	size_t at = 0;

	users_begin(visit->conf, &other);
	while (at < visit->source && (found == USERS_ABSENT || found == USERS_ASK))
		found = users_search(visit->conf, &at, name, &other, why);
	explicit_bzero(&other, sizeof(other));
	if (at > visit->source || found == USERS_ABSENT || found == USERS_ASK)
		visit->each(visit->argument, name, account);
}

bool users_each(const struct conf *conf, users_visitor *visitor, void *visited, char *why)
{
	struct visit visit = {conf, 0, visitor, visited};
	users_visitor *each = visit_user;
	void *argument = &visit;
	bool all = true;
	size_t i;

	for (i = 0; i < conf->users_count && all; i++) {
		visit.source = i;
		if (conf->users[i].kind == USERS_FILE)
			all = users_file_each(
				conf, conf->users[i].file, each, argument, why);
		else if (conf->users[i].kind == USERS_SYSTEM
			|| (conf->users[i].kind == USERS_PAM && !conf->users[i].words[1]))
			all = each_in_system(conf, each, argument, why);
	}
	return all;
}
