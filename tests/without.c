/* Runs a program on a kernel that lacks these system calls: each fails with ENOSYS.
 *
 *   without CALL[,CALL...] PROGRAM [ARGUMENT...]
 *
 * CALL is landlock or seccomp.  What the program is refused is its children's loss too. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif

/* seccomp(2) itself may go: whoever asks for a filter later has none. */
static struct sock_filter program[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)-1, 2, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)-1, 1, 0),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
};

int main(int argc, char **argv)
{
	struct sock_fprog ready = {sizeof(program) / sizeof(program[0]), program};

	if (argc < 3)
		return 64;
	if (strstr(argv[1], "landlock"))
		program[1].k = SYS_landlock_create_ruleset;
	if (strstr(argv[1], "seccomp"))
		program[2].k = SYS_seccomp;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
		|| prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &ready) < 0) {
		perror("without");
		return 71;
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
