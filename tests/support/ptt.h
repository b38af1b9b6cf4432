/* ptt.h -- the test kit: a scratch bus, children that record, waiting for what shall become true, nothing left behind.
 *
 * The parent asserts; children and helper threads record what they saw and the parent looks at it.  A failure inside the kit
 * itself (no memory, no /dev/shm) fails the test at once.
 */
#ifndef PTQ_TESTS_SUPPORT_PTT_H
#define PTQ_TESTS_SUPPORT_PTT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include <ptq/bus.h>
#include <ptq/err.h>

/* ---- answers ---- */

/* assert_ok(ptq_put(...)), assert_answer(PTQ_FULL, ptq_put(...)): names both on failure. */
#define assert_answer(expected, call) ptt_assert_answer((expected), (call), #call, __FILE__, __LINE__)
#define assert_ok(call) assert_answer(PTQ_OK, call)
void ptt_assert_answer(enum ptq_err expected, enum ptq_err got, const char *call, const char *file, int line);
/* These words are part of the text. */
#define ptt_assert_says(text, words) ptt_assert_found((text), (words), __FILE__, __LINE__)
void ptt_assert_found(const char *text, const char *words, const char *file, int line);

/* ---- a scratch directory and bus: /dev/shm/ptq-test.XXXXXX ---- */

struct ptt_scratch {
    char dir[64];
    ptq_bus *bus; /* run "test"; NULL after ptt_scratch_dir */
};

/* Makes the directory (init_dir), and opens a bus in it (init). */
void ptt_scratch_init_dir(struct ptt_scratch *scratch);
void ptt_scratch_init(struct ptt_scratch *scratch);

/* Closes the bus and removes the directory with all that is in it.  Idempotent. */
void ptt_scratch_fini(struct ptt_scratch *scratch);

/* Another bus handle on the same directory, as another process would open it. */
ptq_bus *ptt_scratch_open(const struct ptt_scratch *scratch);

/* How many files the run "test" holds; with `suffix` only those whose names end so. */
unsigned ptt_scratch_files(const struct ptt_scratch *scratch, const char *suffix);

/* As cmocka group or case fixtures: *state is a struct ptt_scratch. */
int ptt_setup_scratch(void **state);
int ptt_teardown_scratch(void **state);

/* ---- children ---- */

/* Words that a child and its parent share; zero at first. */
struct ptt_page {
    _Atomic uint64_t words[512];
};
struct ptt_page *ptt_page_new(void);
void ptt_page_free(struct ptt_page *page); /* NULL is fine */

/* Forks a child that runs `work` and exits with what it returns, without cmocka, atexit or the parent's buffers.  It dies
 * with its parent, and of SIGABRT if it fails a cmocka assert. */
pid_t ptt_fork(int (*work)(void *context), void *context);

/* Waits up to timeout_ms for its end: its wait status; -1 if it goes on (then it is killed and reaped). */
int ptt_reap(pid_t pid, int timeout_ms);

/* As above; fails the test unless it exited with `code`. */
void ptt_assert_exit(pid_t pid, int code, int timeout_ms);

/* SIGKILL, and reaped. */
void ptt_kill(pid_t pid);

/* SIGSTOP, and it has stopped; SIGCONT. */
void ptt_stop(pid_t pid);
void ptt_continue(pid_t pid);

/* ---- cases that wait most of the time ---- */

/* As cmocka_run_group_tests without fixtures, in so many processes (at most 8) beside each other, forked from here: each takes
 * the next case that nobody has begun.  PTT_FILTER: those cases alone.  How many of the processes failed. */
int ptt_run_beside(const struct CMUnitTest *tests, size_t count, unsigned runners);

/* The same; each process makes a fixture of its own before its first case, and takes it away after its last.  Cases are not
 * given its state. */
int ptt_run_beside_with(const struct CMUnitTest *tests, size_t count, unsigned runners, CMFixtureFunction setup,
                        CMFixtureFunction teardown);

/* ---- waiting ---- */

/* ms: a deadline that only a defect misses */
#ifdef __SANITIZE_THREAD__
#define PTT_LONG 60000
#else
#define PTT_LONG 20000
#endif

/* Looks again and again until is_true(context), at most timeout_ms. */
bool ptt_wait_until(bool (*is_true)(void *context), void *context, int timeout_ms);

/* Until *word >= value. */
bool ptt_wait_word(const _Atomic uint64_t *word, uint64_t value, int timeout_ms);

/* Is fd readable within timeout_ms? */
bool ptt_wait_readable(int fd, int timeout_ms);

/* Until thread `tid` of process `pid` sleeps in the kernel (state S).  For tests of what wakes it. */
bool ptt_wait_sleeping(pid_t pid, pid_t tid, int timeout_ms);

/* Until a process stands still that stops itself (state T).  For tests of what a signal does to it then. */
bool ptt_wait_stopped(pid_t pid, int timeout_ms);

/* ---- what the kernel refuses ---- */

/* From now on, in this process: the system call `number` answers `error`; with flags, only where its third argument has one
 * of them.  False, errno: there is no seccomp. */
bool ptt_deny(unsigned number, unsigned flags, int error);

/* ---- what a process holds ---- */

struct ptt_traces {
    unsigned descriptors, threads, children, mappings; /* mappings: of files under /dev/shm */
};
void ptt_traces_take(struct ptt_traces *traces);

/* This process's threads, but those that a sanitizer has for itself; what a process has of its own, without what it shares. */
unsigned ptt_count_threads(void);
uint64_t ptt_anonymous_kib(pid_t pid);

/* Fails the test if there is more of anything now than then; waits for threads to be gone. */
void ptt_traces_assert_none_left(const struct ptt_traces *before);

/* ---- random ---- */

/* A seed, printed, or the one in PTT_SEED; and a generator over it. */
uint64_t ptt_seed(void);
uint64_t ptt_random(uint64_t *state);

#endif
