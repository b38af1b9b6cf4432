/* assembly.h -- puts the pieces of one channel together. */
#ifndef PTQ_WIRE_ASSEMBLY_H
#define PTQ_WIRE_ASSEMBLY_H

#include <stddef.h>
#include <stdint.h>

#include "wire/frame.h"

struct pti_assembly {
    uint8_t *bytes;
    size_t size, room;
    uint64_t number;
    uint8_t type;
};

/* Takes a frame.  PTQ_OK: *ret_payload is the whole payload, borrowed until the next call: the frame's own where it
 * came in one piece.  PTQ_EMPTY: more pieces are to come.  PTQ_EPROTO: another frame between the pieces, or more than
 * `cap` bytes. PTQ_ENOMEM. */
enum ptq_err pti_assembly_add(struct pti_assembly *assembly, const struct pti_frame *frame, uint64_t cap,
                              const uint8_t **ret_payload, size_t *ret_size);

/* Forgets what is there. */
void pti_assembly_clear(struct pti_assembly *assembly);

#endif
