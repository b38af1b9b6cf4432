/* supervisor.c -- starts, watches, starts again, gives up, ends. */
#include "process/supervisor.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/time.h"
#include "os/clock.h"
#include "os/gather.h"

#define CRASH_LIMIT 10
#define PAUSE_MS 20
#define PAUSE_MAX_MS 2000
#define ARGUMENTS_MAX 24
#define KEEP_MAX 4

struct slot {
    struct pti_child child;
    unsigned failures;      /* deaths in a row without work done */
    uint64_t progress;      /* of its status when it was started */
    int64_t start_at_ns;    /* PTI_DEADLINE_NEVER: not to be started */
    bool given_up;
    int alarm;              /* a timer that its child sets; -1: none */
    int64_t suspect_ns, suspect_until_ns; /* the kill_at that had passed, and how long it is given to go on by itself */
    bool overdue;           /* and was killed for it */
};

struct pti_supervisor {
    uint32_t generation; /* of the process that made it: fork.h */
    char *path;
    char *argv[ARGUMENTS_MAX + 1];
    unsigned count, crash_limit, deaths;
    int pause_ms, pause_max_ms;
    bool no_respawn, ending;
    void (*mourn)(void *mourner, struct pti_supervisor *supervisor, unsigned slot, bool overdue);
    void *mourner;
    int keep[KEEP_MAX];
    unsigned keep_count;
    enum pti_exited (*judge)(void *context, unsigned slot, const struct pti_exit *how);
    void *context;
    struct pti_gather gather;
    int status_fd;
    struct pti_status *status;
    struct slot slots[];
};

#define PATIENCE_NS (100 * PTI_NS_PER_MS) /* with one that should be dead: we, too, may have been stopped, and it be about to go on */

/* Is the time of a slot's child over?  NOW: it is to be killed; else when it must be looked at again. */
static int64_t judge(struct slot *slot, const struct pti_status *status, int64_t now, struct pti_supervisor_news *news)
{
    if (slot->alarm < 0 || slot->child.state != PTI_CHILD_RUNNING || slot->overdue)
        return PTI_DEADLINE_NEVER; /* the first also where there is no status yet */
    int64_t kill_at = pti_load_relaxed(&status->kill_at_ns); /* says nothing but when */
    if (kill_at == 0)
        return PTI_DEADLINE_NEVER;
    kill_at = pti_host_to_own_ns(kill_at);
    if (now < kill_at)
        return kill_at;
    if (slot->suspect_ns != kill_at) {
        slot->suspect_ns = kill_at;
        slot->suspect_until_ns = now + PATIENCE_NS;
    }
    if (now < slot->suspect_until_ns)
        return slot->suspect_until_ns;
    slot->overdue = true;
    news->overdue++;
    return PTI_DEADLINE_NOW;
}

static void mourn(struct pti_supervisor *supervisor, unsigned index, bool overdue)
{
    if (supervisor->mourn != NULL)
        supervisor->mourn(supervisor->mourner, supervisor, index, overdue);
}

/* The earliest of all. */
static int64_t judge_all(struct pti_supervisor *supervisor, struct pti_supervisor_news *news)
{
    int64_t earliest = PTI_DEADLINE_NEVER, now = pti_now_ns();
    for (unsigned i = 0; i < supervisor->count; i++) {
        if (supervisor->slots[i].alarm >= 0)
            pti_timer_read(supervisor->slots[i].alarm); /* before the look: one that is set meanwhile comes again */
        int64_t when = judge(&supervisor->slots[i], &supervisor->status[i], now, news);
        if (when == PTI_DEADLINE_NOW) {
            mourn(supervisor, i, true);
            pti_child_signal(&supervisor->slots[i].child, SIGKILL);
            continue;
        }
        if (when < earliest)
            earliest = when;
    }
    return earliest;
}

static int64_t earliest_start(const struct pti_supervisor *supervisor)
{
    int64_t earliest = PTI_DEADLINE_NEVER;
    for (unsigned i = 0; i < supervisor->count; i++)
        if (supervisor->slots[i].start_at_ns < earliest)
            earliest = supervisor->slots[i].start_at_ns;
    return earliest;
}

static uint64_t progress_of(const struct pti_supervisor *supervisor, unsigned index)
{
    return pti_load_relaxed(&supervisor->status[index].progress);
}

