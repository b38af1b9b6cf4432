/* note.c -- reads what a dead bridge noted in a queue, once recovery has given its verdict. */
#include "bus/note.h"

#include <string.h>
#include <time.h>

#include "bus/attach.h"
#include "ring/note.h"

#define LOOKS 200 /* while gc holds every lock, or somebody who is slow recovers */

static const struct pti_entry *find_note(struct pti_ring *ring, uint32_t stream, uint64_t serial)
{
    for (uint32_t x = 0; x < ring->geometry.endpoints; x++) {
        const struct pti_entry *entry = &ring->entries[x];

        if (pti_load_acquire(&entry->number) == serial && (uint32_t)pti_load_acquire(&entry->stream) == stream) /* [J] */
            return entry;
    }
    return NULL;
}

static enum pti_fate judge(struct pti_ring *ring, uint32_t stream, uint64_t serial, uint64_t *ret_position)
{
    const struct timespec a_little = {0, 5000000};

    for (unsigned look = 0; look < LOOKS; look++) {
        pti_ring_sweep(ring, false);
        const struct pti_entry *entry = find_note(ring, stream, serial);
        uint64_t noted = entry != NULL ? pti_load_acquire(&entry->noted) : PTI_NOTE_NONE; /* [J] */

        if (pti_note_status(noted) == PTI_NOTE_DONE)
            *ret_position = pti_note_position(noted);
        if (pti_note_status(noted) != PTI_NOTE_OPEN)
            return pti_note_status(noted) == PTI_NOTE_DONE ? PTI_FATE_DONE : PTI_FATE_UNDONE;
        nanosleep(&a_little, NULL);
    }
    return PTI_FATE_UNKNOWN;
}

enum pti_fate pti_bus_fate(ptq_bus *bus, const char *queue, const uint8_t id[16], uint32_t stream, uint64_t serial,
                           uint64_t *ret_position)
{
    enum pti_fate fate = PTI_FATE_UNKNOWN;
    struct pti_header header;
    struct pti_ring ring;

    if (!pti_name_is_valid(queue) || pti_attach_view(bus, queue, true, NULL, &header, &ring) != PTQ_OK)
        return PTI_FATE_UNKNOWN;
    if (memcmp(header.id, id, sizeof header.id) == 0 &&
        !(pti_load_relaxed(&ring.hints->flags) & PTI_FLAG_REMOVED))
        fate = judge(&ring, stream, serial, ret_position);
    pti_ring_fini(&ring);
    return fate;
}
