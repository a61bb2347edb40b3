/* See conf_keys.h.  Runs before the processes part, as the user that pop3d was started as. */
#include "conf_keys.h"
#include "auth.h"
#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

struct key;

/* Takes a value; returns NULL, or what is wrong with it. */
typedef const char *parser(struct conf *conf, const struct key *key, char *value);

static parser parse_users, parse_maildir, parse_choice, parse_listen, parse_hostname,
	parse_number, parse_session_user, parse_tls_certificate, parse_tls_key,
	parse_tls_client_ca, parse_mechanisms, parse_plaintext, parse_access, parse_term,
	parse_deleted, parse_oauth, parse_oauth_scope, parse_oauth_discovery;

#define FIELD(name) offsetof(struct conf, name)

static const char *const log_choices[] = {"syslog", "stderr", NULL};
static const char *const tls_min_choices[] = {"1.2", "1.3", NULL};
static const char *const tls_client_user_choices[]
	= {"none", "subject-cn", "san-email", NULL};
static const char *const sandbox_choices[] = {"try", "require", NULL};

/* The keys: pop3d.conf(5) lists the same.  A NULL fallback leaves the field zero. */
static const struct key {
	const char *name;
	const char *fallback;
	parser *parse;
	size_t field;
	unsigned least, most;       /* of a number */
	const char *const *choices; /* of an enumeration, in its order */
} keys[] = {
	{"users", NULL, parse_users, 0, 0, 0, NULL},
	{"maildir", "~/Maildir", parse_maildir, 0, 0, 0, NULL},
	{"plaintext", "local", parse_plaintext, 0, 0, 0, NULL},
	{"allow", NULL, parse_access, 0, 0, 0, NULL},
	{"deny", NULL, parse_access, 0, 0, 0, NULL},
	{"mechanisms", NULL, parse_mechanisms, 0, 0, 0, NULL},
	{"oauth", NULL, parse_oauth, 0, 0, 0, NULL},
	{"oauth_timeout", "10", parse_number, FIELD(oauth_timeout), 1, 60, NULL},
	{"oauth_scope", NULL, parse_oauth_scope, 0, 0, 0, NULL},
	{"oauth_discovery", NULL, parse_oauth_discovery, 0, 0, 0, NULL},
	/* RFC 7677 s.4: at least 4096 */
	{"scram_iterations", "4096", parse_number, FIELD(scram_iterations), 4096, 9999999,
		NULL},
	{"listen", NULL, parse_listen, 0, 0, 0, NULL},
	{"tls_certificate", NULL, parse_tls_certificate, 0, 0, 0, NULL},
	{"tls_key", NULL, parse_tls_key, 0, 0, 0, NULL},
	{"tls_min", "1.2", parse_choice, FIELD(tls_min), 0, 0, tls_min_choices},
	{"tls_client_ca", NULL, parse_tls_client_ca, 0, 0, 0, NULL},
	{"tls_client_user", "none", parse_choice, FIELD(tls_client_user), 0, 0,
		tls_client_user_choices},
	{"hostname", NULL, parse_hostname, 0, 0, 0, NULL},
	{"auth_timeout", "60", parse_number, FIELD(auth_timeout), 1, 86400, NULL},
	/* RFC 1939 s.3: an autologout timer of at least ten minutes */
	{"idle_timeout", "600", parse_number, FIELD(idle_timeout), 600, 86400, NULL},
	{"login_delay", "0", parse_term, 0, 0, 0, NULL},
	{"login_delay_burst", "0", parse_number, FIELD(login_delay_burst), 0, 1000, NULL},
	{"takeover", "30", parse_number, FIELD(takeover), 0, 86400, NULL},
	{"expire", "never", parse_term, 0, 0, 0, NULL},
	{"deleted", "unlink", parse_deleted, 0, 0, 0, NULL},
	{"max_connections", "1000", parse_number, FIELD(max_connections), 1, 1000000,
		NULL},
	{"max_per_address", "50", parse_number, FIELD(max_per_address), 1, 1000000, NULL},
	{"session_user", NULL, parse_session_user, 0, 0, 0, NULL},
	{"sandbox", "try", parse_choice, FIELD(sandbox), 0, 0, sandbox_choices},
	{"log", "syslog", parse_choice, FIELD(log), 0, 0, log_choices},
};

