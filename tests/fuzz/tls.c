/* TLS as the session has it: flags, choices of the client's, how octets come (a number, so many
 * octets), then either what comes from the client (flag RAW), or edits of what a real client and
 * the server say to each other: each a kind, how many octets after the last one in that direction
 * (2), and an octet.  Keys and certificates are made at the start, and random numbers are
 * the same in every run. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "../../tls.c"
#include "fuzz.h"
#include "identity.h"

#include <fcntl.h>
#include <openssl/rsa.h>

enum { /* flags */
	RAW = 1,
	ASKS_CLIENT = 2, /* tls_client_ca */
	ONLY_1_3 = 4,
	NO_SIGNATURE = 8,
	NO_TICKET = 16,
	OLD_TICKET = 32,
	RESET = 64,     /* the end of what comes is an error */
	SHORT_PUT = 128 /* some writes have to wait, others take less */
};

enum { /* choices, the first octet */
	MOST_1_2 = 1,
	OLD_VERSIONS = 2, /* and 1.1 at most */
	RESUMES = 4,
	HAS_NAME = 8,
	HAS_CERTIFICATE = 16,
	FOREIGN_CERTIFICATE = 32,
	GROUP_FIRST = 64, /* another first, so that another hello is wanted */
	RSA_ONLY = 128
};

enum {            /* choices, the second octet */
	ALPN = 3, /* none, pop3, another and pop3, another */
	RENEGOTIATES = 4,
	UPDATES_KEY = 8,
	NEVER_READS = 16, /* the client, once the handshake is done */
	GOES = 32         /* without goodbye */
};

/* What the monitor allows. */
#define SIGNATURES 1
#define TICKETS 8

#define DATA_MOST 40000

/* For libFuzzer, as if they were branches: how far the handshake has come, and how it ended. */
#define STATES 64
#define REASONS 512
__attribute__((used, section("__libfuzzer_extra_counters"))) static unsigned char
	progress[STATES + REASONS];

static struct identity ca, rsa, ec, known, foreign;

/* The server: with and without tls_client_ca, with and without TLS 1.2. */

static struct tls_server *servers[2][2];

static void complain_loudly(const char *text)
{
	fuzz_fail("report", 0, text);
}

static void open_servers(void)
{
	static struct conf conf;
	const char *directory = fuzz_directory();
	char *ca_file = write_pem(directory, "ca", &ca);
	int asks, only;

	conf.certificates[0].certificate = write_pem(directory, "rsa", &rsa);
	conf.certificates[1].certificate = write_pem(directory, "ec", &ec);
	conf.certificate_count = 2;
	for (asks = 0; asks < 2; asks++) {
		for (only = 0; only < 2; only++) {
			conf.tls_client_ca = asks ? ca_file : NULL;
			conf.tls_min = only ? TLS_MIN_1_3 : TLS_MIN_1_2;
			servers[asks][only]
				= tls_library.open(&conf, TLS_FOR_ONE, complain_loudly);
			MUST(servers[asks][only]);
		}
	}
}

/* What is said. */

#define QUEUE_MOST (1 << 20)

struct queue {
	unsigned char *data;
	size_t start, end;
};

/* To the server, and to the client: both what was sent, and what has come through. */
static struct queue sent[2], passed[2];

static void queue_add(struct queue *queue, const void *data, size_t length)
{
	if (!queue->data)
		queue->data = malloc(QUEUE_MOST);
	MUST(length <= QUEUE_MOST - queue->end);
	memcpy(queue->data + queue->end, data, length);
	queue->end += length;
}

static size_t queue_take(struct queue *queue, void *data, size_t length)
{
	if (length > queue->end - queue->start)
		length = queue->end - queue->start;
	if (length > 0)
		memcpy(data, queue->data + queue->start, length);
	queue->start += length;
	return length;
}

enum { TO_SERVER, TO_CLIENT };

/* Octets are changed while they pass. */
enum { FLIP, INSERT, DROP, CUT };

static struct {
	const unsigned char *at;
	size_t left;
	size_t next[2]; /* where in each direction the next edit is */
	size_t count[2];
	bool cut[2];
	bool any;
} edits;

/* The next edit of that direction; NULL where there is none. */
static const unsigned char *find_edit(int direction)
{
	size_t i, number = 0;

	for (i = 0; i + 4 <= edits.left; i += 4) {
		if ((edits.at[i] & 1) == direction && number++ == edits.count[direction])
			return edits.at + i;
	}
	return NULL;
}

