/* pipeline_own.h -- what pipeline.c and its straight way in, pipeline_put.c, share: the batches, and their lock. */
#ifndef PTQ_REMOTE_PIPELINE_OWN_H
#define PTQ_REMOTE_PIPELINE_OWN_H

#include <sched.h>
#include <string.h>
#include <time.h>

#include "remote/pipeline.h"
#include "base/bytes.h"

struct batch {
    struct pti_call *call;  /* under way; else NULL */
    struct pti_call *ended; /* answered, and not freed yet: its answer was given on the link's thread */
    bool in;                /* in the queue */
    uint32_t count;
    uint32_t size;
    uint8_t bytes[PTI_PIPELINE_BYTES];
};

/*      first                    first + launched          first + used
 *      | under way, or answered | held: to go again       | filling, if used < PTI_PIPELINE_BATCHES
 */
struct pti_pipeline {
    _Atomic uint32_t locked;
    unsigned first, launched, used;
    uint64_t under_way;     /* records */
    uint32_t most;          /* records of a batch */
    bool full;              /* what is filled takes no more */
    bool broken;            /* one was not done: nothing goes until all that is under way has been answered */
    bool dropped;           /* ... and what stands behind it is refused with it */
    bool anew;              /* the next to go begins anew */
    enum ptq_err failure;   /* to be told once */
    bool shut;              /* the handle is closed: nothing is added any more */
    uint64_t landed;        /* batches */
    struct batch batches[PTI_PIPELINE_BATCHES];
};

/* ---- the lock: one exchange a put.  It is held for a copy, or while a batch goes to its link; who finds it held lets others run, and
 * after some tries sleeps, so that a holder of lower priority goes on. */

#define TRIES 64
#define A_MOMENT_NS 50000

static inline bool try_lock(struct pti_pipeline *pipeline)
{
    return pti_exchange_seq(&pipeline->locked, 1) == 0;
}

static inline void lock(struct pti_pipeline *pipeline)
{
    const struct timespec moment = {.tv_nsec = A_MOMENT_NS};

    for (unsigned tries = 0; !try_lock(pipeline); tries++) {
        if (tries < TRIES)
            sched_yield();
        else
            nanosleep(&moment, NULL);
    }
}

static inline void unlock(struct pti_pipeline *pipeline) { pti_store_release(&pipeline->locked, 0); }

/* ---- batches, locked */

static inline struct batch *batch_at(struct pti_pipeline *pipeline, unsigned index)
{
    return &pipeline->batches[(pipeline->first + index) % PTI_PIPELINE_BATCHES];
}

static inline struct batch *filling(struct pti_pipeline *pipeline)
{
    return pipeline->used < PTI_PIPELINE_BATCHES ? batch_at(pipeline, pipeline->used) : NULL;
}

/* As pti_write_put_record; nearly all are plain. */
static inline size_t write_head(uint8_t *at, const struct pti_put *put)
{
    if (__builtin_expect(put->type > UINT16_MAX, 0))
        return pti_write_put_record(at, &(struct pti_record){.size = put->size, .kind = put->kind, .type = put->type});
    pti_store32(at, put->size);
    at[4] = put->kind;
    at[5] = 0;
    pti_store16(at + 6, (uint16_t)put->type);
    return PTI_PUT_RECORD;
}

static inline void copy_body(uint8_t *to, const void *from, uint32_t size)
{
    switch (size) { /* as a constant it is few loads and stores */
    case 8: memcpy(to, from, 8); return;
    case 16: memcpy(to, from, 16); return;
    case 32: memcpy(to, from, 32); return;
    case 64: memcpy(to, from, 64); return;
    case 0: return;
    default: memcpy(to, from, size);
    }
}

static inline bool add(struct pti_pipeline *pipeline, const struct pti_put *put)
{
    struct batch *batch = filling(pipeline);

    if (batch == NULL || batch->count >= pipeline->most ||
        batch->size + PTI_PUT_RECORD + PTI_RECORD_MORE + put->size > PTI_PIPELINE_BYTES)
        return false;
    uint8_t *at = batch->bytes + batch->size;
    size_t head = write_head(at, put);
    copy_body(at + head, put->data, put->size);
    batch->size += (uint32_t)head + put->size;
    batch->count++;
    return true;
}

#endif
