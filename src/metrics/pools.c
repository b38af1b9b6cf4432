/* pools.c -- the pools of a bus as families of figures.
 *
 * Workers show what they did since they began, and take it with them when they end.
 *
 * Law: a counter that was told never goes back.  So what each worker did since the look before is added to what its pool has; what one did
 * between the last look and its end was seen by nobody, and is not told.
 */
#include "metrics/pools.h"

#include <stdlib.h>
#include <string.h>

#include "metrics/families.h"

#define GONE_MOST 1024u /* removed pools that are remembered */

enum figure { DONE, FAILED, BUSY, NO_JOB, NO_ROOM, HAND_IN, FIGURES };

/* A worker, as it was at the last look. */
struct seen {
    char name[sizeof((struct ptq_worker_status *)0)->name];
    int64_t pid, started;
    uint64_t figures[FIGURES];
};

struct pti_pool_told {
    uint64_t look; /* the last that saw it */
    uint64_t window, held;
    int64_t head_ns; /* -1: nobody of this host has it */
    uint64_t states[PTQ_WORKER_HANDS_IN + 1];
    uint64_t figures[FIGURES]; /* jobs, ns */
    struct seen *workers;      /* owned */
    size_t worker_count;
    char name[PTQ_NAME_MAX + 1];
};

/* ---- which ---- */

bool pti_pool_is(const struct ptq_view_info *jobs, size_t *ret_stem)
{
    size_t length = strlen(jobs->name);

    if (length < 6 || strcmp(jobs->name + length - 5, ".jobs") != 0 || jobs->window == 0 || jobs->placed)
        return false;
    *ret_stem = length - 5;
    return true;
}

