/* route.h -- to whom a result goes: to the future or map that has claimed its ticket, or to a plain get.
 *
 * A ticket is claimed in the same breath in which it is drawn (submit.c), so whoever gets its result finds the claim; where the answer
 * was lost and is asked for again, the claim comes later, perhaps after the result, and finds it among those that are kept.  One thread
 * at a time gets, the leader; whoever waits meanwhile is told by it.  No result is thrown away but by who had claimed it: what
 * nobody claimed is kept for ptq_pool_get, on lease, and counts against the window.
 */
#ifndef PTQ_POOL_ROUTE_H
#define PTQ_POOL_ROUTE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <ptq/pool.h>

#include "base/atomic.h"

/* Where claims of one map come together when their results are there. */
struct pti_sink {
    struct pti_claim *first, *last;
    _Atomic uint32_t count;
};

/* One ticket, whose result is waited for.  It is allocated, alone or as the first thing of something larger; once dropped, free()d
 * by the router as soon as the result has come. */
struct pti_claim {
    ptq_pool *pool;
    struct pti_sink *sink;     /* may be NULL */
    struct ptq_result *result; /* once done; on lease */
    uint64_t ticket;
    _Atomic uint32_t done;     /* 1: result is set, or it was given up */
    bool dropped, cancelled, in_sink;
    bool untold;               /* cancelled, and its place does not say so yet */
    bool in_doubt;             /* whether it has a ticket is not known */
    int event;                 /* set when done; -1: nobody asked */
    struct pti_claim *previous, *next;      /* of the claims that wait, by ticket; or of those that are done */
    struct pti_claim *next_in_sink;
};

/* Of a pool.  Locks: the pool's mutex, if any, before this one. */
struct pti_claims {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct pti_claim *first, *last;
    struct pti_claim *done;        /* and not dropped: they, too, outlive the pool */
    unsigned untold, doubts;
    _Atomic uint32_t followers;
    _Atomic uint32_t drops_others; /* maps that run alone */
};

void pti_claims_init(struct pti_claims *claims);
void pti_claims_fini(ptq_pool *pool);

/* Between lock and unlock a ticket is drawn and claimed. */
void pti_claims_lock(ptq_pool *pool);
void pti_claims_unlock(ptq_pool *pool);
bool pti_claims_exist(ptq_pool *pool);
void pti_claims_add(struct pti_claim *claim, uint64_t ticket);
/* Also between them: is it in doubt?  While one is, nobody's results are kept, whatever a map that runs alone wants. */
void pti_claims_doubt(struct pti_claim *claim, bool in_doubt);
/* Of one that was never sent, and will not be asked about again. */
void pti_claim_forget(struct pti_claim *claim);
/* A ticket that was claimed late: its result may be there. */
void pti_route_kept(ptq_pool *pool, uint64_t ticket);

/* Waits until is_there, getting and routing results, or seeing how another thread does.  PTQ_OK, or as ptq_pool_get. */
enum ptq_err pti_route_until(ptq_pool *pool, bool (*is_there)(void *context), void *context, int64_t deadline);
/* The leader's: gets one result and routes it; gets the next that is nobody's. */
enum ptq_err pti_route_one(ptq_pool *pool, int64_t deadline);
enum ptq_err pti_route_plain(ptq_pool *pool, int64_t deadline, struct ptq_result **ret_result);
/* join: reads one result ahead, whosoever it is.  As ptq_pool_get. */
enum ptq_err pti_route_ahead(ptq_pool *pool, int64_t deadline);

bool pti_claim_is_done(const struct pti_claim *claim);
/* PTQ_OK: its job will not begin any more, or what it gives is thrown away; its place says PTQ_EABORTED.  PTQ_EALREADY: its result is
 * there, or on its way. */
enum ptq_err pti_claim_cancel(struct pti_claim *claim);
/* Nobody waits for it any more; takes the claim. */
void pti_claim_drop(struct pti_claim *claim);
/* The first of a sink; NULL: it is empty. */
struct pti_claim *pti_sink_take(ptq_pool *pool, struct pti_sink *sink);
bool pti_sink_has_some(void *sink);

/* Before jobs up to `limit` may begin: writes into their places what was cancelled.  Under the pool's mutex. */
void pti_claims_tell(ptq_pool *pool, uint64_t limit);

#endif
