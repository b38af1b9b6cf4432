/* side.h -- where the bytes of a message are: in its block, or, large ones, in the block's side file.
 *
 *   <queue>~L<layout>.<id>.<block>    beside the segment; id: the first half of the queue's, in hexadecimal
 *
 * A message of a large queue that is longer than `inline_room`, headers included, stands wholly in the side file of its block;
 * a shorter one in the block.  The file is made by whoever first owns the block for such a message, used again ever
 * after, never shortened while the queue lives, and unlinked with it.  Laws:
 *   1. Only the owner of a block makes or grows its file, and writes the note of it, before the block is published.
 *   2. A file that is not what the note says (another inode, shorter than the message, a link, somebody else's) is not read.
 *   3. What was mapped stays mapped until the ring is closed: a pointer into a message outlives whatever others do.
 */
#ifndef PTQ_RING_SIDE_H
#define PTQ_RING_SIDE_H

#include "ring/ring.h"

/* `dirfd` and `path` of the bus, the queue's bare name.  For large queues; others have none.  PTQ_ENOMEM. */
enum ptq_err pti_sides_init(struct pti_ring *ring, int dirfd, const char *path, const char *queue);
void pti_sides_fini(struct pti_ring *ring);

/* From now on what is mapped is guarded against truncation, as os/guard.h says.  PTQ_ENOMEM comes from whoever maps. */
void pti_sides_guard(struct pti_ring *ring, _Atomic uint32_t *state, uint32_t mark);

/* Unlinks every side file of this queue: it is being removed.  `id` NULL: of every queue that had this name. */
void pti_sides_unlink(int dirfd, const char *path, const char *queue, const uint8_t *id);

#define PTI_SIDE_UNIT (UINT64_C(64) << 10) /* the least step in which files grow */
#define PTI_SIDE_NAME_MAX (PTQ_NAME_MAX + 40)
#define PTI_SIDE_MARK "~L2." /* of this layout; no name of a queue has a tilde */
#define PTI_SIDE_ROSTER "staff" /* in place of a block's number: who works for a pool (pool/roster.h), beside its jobs */
#define PTI_SIDE_TRAIL "trail"  /* what they did (pool/trail.h) */

/* "<queue>~L2.<id>."; `id` NULL: "<queue>~L2." */
void pti_side_prefix(const char *queue, const uint8_t *id, char prefix[PTI_SIDE_NAME_MAX]);

static inline struct pti_side_note *pti_side_note(const struct pti_ring *ring, uint32_t block)
{
    char *end = (char *)pti_block_at(ring, block) + ring->stride;

    return (struct pti_side_note *)(void *)(end - sizeof(struct pti_side_note));
}

/* Bytes of a message and its headers, which begin at the next multiple of 4. */
static inline uint64_t pti_message_bytes(uint32_t size, uint8_t headers)
{
    return headers == 0 ? size : (((uint64_t)size + 3) & ~UINT64_C(3)) + 4u * headers;
}

/* Room for `bytes` in an owned block.  PTQ_ENOSPC, PTQ_ENOMEM, PTQ_EPERM, PTQ_EGONE, PTQ_ESYS. */
enum ptq_err pti_side_room(struct pti_lane *lane, uint32_t block, uint64_t bytes, void **ret_room);
static inline enum ptq_err pti_block_room(struct pti_lane *lane, uint32_t block, uint64_t bytes, void **ret_room)
{
    if (__builtin_expect(bytes > lane->ring->inline_room, 0))
        return pti_side_room(lane, block, bytes, ret_room);
    *ret_room = pti_block_at(lane->ring, block)->payload;
    return PTQ_OK;
}

/* The `bytes` of a block that holds a message.  PTQ_ECORRUPT: they are not there; PTQ_ENOMEM, PTQ_EPERM. */
enum ptq_err pti_side_payload(struct pti_ring *ring, uint32_t block, uint64_t bytes, void **ret_payload);
static inline enum ptq_err pti_block_payload(struct pti_ring *ring, uint32_t block, uint64_t bytes, void **ret_payload)
{
    if (__builtin_expect(bytes > ring->inline_room, 0))
        return pti_side_payload(ring, block, bytes, ret_payload);
    *ret_payload = pti_block_at(ring, block)->payload;
    return PTQ_OK;
}

/* Memory of the block's side file, for those who count: no more than it can be. */
uint64_t pti_side_memory(const struct pti_ring *ring, uint32_t block);

/* Takes the memory from the side files of free blocks, about as much as is asked for.  Returns how much. */
uint64_t pti_sides_reclaim(struct pti_lane *lane, uint64_t bytes);

/* For people: what the last refusal was about.  False, and `buffer` is left alone, where there is nothing to say. */
bool pti_side_explain(const struct pti_ring *ring, enum ptq_err err, char *buffer, size_t size);

#endif
