/* far.h -- the joint to other hosts: what a carrier does for a share that is there, and what a home does for those who are far.
 *
 * A handle of a share of another host has `far`; the public calls turn off to far.c there, which asks the carrier.  At the home the
 * carrier hands what was asked to do.c, which does it on an ordinary handle.  wire/share.h has what is asked.
 */
#ifndef PTQ_SHARE_FAR_H
#define PTQ_SHARE_FAR_H

#include <ptq/log.h>
#include <ptq/share.h>

#include "bus/bus.h"
#include "wire/share.h"

enum pti_share_kind { PTI_SHARE_CELLS = 1, PTI_SHARE_LOG = 2 };

struct pti_waiter;

/* -- a carrier's handle -- */

struct pti_far;
struct pti_far_ops {
    /* Changes nothing, and may be asked twice.  What was said, and the bytes that it borrows from: free().  What the home answered is in
     * said->code; else why it was not asked: PTQ_EUNREACHABLE, PTQ_EPERM, PTQ_EGONE ... */
    enum ptq_err (*look)(struct pti_far *far, const struct pti_share_ask *ask, struct pti_share_said *ret_said, uint8_t **ret_bytes);
    /* Once: PTQ_EINDOUBT where nobody knows; then `retry` asks for the same again. */
    enum ptq_err (*change)(struct pti_far *far, const struct pti_share_ask *ask, bool retry, uint64_t *ret_value);
    enum ptq_err (*await)(struct pti_far *far, const struct pti_share_ask *ask, int timeout_ms, uint64_t *ret_value);
    void (*close)(struct pti_far *far);
};
struct pti_far {
    const struct pti_far_ops *ops;
    uint32_t value_size;
};

/* Plugged in by src/ptq.c. */
struct pti_far_carrier {
    /* By a full name, name@node or an address.  *ret_far NULL: it is on this host, by the name in `here`.  NULL: there is none. */
    enum ptq_err (*open)(ptq_bus *bus, enum pti_share_kind kind, const char *name, const struct ptq_share_options *options,
                         char here[PTQ_NAME_MAX + 1], struct pti_far **ret_far);
};
extern const struct pti_far_carrier pti_far_carrier;

/* -- do.c: at the home, on a handle of its own.  None of them waits. -- */

enum ptq_err pti_share_open(ptq_bus *bus, enum pti_share_kind kind, const char *name, const struct ptq_share_options *options,
                            ptq_share **ret_share);
uint32_t pti_share_value_size(const ptq_share *share);
uint32_t pti_share_cells(const ptq_share *share); /* of a log, records */

/* ret_said->data may be in `room`, of at least pti_share_room bytes. */
void pti_share_do_look(ptq_share *share, const struct pti_share_ask *ask, uint8_t *room, struct pti_share_said *ret_said);
size_t pti_share_room(const ptq_share *share, const struct pti_share_ask *ask);
enum ptq_err pti_share_do_change(ptq_share *share, const struct pti_share_ask *ask, uint64_t *ret_value);
/* PTQ_EMPTY: not yet.  arm: whoever changes it makes the waiter of the share readable. */
enum ptq_err pti_share_do_wait(ptq_share *share, const struct pti_share_ask *ask, bool arm, uint64_t *ret_value);

/* This share, not another of its name. */
void pti_share_id(const ptq_share *share, uint8_t id[16]);

/* Readable when something that is armed may have changed; NULL: no descriptors are left. */
struct pti_waiter *pti_share_waiter(const ptq_share *share);

#endif
