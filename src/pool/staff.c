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

void pti_staff_init(struct pti_staff *staff)
{
    staff->gather = PTI_GATHER_NONE;
}

void pti_staff_fini(ptq_pool *pool, int polite_ms)
{
    struct pti_staff *staff = &pool->staff;
    for (unsigned i = 0; i < staff->count; i++)
        pti_supervisor_end(staff->teams[i], polite_ms);
    for (unsigned i = 0; i < staff->count; i++)
        pti_supervisor_free(staff->teams[i]);
    free(staff->teams);
    staff->teams = NULL;
    staff->count = 0;
    pti_gather_fini(&staff->gather);
}

/* -- looking after -------------------------------------------------------------------------------------------- */

void pti_staff_tend(ptq_pool *pool)
{
    struct pti_staff *staff = &pool->staff;
    unsigned died = 0;
    (void)pthread_mutex_lock(&pool->mutex);
    if (pti_gather_has_news(&staff->gather))
        for (unsigned i = 0; i < staff->count; i++)
            died += pti_supervisor_tend(staff->teams[i]).died;
    (void)pthread_mutex_unlock(&pool->mutex);
    if (died != 0) {
        pti_queue_sweep(pool->jobs);
        pti_queue_sweep(pool->done);
    }
}

bool pti_staff_exists(ptq_pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    bool exists = pool->staff.count != 0;
    (void)pthread_mutex_unlock(&pool->mutex);
    return exists;
}

unsigned pti_staff_running(ptq_pool *pool)
{
    unsigned running = 0;
    (void)pthread_mutex_lock(&pool->mutex);
    for (unsigned i = 0; i < pool->staff.count; i++)
        running += pti_supervisor_running(pool->staff.teams[i]);
    (void)pthread_mutex_unlock(&pool->mutex);
    return running;
}

bool pti_staff_is_alive(ptq_pool *pool)
{
    bool alive = false;
    (void)pthread_mutex_lock(&pool->mutex);
    for (unsigned i = 0; i < pool->staff.count; i++)
        alive |= pti_supervisor_is_alive(pool->staff.teams[i]);
    (void)pthread_mutex_unlock(&pool->mutex);
    return alive;
}

static bool all_given_up(ptq_pool *pool)
{
    bool failed = false, alive = false;
    (void)pthread_mutex_lock(&pool->mutex);
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
    if (!all_given_up(pool) || ptq_queue_stats(pool->jobs, &stats) != PTQ_OK)
        return false;
    unsigned ours = pti_load_relaxed(&pool->took_jobs) != 0 ? 1 : 0; /* the getter's looks count as a consumer */
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
        if (pti_gather_sleep(&pool->staff.gather, deadline, NULL) == EINTR) /* made with the first team, and stays */
            return PTQ_EINTR;
    }
}

/* -- spawning ------------------------------------------------------------------------------------------------- */

#define WORDS_MAX 16

/* The command line of a worker: words that are owned, and NULL. */
struct words {
    char *word[WORDS_MAX + 1];
    unsigned count;
    bool failed;
};

static void add_word(struct words *words, const char *key, const char *value)
{
    if (value == NULL)
        return;
    char *word = NULL;
    if (words->count == WORDS_MAX || asprintf(&word, "%s%s", key, value) < 0) {
        words->failed = true;
        return;
    }
    words->word[words->count++] = word;
}

static void free_words(struct words *words)
{
    for (unsigned i = 0; i < words->count; i++)
        free(words->word[i]);
}

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