static void aim_edit(int direction)
{
	const unsigned char *edit = find_edit(direction);

	edits.next[direction]
		= edit ? edits.next[direction] + edit[1] + edit[2] * 256U : (size_t)-1;
}

static void edit_octet(int direction, unsigned char octet)
{
	struct queue *to = &passed[direction];
	const unsigned char *edit = find_edit(direction);
	unsigned kind = edit[0] >> 1 & 3;
	unsigned char flipped = octet ^ (edit[3] ? edit[3] : 1);

	if (kind == FLIP)
		queue_add(to, &flipped, 1);
	if (kind == INSERT) {
		queue_add(to, &edit[3], 1);
		queue_add(to, &octet, 1);
	}
	edits.cut[direction] |= kind == CUT;
	edits.any = true;
	edits.count[direction]++;
	edits.next[direction]++;
	aim_edit(direction);
}

static void pass(int direction)
{
	struct queue *from = &sent[direction];

	for (; from->start < from->end && !edits.cut[direction]; from->start++) {
		if (from->start == edits.next[direction])
			edit_octet(direction, from->data[from->start]);
		else
			queue_add(&passed[direction], from->data + from->start, 1);
	}
}

/* The session's side of the connection. */

static struct {
	unsigned flags;
	struct pieces pieces;
	bool waits;  /* get() or put() had to */
	bool at_end; /* nothing comes any more */
	bool over;   /* a call has said so */
	unsigned puts, signatures, tickets;
} side;

static ssize_t hook_get(void *owner, void *data, size_t length)
{
	struct queue *from = &passed[TO_SERVER];
	size_t left = from->end - from->start, most = left;

	MUST(owner == &side && length > 0);
	if (left > 0 && side.pieces.count > 0
		&& pieces_next(&side.pieces, left, &most) == PIECE_HANG_UP) {
		side.at_end = true;
		from->start = from->end;
	}
	if (from->start < from->end && most > 0)
		return (ssize_t)queue_take(from, data, most < length ? most : length);
	if (from->start == from->end && (side.at_end || edits.cut[TO_SERVER])) {
		errno = ECONNRESET;
		return side.flags & RESET ? -1 : 0;
	}
	side.waits = true;
	errno = EAGAIN;
	return -1;
}

static ssize_t hook_put(void *owner, const void *data, size_t length)
{
	MUST(owner == &side && length > 0);
	if (side.flags & SHORT_PUT) {
		if (++side.puts % 2) {
			side.waits = true;
			errno = EAGAIN;
			return -1;
		}
		if (length > 700)
			length = 700;
	}
	if (side.at_end && (side.flags & RESET)) {
		errno = EPIPE;
		return -1;
	}
	queue_add(&sent[TO_CLIENT], data, length);
	return (ssize_t)length;
}

static struct tls_server *server;

static size_t hook_sign(void *owner, const struct tls_sign *wanted, unsigned char *out)
{
	MUST(owner == &side && ++side.signatures <= SIGNATURES);
	MUST(wanted->length <= TLS_SIGN_MAX && wanted->number < 2);
	return side.flags & NO_SIGNATURE ? 0 : tls_library.sign(server, wanted, out);
}

static enum tls_ticket hook_ticket(void *owner, bool fresh,
	unsigned char name[TLS_TICKET_NAME], struct tls_ticket_keys *keys)
{
	enum tls_ticket found;

	MUST(owner == &side);
	if ((side.flags & NO_TICKET) || ++side.tickets > TICKETS)
		return TLS_TICKET_UNKNOWN;
	found = tls_library.ticket(server, fresh, name, keys);
	if (found == TLS_TICKET_GOOD && (side.flags & OLD_TICKET))
		found = TLS_TICKET_OLD;
	return found;
}

static const struct tls_hooks hooks = {.owner = &side,
	.get = hook_get,
	.put = hook_put,
	.sign = hook_sign,
	.ticket = hook_ticket};

/* What every result has to be.  Nobody calls again what has said that it is over. */
static ssize_t result(ssize_t got, short events)
{
	if (side.over) {
		errno = EPROTO;
		return -1;
	}
	if (got < 0 && errno == EAGAIN) {
		MUST(side.waits && (events == POLLIN || events == POLLOUT));
		return got;
	}
	MUST(got >= 0 || errno == EPROTO);
	side.over = got <= 0;
	return got;
}

static int server_handshake(struct tls *tls)
{
	short events = 0;
	int got;

	side.waits = false;
	got = (int)result(tls_library.handshake(tls, &events), events);
	progress[SSL_get_state(tls->ssl) % STATES] = 1;
	return got;
}

