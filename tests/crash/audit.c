/* audit.c -- draining and comparing: nothing lost, nothing doubled in silence, nothing in parts, nothing leaked, counts exact. */
#include "crash/audit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool wrong(struct audit *audit, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(struct audit *audit, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(audit->text, sizeof audit->text, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- draining */

static bool take_down(struct audit *audit, struct audit_seen *seen, ptq_msg *msg)
{
    int id = ledger_id_of(ptq_msg_data(msg), ptq_msg_size(msg));
    const void *header;
    size_t size = 0;

    if (id < 0)
        return wrong(audit, "a message of %zu bytes at %llu is none that was put", ptq_msg_size(msg),
                     (unsigned long long)ptq_msg_position(msg));
    if ((header = ptq_msg_header(msg, "id", &size)) != NULL && (size != 4 || memcmp(header, &id, 4) != 0))
        return wrong(audit, "message %d bears another's header", id);
    if (seen->count == LEDGER_IDS)
        return wrong(audit, "there is no end of messages");
    if (ptq_msg_deliveries(msg) < 1)
        return wrong(audit, "message %d was delivered %u times", id, ptq_msg_deliveries(msg));
    seen->msgs[seen->count++] = (struct audit_msg){.id = (uint32_t)id,
                                                   .sub = ptq_msg_sub(msg),
                                                   .position = ptq_msg_position(msg),
                                                   .redelivered = ptq_msg_redelivered(msg)};
    return true;
}

bool audit_take(struct audit *audit, ptq_queue *queue, struct audit_seen *seen, int timeout_ms, enum ptq_err *ret_last)
{
    ptq_msg *msg = NULL;
    enum ptq_err err;

    *ret_last = ptq_get(queue, timeout_ms, &msg);
    if (*ret_last != PTQ_OK)
        return true;
    if (!take_down(audit, seen, msg))
        return false;
    err = ptq_ack(msg);
    return err == PTQ_OK || wrong(audit, "an ack answered %s", ptq_err_name(err));
}

struct parked {
    uint64_t surely, perhaps;
};

static struct parked count_parked(const struct audit *audit)
{
    struct parked parked = {0};

    for (uint32_t id = 0; id < LEDGER_IDS; id++) {
        parked.surely += audit->ledger->msgs[id].out == IS_PARKED && audit->ledger->msgs[id].put == IS_PUT;
        parked.perhaps += audit->ledger->msgs[id].out == IS_PARKED && audit->ledger->msgs[id].put == PUTTING;
    }
    return parked;
}

#define DUE_SOON_MS 300 /* longer than any nack's delay */

/* Are those that are left none but the parked ones?  0: yes.  Else how long to wait for what was nacked. */
static int wait_for_delayed(const struct audit *audit, const struct ptq_queue_stats *stats)
{
    struct parked parked = count_parked(audit);

    if (stats->delayed > parked.surely + parked.perhaps)
        return 5000;
    if (stats->delayed == 0 || audit->ledger->delays == 0 || (parked.perhaps == 0 && stats->dropped == 0))
        return 0;
    return DUE_SOON_MS;
}

static bool drain_all(struct audit *audit, ptq_queue *queue, struct audit_seen *drain, bool *ret_ended)
{
    struct ptq_queue_stats stats;
    int timeout_ms = PTQ_NOWAIT;
    int wait_ms;
    enum ptq_err err = PTQ_OK;

    for (;;) {
        if (!audit_take(audit, queue, drain, timeout_ms, &err))
            return false;
        if (err == PTQ_OK) {
            timeout_ms = PTQ_NOWAIT;
            continue;
        }
        *ret_ended = err == PTQ_END;
        if (err == PTQ_END)
            return true;
        if (err != PTQ_EMPTY && err != PTQ_TIMEDOUT)
            return wrong(audit, "a get answered %s", ptq_err_name(err));
        if (ptq_queue_stats(queue, &stats) != PTQ_OK)
            return wrong(audit, "stats failed");
        if (stats.ready > 0)
            return wrong(audit, "a get answered %s beside %llu ready", ptq_err_name(err), (unsigned long long)stats.ready);
        wait_ms = wait_for_delayed(audit, &stats);
        if (wait_ms == 0 || (wait_ms == timeout_ms && wait_ms == DUE_SOON_MS))
            return true;
        if (timeout_ms == wait_ms)
            return wrong(audit, "%llu delayed messages do not come", (unsigned long long)stats.delayed);
        timeout_ms = wait_ms;
    }
}

