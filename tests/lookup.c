/* The index of a users file, asked directly: see users_index.h.  Prints one line, or a line for each
 * mistake, and ends with 0 or 1.
 *
 *   lookup all FILE              each user by the index, and names that there are not
 *   lookup spoiled FILE          FILE.index cut, and with each octet changed, against no index
 *   lookup stand-in FILE USER... the hash that stands in for each */
#include "lines.h"
#include "users.h"
#include "users_index.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 64

static struct conf conf = {.users = {{.kind = USERS_FILE}}, .users_count = 1};
static char index_path[PATH_MAX];
static int mistakes;

static void mistake(const char *what, const char *name)
{
	printf("%s: %s\n", what, name);
	mistakes++;
}

/* Every line must be found, or one before it with the same name. */
static int look_for_all(void)
{
	static struct lines lines;
	char copy[LINES_MAX + 1], found[LINES_MAX];
	unsigned users = 0, strangers = 0, number;
	struct users_index index;
	struct users_line parts;
	char *line;

	if (lines_open(&lines, conf.users[0].file) < 0
		|| users_index_open(&index, conf.users[0].file, lines.fd)
			!= USERS_INDEX_GOOD) {
		mistake("no index", conf.users[0].file);
		return 1;
	}
	while ((line = lines_next(&lines)) != NULL) {
		if (lines.bad || !users_line(line, &parts))
			continue;
		snprintf(copy, sizeof(copy), "%.*s", (int)parts.name_length, line);
		if (users_index_find(&index, copy, found, &number) != USERS_INDEX_FOUND
			|| strncmp(found, line, parts.name_length + 1) != 0)
			mistake("not found", copy);
		else if (number == lines.number && strcmp(found, line) == 0)
			users++;
		else if (number >= lines.number)
			mistake("not the first", copy);
		copy[parts.name_length] = 'x';
		copy[parts.name_length + 1] = '\0';
		if (users_index_find(&index, copy, found, &number)
			!= USERS_INDEX_NOT_FOUND)
			mistake("found", copy);
		copy[0] = 'x';
		if (users_index_find(&index, copy, found, &number)
			!= USERS_INDEX_NOT_FOUND)
			mistake("found", copy);
		strangers += 2;
	}
	if (users != index.header.users)
		mistake("another number of users than in", "the header");
	users_index_close(&index);
	lines_close(&lines);
	printf("%u users, %u strangers\n", users, strangers);
	return mistakes > 0;
}

/* What is to be said of some names, however the index looks. */
static struct {
	char name[32];
	enum users_found found;
	struct account account;
} known[MOST];
static unsigned known_count;
static struct users_summary known_summary;

static void know(const char *name)
{
	char why[LOG_LINE_MAX];

	snprintf(known[known_count].name, sizeof(known[0].name), "%s", name);
	known[known_count].found
		= users_find(&conf, name, &known[known_count].account, why);
	known_count++;
}

static void know_all(void)
{
	static struct lines lines;
	struct users_line parts;
	char *line, name[32];

	lines_open(&lines, conf.users[0].file);
	while ((line = lines_next(&lines)) != NULL && known_count < MOST - 4) {
		if (!users_line(line, &parts))
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)parts.name_length, line);
		know(name);
	}
	lines_close(&lines);
	know("");
	know("nobody");
	know("user");
	know("user1:");
	users_summarize(&conf, &known_summary);
}

/* The stand-in counts where there is no password of the user's own. */
static bool is_same(const struct account *account, const struct account *wanted)
{
	struct account copy = *account;
	enum users_stored kind = users_stored(wanted->password, NULL);

	if (kind != USERS_LOCKED && kind != USERS_UNKNOWN)
		memcpy(copy.stand_in, wanted->stand_in, sizeof(copy.stand_in));
	return memcmp(&copy, wanted, ACCOUNT_FIXED) == 0
		&& strcmp(copy.home, wanted->home) == 0
		&& strcmp(copy.maildir, wanted->maildir) == 0;
}

static void ask_all(const char *how, size_t at)
{
	static struct account account;
	struct users_summary summary;
	char why[LOG_LINE_MAX], text[64];
	unsigned i;

	snprintf(text, sizeof(text), "%s %zu", how, at);
	for (i = 0; i < known_count; i++) {
		if (users_find(&conf, known[i].name, &account, why) != known[i].found
			|| !is_same(&account, &known[i].account))
			mistake(text, known[i].name);
	}
	users_summarize(&conf, &summary);
	if (memcmp(&summary, &known_summary, sizeof(summary)) != 0)
		mistake(text, "summary");
}

static void put(const char *data, size_t length)
{
	int fd = open(index_path, O_WRONLY | O_TRUNC);

	if (fd < 0 || write(fd, data, length) != (ssize_t)length)
		abort();
	close(fd);
}

static int spoil(void)
{
	static char good[65536];
	int fd = open(index_path, O_RDONLY);
	ssize_t length = read(fd, good, sizeof(good));
	size_t i, size = (size_t)length, rounds = 0;

	if (length <= 0 || length == sizeof(good))
		return 1;
	close(fd);
	put("", 0);
	know_all();
	put(good, size);
	ask_all("as it is", 0);
	for (i = 0; i < size; i += 64, rounds++) {
		put(good, i);
		ask_all("cut at", i);
	}
	for (i = 0; i < size; i++, rounds += 2) {
		char octet = good[i];

		good[i] = (char)(octet ^ 1 << i % 8);
		put(good, size);
		ask_all("changed at", i);
		good[i] = (char)~octet;
		put(good, size);
		ask_all("inverted at", i);
		good[i] = octet;
	}
	for (i = 0; i + 64 <= size; i += 24, rounds++) {
		char zeroed[sizeof(good)];

		memcpy(zeroed, good, size);
		memset(zeroed + i, 0, 64);
		put(zeroed, size);
		ask_all("zeroed at", i);
		/* A slot where another one belongs. */
		memcpy(zeroed, good, size);
		memcpy(zeroed + i + 8, good + i + 32, 24);
		put(zeroed, size);
		ask_all("moved at", i);
	}
	printf("%zu spoiled indexes\n", rounds);
	return mistakes > 0;
}

static int stand_in(char **names)
{
	static struct account account;
	char why[LOG_LINE_MAX];

	for (; *names; names++) {
		users_find(&conf, *names, &account, why);
		printf("%s\n", account.stand_in);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 1;
	conf.users[0].file = argv[2];
	snprintf(index_path, sizeof(index_path), "%s" USERS_INDEX_SUFFIX, argv[2]);
	if (strcmp(argv[1], "all") == 0)
		return look_for_all();
	if (strcmp(argv[1], "spoiled") == 0)
		return spoil();
	return stand_in(argv + 3);
}
