/* future.c -- one job's result, waited for by itself. */
#include <ptq/map.h>

#include <stdlib.h>
#include <unistd.h>

#include "base/time.h"
#include "os/event.h"
#include "pool/pool.h"

struct ptq_future {
    struct pti_claim claim; /* first: the router frees the whole */
    struct pti_gather gather;
};

enum ptq_err ptq_pool_submit_future(ptq_pool *pool, const char *task, const void *data, size_t size,
                                    const struct ptq_submit_options *options, int timeout_ms, ptq_future **ret_future)
{
    if (ret_future == NULL)
        return PTQ_EINVAL;
    ptq_future *future = calloc(1, sizeof *future);
    if (future == NULL)
        return PTQ_ENOMEM;
    future->claim.pool = pool;
    future->claim.event = -1;
    future->gather = PTI_GATHER_NONE;
    struct pti_submit job = {.task = task, .data = data, .size = size, .options = options, .claim = &future->claim};
    enum ptq_err err = pti_submit(pool, &job, pti_deadline(timeout_ms), NULL);
    if (err != PTQ_OK) {
        pti_claim_forget(&future->claim);
        free(future);
        return err;
    }
    *ret_future = future;
    return PTQ_OK;
}

static bool is_settled(void *context)
{
    const struct pti_claim *claim = context;
    return claim->cancelled || pti_claim_is_done(claim);
}

enum ptq_err ptq_future_wait(ptq_future *future, int timeout_ms, const ptq_result **ret_result)
{
    if (future == NULL)
        return PTQ_EINVAL;
    struct pti_claim *claim = &future->claim;
    if (claim->pool == NULL)
        return PTQ_EGONE;
    enum ptq_err err = pti_pool_check(claim->pool);
    if (err == PTQ_OK)
        err = pti_route_until(claim->pool, is_settled, claim, pti_deadline(timeout_ms));
    if (err != PTQ_OK)
        return pti_pool_answer(claim->pool, err);
    if (claim->cancelled)
        return PTQ_EABORTED;
    if (ret_result != NULL)
        *ret_result = claim->result;
    return PTQ_OK;
}

bool ptq_future_poll(ptq_future *future)
{
    enum ptq_err err = ptq_future_wait(future, PTQ_NOWAIT, NULL);
    return err != PTQ_EMPTY;
}

enum ptq_err ptq_future_cancel(ptq_future *future)
{
    if (future == NULL)
        return PTQ_EINVAL;
    if (future->claim.pool == NULL)
        return PTQ_EGONE;
    enum ptq_err err = pti_pool_check(future->claim.pool);
    return err != PTQ_OK ? err : pti_pool_answer(future->claim.pool, pti_claim_cancel(&future->claim));
}

/* Set from now on when another thread routes the result here, and at once if that has happened. */
static void watch_by(ptq_future *future, int event)
{
    pti_claims_lock(future->claim.pool);
    future->claim.event = event;
    if (is_settled(&future->claim))
        pti_event_set(event);
    pti_claims_unlock(future->claim.pool);
}

enum ptq_err ptq_future_fd(ptq_future *future, int *ret_fd)
{
    int pool_fd, event;
    if (future == NULL || ret_fd == NULL)
        return PTQ_EINVAL;
    if (future->claim.pool == NULL)
        return PTQ_EGONE;
    if (future->gather.fd < 0) {
        enum ptq_err err = ptq_pool_fd(future->claim.pool, &pool_fd);
        if (err != PTQ_OK)
            return err;
        if (pti_event_new(false, &event) != 0)
            return PTQ_ENOMEM;
        struct pti_gather gather;
        if (pti_gather_init(&gather) != 0) {
            (void)close(event);
            return PTQ_ENOMEM;
        }
        if (pti_gather_add(&gather, pool_fd) != 0 || pti_gather_add(&gather, event) != 0) {
            pti_gather_fini(&gather);
            (void)close(event);
            return PTQ_ENOMEM;
        }
        future->gather = gather;
        watch_by(future, event);
    }
    *ret_fd = future->gather.fd;
    return PTQ_OK;
}

uint64_t ptq_future_ticket(const ptq_future *future)
{
    return future->claim.ticket;
}

void ptq_future_free(ptq_future *future)
{
    if (future == NULL)
        return;
    int event = future->claim.event;
    pti_gather_fini(&future->gather);
    future->gather = PTI_GATHER_NONE;
    pti_claim_drop(&future->claim);
    if (event >= 0)
        (void)close(event); /* the router has let go of it */
}