/* 0 or an errno. */
static int start_slot(struct pti_supervisor *supervisor, unsigned index)
{
    struct slot *slot = &supervisor->slots[index];
    char number[32], status[32], alarm[32];
    char *argv[ARGUMENTS_MAX + 4];
    int keep[KEEP_MAX + 2];
    unsigned count = 0, kept = supervisor->keep_count;
    for (; supervisor->argv[count] != NULL; count++)
        argv[count] = supervisor->argv[count];
    (void)snprintf(number, sizeof number, "slot=%u", index);
    (void)snprintf(status, sizeof status, "status=%d", supervisor->status_fd);
    argv[count++] = number;
    (void)snprintf(alarm, sizeof alarm, "alarm=%d", slot->alarm);
    argv[count++] = status;
    if (slot->alarm >= 0)
        argv[count++] = alarm;
    argv[count] = NULL;

    memcpy(keep, supervisor->keep, sizeof supervisor->keep);
    keep[kept++] = supervisor->status_fd;
    if (slot->alarm >= 0)
        keep[kept++] = slot->alarm;

    slot->start_at_ns = PTI_DEADLINE_NEVER;
    slot->progress = progress_of(supervisor, index);
    pti_store_relaxed(&supervisor->status[index].busy_with, 0);
    pti_store_relaxed(&supervisor->status[index].left, 0);
    pti_store_relaxed(&supervisor->status[index].kill_at_ns, 0);
    pti_store_relaxed(&supervisor->status[index].group, 0);
    slot->suspect_ns = 0;
    slot->overdue = false;
    int error = pti_child_start(&slot->child, supervisor->path, argv, keep, kept);
    if (error != 0)
        return error;
    return pti_gather_add(&supervisor->gather, slot->child.pidfd); /* if not, it runs, and its end will be noticed late */
}

/* It died, or could not be started: when will it be tried again? */
static void plan_again(struct pti_supervisor *supervisor, unsigned index)
{
    struct slot *slot = &supervisor->slots[index];
    bool worked = progress_of(supervisor, index) != slot->progress;
    slot->failures = worked ? 0 : slot->failures + 1;
    if (supervisor->no_respawn || supervisor->ending || slot->failures >= supervisor->crash_limit) {
        slot->given_up = true;
        return;
    }
    int64_t pause = slot->failures == 0 ? 0 : supervisor->pause_ms;
    for (unsigned i = 1; i < slot->failures && pause < supervisor->pause_max_ms; i++)
        pause *= 2;
    if (pause > supervisor->pause_max_ms)
        pause = supervisor->pause_max_ms;
    slot->start_at_ns = pti_now_ns() + pause * PTI_NS_PER_MS;
}

/* Where the program ignores SIGCHLD or waits for children of its own in a sweep, the status is lost: then the child's word counts. */
static bool left_by_itself(const struct pti_supervisor *supervisor, unsigned index)
{
    const struct pti_exit *how = &supervisor->slots[index].child.how;
    if (!how->known)
        return pti_load_acquire(&supervisor->status[index].left) != 0;
    return !how->signaled && how->code == 0;
}

/* What the child had started, and could not end any more. */
static void end_group(struct pti_status *status)
{
    uint64_t group = pti_load_acquire(&status->group);
    if (group > 1 && group <= INT_MAX)
        (void)kill(-(pid_t)group, SIGKILL);
    pti_store_relaxed(&status->group, 0); /* its writer is dead */
}

static enum pti_exited end_of(const struct pti_supervisor *supervisor, unsigned index)
{
    if (supervisor->judge != NULL)
        return supervisor->judge(supervisor->context, index, &supervisor->slots[index].child.how);
    if (!left_by_itself(supervisor, index))
        return PTI_EXITED_DIED;
    return pti_load_acquire(&supervisor->status[index].left) == 2 && !supervisor->ending ? PTI_EXITED_AGAIN : PTI_EXITED_LEFT;
}

static void look_at(struct pti_supervisor *supervisor, unsigned index, struct pti_supervisor_news *news)
{
    struct slot *slot = &supervisor->slots[index];
    if (!pti_child_look(&slot->child)) /* closing the pidfd takes it out of the epoll set */
        return;
    end_group(&supervisor->status[index]);
    enum pti_exited end = end_of(supervisor, index);
    if (end == PTI_EXITED_LEFT) {
        news->left++;
        return;
    }
    if (end == PTI_EXITED_AGAIN && !supervisor->ending) {
        slot->failures = 0;
        slot->start_at_ns = 0;
        return;
    }
    news->died++;
    supervisor->deaths++;
    pti_store_relaxed(&supervisor->status[index].deaths, pti_load_relaxed(&supervisor->status[index].deaths) + 1); /* one writer */
    mourn(supervisor, index, false);
    if (end == PTI_EXITED_GIVE_UP)
        slot->given_up = true;
    else
        plan_again(supervisor, index);
}

