/* Configurations: lines that begin with -o or -l are options, all others are the file.  Then
 * the maildir pattern for some users, compared with a slow version. */
#include "fuzz.h"
#include "conf.h"

#include <stdlib.h>
#include <string.h>

static unsigned reports;

static void report(const char *text)
{
	const char *p;

	for (p = text; *p; p++)
		MUST((unsigned char)*p >= 0x20 && *p != 0x7f);
	reports++;
}

/* Takes an option to where options are; false where this is none. */
static bool take_option(struct conf_source *source, const char *line)
{
	if (strncmp(line, "-o", 2) == 0 && source->option_count < CONF_OPTIONS_MAX)
		source->options[source->option_count++] = line + 2;
	else if (strncmp(line, "-l", 2) == 0 && source->listen_count < CONF_LISTEN_MAX)
		source->listen[source->listen_count++] = line + 2;
	else
		return false;
	return true;
}

/* Parts the options from the file, which is what `text` becomes. */
static size_t part(char *text, size_t length, char *options, struct conf_source *source)
{
	size_t at = 0, kept = 0;

	while (at < length) {
		const char *lf = memchr(text + at, '\n', length - at);
		size_t end = lf ? (size_t)(lf - text) + 1 : length;

		memcpy(options + at, text + at, end - at);
		options[end - (lf ? 1 : 0)] = '\0';
		if (!take_option(source, options + at)) {
			memmove(text + kept, text + at, end - at);
			kept += end - at;
		}
		at = end;
	}
	return kept;
}

static bool is_number(const char *text, long most)
{
	char *end;
	long number = strtol(text, &end, 10);

	return end > text && *end == '\0' && number >= 0 && number <= most;
}

/* It has its own first address in it. */
static void check_network(const struct network *network)
{
	struct address first = {.local = true, .known = true};

	memcpy(first.octets, network->octets, sizeof(first.octets));
	MUST(network->kind <= NETWORK_ADDRESS);
	MUST(network->bits <= 128 && network_has(network, &first));
}

/* It goes into a string of JSON as it is. */
static bool is_plain(const char *text)
{
	size_t i, length = text ? strlen(text) : 0;

	for (i = 0; i < length; i++) {
		if (text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
			return false;
	}
	return length < CONF_OAUTH_TEXT_MAX;
}

/* Whatever was wrong, what is there can be used. */
static void check(const struct conf *conf)
{
	size_t i;

	MUST(conf->hostname && *conf->hostname && strlen(conf->hostname) < 256);
	MUST(!strpbrk(conf->hostname, " \t\r\n<>@"));
	MUST(conf->maildir && !conf_maildir_check(conf->maildir));
	MUST(conf->users_count >= 1 && conf->users_count <= CONF_USERS_MAX);
	for (i = 0; i < conf->users_count; i++) {
		const struct conf_users *users = &conf->users[i];

		MUST((users->kind == USERS_FILE)
			== (users->file && users->file[0] == '/'));
		MUST((users->kind == USERS_CHECKPASSWORD)
			== (users->words && users->words[0][0] == '/'));
		MUST((users->kind != USERS_PAM) || (users->words && users->words[0]));
	}
	MUST(conf->plaintext_count <= CONF_NETWORKS_MAX && conf->log <= LOG_TO_STDERR);
	MUST(conf->access_count <= CONF_NETWORKS_MAX);
	for (i = 0; i < conf->plaintext_count; i++)
		check_network(&conf->plaintext[i]);
	for (i = 0; i < conf->access_count; i++)
		check_network(&conf->access[i].network);
	MUST(!conf->oauth || conf->oauth[0][0] == '/');
	for (i = 0; conf->oauth && conf->oauth[i]; i++)
		MUST(*conf->oauth[i] && !strpbrk(conf->oauth[i], " \t\n"));
	MUST(conf->oauth_timeout >= 1 && conf->oauth_timeout <= 60);
	MUST(is_plain(conf->oauth_scope) && is_plain(conf->oauth_discovery));
	MUST(conf->auth_timeout >= 1 && conf->auth_timeout <= 86400);
	MUST(conf->idle_timeout >= 600 && conf->idle_timeout <= 86400);
	MUST(conf->max_connections >= 1 && conf->max_per_address >= 1);
	MUST(conf->listen_count <= CONF_LISTEN_MAX);
	for (i = 0; i < conf->listen_count; i++)
		MUST(conf->listen[i].host && is_number(conf->listen[i].port, 65535));
	MUST(!conf->session_user || *conf->session_user);
	MUST(conf->certificate_count <= CONF_CERTIFICATES_MAX);
	for (i = 0; i < conf->certificate_count; i++) {
		MUST(conf->certificates[i].certificate[0] == '/');
		MUST(!conf->certificates[i].key || conf->certificates[i].key[0] == '/');
	}
	MUST(!conf->tls_client_ca || conf->tls_client_ca[0] == '/');
}

static void slow_add(char *out, size_t *used, const char *text, size_t length)
{
	if (*used < PATH_MAX)
		memcpy(out + *used, text,
			length < 2 * PATH_MAX - *used ? length : 2 * PATH_MAX - *used);
	*used += length;
}

static size_t slow_maildir(
	char *out, const char *pattern, const char *user, const char *home)
{
	const char *at = strrchr(user, '@');
	size_t used = 0;

	if (*pattern == '~') {
		slow_add(out, &used, home, strlen(home));
		pattern++;
	}
	for (; *pattern; pattern++) {
		char key = '\0';

		if (*pattern == '%')
			key = *++pattern;
		if (key == 'u')
			slow_add(out, &used, user, strlen(user));
		else if (key == 'n')
			slow_add(out, &used, user,
				at ? (size_t)(at - user) : strlen(user));
		else if (key == 'd')
			slow_add(out, &used, at ? at + 1 : "", at ? strlen(at + 1) : 0);
		else
			slow_add(out, &used, pattern, 1);
	}
	return used;
}

static void check_maildir(const char *pattern, const char *user, const char *home)
{
	static char want[3 * PATH_MAX];
	char path[PATH_MAX];
	size_t length;

	if (conf_maildir_check(pattern))
		return;
	length = slow_maildir(want, pattern, user, home);
	if (conf_maildir(path, pattern, user, home))
		MUST(length >= PATH_MAX || (*pattern == '~' && *home != '/'));
	else
		MUST(strlen(path) == length && memcmp(path, want, length) == 0);
}

static void load(const struct conf_source *source)
{
	static char long_home[3000];
	struct conf conf;

	reports = 0;
	MUST(conf_load(&conf, source, report) == reports);
	check(&conf);
	memset(long_home, '/', sizeof(long_home) - 1);
	check_maildir(conf.maildir, "user", "/home/user");
	check_maildir(conf.maildir, "first@second@example.org", "/");
	check_maildir(conf.maildir, "@", "");
	check_maildir(conf.maildir, "user@", long_home);
	conf_free(&conf);
	conf_free(&conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct input input = {data, size};
	struct conf_source source = {0};
	size_t length;
	char *text = input_text(&input, &length);
	char *options = malloc(length + 1);
	uint64_t fds;

	fuzz_reset();
	length = part(text, length, options, &source);
	fd = fuzz_file(fd, text, length);
	fds = fuzz_fds();
	source.file = fuzz_path(fd);
	load(&source);
	MUST(fuzz_fds() == fds);
	free(options);
	free(text);
	return 0;
}
