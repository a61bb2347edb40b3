/* pop3passwd: the passwords of a users file.  Here: the command line, and what it asks for.  See
 * pop3passwd(8). */
#include "ask.h"
#include "auth.h"
#include "conf.h"
#include "lines.h"
#include "store.h"
#include "users_edit.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#define USAGE \
	"usage: pop3passwd [-n] [-C config | -f file] [-s scheme] [-r rounds]\n" \
	"                  [-u uid] [-g gid] [-H home] [-e extra] user\n" \
	"       pop3passwd -c | -d [-C config | -f file] user\n" \
	"       pop3passwd -i | -l [-C config | -f file]\n" \
	"       pop3passwd -h | -V\n"

static const char help[] = USAGE
	"  -C config  take the users file from this configuration, not " CONF_FILE "\n"
	"  -f file    the users file\n"
	"  -s scheme  how the password is stored; -V lists what there is\n"
	"  -r rounds  crypt(3)'s cost, or SCRAM's iterations\n"
	"  -u uid     what the user's mail belongs to\n"
	"  -g gid     likewise\n"
	"  -H home    the user's home directory\n"
	"  -e extra   words such as maildir=/path\n"
	"  -n         print the user's line, and change nothing\n"
	"  -c         check the password: 0 if it is right, 1 if it is not\n"
	"  -d         delete the user\n"
	"  -i         make the index of the users file anew\n"
	"  -l         list the users, and how their passwords are stored\n"
	"  -V         print the version and the schemes\n"
	"  -h         print this\n"
	"The password is asked for, or is a line of standard input.\n";

#define WRONG 1 /* no such user, or not the password */

struct options {
	int action; /* its letter, or 0: sets a password */
	const char *config, *scheme;
	char *file; /* from the configuration where it is not given */
	unsigned rounds;
	unsigned iterations; /* scram_iterations */
	struct users_edit edit;
};

static int complain(int status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int complain(int status, const char *format, ...)
{
	va_list arguments;

	fputs("pop3passwd: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return status;
}

static void usage(void)
{
	fputs(USAGE, stderr);
	exit(EX_USAGE);
}

static void print_version(void)
{
	const char *name;
	unsigned i;

	printf("pop3passwd %s\nschemes:", VERSION);
	for (i = 0; (name = store_name(i)) != NULL; i++)
		printf(" %s", name);
	printf("\n");
	exit(ferror(stdout) ? EX_IOERR : EX_OK);
}

static void set_action(struct options *o, int action)
{
	if (o->action != 0 && o->action != action)
		usage();
	o->action = action;
}

static unsigned parse_rounds(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 9 || text[digits] != '\0' || atoi(text) == 0)
		exit(complain(EX_USAGE, "-r: must be a number of at most 9 digits"));
	return (unsigned)atoi(text);
}

static void parse_options(struct options *o, int argc, char **argv)
{
	const char **field = o->edit.field;
	int c;

	while ((c = getopt(argc, argv, "C:cde:f:g:H:hilnr:s:u:V")) != -1) {
		switch (c) {
		case 'C':
			o->config = optarg;
			break;
		case 'e':
			field[USERS_EDIT_EXTRA] = optarg;
			break;
		case 'f':
			o->file = optarg;
			break;
		case 'g':
			field[USERS_EDIT_GID] = optarg;
			break;
		case 'H':
			field[USERS_EDIT_HOME] = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			exit(EX_OK);
		case 'r':
			o->rounds = parse_rounds(optarg);
			break;
		case 's':
			o->scheme = optarg;
			break;
		case 'u':
			field[USERS_EDIT_UID] = optarg;
			break;
		case 'V':
			print_version();
			/* fall through */
		case '?':
			usage();
			break;
		default:
			set_action(o, c);
		}
	}
	o->edit.remove = o->action == 'd';
	if (optind < argc)
		field[USERS_EDIT_NAME] = argv[optind++];
	if (optind < argc)
		usage();
}

/* What goes together. */
static void check_options(const struct options *o)
{
	bool sets = o->action == 0 || o->action == 'n', fields = false;
	bool for_all = o->action == 'i' || o->action == 'l';
	int i;

	for (i = USERS_EDIT_UID; i < USERS_EDIT_FIELDS; i++)
		fields |= o->edit.field[i] != NULL;
	if ((o->config && o->file) || (!sets && (o->scheme || o->rounds > 0 || fields))
		|| for_all == (o->edit.field[USERS_EDIT_NAME] != NULL))
		usage();
}

static bool is_id(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long long number = strtoull(text, NULL, 10);

	return digits <= 10 && text[digits] == '\0' && number < UINT32_MAX;
}

static bool fits_line(const char *text, const char *without)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f || strchr(without, *text))
			return false;
	}
	return true;
}

