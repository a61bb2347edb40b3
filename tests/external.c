/* Proofs of client certificates, right and forged in every way that came to mind: real handshakes,
 * their messages given to tls_library's prove().
 *
 *   external CONFIG DIRECTORY    with two of tls_certificate, the first RSA, tls_client_ca, and
 *                                tls_client_user subject-cn; the directory has clients'
 *                                certificates: tests/tls_external.bats
 *
 * Prints TAP. */
#include "shaken.h"

#include "../tls_handshake.c"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct tls_identity identity;

static uint32_t verdict(const struct tls_proof *proof)
{
	library->prove(server.tls, proof, &identity);
	if (identity.verdict != TLS_PROVEN && identity.name[0])
		return TLS_PROVEN;
	return identity.verdict;
}

/* A copy of its exact size, so that a sanitizer sees what reads behind it. */
static uint32_t verdict_on(
	const struct tls_proof *proof, const unsigned char *transcript, size_t length)
{
	struct tls_proof changed = *proof;
	unsigned char *copy = malloc(length + 1);
	uint32_t result;

	memcpy(copy + 1, transcript, length);
	changed.transcript = copy + 1;
	changed.length = length;
	result = verdict(&changed);
	free(copy);
	return result;
}

static bool names(const char *name)
{
	return identity.verdict == TLS_PROVEN && strcmp(identity.name, name) == 0;
}

/* What is right. */

static bool all_kinds(void)
{
	static const char *const kinds[] = {"joe", "joe-rsa", "joe-pss", "joe-ed25519",
		"joe-p384", "joe-p521", "joe-sub"};
	static struct shaken shaken;
	enum how how;
	size_t i;

	for (how = ONLY_1_2; how <= RETRIED; how++) {
		for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
			if (!shake(how, kinds[i], &shaken)
				|| verdict(&shaken.proof) != TLS_PROVEN
				|| !names("joe")) {
				printf("# %d %s: %s\n", how, kinds[i],
					library->unproven(&identity));
				return false;
			}
		}
	}
	return true;
}

static bool none_without(void)
{
	static const char *const bad[] = {"late", "foreign", "server"};
	static struct shaken shaken;
	enum how how;
	size_t i;

	for (how = ONLY_1_2; how <= RETRIED; how++) {
		for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			if (shake(how, bad[i], &shaken)) {
				printf("# %d %s\n", how, bad[i]);
				return false;
			}
		}
	}
	return true;
}

/* What has been changed. */

static bool flipped(void)
{
	static struct shaken shaken;
	enum how how;
	size_t i;

	for (how = ONLY_1_2; how <= RETRIED; how++) {
		if (!shake(how, how == RETRIED ? "joe-sub" : "joe", &shaken)
			|| verdict(&shaken.proof) != TLS_PROVEN)
			return false;
		for (i = 0; i < shaken.proof.length; i++) {
			unsigned char bit = (unsigned char)(1 << next(8));

			shaken.transcript[i] ^= bit;
			if (verdict_on(
				    &shaken.proof, shaken.transcript, shaken.proof.length)
				== TLS_PROVEN) {
				printf("# %d: octet %zu, bit %u\n", how, i, bit);
				return false;
			}
			shaken.transcript[i] ^= bit;
		}
		if (verdict(&shaken.proof) != TLS_PROVEN)
			return false;
	}
	return true;
}

static bool cut(void)
{
	static struct shaken shaken;
	enum how how;
	size_t i;

	for (how = ONLY_1_2; how <= RETRIED; how++) {
		if (!shake(how, "joe", &shaken))
			return false;
		for (i = 0; i < shaken.proof.length; i++) {
			/* (The end of a ClientHello can look like one.) */
			if (verdict_on(&shaken.proof, shaken.transcript, i)
					!= TLS_PROOF_MALFORMED
				|| (i > 0
					&& verdict_on(&shaken.proof,
						   shaken.transcript + i,
						   shaken.proof.length - i)
						== TLS_PROVEN)) {
				printf("# %d: at %zu\n", how, i);
				return false;
			}
		}
	}
	return true;
}

