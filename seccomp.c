/* What the two processes may ask of the kernel: three tables, and the program for the kernel
 * that is made of one.  Runs in both. */
#include "seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whose system calls the numbers in the tables are.  A process of one architecture may make those
 * of another, which have other numbers: that ends it. */
#if defined(__x86_64__) && defined(__ILP32__)
#error "x32 is not supported"
#elif defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#define X32_BIT 0x40000000u
#elif defined(__i386__)
#define ARCHITECTURE AUDIT_ARCH_I386
#elif defined(__aarch64__)
#define ARCHITECTURE (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 0 : AUDIT_ARCH_AARCH64)
#elif defined(__arm__)
#define ARCHITECTURE AUDIT_ARCH_ARM
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ARCHITECTURE AUDIT_ARCH_PPC64LE
#elif defined(__s390x__)
#define ARCHITECTURE AUDIT_ARCH_S390X
#elif defined(__mips__) && defined(__MIPSEL__) && _MIPS_SIM == _ABIO32
#define ARCHITECTURE AUDIT_ARCH_MIPSEL
#elif defined(__mips__) && defined(__MIPSEB__) && _MIPS_SIM == _ABIO32
#define ARCHITECTURE AUDIT_ARCH_MIPS
#elif defined(__loongarch64)
#define ARCHITECTURE AUDIT_ARCH_LOONGARCH64
#else
#define ARCHITECTURE 0 /* none that is known here: no filter */
#endif

/* Arguments that a call on a list must have, or may not have. */
enum rule {
	ANY,
	NOT_EXEC,    /* memory that is not to be run: mmap(2), mprotect(2) */
	SOCKET_DATA, /* socketcall(2) for what is a socket already */
	URGING       /* SIGURG, which nobody minds who does not know it: kill(2) */
};

struct call {
	uint32_t number;
	enum rule rule;
};

#define ALLOW(name) \
	{ \
		SYS_##name, ANY \
	} /* on a list, whatever its arguments */

/* Descriptors that are open; memory, time, random numbers, and an end. */
static const struct call session_calls[] = {
	ALLOW(read),
	ALLOW(write),
	ALLOW(close),
	ALLOW(sendmsg),
	ALLOW(recvmsg),
	ALLOW(pread64),
	ALLOW(lseek),
	ALLOW(sendto),
	ALLOW(recvfrom),
	ALLOW(brk),
	{SYS_mprotect, NOT_EXEC},
	ALLOW(munmap),
	ALLOW(mremap),
	ALLOW(madvise),
	ALLOW(futex),
	ALLOW(getrandom),
	ALLOW(getpid), /* OpenSSL asks whether it has been forked */
	ALLOW(clock_gettime),
	ALLOW(gettimeofday),
	ALLOW(rt_sigreturn),
	ALLOW(restart_syscall),
	ALLOW(exit),
	ALLOW(exit_group),
#ifdef SYS_mmap
	{SYS_mmap, NOT_EXEC},
#endif
#ifdef SYS_mmap2
	{SYS_mmap2, NOT_EXEC},
#endif
#ifdef SYS__llseek
	ALLOW(_llseek),
#endif
#ifdef SYS_poll
	ALLOW(poll),
#endif
#ifdef SYS_ppoll
	ALLOW(ppoll),
#endif
#ifdef SYS_ppoll_time64
	ALLOW(ppoll_time64),
#endif
#ifdef SYS_clock_gettime64
	ALLOW(clock_gettime64),
#endif
#ifdef SYS_futex_time64
	ALLOW(futex_time64),
#endif
#ifdef SYS_time
	ALLOW(time),
#endif
#ifdef SYS_send
	ALLOW(send),
#endif
#ifdef SYS_recv
	ALLOW(recv),
#endif
#ifdef SYS_sigreturn
	ALLOW(sigreturn),
#endif
#ifdef SYS_socketcall
	{SYS_socketcall, SOCKET_DATA},
#endif
};

