/* pipeline.h -- PTQ_PIPELINE over a link: small puts are written into batches as they go over the wire, a frame each.
 *
 * While nothing is under way what was put goes at once.  While something is, a batch goes when it is full, or when all before it have
 * landed: so batches are as large as what was put during a round trip, and several full ones are under way.  What is under way is at
 * most half of the queue's capacity, or one batch.
 *
 * Law: nothing is put past one that is not in.  Batches are CHAINED (wire/frame.h): what stands behind one that the home did not do
 * it does not do either, and says so (PTI_RESULT_BEHIND).  After that nothing goes until all that was under way has been answered.
 *
 * What is filled is under the pipeline's own lock, so that a put meets nobody but the answers; the order is conn->mutex, then that.
 */
#ifndef PTQ_REMOTE_PIPELINE_H
#define PTQ_REMOTE_PIPELINE_H

#include "remote/call.h"

#define PTI_PIPELINE_BATCHES 8u
#define PTI_PIPELINE_BYTES ((64u << 10) - PTI_FRAME_HEADER - PTI_PUT_HEAD) /* four frames fill what a link writes at once */
#define PTI_PIPELINE_SMALL 8192u /* larger ones go by themselves, after what was gathered */

struct pti_pipeline;

enum ptq_err pti_pipeline_new(struct pti_remote *remote);
void pti_pipeline_free(struct pti_remote *remote);

/* Does this put belong into a batch? */
bool pti_pipeline_takes(const struct pti_remote *remote, const struct pti_put *put);
/* As fast_put of queue/port.h. */
bool pti_pipeline_fast_put(struct pti_port *port, const void *data, uint32_t size, uint64_t *ret_position);
/* Copies it; waits for room.  Or tells what became of those before: then it is not taken. */
enum ptq_err pti_pipeline_put(struct pti_remote *remote, const struct pti_put *put, int64_t deadline);
/* Everything is in.  PTQ_FULL, PTQ_TIMEDOUT, PTQ_EUNREACHABLE: nothing is lost. */
enum ptq_err pti_pipeline_flush(struct pti_remote *remote, int64_t deadline);
/* No caller is inside the handle, which is about to be freed. */
void pti_pipeline_shut(struct pti_remote *remote);
bool pti_pipeline_is_empty(struct pti_remote *remote);

#endif
