/* glance.c -- a look at a queue that costs some lines of memory: has it moved, and who waits?  For those who watch thousands. */
#include "local/view.h"

#include <string.h>

#include "ring/lease.h"

/* Order counts, so that what leaves one counter and enters another is seen. */
static uint64_t mix(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * UINT64_C(0x9e3779b97f4a7c15) + (sum >> 29);
}

/* As few lines of memory as tell it: each operation changes its journal line or a counter beside it, an append `appended`, and who comes or
 * leaves the line of identity.  Relaxed, as all here: a change that is not seen yet is seen the next time. */
static uint64_t mix_entry(uint64_t sum, const struct pti_entry *entry)
{
    const _Atomic uint64_t *const words[] = {&entry->journal, &entry->put,    &entry->taken,   &entry->acked,
                                             &entry->nacked,  &entry->appended, &entry->admitted};

    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        sum = mix(sum, pti_load_relaxed(words[i]));
    sum = mix(sum, (uint64_t)pti_load_relaxed(&entry->since_unix_ms));
    return mix(sum, (uint64_t)pti_load_relaxed(&entry->state) << 32 | pti_load_relaxed(&entry->roles));
}

enum ptq_err ptq_view_glance(ptq_view *view, struct ptq_view_glance *ret_glance)
{
    const struct pti_hints *hints;
    uint32_t used;
    uint64_t sum;

    if (!view || !ret_glance)
        return PTQ_EINVAL;
    if (pti_view_check(view) != PTQ_OK)
        return pti_view_check(view);
    hints = view->ring.hints;
    used = pti_load_acquire(&hints->entries_used); /* [S] */
    if (used > view->ring.geometry.endpoints)
        used = view->ring.geometry.endpoints;
    sum = mix(used, pti_load_relaxed(&hints->flags));
    for (uint32_t x = 0; x < used; x++)
        sum = mix_entry(sum, &view->ring.entries[x]);
    *ret_glance = (struct ptq_view_glance){
        .mark = sum,
        .get_waits = pti_load_relaxed(&hints->get_wait) & PTI_WAIT_BITS,
        .put_waits = pti_load_relaxed(&hints->put_wait) & PTI_WAIT_BITS,
    };
    return pti_view_check(view) == PTQ_ECORRUPT ? PTQ_ECORRUPT : PTQ_OK;
}

enum ptq_err ptq_view_overdue(ptq_view *view, uint64_t *ret_count)
{
    struct pti_ring *ring;
    uint64_t count = 0;

    if (!view || !ret_count)
        return PTQ_EINVAL;
    if (pti_view_check(view) != PTQ_OK)
        return pti_view_check(view);
    ring = &view->ring;
    for (uint32_t block = 0; pti_lease_is_limited(ring) && block < ring->geometry.blocks;) {
        if (!pti_block_is_backed(ring, block))
            block = pti_block_beyond(ring, block);
        else
            count += pti_lease_is_late(ring, block++);
    }
    if (pti_view_check(view) == PTQ_ECORRUPT)
        return PTQ_ECORRUPT;
    *ret_count = count;
    return PTQ_OK;
}
