/* Recovers from segmentation faults with siglongjmp(3) out of a handler on an alternate stack: bad addresses, read-only
 * memory, and a stack that overflows. Linked statically with the host's C library. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf recovery;
static volatile sig_atomic_t code;
static void *volatile address;
static volatile sig_atomic_t on_alternate_stack;
static char alternate[65536];

static void on_fault(int signal, siginfo_t *info, void *context)
{
	char here;
	(void)signal;
	(void)context;
	code = info->si_code;
	address = info->si_addr;
	on_alternate_stack = &here >= alternate && &here < alternate + sizeof alternate;
	siglongjmp(recovery, 1);
}

static int blocked(int signal)
{
	sigset_t set;
	sigprocmask(SIG_BLOCK, NULL, &set);
	return sigismember(&set, signal);
}

static void report(const char *what)
{
	stack_t stack;
	sigaltstack(NULL, &stack);
	printf("%s: code %d, on the alternate stack: %d, left it: %d, still blocked: %d\n", what, (int)code,
	       (int)on_alternate_stack, !(stack.ss_flags & SS_ONSTACK), blocked(SIGSEGV));
}

static void touch(volatile char *at, const char *what)
{
	if (sigsetjmp(recovery, 1) == 0) {
		*at = 1;
		printf("%s: nothing happened\n", what);
	} else {
		report(what);
		printf("the address is right: %d\n", address == (void *)at);
	}
}

/* Ends with the stack, and needs its frame. */
static unsigned long recurse(unsigned long depth)
{
	volatile char frame[512];
	frame[0] = (char)depth;
	if (depth == ULONG_MAX)
		return 0;
	return recurse(depth + 1) + (unsigned long)frame[0];
}

int main(void)
{
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct rlimit limit = {1 << 20, 1 << 20};
	volatile int rounds = 0;
	double sum = 0.5;
	char *page;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (sigaltstack(&stack, NULL) || sigaction(SIGSEGV, &action, NULL)) {
		perror("cannot prepare");
		return 1;
	}
	setrlimit(RLIMIT_STACK, &limit);
	touch((char *)16, "nothing mapped");
	page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	touch(page, "read-only");
	munmap(page, 4096);
	touch(page, "unmapped");
	for (int i = 0; i < 3; i++) {
		if (sigsetjmp(recovery, 1) == 0)
			printf("%lu\n", recurse(0));
		else
			report("stack overflow");
	}
	while (rounds < 10000) {
		if (sigsetjmp(recovery, 1) == 0) {
			sum *= 1.0;
			*(volatile int *)(uintptr_t)(8 * (rounds + 1)) = 1;
		}
		rounds++;
	}
	printf("%d rounds, sum %.1f\n", rounds, sum);
	/* Without saving the mask the signal stays blocked, and the next fault ends the process. */
	if (fork() == 0) {
		struct rlimit none = {0, 0};
		setrlimit(RLIMIT_CORE, &none);
		if (sigsetjmp(recovery, 0) == 0)
			*(volatile char *)8 = 1;
		printf("mask not saved, blocked: %d\n", blocked(SIGSEGV));
		fflush(stdout);
		*(volatile char *)8 = 1;
		_exit(0);
	}
	int status = 0;
	while (wait(&status) < 0 && errno == EINTR)
		;
	printf("killed by %d\n", WTERMSIG(status));
	return 0;
}
