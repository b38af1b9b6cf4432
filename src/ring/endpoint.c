/* endpoint.c -- a lane takes an index by locking its byte, and lets it go. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/time.h"
#include "os/life.h"
#include "ring/ring.h"

static void set_mine(struct pti_ring *ring, uint32_t x, bool mine)
{
    uint64_t bit = UINT64_C(1) << (x % 64);

    if (mine)
        pti_fetch_or_seq(&ring->mine[x / 64], bit); /* [Z] */
    else
        pti_fetch_and_seq(&ring->mine[x / 64], ~bit); /* [Z] */
}

static void read_command(char *command, size_t size)
{
    int fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, command, size - 1) : 0;

    if (fd >= 0)
        close(fd);
    command[n > 0 ? n : 0] = 0;
    command[strcspn(command, "\n")] = 0;
}

static void begin_life(struct pti_ring *ring, uint32_t x)
{
    struct pti_entry *entry = &ring->entries[x];
    uint32_t used = pti_load_relaxed(&ring->hints->entries_used);

    while (used < x + 1 && !pti_cas(&ring->hints->entries_used, &used, x + 1)) /* [S] */
        ;
    pti_store_relaxed(&entry->used, 1);
    pti_store_relaxed(&entry->pid, getpid());
    pti_store_relaxed(&entry->tid, gettid());
    pti_store_relaxed(&entry->since_unix_ms, pti_unix_ms());
    pti_store_relaxed(&entry->roles, 0);
    pti_store_relaxed(&entry->copying, 0);
    pti_store_relaxed(&entry->taking, pti_load_relaxed(&entry->taking) >> 24 << 24);
    read_command(entry->command, sizeof entry->command);
    pti_store_release(&entry->state, 1); /* [S] */
}

/* A past life of this index may have been killed anywhere.  It is recovered under the read lock, so that a registrant who is
 * stopped here keeps nobody else from recovering it; then the lock becomes a write lock, if no other recoverer is at it. */
static int lock_index(struct pti_ring *ring, uint32_t x)
{
    uint64_t dead[PTI_ENDPOINT_WORDS] = {0};
    int error;

    if (pti_load_acquire(&ring->entries[x].state) != 0) { /* [S] */
        error = pti_life_lock_read(ring->segment.fd, x);
        if (error != 0)
            return error;
        dead[x / 64] |= UINT64_C(1) << (x % 64);
        pti_ring_recover(ring, dead);
    }
    error = pti_life_lock_write(ring->segment.fd, x);
    if (error == 0 && pti_load_acquire(&ring->entries[x].state) != 0) /* [S] */
        error = EAGAIN; /* somebody came and died in between */
    if (error != 0)
        pti_life_unlock(ring->segment.fd, x);
    return error;
}

/* The entries of one kind: those that nobody has, or those that somebody has, who may be dead. */
static int lock_among(struct pti_ring *ring, bool attached, uint32_t *ret_index)
{
    int answer = ENFILE;

    for (uint32_t x = 0; x < ring->geometry.endpoints; x++) {
        int error;

        if (pti_is_mine(ring, x) || (pti_load_acquire(&ring->entries[x].state) != 0) != attached) /* [S] */
            continue;
        error = lock_index(ring, x);
        if (error == 0)
            *ret_index = x;
        if (error != EAGAIN)
            return error;
        answer = EAGAIN;
    }
    return answer;
}

/* A probe costs the more the more locks there are, so 2,000 endpoints are not probed for the 2,001st: free ones first. */
static int lock_one(struct pti_ring *ring, uint32_t *ret_index)
{
    int error = lock_among(ring, false, ret_index);

    return error == EAGAIN || error == ENFILE ? lock_among(ring, true, ret_index) : error;
}

enum ptq_err pti_lane_register(struct pti_lane *lane, struct pti_ring *ring)
{
    uint32_t x = 0;
    int error;

    memset(lane, 0, sizeof *lane);
    lane->ring = ring;
    lane->own_state = calloc(ring->geometry.extent_blocks, 1);
    if (!lane->own_state)
        return PTQ_ENOMEM;
    pthread_mutex_lock(&ring->dead_mutex);
    error = lock_one(ring, &x);
    if (error == 0) {
        set_mine(ring, x, true);
        begin_life(ring, x);
    }
    pthread_mutex_unlock(&ring->dead_mutex);
    if (error != 0) {
        free(lane->own_state);
        lane->own_state = NULL;
        return error == EAGAIN || error == ENFILE ? PTQ_EAGAIN : PTQ_ESYS;
    }
    lane->index = x;
    lane->mark = pti_word((enum pti_state)0, x, 0, 0);
    if (pti_geometry_is_large(&ring->geometry))
        lane->shared_at = (ring->geometry.shared_blocks + 63) / 64 / 2; /* small messages keep away from side files */
    lane->entry = &ring->entries[x];
    lane->head = lane->settled = pti_load_acquire(&ring->hints->head) & ring->position_mask; /* [H] */
    lane->tail = pti_load_acquire(&ring->hints->tail) & ring->position_mask; /* [T] */
    return PTQ_OK;
}

void pti_lane_unregister(struct pti_lane *lane)
{
    struct pti_ring *ring = lane->ring;
    uint64_t dead[PTI_ENDPOINT_WORDS] = {0};

    if (!lane->entry)
        return;
    pthread_mutex_lock(&ring->dead_mutex);
    dead[lane->index / 64] |= UINT64_C(1) << (lane->index % 64);
    pti_ring_recover(ring, dead);
    pti_fetch_add_seq(&ring->hints->recovered, UINT64_MAX); /* [S] a close is no death */
    pti_life_unlock(ring->segment.fd, lane->index);
    set_mine(ring, lane->index, false);
    pthread_mutex_unlock(&ring->dead_mutex);
    lane->entry = NULL;
    free(lane->own_state);
    free(lane->scratch.blocks);
    free(lane->scratch.befores);
    free(lane->scratch.lists);
    free(lane->scratch.list_befores);
    lane->own_state = NULL;
}
