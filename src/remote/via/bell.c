/* bell.c -- descriptors and waiting for many: a bell beside the handle, which the bridge rings. */
#include "base/time.h"
#include "remote/via/verbs.h"

#define OUTBOX 2 /* watcher->bell: no bell, but the outbox itself */

/* Before it is asked: what is rung from now on is heard after the answer. */
void pti_via_hush(struct pti_via *via, enum ptq_side side)
{
    struct pti_port *bell = pti_load_acquire(&via->bells[side]);
    struct ptq_msg *msg;
    size_t count;

    while (bell != NULL && bell->ops->take(bell, 1, PTI_DEADLINE_NOW, &msg, &count) == PTQ_OK)
        (void)!bell->ops->ack(bell, msg);
}

void pti_via_ring(struct pti_port *bell)
{
    struct pti_put put = {.data = "", .size = 0};
    uint64_t position;

    (void)!bell->ops->put(bell, &put, PTI_DEADLINE_NOW, &position); /* full: it is rung */
}

/* Only an answer that nothing is there leaves it silent. */
void pti_via_hear(struct pti_via *via, enum ptq_side side, enum ptq_err answer)
{
    struct pti_port *bell = pti_load_acquire(&via->bells[side]);

    if (bell != NULL && answer != PTQ_EMPTY && answer != PTQ_FULL && answer != PTQ_TIMEDOUT)
        pti_via_ring(bell);
}

static enum ptq_err open_bell(struct pti_via *via, enum ptq_side side, struct pti_port **ret_bell)
{
    struct pti_open open = pti_via_bell_open();
    char name[PTI_VIA_NAME];

    pti_via_name(name, PTI_BELL_PREFIX, via->client, side);
    enum ptq_err err = pti_carriers.open_local(via->bus, name, &open, NULL, ret_bell);
    if (err != PTQ_OK)
        return err == PTQ_ENOSPC ? PTQ_ENOSPC : PTQ_ENOMEM;
    pti_via_ring(*ret_bell); /* readable until a call has found nothing */
    return PTQ_OK;
}

static enum ptq_err find_bell(struct pti_via *via, enum ptq_side side, struct pti_port **ret_bell)
{
    enum ptq_err err = PTQ_OK;

    pthread_mutex_lock(&via->opening);
    struct pti_port *bell = pti_load_acquire(&via->bells[side]);
    if (bell == NULL && (err = open_bell(via, side, &bell)) == PTQ_OK)
        pti_store_release(&via->bells[side], bell);
    pthread_mutex_unlock(&via->opening);
    if (err == PTQ_OK)
        *ret_bell = bell;
    return err;
}

/* The bridge rings from now on; another bridge is told when it is asked anything. */
static enum ptq_err tell_of_bell(struct pti_via *via, enum ptq_side side)
{
    return pti_via_ask_value(via, (struct pti_ask){.verb = PTI_ASK_BELL, .side = (uint8_t)side}, PTI_DEADLINE_NOW, PTI_VIA_ASK_AGAIN, NULL);
}

enum ptq_err pti_via_fd(struct pti_port *port, enum ptq_side side, int *ret_fd)
{
    struct pti_via *via = pti_via_of(port);
    struct pti_port *bell;

    if (side == PTQ_SIDE_PUT && via->outbox != NULL)
        return via->outbox->ops->fd(via->outbox, side, ret_fd);
    enum ptq_err err = pti_via_enter(via) ? find_bell(via, side, &bell) : PTQ_EINTR;
    if (err == PTQ_OK) {
        err = tell_of_bell(via, side);
        if (err == PTQ_OK || err == PTQ_EUNREACHABLE)
            err = bell->ops->fd(bell, PTQ_SIDE_GET, ret_fd);
    }
    pti_via_leave(via);
    return err;
}

static struct pti_port *bell_of(struct pti_port *port, const struct pti_watcher *watcher)
{
    struct pti_via *via = pti_via_of(port);

    return watcher->bell == OUTBOX ? via->outbox : pti_load_acquire(&via->bells[watcher->bell]);
}

static enum ptq_err watch_bell(struct pti_via *via, struct pti_watcher *watcher)
{
    enum ptq_side side = watcher->side;
    bool is_new = pti_load_acquire(&via->bells[side]) == NULL;
    struct pti_port *bell;
    enum ptq_err err = find_bell(via, side, &bell);

    if (err == PTQ_OK && is_new)
        err = tell_of_bell(via, side);
    if (err != PTQ_OK)
        return err;
    watcher->bell = (uint8_t)side;
    watcher->side = PTQ_SIDE_GET; /* of the bell */
    watcher->interrupts_seen = pti_load_seq(&via->interrupts_seen);
    return bell->ops->watch_begin(bell, watcher);
}

static enum ptq_err watch_outbox(struct pti_via *via, struct pti_watcher *watcher)
{
    watcher->bell = OUTBOX;
    watcher->interrupts_seen = pti_load_seq(&via->interrupts_seen);
    return via->outbox->ops->watch_begin(via->outbox, watcher);
}

enum ptq_err pti_via_watch_begin(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_via *via = pti_via_of(port);

    if (!pti_via_enter(via)) {
        pti_via_leave(via);
        return PTQ_EINTR;
    }
    bool is_put = watcher->side == PTQ_SIDE_PUT && via->outbox != NULL;
    enum ptq_err err = is_put ? watch_outbox(via, watcher) : watch_bell(via, watcher);
    if (err != PTQ_OK)
        pti_via_leave(via);
    return err;
}

void pti_via_watch_arm_word(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_port *bell = bell_of(port, watcher);

    bell->ops->watch_arm_word(bell, watcher);
}

void pti_via_watch_arm_fd(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_port *bell = bell_of(port, watcher);

    bell->ops->watch_arm_fd(bell, watcher);
}

enum ptq_err pti_via_watch_look(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_port *bell = bell_of(port, watcher);

    return bell->ops->watch_look(bell, watcher);
}

/* The bell's own memory of interrupts is each thread's; the handle's is one. */
enum ptq_err pti_via_watch_interrupted(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_via *via = pti_via_of(port);
    struct pti_port *bell = bell_of(port, watcher);
    enum ptq_err err = bell->ops->watch_interrupted(bell, watcher);
    uint32_t interrupts = pti_load_seq(&via->interrupts);

    if (err != PTQ_OK && err != PTQ_EINTR)
        return err;
    if (interrupts == watcher->interrupts_seen && !pti_load_seq(&via->closing))
        return PTQ_OK;
    pti_store_seq(&via->interrupts_seen, interrupts);
    return PTQ_EINTR;
}

void pti_via_watch_pass(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_port *bell = bell_of(port, watcher);

    bell->ops->watch_pass(bell, watcher);
}

void pti_via_watch_end(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_port *bell = bell_of(port, watcher);

    bell->ops->watch_end(bell, watcher);
    pti_via_leave(pti_via_of(port));
}
