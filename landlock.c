/* One Maildir, and nothing else.  Runs in the monitor, as the user, for users who share a user id
 * are told apart by nothing else. */
#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As the kernel has them; headers may be older. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#define VERSION_FLAG 1u
#define RULE_PATH_BENEATH 1

struct ruleset {
	uint64_t files, network, scopes;
};

struct __attribute__((packed)) beneath {
	uint64_t allowed;
	int32_t parent;
};

enum {
	WRITE_FILE = 1 << 1,
	READ_FILE = 1 << 2,
	READ_DIR = 1 << 3,
	REMOVE_FILE = 1 << 5,
	MAKE_DIR = 1 << 7,
	MAKE_REG = 1 << 8,
	REFER = 1 << 13, /* rename from one directory to another */
	TRUNCATE = 1 << 14
};

/* What there is to forbid, by the version of the interface.  The first can't allow a rename from
 * new to cur, so it is of no use. */
static const struct {
	int version;
	size_t size; /* of the ruleset */
	struct ruleset all;
} interfaces[] = {
	{6, 24, {0xffff, 3, 1}}, /* abstract Unix sockets; signals are seccomp.c's */
	{5, 16, {0xffff, 3, 0}}, /* ioctl(2) of devices */
	{4, 16, {0x7fff, 3, 0}}, /* bind(2), connect(2) */
	{3, 8, {0x7fff, 0, 0}},  /* truncate(2) */
	{2, 8, {0x3fff, 0, 0}},
};

static const uint64_t in_maildir = WRITE_FILE | READ_FILE | READ_DIR | REMOVE_FILE
	| MAKE_DIR | MAKE_REG | REFER | TRUNCATE;

static int version(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_FLAG);
}

bool landlock_is_there(void)
{
	return version() >= 2;
}

/* The rules, as a descriptor; -1 with errno. */
static int make_rules(const char *path, int there)
{
	struct beneath rule;
	size_t i = 0;
	int rules;

	while (interfaces[i].version > there)
		i++;
	rule.allowed = in_maildir & interfaces[i].all.files;
	rules = (int)syscall(
		SYS_landlock_create_ruleset, &interfaces[i].all, interfaces[i].size, 0);
	rule.parent = rules < 0 ? -1 : open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* What can't be opened is not to be had: that comes out later. */
	if (rule.parent >= 0) {
		if (syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &rule, 0)
			< 0) {
			close(rules);
			rules = -1;
		}
		close(rule.parent);
	}
	return rules;
}

int landlock_enter(const char *path)
{
	int there = version(), rules, result;

	if (there < 2) {
		errno = ENOSYS;
		return -1;
	}
	rules = make_rules(path, there);
	if (rules < 0)
		return -1;
	result = (int)syscall(SYS_landlock_restrict_self, rules, 0);
	close(rules);
	return result;
}
