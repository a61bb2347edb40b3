/* The filters of seccomp.c, gone through for each number of a system call, and for arguments that its
 * rules ask for, against what its tables say.  Ends with 1 where they differ. */
#include "../seccomp.c" /* for what is static there */

#include <stdio.h>

#define MOST 1024 /* more than there are */

static uint32_t interpret(const struct seccomp_data *data)
{
	uint32_t a = 0;
	int at = 0;

	for (;;) {
		const struct sock_filter *f = &program[at++];

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&a, (const char *)data + f->k, sizeof(a));
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			at += a == f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			at += a >= f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			at += a > f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			at += a & f->k ? f->jt : f->jf;
			break;
		case BPF_RET | BPF_K:
			return f->k;
		default:
			printf("an instruction that is not known: %x\n", f->code);
			return 0;
		}
	}
}

static bool holds(enum rule rule, const struct seccomp_data *data)
{
	switch (rule) {
	case NOT_EXEC:
		return !(data->args[2] & PROT_EXEC);
	case SOCKET_DATA:
		return data->args[0] >= 9 && data->args[0] <= 17;
	case URGING:
		return data->args[1] == SIGURG;
	default:
		return true;
	}
}

static uint32_t wanted(enum seccomp_rules rules, const struct seccomp_data *data)
{
	const struct call *lists[] = {tables[rules].calls, session_calls};
	size_t counts[] = {tables[rules].count, COUNT(session_calls)}, list, i;

	for (list = 0; list < (tables[rules].and_session ? 2 : 1); list++) {
		for (i = 0; i < counts[list]; i++) {
			if (lists[list][i].number == (uint32_t)data->nr)
				return holds(lists[list][i].rule, data)
					? tables[rules].listed
					: tables[rules].other;
		}
	}
	return tables[rules].other;
}

static int check(
	enum seccomp_rules rules, const struct seccomp_data *data, uint32_t verdict)
{
	if (interpret(data) == verdict)
		return 0;
	printf("rules %d, call %d, arguments %llu %llu %llu: not %x\n", rules, data->nr,
		(unsigned long long)data->args[0], (unsigned long long)data->args[1],
		(unsigned long long)data->args[2], verdict);
	return 1;
}

int main(void)
{
	static const uint64_t arguments[][3] = {{0, 0, 0}, {8, 0, PROT_EXEC},
		{9, SIGURG, 1}, {17, SIGKILL, 2 | PROT_EXEC}, {18, SIGTERM, ~0ull}};
	enum seccomp_rules rules;
	unsigned checked = 0;
	int mistakes = 0;
	size_t i;

	for (rules = SECCOMP_SESSION; rules <= SECCOMP_MAILDROP; rules++) {
		struct seccomp_data data = {.arch = ARCHITECTURE};

		make_program(rules);
		for (data.nr = 0; data.nr < MOST; data.nr++) {
			for (i = 0; i < COUNT(arguments); i++, checked++) {
				memcpy(data.args, arguments[i], sizeof(arguments[i]));
				mistakes += check(rules, &data, wanted(rules, &data));
			}
		}
		data.arch = ARCHITECTURE + 1;
		data.nr = SYS_read;
		mistakes += check(rules, &data, SECCOMP_RET_KILL_PROCESS);
#ifdef X32_BIT
		data.arch = ARCHITECTURE;
		data.nr = (int)(X32_BIT | SYS_read);
		mistakes += check(rules, &data, SECCOMP_RET_KILL_PROCESS);
#endif
		printf("rules %d: %d instructions\n", rules, length);
	}
	printf("%u checks, %d mistakes\n", checked, mistakes);
	return mistakes > 0;
}
