/* one.h -- one worker as the files that make it see it: one.c, one_send.c, one_recv.c. */
#ifndef PTQ_POOL_ONE_H
#define PTQ_POOL_ONE_H

#include <ptq/worker.h>

#include "pool/pool.h"

#define PTI_ONE_BINDS 64u /* changes of the task that may be on their way, beside what is sent and one call */

enum pti_one_kind { PTI_ONE_DATA = 0, PTI_ONE_BIND = 1 };

struct pti_one_tickets {
    uint64_t *ticket; /* a ring of `room` */
    size_t first, count, room;
};

struct ptq_worker {
    ptq_bus *bus;
    ptq_pool *pool;
    struct ptq_worker_options options; /* strings are the own */
    char *exec, *name;
    char task[PTQ_TASK_NAME_MAX + 1]; /* set last; "": none */
    void *static_data;
    size_t static_size;
    _Atomic uint32_t room[2];          /* in this life, of a kind: sent, and not with the caller yet (enum pti_one_kind); */
    _Atomic uint32_t leaves, waiting;  /* grows when one of them is; threads that sleep on that */
    _Atomic uint64_t sent;             /* all kinds; */
    uint64_t received;                 /* and come out: of who receives, as are the next two */
    _Atomic uint32_t closed;
    struct pti_one_tickets passed;     /* not for the caller: of calls that were given up */
    struct pti_results kept;           /* came while a call waited for its own */
    struct pti_exit how;               /* of the last life */
};

/* one.c */
/* PTQ_EINVAL, PTQ_ENOTSTARTED, PTQ_EFORKED, or PTQ_OK. */
enum ptq_err pti_one_check(const ptq_worker *worker);
/* The answer of the pool in words of a worker. */
enum ptq_err pti_one_answer(ptq_worker *worker, enum ptq_err err);
/* How many may be sent and not received. */
uint32_t pti_one_capacity(const ptq_worker *worker);

/* one_send.c */
/* Room for one more of its kind, so that never more than `most` are on their way. */
bool pti_one_take_room(ptq_worker *worker, enum pti_one_kind kind, uint32_t most);
void pti_one_leave_room(ptq_worker *worker, enum pti_one_kind kind);
/* What there is room for; if it cannot be sent the room is free again. */
enum ptq_err pti_one_submit(ptq_worker *worker, enum pti_one_kind kind, const void *data, size_t size, int64_t deadline,
                            uint64_t *ret_ticket);
/* Sends the task that was set last. */
enum ptq_err pti_one_bind(ptq_worker *worker, int timeout_ms);

#endif
