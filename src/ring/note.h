/* note.h -- a put that somebody else will ask about: did it take effect?
 *
 * A bridge that is killed cannot say whether the put that it was at is in the queue.  So it notes in its entry, before the
 * put, whose it is (the streams' segment and a serial that never comes again: remote/streams.h), and where its counter
 * stood.  After the put it says DONE itself.  Else recovery does, once the journal line is decided and before the entry is
 * anybody's again: DONE iff the counter has moved, else UNDONE.  Laws: OPEN is the last word of a note to be written, NONE the
 * first; a verdict is absolute, and may be given twice; nobody but a bridge ever writes a note, and who takes over an entry
 * leaves it as it is.  tests/model/stream.pml.
 */
#ifndef PTQ_RING_NOTE_H
#define PTQ_RING_NOTE_H

#include "ring/layout.h"

enum pti_note { PTI_NOTE_NONE = 0, PTI_NOTE_OPEN = 1, PTI_NOTE_DONE = 2, PTI_NOTE_UNDONE = 3 };

static inline enum pti_note pti_note_status(uint64_t noted) { return (enum pti_note)(noted & 15); }
static inline uint64_t pti_note_position(uint64_t noted) { return noted >> 16; }

/* Where it is about to be tried: of the last of these, if it is done. */
static inline void pti_note_at(struct pti_entry *entry, uint64_t position)
{
    pti_store_release(&entry->noted, position << 16 | PTI_NOTE_OPEN); /* [J] */
}

static inline void pti_note_begin(struct pti_entry *entry, uint32_t stream, uint64_t serial)
{
    pti_store_release(&entry->noted, PTI_NOTE_NONE); /* [J] */
    pti_store_release(&entry->number, serial); /* [J] */
    pti_store_release(&entry->stream, pti_load_relaxed(&entry->put) << 32 | stream); /* [J] */
    pti_note_at(entry, 0);
}

static inline void pti_note_done(struct pti_entry *entry, uint64_t position)
{
    pti_store_release(&entry->noted, position << 16 | PTI_NOTE_DONE); /* [J] */
}

#endif