#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

void conf_set_string(char **field, const char *value)
{
	free(*field);
	*field = memory_copy(value);
}

/* The words of a command, and their array in front of them: one piece of memory. */
static char **make_command(const char *value)
{
	size_t length = strlen(value), most = length / 2 + 2, count = 0;
	char **words = memory_resize(NULL, most * sizeof(*words) + length + 1);
	char *rest, *text = strcpy((char *)(words + most), value);

	for (text = strtok_r(text, " \t", &rest); text;
		text = strtok_r(NULL, " \t", &rest))
		words[count++] = text;
	words[count] = NULL;
	return words;
}

#define SERVICE_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789-_"

/* What stands behind the word, or NULL where there is another. */
static const char *behind(const char *value, const char *word)
{
	size_t length = strlen(word);

	if (strncmp(value, word, length) != 0
		|| (value[length] && !strchr(" \t", value[length])))
		return NULL;
	return value + length + strspn(value + length, " \t");
}

static const char *parse_system(struct conf_users *users, const char *rest)
{
	(void)users;
	return *rest ? "there is nothing to be said behind `system`" : NULL;
}

static const char *parse_file(struct conf_users *users, const char *rest)
{
	if (*rest != '/')
		return "the path of the users file must begin with /";
	conf_set_string(&users->file, rest);
	return NULL;
}

static const char *parse_checkpassword(struct conf_users *users, const char *rest)
{
	if (*rest != '/')
		return "the command's path must begin with /";
	users->words = make_command(rest);
	return NULL;
}

/* `[SERVICE [USER]]`. */
static const char *parse_pam(struct conf_users *users, const char *rest)
{
	char **words;
#ifndef WITH_PAM
	return "this pop3d is built without PAM";
#endif
	words = users->words = make_command(*rest ? rest : "pop3d");
	if (words[0][strspn(words[0], SERVICE_CHARACTERS)])
		return "a service has lower-case letters, digits, `-` and `_`";
	return words[1] && words[2] ? "must be `pam`, `pam SERVICE` or `pam SERVICE USER`"
				    : NULL;
}

static const struct {
	const char *word;
	const char *(*parse)(struct conf_users *users, const char *rest);
} sources[] = {
	[USERS_SYSTEM] = {"system", parse_system},
	[USERS_FILE] = {"file", parse_file},
	[USERS_CHECKPASSWORD] = {"checkpassword", parse_checkpassword},
	[USERS_PAM] = {"pam", parse_pam},
};

#ifdef WITH_PAM
#define SOURCE_COUNT (USERS_PAM + 1)
#else
#define SOURCE_COUNT USERS_PAM
#endif

static const char *parse_users(struct conf *conf, const struct key *key, char *value)
{
	struct conf_users *users = &conf->users[conf->users_count];
	const char *rest = NULL, *wrong;
	size_t i;

	(void)key;
	if (conf->users_count == CONF_USERS_MAX)
		return "too many of these";
	for (i = 0; i < sizeof(sources) / sizeof(sources[0]) && !rest; i++) {
		rest = behind(value, sources[i].word);
		users->kind = (enum users_kind)i;
	}
	if (!rest)
		return "must be `system`, `file /path`, `checkpassword /command ...` or "
		       "`pam`";
	wrong = sources[users->kind].parse(users, rest);
	conf->users_count++;
	if (wrong)
		conf_forget_source(conf);
	return wrong;
}

static const char *parse_maildir(struct conf *conf, const struct key *key, char *value)
{
	const char *wrong = conf_maildir_check(value);

	(void)key;
	if (!wrong)
		conf_set_string(&conf->maildir, value);
	return wrong;
}

