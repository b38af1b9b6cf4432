/* alike.h -- what a link of one's own and the way through the bridge of this host do alike. */
#ifndef PTQ_REMOTE_ALIKE_H
#define PTQ_REMOTE_ALIKE_H

#include <stddef.h>
#include <stdint.h>

#include "queue/port.h"

/* Everything that makes `count` puts the same ones when they are asked about again, but for their times. */
uint32_t pti_puts_sum(const struct pti_put *puts, size_t count);

/* A queue of another host cannot be opened with all flags. */
enum ptq_err pti_check_far_flags(const char *url, const char *name, unsigned flags, struct ptq_error *error);

#endif