/* After the login: all of that, and files, beneath the Maildir as Landlock sees to it. */
static const struct call maildrop_calls[] = {
	ALLOW(pwrite64),
	ALLOW(openat),
	ALLOW(getdents64),
	ALLOW(ftruncate),
	ALLOW(fsync),
	ALLOW(renameat2),
	ALLOW(linkat),
	ALLOW(unlinkat),
	ALLOW(mkdirat),
	ALLOW(faccessat),
	ALLOW(utimensat),
	ALLOW(fcntl),
	ALLOW(flock),
	ALLOW(memfd_create),
	ALLOW(clock_nanosleep),
	ALLOW(nanosleep),
	ALLOW(wait4),
	ALLOW(setsockopt),
	ALLOW(getsockopt),
	ALLOW(shutdown),
	{SYS_kill, URGING},
	ALLOW(rt_sigaction),
	ALLOW(rt_sigprocmask),
	ALLOW(rt_sigtimedwait),
#ifdef SYS_rt_sigtimedwait_time64
	ALLOW(rt_sigtimedwait_time64),
#endif
#ifdef SYS_fadvise64
	ALLOW(fadvise64),
#endif
#ifdef SYS_fadvise64_64
	ALLOW(fadvise64_64),
#endif
#ifdef SYS_arm_fadvise64_64
	ALLOW(arm_fadvise64_64),
#endif
#ifdef SYS_fstat
	ALLOW(fstat),
#endif
#ifdef SYS_newfstatat
	ALLOW(newfstatat),
#endif
#ifdef SYS_fstatat64
	ALLOW(fstatat64),
#endif
#ifdef SYS_fstat64
	ALLOW(fstat64),
#endif
#ifdef SYS_statx
	ALLOW(statx),
#endif
#ifdef SYS_stat
	ALLOW(stat),
#endif
#ifdef SYS_lstat
	ALLOW(lstat),
#endif
#ifdef SYS_lstat64
	ALLOW(lstat64),
#endif
#ifdef SYS_open
	ALLOW(open),
#endif
#ifdef SYS_access
	ALLOW(access),
#endif
#ifdef SYS_faccessat2
	ALLOW(faccessat2),
#endif
#ifdef SYS_renameat
	ALLOW(renameat),
#endif
#ifdef SYS_ftruncate64
	ALLOW(ftruncate64),
#endif
#ifdef SYS_fcntl64
	ALLOW(fcntl64),
#endif
#ifdef SYS_utimensat_time64
	ALLOW(utimensat_time64),
#endif
#ifdef SYS_clock_nanosleep_time64
	ALLOW(clock_nanosleep_time64),
#endif
};

/* Before the login there is root, and what crypt(3), the modules of nsswitch.conf(5), syslog(3)
 * and the start of a session may need is not known: so this is a list of what none of them has
 * any business with. */
static const struct call login_calls[] = {
#define EXEC_CALLS 2 /* the first ones */
	ALLOW(execve),
	ALLOW(execveat),
	ALLOW(ptrace),
	ALLOW(process_vm_readv),
	ALLOW(process_vm_writev),
	ALLOW(init_module),
	ALLOW(finit_module),
	ALLOW(delete_module),
	ALLOW(kexec_load),
	ALLOW(mount),
	ALLOW(umount2),
	ALLOW(pivot_root),
	ALLOW(setns),
	ALLOW(unshare),
	ALLOW(bpf),
	ALLOW(perf_event_open),
	ALLOW(userfaultfd),
	ALLOW(open_by_handle_at),
	ALLOW(name_to_handle_at),
	ALLOW(add_key),
	ALLOW(request_key),
	ALLOW(keyctl),
	ALLOW(swapon),
	ALLOW(swapoff),
	ALLOW(reboot),
	ALLOW(acct),
	ALLOW(quotactl),
	ALLOW(settimeofday),
	ALLOW(clock_settime),
	ALLOW(adjtimex),
	ALLOW(clock_adjtime),
	ALLOW(sethostname),
	ALLOW(setdomainname),
	ALLOW(mknodat),
	ALLOW(vhangup),
	ALLOW(personality),
	ALLOW(fanotify_init),
	ALLOW(syslog), /* the kernel's own log, not syslog(3) */
#ifdef SYS_kexec_file_load
	ALLOW(kexec_file_load),
#endif
#ifdef SYS_mknod
	ALLOW(mknod),
#endif
#ifdef SYS_iopl
	ALLOW(iopl),
#endif
#ifdef SYS_ioperm
	ALLOW(ioperm),
#endif
#ifdef SYS_modify_ldt
	ALLOW(modify_ldt),
#endif
#ifdef SYS_io_uring_setup
	ALLOW(io_uring_setup),
#endif
#ifdef SYS_move_mount
	ALLOW(move_mount),
	ALLOW(open_tree),
	ALLOW(fsopen),
	ALLOW(fsmount),
#endif
};

