/* watchdog.c -- one section, its deadline, and who looks at it. */
#include "process/watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "os/clock.h"
#include "os/event.h"
#include "os/gather.h"

/* What has been done to a section: 1: flag, 2 to 5: signals, 6: the end. */
#define SIGNALS 4
#define STAGE_END (SIGNALS + 1)
#define GRACES_OF_PARENT 5 /* after its deadline: flag, signals, last word, and two of patience */

/* Laws.  [1] A section is odd, no section even: begin and end count on.  [2] begin stores the section and then looks how long the
 * watchdog sleeps; the watchdog stores how long it will sleep and then looks at the section: one of them sees the
 * other.  [3] end stores the section and then looks whether it is being judged; the watchdog says that it judges and
 * then looks at the section: one of them sees the other, and end waits for a verdict that is on its way.
 * tests/model/watchdog.pml. */
static struct {
    int event;               /* -1: not started */
    int alarm;
    int64_t grace_ns;
    struct pti_status *status;
    void (*last_word)(void *context);
    void *context;

    _Atomic uint64_t section;      /* the thread that works */
    _Atomic int64_t deadline_ns;   /* of the section; the same thread */
    _Atomic int64_t sleeps_until;  /* the watchdog */
    _Atomic uint64_t cancelled;    /* the section that has got the flag; the watchdog */
    _Atomic uint32_t judges;       /* the watchdog */
    pthread_mutex_t judging;
    pthread_t worker;              /* who began, under [1] */

    uint64_t judged;         /* the section that `stage` is about; the watchdog's own */
    unsigned stage;
    int64_t acted_ns;        /* when the flag was set, or the first signal sent */
} dog = {.event = -1, .alarm = -1, .judging = PTHREAD_MUTEX_INITIALIZER, .sleeps_until = PTI_DEADLINE_NEVER};

static void do_nothing(int number)
{
    (void)number;
}

int pti_watchdog_start(const struct pti_watchdog_options *options)
{
    struct sigaction action = {.sa_handler = do_nothing};
    int event, error = pti_event_new(false, &event);
    if (error != 0)
        return error;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(PTI_WATCHDOG_SIGNAL, &action, NULL);
    pti_host_clock_refresh();
    if (options->alarm >= 0)
        (void)fcntl(options->alarm, F_SETFD, FD_CLOEXEC); /* inherited, and not to be passed on */
    dog.alarm = options->alarm;
    dog.grace_ns = options->grace_ns > 0 ? options->grace_ns : PTI_WATCHDOG_GRACE_NS;
    dog.status = options->status;
    dog.last_word = options->last_word;
    dog.context = options->context;
    dog.event = event;
    return 0;
}

int pti_watchdog_fd(void)
{
    return dog.event;
}

/* -- the thread that works ------------------------------------------------------------------------------------ */

static int64_t kill_at(int64_t deadline_ns)
{
    return deadline_ns + GRACES_OF_PARENT * dog.grace_ns;
}

/* When the parent shall look: in the status by the host's clock, which it may not share with us. */
static void show_kill_at(int64_t deadline_ns)
{
    int64_t shown = deadline_ns == PTI_DEADLINE_NEVER ? 0 : pti_own_to_host_ns(kill_at(deadline_ns));
    if (dog.status != NULL)
        pti_store_relaxed(&dog.status->kill_at_ns, shown); /* read by who was woken by the clock, long after */
}

void pti_watchdog_begin(int64_t deadline_ns)
{
    if (dog.event < 0)
        return;
    uint64_t section = pti_load_relaxed(&dog.section) + 1; /* ours alone to write */
    if (dog.alarm >= 0 && pti_load_seq(&dog.sleeps_until) > deadline_ns)
        pti_timer_set(dog.alarm, kill_at(deadline_ns)); /* first: we may be stopped before the watchdog runs */
    show_kill_at(deadline_ns);
    dog.worker = pthread_self();
    pti_store_release(&dog.deadline_ns, deadline_ns);
    pti_store_seq(&dog.section, section);                /* [2] */
    if (pti_load_seq(&dog.sleeps_until) > deadline_ns)
        pti_event_set(dog.event);
}