static const char *parse_choice(struct conf *conf, const struct key *key, char *value)
{
	static char wrong[80];
	int i;

	for (i = 0; key->choices[i]; i++) {
		if (strcmp(value, key->choices[i]) == 0) {
			memcpy((char *)conf + key->field, &i, sizeof(i));
			return NULL;
		}
	}
	strcpy(wrong, "must be");
	for (i = 0; key->choices[i]; i++)
		snprintf(wrong + strlen(wrong), sizeof(wrong) - strlen(wrong), "%s `%s`",
			i ? " or" : "", key->choices[i]);
	return wrong;
}

/* `never`, `always`, or networks. */
static const char *parse_plaintext(struct conf *conf, const struct key *key, char *value)
{
	char *rest, *word = strtok_r(value, " \t", &rest);
	const char *wrong = NULL;

	(void)key;
	conf->plaintext_count = 0;
	if (strcmp(value, "never") == 0 && !*rest)
		return NULL;
	for (; word && !wrong; word = strtok_r(NULL, " \t", &rest)) {
		if (conf->plaintext_count == CONF_NETWORKS_MAX)
			return "names too many networks";
		wrong = network_parse(&conf->plaintext[conf->plaintext_count++],
			strcmp(word, "always") == 0 ? "all" : word);
	}
	return wrong ? "must be `never`, `always`, or one or more of `local`, addresses "
		       "and networks such as 192.0.2.0/24 or 2001:db8::/32"
		     : NULL;
}

static const char *parse_access(struct conf *conf, const struct key *key, char *value)
{
	char *rest, *word = strtok_r(value, " \t", &rest);
	const char *wrong = NULL;

	for (; word && !wrong; word = strtok_r(NULL, " \t", &rest)) {
		struct conf_access *access = &conf->access[conf->access_count];

		if (conf->access_count == CONF_NETWORKS_MAX)
			return "names too many networks";
		access->allow = strcmp(key->name, "allow") == 0;
		wrong = network_parse(&access->network, word);
		conf->access_count++;
	}
	return wrong;
}

/* Names of methods, with spaces between them; USER stands for USER and PASS. */
static const char *parse_mechanisms(struct conf *conf, const struct key *key, char *value)
{
	char *rest, *word = strtok_r(value, " \t", &rest);

	(void)key;
	conf->mechanisms = 0;
	for (; word; word = strtok_r(NULL, " \t", &rest)) {
		enum auth_method m = AUTH_PASS;

		if (strcasecmp(word, "USER") != 0) {
			for (m = AUTH_APOP; m < AUTH_METHODS; m++) {
				if (strcasecmp(word, auth_method_name(m)) == 0)
					break;
			}
		}
		if (m == AUTH_METHODS)
			return "knows only USER, APOP, PLAIN, LOGIN, CRAM-MD5, "
			       "SCRAM-SHA-1, "
			       "SCRAM-SHA-256, these with -PLUS, EXTERNAL, OAUTHBEARER, "
			       "XOAUTH2";
		conf->mechanisms |= AUTH_METHOD(m);
	}
	return NULL;
}

static const char *parse_oauth(struct conf *conf, const struct key *key, char *value)
{
	(void)key;
	if (*value != '/')
		return "the command's path must begin with /";
	free(conf->oauth);
	conf->oauth = make_command(value);
	return NULL;
}

/* What can stand in a string of JSON as it is. */
static bool is_plain(const char *text)
{
	const char *p = text;

	while (*p >= 0x20 && *p < 0x7f && !strchr("\"\\", *p))
		p++;
	return *p == '\0' && p - text < CONF_OAUTH_TEXT_MAX;
}

static const char *parse_oauth_scope(
	struct conf *conf, const struct key *key, char *value)
{
	(void)key;
	if (!is_plain(value))
		return "must be a scope";
	conf_set_string(&conf->oauth_scope, value);
	return NULL;
}

/* RFC 7628 s.3.2.2: it has the https scheme. */
static const char *parse_oauth_discovery(
	struct conf *conf, const struct key *key, char *value)
{
	(void)key;
	if (strncmp(value, "https://", 8) != 0 || strpbrk(value, " \t")
		|| !is_plain(value))
		return "must be a URL that begins with https://";
	conf_set_string(&conf->oauth_discovery, value);
	return NULL;
}

static bool is_port(const char *text)
{
	size_t length = strspn(text, "0123456789");

	return length > 0 && length <= 5 && text[length] == '\0' && atoi(text) <= 65535;
}

