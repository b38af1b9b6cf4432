/* trail.h -- what each worker of a pool did, job by job: a ring of spans a worker, in a file beside the queue of jobs.
 *
 *   <pool>.jobs~L2.<id>.trail     a side file of the queue (ring/side.h), made when somebody records
 *      0   magic:64 | spans a trail:64
 *   4096   PTI_TRAILS trails: a head of 256 bytes, then the spans
 *
 * Laws:
 *   1. A trail belongs to whoever holds the lock of its byte, and is written by him alone.  A worker that is started again goes on with
 *      the trail of its name.
 *   2. A span is written, then counted.  Who never reads is not waited for: the oldest span is overwritten, and count tells how many are gone.
 *   3. Whoever reads, counts before and after: what may have been overwritten meanwhile is not taken.
 */
#ifndef PTQ_POOL_TRAIL_H
#define PTQ_POOL_TRAIL_H

#include "base/atomic.h"
#include "bus/bus.h"
#include "os/guard.h"

#define PTI_TRAILS 256u
#define PTI_TRAIL_SPANS_MAX (1u << 20)

enum pti_span_kind { PTI_SPAN_JOB = 0, PTI_SPAN_ROOM = 1 /* there were jobs, and no room for results */ };

/* Times are those of the host's clock (os/clock.h). */
struct pti_span {
    _Atomic int64_t on_ns, off_ns;
    _Atomic uint64_t ticket; /* 48 bits | kind:2 | failed:1 | tries:13 */
    _Atomic uint64_t from;   /* of a stage: the ticket in the stage before, 48 bits | outputs:16, as many as fit */
};
_Static_assert(sizeof(struct pti_span) == 32, "two a line");
#define PTI_SPAN_TICKET(word) ((word) & ((UINT64_C(1) << 48) - 1))
#define PTI_SPAN_KIND(word) ((enum pti_span_kind)((word) >> 48 & 3))
#define PTI_SPAN_FAILED(word) (((word) >> 50 & 1) != 0)
#define PTI_SPAN_TRIES(word) ((unsigned)((word) >> 51))
#define PTI_SPAN_OUTPUTS(word) ((unsigned)((word) >> 48))

struct pti_trail_head {
    _Atomic uint64_t count; /* spans ever */
    _Atomic int64_t pid, began_ns;
    char name[64], host[64];
    char padding[256 - 24 - 128];
};
_Static_assert(sizeof(struct pti_trail_head) == 256, "four lines");

struct pti_trail {
    int fd;              /* holds the lock; -1: nothing is recorded */
    struct pti_trail_head *head;
    struct pti_span *spans;
    uint64_t most;
    void *base;
    size_t size;
    struct pti_guard *guard;
    _Atomic uint32_t damaged;
};
#define PTI_TRAIL_NONE ((struct pti_trail){.fd = -1})

/* Joins; spans: of a file that is made now.  0, or why nothing is recorded. */
int pti_trail_join(struct pti_trail *trail, ptq_bus *bus, const char *jobs, const uint8_t id[16], const char *name, uint64_t spans);
void pti_trail_leave(struct pti_trail *trail);

static inline void pti_trail_add(struct pti_trail *trail, int64_t on_ns, int64_t off_ns, uint64_t ticket, uint64_t from)
{
    uint64_t count = pti_load_relaxed(&trail->head->count); /* ours */
    struct pti_span *span = &trail->spans[count % trail->most];
    pti_store_relaxed(&span->on_ns, on_ns); /* the count carries these */
    pti_store_relaxed(&span->off_ns, off_ns);
    pti_store_relaxed(&span->ticket, ticket);
    pti_store_relaxed(&span->from, from);
    pti_store_release(&trail->head->count, count + 1);
}

/* What stands in a trail: a copy. */
struct pti_trail_copy {
    char name[64], host[64];
    int64_t pid, began_ns;
    uint64_t count;          /* of spans here, oldest first; */
    uint64_t dropped;        /* before them */
    struct pti_span *spans;  /* owned */
};

/* All trails of a pool, *ret_copies owned.  0 or an errno; no file: none. */
int pti_trail_read(ptq_bus *bus, const char *jobs, const uint8_t id[16], struct pti_trail_copy **ret_copies, size_t *ret_count);
void pti_trail_free(struct pti_trail_copy *copies, size_t count);

#endif