#define MESSAGES_MOST 16

/* Where each message begins; returns how many there are.  starts[that] is the end. */
static size_t find_messages(const struct shaken *shaken, size_t starts[MESSAGES_MOST + 1])
{
	struct octets rest = {shaken->transcript, shaken->proof.length}, body;
	size_t count = 0, type;

	while (rest.length > 0 && count < MESSAGES_MOST) {
		starts[count++] = (size_t)(rest.at - shaken->transcript);
		if (!octets_number(&rest, 1, &type) || !octets_sized(&rest, 3, &body))
			return 0;
	}
	starts[count] = shaken->proof.length;
	return count;
}

enum { LEFT_OUT, DOUBLED, SWAPPED, EMPTIED, CHANGES };

/* The transcript, but for message `i`. */
static size_t change(const struct shaken *shaken, const size_t *starts, size_t count,
	size_t i, int kind, unsigned char *out)
{
	size_t n, length = 0;

	for (n = 0; n < count; n++) {
		size_t from = n, times = 1, size;

		if (kind == SWAPPED && (n == i || n == i + 1) && i + 1 < count)
			from = n == i ? i + 1 : i;
		if (n == i && kind == LEFT_OUT)
			times = 0;
		if (n == i && kind == DOUBLED)
			times = 2;
		size = starts[from + 1] - starts[from];
		for (; times > 0; times--, length += size)
			memcpy(out + length, shaken->transcript + starts[from], size);
		if (n == i && kind == EMPTIED) {
			length -= size - 4;
			memset(out + length - 3, 0, 3);
		}
	}
	return length;
}

static bool reordered(void)
{
	static unsigned char changed[2 * TLS_TRANSCRIPT_MAX];
	static struct shaken shaken;
	size_t starts[MESSAGES_MOST + 1], count, length, i;
	enum how how;
	int kind;

	for (how = ONLY_1_2; how <= RETRIED; how++) {
		if (!shake(how, "joe", &shaken))
			return false;
		count = find_messages(&shaken, starts);
		if (count != (how == RETRIED ? 11 : 9))
			return false;
		for (i = 0; i < count; i++) {
			for (kind = LEFT_OUT; kind < CHANGES; kind++) {
				if (kind == SWAPPED && i + 1 == count)
					continue;
				/* ServerHelloDone has nothing in it. */
				if (kind == EMPTIED && starts[i + 1] - starts[i] == 4)
					continue;
				length = change(&shaken, starts, count, i, kind, changed);
				if (verdict_on(&shaken.proof, changed, length)
					== TLS_PROVEN) {
					printf("# %d: message %zu, %d\n", how, i, kind);
					return false;
				}
			}
		}
	}
	return true;
}

/* Both, one behind the other, in either order; and one more message. */
static bool appended(void)
{
	static const unsigned char finished[] = {SSL3_MT_FINISHED, 0, 0, 1, 0};
	static unsigned char both[2 * TLS_TRANSCRIPT_MAX];
	static struct shaken one, other;
	enum how how;

	for (how = ONLY_1_2; how <= RETRIED; how++) {
		if (!shake(how, "joe", &one) || !shake(how, "joe", &other))
			return false;
		memcpy(both, one.transcript, one.proof.length);
		memcpy(both + one.proof.length, other.transcript, other.proof.length);
		if (verdict_on(&one.proof, both, one.proof.length + other.proof.length)
				!= TLS_PROOF_MALFORMED
			|| verdict_on(&other.proof, both,
				   one.proof.length + other.proof.length)
				!= TLS_PROOF_MALFORMED
			|| verdict_on(&one.proof, both, one.proof.length + 1)
				!= TLS_PROOF_MALFORMED)
			return false;
		memcpy(both + one.proof.length, finished, sizeof(finished));
		if (verdict_on(&one.proof, both, one.proof.length + sizeof(finished))
			!= TLS_PROOF_MALFORMED)
			return false;
	}
	return true;
}

/* What belongs to another connection. */