static ssize_t server_read(struct tls *tls, void *data, size_t length)
{
	short events = 0;

	side.waits = false;
	return result(tls_library.read(tls, data, length, &events), events);
}

static ssize_t server_write(struct tls *tls, const void *data, size_t length)
{
	short events = 0;

	side.waits = false;
	return result(tls_library.write(tls, data, length, &events), events);
}

static bool must_wait(ssize_t got)
{
	return got < 0 && errno == EAGAIN;
}

/* The client. */

static struct {
	SSL *ssl;
	unsigned choices[2];
	unsigned alpn;
	bool done, failed;
} client;

static SSL_CTX *client_context;
static SSL_SESSION *tickets_of[2]; /* TLS 1.2, 1.3 */
static SSL_SESSION *just_given;

static int take_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(just_given);
	just_given = session;
	return 1;
}

static void choose_versions(void)
{
	if (client.choices[0] & OLD_VERSIONS) {
		SSL_set_security_level(client.ssl, 0);
		SSL_set_min_proto_version(client.ssl, TLS1_VERSION);
		SSL_set_max_proto_version(client.ssl, TLS1_1_VERSION);
		SSL_set_cipher_list(client.ssl, "ALL:@SECLEVEL=0");
	} else if (client.choices[0] & MOST_1_2) {
		SSL_set_max_proto_version(client.ssl, TLS1_2_VERSION);
	}
}

static void choose_identity(void)
{
	const struct identity *who = NULL;

	if (client.choices[0] & HAS_CERTIFICATE)
		who = &known;
	if (client.choices[0] & FOREIGN_CERTIFICATE)
		who = &foreign;
	if (who) {
		SSL_use_certificate(client.ssl, who->certificate);
		SSL_use_PrivateKey(client.ssl, who->key);
	}
}

/* OpenSSL forgets one that a failed connection had. */
static void choose_session(SSL_SESSION *session)
{
	SSL_SESSION *copy = SSL_SESSION_dup(session);

	SSL_set_session(client.ssl, copy);
	SSL_SESSION_free(copy);
}

