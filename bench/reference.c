/* The least that any server must do, for a benchmark: a process for each connection which answers line by
 * line from memory, for any user, with any password.
 *
 *     reference write|two|rewrite|tls PORT FILE COUNT [CERTIFICATE KEY]
 *
 * The maildrop is COUNT times FILE, whose lines end with LF.  `write` has its octets ready as they go over the
 * wire, `two` has two processes for a connection, the one without it being asked at PASS and QUIT, `rewrite` makes CRLF of LF each time, `tls` is `write` behind TLS from the first octet.  Listens on
 * 127.0.0.1.
 *
 *     cc -O2 -o reference reference.c -lssl -lcrypto */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE 65536

static char *text, *ready;
static size_t text_length, ready_length;
static unsigned long count;
static char *listing, *unique; /* LIST and UIDL, with their status lines */
static size_t listing_length, unique_length;
static bool rewrites;
static int client, other = -1;
static SSL *ssl;

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static void put(const char *data, size_t length)
{
	while (length > 0) {
		ssize_t sent = ssl ? SSL_write(ssl, data, (int)length) : write(client, data, length);

		if (sent <= 0)
			_exit(1);
		data += sent;
		length -= (size_t)sent;
	}
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
	char line[200];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	put(line, (size_t)length);
}

/* LF to CRLF, dots doubled.  Returns the octets. */
static size_t convert(const char *from, size_t length, char *to, bool *at_start)
{
	char *start = to;
	const char *end = from + length;

	while (from < end) {
		const char *lf = memchr(from, '\n', (size_t)(end - from));
		size_t run = (size_t)((lf ? lf : end) - from);

		if (*at_start && *from == '.')
			*to++ = '.';
		memcpy(to, from, run);
		to += run;
		*at_start = lf != NULL;
		if (!lf)
			break;
		*to++ = '\r';
		*to++ = '\n';
		from = lf + 1;
	}
	return (size_t)(to - start);
}

static void send_message(void)
{
	static char room[2 * PIECE];
	bool at_start = true;
	size_t at;

	if (!rewrites) {
		put(ready, ready_length);
		return;
	}
	say("+OK\r\n");
	for (at = 0; at < text_length; at += PIECE) {
		size_t length = text_length - at < PIECE ? text_length - at : PIECE;

		put(room, convert(text + at, length, room, &at_start));
	}
	say(".\r\n");
}

/* So that nothing is left to do but to write them. */
static void make_listings(unsigned long long octets)
{
	unsigned long i;

	listing = malloc(100 + count * 40);
	unique = malloc(100 + count * 60);
	if (!listing || !unique)
		die("malloc");
	listing_length = (size_t)sprintf(listing, "+OK\r\n");
	unique_length = (size_t)sprintf(unique, "+OK\r\n");
	for (i = 1; i <= count; i++) {
		listing_length += (size_t)sprintf(listing + listing_length, "%lu %llu\r\n", i, octets);
		unique_length += (size_t)sprintf(
			unique + unique_length, "%lu %lu.M%luP1.host\r\n", i, 1600000000 + i, i);
	}
	listing_length += (size_t)sprintf(listing + listing_length, ".\r\n");
	unique_length += (size_t)sprintf(unique + unique_length, ".\r\n");
}

/* A word with the other process, where there is one. */
static void ask(void)
{
	char word[64] = "";

	if (other >= 0
		&& (send(other, word, sizeof(word), 0) < 0 || recv(other, word, sizeof(word), 0) <= 0))
		_exit(1);
}

static void answer(const char *line, unsigned long long octets)
{
	if (strncmp(line, "PASS", 4) == 0 || strncmp(line, "QUIT", 4) == 0)
		ask();
	if (strncmp(line, "RETR", 4) == 0) {
		send_message();
	} else if (strncmp(line, "STAT", 4) == 0) {
		say("+OK %lu %llu\r\n", count, octets * count);
	} else if (strncmp(line, "LIST", 4) == 0) {
		put(listing, listing_length);
	} else if (strncmp(line, "UIDL", 4) == 0) {
		put(unique, unique_length);
	} else {
		say("+OK\r\n");
	}
	if (strncmp(line, "QUIT", 4) == 0)
		_exit(0);
}

static void serve(unsigned long long octets)
{
	char line[65536];
	size_t length = 0;

	say("+OK ready\r\n");
	for (;;) {
		char *rest = line, *lf;
		ssize_t got = ssl ? SSL_read(ssl, line + length, (int)(sizeof(line) - length))
				  : read(client, line + length, sizeof(line) - length);

		if (got <= 0)
			_exit(0);
		length += (size_t)got;
		while ((lf = memchr(rest, '\n', length)) != NULL) {
			answer(rest, octets);
			length -= (size_t)(lf + 1 - rest);
			rest = lf + 1;
		}
		memmove(line, rest, length);
	}
}

/* From here on there are two processes, of which this one has the client. */
static void divide(void)
{
	char word[64];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		_exit(1);
	if (fork() == 0) {
		close(pair[0]);
		other = pair[1];
		return;
	}
	close(pair[1]);
	close(client);
	while (recv(pair[0], word, sizeof(word), 0) > 0)
		send(pair[0], word, sizeof(word), 0);
	_exit(0);
}

static unsigned long long load(const char *path)
{
	struct stat status;
	int fd = open(path, O_RDONLY);
	unsigned long long octets = 0;
	bool at_start = true;
	size_t i;

	if (fd < 0 || fstat(fd, &status) < 0)
		die(path);
	text_length = (size_t)status.st_size;
	text = malloc(text_length);
	ready = malloc(2 * text_length + 100);
	if (!text || !ready || read(fd, text, text_length) != (ssize_t)text_length)
		die(path);
	close(fd);
	for (i = 0; i < text_length; i++)
		octets += text[i] == '\n' ? 2 : 1;
	ready_length = (size_t)sprintf(ready, "+OK\r\n");
	ready_length += convert(text, text_length, ready + ready_length, &at_start);
	ready_length += (size_t)sprintf(ready + ready_length, ".\r\n");
	return octets;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
	unsigned long long octets;
	SSL_CTX *tls = NULL;

	if (argc != 5 && argc != 7) {
		fprintf(stderr, "usage: reference write|two|rewrite|tls PORT FILE COUNT [CERTIFICATE KEY]\n");
		return 64;
	}
	rewrites = strcmp(argv[1], "rewrite") == 0;
	octets = load(argv[3]);
	count = strtoul(argv[4], NULL, 10);
	make_listings(octets);
	if (argc == 7) {
		tls = SSL_CTX_new(TLS_server_method());
		if (!tls || SSL_CTX_use_certificate_file(tls, argv[5], SSL_FILETYPE_PEM) != 1
			|| SSL_CTX_use_PrivateKey_file(tls, argv[6], SSL_FILETYPE_PEM) != 1)
			die("SSL_CTX");
	}
	signal(SIGCHLD, SIG_IGN);
	address.sin_port = htons((uint16_t)atoi(argv[2]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0
		|| listen(listener, 1000) < 0)
		die("listen");
	for (;;) {
		client = accept(listener, NULL, NULL);
		if (client < 0)
			continue;
		setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
		if (fork() == 0) {
			if (tls) {
				ssl = SSL_new(tls);
				if (!ssl || !SSL_set_fd(ssl, client) || SSL_accept(ssl) != 1)
					_exit(1);
			}
			if (strcmp(argv[1], "two") == 0)
				divide();
			serve(octets);
		}
		close(client);
	}
}