/* Two handshakes whose signatures have the same length, which ECDSA's may not. */
static bool shake_twice(enum how how, struct shaken *one, struct shaken *other)
{
	if (!shake(how, "joe", one))
		return false;
	do {
		if (!shake(how, "joe", other))
			return false;
	} while (other->proof.signature_length != one->proof.signature_length);
	return true;
}

static bool is_foreign(struct tls_proof proof, const struct shaken *shaken)
{
	proof.transcript = shaken->transcript;
	proof.length = shaken->proof.length;
	return verdict(&proof) == TLS_PROOF_FOREIGN;
}

static bool replayed(void)
{
	static struct shaken one, other;
	struct tls_proof wrong;
	struct handshake h;
	enum how how;
	size_t at;

	for (how = ONLY_1_2; how <= RETRIED; how++) {
		if (!shake_twice(how, &one, &other) || !is_foreign(other.proof, &one))
			return false;
		wrong = one.proof;
		wrong.number = !wrong.number;
		if (!is_foreign(wrong, &one))
			return false;
		wrong.number = UINT32_MAX;
		if (!is_foreign(wrong, &one))
			return false;
		wrong = one.proof;
		wrong.signature_length = 0;
		if (!is_foreign(wrong, &one))
			return false;
		/* The right signature, put into another handshake. */
		if (!handshake_read(&h, one.transcript, one.proof.length))
			return false;
		at = (size_t)(h.server.signature.at - one.transcript);
		memcpy(one.transcript + at, other.proof.signature,
			h.server.signature.length);
		if (!is_foreign(other.proof, &one))
			return false;
	}
	return true;
}

/* A server elsewhere that has its own certificate for our key, and gets our signature for it:
 * whoever calls there has not called here. */
static bool same_key_other_name(void)
{
	struct identity joe = load("joe");
	struct conf conf = server.conf;
	static struct shaken shaken;
	struct tls_server *other;
	char path[PATH_MAX];
	enum how how;
	bool good = true;

	snprintf(path, sizeof(path), "%s/elsewhere.pem", directory);
	conf.certificates[0].certificate = path;
	other = library->open(&conf, TLS_FOR_ONE, log_report);
	if (!other)
		return false;
	for (how = ONLY_1_2; how <= RETRIED && good; how++) {
		good = shake_hands(other, NULL, how, &joe, &shaken)
			&& verdict(&shaken.proof) == TLS_PROOF_FOREIGN;
		library->prove(other, &shaken.proof, &identity);
		good = good && names("joe");
	}
	library->close(other);
	return good;
}

/* Certificates of others. */

static void put_number(unsigned char *to, size_t size, size_t number)
{
	while (size-- > 0) {
		to[size] = (unsigned char)number;
		number >>= 8;
	}
}

/* Has `who` sign the transcript instead, with `certificate`, by the rules of the handshake. */
static bool forge(struct shaken *shaken, const X509 *certificate, EVP_PKEY *key)
{
	unsigned char *der = NULL, text[SIGNED_MAX], signature[512], *p;
	size_t starts[MESSAGES_MOST + 1], count, n, head, extra, length,
		size = sizeof(signature);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	const unsigned char *data = text;
	struct handshake h;
	bool good;

	if (!handshake_read(&h, shaken->transcript, shaken->proof.length))
		return false;
	count = find_messages(shaken, starts);
	n = h.is_1_3 ? count - 2 : count - 3;
	extra = h.is_1_3 ? 2 : 0;
	head = h.is_1_3 ? 1 : 0;
	length = (size_t)i2d_X509(certificate, &der);
	p = malloc(TLS_TRANSCRIPT_MAX);
	memcpy(p, shaken->transcript, starts[n]);
	p[starts[n]] = SSL3_MT_CERTIFICATE;
	put_number(p + starts[n] + 1, 3, head + 3 + 3 + length + extra);
	p[starts[n] + 4] = 0;
	put_number(p + starts[n] + 4 + head, 3, 3 + length + extra);
	put_number(p + starts[n] + 7 + head, 3, length);
	memcpy(p + starts[n] + 10 + head, der, length);
	OPENSSL_free(der);
	length += starts[n] + 10 + head;
	put_number(p + length, extra, 0);
	length += extra;
	memcpy(p + length, shaken->transcript + starts[n + 1],
		starts[count] - starts[n + 1]);
	length += starts[count] - starts[n + 1];
	memcpy(shaken->transcript, p, length);
	free(p);
	if (!handshake_read(&h, shaken->transcript, length))
		return false;
	size = h.is_1_3 ? signed_in_1_3(&h, &h.client, text) : h.client.end;
	if (!h.is_1_3)
		data = shaken->transcript;
	n = sizeof(signature);
	good = EVP_DigestSignInit_ex(context, NULL, "SHA256", NULL, NULL, key, NULL) == 1
		&& EVP_DigestSign(context, signature, &n, data, size) == 1;
	EVP_MD_CTX_free(context);
	p = shaken->transcript + h.client.end;
	*p = SSL3_MT_CERTIFICATE_VERIFY;
	put_number(p + 1, 3, 4 + n);
	put_number(p + 4, 2, 0x0403);
	put_number(p + 6, 2, n);
	memcpy(p + 8, signature, n);
	shaken->proof.length = h.client.end + 8 + n;
	return good;
}