static void start_client(void)
{
	static const unsigned char protocols[] = "\4pop3\4imap\4pop3";

	client.ssl = SSL_new(client_context);
	client.done = client.failed = false;
	client.alpn = client.choices[1] & ALPN;
	SSL_set_bio(client.ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	BIO_set_mem_eof_return(SSL_get_rbio(client.ssl), -1);
	SSL_set_connect_state(client.ssl);
	choose_versions();
	choose_identity();
	if (client.choices[0] & RESUMES)
		choose_session(tickets_of[!(client.choices[0] & MOST_1_2)]);
	if (client.choices[0] & HAS_NAME)
		SSL_set_tlsext_host_name(client.ssl, "pop.example.org");
	if (client.choices[0] & GROUP_FIRST)
		SSL_set1_groups_list(client.ssl, "P-521:P-384:P-256");
	if (client.choices[0] & RSA_ONLY)
		SSL_set1_sigalgs_list(client.ssl, "RSA-PSS+SHA256:RSA+SHA256");
	/* pop3; pop3 and imap; imap */
	if (client.alpn)
		SSL_set_alpn_protos(client.ssl, protocols + (client.alpn == 3 ? 5 : 0),
			client.alpn == 2 ? 10 : 5);
}

static void client_hear(void)
{
	struct queue *from = &passed[TO_CLIENT];

	pass(TO_CLIENT);
	if (from->start < from->end)
		BIO_write(SSL_get_rbio(client.ssl), from->data + from->start,
			(int)(from->end - from->start));
	from->start = from->end;
}

static void client_say(void)
{
	unsigned char data[4096];
	int got;

	while ((got = BIO_read(SSL_get_wbio(client.ssl), data, sizeof(data))) > 0)
		queue_add(&sent[TO_SERVER], data, (size_t)got);
	pass(TO_SERVER);
}

static void client_handshake(void)
{
	int got;

	if (client.done || client.failed)
		return;
	ERR_clear_error();
	got = SSL_do_handshake(client.ssl);
	client.done = got == 1;
	client.failed = got != 1 && SSL_get_error(client.ssl, got) != SSL_ERROR_WANT_READ;
	ERR_clear_error();
}

/* Grows with whatever happens. */
static size_t so_far(void)
{
	return sent[TO_SERVER].end + sent[TO_CLIENT].end + passed[TO_SERVER].start
		+ side.puts - side.pieces.count;
}

/* Both, until neither has more to say.  Returns what the server's has come to. */
static int shake_hands(struct tls *tls)
{
	size_t said;
	int got = -1;

	do {
		said = so_far();
		client_hear();
		client_handshake();
		client_say();
		side.at_end |= client.failed;
		if (got != 1)
			got = server_handshake(tls);
		if (got != 1 && !must_wait(got))
			break;
	} while (said != so_far());
	client_hear();
	client_handshake();
	client_say();
	return got;
}

/* Afterwards. */

static unsigned char data[DATA_MOST], came[DATA_MOST];

/* Whatever else happens, what comes is what was sent, up to some point. */
static void client_to_server(struct tls *tls, size_t length)
{
	const struct queue *coming = &passed[TO_SERVER];
	size_t used = 0, put = 0;
	unsigned waits = 0;
	ssize_t got;

	if (length > 0)
		SSL_write_ex(client.ssl, data, length, &put);
	client_say();
	side.at_end |= (client.choices[1] & GOES) != 0;
	do {
		size_t room = DATA_MOST - used;

		got = server_read(tls, came + used, room > 4096 ? 4096 : room);
		used += got > 0 ? (size_t)got : 0;
	} while (used < DATA_MOST
		&& (got > 0
			|| (must_wait(got)
				&& (coming->start < coming->end || waits++ < 4))));
	MUST(used <= put && memcmp(came, data, used) == 0);
	MUST(edits.any || side.at_end || used == put);
}

static void server_to_client(struct tls *tls, size_t length)
{
	size_t put = 0, used = 0, got;
	unsigned tries = 0;
	ssize_t now;

	while (put < length && tries++ < 1000) {
		now = server_write(tls, data + put, length - put);
		if (now <= 0 && !must_wait(now))
			break;
		put += now > 0 ? (size_t)now : 0;
	}
	if (client.choices[1] & NEVER_READS)
		return;
	client_hear();
	while (used < DATA_MOST
		&& SSL_read_ex(client.ssl, came + used, DATA_MOST - used, &got) == 1)
		used += got;
	ERR_clear_error();
	/* What has to wait is in part on its way. */
	MUST(used <= length && memcmp(came, data, used) == 0);
	MUST(edits.any || side.at_end || !client.done || used >= put);
}

/* What has been agreed. */
static void check_secured(struct tls *tls)
{
	const unsigned char *protocol;
	unsigned int length;
	struct tls_outcome outcome;

	tls_library.outcome(tls, &outcome);
	SSL_get0_alpn_selected(tls->ssl, &protocol, &length);
	MUST(length == 0 || (length == 4 && memcmp(protocol, "pop3", 4) == 0));
	MUST(outcome.version == TLS1_3_VERSION
		|| (outcome.version == TLS1_2_VERSION && !(side.flags & ONLY_1_3)));
	MUST(outcome.error == 0);
	if (side.flags & RAW)
		return;
	MUST(!(client.choices[0] & OLD_VERSIONS) && client.alpn != 3);
	MUST((length == 4) == (client.alpn != 0));
	MUST(!outcome.resumed || (client.choices[0] & RESUMES));
	MUST(outcome.resumed || side.signatures == 1);
}

static void check_subject(const struct tls_outcome *outcome, bool done)
{
	bool proven = done && (side.flags & ASKS_CLIENT)
		&& (client.choices[0] & (HAS_CERTIFICATE | FOREIGN_CERTIFICATE))
			== HAS_CERTIFICATE
		&& !(client.choices[0] & RSA_ONLY);

	MUST(memchr(outcome->subject, '\0', sizeof(outcome->subject)));
	/* A ticket is of someone without a certificate. */
	if (!(side.flags & RAW) && done && !outcome->resumed)
		MUST(strcmp(outcome->subject, proven ? "CN=known" : "") == 0);
}

/* Nothing speaks against it. */
static bool has_to_succeed(void)
{
	return !(side.flags & (RAW | NO_SIGNATURE | SHORT_PUT)) && !edits.any
		&& !side.at_end && side.pieces.count == 0
		&& !(client.choices[0] & OLD_VERSIONS) && client.alpn != 3
		&& !((client.choices[0] & MOST_1_2) && (side.flags & ONLY_1_3));
}

static void run_client(struct tls *tls, unsigned lengths[2])
{
	int got;

	start_client();
	got = shake_hands(tls);
	MUST(got == 1 || !has_to_succeed());
	if (got == 1) {
		check_secured(tls);
		if ((client.choices[1] & RENEGOTIATES)
			&& SSL_version(client.ssl) == TLS1_2_VERSION && client.done) {
			SSL_renegotiate(client.ssl);
			client.done = false;
			edits.any = true;
			client_handshake();
			client.done = true;
		}
		if ((client.choices[1] & UPDATES_KEY) && client.done)
			SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED);
		ERR_clear_error();
		client_to_server(tls, client.done ? lengths[0] * 150U : 0);
		server_to_client(tls, lengths[1] * 150U);
		if (client.choices[1] & NEVER_READS)
			SSL_shutdown(client.ssl);
		client_to_server(tls, 0);
	}
	tls_library.shutdown(tls);
	client_hear();
	SSL_free(client.ssl);
	client.ssl = NULL;
}

