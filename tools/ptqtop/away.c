/* away.c -- the thread that asks another host's bridge, and what it brought. */
#include "away.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/text.h"

#define QUEUES 10000 /* of one host that are asked */

struct far {
    char name[PTQ_NAME_MAX + 1];
    ptq_queue *queue; /* the thread's own */
    struct ptq_queue_stats stats;
    bool good, seen;
};

struct away {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t turn, brought;
    ptq_bus *bus;
    bool leave, waits, busy;
    uint64_t wanted, rounds; /* rounds: how many are done */
    struct far *list;        /* by name; written by the thread alone, with the mutex */
    size_t count, room;
    enum ptq_err answer;
    char name[PTQ_NAME_MAX + 1], url[256], why[160];
    uint64_t rtt_ns;
    int64_t since_unix_ms;
    double delay;
};

/* -- the thread -------------------------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct far *)a)->name, ((const struct far *)b)->name);
}

static void note_queue(struct away *away, const char *name, size_t known)
{
    struct far key;

    snprintf(key.name, sizeof key.name, "%s", name);
    struct far *one = known == 0 ? NULL : bsearch(&key, away->list, known, sizeof key, compare_names);
    if (one != NULL) {
        one->seen = true;
        return;
    }
    if (away->count == away->room) {
        size_t room = away->room == 0 ? 64 : 2 * away->room;
        struct far *list = realloc(away->list, room * sizeof *list);
        if (list == NULL)
            return;
        away->list = list;
        away->room = room;
    }
    one = &away->list[away->count++];
    *one = (struct far){.seen = true};
    snprintf(one->name, sizeof one->name, "%s", name);
}

static bool note_peer(const struct ptq_peer *peer, void *context)
{
    struct away *away = context;
    char text[400];
    bool was_up = away->rounds > 0 && away->answer == PTQ_OK;

    pthread_mutex_lock(&away->mutex);
    away->answer = peer->answer;
    away->rtt_ns = peer->rtt_ns;
    snprintf(away->name, sizeof away->name, "%s", peer->node);
    snprintf(away->url, sizeof away->url, "%s", tool_hide_user(peer->url, text, sizeof away->url));
    snprintf(away->why, sizeof away->why, "%.159s", tool_hide_user(peer->why, text, sizeof text));
    if (away->rounds == 0 || was_up != (peer->answer == PTQ_OK))
        away->since_unix_ms = (int64_t)time(NULL) * 1000;
    size_t known = away->count;
    for (size_t i = 0; i < known; i++)
        away->list[i].seen = peer->answer != PTQ_OK;
    for (size_t i = 0; i < peer->queue_count && i < QUEUES; i++)
        note_queue(away, peer->queues[i], known);
    pthread_mutex_unlock(&away->mutex);
    return false;
}

static void drop_unseen(struct away *away)
{
    size_t kept = 0;

    pthread_mutex_lock(&away->mutex);
    for (size_t i = 0; i < away->count; i++) {
        if (away->list[i].seen)
            away->list[kept++] = away->list[i];
        else
            ptq_queue_close(away->list[i].queue);
    }
    away->count = kept;
    if (kept > 1)
        qsort(away->list, kept, sizeof *away->list, compare_names);
    pthread_mutex_unlock(&away->mutex);
}

static void ask_queue(struct away *away, struct far *one)
{
    char name[2 * PTQ_NAME_MAX + 4];
    struct ptq_queue_stats stats;
    struct ptq_queue_options options = {.mode = PTQ_ATTACH};

    snprintf(name, sizeof name, "%s@%s", one->name, away->name);
    enum ptq_err err = one->queue != NULL ? PTQ_OK : ptq_queue_open(away->bus, name, &options, &one->queue);
    if (err == PTQ_OK)
        err = ptq_queue_stats(one->queue, &stats);
    if (err != PTQ_OK) {
        ptq_queue_close(one->queue);
        one->queue = NULL;
    }
    pthread_mutex_lock(&away->mutex);
    one->good = err == PTQ_OK;
    if (one->good)
        one->stats = stats;
    pthread_mutex_unlock(&away->mutex);
}

static bool shall_leave(struct away *away)
{
    pthread_mutex_lock(&away->mutex);
    bool leave = away->leave;
    pthread_mutex_unlock(&away->mutex);
    return leave;
}

static void ask(struct away *away)
{
    if (ptq_bus_look_at_peers(away->bus, note_peer, away) != PTQ_OK) {
        pthread_mutex_lock(&away->mutex);
        away->answer = PTQ_ENOMEM;
        pthread_mutex_unlock(&away->mutex);
    }
    drop_unseen(away);
    for (size_t i = 0; i < away->count && away->answer == PTQ_OK && !shall_leave(away); i++)
        ask_queue(away, &away->list[i]);
}

static void *run(void *context)
{
    struct away *away = context;
    struct timespec due;

    pthread_mutex_lock(&away->mutex);
    while (!away->leave) {
        uint64_t wanted = away->wanted;
        away->busy = true;
        pthread_mutex_unlock(&away->mutex);
        ask(away);
        pthread_mutex_lock(&away->mutex);
        away->busy = false;
        away->rounds = wanted > away->rounds ? wanted : away->rounds + 1;
        pthread_cond_broadcast(&away->brought);
        clock_gettime(CLOCK_REALTIME, &due);
        due.tv_sec += (time_t)away->delay;
        due.tv_nsec += (long)((away->delay - (double)(time_t)away->delay) * 1e9);
        due.tv_sec += due.tv_nsec / 1000000000;
        due.tv_nsec %= 1000000000;
        while (!away->leave && away->wanted <= away->rounds && pthread_cond_timedwait(&away->turn, &away->mutex, &due) == 0)
            ;
    }
    pthread_mutex_unlock(&away->mutex);
    return NULL;
}

/* -- life -------------------------------------------------------------------------------------------------------- */

