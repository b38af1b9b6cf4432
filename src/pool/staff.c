/* staff.c -- spawned workers: started, looked after inside the calls of their pool, ended. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/time.h"
#include "bus/bus.h"
#include "pool/pool.h"
#include "process/affinity.h"
#include "process/words.h"

void pti_staff_init(struct pti_staff *staff)
{
    staff->gather = PTI_GATHER_NONE;
}

void pti_staff_fini(ptq_pool *pool, int polite_ms)
{
    struct pti_staff *staff = &pool->staff;
    pti_crew_end(pool);
    for (unsigned i = 0; i < staff->count; i++)
        pti_supervisor_end(staff->teams[i], polite_ms);
    for (unsigned i = 0; i < staff->count; i++)
        pti_supervisor_free(staff->teams[i]);
    free(staff->teams);
    staff->teams = NULL;
    staff->count = staff->staying = 0;
    pti_gather_fini(&staff->gather);
}

#define TEND_NS (1 * PTI_NS_PER_MS)
#define PAUSE_MS 2 /* before the first restart of one that got nothing done: its job waits for it */

/* -- obituaries ----------------------------------------------------------------------------------------------- */

static void describe_end(const struct pti_exit *how, bool overdue, struct pti_obituary *note)
{
    note->death = overdue ? PTI_DEATH_OVERDUE : !how->known ? PTI_DEATH_UNKNOWN
                : how->signaled ? PTI_DEATH_SIGNAL : PTI_DEATH_EXIT;
    note->code = overdue ? 0 : how->code;
    note->core = !overdue && how->core;
}

/* A worker of ours has died with a job in hand, or is about to: who gets the job next may want to know.  Under the mutex. */
static void mourn(void *context, struct pti_supervisor *team, unsigned slot, bool overdue)
{
    ptq_pool *pool = context;
    const struct pti_status *status = pti_supervisor_status(team, slot);
    const struct pti_child *child = pti_supervisor_child(team, slot);
    uint64_t busy_with = pti_load_acquire(&status->busy_with);
    struct pti_roster roster;
    if (busy_with == 0 || pool->jobs->port->remote || (!overdue && pti_supervisor_was_overdue(team, slot)))
        return;
    if (pti_roster_open(&roster, pool->bus, pool->jobs->name, pool->jobs->port->id) != 0)
        return;
    struct pti_obituary note = {.ticket = busy_with - 1, .pid = child->pid,
                                .ran_ns = (uint64_t)(pti_now_ns() - pti_load_relaxed(&status->since_ns))};
    describe_end(&child->how, overdue, &note);
    if (overdue || !pti_roster_amend(&roster, busy_with - 1, child->pid, note.core))
        pti_roster_bury(&roster, &note);
    pti_roster_leave(&roster);
}

/* -- looking after -------------------------------------------------------------------------------------------- */

