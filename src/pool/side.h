/* side.h -- the side files of a pool (who works for it, what they did): beside its queue of jobs, and gone with it. */
#ifndef PTQ_POOL_SIDE_H
#define PTQ_POOL_SIDE_H

#include "bus/bus.h"

/* `jobs`, `id`: the pool's queue of jobs; `kind`: the end of the file's name (ring/side.h).  open: `make`: to write, made where it is
 * missing.  join: so, and listed in base/fork.h, that no forked copy keeps a lock that will be held.  The descriptor is the caller's to
 * close; after join with pti_fork_close.  0 or an errno; ENOENT: there is none, or the queue is being removed. */
int pti_pool_side_open(ptq_bus *bus, const char *jobs, const uint8_t id[16], const char *kind, bool make, int *ret_fd);
int pti_pool_side_join(ptq_bus *bus, const char *jobs, const uint8_t id[16], const char *kind, int *ret_fd);

#endif
