/* attack.h -- a bridge that tells what it costs, and frames that no correct peer sends. */
#ifndef PTQ_TESTS_NET_ATTACK_H
#define PTQ_TESTS_NET_ATTACK_H

#include <ptq/bridge.h>

#include "net/kit.h"
#include "net/raw.h"

/* In a child of its own, on tcp and on ipc. */
struct attacked {
    struct ptt_scratch home, far;
    struct ptq_bridge_limits limits;
    int grace_ms;
    pid_t bridge;
    int ask;           /* costs are asked here */
    char tcp[128], ipc[128];
    ptq_bus *there;    /* a far host's, whose peer "home" is the bridge */
};

struct costs {
    uint64_t heap;     /* bytes that it has allocated; 0 where that is not told */
    uint64_t resident; /* bytes that are its own */
    double cpu_s;      /* user and system */
    uint64_t frames;   /* that it has read, of links that have ended */
};

void attacked_init(struct attacked *attacked);
void attacked_fini(struct attacked *attacked); /* fails the test if the bridge had ended, or does not end well */
struct costs attacked_costs(const struct attacked *attacked);

/* ---- fuzzed frames */

struct fuzz {
    uint64_t seed;
    uint64_t numbers[4]; /* of the next request, by channel */
    unsigned spoil;      /* one frame of so many is damaged */
    uint32_t channels;   /* that are opened first, 1 to 3: opening is what takes the most time */
    bool shares; /* this link has shares and logs open, not queues */
};
enum { FUZZ_FRAME = PTI_FRAME_HEADER + 6000 };

/* The next frame of a link that has said HELLO; how long it is. */
size_t fuzz_frame(struct fuzz *fuzz, uint8_t *at);
/* What comes first: HELLO, now and then a damaged one, and OPENs. */
size_t fuzz_begin(struct fuzz *fuzz, uint8_t *at);
size_t fuzz_ping(uint8_t *at, uint64_t stamp);

#endif
