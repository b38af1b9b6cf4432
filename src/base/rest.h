/* rest.h -- a short rest of a polling thread: about 1.5 microseconds, whatever a pause takes here. */
#ifndef PTQ_BASE_REST_H
#define PTQ_BASE_REST_H

/* Tens of messages long: so that who is behind gets ahead, and lines travel in bursts.  See docs/benchmarks.md. */
void pti_rest(void);

#endif