/* Cuts off ` tls`, or `,tls` as it is written after -l.  Returns whether it was there. */
static bool cut_tls(char *value)
{
	size_t length = strlen(value);

	if (length < 4 || strcmp(value + length - 3, "tls") != 0
		|| !strchr(" \t,", value[length - 4]))
		return false;
	for (length -= 4; length > 0 && strchr(" \t", value[length - 1]); length--)
		;
	value[length] = '\0';
	return true;
}

/* address:port; an IPv6 address in brackets; no address or * for all. */
static const char *parse_listen(struct conf *conf, const struct key *key, char *value)
{
	struct conf_listen *l = &conf->listen[conf->listen_count];
	bool tls = cut_tls(value);
	char *colon = strrchr(value, ':');
	size_t length;

	(void)key;
	if (!colon || !is_port(colon + 1))
		return "must be `address:port`, such as 127.0.0.1:110, [::1]:110 or "
		       "*:110, and may have `tls` behind it";
	*colon = '\0';
	length = strlen(value);
	if (value[0] == '[' && length > 2 && value[length - 1] == ']') {
		value[length - 1] = '\0';
		value++;
	} else if (strchr(value, ':')) {
		return "an IPv6 address stands in brackets: [::1]:110";
	}
	if (strcmp(value, "*") == 0)
		value++;
	if (conf->listen_count == CONF_LISTEN_MAX)
		return "too many addresses to listen on";
	conf_set_string(&l->host, value);
	conf_set_string(&l->port, colon + 1);
	l->tls = tls;
	conf->listen_count++;
	return NULL;
}

static const char *set_path(char **field, const char *value)
{
	if (*value != '/')
		return "the path must begin with /";
	conf_set_string(field, value);
	return NULL;
}

static const char *parse_tls_certificate(
	struct conf *conf, const struct key *key, char *value)
{
	const char *wrong;

	(void)key;
	if (conf->certificate_count == CONF_CERTIFICATES_MAX)
		return "too many certificates";
	wrong = set_path(&conf->certificates[conf->certificate_count].certificate, value);
	conf->certificate_count += !wrong;
	return wrong;
}

/* Of the certificate before it. */
static const char *parse_tls_key(struct conf *conf, const struct key *key, char *value)
{
	struct conf_certificate *c;

	(void)key;
	if (conf->certificate_count == 0)
		return "must come after its tls_certificate";
	c = &conf->certificates[conf->certificate_count - 1];
	if (c->key)
		return "the tls_certificate before it has a key already";
	return set_path(&c->key, value);
}

static const char *parse_tls_client_ca(
	struct conf *conf, const struct key *key, char *value)
{
	(void)key;
	return set_path(&conf->tls_client_ca, value);
}

/* It stands in the greeting, and to the right of the @ in APOP's timestamp, which must
 * be an RFC 822 msg-id. */
