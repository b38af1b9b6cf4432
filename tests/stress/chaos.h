/* chaos.h -- a crowd that dies at random, and the ledger of what it was promised. */
#ifndef PTQ_TESTS_STRESS_CHAOS_H
#define PTQ_TESTS_STRESS_CHAOS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ptq/metrics.h>
#include <ptq/ptq.h>

#include "stress/history.h"

#define CHAOS_PRODUCERS 4
#define CHAOS_MOST 16
#define CHAOS_NUMBERS (UINT32_C(1) << 23) /* of one producer in one round */
#define CHAOS_DOUBTS 65536

/* A byte a message: what is known of it.  A call that was begun and did not return leaves its doubt here. */
enum { PUTTING = 1, IS_PUT = 2, IS_GOT = 4, ACKING = 8, IS_ACKED = 16 };

struct chaos_doubt {
    uint32_t producer, first, count; /* a batch whose put did not return */
};

struct chaos_member {
    pid_t pid;
    int role; /* enum chaos_role */
    uint32_t number;
    _Atomic uint32_t receiving;   /* in ptq_recv: what it takes dies with it */
    _Atomic uint32_t batch_first, batch_count; /* of a put_many under way */
    _Atomic uint64_t steps;
    bool waits_in_poll;           /* for the queue's descriptor, not in its calls */
    _Atomic uint32_t polls;       /* it does so now */
    _Atomic uint32_t actor;       /* in the history; 0: it has not begun */
};
enum chaos_role { NOBODY, PRODUCER, CONSUMER, VISITOR, TENDER };

struct chaos {
    char dir[64];
    struct history *history;
    uint64_t seed;
    struct ptq_queue_options options;
    _Atomic uint32_t is_closing;   /* producers stop */
    _Atomic uint32_t violations;
    char text[300];                /* the first one */
    _Atomic uint64_t put, got, acked, again, batches, visits, kicked, late;
    uint64_t buried;               /* letters that were left in the end */
    struct chaos_member members[CHAOS_MOST];
    _Atomic uint32_t next[CHAOS_PRODUCERS]; /* numbers given so far */
    struct chaos_doubt doubts[CHAOS_DOUBTS];
    uint32_t doubt_count;
    uint32_t may_be_lost;          /* killed in recv */
    uint64_t dropped;              /* as the queue counts it in the end */
    uint64_t dropped_by[PTQ_DROPS];
    bool may_drop, delays;         /* by its policy, or by times to live; some puts are delayed */
    unsigned by_poll;              /* who waits in poll: nobody, all, half of them */
    bool packs, singles;           /* small puts are gathered, or with `units` shared; no batches, no packs */
    bool units;                    /* the first producer is PTQ_EXCLUSIVE, on a queue for packs; nothing is gathered */
    int ttl_ms;                    /* of some puts; 0: none */
    _Atomic uint8_t known[CHAOS_PRODUCERS][CHAOS_NUMBERS];
};

/* What a message says of itself. */
struct chaos_note {
    uint32_t producer, number, size, check;
};

#define CHAOS_QUEUE "chaos"

static inline uint32_t chaos_value(uint32_t producer, uint32_t number) { return number * CHAOS_PRODUCERS + producer; }

/* Notes a broken promise; the first one is told at the end. */
void chaos_violation(struct chaos *chaos, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The lives of members; they end by _exit(0) at the end of the stream, or by a signal. */
int chaos_produce(struct chaos *chaos, struct chaos_member *me);
int chaos_consume(struct chaos *chaos, struct chaos_member *me);
int chaos_visit(struct chaos *chaos, struct chaos_member *me);
int chaos_tend(struct chaos *chaos, struct chaos_member *me); /* of dead letters: acks, gives back, kicks */

/* When all is over: acks what is dead, and notes what was dropped. */
void chaos_empty_the_view(struct chaos *chaos, struct history_writer *writer);

/* Opens (and exits if that fails), and closes; chaos_close also looks whether descriptors are left, and answers 0. */
ptq_queue *chaos_open(struct chaos *chaos, const char *name, ptq_bus **ret_bus);
ptq_queue *chaos_open_with(struct chaos *chaos, const char *name, unsigned flags, ptq_bus **ret_bus);
int chaos_close(struct chaos *chaos, ptq_queue *queue, ptq_bus *bus);
/* What this process calls the directory: in a container of its own another name. */
void chaos_rename_dir(const char *dir);
/* A life begins: an actor of the history. */
void chaos_live(struct chaos *chaos, struct chaos_member *me, struct history_writer *ret_writer);

/* Messages: a note and its number, over and over. */
size_t chaos_write(unsigned char *bytes, uint32_t producer, uint32_t number, size_t item_size);
bool chaos_read(const void *data, size_t size, struct chaos_note *ret_note);

bool chaos_is_refusal(enum ptq_err err);

uint64_t chaos_random(uint64_t *state);

#endif
