/* Reading the configuration: pop3d.conf(5).  Runs before the processes part, as the
 * user that pop3d was started as. */
#include "conf_keys.h"
#include "auth.h"
#include "lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void report_line(conf_report *report, const char *file, unsigned line,
	const char *key, const char *wrong)
{
	char text[LOG_LINE_MAX];
	char quoted[LOG_QUOTE_SIZE];

	log_quote(quoted, key, strcspn(key, " \t"));
	if (line > 0)
		snprintf(text, sizeof(text), "%s:%u: %s: %s", file, line, quoted, wrong);
	else
		snprintf(text, sizeof(text), "%s %s: %s", file, quoted, wrong);
	report(text);
}

static unsigned load_file(
	struct conf *conf, const char *file, bool may_be_absent, conf_report *report)
{
	struct lines lines;
	unsigned mistakes = 0;
	char *line;

	if (lines_open(&lines, file) < 0) {
		char text[LOG_LINE_MAX];

		if (errno == ENOENT && may_be_absent)
			return 0;
		snprintf(text, sizeof(text), "%s: %s", file, strerror(errno));
		report(text);
		return 1;
	}
	while ((line = lines_next(&lines)) != NULL) {
		const char *wrong;

		line += strspn(line, " \t");
		if (lines.bad)
			wrong = lines.bad;
		else if (*line == '\0' || *line == '#')
			continue;
		else
			wrong = conf_set_key(conf, line);
		if (wrong) {
			report_line(report, file, lines.number, line, wrong);
			mistakes++;
		}
	}
	if (lines.error) {
		char text[LOG_LINE_MAX];

		snprintf(text, sizeof(text), "%s: %s", file, strerror(lines.error));
		report(text);
		mistakes++;
	}
	lines_close(&lines);
	return mistakes;
}

static void forget_listen(struct conf *conf)
{
	while (conf->listen_count > 0) {
		struct conf_listen *l = &conf->listen[--conf->listen_count];

		free(l->host);
		free(l->port);
		*l = (struct conf_listen){NULL, NULL, false};
	}
}

void conf_forget_source(struct conf *conf)
{
	struct conf_users *users = &conf->users[--conf->users_count];

	free(users->file);
	free(users->words);
	*users = (struct conf_users){USERS_SYSTEM, NULL, NULL};
}

static void forget_users(struct conf *conf)
{
	while (conf->users_count > 0)
		conf_forget_source(conf);
}

static void forget_certificates(struct conf *conf)
{
	while (conf->certificate_count > 0) {
		struct conf_certificate *c
			= &conf->certificates[--conf->certificate_count];

		free(c->certificate);
		free(c->key);
		*c = (struct conf_certificate){NULL, NULL};
	}
}

/* One key from the command line: `name` is the option that it came with. */
static unsigned load_option(
	struct conf *conf, const char *name, const char *option, conf_report *report)
{
	const char *wrong;
	char *copy = NULL;

	conf_set_string(&copy, option);
	wrong = conf_set_key(conf, copy);
	if (wrong)
		report_line(report, name, 0, copy + strspn(copy, " \t"), wrong);
	free(copy);
	return wrong != NULL;
}

static bool is_of(const char *option, const char *key)
{
	size_t length = strlen(key);

	option += strspn(option, " \t");
	return strncmp(option, key, length) == 0
		&& (option[length] == ' ' || option[length] == '\t');
}

static unsigned load_options(
	struct conf *conf, const struct conf_source *source, conf_report *report)
{
	bool listens = source->listen_count > 0, certifies = false, users = false;
	unsigned mistakes = 0;
	size_t i;

	for (i = 0; i < source->option_count; i++) {
		listens |= is_of(source->options[i], "listen");
		certifies |= is_of(source->options[i], "tls_certificate");
		users |= is_of(source->options[i], "users");
	}
	if (listens)
		forget_listen(conf);
	if (certifies)
		forget_certificates(conf);
	if (users)
		forget_users(conf);
	for (i = 0; i < source->option_count; i++)
		mistakes += load_option(conf, "-o", source->options[i], report);
	for (i = 0; i < source->listen_count; i++) {
		char option[512];

		snprintf(option, sizeof(option), "listen %s", source->listen[i]);
		mistakes += load_option(conf, "-l", option, report);
	}
	return mistakes;
}

/* TLS that is asked for and can't be had. */
static unsigned check_tls(
	const struct conf *conf, const struct conf_source *source, conf_report *report)
{
	bool wanted = source->tls;
	size_t i;

	for (i = 0; i < conf->listen_count; i++)
		wanted |= conf->listen[i].tls;
	if (wanted && conf->certificate_count == 0)
		report(source->tls ? "-T: there is no tls_certificate"
				   : "listen: tls: there is no tls_certificate");
	return wanted && conf->certificate_count == 0;
}

static bool has_name(const char *pattern)
{
	const char *p;

	for (p = pattern; (p = strchr(p, '%')) != NULL && p[1]; p += 2) {
		if (p[1] == 'u' || p[1] == 'n')
			return true;
	}
	return false;
}