struct away *away_new(ptq_bus *bus)
{
    struct away *away = calloc(1, sizeof *away);

    if (away == NULL)
        return NULL;
    away->bus = bus;
    away->waits = true;
    away->delay = top_options.delay;
    away->answer = PTQ_EAGAIN;
    snprintf(away->name, sizeof away->name, "%s", AWAY_NODE);
    pthread_mutex_init(&away->mutex, NULL);
    pthread_cond_init(&away->turn, NULL);
    pthread_cond_init(&away->brought, NULL);
    if (pthread_create(&away->thread, NULL, run, away) != 0) {
        free(away);
        return NULL;
    }
    return away;
}

void away_free(struct away *away)
{
    if (away == NULL)
        return;
    pthread_mutex_lock(&away->mutex);
    away->leave = true;
    pthread_cond_broadcast(&away->turn);
    pthread_mutex_unlock(&away->mutex);
    pthread_join(away->thread, NULL); /* a question that is out has three seconds at most */
    for (size_t i = 0; i < away->count; i++)
        ptq_queue_close(away->list[i].queue);
    free(away->list);
    pthread_cond_destroy(&away->turn);
    pthread_cond_destroy(&away->brought);
    pthread_mutex_destroy(&away->mutex);
    free(away);
}

bool away_is_busy(struct away *away)
{
    if (away == NULL)
        return false;
    pthread_mutex_lock(&away->mutex);
    bool busy = away->busy;
    pthread_mutex_unlock(&away->mutex);
    return busy;
}

void away_wait(struct away *away, bool waits)
{
    if (away == NULL)
        return;
    pthread_mutex_lock(&away->mutex);
    away->waits = waits;
    pthread_mutex_unlock(&away->mutex);
}

/* -- what it brought --------------------------------------------------------------------------------------------- */

enum ptq_err away_list(struct away *away, bool (*each)(const char *name, void *context), void *context)
{
    pthread_mutex_lock(&away->mutex);
    away->delay = top_options.delay;
    if (away->waits) {
        uint64_t wanted = away->wanted = away->rounds + 1;
        pthread_cond_broadcast(&away->turn);
        while (away->rounds < wanted)
            pthread_cond_wait(&away->brought, &away->mutex);
    }
    enum ptq_err answer = away->waits ? away->answer : PTQ_OK;
    for (size_t i = 0; i < away->count && each(away->list[i].name, context); i++)
        ;
    pthread_mutex_unlock(&away->mutex);
    return answer;
}

bool away_stats(struct away *away, const char *name, struct ptq_queue_stats *ret_stats)
{
    struct far key;

    snprintf(key.name, sizeof key.name, "%s", name);
    pthread_mutex_lock(&away->mutex);
    const struct far *one = away->count == 0 ? NULL : bsearch(&key, away->list, away->count, sizeof key, compare_names);
    bool good = one != NULL && one->good;
    if (good)
        *ret_stats = one->stats;
    pthread_mutex_unlock(&away->mutex);
    return good;
}

void away_link(struct away *away, struct link_row *row)
{
    pthread_mutex_lock(&away->mutex);
    snprintf(row->name, sizeof row->name, "%s", away->name);
    memcpy(row->url, away->url, sizeof row->url);
    memcpy(row->why, away->why, sizeof row->why);
    row->known = away->rounds > 0;
    row->up = away->answer == PTQ_OK;
    row->since_unix_ms = away->since_unix_ms;
    row->rtt_ns = row->up ? away->rtt_ns : 0;
    row->queues = away->count;
    pthread_mutex_unlock(&away->mutex);
}
