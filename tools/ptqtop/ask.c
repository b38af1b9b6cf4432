/* ask.c -- a thread that asks the peers how they are, while somebody wants to know. */
#include "ask.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/text.h"

#define ASKED 64        /* peers that are kept */
#define PAUSE_SECONDS 3 /* between two rounds */

struct asked {
    char name[PTQ_NAME_MAX + 1], why[160];
    bool up;
    uint64_t rtt_ns;
    size_t queues;
};

struct asker {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t turn;
    ptq_bus *bus;
    bool wanted, leave, busy;
    struct asked list[ASKED];
    size_t count;
    struct asked fresh[ASKED]; /* the thread's own */
    size_t fresh_count;
};

static bool note(const struct ptq_peer *peer, void *context)
{
    struct asker *asker = context;
    struct asked *one = &asker->fresh[asker->fresh_count];
    char why[400];

    if (asker->fresh_count == ASKED)
        return false;
    asker->fresh_count++;
    *one = (struct asked){.up = peer->answer == PTQ_OK, .rtt_ns = peer->rtt_ns, .queues = peer->queue_count};
    snprintf(one->name, sizeof one->name, "%s", peer->node);
    snprintf(one->why, sizeof one->why, "%.159s", tool_hide_user(peer->why, why, sizeof why));
    return true;
}

static void ask(struct asker *asker)
{
    asker->fresh_count = 0;
    if (ptq_bus_look_at_peers(asker->bus, note, asker) != PTQ_OK)
        return;
    pthread_mutex_lock(&asker->mutex);
    memcpy(asker->list, asker->fresh, sizeof asker->list);
    asker->count = asker->fresh_count;
    pthread_mutex_unlock(&asker->mutex);
}

static void *run(void *context)
{
    struct asker *asker = context;
    struct timespec due;

    pthread_mutex_lock(&asker->mutex);
    while (!asker->leave) {
        if (asker->wanted) {
            asker->busy = true;
            pthread_mutex_unlock(&asker->mutex);
            ask(asker);
            pthread_mutex_lock(&asker->mutex);
            asker->busy = false;
        }
        clock_gettime(CLOCK_REALTIME, &due);
        due.tv_sec += PAUSE_SECONDS;
        bool wanted = asker->wanted;
        while (!asker->leave && asker->wanted == wanted && pthread_cond_timedwait(&asker->turn, &asker->mutex, &due) == 0)
            ;
    }
    pthread_mutex_unlock(&asker->mutex);
    return NULL;
}

struct asker *asker_new(ptq_bus *bus)
{
    struct asker *asker = calloc(1, sizeof *asker);

    if (asker == NULL)
        return NULL;
    asker->bus = bus;
    pthread_mutex_init(&asker->mutex, NULL);
    pthread_cond_init(&asker->turn, NULL);
    if (pthread_create(&asker->thread, NULL, run, asker) != 0) {
        free(asker);
        return NULL;
    }
    return asker;
}

void asker_free(struct asker *asker)
{
    if (asker == NULL)
        return;
    pthread_mutex_lock(&asker->mutex);
    asker->leave = true;
    pthread_cond_signal(&asker->turn);
    pthread_mutex_unlock(&asker->mutex);
    pthread_join(asker->thread, NULL); /* a question that is out has three seconds at most */
    pthread_cond_destroy(&asker->turn);
    pthread_mutex_destroy(&asker->mutex);
    free(asker);
}

bool asker_is_busy(struct asker *asker)
{
    if (asker == NULL)
        return false;
    pthread_mutex_lock(&asker->mutex);
    bool busy = asker->busy;
    pthread_mutex_unlock(&asker->mutex);
    return busy;
}

void asker_want(struct asker *asker, bool wanted)
{
    if (asker == NULL)
        return;
    pthread_mutex_lock(&asker->mutex);
    if (asker->wanted != wanted)
        pthread_cond_signal(&asker->turn);
    asker->wanted = wanted;
    pthread_mutex_unlock(&asker->mutex);
}

void asker_look_up(struct asker *asker, struct link_row *row)
{
    if (asker == NULL)
        return;
    pthread_mutex_lock(&asker->mutex);
    for (size_t i = 0; i < asker->count; i++) {
        const struct asked *one = &asker->list[i];
        if (strcmp(one->name, row->name) != 0)
            continue;
        row->known = true;
        row->up = one->up;
        row->rtt_ns = one->rtt_ns;
        if (one->up)
            row->queues = one->queues;
        memcpy(row->why, one->why, sizeof row->why);
    }
    pthread_mutex_unlock(&asker->mutex);
}