static void write_words(ptq_pool *pool, const struct ptq_spawn_options *options, unsigned count, struct words *words)
{
    const char *slash = strrchr(pool->bus->path, '/');
    char dir[sizeof pool->bus->path], number[16];
    (void)snprintf(dir, sizeof dir, "%.*s", (int)(slash - pool->bus->path), pool->bus->path);
    (void)snprintf(number, sizeof number, "%u", count);
    char *peers = peers_text(pool->bus);

    add_word(words, program_invocation_name, "");
    add_word(words, PTI_WORKER_FLAG, "");
    add_word(words, "pool=", pool->address);
    add_word(words, "run=", pool->bus->run);
    add_word(words, "dir=", dir);
    add_word(words, "node=", pool->bus->node);
    add_word(words, "peers=", peers != NULL ? peers : "");
    add_word(words, "via=", via_text(pool->bus));
    add_word(words, "insecure=", pool->bus->insecure ? "1" : NULL);
    add_word(words, "keys=", pool->bus->keys[0] != '\0' ? pool->bus->keys : NULL);
    add_word(words, "name=", options->name);
    add_word(words, "count=", number);
    add_word(words, "exec=", options->exec);
    words->failed |= peers == NULL;
    free(peers);
}

/* Room for one team more in the list.  Under the mutex. */
static enum ptq_err make_room(struct pti_staff *staff)
{
    if (staff->gather.fd < 0 && pti_gather_init(&staff->gather) != 0)
        return PTQ_ENOMEM;
    struct pti_supervisor **grown = realloc(staff->teams, (staff->count + 1) * sizeof(struct pti_supervisor *));
    if (grown == NULL)
        return PTQ_ENOMEM;
    staff->teams = grown;
    return PTQ_OK;
}

/* Under the mutex. */
static enum ptq_err add_team(ptq_pool *pool, const struct pti_supervisor_options *options)
{
    struct pti_staff *staff = &pool->staff;
    bool first = staff->gather.fd < 0;
    enum ptq_err err = make_room(staff);
    if (err != PTQ_OK)
        return err;
    if (first && pool->order.gather.fd >= 0) /* somebody has ptq_pool_fd already */
        (void)pti_gather_add(&pool->order.gather, staff->gather.fd);
    struct pti_supervisor *team;
    int error = pti_supervisor_new(options, &team);
    if (error != 0)
        return pti_err_from_errno(error);
    if (pti_gather_add(&staff->gather, pti_supervisor_fd(team)) != 0) {
        pti_supervisor_free(team);
        return PTQ_ENOMEM;
    }
    staff->teams[staff->count++] = team;
    return PTQ_OK;
}

static enum ptq_err check_spawn(const ptq_pool *pool, const struct ptq_spawn_options *options)
{
    if (!pti_worker_main_was_called())
        return pti_error(options->error, PTQ_ENOTSTARTED,
                         "pool '%s': workers are this program again, and its main does not call ptq_worker_main - "
                         "make it the first call of main",
                         pool->name);
    if (options->exec == NULL && !pti_task_any())
        return pti_error(options->error, PTQ_ENOTASK,
                         "pool '%s': this program has no task to work with - call ptq_task_register before "
                         "ptq_worker_main, or give exec",
                         pool->name);
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
    err = check_spawn(pool, options);
    if (err != PTQ_OK)
        return err;

    unsigned count = options->count != 0 ? options->count : pti_processors();
    struct words words = {.count = 0};
    write_words(pool, options, count, &words);
    struct pti_supervisor_options team = {.path = "/proc/self/exe", .argv = words.word, .count = count,
                                          .crash_limit = options->crash_limit, .no_respawn = options->no_respawn};
    (void)pthread_mutex_lock(&pool->mutex);
    err = words.failed ? PTQ_ENOMEM : add_team(pool, &team);
    if (err == PTQ_OK && options->exec != NULL)
        pti_store_relaxed(&pool->staff.exec, 1); /* a hint of our own */
    (void)pthread_mutex_unlock(&pool->mutex);
    free_words(&words);
    if (err != PTQ_OK)
        return pti_error(options->error, err, "pool '%s': cannot start %u worker%s: %s", pool->name, count,
                         count == 1 ? "" : "s", ptq_strerror(err));
    return PTQ_OK;
}
