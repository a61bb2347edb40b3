/* pop3d: a POP3 server for Maildirs.  Here: the command line, and how the connection, or
 * the socket that connections come to, has arrived.  See pop3d(8). */
#include "checkpassword.h"
#include "conf.h"
#include "expire.h"
#include "listen.h"
#include "program.h"
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define USAGE \
	"usage: pop3d [-hTtVx] [-f config] [-o 'key value']... [-l " \
	"address:port[,tls]]...\n"
#define SD_LISTEN_FDS_START 3 /* sd_listen_fds(3) */
#define TLS_NAME "pop3s"      /* FileDescriptorName= of a socket for TLS */

static const char help[] = USAGE
	"  -f config        read this file instead of " CONF_FILE "\n"
	"  -o 'key value'   set a key of pop3d.conf(5), over the file\n"
	"  -l address:port  listen there and fork for each connection; `,tls` behind "
	"it:\n"
	"                   TLS from the first octet\n"
	"  -T               TLS from the first octet, wherever connections come from\n"
	"  -t               check configuration and users, then exit with 0 or 78\n"
	"  -x               remove what has expired of all users' messages\n"
	"  -V               print the version and what is built in\n"
	"  -h               print this\n"
	"Without -l the connection, or the listening socket, is standard input's.\n";

struct options {
	struct conf_source source;
	bool check, expire;
};

static void usage(void)
{
	fputs(USAGE, stderr);
	exit(EX_USAGE);
}

static void print_words(const char *title, const char *(*get)(unsigned), const char *but)
{
	const char *word;
	unsigned i;

	printf("%s:", title);
	for (i = 0; (word = get(i)) != NULL; i++) {
		if (!but || strcmp(word, but) != 0)
			printf(" %s", word);
	}
	printf("\n");
}

static void print_version(void)
{
	char why[LOG_LINE_MAX];
	const char *but = tls_load(why) ? NULL : "STLS";

	printf("pop3d %s\n", VERSION);
	print_words("commands", session_keyword, but);
	print_words("capabilities", capa_tag, but);
	print_words("users", conf_source, NULL);
	print_words("keys", conf_key, NULL);
	exit(ferror(stdout) ? EX_IOERR : EX_OK);
}

static void add(const char **list, size_t *count, size_t size, const char *value)
{
	if (*count == size) {
		fprintf(stderr, "pop3d: too many options\n");
		exit(EX_USAGE);
	}
	list[(*count)++] = value;
}

static void parse_options(struct options *o, int argc, char **argv)
{
	struct conf_source *s = &o->source;
	int c;

	while ((c = getopt(argc, argv, "f:hl:o:TtVx")) != -1) {
		switch (c) {
		case 'f':
			s->file = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			exit(EX_OK);
		case 'l':
			add(s->listen, &s->listen_count, CONF_LISTEN_MAX, optarg);
			break;
		case 'o':
			add(s->options, &s->option_count, CONF_OPTIONS_MAX, optarg);
			break;
		case 'T':
			s->tls = true;
			break;
		case 't':
			o->check = true;
			break;
		case 'x':
			o->expire = true;
			break;
		case 'V':
			print_version();
			/* fall through */
		default:
			usage();
		}
	}
	if (optind < argc)
		usage();
}

/* Descriptors 0 to 2 are always something, so that nothing else becomes one of them. */
static void open_missing_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

