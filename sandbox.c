/* The rights of the two processes: who they are, what they hold open, and what they may still
 * ask for.  Runs in the session before its first read, and in the monitor.
 *
 * SANDBOX_NONE is for builds with sanitizers and for valgrind, which do in our name what no filter
 * would let pass. */
#include "sandbox.h"
#include "request.h"
#include "landlock.h"
#include "seccomp.h"
#ifdef PROOF
#include "proof.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

int sandbox_drop(const struct sandbox_user *user)
{
	if (!user->started_as_root)
		return 0;
	return setgroups(0, NULL) < 0 ? -1 : become(user->uid, user->gid);
}

int sandbox_become(const struct account *account, const char *name)
{
	if (account->uid == 0) {
		errno = EPERM;
		return -1;
	}
	if (geteuid() == 0) {
		if (account->group_count > 0
				? setgroups(account->group_count, account->groups) < 0
				: account->system ? initgroups(name, account->gid) < 0
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

/* Standard input and output are the client, or nothing where there are no `ends`, 2 is nothing, 3 the
 * monitor, and that is all. */
static void arrange_descriptors(struct wire_ends *ends, int monitor)
{
	int high_in = ends ? fcntl(ends->in, F_DUPFD_CLOEXEC, 10) : -1;
	int high_out = ends ? fcntl(ends->out, F_DUPFD_CLOEXEC, 10) : -1;
	int high_monitor = fcntl(monitor, F_DUPFD_CLOEXEC, 10);

	sandbox_null_stdio(false);
	if (high_monitor < 0 || dup2(high_monitor, SANDBOX_MONITOR) < 0)
		_exit(EX_OSERR);
	if (ends
		&& (high_in < 0 || high_out < 0 || dup2(high_in, SANDBOX_IN) < 0
			|| dup2(high_out, SANDBOX_OUT) < 0))
		_exit(EX_OSERR);
	sandbox_close_from(SANDBOX_MONITOR + 1);
	if (ends) {
		ends->in = SANDBOX_IN;
		ends->out = SANDBOX_OUT;
	}
}

/* What there is of the jail on this system. */
static struct {
	bool seccomp, landlock;
	int root; /* the session's root directory, an empty one; -1: none */
} there = {.root = -1};

#ifndef SANDBOX_NONE
/* An empty directory: the one that was installed, or one that is gone again. */
static int open_empty(void)
{
	static const char *const templates[] = {"/run/pop3d.XXXXXX", "/tmp/pop3d.XXXXXX"};
	int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
	int fd = open(EMPTY_DIR, flags);
	size_t i;

	for (i = 0; fd < 0 && i < sizeof(templates) / sizeof(templates[0]); i++) {
		char path[32];

		strcpy(path, templates[i]);
		if (!mkdtemp(path))
			continue;
		fd = open(path, flags);
		rmdir(path);
	}
	return fd;
}
#endif

#ifdef __GLIBC__
typedef __rlimit_resource_t resource;
#else
typedef int resource;
#endif

/* To so much, or to what may not be raised where that is less. */
static int limit(resource which, rlim_t most)
{
	struct rlimit limits = {most, most};

	if (setrlimit(which, &limits) == 0)
		return 0;
	if (getrlimit(which, &limits) < 0 || limits.rlim_max > most)
		return -1;
	limits.rlim_cur = limits.rlim_max;
	return setrlimit(which, &limits);
}

/* For good.  Returns false where that has been done to more than is wanted now. */
static bool give_up(const struct sandbox_user *user, enum seccomp_rules rules)
{
	static bool done, without_programs;

#ifdef SANDBOX_NONE
	return true;
#endif
	if (without_programs)
		return rules == SECCOMP_LOGIN;
	if (done && rules == SECCOMP_LOGIN_PROGRAMS)
		return true;
	/* Of those who could look into it, only its own user is no stranger. */
	if ((user->started_as_root && prctl(PR_SET_DUMPABLE, 0) < 0)
		|| limit(RLIMIT_CORE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
		|| (there.seccomp && seccomp_enter(rules) < 0))
		log_fatal("sandbox: %s", strerror(errno));
	done = true;
	without_programs = there.seccomp && rules == SECCOMP_LOGIN;
	return true;
}

/* What this system lacks, each behind a space. */
static void find_missing(const struct sandbox_user *user, char *missing)
{
#ifdef SANDBOX_NONE
	(void)user, (void)missing;
#else
	there.seccomp = seccomp_is_there();
	there.landlock = landlock_is_there();
	if (user->started_as_root && there.root < 0)
		there.root = open_empty();
#ifdef PROOF
	there.seccomp &= !proof_without("seccomp");
	there.landlock &= !proof_without("landlock");
	if (proof_without("chroot"))
		there.root = -1;
#endif
	if (!there.seccomp)
		strcat(missing, " seccomp");
	if (!there.landlock)
		strcat(missing, " Landlock");
	if (user->started_as_root && there.root < 0)
		strcat(missing, " an-empty-directory");
#endif
}

bool sandbox_start(const struct sandbox_user *user, enum sandbox_mode mode, bool programs)
{
	bool require = mode == SANDBOX_REQUIRE;
	char missing[80] = "";

	find_missing(user, missing);
	if (missing[0])
		log_line(require ? LOG_ERR : LOG_NOTICE, "sandbox: this system lacks%s",
			missing);
	if (missing[0] && require)
		return false;
	seccomp_prepare(SECCOMP_SESSION);
	seccomp_prepare(SECCOMP_MAILDROP);
	if (give_up(user, programs ? SECCOMP_LOGIN_PROGRAMS : SECCOMP_LOGIN))
		return true;
	log_line(LOG_ERR,
		"sandbox: no program can be run any more: a new one in the "
		"configuration takes a restart");
	return false;
}

/* Octets, descriptors and so on that no session comes near; nor a monitor an hour, in which slow machines
 * count the octets of some hundred GB. */
#define SESSION_MEMORY ((rlim_t)256 << 20)
#define SESSION_DESCRIPTORS (REQUEST_FILES + 16)
#define SESSION_SECONDS 3600 /* of the processor's time */

static bool is_file(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

static int limit_session(const struct wire_ends *ends, rlim_t seconds)
{
#ifdef SANDBOX_NONE
	(void)ends, (void)seconds;
	return 0;
#endif
	if (limit(RLIMIT_AS, SESSION_MEMORY) < 0 || limit(RLIMIT_CPU, seconds) < 0
		|| limit(RLIMIT_NOFILE, SESSION_DESCRIPTORS) < 0
		|| limit(RLIMIT_NPROC, 0) < 0 || limit(RLIMIT_CORE, 0) < 0)
		return -1;
	/* A script may have its answers written to a file. */
	return ends && is_file(ends->out) ? 0 : limit(RLIMIT_FSIZE, 0);
}

static void jail(const struct sandbox_user *user, struct wire_ends *ends, int monitor,
	rlim_t seconds)
{
	if (there.root >= 0 && fchdir(there.root) < 0)
		_exit(EX_OSERR);
	arrange_descriptors(ends, monitor);
	if (there.root >= 0 && chroot(".") < 0)
		_exit(EX_OSERR);
	if (sandbox_drop(user) < 0)
		_exit(EX_OSERR);
	/* Whatever ends the monitor ends the session, as long as the two have the same rights. */
	if (limit_session(ends, seconds) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0
		|| prctl(PR_SET_DUMPABLE, 0) < 0
		|| prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
		|| (there.seccomp && seccomp_enter(SECCOMP_SESSION) < 0))
		_exit(EX_OSERR);
}

void sandbox_session(const struct sandbox_user *user, struct wire_ends *ends, int monitor)
{
	jail(user, ends, monitor, SESSION_SECONDS);
}

void sandbox_checker(const struct sandbox_user *user, int monitor, unsigned seconds)
{
	jail(user, NULL, monitor, seconds);
}

int sandbox_maildir(const char *path)
{
#ifdef SANDBOX_NONE
	return 0;
#endif
	if (limit(RLIMIT_NPROC, 0) < 0 || limit(RLIMIT_CPU, SESSION_SECONDS) < 0
		|| (there.landlock && landlock_enter(path) < 0)
		|| (there.seccomp && seccomp_enter(SECCOMP_MAILDROP) < 0))
		return -1;
	return 0;
}