static const struct {
	const struct call *calls;
	size_t count;
	bool and_session;       /* session_calls too */
	uint32_t listed, other; /* what becomes of a call */
} tables[] = {
#define COUNT(calls) (sizeof(calls) / sizeof(calls[0]))
	[SECCOMP_SESSION] = {session_calls, COUNT(session_calls), false,
		SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS},
	[SECCOMP_LOGIN] = {login_calls, COUNT(login_calls), false,
		SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ALLOW},
	[SECCOMP_LOGIN_PROGRAMS]
	= {login_calls + EXEC_CALLS, COUNT(login_calls) - EXEC_CALLS, false,
		SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ALLOW},
	[SECCOMP_MAILDROP] = {maildrop_calls, COUNT(maildrop_calls), true,
		SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | EPERM},
};

/* The program: a tree of comparisons, and three verdicts at its end.  The kernel translates it for each
 * process, and goes through it for each call that there is, to know beforehand what becomes of it: it is
 * to be short, and no way through it long. */

#define PROGRAM_MAX 128
#define CALLS_MAX 120

enum verdict { LISTED, OTHER, KILL, VERDICTS };

/* Where to go on: an instruction, or -1 - verdict. */
typedef int target;
#define TO(verdict) (-1 - (target)(verdict))

/* Each is made once, and in the listener: what its children only read they share. */
static struct program {
	unsigned short length; /* 0: it has not been made */
	struct sock_filter code[PROGRAM_MAX];
} programs[SECCOMP_MAILDROP + 1];

/* The one that is being made. */
static struct sock_filter *program;
static struct {
	target if_true, if_false; /* of a comparison */
} targets[PROGRAM_MAX];
static unsigned short length;

static void put(uint16_t code, uint32_t k)
{
	if (length == PROGRAM_MAX)
		abort();
	program[length++] = (struct sock_filter){code, 0, 0, k};
}

static void load(size_t offset)
{
	put(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset);
}

static void compare(uint16_t how, uint32_t with, target if_true, target if_false)
{
	targets[length].if_true = if_true;
	targets[length].if_false = if_false;
	put(BPF_JMP | how | BPF_K, with);
}

/* The half of an argument that holds its value. */
static size_t argument(int number)
{
	size_t low = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0;

	return offsetof(struct seccomp_data, args) + 8 * (size_t)number + low;
}

/* What becomes of a call on the list: always the same, or as its arguments are. */
static target put_rule(enum rule rule)
{
	target here = length;

	switch (rule) {
	case NOT_EXEC:
		load(argument(2));
		compare(BPF_JSET, PROT_EXEC, TO(OTHER), TO(LISTED));
		return here;
	case SOCKET_DATA:
		/* SYS_SEND, SYS_RECV, SYS_SENDTO, SYS_RECVFROM, SYS_SHUTDOWN, SYS_SETSOCKOPT,
		 * SYS_GETSOCKOPT, SYS_SENDMSG, SYS_RECVMSG */
		load(argument(0));
		compare(BPF_JGE, 9, length + 1, TO(OTHER));
		compare(BPF_JGT, 17, TO(OTHER), TO(LISTED));
		return here;
	case URGING:
		load(argument(1));
		compare(BPF_JEQ, SIGURG, TO(LISTED), TO(OTHER));
		return here;
	default:
		return TO(LISTED);
	}
}

