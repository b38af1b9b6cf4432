/* lane.c -- which lane is this thread's: one look in thread-local memory, where it was found before.
 *
 * A lane belongs to its thread until the thread ends; then the next new thread takes it over, blocks and all.
 */
#include "local/lane.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "local/verbs.h"
#include "os/futex.h"

struct pti_thread {
    _Atomic uint32_t references;
    _Atomic bool ended;
};

__thread struct pti_lane_cache pti_lane_cache[PTI_LANE_CACHE];
static __thread struct pti_thread *self __attribute__((tls_model("initial-exec")));

static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;
static bool thread_key_works;
static _Atomic uint64_t last_serial;

static void drop_thread(struct pti_thread *thread)
{
    if (thread && atomic_fetch_sub(&thread->references, 1) == 1)
        free(thread);
}

static void end_thread(void *thread)
{
    pti_store_release(&((struct pti_thread *)thread)->ended, true); /* [Z] */
    drop_thread(thread);
}

static void make_key(void) { thread_key_works = pthread_key_create(&thread_key, end_thread) == 0; }

static struct pti_thread *this_thread(void)
{
    if (self)
        return self;
    pthread_once(&thread_once, make_key);
    self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    atomic_store(&self->references, 1);
    if (!thread_key_works || pthread_setspecific(thread_key, self) != 0) {
        free(self);
        self = NULL;
    }
    return self;
}

static void give_place(struct pti_place *place, struct pti_thread *thread)
{
    atomic_fetch_add(&thread->references, 1);
    drop_thread(place->owner);
    place->owner = thread;
}

/* Under the mutex: this thread's place, or one whose thread has ended, or a new one. */
static enum ptq_err find_place(struct pti_local *local, struct pti_thread *thread, struct pti_place **ret_place)
{
    struct pti_place *orphan = NULL, *place;
    uint32_t used = pti_load_relaxed(&local->places_used);
    enum ptq_err err;

    for (uint32_t i = 0; i < used; i++) {
        place = pti_load_relaxed(&local->places[i]);
        if (place->owner == thread) {
            *ret_place = place;
            return PTQ_OK;
        }
        if (!place->owner || pti_load_acquire(&place->owner->ended)) /* [Z] */
            orphan = place;
    }
    if (orphan) {
        give_place(orphan, thread);
        *ret_place = orphan;
        return PTQ_OK;
    }
    if (used == local->place_count)
        return PTQ_EAGAIN;
    place = aligned_alloc(PTI_LINE, (sizeof *place + PTI_LINE - 1) / PTI_LINE * PTI_LINE);
    if (!place)
        return PTQ_ENOMEM;
    memset(place, 0, sizeof *place);
    pthread_mutex_init(&place->bias.mutex, NULL);
    err = pti_lane_register(&place->lane, &local->ring);
    if (err != PTQ_OK) {
        free(place);
        return err;
    }
    place->number = used;
    place->interrupts_seen = pti_load_relaxed(&local->interrupts);
    give_place(place, thread);
    pti_store_release(&local->places[used], place); /* [Z] */
    pti_store_release(&local->places_used, used + 1); /* [Z] */
    *ret_place = place;
    return PTQ_OK;
}

enum ptq_err pti_local_find_place(struct pti_local *local, struct pti_place **ret_place)
{
    struct pti_thread *thread = this_thread();
    enum ptq_err err;

    if (!thread)
        return PTQ_ENOMEM;
    pthread_mutex_lock(&local->mutex);
    err = pti_load_relaxed(&local->closing) ? pti_local_closed(local) : find_place(local, thread, ret_place);
    pthread_mutex_unlock(&local->mutex);
    if (err == PTQ_OK) {
        pti_lane_cache[local->serial % PTI_LANE_CACHE].serial = local->serial;
        pti_lane_cache[local->serial % PTI_LANE_CACHE].place = *ret_place;
    }
    return err;
}

/* Of the machine, not of this thread: who is pinned to one core may well poll for a peer on another. */
static bool has_processors(void) { return sysconf(_SC_NPROCESSORS_ONLN) != 1; }

enum ptq_err pti_local_init(struct pti_local *local, const struct pti_lane *first)
{
    struct pti_thread *thread = this_thread();
    struct pti_place *place = aligned_alloc(PTI_LINE, (sizeof *place + PTI_LINE - 1) / PTI_LINE * PTI_LINE);

