/* A load generator for POP3 servers which checks what it receives.
 *
 * Clients run side by side in one process.  Each session logs in, asks for STAT, does what the workload
 * says, and ends with QUIT; it counts once the server has closed the connection.  Every reply's status,
 * every listing, and of every message the octets, the line ends, the stuffed dots and the
 * termination are looked at.  Prints one line of key=value; ends with 1 where anything was wrong.
 *
 *     cc -O2 -o load load.c -lssl -lcrypto */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define USAGE \
	"usage: load [-c clients] [-n sessions] [-t seconds] [-u users] [-U first] [-p password]\n" \
	"            [-s none|stls|tls] [-r] [-w window] address port workload\n" \
	"\n" \
	"  -c   clients at a time (4)\n" \
	"  -n   sessions in all (1000)\n" \
	"  -t   seconds after which no session begins (60)\n" \
	"  -u   users: client i is user(i modulo users) (as many as clients)\n" \
	"  -U   the number of the first of them (1)\n" \
	"  -s   TLS: never, after STLS, from the first octet (none)\n" \
	"  -r   resume TLS sessions\n" \
	"  -w   commands that may be on their way, for `fetch` (1)\n" \
	"\n" \
	"workloads: connect (no more than that and the end), greet (and QUIT), login, fetch (every\n" \
	"message), list (LIST and UIDL), idle (all clients log in and wait for the end of standard input)\n"

enum tls { TLS_NONE, TLS_STLS, TLS_FIRST };
enum workload { CONNECT, GREET, LOGIN, FETCH, LIST, IDLE };
static const char *const workloads[] = {"connect", "greet", "login", "fetch", "list", "idle"};

/* What the next octets are to be. */
enum reply { STATUS, STATUS_STLS, STATUS_STAT, LISTING, LISTING_UIDL, MESSAGE };

/* What is asked next. */
enum phase { GREETING, STLS, USER, PASS, STAT, SCAN, UNIQUE, RETRIEVE, QUIT, END };

#define WINDOW_MAX 256
#define ROOM 65536

struct client {
	int fd;
	SSL *ssl;
	SSL_SESSION *ticket; /* to be resumed */
	unsigned number;
	enum phase phase;
	bool connected, shaking, secure, writing;
	double begun, named; /* the session; when USER was said */
	/* Replies that are to come. */
	enum reply expected[WINDOW_MAX];
	unsigned first, count;
	bool inside; /* a listing or message, behind its status */
	/* The maildrop. */
	uint32_t messages, listed, next, arrived;
	uint64_t octets, sum, *sizes;
	size_t room;
	/* The line that is coming in, of a message or another. */
	char line[600];
	size_t length;
	char before; /* its last octet, behind the first two */
	bool long_line; /* some of it has come before */
	uint64_t counted; /* octets of the message */
	char out[8192];
	size_t out_length, out_sent;
};

static struct {
	unsigned clients, users, first_user, window;
	uint64_t sessions;
	double seconds;
	const char *password;
	enum tls tls;
	bool resume;
	enum workload workload;
	struct sockaddr_in address;
} setup = {4, 0, 1, 1, 1000, 60, "secret", TLS_NONE, false, LOGIN, {0}};

static struct {
	uint64_t started, done, errors, messages, octets, resumed;
	unsigned waiting; /* idle */
	double *latencies; /* of whole sessions */
	double *answers;   /* from USER to the answer of STAT */
	uint64_t answered;
} totals;

static struct client *clients;
static SSL_CTX *tls;
static int epoll;
static double start;
static char buffer[ROOM];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static void watch(struct client *c, bool writing)
{
	struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0),
		.data.u32 = c->number};

	if (writing == c->writing)
		return;
	c->writing = writing;
	if (epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event) < 0)
		die("epoll_ctl");
}

/* Sessions begin and end. */