static bool is_hostname(const char *name)
{
	size_t length = strspn(name,
		"abcdefghijklmnopqrstuvwxyz"
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._");

	return length > 0 && length < 256 && name[length] == '\0' && name[0] != '.';
}

static const char *parse_hostname(struct conf *conf, const struct key *key, char *value)
{
	(void)key;
	if (!is_hostname(value))
		return "must be a host name: letters, digits, dots and hyphens";
	conf_set_string(&conf->hostname, value);
	return NULL;
}

static const char *parse_number(struct conf *conf, const struct key *key, char *value)
{
	static char wrong[80];
	size_t digits = strspn(value, "0123456789");
	unsigned long number = strtoul(value, NULL, 10);

	if (digits == 0 || digits > 9 || value[digits] != '\0' || number < key->least
		|| number > key->most) {
		snprintf(wrong, sizeof(wrong), "must be a number from %u to %u",
			key->least, key->most);
		return wrong;
	}
	memcpy((char *)conf + key->field, &(unsigned){(unsigned)number},
		sizeof(unsigned));
	return NULL;
}

static const struct {
	const char *name;
	size_t field; /* in struct terms */
	unsigned most;
	const char *never; /* the word for TERMS_NEVER, or NULL */
	const char *wrong;
} terms_table[] = {
	{"login_delay", offsetof(struct terms, login_delay), 604800, NULL,
		"must be a number of seconds from 0 to 604800"},
	{"expire", offsetof(struct terms, expire), 36500, "never",
		"must be `never` or a number of days from 0 to 36500"},
};

const char *conf_term(
	struct terms *terms, const char *name, const char *value, bool *known)
{
	size_t i, digits = strspn(value, "0123456789");
	unsigned number = TERMS_NEVER;

	for (i = 0; i < sizeof(terms_table) / sizeof(terms_table[0]); i++) {
		if (strcmp(name, terms_table[i].name) == 0)
			break;
	}
	*known = i < sizeof(terms_table) / sizeof(terms_table[0]);
	if (!*known)
		return NULL;
	if (!terms_table[i].never || strcmp(value, terms_table[i].never) != 0) {
		if (digits == 0 || digits > 9 || value[digits] != '\0')
			return terms_table[i].wrong;
		number = (unsigned)atoi(value);
		if (number > terms_table[i].most)
			return terms_table[i].wrong;
	}
	memcpy((char *)terms + terms_table[i].field, &number, sizeof(number));
	return NULL;
}

static const char *parse_term(struct conf *conf, const struct key *key, char *value)
{
	bool known;

	return conf_term(&conf->terms, key->name, value, &known);
}

/* `unlink`, or `move FOLDER`: a folder of Maildir++, which is .FOLDER in the Maildir. */
static const char *parse_deleted(struct conf *conf, const struct key *key, char *value)
{
	const char *p;

	(void)key;
	if (strcmp(value, "unlink") == 0) {
		free(conf->deleted_folder);
		conf->deleted_folder = NULL;
		return NULL;
	}
	if (strncmp(value, "move", 4) != 0 || !value[4] || !strchr(" \t", value[4]))
		return "must be `unlink` or `move FOLDER`";
	value += 4 + strspn(value + 4, " \t");
	for (p = value; *p; p++) {
		if (*p == '/' || (unsigned char)*p < ' ' || *p == 0x7f
			|| (*p == '.' && (p == value || !p[1] || p[1] == '.')))
			return "no folder can have this name";
	}
	if (p - value > 200)
		return "the name of the folder is too long";
	conf_set_string(&conf->deleted_folder, value);
	return NULL;
}

static const char *parse_session_user(
	struct conf *conf, const struct key *key, char *value)
{
	(void)key;
	conf_set_string(&conf->session_user, value);
	return NULL;
}

const char *conf_set_key(struct conf *conf, char *line)
{
	char *value;
	size_t i, length;

	line += strspn(line, " \t");
	length = strcspn(line, " \t");
	value = line + length + strspn(line + length, " \t");
	line[length] = '\0';
	for (i = strlen(value); i > 0 && strchr(" \t", value[i - 1]); i--)
		value[i - 1] = '\0';
	for (i = 0; i < KEY_COUNT; i++) {
		if (strcmp(line, keys[i].name) != 0)
			continue;
		if (strstr(value, " #") || strstr(value, "\t#"))
			return "a comment needs a line of its own";
		return *value ? keys[i].parse(conf, &keys[i], value) : "has no value";
	}
	return "is not a key that pop3d knows";
}

void conf_set_defaults(struct conf *conf)
{
	char host[256] = "";
	size_t i;

	memset(conf, 0, sizeof(*conf));
	for (i = 0; i < KEY_COUNT; i++) {
		char value[32];

		if (!keys[i].fallback)
			continue;
		strcpy(value, keys[i].fallback);
		keys[i].parse(conf, &keys[i], value);
	}
	if (gethostname(host, sizeof(host) - 1) < 0 || !is_hostname(host))
		strcpy(host, "localhost");
	conf_set_string(&conf->hostname, host);
}

const char *conf_source(unsigned number)
{
	return number < SOURCE_COUNT ? sources[number].word : NULL;
}

const char *conf_key(unsigned number)
{
	return number < KEY_COUNT ? keys[number].name : NULL;
}