struct pti_supervisor_news pti_supervisor_tend(struct pti_supervisor *supervisor)
{
    struct pti_supervisor_news news = {0};
    if (!pti_supervisor_is_ours(supervisor))
        return news;
    for (unsigned i = 0; i < supervisor->count; i++)
        look_at(supervisor, i, &news);

    int64_t now = pti_now_ns();
    for (unsigned i = 0; i < supervisor->count; i++) {
        if (supervisor->slots[i].start_at_ns > now)
            continue;
        if (start_slot(supervisor, i) != 0 && supervisor->slots[i].child.state != PTI_CHILD_RUNNING)
            plan_again(supervisor, i);
        else
            news.started++;
    }
    int64_t start = earliest_start(supervisor), overdue = judge_all(supervisor, &news);
    pti_gather_timer(&supervisor->gather, start < overdue ? start : overdue);
    return news;
}

int pti_supervisor_fd(const struct pti_supervisor *supervisor)
{
    return supervisor->gather.fd;
}

void pti_supervisor_rouse(struct pti_supervisor *supervisor)
{
    pti_gather_timer(&supervisor->gather, 0);
}

unsigned pti_supervisor_running(const struct pti_supervisor *supervisor)
{
    unsigned running = 0;
    for (unsigned i = 0; i < supervisor->count; i++)
        running += supervisor->slots[i].child.state == PTI_CHILD_RUNNING;
    return running;
}

bool pti_supervisor_is_alive(const struct pti_supervisor *supervisor)
{
    return pti_supervisor_running(supervisor) != 0 || earliest_start(supervisor) != PTI_DEADLINE_NEVER;
}

bool pti_supervisor_has_failed(const struct pti_supervisor *supervisor)
{
    bool given_up = false;
    for (unsigned i = 0; i < supervisor->count; i++)
        given_up |= supervisor->slots[i].given_up;
    return given_up && !pti_supervisor_is_alive(supervisor);
}

unsigned pti_supervisor_deaths(const struct pti_supervisor *supervisor)
{
    return supervisor->deaths;
}

bool pti_supervisor_is_ours(const struct pti_supervisor *supervisor)
{
    return supervisor->generation == pti_fork_generation();
}

unsigned pti_supervisor_count(const struct pti_supervisor *supervisor)
{
    return supervisor->count;
}

const struct pti_child *pti_supervisor_child(const struct pti_supervisor *supervisor, unsigned slot)
{
    return &supervisor->slots[slot].child;
}

bool pti_supervisor_was_overdue(const struct pti_supervisor *supervisor, unsigned slot)
{
    return supervisor->slots[slot].overdue;
}

struct pti_status *pti_supervisor_status(const struct pti_supervisor *supervisor, unsigned slot)
{
    return &supervisor->status[slot];
}

/* -- the end ------------------------------------------------------------------------------------------------- */

static void signal_all(struct pti_supervisor *supervisor, int signal)
{
    for (unsigned i = 0; i < supervisor->count; i++)
        pti_child_signal(&supervisor->slots[i].child, signal);
}

/* Waits until none runs or the deadline; true if none runs. */
static bool wait_for_all(struct pti_supervisor *supervisor, int64_t deadline_ns)
{
    for (;;) {
        (void)pti_supervisor_tend(supervisor);
        int64_t now = pti_now_ns(), slice = now + PTI_NS_PER_S; /* should a descriptor have found no room in the set */
        if (pti_supervisor_running(supervisor) == 0 || now >= deadline_ns)
            break;
        (void)pti_gather_sleep(&supervisor->gather, slice < deadline_ns ? slice : deadline_ns, NULL);
    }
    return pti_supervisor_running(supervisor) == 0;
}

void pti_supervisor_ask(struct pti_supervisor *supervisor)
{
    for (unsigned i = 0; i < supervisor->count; i++) {
        struct slot *slot = &supervisor->slots[i];
        pti_child_ask(&slot->child);
        if (slot->start_at_ns != PTI_DEADLINE_NEVER)
            slot->start_at_ns = 0;
    }
    if (earliest_start(supervisor) == 0)
        pti_gather_timer(&supervisor->gather, 0); /* whoever sleeps until then is woken */
}

static void start_no_more(struct pti_supervisor *supervisor)
{
    supervisor->ending = true;
    for (unsigned i = 0; i < supervisor->count; i++)
        supervisor->slots[i].start_at_ns = PTI_DEADLINE_NEVER;
}

void pti_supervisor_end_all(struct pti_supervisor *supervisor, int signal)
{
    if (!pti_supervisor_is_ours(supervisor))
        return;
    start_no_more(supervisor);
    signal_all(supervisor, signal);
}

void pti_supervisor_signal(struct pti_supervisor *supervisor, unsigned slot, int signal)
{
    if (pti_supervisor_is_ours(supervisor))
        pti_child_signal(&supervisor->slots[slot].child, signal);
}

