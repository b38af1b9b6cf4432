/* order_own.h -- between order.c, which keeps the order of results, and order_wait.c, which waits for them. */
#ifndef PTQ_POOL_ORDER_OWN_H
#define PTQ_POOL_ORDER_OWN_H

#include "base/time.h"
#include "pool/pool.h"

#define PTI_ORDER_NAP_NS (20 * PTI_NS_PER_MS) /* before a home that is away is asked again */

/* Tells the jobs queue how far jobs may be begun, if that has grown by at least `step`: who is about to wait tells every step. */
enum ptq_err pti_order_raise_limit(ptq_pool *pool, uint64_t step);
/* Holds this handle so many results that the next one cannot even be begun? */
bool pti_order_is_full(ptq_pool *pool);

/* The descriptor of the whole pool, made once, in order.gather. */
enum ptq_err pti_order_descriptor(ptq_pool *pool);
/* The next entry of the results, leased, by its deadline; END, PTQ_ENOWORKERS, ...; PTQ_EMPTY with PTI_DEADLINE_NOW. */
enum ptq_err pti_order_message(ptq_pool *pool, int64_t deadline, ptq_msg **ret_msg);

#endif
