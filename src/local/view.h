/* view.h -- a read-only view of a queue, and the copy of a message that it makes: for peek and for those who follow. */
#ifndef PTQ_LOCAL_VIEW_H
#define PTQ_LOCAL_VIEW_H

#include <ptq/metrics.h>

#include "os/guard.h"
#include "queue/port.h"
#include "ring/ring.h"

struct ptq_view {
    struct pti_ring ring;
    struct pti_guard *guard;
    _Atomic uint32_t damaged; /* the segment was truncated: what was read is zeroes */
    struct pti_header header;
    char path[1024];
    bool letters; /* "<queue>!dead": peek shows them alone */
};

/* Asked before and after: what was read in between from truncated memory is worth nothing. */
enum ptq_err pti_view_check(const ptq_view *view);

/* A message that was seen in the queue. */
struct pti_found {
    uint64_t position;
    int64_t at; /* the same, counted from one of those that were found: positions are serial */
    uint32_t sub, block;
};

/* Bytes that grow; zero is an empty one, free(bytes) in the end. */
struct pti_copy {
    void *bytes;
    size_t size;
};

/* Copies a message between two looks at its word; false if it changed meanwhile, or its bytes can not be had. */
bool pti_view_copy(struct pti_ring *ring, const struct pti_found *found, struct pti_copy *buffer, struct ptq_msg *same,
                   struct ptq_view_msg *msg);

/* A pack's records from its copy: those that are not done, or all.  False: enough. */
bool pti_view_records(struct ptq_view_msg *msg, struct ptq_msg *same, bool all,
                      bool (*each)(const struct ptq_view_msg *msg, void *context), void *context);

#endif