static void run_raw(struct tls *tls)
{
	int got;

	side.at_end = true;
	do
		got = server_handshake(tls);
	while (must_wait(got) && passed[TO_SERVER].start < passed[TO_SERVER].end);
	if (got == 1) {
		check_secured(tls);
		server_read(tls, came, sizeof(came));
	}
	server_write(tls, data, 100);
	tls_library.shutdown(tls);
}

/* All of one connection; in pop3d its process ends then. */
static void run(struct input *input)
{
	unsigned lengths[2];
	struct tls_outcome outcome;
	struct tls *tls;
	bool done;

	memset(&side, 0, sizeof(side));
	memset(&edits, 0, sizeof(edits));
	memset(progress, 0, sizeof(progress));
	sent[0].start = sent[0].end = sent[1].start = sent[1].end = 0;
	passed[0].start = passed[0].end = passed[1].start = passed[1].end = 0;
	random_state = 1;
	side.flags = input_octet(input);
	client.choices[0] = input_octet(input);
	client.choices[1] = input_octet(input);
	lengths[0] = input_octet(input);
	lengths[1] = input_octet(input);
	side.pieces = input_pieces(input);
	server = servers[(side.flags & ASKS_CLIENT) != 0][(side.flags & ONLY_1_3) != 0];
	tls = tls_library.accept(server, &hooks);
	MUST(tls);
	if (side.flags & RAW) {
		edits.next[TO_SERVER] = edits.next[TO_CLIENT] = (size_t)-1;
		queue_add(&passed[TO_SERVER], input->at,
			input->left < 65536 ? input->left : 65536);
		run_raw(tls);
	} else {
		edits.at = input->at;
		edits.left = input->left;
		aim_edit(TO_SERVER);
		aim_edit(TO_CLIENT);
		run_client(tls, lengths);
	}
	tls_library.outcome(tls, &outcome);
	done = SSL_is_init_finished(tls->ssl);
	progress[STATES + outcome.error % REASONS] = 1;
	MUST(outcome.error == 0 || *tls_library.reason(outcome.error));
	check_subject(&outcome, done);
	SSL_free(tls->ssl);
	BIO_meth_free(tls->method);
	memset(tls, 0, sizeof(*tls));
	ERR_clear_error();
}

/* A whole handshake, and the ticket that it gives. */
static void get_ticket(bool of_1_3)
{
	unsigned char choices[] = {0, of_1_3 ? 0 : MOST_1_2, 0, 1, 1};
	struct input input = {choices, sizeof(choices)};

	run(&input);
	MUST(just_given);
	tickets_of[of_1_3] = just_given;
	just_given = NULL;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	size_t i;

	(void)argc, (void)argv;
	/* Before OpenSSL has any memory. */
	MUST(memory_start());
	RAND_set_rand_method(&same_numbers);
	ca = make_identity(EVP_EC_gen("P-256"), "ca", NULL, NID_basic_constraints,
		"critical,CA:true");
	rsa = make_identity(EVP_RSA_gen(2048), "rsa", NULL, NID_subject_alt_name,
		"DNS:pop.example.org");
	ec = make_identity(EVP_EC_gen("P-256"), "ec", NULL, NID_subject_alt_name,
		"DNS:pop.example.org");
	known = make_identity(
		EVP_EC_gen("P-256"), "known", &ca, NID_ext_key_usage, "clientAuth");
	foreign = make_identity(
		EVP_EC_gen("P-256"), "foreign", NULL, NID_ext_key_usage, "clientAuth");
	open_servers();
	client_context = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_session_cache_mode(
		client_context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(client_context, take_session);
	for (i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 7 + i / 251);
	get_ticket(false);
	get_ticket(true);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input input = {bytes, size};

	run(&input);
	SSL_SESSION_free(just_given);
	just_given = NULL;
	return 0;
}