static void hang_up(struct client *c)
{
	if (c->ssl) {
		/* Or its ticket would be thrown away. */
		SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(c->ssl);
	}
	c->ssl = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static void begin(struct client *c);

static void finish(struct client *c)
{
	totals.latencies[totals.done++] = now() - c->begun;
	hang_up(c);
	begin(c);
}

/* Returns false always: the session is over. */
static bool wrong(struct client *c, const char *format, ...)
{
	va_list arguments;

	if (totals.errors++ < 5) {
		fprintf(stderr, "load: user%u, phase %d, message %u: ",
			setup.first_user + c->number % setup.users, (int)c->phase, c->arrived + 1);
		va_start(arguments, format);
		vfprintf(stderr, format, arguments);
		va_end(arguments);
		fprintf(stderr, "\n");
	}
	hang_up(c);
	begin(c);
	return false;
}

static int keep_ticket(SSL *ssl, SSL_SESSION *session)
{
	struct client *c = SSL_get_app_data(ssl);

	if (c->ticket)
		SSL_SESSION_free(c->ticket);
	c->ticket = session;
	return 1;
}

static void start_tls(struct client *c)
{
	c->ssl = SSL_new(tls);
	if (!c->ssl || !SSL_set_fd(c->ssl, c->fd))
		die("SSL_new");
	SSL_set_app_data(c->ssl, c);
	SSL_set_connect_state(c->ssl);
	if (setup.resume && c->ticket)
		SSL_set_session(c->ssl, c->ticket);
	c->shaking = true;
}

static void begin(struct client *c)
{
	struct epoll_event event = {.events = EPOLLOUT | EPOLLIN, .data.u32 = c->number};
	int yes = 1;

	if (totals.started == setup.sessions || now() - start > setup.seconds || totals.errors > 100)
		return;
	totals.started++;
	c->phase = GREETING;
	c->connected = c->shaking = c->secure = c->inside = c->long_line = false;
	c->writing = true;
	c->first = c->count = 0;
	c->messages = c->listed = c->next = c->arrived = 0;
	c->octets = c->sum = 0;
	c->length = c->out_length = c->out_sent = 0;
	c->before = 0;
	c->expected[0] = STATUS;
	c->count = 1;
	c->begun = now();
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		die("socket");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) < 0)
		die("epoll_ctl");
	if (connect(c->fd, (struct sockaddr *)&setup.address, sizeof(setup.address)) < 0
		&& errno != EINPROGRESS)
		die("connect");
}

/* What is said. */

