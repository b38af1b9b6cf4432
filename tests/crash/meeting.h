/* meeting.h -- a peer that works beside one that stands still, and judges each answer that it gets. */
#ifndef PTQ_TESTS_CRASH_MEETING_H
#define PTQ_TESTS_CRASH_MEETING_H

#include "crash/scene.h"

struct meeting {
    const struct script *script;
    struct ledger *ledger;
    struct ledger_actor peer; /* its queue is opened, and closed, by the caller */
    struct audit_seen seen;
    struct audit audit; /* text: what is wrong */
};

#define MEETING_PEERS 4u
extern const char *const meeting_peers[MEETING_PEERS];

/* What a peer can say something about. */
bool meeting_is_for(const struct script *script);

void meeting_begin(struct meeting *meeting, const struct script *script, struct ledger *ledger, uint64_t blocks);

/* The peer does its work.  False: an answer that cannot be. */
bool meeting_go(struct meeting *meeting, size_t peer);

#endif
