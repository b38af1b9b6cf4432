/* doubtful.h -- a pool whose queue of jobs answers now and then as one on another host does: in doubt, or interrupted. */
#ifndef PTQ_TESTS_PROCESS_DOUBTFUL_H
#define PTQ_TESTS_PROCESS_DOUBTFUL_H

#include "pools.h"

enum doubtful_kind {
    DOUBTFUL_NOT_DONE,    /* the answer is lost, and the job is not in: the retry puts it */
    DOUBTFUL_DONE,        /* the answer is lost, and the job is in */
    DOUBTFUL_INTERRUPTED, /* it is not in, and PTQ_EINTR says so */
    DOUBTFUL_BY_TURNS
};

/* From now on each `every`-th job goes astray; one in doubt stays so for `retries` retries.  Counts what did. */
void doubtful_begin(struct pools *pools, enum doubtful_kind kind, unsigned every, unsigned retries);
/* As it was; returns how many went astray. */
unsigned doubtful_end(struct pools *pools);

#endif
