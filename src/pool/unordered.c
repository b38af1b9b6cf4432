/* unordered.c -- pools whose results come as they are finished.
 *
 * Their <pool>.done is an ordinary queue: results are put, not placed, and bear their tickets.  Three things that the places did must
 * be done otherwise:
 *   - A worker that dies between handing in and acking has its job done again.  The getter knows which tickets came, and settles
 *     the second one unseen.
 *   - The limit of the jobs is far away, and goes on before it is reached.
 *   - The results end when the jobs have ended and all are settled; whoever learns that first ends them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "pool/pool.h"

#define FAR (UINT64_C(1) << 44) /* beyond any lifetime of a pool, and far under half of what positions can tell */

/* -- the limit ------------------------------------------------------------------------------------------------ */

static enum ptq_err set_limit(ptq_pool *pool, uint64_t from)
{
    enum ptq_err err = pti_queue_limit(pool->jobs, from + FAR);
    if (err == PTQ_OK)
        pool->order.limit = from + FAR;
    return err;
}

enum ptq_err pti_unordered_begin(ptq_pool *pool)
{
    uint64_t head;
    enum ptq_err err = pti_queue_head(pool->jobs, &head);
    return err == PTQ_OK ? set_limit(pool, head) : err;
}

void pti_unordered_go_on(ptq_pool *pool, uint64_t ticket)
{
    if (pti_position_compare(ticket + FAR / 2, pool->order.limit) < 0)
        return;
    enum ptq_err ignored = set_limit(pool, ticket); /* the next result tries again, and there is much room */
    (void)ignored;
}

/* -- handing in ----------------------------------------------------------------------------------------------- */

static bool is_settled(const struct ptq_queue_stats *stats)
{
    return stats->ended && stats->ready + stats->leased + stats->delayed == 0;
}

/* Results end when all jobs are settled.  Who comes behind that has lost his lease, over a link that was down for long: another did the
 * job, whose result counts. */
static enum ptq_err put_result(ptq_pool *pool, const struct pti_put *put, int64_t deadline)
{
    struct ptq_queue_stats jobs;
    enum ptq_err err = pti_queue_put(pool->done, put, deadline, NULL);
    if (err != PTQ_EENDED)
        return err;
    enum ptq_err asked = ptq_queue_stats(pool->jobs, &jobs);
    return asked != PTQ_OK ? asked : is_settled(&jobs) ? PTQ_ELATE : err;
}

enum ptq_err pti_unordered_put(ptq_pool *pool, const struct pti_put *put)
{
    return put_result(pool, put, pti_now_ns() + PTI_POOL_SLICE);
}

enum ptq_err pti_unordered_put_marker(ptq_pool *pool, const ptq_msg *msg, int64_t deadline)
{
    struct pti_result result = {.ticket = msg->position, .tries = msg->deliveries};
    size_t head = pti_result_head_size(&result);
    unsigned char *entry = malloc(head + msg->size);
    if (entry == NULL)
        return PTQ_ENOMEM;
    (void)pti_result_write_head(entry, &result);
    if (msg->size != 0)
        memcpy(entry + head, msg->data, msg->size);
    struct pti_put put = {.data = entry, .size = (uint32_t)(head + msg->size), .kind = PTI_KIND_MARKER};
    enum ptq_err err = put_result(pool, &put, deadline);
    free(entry);
    return err;
}

/* As many blocks as results have at least beside those that are ready (ring/layout.c). */
uint64_t pti_unordered_most(const ptq_pool *pool)
{
    return pool->done->port->capacity + pool->done->port->capacity / 2 + 64;
}

/* -- the end -------------------------------------------------------------------------------------------------- */

bool pti_unordered_end(ptq_pool *pool)
{
    struct ptq_queue_stats jobs, done;
    if (ptq_queue_stats(pool->jobs, &jobs) != PTQ_OK || !is_settled(&jobs))
        return false;
    enum ptq_err ignored = ptq_end(pool->done); /* or somebody else has */
    (void)ignored;
    (void)pthread_mutex_lock(&pool->mutex);
    uint64_t own = pool->order.out.count;
    (void)pthread_mutex_unlock(&pool->mutex);
    return ptq_queue_stats(pool->done, &done) == PTQ_OK && done.ended && done.ready + done.delayed == 0 && done.leased <= own;
}

/* -- tickets that came ---------------------------------------------------------------------------------------- */

