/* refusals.h -- who was refused: each logged once, all counted. */
#ifndef PTQ_REMOTE_REFUSALS_H
#define PTQ_REMOTE_REFUSALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"

#define PTI_REFUSALS_KNOWN 512u

enum pti_refused { PTI_REFUSED_LINK = 0, PTI_REFUSED_RIGHT = 1 };

struct pti_server;

/* All zero: none. */
struct pti_refusals {
    _Atomic uint64_t counts[2];       /* by enum pti_refused; any thread may read them */
    uint64_t known[PTI_REFUSALS_KNOWN]; /* hashes; 0: free */
    size_t known_count;
    int64_t full_since;
};

/* Counts it.  Is it to be logged: was nobody refused with these three words yet? */
bool pti_refusals_note(struct pti_server *server, enum pti_refused kind, const char *one, const char *two, const char *three);

#endif