static bool is_socket(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Under inetd, descriptor 2 is the client: nothing may be written there. */
static bool stderr_is_client(void)
{
	struct stat in, err;

	return is_socket(0) && fstat(0, &in) == 0 && fstat(2, &err) == 0
		&& same_file(&in, &err);
}

/* Until the configuration says where the log goes, an administrator at a terminal, or a
 * service manager, reads standard error. */
static void open_early_log(void)
{
	struct stat null, err;
	bool is_null = stat("/dev/null", &null) == 0 && fstat(2, &err) == 0
		&& same_file(&null, &err);

	log_open(is_null || stderr_is_client() ? LOG_TO_SYSLOG : LOG_TO_STDERR);
}

static void report_check(const char *text)
{
	fprintf(stderr, "%s\n", text);
}

static bool check_tls(const struct conf *conf)
{
	char why[LOG_LINE_MAX];
	const struct tls_library *library = tls_load(why);
	struct tls_server *server;

	if (!library) {
		report_check(why);
		return false;
	}
	server = library->open(conf, TLS_FOR_NONE, report_check);
	library->close(server);
	return server != NULL;
}

static int check(const struct conf_source *source)
{
	static struct server server;
	unsigned mistakes = conf_load(&server.conf, source, report_check);
	const char *wrong = sandbox_find_user(&server.user, server.conf.session_user);

	if (wrong)
		report_check(wrong);
	mistakes += users_check(&server.conf, report_check);
	auth_report(&server.conf, report_check);
	mistakes += listen_check(&server.conf, report_check);
	if (server.conf.certificate_count > 0)
		mistakes += !check_tls(&server.conf);
	if (server.conf.oauth)
		mistakes += !program_check("oauth", server.conf.oauth[0], report_check);
	return wrong || mistakes > 0 ? EX_CONFIG : EX_OK;
}

/* What is wrong with the configuration goes where an administrator may see it; the client
 * learns no more than that. */
static int fail_configuration(bool connected)
{
	static const char reply[] = "-ERR [SYS/PERM] The server is not set up\r\n";

	if (connected && write(STDOUT_FILENO, reply, sizeof(reply) - 1) < 0)
		return EX_IOERR;
	return EX_CONFIG;
}

/* systemd's sockets, sd_listen_fds(3): how many there are, from descriptor 3 on. */
static size_t systemd_sockets(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	long n = count ? strtol(count, NULL, 10) : 0;

	if (!pid || strtol(pid, NULL, 10) != (long)getpid() || n < 1)
		return 0;
	return n > LISTEN_MAX ? LISTEN_MAX : (size_t)n;
}

/* Whether descriptor `number` of them is named (FileDescriptorName=) for TLS. */
static bool systemd_tls(size_t number)
{
	const char *names = getenv("LISTEN_FDNAMES");

	while (names && number-- > 0) {
		names = strchr(names, ':');
		names += names != NULL;
	}
	return names && strcspn(names, ":") == strlen(TLS_NAME)
		&& strncmp(names, TLS_NAME, strlen(TLS_NAME)) == 0;
}

static int serve_connection(struct server *server, bool tls, int in, int out)
{
	struct connection c;

	log_open(server->conf.log);
	serve_take(&c, &server->conf, in, out, NULL);
	c.tls = tls;
	if (!conf_allows(&server->conf, &c.peer.at)) {
		listen_turn_away(&c, LISTEN_DENIED);
		return EX_OK;
	}
	if (!sandbox_start(
		    &server->user, server->conf.sandbox, conf_programs(&server->conf))) {
		fail_configuration(!tls && is_socket(in));
		return EX_UNAVAILABLE;
	}
	return serve(server, &c);
}

static int serve_systemd(
	struct server *server, const struct conf_source *source, size_t count)
{
	struct listen_socket sockets[LISTEN_MAX];
	size_t i;

	for (i = 0; i < count; i++)
		sockets[i] = (struct listen_socket){
			SD_LISTEN_FDS_START + (int)i, source->tls || systemd_tls(i)};
	for (i = 0; i < count; i++) {
		if (!sockets[i].tls || server->conf.certificate_count > 0)
			continue;
		log_line(LOG_ERR,
			"LISTEN_FDNAMES: " TLS_NAME ": there is no tls_certificate");
		return EX_CONFIG;
	}
	/* Accept=yes without StandardInput=socket */
	if (count == 1 && is_socket(sockets[0].fd) && !listen_accepts(sockets[0].fd))
		return serve_connection(
			server, sockets[0].tls, sockets[0].fd, sockets[0].fd);
	for (i = 0; i < count; i++) {
		if (!listen_accepts(sockets[i].fd)) {
			log_line(LOG_ERR, "LISTEN_FDS: descriptor %d does not listen",
				sockets[i].fd);
			return EX_USAGE;
		}
	}
	return listen_run(server, source, sockets, count, false);
}

/* Whether standard input can be a client at all: a connection, a pipe, a script, a person
 * at a terminal; not, for one, /dev/null. */
static bool can_be_client(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0
		&& (S_ISSOCK(status.st_mode) || S_ISFIFO(status.st_mode)
			|| S_ISREG(status.st_mode) || isatty(fd));
}

/* In this order: -l, systemd's sockets, a socket on standard input, `listen`, whatever
 * else standard input is. */
static int run(struct server *server, const struct conf_source *source)
{
	struct listen_socket sockets[LISTEN_MAX] = {{0, source->tls}};
	size_t systemd = systemd_sockets();
	int count, i;

	if (source->listen_count == 0) {
		if (systemd > 0)
			return serve_systemd(server, source, systemd);
		if (listen_accepts(0))
			return listen_run(server, source, sockets, 1, true);
		if (is_socket(0) || (server->conf.listen_count == 0 && can_be_client(0)))
			return serve_connection(server, source->tls, 0, 1);
	}
	if (server->conf.listen_count == 0) {
		log_line(LOG_ERR,
			"standard input is no connection, and there is no `listen`:"
			" see pop3d(8)");
		return EX_USAGE;
	}
	count = listen_open(&server->conf, sockets);
	if (count < 0)
		return EX_OSERR;
	for (i = 0; i < count; i++)
		sockets[i].tls |= source->tls;
	return listen_run(server, source, sockets, (size_t)count, false);
}

int main(int argc, char **argv)
{
	static struct options options;
	static struct server server;
	const char *wrong;
	unsigned mistakes;
	sigset_t none;
	bool connected;

	if (argc == 2 && strcmp(argv[1], CHECKPASSWORD_WORD) == 0)
		return checkpassword_report();
	parse_options(&options, argc, argv);
	if (options.check)
		return check(&options.source);
	open_missing_stdio();
	/* What whoever started us has left open is no business of ours. */
	sandbox_close_from(SD_LISTEN_FDS_START + (unsigned)systemd_sockets());
	signal(SIGPIPE, SIG_IGN);
	/* A limit on file sizes is an error like a full disk, not a death. */
	signal(SIGXFSZ, SIG_IGN);
	/* Some super servers have it ignored, and then there is no process to wait for. */
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	connected = !options.expire && is_socket(0) && !listen_accepts(0)
		&& options.source.listen_count == 0;
	open_early_log();
	mistakes = conf_load(&server.conf, &options.source, log_report);
	if (conf_programs(&server.conf))
		checkpassword_start();
	wrong = sandbox_find_user(&server.user, server.conf.session_user);
	if (!wrong && server.conf.log == LOG_TO_STDERR && stderr_is_client())
		wrong = "log: stderr is the client's connection here, use syslog";
	if (wrong)
		log_report(wrong);
	if (wrong || mistakes > 0)
		return fail_configuration(connected && !options.source.tls);
	return options.expire ? expire_all(&server) : run(&server, &options.source);
}
