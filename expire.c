/* See expire.h.  A process for each user, which becomes that user as a monitor does, and is jailed
 * like one. */
#include "expire.h"
#include "maildrop.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

static int fail(const char *user, const char *why)
{
	log_line(LOG_ERR, "not-expired user=%s: %s", user, why);
	return EX_TEMPFAIL;
}

static int expire_maildrop(
	struct maildrop *maildrop, const char *user, const struct terms *terms)
{
	const struct maildrop_orders orders = {.expire = terms->expire};
	struct maildrop_result result;

	maildrop_commit(maildrop, &orders, &result);
	maildrop_close(maildrop);
	if (result.expired > 0)
		log_line(LOG_INFO,
			"expired user=%s messages=%" PRIu64 " octets=%" PRIu64 " days=%u",
			user, result.expired, result.expired_octets, terms->expire);
	return result.unexpired > 0 ? fail(user, strerror(result.expire_error)) : EX_OK;
}

/* In the user's process. */
static int expire_user(
	const struct conf *conf, const char *name, const struct account *account)
{
	const struct maildrop_manner manner = {.no_login = true};
	char path[PATH_MAX], why[LOG_LINE_MAX], user[LOG_QUOTE_SIZE];
	struct maildrop maildrop;
	const char *wrong = account->broken;

	log_quote(user, name, strlen(name));
	if (!wrong)
		wrong = users_maildir(path, conf, name, account);
	if (wrong)
		return fail(user, wrong);
	if (sandbox_become(account, name) < 0)
		return fail(user, strerror(errno));
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return EX_OK;
	if (sandbox_maildir(path) < 0)
		return fail(user, strerror(errno));
	switch (maildrop_open(&maildrop, path, &manner, why)) {
	case MAILDROP_OPEN:
		return expire_maildrop(&maildrop, user, &account->terms);
	case MAILDROP_IN_USE:
		log_line(LOG_INFO, "not-expired user=%s: in use", user);
		return EX_OK;
	default:
		return fail(user, why);
	}
}

struct run {
	const struct conf *conf;
	int status;
};

static void expire_one(void *argument, const char *name, const struct account *account)
{
	struct run *run = argument;
	int status;
	pid_t child;

	if (account->terms.expire == 0 || account->terms.expire == TERMS_NEVER)
		return;
	child = fork();
	if (child == 0)
		_exit(expire_user(run->conf, name, account));
	if (child < 0 || waitpid(child, &status, 0) < 0)
		run->status = fail("-", strerror(errno));
	else if (WIFSIGNALED(status))
		run->status = fail("-", strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != EX_OK)
		run->status = WEXITSTATUS(status);
}

int expire_all(struct server *server)
{
	struct run run = {&server->conf, EX_OK};
	char why[LOG_LINE_MAX];

	log_open(server->conf.log);
	if (!sandbox_start(&server->user, server->conf.sandbox, false))
		return EX_UNAVAILABLE;
	index_boot();
	if (!users_each(&server->conf, expire_one, &run, why)) {
		log_line(LOG_ERR, "%s", why);
		return EX_CONFIG;
	}
	return run.status;
}