static void say(struct client *c, enum reply reply, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void say(struct client *c, enum reply reply, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(c->out + c->out_length, sizeof(c->out) - c->out_length, format, arguments);
	va_end(arguments);
	c->out_length += (size_t)length;
	c->expected[(c->first + c->count++) % WINDOW_MAX] = reply;
}

/* Says the next thing, where there is one.  Returns false where there is not, for now. */
static bool say_next(struct client *c)
{
	unsigned window = c->phase == RETRIEVE ? setup.window : 1;

	if (c->shaking || c->count >= window || c->out_length > sizeof(c->out) - 100)
		return false;
	switch (c->phase) {
	case GREETING:
		c->phase = setup.tls == TLS_STLS ? STLS : setup.workload == GREET ? QUIT : USER;
		return true;
	case STLS:
		say(c, STATUS_STLS, "STLS\r\n");
		c->phase = setup.workload == GREET ? QUIT : USER;
		return false;
	case USER:
		c->named = now();
		say(c, STATUS, "USER user%u\r\n", setup.first_user + c->number % setup.users);
		c->phase = PASS;
		return true;
	case PASS:
		say(c, STATUS, "PASS %s\r\n", setup.password);
		c->phase = STAT;
		return true;
	case STAT:
		say(c, STATUS_STAT, "STAT\r\n");
		c->phase = setup.workload == FETCH || setup.workload == LIST ? SCAN : QUIT;
		if (setup.workload == IDLE) {
			c->phase = END;
			totals.waiting++;
		}
		return true;
	case SCAN:
		say(c, LISTING, "LIST\r\n");
		c->phase = setup.workload == LIST ? UNIQUE : RETRIEVE;
		return true;
	case UNIQUE:
		say(c, LISTING_UIDL, "UIDL\r\n");
		c->phase = QUIT;
		return true;
	case RETRIEVE:
		if (c->next == c->messages) {
			c->phase = QUIT;
			return c->count == 0;
		}
		say(c, MESSAGE, "RETR %u\r\n", ++c->next);
		return true;
	case QUIT:
		say(c, STATUS, "QUIT\r\n");
		c->phase = END;
		return true;
	default:
		return false;
	}
}

/* Returns false where the session is over. */
static bool flush_out(struct client *c)
{
	while (c->out_sent < c->out_length) {
		const char *from = c->out + c->out_sent;
		size_t length = c->out_length - c->out_sent;
		ssize_t sent = c->ssl ? SSL_write(c->ssl, from, (int)length)
				      : send(c->fd, from, length, MSG_NOSIGNAL);

		if (sent <= 0 && (c->ssl || errno == EAGAIN)) {
			watch(c, true);
			return true;
		}
		if (sent <= 0)
			return wrong(c, "send: %s", strerror(errno));
		c->out_sent += (size_t)sent;
	}
	c->out_sent = c->out_length = 0;
	watch(c, false);
	return true;
}

/* What is heard. */

static bool end_reply(struct client *c)
{
	c->inside = false;
	c->first = (c->first + 1) % WINDOW_MAX;
	c->count--;
	return true;
}

static bool take_status(struct client *c, enum reply reply)
{
	char *end;

	if (strncmp(c->line, "+OK", 3) != 0 || (c->line[3] && c->line[3] != ' '))
		return wrong(c, "%s", c->line);
	if (reply == STATUS_STAT) {
		c->messages = (uint32_t)strtoul(c->line + 3, &end, 10);
		c->octets = strtoull(end, &end, 10);
		if (*end)
			return wrong(c, "%s", c->line);
		if (totals.answered < setup.sessions)
			totals.answers[totals.answered++] = now() - c->named;
	}
	if (reply == STATUS || reply == STATUS_STAT || reply == STATUS_STLS)
		end_reply(c);
	else
		c->inside = true;
	c->counted = 0;
	c->listed = 0;
	if (reply == STATUS_STLS)
		start_tls(c);
	return true;
}

static bool take_entry(struct client *c, enum reply reply)
{
	unsigned long number;
	char *end;

	if (strcmp(c->line, ".") == 0) {
		if (c->listed != c->messages || (reply == LISTING && c->sum != c->octets))
			return wrong(c, "a listing of %u, %llu octets, and STAT has %u, %llu", c->listed,
				(unsigned long long)c->sum, c->messages, (unsigned long long)c->octets);
		return end_reply(c);
	}
	number = strtoul(c->line, &end, 10);
	if (number != ++c->listed || number > c->messages || *end != ' ' || !end[1])
		return wrong(c, "%s", c->line);
	if (reply == LISTING_UIDL)
		return true;
	if (c->room < c->messages) {
		c->room = c->messages;
		c->sizes = realloc(c->sizes, c->room * sizeof(*c->sizes));
		if (!c->sizes)
			die("realloc");
	}
	c->sizes[number - 1] = strtoull(end + 1, &end, 10);
	c->sum += c->sizes[number - 1];
	return *end ? wrong(c, "%s", c->line) : true;
}

/* A line that is no message's: whole, or as far as it has come.  Returns the octets taken, 0 where the
 * session is over. */
static size_t take_line(struct client *c, const char *data, size_t length)
{
	const char *lf = memchr(data, '\n', length);
	size_t run = lf ? (size_t)(lf - data) + 1 : length;
	enum reply reply = c->expected[c->first];

	if (c->count == 0) {
		wrong(c, "something that was not asked for");
		return 0;
	}
	if (c->length + run >= sizeof(c->line)) {
		wrong(c, "a line that is too long");
		return 0;
	}
	memcpy(c->line + c->length, data, run);
	c->length += run;
	if (!lf)
		return run;
	if (c->length < 2 || c->line[c->length - 2] != '\r') {
		wrong(c, "a line without CR");
		return 0;
	}
	c->line[c->length - 2] = '\0';
	c->length = 0;
	return (c->inside ? take_entry(c, reply) : take_status(c, reply)) ? run : 0;
}

/* A message: as many lines as there are.  c->line has the first two octets of one that has begun. */
static size_t take_message(struct client *c, const char *data, size_t length)
{
	const char *at = data, *end = data + length, *lf;

	while ((lf = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		size_t run = (size_t)(lf - at);

		while (c->length < 2 && at < lf)
			c->line[c->length++] = *at++, run--;
		if (run > 0)
			c->before = lf[-1];
		else if (!c->before && c->length > 0)
			c->before = c->line[c->length - 1];
		if (c->before != '\r') {
			wrong(c, "a line without CR");
			return 0;
		}
		if (c->length > 0 && c->line[0] == '.') {
			if (c->length == 2 && run == 0 && c->line[1] == '\r' && !c->long_line) {
				c->length = 0;
				c->before = 0;
				if (c->counted != c->sizes[c->arrived]) {
					wrong(c, "%llu octets, and LIST has %llu",
						(unsigned long long)c->counted,
						(unsigned long long)c->sizes[c->arrived]);
					return 0;
				}
				totals.messages++;
				totals.octets += c->counted;
				c->arrived++;
				end_reply(c);
				return (size_t)(lf + 1 - data);
			}
			if (c->line[1] != '.') {
				wrong(c, "a dot that is not stuffed");
				return 0;
			}
			c->counted--;
		}
		c->counted += c->length + run + 1;
		c->length = 0;
		c->before = 0;
		c->long_line = false;
		at = lf + 1;
	}
	/* The octets behind the first two count now. */
	while (c->length < 2 && at < end)
		c->line[c->length++] = *at++;
	if (at < end) {
		c->counted += (size_t)(end - at);
		c->before = end[-1];
		c->long_line = true;
	}
	return length;
}

/* Returns false where the session is over. */
static bool take(struct client *c, const char *data, size_t length)
{
	while (length > 0) {
		bool message = c->inside && c->expected[c->first] == MESSAGE;
		size_t taken = message ? take_message(c, data, length) : take_line(c, data, length);

		if (taken == 0)
			return false;
		data += taken;
		length -= taken;
		if (c->shaking && length > 0)
			return wrong(c, "something behind the reply to STLS");
	}
	return true;
}

static bool shake(struct client *c)
{
	int result = SSL_do_handshake(c->ssl), error;

	if (result == 1) {
		c->shaking = false;
		c->secure = true;
		if (SSL_session_reused(c->ssl))
			totals.resumed++;
		watch(c, false);
		return true;
	}
	error = SSL_get_error(c->ssl, result);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
		watch(c, error == SSL_ERROR_WANT_WRITE);
		return true;
	}
	return wrong(c, "the handshake failed");
}

/* Returns the octets; 0 at the end, -1 where there is nothing for now. */
static ssize_t hear(struct client *c)
{
	ssize_t got;

	if (!c->ssl) {
		got = recv(c->fd, buffer, sizeof(buffer), 0);
		return got < 0 && errno != EAGAIN ? 0 : got;
	}
	got = SSL_read(c->ssl, buffer, sizeof(buffer));
	if (got > 0)
		return got;
	switch (SSL_get_error(c->ssl, (int)got)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -1;
	default:
		ERR_clear_error();
		return 0;
	}
}

static void serve(struct client *c)
{
	ssize_t got = -1;

	if (!c->connected) {
		int error = 0;
		socklen_t length = sizeof(error);

		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
		if (error) {
			wrong(c, "connect: %s", strerror(error));
			return;
		}
		c->connected = true;
		watch(c, false);
		if (setup.tls == TLS_FIRST)
			start_tls(c);
	}
	for (;;) {
		if (c->shaking) {
			if (!shake(c) || c->shaking)
				return;
		}
		while (say_next(c))
			;
		if (!flush_out(c))
			return;
		got = hear(c);
		if (got <= 0)
			break;
		if (!take(c, buffer, (size_t)got))
			return;
	}
	if (got < 0)
		return;
	if ((c->phase == END && c->count == 0 && setup.workload != IDLE) || setup.workload == CONNECT)
		finish(c);
	else
		wrong(c, "the connection was closed");
}

/* The program. */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* In milliseconds. */
static double percentile(const double *seconds, uint64_t count, double part)
{
	uint64_t at = (uint64_t)(part * (double)count);

	if (count == 0)
		return 0;
	return seconds[at < count ? at : count - 1] * 1e3;
}

static void report(double seconds)
{
	const double *sessions = totals.latencies;

	qsort(totals.latencies, totals.done, sizeof(double), compare);
	qsort(totals.answers, totals.answered, sizeof(double), compare);
	printf("sessions=%llu errors=%llu seconds=%.6f rate=%.1f p50=%.3f p90=%.3f p99=%.3f max=%.3f "
	       "stat=%.3f messages=%llu octets=%llu megabytes=%.1f resumed=%llu\n",
		(unsigned long long)totals.done, (unsigned long long)totals.errors, seconds,
		(double)totals.done / seconds, percentile(sessions, totals.done, 0.5),
		percentile(sessions, totals.done, 0.9), percentile(sessions, totals.done, 0.99),
		percentile(sessions, totals.done, 1), percentile(totals.answers, totals.answered, 0.5),
		(unsigned long long)totals.messages, (unsigned long long)totals.octets,
		(double)totals.octets / seconds / 1e6, (unsigned long long)totals.resumed);
}

static bool some_left(void)
{
	unsigned i;

	for (i = 0; i < setup.clients; i++) {
		if (clients[i].fd >= 0)
			return true;
	}
	return false;
}

/* Whether all clients of `idle` are there and have heard what they asked. */
static bool all_wait(void)
{
	unsigned i;

	if (totals.waiting < setup.clients)
		return false;
	for (i = 0; i < setup.clients; i++) {
		if (clients[i].count > 0)
			return false;
	}
	return true;
}

static void run(void)
{
	struct epoll_event events[256];
	int count, i;
	char octet;

	while (some_left()) {
		count = epoll_wait(epoll, events, 256, 30000);
		if (count == 0) {
			fprintf(stderr, "load: nothing has come for 30 seconds\n");
			totals.errors++;
			return;
		}
		for (i = 0; i < count; i++)
			serve(&clients[events[i].data.u32]);
		if (setup.workload == IDLE && all_wait()) {
			printf("ready\n");
			fflush(stdout);
			while (read(0, &octet, 1) > 0)
				;
			totals.done = totals.waiting;
			return;
		}
	}
}

static void usage(void)
{
	fputs(USAGE, stderr);
	exit(64);
}

static void set_tls(const char *name)
{
	static const char *const names[] = {"none", "stls", "tls"};
	unsigned i;

	for (i = 0; i < 3; i++) {
		if (strcmp(name, names[i]) == 0) {
			setup.tls = (enum tls)i;
			return;
		}
	}
	usage();
}

static void set_workload(const char *name)
{
	unsigned i;

	for (i = 0; i <= IDLE; i++) {
		if (strcmp(name, workloads[i]) == 0) {
			setup.workload = (enum workload)i;
			return;
		}
	}
	usage();
}

static void parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "c:n:t:u:U:p:s:rw:")) != -1) {
		switch (c) {
		case 'c':
			setup.clients = (unsigned)atoi(optarg);
			break;
		case 'n':
			setup.sessions = strtoull(optarg, NULL, 10);
			break;
		case 't':
			setup.seconds = atof(optarg);
			break;
		case 'u':
			setup.users = (unsigned)atoi(optarg);
			break;
		case 'U':
			setup.first_user = (unsigned)atoi(optarg);
			break;
		case 'p':
			setup.password = optarg;
			break;
		case 's':
			set_tls(optarg);
			break;
		case 'r':
			setup.resume = true;
			break;
		case 'w':
			setup.window = (unsigned)atoi(optarg);
			break;
		default:
			usage();
		}
	}
	if (argc - optind != 3 || setup.clients == 0 || setup.window == 0 || setup.window > WINDOW_MAX)
		usage();
	setup.address.sin_family = AF_INET;
	setup.address.sin_port = htons((uint16_t)atoi(argv[optind + 1]));
	if (inet_pton(AF_INET, argv[optind], &setup.address.sin_addr) != 1)
		usage();
	set_workload(argv[optind + 2]);
	if (setup.users == 0)
		setup.users = setup.clients;
	if (setup.workload == IDLE || setup.sessions < setup.clients)
		setup.sessions = setup.clients;
}

int main(int argc, char **argv)
{
	unsigned i;

	parse(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	tls = SSL_CTX_new(TLS_client_method());
	if (!tls)
		die("SSL_CTX_new");
	SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(tls, keep_ticket);
	epoll = epoll_create1(0);
	clients = calloc(setup.clients, sizeof(*clients));
	totals.latencies = calloc(setup.sessions, sizeof(double));
	totals.answers = calloc(setup.sessions, sizeof(double));
	if (epoll < 0 || !clients || !totals.latencies || !totals.answers)
		die("setup");
	start = now();
	for (i = 0; i < setup.clients; i++) {
		clients[i].number = i;
		clients[i].fd = -1;
		begin(&clients[i]);
	}
	run();
	report(now() - start);
	return totals.errors > 0;
}
