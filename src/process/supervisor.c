/* supervisor.c -- starts, watches, starts again, gives up, ends. */
#include "process/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/time.h"
#include "os/gather.h"

#define CRASH_LIMIT 10
#define PAUSE_MS 20
#define PAUSE_MAX_MS 2000
#define ARGUMENTS_MAX 24

struct slot {
    struct pti_child child;
    unsigned failures;      /* deaths in a row without work done */
    uint64_t progress;      /* of its status when it was started */
    int64_t start_at_ns;    /* PTI_DEADLINE_NEVER: not to be started */
    bool given_up;
};

struct pti_supervisor {
    uint32_t generation; /* of the process that made it: fork.h */
    char *path;
    char *argv[ARGUMENTS_MAX + 1];
    unsigned count, crash_limit, deaths;
    int pause_ms, pause_max_ms;
    bool no_respawn, ending;
    struct pti_gather gather;
    int status_fd;
    struct pti_status *status;
    struct slot slots[];
};

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
    char number[32], status[32];
    char *argv[ARGUMENTS_MAX + 3];
    unsigned count = 0;
    for (; supervisor->argv[count] != NULL; count++)
        argv[count] = supervisor->argv[count];
    (void)snprintf(number, sizeof number, "slot=%u", index);
    (void)snprintf(status, sizeof status, "status=%d", supervisor->status_fd);
    argv[count++] = number;
    argv[count++] = status;
    argv[count] = NULL;

    slot->start_at_ns = PTI_DEADLINE_NEVER;
    slot->progress = progress_of(supervisor, index);
    pti_store_relaxed(&supervisor->status[index].busy_with, 0);
    pti_store_relaxed(&supervisor->status[index].left, 0);
    int error = pti_child_start(&slot->child, supervisor->path, argv, &supervisor->status_fd, 1);
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

static void look_at(struct pti_supervisor *supervisor, unsigned index, struct pti_supervisor_news *news)
{
    struct slot *slot = &supervisor->slots[index];
    if (!pti_child_look(&slot->child)) /* closing the pidfd takes it out of the epoll set */
        return;
    if (left_by_itself(supervisor, index)) {
        news->left++;
        return;
    }
    news->died++;
    supervisor->deaths++;
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
    pti_gather_timer(&supervisor->gather, earliest_start(supervisor));
    return news;
}

int pti_supervisor_fd(const struct pti_supervisor *supervisor)
{
    return supervisor->gather.fd;
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

void pti_supervisor_end(struct pti_supervisor *supervisor, int polite_ms)
{
    if (!pti_supervisor_is_ours(supervisor))
        return;
    supervisor->ending = true;
    for (unsigned i = 0; i < supervisor->count; i++) {
        supervisor->slots[i].start_at_ns = PTI_DEADLINE_NEVER;
        pti_child_ask(&supervisor->slots[i].child);
    }
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
    supervisor->gather = PTI_GATHER_NONE;
    for (unsigned i = 0; i < supervisor->count; i++)
        supervisor->slots[i].start_at_ns = PTI_DEADLINE_NEVER;

    int error = copy_arguments(supervisor, options);
    if (error == 0)
        error = pti_gather_init(&supervisor->gather);
    if (error == 0)
        error = pti_status_new(supervisor->count, &supervisor->status_fd, &supervisor->status);
    for (unsigned i = 0; error == 0 && i < supervisor->count; i++)
        error = start_slot(supervisor, i);
    if (error != 0) {
        pti_supervisor_free(supervisor);
        return error;
    }
    *ret_supervisor = supervisor;
    return 0;
}
