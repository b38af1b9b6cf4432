/* pipeline.h -- PTQ_PIPELINE over a link: small puts are copied and go in batches, one under way while the next is filled.
 *
 * One batch at a time keeps the order, and what is in: all before the batch under way, nothing behind it.  The answer to one sends
 * the next, so a batch is as large as what was put during a round trip.  All is under conn->mutex.
 */
#ifndef PTQ_REMOTE_PIPELINE_H
#define PTQ_REMOTE_PIPELINE_H

#include "remote/call.h"

#define PTI_PIPELINE_BYTES (128u << 10)
#define PTI_PIPELINE_PUTS 512u
#define PTI_PIPELINE_SMALL 8192u /* larger ones go by themselves, after what was gathered */

struct pti_pipeline;

enum ptq_err pti_pipeline_new(struct pti_remote *remote);
void pti_pipeline_free(struct pti_remote *remote);

/* Does this put belong into a batch? */
bool pti_pipeline_takes(const struct pti_remote *remote, const struct pti_put *put);
/* Copies it; waits for room.  Or tells what became of those before: then it is not taken. */
enum ptq_err pti_pipeline_put(struct pti_remote *remote, const struct pti_put *put, int64_t deadline);
/* Everything is in.  PTQ_FULL, PTQ_TIMEDOUT, PTQ_EUNREACHABLE: nothing is lost. */
enum ptq_err pti_pipeline_flush(struct pti_remote *remote, int64_t deadline);
bool pti_pipeline_is_empty(struct pti_remote *remote);

#endif