/* ---- comparing */

static bool is_given_back(const struct audit *audit, uint32_t id)
{
    return audit->ledger->msgs[id].out == NACKING || audit->ledger->msgs[id].out == IS_NACKED;
}

/* What has been handed out before comes first, flagged or, where a recv had too little room for it, as if it never had been. */
static bool check_order(struct audit *audit, const struct audit_seen *drain, bool at_once)
{
    uint32_t untaken = audit->ledger->untaken;

    for (size_t i = 1; i < drain->count; i++) {
        const struct audit_msg *a = &drain->msgs[i - 1], *b = &drain->msgs[i];
        if (audit->packed && a->position != b->position) {
            /* Whatever their flags say: what was leased once stands before what never was. */
            if (at_once && a->position > b->position && audit->ledger->delays == 0 && untaken == 0)
                return wrong(audit, "a pack at %llu came before that at %llu", (unsigned long long)a->position,
                             (unsigned long long)b->position);
            continue;
        }
        /* Packs of one batch share a position: one that a dead holder had comes when that is noticed. */
        if (audit->packed && !at_once)
            continue;
        bool delayed = is_given_back(audit, b->id);
        bool sorted = a->position < b->position || (a->position == b->position && a->sub < b->sub);
        /* The peer finds what the dead had leased once it has noticed that death, and what was given back before at once; each
         * lease that runs out ends by itself, when it is noticed and there is room for its copy. */
        bool apart = !at_once && a->redelivered && b->redelivered &&
                     (audit->ledger->limited || (audit->dead_before && (audit->two_deaths || is_given_back(audit, a->id))));
        /* What went back untaken was away while others took what is behind it. */
        if (!at_once && !sorted && !b->redelivered && !delayed && untaken > 0) {
            untaken--;
            continue;
        }
        if (a->redelivered == b->redelivered && !sorted && !delayed && !apart)
            return wrong(audit, "message %u (%llu.%u) came before %u (%llu.%u)", a->id, (unsigned long long)a->position,
                         a->sub, b->id, (unsigned long long)b->position, b->sub);
        if (at_once && b->redelivered && !a->redelivered && !delayed && !(sorted && untaken-- > 0))
            return wrong(audit, "redelivered message %u came after %u", b->id, a->id);
        if (!a->redelivered && !b->redelivered && a->id / 64 == b->id / 64 && a->id > b->id && a->id < LEDGER_PEER)
            return wrong(audit, "message %u of a producer came before its %u", a->id, b->id);
    }
    return true;
}

struct tally {
    uint32_t times, flagged, alive; /* alive: while the victim lived */
};

static void tally_all(const struct audit *audit, const struct audit_seen *drain, struct tally tallies[LEDGER_IDS])
{
    for (size_t i = 0; audit->seen != NULL && i < audit->seen->count; i++) {
        struct tally *tally = &tallies[audit->seen->msgs[i].id];
        tally->times++;
        tally->alive += !audit->dead_before && !audit->ledger->limited;
        tally->flagged += audit->seen->msgs[i].redelivered;
    }
    for (size_t i = 0; i < drain->count; i++) {
        tallies[drain->msgs[i].id].times++;
        tallies[drain->msgs[i].id].flagged += drain->msgs[i].redelivered;
    }
}

/* What the call under way may have taken: as many as it asked for, flagged; or, receiving, gone. */
struct doubt {
    uint32_t flagged, gone;
    uint64_t dropped, parked; /* so many are missing, so many never come */
    uint64_t acking;          /* so many were being acked and did not come: acked, or, of the dead and the late, dropped */
};

/* One that is missing, and may be: the queue counts a drop for it, or somebody was receiving. */
static bool may_miss(const struct audit *audit, struct doubt *doubt)
{
    if (doubt->dropped < audit->dropped) {
        doubt->dropped++;
        return true;
    }
    return doubt->gone++ < ledger_receiving(audit->ledger);
}

