/* meeting.c -- a peer beside one that stands still: what it may be answered, by the ledger. */
#include "crash/meeting.h"

#include <stdio.h>
#include <string.h>

/* ---- what is surely there, what may be */

struct count {
    uint32_t surely, perhaps; /* ready for the peer */
    uint32_t most;            /* how many may stand in the ring */
    uint64_t bytes;           /* and of how many bytes */
};

/* What the queue itself says that it dropped is neither ready nor in the ring, whichever it was. */
static uint32_t count_dropped(const struct meeting *m)
{
    struct ptq_queue_stats stats = {0};

    return ptq_queue_stats(m->peer.queue, &stats) == PTQ_OK ? (uint32_t)stats.dropped : 0;
}

/* Who has, or had, one message of a pack holds all that are in it. */
static bool holds_packs(const struct meeting *m)
{
    if (!script_has_packs(m->script))
        return false;
    for (uint32_t id = 0; id < LEDGER_PEER; id++)
        if (m->ledger->msgs[id].out != IS_IN)
            return true;
    return ledger_taking(m->ledger) > 0;
}

static struct count count_ready(const struct meeting *m)
{
    struct count count = {0};
    bool taken[LEDGER_IDS] = {false};
    uint32_t taking = ledger_taking(m->ledger), dropped = count_dropped(m), leased = 0, less;
    bool holds_pack = holds_packs(m);

    for (size_t i = 0; i < m->seen.count; i++)
        taken[m->seen.msgs[i].id] = true;
    for (uint32_t id = 0; id < LEDGER_IDS; id++) {
        const struct ledger_msg *msg = &m->ledger->msgs[id];
        if (taken[id] || msg->put == NOT_PUT || msg->put == PUT_REFUSED)
            continue;
        bool packed = holds_pack && id < LEDGER_PEER;
        bool nacked = msg->out == IS_NACKED && m->ledger->delays == 0;
        bool is_there = msg->put == IS_PUT && (msg->out == IS_IN || nacked);
        bool surely = is_there && !packed;
        bool perhaps =
            (is_there && packed) || msg->put == PUTTING || msg->out == NACKING || (msg->out == IS_NACKED && !nacked);
        count.surely += surely;
        count.perhaps += perhaps;
        bool stands = surely || perhaps || msg->out == IS_PARKED || msg->out == IS_BURIED; /* until somebody meets it */
        count.most += stands;
        count.bytes += stands ? ledger_size(id, m->audit.item_size) : 0;
        leased += msg->out == IS_LEASED || msg->out == ACKING;
    }
    if (dropped > 0)
        count.most = count.most + leased > dropped ? count.most + leased - dropped : 0;
    less = taking + dropped < count.surely ? taking + dropped : count.surely;
    count.surely -= less;
    count.perhaps += taking;
    return count;
}

static bool say(struct meeting *m, const char *what, enum ptq_err err)
{
    struct count count = count_ready(m);

    snprintf(m->audit.text, sizeof m->audit.text,
             "beside the stopped one %s answered %s: %u surely ready, %u perhaps, %u in the ring", what, ptq_err_name(err),
             count.surely, count.perhaps, count.most);
    return false;
}

/* ---- the peer's calls: none may wait, none may be refused without reason */

/* No place for so many, or no room for their bytes? */
static bool may_be_full(const struct meeting *m, const struct count *before, uint32_t first, uint32_t many)
{
    uint64_t budget = m->script->options.bytes, bytes = before->bytes;

    for (uint32_t i = 0; i < many; i++)
        bytes += ledger_size(first + i, m->audit.item_size);
    return before->most + many > m->audit.capacity || (budget != 0 && bytes > budget);
}

static bool peer_put_some(struct meeting *m, uint32_t many, const char *what)
{
    struct count before = count_ready(m);
    uint32_t first = m->peer.next;
    enum ptq_err err = many == 1 ? ledger_put(&m->peer) : ledger_put_many(&m->peer, many);

    if (err == PTQ_OK || (err == PTQ_EENDED && m->ledger->ending > 0))
        return true;
    return (err == PTQ_FULL && may_be_full(m, &before, first, many)) || say(m, what, err);
}

static bool peer_put(struct meeting *m) { return peer_put_some(m, 1, "a put"); }
static bool peer_put_many(struct meeting *m) { return peer_put_some(m, 2, "a put of two"); }

static bool peer_get(struct meeting *m)
{
    struct count count;
    enum ptq_err err;

    if (!audit_take(&m->audit, m->peer.queue, &m->seen, PTQ_NOWAIT, &err))
        return false;
    if (err == PTQ_OK)
        return true;
    count = count_ready(m); /* afterwards: what it met and dropped is counted by then */
    if (err == PTQ_END && m->ledger->ending > 0 && count.surely == 0)
        return true;
    return (err == PTQ_EMPTY && count.surely == 0) || say(m, "a get", err);
}

static bool once(struct meeting *m) { return peer_put(m) && peer_get(m) && peer_get(m); }

static bool drain_first(struct meeting *m)
{
    for (int i = 0; i < 8; i++)
        if (!peer_get(m))
            return false;
    return peer_put(m) && peer_put_many(m);
}

static bool fill_first(struct meeting *m)
{
    for (int i = 0; i < 8; i++)
        if (!peer_put(m))
            return false;
    for (int i = 0; i < 5; i++)
        if (!peer_get(m))
            return false;
    return peer_put_many(m) && peer_get(m);
}

/* More than once around the ring: every slot and block that the victim has looked at bears something else. */
static bool lap(struct meeting *m)
{
    for (int i = 0; i < 150; i++)
        if (!(i % 5 == 4 ? peer_put_many(m) && peer_get(m) : peer_put(m)) || !peer_get(m))
            return false;
    return true;
}

static bool (*const peers[MEETING_PEERS])(struct meeting *) = {once, drain_first, fill_first, lap};
const char *const meeting_peers[MEETING_PEERS] = {"put and get", "drain first", "fill first", "a lap"};

bool meeting_go(struct meeting *m, size_t peer) { return peers[peer](m); }

/* ---- before, and for whom */

void meeting_begin(struct meeting *m, const struct script *script, struct ledger *ledger, uint64_t blocks)
{
    m->script = script;
    m->ledger = ledger;
    m->seen.count = 0;
    m->audit = (struct audit){.ledger = ledger,
                              .capacity = script->options.capacity,
                              .item_size = script->options.item_size,
                              .lenient = true,
                              .packed = script_has_packs(script),
                              .seen = &m->seen,
                              .blocks = blocks};
    m->peer = (struct ledger_actor){
        .ledger = ledger, .item_size = script->options.item_size, .who = 2, .next = LEDGER_PEER};
}

bool meeting_is_for(const struct script *script)
{
    if (script->alone)
        return false;
    /* What sleeps, or waits for due messages, takes long and stops others nowhere else than the calls below. */
    return strncmp(script->name, "sleep", 5) != 0 && strcmp(script->name, "get of what is due") != 0 &&
           strcmp(script->name, "get that buries") != 0 && strcmp(script->name, "put_many of many runs") != 0;
}