static bool of_another(void)
{
	struct identity joe = load("joe"), ann = load("ann");
	struct identity bad[] = {load("liar"), load("late"), load("server")};
	static struct shaken shaken;
	enum how how;
	size_t i;

	for (how = ONLY_1_2; how <= RETRIED; how++) {
		/* By the rules: then all is well, and the forger knows its trade. */
		if (!shake(how, "ann", &shaken)
			|| !forge(&shaken, ann.certificate, ann.key)
			|| verdict(&shaken.proof) != TLS_PROVEN || !names("ann"))
			return false;
		if (!forge(&shaken, joe.certificate, joe.key)
			|| verdict(&shaken.proof) != TLS_PROVEN || !names("joe"))
			return false;
		/* Joe's certificate, Ann's signature. */
		if (!shake(how, "ann", &shaken)
			|| !forge(&shaken, joe.certificate, ann.key)
			|| verdict(&shaken.proof) != TLS_PROOF_FORGED)
			return false;
		if (!forge(&shaken, ann.certificate, joe.key)
			|| verdict(&shaken.proof) != TLS_PROOF_FORGED)
			return false;
		/* By nobody, expired, for servers: the session has not asked. */
		for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			if (!shake(how, "ann", &shaken)
				|| !forge(&shaken, bad[i].certificate, bad[i].key)
				|| verdict(&shaken.proof) != TLS_PROOF_CERTIFICATE) {
				printf("# %d, %zu\n", how, i);
				return false;
			}
		}
	}
	return true;
}

/* Names. */

static const struct {
	const char *text;
	int length;
	int type;
	bool good;
} texts[] = {
	{"joe", 3, V_ASN1_UTF8STRING, true},
	{"joe", 3, V_ASN1_PRINTABLESTRING, true},
	{"jos\xc3\xa9", 5, V_ASN1_UTF8STRING, true},
	{"joe\0x", 5, V_ASN1_UTF8STRING, false},
	{"joe\0", 4, V_ASN1_UTF8STRING, false},
	{"joe\0", 4, V_ASN1_PRINTABLESTRING, false},
	{"\0joe", 4, V_ASN1_UTF8STRING, false},
	{"jos\xe9", 4, V_ASN1_UTF8STRING, false},
	{"jos\xe9", 4, V_ASN1_PRINTABLESTRING, false},
	{"jos\xe9", 4, V_ASN1_T61STRING, false},
	{"joe", 3, V_ASN1_T61STRING, false},
	{"\0j\0o\0e", 6, V_ASN1_BMPSTRING, false},
	{"\0\0\0j", 4, V_ASN1_UNIVERSALSTRING, false},
	{"", 0, V_ASN1_UTF8STRING, false},
};

