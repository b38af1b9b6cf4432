/* history.h -- what each process called and was answered, and when; and whether a queue that keeps its promises can have done so.
 *
 * Every stress test writes its calls down here: a process notes the call before it makes it and the answer when it has it, so a
 * call that its process did not survive stays open.  Afterwards, when nobody writes any more, history_check looks for what no
 * order of the calls could explain.  Times are CLOCK_MONOTONIC, which is one clock for all processors; "before" below means that
 * one call had returned when the other began.  An open call may have taken effect at any time from its begin on, or not at all.
 *
 * Messages are told apart by their values: numbers from 0, not too far apart, each put once (a refused put may be tried again).
 *
 * The laws, and what each takes for certain only:
 *
 *   NOWHERE   what is taken was put: begun before the take returned, and not refused.
 *   TWICE     a message is handed out once without its flag: not when it was handed out before.
 *   SETTLED   what was acked (or received) before is not handed out any more, and is not acked a second time.  Of a pack an
 *             ack counts once all before it in its lease are acked.
 *   LOST      in the end every message whose put returned, or, in a pack, was flushed, is acked; or in doubt, as its holder died
 *             in ack; or among those that the queue counts as dropped, and those whose holders died in recv (one each).
 *   PLACE     one message, one place (position and sub), at the put and at each take; one place, one message.
 *   PUT_ORDER if put a returned before put b began, a's position is the lower one.  A packed put returns when it is flushed.
 *   GET_ORDER of two messages handed out for the first time, the one with the higher place was not leased before the other:
 *             its get did not return before the other's began.  (Of a pack, whose lease is one, only its first; and
 *             not if who was killed, or met a pause, may have held it without having been given anything of it.)  Not for delayed ones.
 *   EMPTY     while a get that found nothing ran, no message stood ready from its begin to its end: none whose put had
 *             returned before and whose first take, without a flag, began after.  Not while the queue was, or may have been, paused.
 *   FULL      while a put that found no room ran, capacity was reached if everything was inside that can have been.  Where batches
 *             or packs take blocks besides: if anything was.
 *   END       PTQ_END, and PTQ_EENDED, come after the call of ptq_end began; no put that begins after it returned is taken in; and
 *             nothing is taken after PTQ_END was answered (unless letters are kicked then).
 *   HELD      what is handed out with its flag, somebody can have had before: another took it, or was killed, or, where leases run
 *             out, was in a call for longer than that, since it was put.
 *   AGAIN     between the return of a nack without a delay and the begin of the message's next take it stands in front: no get that
 *             ran between them took one that was new, or of a higher place (or found nothing: EMPTY).  Not if who was
 *             killed may have had it meanwhile; not packs; not where letters are, or puts and purges lease to make room.
 *   WHOLE     the history itself is whole: no event is missing because the room was spent.
 *
 * Not judged: the order of what came back by itself (by a death, a lease that ran out, a delay that is over), for it is not known when.
 */
#ifndef PTQ_TESTS_STRESS_HISTORY_H
#define PTQ_TESTS_STRESS_HISTORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/ptq.h>

enum history_op { /* 0: nothing was begun */
    HISTORY_PUT = 1,
    HISTORY_GET,
    HISTORY_RECV, /* takes and acks; tells no place and no flag */
    HISTORY_ACK,
    HISTORY_FLUSH,
    HISTORY_KICK,
    HISTORY_PAUSE,
    HISTORY_RESUME,
    HISTORY_CLOSE, /* ptq_end */
    HISTORY_NACK,  /* also ends the lease of a pack */
    HISTORY_DEATH  /* told by who buried it; value: the dead actor */
};

enum history_flag {
    HISTORY_REDELIVERED = 1, /* of a take */
    HISTORY_LETTER = 2,      /* of a take: from the dead letters */
    HISTORY_BATCH = 1,       /* of a put: one of several by one call */
    HISTORY_DELAYED = 2,     /* of a put or a nack: not to be handed out at once */
    HISTORY_PACKED = 4,      /* of a put: gathered, promised when flushed */
    HISTORY_SHARED = 8       /* of a put: promised at once, but may share its lease with others, as in a pack; with BATCH: or not, so its acks
                                settle nothing for certain */
};

