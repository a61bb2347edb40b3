/* The rights of the two processes: who they are and what they hold open.
 * Runs in the session before its first read, and in the monitor at the login. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

/* In /etc/passwd first, where such a user is: what nsswitch.conf(5) may bring along costs
 * more than all else that is done before a greeting. */
static bool find_user(struct sandbox_user *user, const char *name, bool elsewhere)
{
	const struct passwd *entry;

	if (users_ids("/etc/passwd", name, &user->uid, &user->gid))
		return true;
	entry = elsewhere ? getpwnam(name) : NULL;
	if (!entry)
		return false;
	user->uid = entry->pw_uid;
	user->gid = entry->pw_gid;
	return true;
}

const char *sandbox_find_user(struct sandbox_user *user, const char *name)
{
	user->started_as_root = geteuid() == 0;
	if (!user->started_as_root)
		return NULL;
	if (name ? !find_user(user, name, true)
		 : !find_user(user, "pop3d", false) && !find_user(user, "nobody", true))
		return "session_user: there is no such user";
	return user->uid == 0 ? "session_user: must not be root" : NULL;
}

/* Groups first, for afterwards there is no right left to change them; then the proof that
 * nothing is left to go back to. */
static int become(uid_t uid, gid_t gid)
{
	uid_t real, effective, saved;

	if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -1;
	if (getresuid(&real, &effective, &saved) < 0 || real != uid || effective != uid
		|| saved != uid || uid == 0 || setuid(0) == 0 || seteuid(0) == 0) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

int sandbox_become(const struct account *account, const char *name)
{
	if (account->uid == 0) {
		errno = EPERM;
		return -1;
	}
	if (geteuid() == 0) {
		if (account->system ? initgroups(name, account->gid) < 0
				    : setgroups(1, &account->gid) < 0)
			return -1;
		return become(account->uid, account->gid);
	}
	if (account->uid == geteuid())
		return 0;
	errno = EPERM;
	return -1;
}

void sandbox_close_from(unsigned first)
{
	int fd, most;

	if (syscall(SYS_close_range, first, ~0u, 0) == 0)
		return;
	most = (int)sysconf(_SC_OPEN_MAX);
	for (fd = (int)first; fd < most; fd++)
		close(fd);
}

void sandbox_null_stdio(bool keep_stderr)
{
	int fd, null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		_exit(EX_OSERR);
	for (fd = 0; fd <= (keep_stderr ? 1 : 2); fd++) {
		if (fd != null && dup2(null, fd) < 0)
			_exit(EX_OSERR);
	}
	if (null > 2)
		close(null);
}

/* Standard input and output are the client, 2 is nothing, 3 the monitor, and that is
 * all. */
static void arrange_descriptors(struct wire_ends *ends, int monitor)
{
	int high_in = fcntl(ends->in, F_DUPFD_CLOEXEC, 10);
	int high_out = fcntl(ends->out, F_DUPFD_CLOEXEC, 10);
	int high_monitor = fcntl(monitor, F_DUPFD_CLOEXEC, 10);

	sandbox_null_stdio(false);
	if (high_in < 0 || high_out < 0 || high_monitor < 0
		|| dup2(high_in, SANDBOX_IN) < 0 || dup2(high_out, SANDBOX_OUT) < 0
		|| dup2(high_monitor, SANDBOX_MONITOR) < 0)
		_exit(EX_OSERR);
	sandbox_close_from(SANDBOX_MONITOR + 1);
	ends->in = SANDBOX_IN;
	ends->out = SANDBOX_OUT;
}

void sandbox_session(const struct sandbox_user *user, struct wire_ends *ends, int monitor)
{
	arrange_descriptors(ends, monitor);
	if (user->started_as_root
		&& (setgroups(0, NULL) < 0 || become(user->uid, user->gid) < 0))
		_exit(EX_OSERR);
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(EX_OSERR);
}
