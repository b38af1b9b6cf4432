/* byhand.h -- a home whose bridge kills itself at a step, and a far side by hand, which asks again of the next bridge.
 *
 * The bridge runs in a forked child.  What the far side asked and was not answered it asks of the next bridge, as a new session, under the
 * same numbers; flagged, where the home says that it does not know the stream.  It notes what came, how often, and how often unflagged.
 */
#ifndef PTQ_TESTS_NET_BYHAND_H
#define PTQ_TESTS_NET_BYHAND_H

#include <ptq/queue.h>

#include "net/raw.h"
#include "remote/step.h"
#include "support/ptt.h"
#include "wire/limits.h"
#include "wire/record.h"

#define HAND_PUTS 8u
#define HAND_MOST (3 * HAND_PUTS)
#define HAND_LARGE_BYTES (PTI_WIRE_LARGE_BYTES + PTI_WIRE_PIECE_BYTES)

/* What is asked: requests 1 to `puts`, then takes of one message, each settled. */
struct hand_kind {
    const char *name;
    bool placed;
    unsigned puts, takes, window; /* window: how many are asked before the first is answered */
    uint32_t third;               /* each third put is a batch of so many */
    uint32_t size;
    bool packs;                   /* puts are chained, as of PTQ_PIPELINE, and a pack holds two: a batch is a pack and one more */
};

struct hand_home {
    struct ptt_scratch scratch;
    pid_t bridge;
    char url[128];
    char listen[128];       /* "": wherever there is room */
    int out;
    int grace_ms;           /* 0: a minute */
    void (*prepare)(void);  /* in the bridge's process, before it opens; NULL: nothing */
    void (*starts)(struct hand_home *home, bool up); /* before, and when it is up; NULL: nothing */
    unsigned kills;
};

struct hand_far {
    struct hand_home *home;
    const struct hand_kind *kind;
    uint64_t head; /* where the first is placed */
    struct raw raw;
    bool up, lost;
    uint8_t stream[PTI_STREAM_BYTES];
    uint64_t ack;
    uint64_t resync_to; /* requests up to here are flagged: the home did not know what became of them */
    uint64_t sent;
    bool answered[HAND_PUTS + 1];
    unsigned unflagged[HAND_MOST + 1], came[HAND_MOST + 1];
    bool settled[HAND_MOST + 1], in_doubt[HAND_MOST + 1];
    unsigned resyncs;
};

/* The bridge: it dies when it comes by that step for the nth time; 0: never.  reap: it has died so. */
void hand_start_bridge(struct hand_home *home, enum pti_step step, unsigned nth);
void hand_reap_bridge(struct hand_home *home);

/* All of it with a queue of its own: fails the test if something was lost, doubled without a flag, or not settled.  The scratch of
 * `home` is the caller's.  How often a bridge did not know the stream. */
unsigned hand_run(struct hand_home *home, const struct hand_kind *kind, enum pti_step step, unsigned nth);

/* Its parts.  Those that answer false found the link gone; try_open: it was refused. */
ptq_queue *hand_open_queue(ptq_bus *bus, const struct hand_kind *kind);
void hand_begin(struct hand_far *far, struct hand_home *home, const struct hand_kind *kind, ptq_queue *queue);
bool hand_say_hello(struct hand_far *far);
bool hand_open(struct hand_far *far);
bool hand_try_open(struct hand_far *far, struct pti_opened *ret_opened, struct pti_error_message *ret_error);
void hand_connect(struct hand_far *far); /* until it is open; starts the next bridge where the last is gone */
bool hand_await(struct hand_far *far, enum pti_frame_type type, struct pti_frame *ret_frame);
bool hand_await_result(struct hand_far *far, uint64_t number, struct pti_result *ret_result);
void hand_say(struct hand_far *far, uint8_t type, uint64_t number, const void *payload, size_t size);
void hand_put_all(struct hand_far *far);
void hand_take_some(struct hand_far *far);
void hand_close(struct hand_far *far);
void hand_hang_up(struct hand_far *far); /* without a word */
void hand_drain(struct hand_far *far, ptq_queue *queue); /* on the home's own host */
void hand_assert_all_there(const struct hand_far *far);

#endif
