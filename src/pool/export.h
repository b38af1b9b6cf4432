/* export.h -- trails of one or several pools side by side, to be written out: a lane a worker, in the order of the stages. */
#ifndef PTQ_POOL_EXPORT_H
#define PTQ_POOL_EXPORT_H

#include <stdio.h>

#include "pool/line.h"

struct pti_lane {
    const char *stage;      /* the name of its stage, or of its pool */
    unsigned stage_index, level;
    const struct pti_trail_copy *trail;
};

struct pti_lanes {
    const char *title;
    struct pti_lane *lanes;
    size_t count;
    unsigned stages;
    struct pti_trail_copy **trails; /* a stage each */
    size_t *trail_counts;
    int64_t began_ns, ended_ns;     /* the first edge and the last */
    uint64_t spans, dropped;
};

/* One job of one lane, for who looks for the jobs that came of it. */
struct pti_lane_job {
    unsigned level;
    uint64_t ticket;
    unsigned lane;
    const struct pti_span *span;
};
/* All jobs, sorted by level and ticket: *ret_jobs owned. */
enum ptq_err pti_lanes_sort(const struct pti_lanes *lanes, struct pti_lane_job **ret_jobs, size_t *ret_count);
/* The first of them at this level with this ticket; the others stand behind it.  NULL: it was not recorded. */
const struct pti_lane_job *pti_lanes_find(const struct pti_lane_job *jobs, size_t count, unsigned level, uint64_t ticket);

void pti_lanes_write_svg(const struct pti_lanes *lanes, const struct pti_lane_job *jobs, size_t count, FILE *file);

#endif
