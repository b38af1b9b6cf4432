/* words.h -- what scripts say often. */
#ifndef PTQ_TESTS_CRASH_WORDS_H
#define PTQ_TESTS_CRASH_WORDS_H

#include "crash/scene.h"

static inline void expect_ok(struct ledger_actor *actor, enum ptq_err err) { ledger_expect(actor, PTQ_OK, err); }

static inline void put_some(struct ledger_actor *actor, unsigned count)
{
    while (count-- > 0)
        expect_ok(actor, ledger_put(actor));
}

static inline void get_some(struct ledger_actor *actor, unsigned count)
{
    while (count-- > 0)
        expect_ok(actor, ledger_get(actor));
}

/* Another handle of the victim's, with flags. */
static inline void open_with(struct ledger_actor *actor, unsigned flags)
{
    struct ptq_queue_options options = {.flags = flags};

    ptq_queue_close(actor->queue);
    expect_ok(actor, ptq_queue_open(script_bus, SCENE_QUEUE, &options, &actor->queue));
}

#endif
