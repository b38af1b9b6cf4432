/* worker.h -- workers of pools as JSON, the same from ptq and from ptqtop. */
#ifndef TOOL_WORKER_H
#define TOOL_WORKER_H

#include <jansson.h>

#include <ptq/worker.h>

extern const char *const tool_worker_states[]; /* enum ptq_worker_state */

/* NULL: no memory.  Release with json_decref. */
json_t *tool_worker_json(const struct ptq_worker_status *worker);

#endif