/* Where it is, or belongs. */
static size_t find_place(const struct pti_pools *pools, const char *name)
{
    size_t low = 0, high = pools->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(pools->list[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct pti_pool_told *find_pool(struct pti_pools *pools, const char *name, size_t stem)
{
    char text[PTQ_NAME_MAX + 1] = "";

    memcpy(text, name, stem < PTQ_NAME_MAX ? stem : PTQ_NAME_MAX);
    size_t place = find_place(pools, text);
    if (place < pools->count && strcmp(pools->list[place]->name, text) == 0)
        return pools->list[place];
    if (pools->count == pools->room) {
        size_t room = pools->room == 0 ? 16 : 2 * pools->room;
        struct pti_pool_told **list = realloc(pools->list, room * sizeof(struct pti_pool_told *));
        if (list == NULL)
            return NULL;
        pools->list = list;
        pools->room = room;
    }
    struct pti_pool_told *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return NULL;
    memcpy(pool->name, text, sizeof text);
    memmove(&pools->list[place + 1], &pools->list[place], (pools->count++ - place) * sizeof(struct pti_pool_told *));
    pools->list[place] = pool;
    return pool;
}

static void free_pool(struct pti_pool_told *pool)
{
    free(pool->workers);
    free(pool);
}

/* ---- workers ---- */

static struct seen see(const struct ptq_worker_status *status)
{
    struct seen seen = {.pid = status->pid,
                        .started = status->started_unix_ms,
                        .figures = {[DONE] = status->jobs_done - status->jobs_failed,
                                    [FAILED] = status->jobs_failed,
                                    [BUSY] = status->busy_ns,
                                    [NO_JOB] = status->wait_job_ns,
                                    [NO_ROOM] = status->wait_room_ns,
                                    [HAND_IN] = status->hand_in_ns}};

    if (status->jobs_failed > status->jobs_done)
        seen.figures[DONE] = 0; /* foreign bytes */
    memcpy(seen.name, status->name, sizeof seen.name);
    return seen;
}

static const struct seen *find_before(const struct pti_pool_told *pool, const struct seen *seen)
{
    for (size_t i = 0; i < pool->worker_count; i++) {
        const struct seen *one = &pool->workers[i];
        if (one->pid == seen->pid && one->started == seen->started && strncmp(one->name, seen->name, sizeof one->name) == 0)
            return one;
    }
    return NULL;
}

/* What it did since. */
static void add_up(struct pti_pool_told *pool, struct seen *seen)
{
    static const struct seen none;
    const struct seen *before = find_before(pool, seen);

    before = before != NULL ? before : &none;
    for (size_t i = 0; i < FIGURES; i++) {
        if (seen->figures[i] > before->figures[i])
            pool->figures[i] += seen->figures[i] - before->figures[i];
        else
            seen->figures[i] = before->figures[i];
    }
}

static bool look_at_workers(struct pti_pool_told *pool, const struct ptq_worker_status *list, size_t count, const uint64_t *sequence)
{
    struct seen *now = count > 0 ? calloc(count, sizeof *now) : NULL;

    if (count > 0 && now == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        now[i] = see(&list[i]);
        add_up(pool, &now[i]);
        if ((unsigned)list[i].state <= PTQ_WORKER_HANDS_IN)
            pool->states[list[i].state]++;
        if (sequence != NULL && list[i].has_job && list[i].ticket == *sequence)
            pool->head_ns = list[i].since_ns;
    }
    free(pool->workers);
    pool->workers = now;
    pool->worker_count = count;
    return true;
}

/* ---- a look ---- */

void pti_pools_begin(struct pti_pools *pools)
{
    size_t gone = 0, kept = 0;

    for (size_t i = 0; i < pools->count; i++)
        gone += pools->list[i]->look != pools->number;
    for (size_t i = 0; i < pools->count && gone > GONE_MOST; i++) {
        if (pools->list[i]->look == pools->number)
            pools->list[kept++] = pools->list[i];
        else
            free_pool(pools->list[i]);
    }
    pools->count = gone > GONE_MOST ? kept : pools->count;
    pools->number++;
}

bool pti_pools_look(struct pti_pools *pools, ptq_bus *bus, const struct ptq_view_info *jobs, const struct ptq_queue_stats *done, bool is_ordered)
{
    size_t stem, count = 0;

    if (!pti_pool_is(jobs, &stem))
        return true;
    struct pti_pool_told *pool = find_pool(pools, jobs->name, stem);
    if (pool != NULL && pools->read == NULL)
        pools->read = calloc(PTQ_WORKERS_MAX, sizeof *pools->read);
    if (pool == NULL || pools->read == NULL)
        return false;
    pool->look = pools->number;
    pool->window = jobs->window;
    pool->held = done->ready;
    pool->head_ns = -1;
    memset(pool->states, 0, sizeof pool->states);
    if (ptq_view_workers(bus, jobs, pools->read, PTQ_WORKERS_MAX, &count) != PTQ_OK)
        count = 0;
    return look_at_workers(pool, pools->read, count < PTQ_WORKERS_MAX ? count : PTQ_WORKERS_MAX, is_ordered ? &done->head : NULL);
}

/* ---- writing ---- */

static const char *const state_words[] = {[PTQ_WORKER_WAITS_FOR_JOB] = "idle", [PTQ_WORKER_WAITS_FOR_ROOM] = "no_room",
                                          [PTQ_WORKER_WORKS] = "works", [PTQ_WORKER_HANDS_IN] = "hands_in"};
static const char *const figure_words[FIGURES] = {[DONE] = "done",     [FAILED] = "failed",   [BUSY] = "busy",
                                                  [NO_JOB] = "no_job", [NO_ROOM] = "no_room", [HAND_IN] = "hand_in"};

static struct pti_labels label(const struct pti_pool_told *pool, const char *name, const char *value)
{
    return (struct pti_labels){{{"pool", pool->name}, {name, value}}};
}

static void write_window(const struct pti_pool_told *pool, struct pti_text *text)
{
    struct pti_labels labels = label(pool, NULL, NULL);

    pti_text_count(text, "", &labels, pool->window);
}

static void write_held(const struct pti_pool_told *pool, struct pti_text *text)
{
    struct pti_labels labels = label(pool, NULL, NULL);

    pti_text_count(text, "", &labels, pool->held);
}

static void write_head(const struct pti_pool_told *pool, struct pti_text *text)
{
    struct pti_labels labels = label(pool, NULL, NULL);

    if (pool->head_ns >= 0)
        pti_text_sample(text, "", &labels, (double)pool->head_ns / 1e9);
}

static void write_states(const struct pti_pool_told *pool, struct pti_text *text)
{
    for (size_t i = 0; i < sizeof state_words / sizeof state_words[0]; i++) {
        struct pti_labels labels = label(pool, "state", state_words[i]);
        pti_text_count(text, "", &labels, pool->states[i]);
    }
}

static void write_jobs(const struct pti_pool_told *pool, struct pti_text *text)
{
    for (size_t i = DONE; i <= FAILED; i++) {
        struct pti_labels labels = label(pool, "outcome", figure_words[i]);
        pti_text_count(text, "", &labels, pool->figures[i]);
    }
}

static void write_seconds(const struct pti_pool_told *pool, struct pti_text *text)
{
    for (size_t i = BUSY; i < FIGURES; i++) {
        struct pti_labels labels = label(pool, "spent", figure_words[i]);
        pti_text_sample(text, "", &labels, (double)pool->figures[i] / 1e9);
    }
}

static void write_family(const struct pti_pools *pools, struct pti_text *text, enum pti_family_id family,
                         void (*write)(const struct pti_pool_told *pool, struct pti_text *text))
{
    pti_family_begin(text, family);
    for (size_t i = 0; i < pools->count; i++) {
        if (pools->list[i]->look == pools->number)
            write(pools->list[i], text);
    }
}

void pti_pools_write(const struct pti_pools *pools, struct pti_text *text)
{
    write_family(pools, text, PTI_FAMILY_POOL_WINDOW, write_window);
    write_family(pools, text, PTI_FAMILY_POOL_HELD, write_held);
    write_family(pools, text, PTI_FAMILY_POOL_HEAD, write_head);
    write_family(pools, text, PTI_FAMILY_POOL_WORKERS, write_states);
    write_family(pools, text, PTI_FAMILY_POOL_JOBS, write_jobs);
    write_family(pools, text, PTI_FAMILY_POOL_SECONDS, write_seconds);
}

void pti_pools_fini(struct pti_pools *pools)
{
    for (size_t i = 0; i < pools->count; i++)
        free_pool(pools->list[i]);
    free(pools->list);
    free(pools->read);
    *pools = (struct pti_pools){0};
}
