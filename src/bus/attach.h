/* attach.h -- a queue's segment: made or found, checked, and entered. */
#ifndef PTQ_BUS_ATTACH_H
#define PTQ_BUS_ATTACH_H

#include <ptq/queue.h>

#include "bus/bus.h"
#include "ring/ring.h"

/* What is asked of a segment. */
struct pti_attach {
    struct pti_geometry_request geometry; /* 0: whatever it has, or the default */
    enum ptq_open_mode mode;
    int wait_ms;
    uint32_t file_mode;
    const char *group; /* NULL: as the directory has it */
    const uint8_t *maker; /* 16 random bytes of whoever asks, however often: with exclusive create he is let into what he made; NULL */
    bool prefault;
    char spec[PTQ_SPEC_TEXT_MAX + 1]; /* as ptq_spec_text spells it; "": none, or whatever it has */
    uint32_t spec_size;               /* of its messages: at least so large must item_size be */
};

/* Opens or creates the queue's segment and registers a first lane: from then on nobody removes it as unused.
 * PTQ_ENOENT, PTQ_EEXIST, PTQ_EMISMATCH, PTQ_EAGAIN, PTQ_EBUSY, PTQ_ENOSPC, PTQ_EPERM, PTQ_EVERSION, PTQ_ECORRUPT. */
enum ptq_err pti_attach(ptq_bus *bus, const char *name, const struct pti_attach *ask, struct ptq_error *error,
                        struct pti_ring *ring, struct pti_lane *lane);

/* Maps it without entering: read-only for watchers, or writable for the reaper.  PTQ_ENOENT, ... */
enum ptq_err pti_attach_view(ptq_bus *bus, const char *name, bool writable, struct ptq_error *error,
                             struct pti_header *ret_header, struct pti_ring *ring);

/* Takes the name away from this segment, which bears REMOVED (bus/reap.c): its remover may have been killed before it came to
 * that.  True: the name does not lead here any more.  False: somebody else has it in hand.  Close the segment soon. */
bool pti_reap_finish(ptq_bus *bus, const char *name, const struct pti_segment *segment);

/* Removes a queue (bus/reap.c): PTQ_EBUSY with living users, unless force.  PTQ_OK when there is none. */
enum ptq_err pti_reap_unlink(ptq_bus *bus, const char *name, bool force);

/* Removes a queue that nobody has open and that holds nothing, both looked at as one: PTQ_EBUSY, PTQ_EEXIST. */
enum ptq_err pti_reap_empty(ptq_bus *bus, const char *name);

#endif
