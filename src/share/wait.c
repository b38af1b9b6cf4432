/* wait.c -- sleeping until a cell changes, or a log grows: ring/wait.h's protocol, on the cell's own wait word.
 *
 * First one slice in the futex, then in a descriptor that the kernel wakes also when somebody who has the share open dies: whoever
 * was killed between his change and his wake is noticed by one or the other.  Idle, it never wakes.
 */
#include <errno.h>
#include <stdio.h>

#include "base/time.h"
#include "os/futex.h"
#include "os/watch.h"
#include "ring/wait.h"
#include "share/away.h"

#define SLICE_NS (250 * PTI_NS_PER_MS)

void pti_share_tell(ptq_share *share, struct pti_entry_of_share *entry)
{
    uint32_t seen = pti_load_seq(&entry->wait);

    if (__builtin_expect((seen & PTI_WAIT_BITS) != 0, 0))
        pti_wait_tell(share->segment.fd, &entry->wait, seen, true);
}

struct pti_waiter *pti_share_waiter(const ptq_share *share)
{
    struct pti_waiter *waiter;
    char path[64];

    if (pti_waiter_new(&waiter) != 0)
        return NULL;
    snprintf(path, sizeof path, "/proc/self/fd/%d", share->segment.fd);
    if (pti_waiter_watch(waiter, path, PTI_WATCH_MODIFY | PTI_WATCH_CLOSE_WRITE | PTI_WATCH_UNLINK) == 0)
        return waiter;
    pti_waiter_free(waiter);
    return NULL;
}

/* waiter NULL: a slice in the futex.  0, or EINTR. */
static int sleep_once(_Atomic uint32_t *word, uint32_t armed, struct pti_waiter *waiter, int64_t deadline)
{
    int64_t slice = pti_now_ns() + SLICE_NS;
    int error = waiter != NULL ? pti_waiter_sleep(waiter, deadline) : pti_futex_wait(word, armed, slice < deadline ? slice : deadline);

    if (waiter != NULL)
        (void)pti_waiter_drain(waiter);
    return error == EINTR ? EINTR : 0;
}

enum ptq_err pti_share_wait(ptq_share *share, _Atomic uint32_t *(*word)(void *context), enum ptq_err (*look)(void *context), void *context,
                            int timeout_ms)
{
    int64_t deadline = pti_deadline(timeout_ms), begin = pti_now_ns();
    struct pti_waiter *waiter = NULL;
    enum ptq_err err;

    while ((err = look(context)) == PTQ_EMPTY) {
        if (timeout_ms == 0 || pti_now_ns() >= deadline) {
            err = PTQ_TIMEDOUT;
            break;
        }
        if (waiter == NULL && pti_now_ns() - begin >= SLICE_NS)
            waiter = pti_share_waiter(share); /* none to be had: slices must do */
        _Atomic uint32_t *it = word(context);
        uint32_t armed = pti_wait_arm(it, waiter == NULL ? PTI_WAIT_SLEEPER : PTI_WAIT_DESCRIPTOR);
        err = look(context);
        if (err == PTQ_EMPTY && word(context) == it && sleep_once(it, armed, waiter, deadline) != 0)
            err = PTQ_EINTR;
        if (err != PTQ_EMPTY)
            break;
    }
    pti_waiter_free(waiter);
    return err;
}

/* ---- cells */

struct watched {
    ptq_cell *cell;
    uint64_t version, is_at;
    struct pti_entry_of_share *entry;
};

static _Atomic uint32_t *word_of_cell(void *context) { return &((struct watched *)context)->entry->wait; }

static enum ptq_err look_at_cell(void *context)
{
    struct watched *it = context;
    struct pti_pair_is is;
    enum ptq_err err = PTQ_EAGAIN;

    for (int tries = 0; err == PTQ_EAGAIN && tries < 1000; tries++)
        err = pti_cell_look(it->cell, &it->entry, &is);
    if (err != PTQ_OK)
        return err;
    it->is_at = pti_pair_version(is);
    return it->is_at == it->version ? PTQ_EMPTY : PTQ_OK;
}

enum ptq_err ptq_cell_wait(ptq_cell *cell, uint64_t version, int timeout_ms, uint64_t *ret_version)
{
    struct watched it = {.cell = cell, .version = version};

    if (pti_cell_is_far(cell))
        return pti_far_wait(cell, version, timeout_ms, ret_version);
    enum ptq_err err = cell == NULL ? PTQ_EINVAL : pti_share_wait(cell->share, word_of_cell, look_at_cell, &it, timeout_ms);

    if (err == PTQ_OK && ret_version != NULL)
        *ret_version = it.is_at;
    return err;
}

/* A cell that is deleted and made again has another word: the one that was armed is the one that was looked at. */
enum ptq_err pti_cell_look_for_change(ptq_cell *cell, uint64_t version, bool arm, uint64_t *ret_version)
{
    struct watched it = {.cell = cell, .version = version};
    struct pti_entry_of_share *armed = NULL;
    enum ptq_err err = look_at_cell(&it);

    while (arm && err == PTQ_EMPTY && it.entry != armed) {
        armed = it.entry;
        (void)pti_wait_arm(word_of_cell(&it), PTI_WAIT_DESCRIPTOR);
        err = look_at_cell(&it);
    }
    if (err == PTQ_OK)
        *ret_version = it.is_at;
    return err;
}

enum ptq_err ptq_cell_version(ptq_cell *cell, uint64_t *ret_version)
{
    struct watched it = {.cell = cell, .version = UINT64_MAX}; /* that none has */

    if (ret_version != NULL && pti_cell_is_far(cell))
        return pti_far_version(cell, ret_version);
    enum ptq_err err = cell == NULL || ret_version == NULL ? PTQ_EINVAL : look_at_cell(&it);
    if (err == PTQ_OK)
        *ret_version = it.is_at;
    return err;
}