#define STRETCH 4096u
#define STRETCHES_AT_ONCE 65536u /* a ticket further ahead than so many is not believed */

struct pti_seen_stretch {
    struct pti_seen_stretch *previous, *next;
    uint64_t from;
    unsigned count;
    uint64_t bits[STRETCH / 64];
};

bool pti_unordered_ticket(const ptq_msg *msg, uint64_t *ret_ticket)
{
    struct pti_result body;
    if (!pti_result_read(msg->data, msg->size, &body))
        return false;
    *ret_ticket = body.ticket;
    return true;
}

static bool append_stretch(struct pti_tickets *tickets)
{
    struct pti_seen_stretch *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL)
        return false;
    fresh->from = tickets->high;
    fresh->previous = tickets->last;
    *(tickets->last != NULL ? &tickets->last->next : &tickets->first) = fresh;
    tickets->last = fresh;
    tickets->high += STRETCH;
    return true;
}

static void free_stretch(struct pti_tickets *tickets, struct pti_seen_stretch *stretch)
{
    *(stretch->previous != NULL ? &stretch->previous->next : &tickets->first) = stretch->next;
    *(stretch->next != NULL ? &stretch->next->previous : &tickets->last) = stretch->previous;
    free(stretch);
}

/* Is it known which tickets of the stretch at `from` came?  Not of what was before the first that this handle saw. */
static bool is_tracked(struct pti_tickets *tickets, uint64_t from)
{
    if (!tickets->begun) {
        tickets->low = tickets->high = from;
        tickets->begun = true;
    }
    if (pti_position_compare(from, tickets->low) < 0 ||
        pti_position_compare(from, tickets->high + (uint64_t)STRETCHES_AT_ONCE * STRETCH) > 0)
        return false;
    while (pti_position_compare(from, tickets->high) >= 0)
        if (!append_stretch(tickets))
            return false;
    return true;
}

/* NULL: it is complete. */
static struct pti_seen_stretch *find_stretch(const struct pti_tickets *tickets, uint64_t from)
{
    struct pti_seen_stretch *stretch = tickets->last;
    while (stretch != NULL && pti_position_compare(stretch->from, from) != 0)
        stretch = stretch->previous;
    return stretch;
}

static bool has(const struct pti_seen_stretch *stretch, uint64_t ticket)
{
    return (stretch->bits[ticket % STRETCH / 64] >> ticket % 64 & 1) != 0;
}

bool pti_tickets_have(struct pti_tickets *tickets, uint64_t ticket)
{
    uint64_t from = ticket & ~(uint64_t)(STRETCH - 1);
    if (!is_tracked(tickets, from))
        return false;
    const struct pti_seen_stretch *stretch = find_stretch(tickets, from);
    return stretch == NULL || has(stretch, ticket);
}

void pti_tickets_add(struct pti_tickets *tickets, uint64_t ticket)
{
    uint64_t from = ticket & ~(uint64_t)(STRETCH - 1);
    struct pti_seen_stretch *stretch = is_tracked(tickets, from) ? find_stretch(tickets, from) : NULL;
    if (stretch == NULL || has(stretch, ticket))
        return;
    stretch->bits[ticket % STRETCH / 64] |= UINT64_C(1) << ticket % 64;
    if (++stretch->count == STRETCH)
        free_stretch(tickets, stretch);
}

/* A complete stretch comes back without it.  Where there is no memory for that, everything is forgotten: twice is better than never. */
void pti_tickets_remove(struct pti_tickets *tickets, uint64_t ticket)
{
    uint64_t from = ticket & ~(uint64_t)(STRETCH - 1), high = tickets->high;
    if (!pti_tickets_have(tickets, ticket))
        return;
    struct pti_seen_stretch *stretch = find_stretch(tickets, from);
    if (stretch == NULL && !append_stretch(tickets)) {
        pti_tickets_fini(tickets);
        return;
    }
    if (stretch == NULL) {
        stretch = tickets->last;
        tickets->high = high;
        stretch->from = from;
        stretch->count = STRETCH;
        memset(stretch->bits, 0xff, sizeof stretch->bits);
    }
    stretch->bits[ticket % STRETCH / 64] &= ~(UINT64_C(1) << ticket % 64);
    stretch->count--;
}

void pti_tickets_fini(struct pti_tickets *tickets)
{
    while (tickets->first != NULL)
        free_stretch(tickets, tickets->first);
    *tickets = (struct pti_tickets){.begun = false};
}