static bool check_put(struct audit *audit, uint32_t id, const struct tally *tally, struct doubt *doubt)
{
    const struct ledger_msg *msg = &audit->ledger->msgs[id];

    switch ((enum ledger_out)msg->out) {
    case IS_IN:
        if (tally->times == 0)
            return may_miss(audit, doubt) || wrong(audit, "message %u was put and is lost", id);
        if (tally->flagged && doubt->flagged++ >= ledger_taking(audit->ledger))
            return wrong(audit, "message %u came flagged, though nobody had taken it", id);
        return true;
    case IS_LEASED:
        if (tally->times == 0) /* another, who is in recv or drops, may have had it after a first death */
            return may_miss(audit, doubt) ||
                   wrong(audit, "message %u was leased by the dead and is lost", id);
        if (!tally->flagged)
            return wrong(audit, "message %u came a second time without a flag", id);
        if (tally->alive)
            return wrong(audit, "message %u was taken from the living", id);
        return true;
    case ACKING:
        if (tally->times > 0 && (!tally->flagged || tally->alive))
            return wrong(audit, "message %u, being acked, came %s", id, tally->alive ? "to another" : "without a flag");
        doubt->acking += tally->times == 0;
        return true;
    case IS_ACKED:
        return tally->times == 0 || wrong(audit, "message %u was acked and came again", id);
    case NACKING:
    case IS_NACKED:
        if (tally->times == 0)
            return may_miss(audit, doubt) || wrong(audit, "message %u was nacked and is lost", id);
        return tally->flagged || wrong(audit, "message %u was nacked and came without a flag", id);
    case IS_BURIED:
        return tally->times == 0 || wrong(audit, "message %u was buried and came again", id);
    case IS_PARKED:
        doubt->parked++;
        return tally->times == 0 || wrong(audit, "message %u came long before it was due", id);
    }
    return wrong(audit, "the ledger of message %u is odd", id);
}

/* All of a batch or none: of one in doubt. */
static bool check_group(struct audit *audit, uint32_t id, const struct tally tallies[LEDGER_IDS])
{
    uint16_t group = audit->ledger->msgs[id].group;
    bool is_last = id + 1 == LEDGER_IDS || audit->ledger->msgs[id + 1].group != group;

    if (group == 0 || is_last || audit->ledger->msgs[id].put == PUT_REFUSED)
        return true;
    if (audit->dropped > 0 && (audit->lenient || audit->ledger->msgs[id].put == IS_PUT))
        return true; /* once in, its elements are dropped one by one */
    bool here = tallies[id].times > 0 || audit->ledger->msgs[id].out != IS_IN;
    bool next = tallies[id + 1].times > 0 || audit->ledger->msgs[id + 1].out != IS_IN;
    return here == next || ledger_receiving(audit->ledger) > 0 ||
           wrong(audit, "of a batch message %u is %s, %u is %s", id, here ? "in" : "out", id + 1, next ? "in" : "out");
}

static bool check_messages(struct audit *audit, const struct audit_seen *drain, uint64_t *ret_put, uint64_t *ret_buried)
{
    struct tally tallies[LEDGER_IDS] = {{0}};
    struct doubt doubt = {0};
    uint64_t in_doubt = 0, odd;

    tally_all(audit, drain, tallies);
    *ret_put = audit->ledger->turned;
    *ret_buried = 0;
    for (uint32_t id = 0; id < LEDGER_IDS; id++) {
        const struct ledger_msg *msg = &audit->ledger->msgs[id];
        if (tallies[id].times > 1)
            return wrong(audit, "message %u came %u times", id, tallies[id].times);
        if ((msg->put == NOT_PUT || msg->put == PUT_REFUSED) && tallies[id].times > 0)
            return wrong(audit, "message %u was %s and came", id, msg->put == NOT_PUT ? "not put" : "refused");
        if (msg->put == IS_PUT && !check_put(audit, id, &tallies[id], &doubt))
            return false;
        if (!check_group(audit, id, tallies))
            return false;
        bool came = tallies[id].times > 0 || (msg->out != IS_IN && msg->out != IS_PARKED);
        *ret_put += msg->put == IS_PUT || (msg->put == PUTTING && came);
        in_doubt += msg->put == PUTTING && !came;
        *ret_buried += msg->put == IS_PUT && msg->out == IS_BURIED;
    }
    /* What was dropped, or waits for long, beyond what is known of can only be what was being put. */
    for (; doubt.parked > audit->delayed && doubt.dropped < audit->dropped; doubt.parked--)
        doubt.dropped++; /* a full queue may drop what is to be delayed as it is put */
    if (audit->delayed < doubt.parked)
        return wrong(audit, "%llu are delayed, %llu were put so", (unsigned long long)audit->delayed,
                     (unsigned long long)doubt.parked);
    for (; *ret_buried > audit->dead && doubt.dropped < audit->dropped; --*ret_buried)
        doubt.dropped++; /* purged before anybody took it, who would have buried it */
    for (; doubt.acking > 0 && doubt.dropped < audit->dropped; doubt.acking--)
        doubt.dropped++; /* its ack never came to be: it was dropped as what a dead or late holder had */
    odd = audit->dropped - doubt.dropped + audit->delayed - doubt.parked;
    if (odd > in_doubt)
        return wrong(audit, "%llu are dropped and %llu delayed, of which %llu and %llu can be", (unsigned long long)audit->dropped,
                     (unsigned long long)audit->delayed, (unsigned long long)doubt.dropped,
                     (unsigned long long)doubt.parked);
    *ret_put += odd;
    return true;
}