void pti_supervisor_end(struct pti_supervisor *supervisor, int polite_ms)
{
    if (!pti_supervisor_is_ours(supervisor))
        return;
    start_no_more(supervisor);
    pti_supervisor_ask(supervisor);
    int64_t start = pti_now_ns(), step = polite_ms * PTI_NS_PER_MS;
    if (wait_for_all(supervisor, start + step))
        return;
    signal_all(supervisor, SIGTERM);
    if (wait_for_all(supervisor, start + 2 * step))
        return;
    signal_all(supervisor, SIGKILL);
    (void)wait_for_all(supervisor, INT64_MAX);
}

/* In a forked copy: the tethers are closed already. */
static void forget_all(struct pti_supervisor *supervisor)
{
    for (unsigned i = 0; i < supervisor->count; i++)
        if (supervisor->slots[i].child.state == PTI_CHILD_RUNNING)
            (void)close(supervisor->slots[i].child.pidfd);
}

void pti_supervisor_free(struct pti_supervisor *supervisor)
{
    if (supervisor == NULL)
        return;
    pti_supervisor_end(supervisor, 0);
    if (!pti_supervisor_is_ours(supervisor))
        forget_all(supervisor);
    for (unsigned i = 0; supervisor->argv[i] != NULL; i++)
        free(supervisor->argv[i]);
    free(supervisor->path);
    for (unsigned i = 0; i < supervisor->count; i++)
        if (supervisor->slots[i].alarm >= 0)
            (void)close(supervisor->slots[i].alarm);
    pti_status_free(supervisor->status_fd, supervisor->status, supervisor->count);
    pti_gather_fini(&supervisor->gather);
    free(supervisor);
}

/* -- the beginning ------------------------------------------------------------------------------------------- */

static int copy_arguments(struct pti_supervisor *supervisor, const struct pti_supervisor_options *options)
{
    supervisor->path = strdup(options->path);
    if (supervisor->path == NULL)
        return ENOMEM;
    for (unsigned i = 0; options->argv[i] != NULL; i++) {
        if (i == ARGUMENTS_MAX)
            return E2BIG;
        supervisor->argv[i] = strdup(options->argv[i]);
        if (supervisor->argv[i] == NULL)
            return ENOMEM;
    }
    return 0;
}

static int make_alarm(struct pti_supervisor *supervisor, unsigned index)
{
    int error = pti_timer_new(&supervisor->slots[index].alarm);
    return error != 0 ? error : pti_gather_add(&supervisor->gather, supervisor->slots[index].alarm);
}

int pti_supervisor_new(const struct pti_supervisor_options *options, struct pti_supervisor **ret_supervisor)
{
    struct pti_supervisor *supervisor = calloc(1, sizeof *supervisor + options->count * sizeof(struct slot));
    if (supervisor == NULL)
        return ENOMEM;
    supervisor->generation = pti_fork_generation();
    supervisor->count = options->count;
    supervisor->crash_limit = options->crash_limit != 0 ? options->crash_limit : CRASH_LIMIT;
    supervisor->pause_ms = options->pause_ms != 0 ? options->pause_ms : PAUSE_MS;
    supervisor->pause_max_ms = options->pause_max_ms != 0 ? options->pause_max_ms : PAUSE_MAX_MS;
    supervisor->no_respawn = options->no_respawn;
    supervisor->mourn = options->mourn;
    supervisor->mourner = options->mourner;
    supervisor->keep_count = options->keep_count < KEEP_MAX ? options->keep_count : KEEP_MAX;
    for (unsigned i = 0; i < supervisor->keep_count; i++)
        supervisor->keep[i] = options->keep[i];
    supervisor->judge = options->judge;
    supervisor->context = options->context;
    supervisor->gather = PTI_GATHER_NONE;
    for (unsigned i = 0; i < supervisor->count; i++)
        supervisor->slots[i] = (struct slot){.start_at_ns = PTI_DEADLINE_NEVER, .alarm = -1};

    int error = copy_arguments(supervisor, options);
    if (error == 0)
        error = pti_gather_init(&supervisor->gather);
    if (error == 0)
        error = pti_status_new(supervisor->count, &supervisor->status_fd, &supervisor->status);
    for (unsigned i = 0; error == 0 && options->limits && i < supervisor->count; i++)
        error = make_alarm(supervisor, i);
    for (unsigned i = 0; error == 0 && i < supervisor->count; i++)
        error = start_slot(supervisor, i);
    if (error != 0) {
        pti_supervisor_free(supervisor);
        return error;
    }
    *ret_supervisor = supervisor;
    return 0;
}