/* A certificate by the authority of the tests. */
static struct identity make(X509_NAME *subject, GENERAL_NAMES *also)
{
	static long serial = 1000;
	struct identity ca = load("ca"), who = {X509_new(), NULL, EVP_EC_gen("P-256")};

	X509_set_version(who.certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(who.certificate), serial++);
	X509_gmtime_adj(X509_getm_notBefore(who.certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(who.certificate), 86400);
	X509_set_subject_name(who.certificate, subject);
	X509_set_issuer_name(who.certificate, X509_get_subject_name(ca.certificate));
	X509_set_pubkey(who.certificate, who.key);
	if (also)
		X509_add1_ext_i2d(who.certificate, NID_subject_alt_name, also, 0, 0);
	X509_sign(who.certificate, ca.key, EVP_sha256());
	return who;
}

static void add_cn(X509_NAME *subject, int type, const char *text, int length)
{
	X509_NAME_add_entry_by_NID(subject, NID_commonName, type,
		(const unsigned char *)text, length, -1, 0);
}

static bool common_names(void)
{
	static struct shaken shaken;
	X509_NAME *subject;
	struct identity who;
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		subject = X509_NAME_new();
		add_cn(subject, texts[i].type, texts[i].text, texts[i].length);
		who = make(subject, NULL);
		if (!shake_hands(server.tls, NULL, ONLY_1_3, &who, &shaken)
			|| (verdict(&shaken.proof) == TLS_PROVEN) != texts[i].good
			|| (texts[i].good ? !names(texts[i].text)
					  : identity.verdict != TLS_PROOF_NAME)) {
			printf("# text %zu: %u\n", i, identity.verdict);
			return false;
		}
	}
	subject = X509_NAME_new();
	who = make(subject, NULL);
	if (!shake_hands(server.tls, NULL, ONLY_1_3, &who, &shaken)
		|| verdict(&shaken.proof) != TLS_PROOF_NAME)
		return false;
	add_cn(subject, V_ASN1_UTF8STRING, "joe", 3);
	add_cn(subject, V_ASN1_UTF8STRING, "joe", 3);
	who = make(subject, NULL);
	return shake_hands(server.tls, NULL, ONLY_1_3, &who, &shaken)
		&& verdict(&shaken.proof) == TLS_PROOF_NAME;
}

static void add_name(GENERAL_NAMES *to, int kind, const char *text, int length)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *string = ASN1_IA5STRING_new();

	ASN1_STRING_set(string, text, length);
	GENERAL_NAME_set0_value(name, kind, string);
	sk_GENERAL_NAME_push(to, name);
}

static bool emails(void)
{
	static const struct {
		const char *name[3]; /* those that begin with @ are hosts */
		const char *user;
	} cases[] = {
		{{"joe@example.org"}, "joe@example.org"},
		{{"@pop.example.org", "joe@example.org"}, "joe@example.org"},
		{{"Joe@Example.ORG"}, "Joe@Example.ORG"},
		{{"joe@example.org", "ann@example.org"}, NULL},
		{{"joe@example.org", "joe@example.org"}, NULL},
		{{"joe@example.org", "@pop.example.org", "ann@example.org"}, NULL},
		{{"@pop.example.org"}, NULL}, {{""}, NULL},
		{{"jos\xe9@example.org"}, NULL},
		{{"joe@example.org!"}, NULL}, /* the ! is to be a NUL */
	};
	struct conf conf = server.conf;
	struct tls_server *by_email;
	static struct shaken shaken;
	bool good = true;
	size_t i, j;

	conf.tls_client_user = TLS_CLIENT_USER_EMAIL;
	by_email = library->open(&conf, TLS_FOR_ONE, log_report);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]) && good; i++) {
		GENERAL_NAMES *also = GENERAL_NAMES_new();
		X509_NAME *subject = X509_NAME_new();
		struct identity who;

		for (j = 0; j < 3 && cases[i].name[j]; j++) {
			char text[64];
			bool host = cases[i].name[j][0] == '@';
			int length = (int)strlen(cases[i].name[j]);

			strcpy(text, cases[i].name[j]);
			if (strchr(text, '!'))
				*strchr(text, '!') = '\0';
			add_name(also, host ? GEN_DNS : GEN_EMAIL, text + host,
				length - host);
		}
		add_cn(subject, V_ASN1_UTF8STRING, "ann", 3);
		who = make(subject, also);
		good = by_email && shake_hands(by_email, NULL, ONLY_1_3, &who, &shaken);
		library->prove(by_email, &shaken.proof, &identity);
		good = good
			&& (cases[i].user ? names(cases[i].user)
					  : identity.verdict == TLS_PROOF_NAME);
		if (!good)
			printf("# case %zu: %u\n", i, identity.verdict);
	}
	library->close(by_email);
	return good;
}