void pti_staff_tend(ptq_pool *pool)
{
    struct pti_staff *staff = &pool->staff;
    unsigned died = 0;
    (void)pthread_mutex_lock(&pool->mutex);
    if (pti_gather_has_news(&staff->gather)) {
        pti_crew_tend(staff);
        for (unsigned i = 0; i < staff->count; i++)
            died += pti_supervisor_tend(staff->teams[i]).died;
        pti_order_rouse(&pool->order);
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    if (died != 0) {
        pti_queue_sweep(pool->jobs);
        pti_queue_sweep(pool->done);
    }
}

void pti_staff_tend_sometimes(ptq_pool *pool)
{
    int64_t now = pti_now_ns();
    if (now - pti_load_relaxed(&pool->staff.tended_ns) < TEND_NS) /* a hint: nothing is carried by it */
        return;
    pti_store_relaxed(&pool->staff.tended_ns, now);
    pti_staff_tend(pool);
}

bool pti_staff_exists(ptq_pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    bool exists = pool->staff.count != 0 || pool->staff.crew != NULL;
    (void)pthread_mutex_unlock(&pool->mutex);
    return exists;
}

unsigned pti_staff_running(ptq_pool *pool)
{
    unsigned running = 0;
    (void)pthread_mutex_lock(&pool->mutex);
    for (unsigned i = 0; i < pool->staff.count; i++)
        running += pti_supervisor_running(pool->staff.teams[i]);
    running += pti_crew_running(&pool->staff);
    (void)pthread_mutex_unlock(&pool->mutex);
    return running;
}

void pti_staff_ask(ptq_pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    for (unsigned i = 0; i < pool->staff.count; i++)
        pti_supervisor_ask(pool->staff.teams[i]);
    (void)pthread_mutex_unlock(&pool->mutex);
}

bool pti_staff_is_alive(ptq_pool *pool)
{
    bool alive = false;
    (void)pthread_mutex_lock(&pool->mutex);
    for (unsigned i = 0; i < pool->staff.count; i++)
        alive |= pti_supervisor_is_alive(pool->staff.teams[i]);
    alive |= pti_crew_running(&pool->staff) != 0;
    (void)pthread_mutex_unlock(&pool->mutex);
    return alive;
}

static bool all_given_up(ptq_pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    bool failed = pti_crew_failure(&pool->staff) != PTQ_OK, alive = pti_crew_running(&pool->staff) != 0;
    for (unsigned i = 0; i < pool->staff.count; i++) {
        failed |= pti_supervisor_has_failed(pool->staff.teams[i]);
        alive |= pti_supervisor_is_alive(pool->staff.teams[i]);
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return failed && !alive;
}

bool pti_staff_has_failed(ptq_pool *pool)
{
    struct ptq_queue_stats stats;
    uint32_t ours;
    if (!all_given_up(pool) || pti_load_seq(&pool->working) != 0 || ptq_queue_stats(pool->jobs, &stats) != PTQ_OK)
        return false;
    if (!pti_queue_own_consumers(pool->jobs, &ours)) /* whoever looks why nothing comes counts as a consumer */
        ours = pti_load_relaxed(&pool->took_jobs) != 0 ? 1 : 0;
    return stats.consumers <= ours;
}

bool ptq_pool_alive(ptq_pool *pool)
{
    if (pti_pool_check(pool) != PTQ_OK)
        return false;
    pti_staff_tend(pool);
    return pti_staff_is_alive(pool);
}

size_t ptq_pool_worker_pids(ptq_pool *pool, int64_t *pids, size_t max)
{
    if (pti_pool_check(pool) != PTQ_OK)
        return 0;
    pti_staff_tend(pool);
    size_t count = 0;
    (void)pthread_mutex_lock(&pool->mutex);
    for (unsigned i = 0; i < pool->staff.count; i++) {
        for (unsigned slot = 0; slot < pti_supervisor_count(pool->staff.teams[i]); slot++) {
            const struct pti_child *child = pti_supervisor_child(pool->staff.teams[i], slot);
            if (child->state != PTI_CHILD_RUNNING)
                continue;
            if (count < max)
                pids[count] = child->pid;
            count++;
        }
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return count;
}

enum ptq_err ptq_pool_supervise(ptq_pool *pool, int timeout_ms)
{
    enum ptq_err err = pti_pool_check(pool);
    if (err != PTQ_OK)
        return err;
    int64_t deadline = pti_deadline(timeout_ms);
    for (;;) {
        pti_staff_tend(pool);
        if (all_given_up(pool))
            return PTQ_ENOWORKERS;
        if (!pti_staff_is_alive(pool))
            return PTQ_OK;
        if (deadline == PTI_DEADLINE_NOW)
            return PTQ_EMPTY;
        if (pti_now_ns() >= deadline)
            return PTQ_TIMEDOUT;
        int64_t slice = pti_now_ns() + PTI_POOL_SLICE; /* what another thread has tended wakes nobody */
        if (pti_gather_sleep(&pool->staff.gather, pti_earlier(slice, deadline), NULL) == EINTR) /* made with the first team, and stays */
            return PTQ_EINTR;
    }
}

/* -- spawning ------------------------------------------------------------------------------------------------- */

/* The bus's peers as ptq_bus_options.peers takes them; NULL: none, or no memory. */
static char *peers_text(const ptq_bus *bus)
{
    size_t size = 1;
    for (size_t i = 0; i < bus->peer_count; i++)
        size += strlen(bus->peers[i].node) + strlen(bus->peers[i].url) + 2;
    char *text = malloc(size), *next = text;
    if (text == NULL)
        return NULL;
    *text = 0;
    for (size_t i = 0; i < bus->peer_count; i++)
        next += sprintf(next, "%s%s=%s", i == 0 ? "" : ",", bus->peers[i].node, bus->peers[i].url);
    return text;
}

static const char *via_text(const ptq_bus *bus)
{
    static const char *const texts[] = {
        [PTI_VIA_AUTO] = "auto", [PTI_VIA_DIRECT] = "direct", [PTI_VIA_BRIDGE] = "bridge"};

    return texts[bus->via];
}

static void write_words(ptq_pool *pool, const struct ptq_spawn_options *options, unsigned count, struct pti_words *words)
{
    const char *slash = strrchr(pool->bus->path, '/');
    char dir[sizeof pool->bus->path], number[16];
    (void)snprintf(dir, sizeof dir, "%.*s", (int)(slash - pool->bus->path), pool->bus->path);
    (void)snprintf(number, sizeof number, "%u", count);
    char *peers = peers_text(pool->bus);

    pti_words_add(words, program_invocation_name, "");
    pti_words_add(words, PTI_WORKER_FLAG, "");
    pti_words_add(words, "pool=", pool->address);
    pti_words_add(words, "run=", pool->bus->run);
    pti_words_add(words, "dir=", dir);
    pti_words_add(words, "node=", pool->bus->node);
    pti_words_add(words, "peers=", peers != NULL ? peers : "");
    pti_words_add(words, "via=", via_text(pool->bus));
    pti_words_add(words, "insecure=", pool->bus->insecure ? "1" : NULL);
    pti_words_add(words, "keys=", pool->bus->keys[0] != '\0' ? pool->bus->keys : NULL);
    pti_words_add(words, "name=", options->name);
    pti_words_add(words, "count=", number);
    pti_words_add(words, "exec=", options->exec);
    pti_words_add(words, "unseen=", options->no_status ? "1" : NULL);
    pti_words_add(words, "plugin=", options->plugin);
    pti_words_add_number(words, "jobs=", options->recycle_jobs);
    pti_words_add_number(words, "rss=", options->recycle_bytes);
    pti_words_add_number(words, "record=", options->record);
    pti_words_add(words, "cpus=", options->cpu_list);
    pti_words_add(words, "spread=", options->cpus == PTQ_CPUS_SPREAD ? "1" : NULL);
    (void)snprintf(number, sizeof number, "%d", options->nice);
    pti_words_add(words, "nice=", options->nice != 0 ? number : NULL);
    words->failed |= peers == NULL;
    free(peers);
}

enum ptq_err pti_staff_begin(ptq_pool *pool)
{
    struct pti_staff *staff = &pool->staff;
    if (staff->gather.fd >= 0)
        return PTQ_OK;
    if (pti_gather_init(&staff->gather) != 0)
        return PTQ_ENOMEM;
    if (pool->order.gather.fd >= 0) /* somebody has ptq_pool_fd already */
        (void)pti_gather_add(&pool->order.gather, staff->gather.fd);
    return PTQ_OK;
}

/* Room for one team more in the list.  Under the mutex. */
static enum ptq_err make_room(struct pti_staff *staff)
{
    struct pti_supervisor **grown = realloc(staff->teams, (staff->count + 1) * sizeof(struct pti_supervisor *));
    if (grown == NULL)
        return PTQ_ENOMEM;
    staff->teams = grown;
    return PTQ_OK;
}

/* Those that were dismissed and have left.  Under the mutex. */
static void free_left(struct pti_staff *staff)
{
    for (unsigned i = staff->staying; i < staff->count;) {
        if (pti_supervisor_is_alive(staff->teams[i])) {
            i++;
            continue;
        }
        pti_supervisor_free(staff->teams[i]);
        staff->teams[i] = staff->teams[--staff->count];
    }
}

void pti_staff_dismiss(ptq_pool *pool, struct pti_supervisor *team)
{
    struct pti_staff *staff = &pool->staff;
    unsigned at = 0;
    (void)pthread_mutex_lock(&pool->mutex);
    while (at < staff->staying && staff->teams[at] != team)
        at++;
    if (at < staff->staying) {
        staff->teams[at] = staff->teams[--staff->staying];
        staff->teams[staff->staying] = team;
        pti_supervisor_ask(team);
    }
    (void)pthread_mutex_unlock(&pool->mutex);
}

/* Under the mutex. */
static enum ptq_err add_team(ptq_pool *pool, const struct pti_supervisor_options *options, struct pti_supervisor **ret_team)
{
    struct pti_staff *staff = &pool->staff;
    enum ptq_err err = pti_staff_begin(pool);
    free_left(staff);
    if (err == PTQ_OK)
        err = make_room(staff);
    if (err != PTQ_OK)
        return err;
    struct pti_supervisor *team;
    int error = pti_supervisor_new(options, &team);
    if (error != 0)
        return pti_err_from_errno(error);
    if (pti_gather_add(&staff->gather, pti_supervisor_fd(team)) != 0) {
        pti_supervisor_free(team);
        return PTQ_ENOMEM;
    }
    if (staff->staying < staff->count)
        staff->teams[staff->count] = staff->teams[staff->staying];
    staff->count++;
    staff->teams[staff->staying++] = team;
    *ret_team = team;
    return PTQ_OK;
}

static enum ptq_err check_spawn(const ptq_pool *pool, const struct ptq_spawn_options *options)
{
    if (options->record > PTI_TRAIL_SPANS_MAX)
        return pti_error(options->error, PTQ_EINVAL, "pool '%s': record may be %u jobs at most", pool->name, PTI_TRAIL_SPANS_MAX);
    if (!pti_worker_main_was_called())
        return pti_error(options->error, PTQ_ENOTSTARTED,
                         "pool '%s': workers are this program again, and its main does not call ptq_worker_main - "
                         "make it the first call of main",
                         pool->name);
    if (options->exec == NULL && options->plugin == NULL && !pti_task_any())
        return pti_error(options->error, PTQ_ENOTASK,
                         "pool '%s': this program has no task to work with - call ptq_task_register before "
                         "ptq_worker_main, or give exec or plugin",
                         pool->name);
    if (options->cpu_list != NULL && !pti_cpus_list_is_valid(options->cpu_list))
        return pti_error(options->error, PTQ_EINVAL, "'%.100s' is no list of processors: write it as 0,2-3", options->cpu_list);
    if (options->cpu_list != NULL && !pti_cpus_list_is_usable(options->cpu_list))
        return pti_error(options->error, PTQ_EINVAL,
                         "no processor of '%.100s' may be used by this program: its mask or its cgroup has %u others",
                         options->cpu_list, pti_cpus_allowed());
    if (options->cpus == PTQ_CPUS_LIST && options->cpu_list == NULL)
        return pti_error(options->error, PTQ_EINVAL, "pool '%s': PTQ_CPUS_LIST without cpu_list", pool->name);
    return PTQ_OK;
}

enum ptq_err ptq_pool_spawn(ptq_pool *pool, const struct ptq_spawn_options *options)
{
    static const struct ptq_spawn_options none;
    enum ptq_err err = pti_pool_check(pool);
    if (err != PTQ_OK)
        return err;
    if (options == NULL)
        options = &none;
    struct pti_supervisor *team;
    return options->threads ? pti_crew_spawn(pool, options) : pti_staff_spawn(pool, options, &team);
}

enum ptq_err pti_staff_spawn(ptq_pool *pool, const struct ptq_spawn_options *options, struct pti_supervisor **ret_team)
{
    enum ptq_err err = check_spawn(pool, options);
    if (err != PTQ_OK)
        return err;

    unsigned count = options->count != 0 ? options->count : pti_processors();
    struct pti_words words = {.count = 0};
    write_words(pool, options, count, &words);
    struct pti_supervisor_options team = {.path = "/proc/self/exe", .argv = words.word, .count = count,
                                          .crash_limit = options->crash_limit, .no_respawn = options->no_respawn,
                                          .pause_ms = PAUSE_MS, .limits = true, .mourn = mourn, .mourner = pool};
    (void)pthread_mutex_lock(&pool->mutex);
    err = words.failed ? PTQ_ENOMEM : add_team(pool, &team, ret_team);
    if (err == PTQ_OK && options->exec != NULL)
        pti_store_relaxed(&pool->staff.exec, 1); /* a hint of our own */
    if (err == PTQ_OK && options->plugin != NULL)
        pti_store_relaxed(&pool->staff.plugin, 1); /* the same */
    (void)pthread_mutex_unlock(&pool->mutex);
    pti_words_fini(&words);
    if (err != PTQ_OK)
        return pti_error(options->error, err, "pool '%s': cannot start %u worker%s: %s", pool->name, count,
                         count == 1 ? "" : "s", ptq_strerror(err));
    return PTQ_OK;
}
