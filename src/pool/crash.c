/* crash.c -- the last words of a worker whose task crashes: by which signal, and where.
 *
 * They stand in the roster, for who gets the job next.  Then the signal does what it would have done without us: whoever had handled
 * it before does, or the process dies of it, with its core.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "os/trace.h"
#include "pool/pool.h"

#define STACK_BYTES (64 * 1024) /* where an overflow of the stack is told */
#define ALARM_S 2               /* the loader may be in the middle of something: then the process ends by this */

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};
#define SIGNALS (sizeof signals / sizeof signals[0])

static struct {
    struct pti_worker *worker;
    struct sigaction before[SIGNALS];
    _Atomic uint32_t entered;
    struct pti_obituary note;
    unsigned char stack[STACK_BYTES];
} crash;

static __thread uint32_t passed_on __attribute__((tls_model("initial-exec"))); /* a bit for each of signals */

static void arm_alarm(void)
{
    sigset_t set;
    (void)signal(SIGALRM, SIG_DFL);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGALRM);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    (void)alarm(ALARM_S);
}

/* What can be said for sure first; with the trace a second time, if that succeeds. */
static void bury(int number)
{
    struct pti_worker *worker = crash.worker;
    const ptq_msg *msg = worker->msg;
    struct pti_frames frames;
    if (msg == NULL)
        return;
    pti_store_relaxed(&crash.note.ticket, msg->position); /* ours alone */
    crash.note.pid = getpid();
    crash.note.ran_ns = (uint64_t)(pti_now_ns() - worker->began_ns);
    crash.note.death = PTI_DEATH_SIGNAL;
    crash.note.code = number;
    pti_roster_bury(&worker->roster, &crash.note);
    pti_frames_take(&frames, 2); /* without this and the handler */
    pti_frames_text_in_signal(&frames, crash.note.trace, sizeof crash.note.trace);
    pti_roster_bury(&worker->roster, &crash.note);
}

/* Who had it before may be a handler that had us before (a guard of memory, made before us and again after us): then nobody wants it. */
static void pass_on(size_t index)
{
    if ((passed_on & 1u << index) != 0)
        (void)signal(signals[index], SIG_DFL);
    else
        (void)sigaction(signals[index], &crash.before[index], NULL);
    passed_on |= 1u << index;
}

static void on_crash(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (pti_exchange_seq(&crash.entered, 1) == 0) {
        arm_alarm();
        bury(number);
        (void)alarm(0);
    }
    for (size_t i = 0; i < SIGNALS; i++)
        if (signals[i] == number)
            pass_on(i);
    if (info->si_code <= 0) /* it was sent: else the instruction runs again */
        (void)raise(number);
}

void pti_crash_watch(struct pti_worker *worker)
{
    stack_t stack = {.ss_sp = crash.stack, .ss_size = STACK_BYTES};
    struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    crash.worker = worker;
    if (pti_trace_prepare() != 0)
        return;
    (void)sigaltstack(&stack, NULL); /* of this thread, until the process ends */
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < SIGNALS; i++)
        (void)sigaction(signals[i], &action, &crash.before[i]);
}