bool pti_watchdog_end(void)
{
    if (dog.event < 0)
        return true;
    uint64_t section = pti_load_relaxed(&dog.section);
    pti_store_seq(&dog.section, section + 1);            /* [3] */
    if (pti_load_seq(&dog.judges) != 0) {
        (void)pthread_mutex_lock(&dog.judging);
        (void)pthread_mutex_unlock(&dog.judging);
    }
    show_kill_at(PTI_DEADLINE_NEVER);
    if (pti_load_acquire(&dog.cancelled) != section)
        return true;
    (void)sched_yield(); /* a signal that was sent is handled here, not in somebody's next system call */
    return false;
}

bool pti_watchdog_is_cancelled(void)
{
    uint64_t section = pti_load_relaxed(&dog.section);
    return section % 2 == 1 && pti_load_acquire(&dog.cancelled) == section;
}

/* -- the watchdog --------------------------------------------------------------------------------------------- */

/* The kernel ends the process by itself when the last word takes too long. */
static void set_end(int64_t after_ns)
{
    struct sigevent end = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    struct itimerspec at = {.it_value = {.tv_sec = after_ns / PTI_NS_PER_S, .tv_nsec = after_ns % PTI_NS_PER_S}};
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &end, &timer) == 0)
        (void)timer_settime(timer, 0, &at, NULL);
}

static void end_process(void)
{
    set_end(dog.grace_ns);
    if (dog.last_word != NULL)
        dog.last_word(dog.context);
    (void)kill(getpid(), SIGKILL);
}

static void act(uint64_t section)
{
    (void)pthread_mutex_lock(&dog.judging);
    pti_store_seq(&dog.judges, 1);                       /* [3] */
    if (pti_load_seq(&dog.section) == section) {
        if (dog.stage == 0)
            pti_store_seq(&dog.cancelled, section);
        else if (dog.stage < STAGE_END)
            (void)pthread_kill(dog.worker, PTI_WATCHDOG_SIGNAL);
        else
            end_process();
        if (dog.stage++ <= 1)
            dog.acted_ns = pti_now_ns();
    }
    pti_store_seq(&dog.judges, 0);
    (void)pthread_mutex_unlock(&dog.judging);
}

/* Signals have their time after the flag, and the end after the first of them, also when all are late: who was stopped for a while gets
 * the same chances. */
static int64_t due(uint64_t section, int64_t deadline_ns)
{
    if (section % 2 == 0)
        return PTI_DEADLINE_NEVER;
    if (dog.judged != section) {
        dog.judged = section;
        dog.stage = 0;
    }
    if (dog.stage == 0)
        return deadline_ns;
    return dog.acted_ns + (dog.stage == 1 ? dog.grace_ns : dog.grace_ns * (dog.stage - 1) / SIGNALS);
}

int64_t pti_watchdog_look(void)
{
    if (dog.event < 0)
        return PTI_DEADLINE_NEVER;
    pti_event_clear(dog.event);
    for (;;) {
        uint64_t section = pti_load_acquire(&dog.section);
        int64_t deadline_ns = pti_load_acquire(&dog.deadline_ns);
        if (pti_load_acquire(&dog.section) != section)
            continue;
        int64_t next = due(section, deadline_ns);
        if (next <= pti_now_ns()) {
            act(section);
            continue;
        }
        pti_store_seq(&dog.sleeps_until, next);          /* [2] */
        if (pti_load_seq(&dog.section) != section)
            continue;
        if (dog.alarm >= 0 && next != PTI_DEADLINE_NEVER)
            pti_timer_set(dog.alarm, kill_at(next));
        return next;
    }
}
