/* pipeline_put.c -- the straight way into a batch: nothing has failed, something is under way, and it fits. */
#include "remote/pipeline_own.h"

/* Law: whoever has the lock is inside the handle: it is shut under it before it is freed (pti_pipeline_shut). */
bool pti_pipeline_fast_put(struct pti_port *port, const void *data, uint32_t size, uint64_t *ret_position)
{
    struct pti_remote *remote = pti_remote_of(port);
    struct pti_pipeline *pipeline = remote->pipeline;

    if (pipeline == NULL || size > PTI_PIPELINE_SMALL || !try_lock(pipeline))
        return false;
    bool may = pipeline->failure == PTQ_OK && pipeline->launched > 0 && !pipeline->broken && !pipeline->shut &&
               !pti_load_relaxed(&remote->closing);
    may = may && add(pipeline, &(struct pti_put){.data = data, .size = size});
    unlock(pipeline);
    *ret_position = 0;
    return may;
}