static void note_finding(const char *finding, void *context)
{
    struct audit *audit = context;

    wrong(audit, "verify: %s", finding);
}

static bool check_counts(struct audit *audit, ptq_bus *bus, const char *name, ptq_queue *queue, uint64_t put,
                         uint64_t buried)
{
    struct ptq_verify_report report = {0};
    struct ptq_queue_stats stats;
    ptq_view *view = NULL;

    if (ptq_queue_stats(queue, &stats) != PTQ_OK || ptq_view_open(bus, name, NULL, &view) != PTQ_OK)
        return wrong(audit, "stats or a view failed");
    enum ptq_err err = ptq_view_verify(view, note_finding, audit, &report);
    ptq_view_close(view);
    if (audit->text[0] != '\0')
        return false;
    if (err != PTQ_OK || !report.quiet || report.imbalance != 0)
        return wrong(audit, "verify answered %s, imbalance %lld, %s: put %llu acked %llu dead %llu", ptq_err_name(err),
                     (long long)report.imbalance, report.quiet ? "quiet" : "busy", (unsigned long long)report.put,
                     (unsigned long long)report.acked, (unsigned long long)report.dead);
    if (stats.put != put || report.put != put)
        return wrong(audit, "put counts %llu, %llu were", (unsigned long long)stats.put, (unsigned long long)put);
    if (stats.dead != buried || stats.acked != put - buried - audit->dropped - audit->delayed)
        return wrong(audit, "acked counts %llu and dead %llu, of %llu put and %llu buried",
                     (unsigned long long)stats.acked, (unsigned long long)stats.dead, (unsigned long long)put,
                     (unsigned long long)buried);
    if (stats.ready + stats.leased != 0 || stats.delayed != audit->delayed || stats.dropped != audit->dropped)
        return wrong(audit, "drained, it counts %llu ready, %llu leased, %llu delayed", (unsigned long long)stats.ready,
                     (unsigned long long)stats.leased, (unsigned long long)stats.delayed);
    return true;
}

/* ---- leaks */

#define MOST 2048

static bool hoard_one(ptq_queue *queue, ptq_msg **ret_msg)
{
    return ptq_put(queue, "", 0, PTQ_NOWAIT) == PTQ_OK && ptq_get(queue, PTQ_NOWAIT, ret_msg) == PTQ_OK;
}

uint64_t audit_blocks(ptq_bus *bus, ptq_queue *queue, uint64_t capacity)
{
    struct ptq_gc_report report;
    static ptq_msg *held[MOST];
    size_t count = 0;
    uint64_t settled = 0;
    char byte = 0;

    /* Twice around the ring first, so that headers of old batches are met and freed. */
    for (uint64_t i = 0; i < 2 * (capacity + 64); i++) {
        ptq_msg *msg = NULL;
        if (ptq_put(queue, &byte, 1, PTQ_NOWAIT) != PTQ_OK || ptq_get(queue, PTQ_NOWAIT, &msg) != PTQ_OK ||
            ptq_ack(msg) != PTQ_OK)
            return 0;
        settled++;
    }
    /* gc beside a living user also frees blocks that came back to a dead home, which a put that does not wait leaves lying. */
    if (ptq_bus_gc(bus, false, &report) != PTQ_OK)
        return 0;
    while (count < MOST && hoard_one(queue, &held[count]))
        count++;
    for (size_t i = 0; i < count; i++)
        if (ptq_ack(held[i]) != PTQ_OK)
            return 0;
    return settled > 0 ? count : 0;
}

/* Where a full queue drops, that it did so says that it was full. */
static bool drops(ptq_queue *queue, uint64_t before)
{
    struct ptq_queue_stats stats;

    return ptq_queue_stats(queue, &stats) == PTQ_OK && stats.dropped != before;
}

