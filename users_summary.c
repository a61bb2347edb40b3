/* What is known of all users together: how passwords are stored, and what may differ from one to the
 * next.  Runs in the monitor before the session, and in pop3passwd. */
#include "lines.h"
#include "scram.h"
#include "users_file.h"
#include "users_index.h"

#include <string.h>

/* A term that the user's line does not have. */
#define USUAL (TERMS_NEVER - 1)

/* The eighth field, as far as there is one. */
static const char *extra_of(const char *line)
{
	int i;

	for (i = 0; i < USERS_FIELD_EXTRA; i++) {
		line = strchr(line, ':');
		if (!line)
			return "";
		line++;
	}
	return line;
}

static void add_term(
	unsigned term, unsigned *least, unsigned *most, uint32_t *usual, uint32_t which)
{
	if (term == USUAL) {
		*usual |= which;
		return;
	}
	if (term < *least)
		*least = term;
	if (term > *most)
		*most = term;
}

enum { USUAL_LOGIN_DELAY = 1, USUAL_EXPIRE = 2, SOMEBODY = 4 };

static void add_terms(struct users_summary *s, const struct terms *terms)
{
	s->usual |= SOMEBODY;
	add_term(terms->login_delay, &s->least.login_delay, &s->most.login_delay,
		&s->usual, USUAL_LOGIN_DELAY);
	add_term(terms->expire, &s->least.expire, &s->most.expire, &s->usual,
		USUAL_EXPIRE);
}

static void add_password(struct users_summary *summary, const char *password)
{
	const char *value;
	enum users_stored kind = users_stored(password, &value);
	enum digest digest = kind == USERS_SCRAM_SHA_1 ? DIGEST_SHA_1 : DIGEST_SHA_256;
	struct scram_keys keys;

	if (!users_can_be_right(kind))
		return;
	summary->stored |= USERS_STORED(kind);
	if ((kind != USERS_SCRAM_SHA_1 && kind != USERS_SCRAM_SHA_256)
		|| summary->scram[digest].iterations)
		return;
	if (scram_parse(value, digest, &keys)) {
		summary->scram[digest].iterations = keys.iterations;
		summary->scram[digest].salt_length = (uint32_t)keys.salt_length;
	}
	explicit_bzero(&keys, sizeof(keys));
}

void users_summary_start(struct users_summary *summary)
{
	memset(summary, 0, sizeof(*summary));
	summary->least.login_delay = summary->least.expire = UINT_MAX;
}

void users_summary_add(struct users_summary *summary, const char *line)
{
	struct terms terms = {USUAL, USUAL};
	const char *password = strchr(line, ':');
	char copied[LINES_MAX];
	size_t length, wiped = 0;

	if (users_file_is_comment(line) || !password)
		return;
	length = strcspn(++password, ":");
	if (length < sizeof(copied)) {
		memcpy(copied, password, length);
		copied[length] = '\0';
		wiped = length;
		add_password(summary, copied);
	}
	if (users_copy(copied, sizeof(copied), extra_of(line)))
		users_file_extra(copied, &terms, NULL);
	add_terms(summary, &terms);
	explicit_bzero(copied, wiped);
}

void users_summary_end(struct users_summary *summary, const struct terms *usual)
{
	struct terms terms = *usual;

	/* Where there is nobody, what somebody would have. */
	if (!(summary->usual & USUAL_LOGIN_DELAY) && (summary->usual & SOMEBODY))
		terms.login_delay = summary->least.login_delay;
	if (!(summary->usual & USUAL_EXPIRE) && (summary->usual & SOMEBODY))
		terms.expire = summary->least.expire;
	add_terms(summary, &terms);
}

/* What the index says of all lines.  Returns false where there is none. */
static bool summary_by_index(const char *file, int fd, struct users_summary *summary)
{
	struct users_index index;

	if (users_index_open(&index, file, fd) != USERS_INDEX_GOOD)
		return false;
	*summary = index.header.summary;
	users_index_close(&index);
	return true;
}

static void merge(struct users_summary *to, const struct users_summary *from)
{
	enum digest d;

	to->stored |= from->stored;
	for (d = DIGEST_SHA_1; d <= DIGEST_SHA_256; d++) {
		if (!to->scram[d].iterations)
			to->scram[d] = from->scram[d];
	}
	to->usual |= from->usual;
	if (from->least.login_delay < to->least.login_delay)
		to->least.login_delay = from->least.login_delay;
	if (from->most.login_delay > to->most.login_delay)
		to->most.login_delay = from->most.login_delay;
	if (from->least.expire < to->least.expire)
		to->least.expire = from->least.expire;
	if (from->most.expire > to->most.expire)
		to->most.expire = from->most.expire;
}

static void summarize_file(const char *file, struct users_summary *summary)
{
	struct lines lines;
	struct users_summary indexed;
	char *line;

	if (lines_open(&lines, file) < 0)
		return;
	if (summary_by_index(file, lines.fd, &indexed)) {
		merge(summary, &indexed);
	} else {
		while ((line = lines_next(&lines)) != NULL) {
			if (!lines.bad)
				users_summary_add(summary, line);
		}
	}
	lines_close(&lines);
}

void users_summarize(const struct conf *conf, struct users_summary *summary)
{
	static const enum users_stored stored[] = {
		[USERS_SYSTEM] = USERS_HASH,
		[USERS_CHECKPASSWORD] = USERS_CHECKED,
		[USERS_PAM] = USERS_JUDGED,
	};
	size_t i;

	users_summary_start(summary);
	for (i = 0; i < conf->users_count; i++) {
		if (conf->users[i].kind == USERS_FILE) {
			summarize_file(conf->users[i].file, summary);
			continue;
		}
		/* Who is there is not known, but passwords will do. */
		summary->stored |= USERS_STORED(stored[conf->users[i].kind]);
		summary->usual |= USUAL_LOGIN_DELAY | USUAL_EXPIRE | SOMEBODY;
	}
	users_summary_end(summary, &conf->terms);
}