/* Numbers from `first` to the next part's, which have one fate. */
struct part {
	uint32_t first;
	bool listed;
	enum rule rule;
};

static int compare_calls(const void *a, const void *b)
{
	const struct call *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

/* In the place of what begins there too, and as more of the last one where that has the same fate. */
static void add_part(struct part *parts, size_t *count, struct part part)
{
	const struct part *last;

	if (*count > 0 && parts[*count - 1].first == part.first)
		--*count;
	last = *count > 0 ? &parts[*count - 1] : NULL;
	if (!last || last->listed != part.listed
		|| (part.listed && (last->rule != ANY || part.rule != ANY)))
		parts[(*count)++] = part;
}

/* All numbers that there are, in as few parts as possible. */
static size_t make_parts(struct part *parts, struct call *calls, size_t count)
{
	size_t i, made = 0;

	qsort(calls, count, sizeof(calls[0]), compare_calls);
	add_part(parts, &made, (struct part){0, false, ANY});
	for (i = 0; i < count; i++) {
		add_part(parts, &made,
			(struct part){calls[i].number, true, calls[i].rule});
		add_part(parts, &made, (struct part){calls[i].number + 1, false, ANY});
	}
	return made;
}

static target put_parts(const struct part *parts, size_t count)
{
	size_t half = count / 2;
	target here = length;

	if (count == 1)
		return parts->listed ? put_rule(parts->rule) : TO(OTHER);
	compare(BPF_JGE, parts[half].first, 0, 0);
	targets[here].if_false = put_parts(parts, half);
	targets[here].if_true = put_parts(parts + half, count - half);
	return here;
}

static uint8_t distance(int from, target to)
{
	return (uint8_t)((to < 0 ? length - VERDICTS - 1 - to : to) - from - 1);
}

static void finish_program(uint32_t listed, uint32_t other)
{
	int i;

	put(BPF_RET | BPF_K, listed);
	put(BPF_RET | BPF_K, other);
	put(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	for (i = 0; i < length; i++) {
		if (BPF_CLASS(program[i].code) != BPF_JMP)
			continue;
		program[i].jt = distance(i, targets[i].if_true);
		program[i].jf = distance(i, targets[i].if_false);
	}
}

static void make_program(enum seccomp_rules rules)
{
	struct call calls[CALLS_MAX];
	struct part parts[2 * CALLS_MAX + 1];
	size_t count = tables[rules].count, made;

	memcpy(calls, tables[rules].calls, count * sizeof(calls[0]));
	if (tables[rules].and_session) {
		memcpy(calls + count, session_calls, sizeof(session_calls));
		count += COUNT(session_calls);
	}
	made = make_parts(parts, calls, count);
	program = programs[rules].code;
	length = 0;
	load(offsetof(struct seccomp_data, arch));
	compare(BPF_JEQ, ARCHITECTURE, length + 1, TO(KILL));
	load(offsetof(struct seccomp_data, nr));
#ifdef X32_BIT
	compare(BPF_JGE, X32_BIT, TO(KILL), length + 1);
#endif
	put_parts(parts, made);
	finish_program(tables[rules].listed, tables[rules].other);
	programs[rules].length = length;
}

bool seccomp_is_there(void)
{
	uint32_t kill = SECCOMP_RET_KILL_PROCESS;

	return ARCHITECTURE != 0
		&& syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &kill) == 0;
}

void seccomp_prepare(enum seccomp_rules rules)
{
	if (programs[rules].length == 0)
		make_program(rules);
}

int seccomp_enter(enum seccomp_rules rules)
{
	struct sock_fprog ready;

	seccomp_prepare(rules);
	ready.len = programs[rules].length;
	ready.filter = programs[rules].code;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &ready);
}