static bool check_blocks(struct audit *audit, ptq_bus *bus, ptq_queue *queue, uint64_t buried)
{
    enum ptq_err err = PTQ_OK;
    uint64_t filled = 0, dropped = audit->dropped;
    ptq_msg *msg = NULL;
    char byte = 0;

    while (filled <= audit->capacity && !drops(queue, dropped) && (err = ptq_put(queue, &byte, 1, PTQ_NOWAIT)) == PTQ_OK)
        filled++;
    if (err == PTQ_OK && drops(queue, dropped)) {
        err = PTQ_FULL;
        filled--;
    }
    if (err != PTQ_FULL || filled != audit->capacity)
        return wrong(audit, "drained, it takes %llu of %llu messages, then %s", (unsigned long long)filled,
                     (unsigned long long)audit->capacity, ptq_err_name(err));
    while (ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK)
        if (ptq_ack(msg) != PTQ_OK)
            return wrong(audit, "an ack failed");
    if (audit->blocks == 0)
        return true;
    uint64_t blocks = audit_blocks(bus, queue, audit->capacity);
    /* What lies in the extent of another producer, beside the victim, takes none of those that we reach. */
    if (blocks > audit->blocks || blocks + buried + audit->delayed < audit->blocks ||
        (!audit->lenient && blocks + buried + audit->delayed != audit->blocks))
        return wrong(audit, "%llu blocks are left of %llu", (unsigned long long)(blocks + buried + audit->delayed),
                     (unsigned long long)audit->blocks);
    return true;
}

/* ---- all of it */

static bool check_all(struct audit *audit, ptq_bus *bus, const char *name, ptq_queue *queue)
{
    static struct audit_seen drain;
    struct ptq_queue_stats stats;
    uint64_t put = 0, buried = 0;
    bool ended = false;

    drain.count = 0;
    if (!drain_all(audit, queue, &drain, &ended))
        return false;
    if (ptq_queue_stats(queue, &stats) != PTQ_OK)
        return wrong(audit, "stats failed");
    audit->dropped = stats.dropped;
    audit->delayed = stats.delayed;
    audit->dead = stats.dead;
    if (!check_messages(audit, &drain, &put, &buried) || !check_order(audit, &drain, true) ||
        (audit->seen != NULL && !check_order(audit, audit->seen, false)) ||
        !check_counts(audit, bus, name, queue, put, buried))
        return false;
    if (ended)
        return audit->ledger->ending > 0 || wrong(audit, "it ended, and nobody had ended it");
    if (audit->ledger->ending > 0 && audit->delayed > 0)
        return true; /* the end comes behind them */
    if (audit->ledger->ending == 2)
        return wrong(audit, "it was ended, and a get answers EMPTY");
    return check_blocks(audit, bus, queue, buried);
}

/* Whoever paused it is dead, and it stays paused until somebody resumes it. */
static bool check_pause(struct audit *audit, ptq_queue *queue)
{
    struct ptq_queue_stats stats;

    if (ptq_queue_stats(queue, &stats) != PTQ_OK)
        return wrong(audit, "stats failed");
    if (stats.paused ? audit->ledger->pausing == 0 : audit->ledger->pausing == 2)
        return wrong(audit, "it is %s, and should not be", stats.paused ? "paused" : "not paused");
    return !stats.paused || ptq_queue_pause(queue, false) == PTQ_OK || wrong(audit, "it cannot be resumed");
}

bool audit_queue(struct audit *audit, ptq_bus *bus, const char *name)
{
    struct ptq_error error = {0};
    struct ptq_queue_options options = {.mode = PTQ_ATTACH, .error = &error};
    ptq_queue *queue = NULL;

    audit->text[0] = '\0';
    int32_t odd = audit->ledger->wrong;
    if (odd == LEDGER_TAKEN)
        return wrong(audit, "a lease was taken from the living");
    if (odd != 0 && (!audit->lenient || odd >= LEDGER_FOREIGN))
        return wrong(audit, "a call of the victim answered %s",
                     odd >= LEDGER_FOREIGN ? "foreign bytes" : ptq_err_name((enum ptq_err)(odd - 1)));
    enum ptq_err err = ptq_queue_open(bus, name, &options, &queue);
    if (err != PTQ_OK)
        return wrong(audit, "open answered %s: %s", ptq_err_name(err), error.text);
    bool sound = check_pause(audit, queue) && check_all(audit, bus, name, queue);
    ptq_queue_close(queue);
    return sound;
}