/* Our certificate and our signature, but RSA's, which can be had again: external_asked.c. */
static bool by_rsa(void)
{
	static struct shaken shaken;

	return !shake(BY_RSA, "joe", &shaken) && shaken.proof.signature_length == 256
		&& verdict(&shaken.proof) == TLS_PROOF_FOREIGN;
}

/* What is no PSS encoding is not signed: it may be what someone wants to have decrypted. */
static bool raw_octets(void)
{
	static struct shaken shaken;
	struct tls_sign wanted;
	unsigned char signature[TLS_SIGN_MAX];
	size_t i;

	shake(BY_RSA, "joe", &shaken);
	if (shaken.wanted.length != 256
		|| library->sign(server.tls, &shaken.wanted, signature) != 256)
		return false;
	for (i = 0; i < 8 * 256; i++) {
		/* The salt is in 32 octets, before as many of the digest and one at the end. */
		bool is_salt = i / 8 >= 256 - 65 && i / 8 < 256 - 33;

		wanted = shaken.wanted;
		wanted.data[i / 8] ^= (unsigned char)(1 << i % 8);
		if ((library->sign(server.tls, &wanted, signature) > 0) != is_salt) {
			printf("# bit %zu\n", i);
			return false;
		}
	}
	for (i = 0; i < 256; i++) {
		wanted = shaken.wanted;
		wanted.length = (uint32_t)i;
		if (library->sign(server.tls, &wanted, signature) > 0)
			return false;
		wanted.length = 256;
		memset(wanted.data, (int)i, 256);
		if (library->sign(server.tls, &wanted, signature) > 0)
			return false;
	}
	return true;
}

/* Who has given the keys up makes neither a signature nor the keys of a ticket. */
static bool forgotten(void)
{
	struct tls_server *other = library->open(&server.conf, TLS_FOR_ONE, log_report);
	struct tls_sign wanted = {.length = 32};
	unsigned char signature[TLS_SIGN_MAX], name[TLS_TICKET_NAME];
	struct tls_ticket_keys keys;
	bool good = other && library->sign(other, &wanted, signature) > 0
		&& library->ticket(other, true, name, &keys) == TLS_TICKET_GOOD;

	if (!good)
		return false;
	library->forget(other);
	good = library->sign(other, &wanted, signature) == 0
		&& library->ticket(other, true, name, &keys) == TLS_TICKET_UNKNOWN
		&& library->ticket(other, false, name, &keys) == TLS_TICKET_UNKNOWN;
	library->forget(other);
	library->close(other);
	return good;
}

static const struct test tests[] = {
	{"keys that have been given up", forgotten},
	{"RSA: signatures of octets that are no signature's", raw_octets},
	{"RSA: our own signature", by_rsa},
	{"keys of all kinds, chains, TLS 1.2, 1.3 and a HelloRetryRequest", all_kinds},
	{"nothing is kept of a certificate that is no good", none_without},
	{"one bit flipped anywhere", flipped},
	{"cut anywhere", cut},
	{"messages left out, doubled, swapped, emptied", reordered},
	{"more behind it", appended},
	{"another connection's", replayed},
	{"our key, another server's certificate", same_key_other_name},
	{"another's certificate, an own signature; certificates that are no good",
		of_another},
	{"common names", common_names},
	{"e-mail addresses", emails},
};

int main(int argc, char **argv)
{
	if (start_shaking(argc, argv))
		return 2;
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