/* Whoever shares a user id and a home is not to share the mail. */
static unsigned check_users(const struct conf *conf, conf_report *report)
{
	size_t i;

	for (i = 0; i < conf->users_count; i++) {
		const struct conf_users *users = &conf->users[i];

		if (users->kind != USERS_PAM || !users->words[1]
			|| has_name(conf->maildir))
			continue;
		report("users: where PAM's users share one of the system's, `maildir` "
		       "must have %u or %n");
		return 1;
	}
	return 0;
}

/* EXTERNAL, likewise. */
static unsigned check_external(const struct conf *conf, conf_report *report)
{
	const char *wrong = NULL;

	if (conf->tls_client_user == TLS_CLIENT_USER_NONE) {
		if (conf->mechanisms & AUTH_METHOD(AUTH_EXTERNAL))
			wrong = "mechanisms: EXTERNAL without tls_client_user";
	} else if (!conf->tls_client_ca) {
		wrong = "tls_client_user: EXTERNAL without a CA: there is no "
			"tls_client_ca";
	} else if (conf->certificate_count == 0) {
		wrong = "tls_client_user: EXTERNAL without TLS: there is no "
			"tls_certificate";
	}
	if (wrong)
		report(wrong);
	return wrong != NULL;
}

unsigned conf_load(
	struct conf *conf, const struct conf_source *source, conf_report *report)
{
	unsigned mistakes;

	conf_set_defaults(conf);
	mistakes = load_file(
		conf, source->file ? source->file : CONF_FILE, !source->file, report);
	mistakes += load_options(conf, source, report);
	/* Nobody has said: those of the system. */
	if (conf->users_count == 0)
		conf->users[conf->users_count++].kind = USERS_SYSTEM;
	return mistakes + check_users(conf, report) + check_tls(conf, source, report)
		+ check_external(conf, report);
}

void conf_free(struct conf *conf)
{
	forget_listen(conf);
	forget_certificates(conf);
	free(conf->deleted_folder);
	free(conf->tls_client_ca);
	free(conf->oauth);
	free(conf->oauth_scope);
	free(conf->oauth_discovery);
	forget_users(conf);
	free(conf->maildir);
	free(conf->hostname);
	free(conf->session_user);
	memset(conf, 0, sizeof(*conf));
}

const char *conf_maildir_check(const char *pattern)
{
	const char *p;

	if (pattern[0] == '~' ? pattern[1] != '/' : pattern[0] != '/')
		return "must begin with / or ~/";
	for (p = pattern; (p = strchr(p, '%')) != NULL; p += 2) {
		if (p[1] == '\0' || !strchr("und%", p[1]))
			return "knows only %u, %n, %d and %%";
	}
	return NULL;
}

bool conf_programs(const struct conf *conf)
{
	size_t i;

	for (i = 0; i < conf->users_count; i++) {
		if (conf->users[i].kind == USERS_CHECKPASSWORD
			|| conf->users[i].kind == USERS_PAM)
			return true;
	}
	return conf->oauth != NULL;
}

bool conf_allows(const struct conf *conf, const struct address *address)
{
	bool listed = false;
	size_t i;

	for (i = 0; i < conf->access_count; i++) {
		if (network_has(&conf->access[i].network, address))
			return conf->access[i].allow;
		listed |= conf->access[i].allow;
	}
	return !listed;
}

bool conf_plaintext(const struct conf *conf, const struct address *address)
{
	size_t i;

	for (i = 0; i < conf->plaintext_count; i++) {
		if (network_has(&conf->plaintext[i], address))
			return true;
	}
	return false;
}

/* Adds `length` octets to `path`, which holds `*used`. */
static bool append(char path[PATH_MAX], size_t *used, const char *text, size_t length)
{
	if (length >= PATH_MAX - *used)
		return false;
	memcpy(path + *used, text, length);
	*used += length;
	path[*used] = '\0';
	return true;
}

const char *conf_maildir(
	char path[PATH_MAX], const char *pattern, const char *user, const char *home)
{
	const char *at = strrchr(user, '@');
	size_t used = 0;
	bool fits = true;

	if (*pattern == '~') {
		if (*home != '/')
			return "the user has no home directory";
		fits = append(path, &used, home, strlen(home));
		pattern++;
	}
	for (; *pattern && fits; pattern++) {
		if (*pattern != '%') {
			fits = append(path, &used, pattern, 1);
			continue;
		}
		switch (*++pattern) {
		case 'u':
			fits = append(path, &used, user, strlen(user));
			break;
		case 'n':
			fits = append(path, &used, user,
				at ? (size_t)(at - user) : strlen(user));
			break;
		case 'd':
			fits = append(
				path, &used, at ? at + 1 : "", at ? strlen(at + 1) : 0);
			break;
		default:
			fits = append(path, &used, "%", 1);
		}
	}
	return fits ? NULL : "the path is too long";
}