/* The fields of a line.  Returns NULL, or what is wrong with them. */
static const char *check_fields(const struct users_edit *edit)
{
	const char *name = edit->field[USERS_EDIT_NAME],
		   *uid = edit->field[USERS_EDIT_UID], *gid = edit->field[USERS_EDIT_GID],
		   *home = edit->field[USERS_EDIT_HOME],
		   *extra = edit->field[USERS_EDIT_EXTRA];

	/* A line that begins with # is a comment; and who has got into the file with a name that nobody
	 * can have may be taken out of it. */
	if (edit->remove && *name && !strchr(name, ':') && name[0] != '#')
		return NULL;
	if (name[0] == '#' || !users_name_is_safe(name)
		|| strlen(name) >= REQUEST_TEXT_MAX)
		return "no user can have this name: see pop3d.conf(5)";
	if (uid && (!is_id(uid) || (*uid && strtoull(uid, NULL, 10) == 0)))
		return "-u: must be a number, and not 0";
	if (gid && !is_id(gid))
		return "-g: must be a number";
	if (home && ((*home && *home != '/') || !fits_line(home, ":")))
		return "-H: must begin with /, and have no colon or control character";
	if (extra && !fits_line(extra, ""))
		return "-e: must have no control character";
	return NULL;
}

static void report(const char *text)
{
	fprintf(stderr, "%s\n", text);
}

static const char *first_file(const struct conf *conf)
{
	size_t i;

	for (i = 0; i < conf->users_count; i++) {
		if (conf->users[i].kind == USERS_FILE)
			return conf->users[i].file;
	}
	return NULL;
}

/* The users file that pop3d uses. */
static int find_file(struct options *o)
{
	static struct conf conf;
	struct conf_source source = {.file = o->config};
	const char *file = NULL;
	int status = EX_OK;

	if (conf_load(&conf, &source, report) > 0)
		status = complain(
			EX_CONFIG, "the configuration is wrong; -f names a users file");
	else if (!(file = first_file(&conf)))
		status = complain(EX_CONFIG,
			"there is no `users file` in %s; -f names one",
			o->config ? o->config : CONF_FILE);
	else
		o->file = strdup(file);
	o->iterations = conf.scram_iterations;
	conf_free(&conf);
	return status == EX_OK && !o->file ? complain(EX_OSERR, "out of memory") : status;
}

/* A password, stored in the way that is wished for. */
static int ask_new(const struct options *o, char stored[STORE_MAX])
{
	const struct store_scheme *scheme = store_find(o->scheme);
	const char *user = o->edit.field[USERS_EDIT_NAME], *wrong;
	char password[ASK_SIZE];

	if (!scheme)
		return complain(
			EX_USAGE, "-s: there is no such scheme; -V lists what there is");
	wrong = store_rounds_check(scheme, o->rounds);
	if (wrong)
		return complain(EX_USAGE, "-r: %s", wrong);
	wrong = ask_password(password, user, true);
	if (!wrong)
		wrong = store_make(scheme, password,
			store_rounds(scheme, o->rounds, o->iterations), stored);
	explicit_bzero(password, sizeof(password));
	return wrong ? complain(EX_DATAERR, "%s", wrong) : EX_OK;
}

static void warn_of_root(const struct users_edit *edit)
{
	const char *uid = edit->field[USERS_EDIT_UID], *gid = edit->field[USERS_EDIT_GID];

	if (edit->is_new && getuid() == 0 && (!uid || !*uid || !gid || !*gid))
		complain(EX_OK,
			"warning: a user without uid and gid (-u, -g) is not served"
			" where pop3d runs as root");
}

static int edit_file(struct options *o)
{
	char why[LOG_LINE_MAX];
	int status = users_edit(o->file, &o->edit, why);

	if (status != EX_OK)
		return complain(status, "%s", why);
	if (!o->edit.remove)
		warn_of_root(&o->edit);
	return EX_OK;
}

