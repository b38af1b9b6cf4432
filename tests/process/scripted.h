/* scripted.h -- a process that does what a script says, and keeps a log of its sections over all lives and deaths.
 *
 * The script is its input: "r2=fail p3=kill*2": in run 2's run hook fail, the first time; in run 3's prerun be killed, the first two
 * times.  Sections: s start, p<run> prerun, r<run> run, o<run> postrun, f onfinish, R result, e error.  Actions:
 *   fail   answers PTQ_EPERM with the text "as the script says"     bare   answers PTQ_EBUSY without a text
 *   stop   asks for its own stop                                      eintr  asks for it, and answers PTQ_EINTR
 *   kill   SIGKILL     segv   SIGSEGV     exit   exit(3)             freeze SIGSTOP
 *   wait   until it is cancelled, then answers well                  sleep  a system call that sleeps for ever, until EINTR
 *   hang   for ever                                                   nap    120 ms
 *   longest  2 ms, and longer than any section before it
 * The log ("s p1 r1 o1 f R") is its checkpoint, and its result.  Limits hold until the first section that is done again: what a script
 * leaves alone must not be late, whatever a busy machine does.
 */
#ifndef PTQ_TESTS_PROCESS_SCRIPTED_H
#define PTQ_TESTS_PROCESS_SCRIPTED_H

#include <ptq/ptq.h>

/* Hooks "all" (every one), "run" (that alone), "unheard" (all but error). */
void scripted_register(void);

struct life {
    ptq_process *process;
    enum ptq_err answer;
    char log[4096];
    struct ptq_process_error error;
    struct ptq_process_status status;
};

/* Starts it; waits for its end, and tells what it came to.  `options` may be NULL: one run. */
void scripted_start(struct life *life, const char *hooks, const struct ptq_process_options *options, const char *script);
void scripted_end(struct life *life);
void scripted_fini(struct life *life);

/* Until its log would have this section: as its status says. */
void scripted_wait_for(struct life *life, enum ptq_section section);
void scripted_wait_for_run(struct life *life, uint64_t run); /* in its run hook */
void scripted_wait_frozen(struct life *life);                /* by "freeze": a section is there before it has come to that */

/* All of it; the log and the answer must be these. */
#define assert_life(hooks, options, script, answer, log) assert_life_at(hooks, options, script, answer, log, __FILE__, __LINE__)
void assert_life_at(const char *hooks, const struct ptq_process_options *options, const char *script, enum ptq_err answer,
                    const char *log, const char *file, int line);

#endif
