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

/* The program. */

#define PROGRAM_MAX 512

static struct sock_filter program[PROGRAM_MAX];
static unsigned short length;

static void put(uint16_t code, uint32_t k, uint8_t if_true, uint8_t if_false)
{
	program[length++] = (struct sock_filter){code, if_true, if_false, k};
}

static void load(size_t offset)
{
	put(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void answer(uint32_t verdict)
{
	put(BPF_RET | BPF_K, verdict, 0, 0);
}

/* The half of an argument that holds its value. */
static size_t argument(int number)
{
	size_t low = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0;

	return offsetof(struct seccomp_data, args) + 8 * (size_t)number + low;
}

/* Each ends with a verdict, so that the number need not be loaded again. */
static void put_rule(enum rule rule, uint32_t listed, uint32_t other)
{
	/* SYS_SEND, SYS_RECV, SYS_SENDTO, SYS_RECVFROM, SYS_SHUTDOWN, SYS_SETSOCKOPT,
	 * SYS_GETSOCKOPT, SYS_SENDMSG, SYS_RECVMSG */
	static const uint32_t data_calls[] = {9, 10, 11, 12, 13, 14, 15, 16, 17};
	size_t i;

	switch (rule) {
	case NOT_EXEC:
		load(argument(2));
		put(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1);
		answer(other);
		break;
	case SOCKET_DATA:
		load(argument(0));
		for (i = 0; i < sizeof(data_calls) / sizeof(data_calls[0]); i++) {
			put(BPF_JMP | BPF_JEQ | BPF_K, data_calls[i], 0, 1);
			answer(listed);
		}
		answer(other);
		return;
	case URGING:
		load(argument(1));
		put(BPF_JMP | BPF_JEQ | BPF_K, SIGURG, 1, 0);
		answer(other);
		break;
	case ANY:
		break;
	}
	answer(listed);
}

static void put_call(const struct call *call, uint32_t listed, uint32_t other)
{
	unsigned short jump = length;

	put(BPF_JMP | BPF_JEQ | BPF_K, call->number, 0, 0);
	put_rule(call->rule, listed, other);
	program[jump].jf = (uint8_t)(length - jump - 1);
}

static void make_program(enum seccomp_rules rules)
{
	uint32_t listed = tables[rules].listed, other = tables[rules].other;
	size_t i;

	length = 0;
	load(offsetof(struct seccomp_data, arch));
	put(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	answer(SECCOMP_RET_KILL_PROCESS);
	load(offsetof(struct seccomp_data, nr));
#ifdef X32_BIT
	put(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
	answer(SECCOMP_RET_KILL_PROCESS);
#endif
	for (i = 0; tables[rules].and_session && i < COUNT(session_calls); i++)
		put_call(&session_calls[i], listed, other);
	for (i = 0; i < tables[rules].count; i++)
		put_call(&tables[rules].calls[i], listed, other);
	answer(other);
}

bool seccomp_is_there(void)
{
	uint32_t kill = SECCOMP_RET_KILL_PROCESS;

	return ARCHITECTURE != 0
		&& syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &kill) == 0;
}

int seccomp_enter(enum seccomp_rules rules)
{
	struct sock_fprog ready;

	make_program(rules);
	ready.len = length;
	ready.filter = program;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &ready);
}