static int set_password(struct options *o)
{
	char stored[STORE_MAX];
	int status = ask_new(o, stored);

	o->edit.field[USERS_EDIT_PASSWORD] = stored;
	if (status == EX_OK)
		status = edit_file(o);
	explicit_bzero(stored, sizeof(stored));
	return status;
}

static int print_line(struct options *o)
{
	static char line[LINES_MAX + 1];
	char stored[STORE_MAX];
	int status = ask_new(o, stored);

	o->edit.field[USERS_EDIT_PASSWORD] = stored;
	if (status == EX_OK && users_edit_line(line, NULL, &o->edit) == 0)
		status = complain(EX_DATAERR, "the line would be too long");
	if (status == EX_OK && (printf("%s\n", line) < 0 || fflush(stdout) != 0))
		status = complain(EX_IOERR, "standard output: %s", strerror(errno));
	explicit_bzero(stored, sizeof(stored));
	explicit_bzero(line, sizeof(line));
	return status;
}

/* EX_NOPERM and the like, where a file can't be read. */
static int read_status(void)
{
	return errno == EACCES || errno == EPERM ? EX_NOPERM
		: errno == ENOENT                ? EX_NOINPUT
						 : EX_IOERR;
}

static int check_password(struct options *o)
{
	static struct account account;
	struct conf conf = {.users = {{USERS_FILE, o->file, NULL}}, .users_count = 1};
	const char *user = o->edit.field[USERS_EDIT_NAME], *wrong;
	char password[ASK_SIZE], why[LOG_LINE_MAX];
	enum users_found found;
	bool right = false;

	wrong = ask_password(password, user, false);
	found = users_find(&conf, user, &account, why);
	if (found == USERS_BROKEN) {
		int status = read_status();

		explicit_bzero(password, sizeof(password));
		return complain(status, "%s", why);
	}
	if (!wrong)
		right = auth_takes(&account, password);
	explicit_bzero(password, sizeof(password));
	explicit_bzero(&account, sizeof(account));
	if (found == USERS_ABSENT)
		return complain(WRONG, "there is no such user");
	return right ? EX_OK
		     : complain(WRONG, "%s", wrong ? wrong : "the password is wrong");
}

static void list_line(char *line)
{
	char *password = strchr(line, ':') + 1, quoted[LOG_QUOTE_SIZE];
	size_t length = (size_t)(password - line) - 1;

	line[length] = '\0';
	password[strcspn(password, ":")] = '\0';
	printf("%s\t%s\n",
		users_name_is_safe(line) ? line : log_quote(quoted, line, length),
		store_kind(password));
}

static int list_users(struct options *o)
{
	static struct lines lines;
	struct users_line parts;
	int status = EX_OK;
	char *line;

	if (lines_open(&lines, o->file) < 0)
		return complain(read_status(), "%s: %s", o->file, strerror(errno));
	while ((line = lines_next(&lines)) != NULL) {
		if (!lines.bad && users_line(line, &parts))
			list_line(line);
	}
	if (lines.error)
		status = complain(EX_IOERR, "%s: %s", o->file, strerror(lines.error));
	lines_close(&lines);
	if (fflush(stdout) != 0 || ferror(stdout))
		status = complain(EX_IOERR, "standard output: %s", strerror(errno));
	return status;
}

static int make_index(struct options *o)
{
	char why[LOG_LINE_MAX];
	int status = users_edit_index(o->file, why);

	return status == EX_OK ? EX_OK : complain(status, "%s", why);
}

static const struct action {
	int letter;
	int (*run)(struct options *options);
} actions[] = {
	{0, set_password},
	{'c', check_password},
	{'d', edit_file},
	{'i', make_index},
	{'l', list_users},
	{'n', print_line},
};

int main(int argc, char **argv)
{
	static struct options options;
	const char *wrong;
	int status;
	size_t i = 0;

	/* Neither a password in a core file, nor half a users file by a limit on sizes. */
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	signal(SIGXFSZ, SIG_IGN);
	parse_options(&options, argc, argv);
	check_options(&options);
	wrong = options.edit.field[USERS_EDIT_NAME] ? check_fields(&options.edit) : NULL;
	if (wrong)
		return complain(EX_USAGE, "%s", wrong);
	if (!options.file && options.action != 'n') {
		status = find_file(&options);
		if (status != EX_OK)
			return status;
	}
	while (actions[i].letter != options.action)
		i++;
	return actions[i].run(&options);
}