    local->place_count = local->ring.geometry.endpoints;
    local->places = calloc(local->place_count, sizeof *local->places);
    if (!thread || !place || !local->places || pthread_mutex_init(&local->mutex, NULL) != 0) {
        free(local->places);
        free(place);
        return PTQ_ENOMEM;
    }
    memset(place, 0, sizeof *place);
    pthread_mutex_init(&place->bias.mutex, NULL);
    place->lane = *first;
    give_place(place, thread);
    pti_store_relaxed(&local->places[0], place);
    pti_store_release(&local->places_used, 1); /* [Z] */
    local->serial = atomic_fetch_add(&last_serial, 1) + 1;
    local->may_spin = has_processors();
    local->no_barrier = !pti_membarrier_private();
    return PTQ_OK;
}

/* Whom a close waits for. */
static bool is_inside(struct pti_place *place)
{
    return pti_load_seq(&place->inside) || pti_load_seq(&place->bias.busy); /* [C, Y] */
}

bool pti_local_stay(struct pti_port *port)
{
    struct pti_local *local = pti_local_of(port);

    pti_fetch_add_seq(&local->staying, 1); /* [C] as pti_local_enter without a membarrier: one of us sees the other */
    if (pti_load_seq(&local->closing) != PTI_LOCAL_CLOSING) /* [C] */
        return true;
    pti_local_go(port);
    return false;
}

void pti_local_go(struct pti_port *port) { pti_fetch_add_seq(&pti_local_of(port)->staying, -1u); } /* [C] */

/* Calls that sleep are interrupted until they have left. */
static void wait_for_calls(struct pti_local *local)
{
    struct timespec a_little = {0, 100000};
    uint32_t used;

    pthread_mutex_lock(&local->mutex);
    pti_store_seq(&local->closing, PTI_LOCAL_CLOSING); /* [C] */
    used = pti_load_relaxed(&local->places_used);
    pthread_mutex_unlock(&local->mutex);
    pti_membarrier_private();
    while (pti_load_seq(&local->staying) > 0) { /* [C] */
        pti_local_interrupt(local);
        nanosleep(&a_little, NULL);
    }
    for (uint32_t i = 0; i < used; i++)
        while (is_inside(pti_load_relaxed(&local->places[i]))) {
            pti_local_interrupt(local);
            nanosleep(&a_little, NULL);
        }
}

struct pti_chunk {
    struct pti_chunk *next;
    struct ptq_msg msgs[];
};
#define CHUNK_MSGS 64

struct ptq_msg *pti_local_msg_more(struct pti_local *local, struct pti_place *place)
{
    struct pti_chunk *chunk = calloc(1, sizeof *chunk + CHUNK_MSGS * sizeof chunk->msgs[0]);

    if (!chunk)
        return NULL;
    pthread_mutex_lock(&local->mutex);
    chunk->next = local->chunks;
    local->chunks = chunk;
    pthread_mutex_unlock(&local->mutex);
    for (size_t i = 0; i < CHUNK_MSGS; i++)
        chunk->msgs[i].queue = local->port.queue;
    for (size_t i = 1; i < CHUNK_MSGS; i++)
        pti_local_msg_free(place, &chunk->msgs[i]);
    return &chunk->msgs[0];
}

void pti_local_fini(struct pti_local *local)
{
    uint32_t used;

    wait_for_calls(local);
    used = pti_load_acquire(&local->places_used); /* [Z] */
    pti_local_end_if_last(local);
    for (uint32_t i = 0; i < used; i++) {
        struct pti_place *place = pti_load_relaxed(&local->places[i]);

        pti_units_return(local, place);
        pti_lane_unregister(&place->lane);
        pthread_mutex_destroy(&place->bias.mutex);
        pti_waiter_free(pti_load_relaxed(&place->waiter));
        drop_thread(place->owner);
        free(place);
    }
    for (unsigned i = 0; i < 2; i++)
        pti_waiter_free(pti_load_relaxed(&local->sides[i].waiter));
    pti_units_free(local);
    while (local->chunks) {
        struct pti_chunk *chunk = local->chunks;

        local->chunks = chunk->next;
        free(chunk);
    }
    pthread_mutex_destroy(&local->mutex);
    free(local->places);
    pti_ring_fini(&local->ring);
    pti_guard_free(local->guard);
}