#define HISTORY_NOBODY UINT32_MAX /* no value */

struct history_event {
    uint64_t begin;
    _Atomic uint64_t end; /* 0: open */
    uint64_t place;       /* position << 16 | sub; 0: not told */
    uint32_t value;
    uint16_t actor;
    uint8_t answer;
    _Atomic uint8_t what; /* op | flags << 4; written last: 0 is no event */
};

struct history;

/* Room for so many events, shared with children; NULL: no memory.  Untouched room costs nothing. */
struct history *history_new(uint64_t events);
void history_free(struct history *history);
/* Empties it.  Nobody may be writing. */
void history_reset(struct history *history);
/* More than half of it is used: those who begin things should stop. */
bool history_is_filling(const struct history *history);

/* One life: one process or thread that calls. */
struct history_writer {
    struct history *history;
    uint64_t at, end;
    uint16_t actor;
};
void history_live(struct history_writer *writer, struct history *history);

uint64_t history_now(void);

/* Before the call.  Never NULL. */
struct history_event *history_begin(struct history_writer *writer, enum history_op op, unsigned flags, uint32_t value);
/* One more message of the same call. */
struct history_event *history_begin_more(struct history_writer *writer, const struct history_event *first, uint32_t value);
/* After it. */
void history_end(struct history_event *event, enum ptq_err answer);
/* What a get took, before history_end of `event`.  Of several the first has the event that was begun, each other one of its own,
 * which is over with it.  `flags`: HISTORY_LETTER; whether it is redelivered the message says. */
void history_took(struct history_writer *writer, struct history_event *event, bool is_first, uint32_t value, const ptq_msg *msg,
                  unsigned flags);

/* -- checking ------------------------------------------------------------------------------------------------- */

enum history_law {
    HISTORY_NOWHERE,
    HISTORY_TWICE,
    HISTORY_SETTLED,
    HISTORY_LOST,
    HISTORY_PLACE,
    HISTORY_PUT_ORDER,
    HISTORY_GET_ORDER,
    HISTORY_EMPTY,
    HISTORY_FULL,
    HISTORY_END,
    HISTORY_HELD,
    HISTORY_AGAIN,
    HISTORY_WHOLE,
    HISTORY_LAWS
};

/* What the queue was, and what it tells in the end. */
struct history_rules {
    uint64_t capacity;   /* 0: FULL is not judged, as where bytes bound it too, or leases that ran out hold blocks */
    uint64_t dropped;    /* as the queue counts them */
    uint64_t lease_ns;   /* leases run out; 0: they do not */
    bool makes_room;     /* puts drop the oldest, or somebody purges: AGAIN is not judged */
    bool has_ended;      /* all is over and was drained: LOST is judged */
    bool is_given_back;  /* get_many with min above 1, or letters that were never handed out are kicked: takes may be undone, and
                            GET_ORDER, EMPTY, HELD and AGAIN are not judged */
    bool is_passed_on;   /* leases of packs are settled by other actors, or their records die and are kicked, one by one: acks of
                            packed ones settle nothing for certain */
};

struct history_report {
    uint64_t violations, by_law[HISTORY_LAWS];
    char text[300]; /* the first */
    uint32_t value; /* which message it was, where it was one; HISTORY_NOBODY */
    uint64_t events, open, puts, takes, again, acks; /* what there was; again: flagged */
    uint64_t empties, fulls, ends;                   /* judged */
    uint64_t stands;                                 /* how many that were given back AGAIN knows of */
    uint64_t doubled, lost;                          /* messages */
};

const char *history_law_name(enum history_law law);

/* True: nothing is wrong.  False also if memory is short. */
bool history_check(const struct history *history, const struct history_rules *rules, struct history_report *ret_report);

/* Writes what happened to one message, call by call, to standard output. */
void history_tell(const struct history *history, uint32_t value);

/* For the checker: event i of count, in no order; event->what may be 0. */
uint64_t history_count(const struct history *history);
const struct history_event *history_at(const struct history *history, uint64_t i);
bool history_is_whole(const struct history *history);

#endif
