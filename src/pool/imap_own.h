/* imap_own.h -- a map under way, as the files of imap see it.
 *
 *   input -> unit (an item, or a chunk of them) -> submitted -> its result arrives in the sink -> ready -> shown -> released
 *
 *   imap.c   its life, and the turns      imap_send.c   from input to submitted      imap_arrive.c   from the sink to shown
 *
 * Units stand in the order of their items, and are shown in that order.  A chunk that came back without some of its items (its worker
 * died, its result was too small) is ready when each of these was done again by itself.  Meanwhile results behind it are moved out
 * of the pool, or they would fill the window in which those items must run.
 */
#ifndef PTQ_POOL_IMAP_OWN_H
#define PTQ_POOL_IMAP_OWN_H

#include <ptq/map.h>

#include "pool/pool.h"

/* One ticket's work. */
struct pti_imap_errand {
    struct pti_claim claim; /* first: the router frees the whole */
    struct pti_imap_unit *unit;
    uint32_t which; /* item of the unit; PTI_IMAP_WHOLE: all */
    bool is_sent;
    struct pti_imap_errand *next; /* of those that are to be sent again */
};
#define PTI_IMAP_WHOLE UINT32_MAX

/* An item of a chunk. */
struct pti_imap_part {
    struct pti_piece piece;
    struct pti_imap_errand *again; /* done by itself; NULL: the piece counts */
};

struct pti_imap_unit {
    struct pti_imap_errand all; /* first */
    uint64_t index;
    uint32_t count, shown, missing; /* missing: items that are done again, and are not there yet */
    bool is_ready;
    enum ptq_err failed;   /* no result: why */
    const char *text;
    unsigned char *pieces; /* of a chunk, what was sent */
    size_t size, room;
    struct pti_imap_part *parts;
    struct pti_imap_unit *next;
};

struct ptq_imap {
    ptq_pool *pool;
    char task[PTQ_TASK_NAME_MAX + 1];
    ptq_map_input_fn input;
    void *user;
    struct pti_job_call call;
    struct ptq_map_options options;
    struct ptq_submit_options submit;
    uint64_t most;                /* units under way */
    int64_t total, interval_ns, next_ns; /* the rate: when the next item may go */
    struct pti_sink sink;
    struct pti_imap_unit *first, *last, *unsent; /* unsent: had no room; not in the list */
    struct pti_imap_unit *over;            /* shown wholly: to be released by the next call */
    struct pti_imap_errand *again, *again_last;  /* to be sent again */
    struct ptq_bytes item;        /* pulled, and not in a unit */
    bool has_item, has_ended, is_over;
    bool stays_full, is_in_doubt; /* what is unsent: there is no room for it, or it is not known whether it was sent */
    enum ptq_err answer;          /* at the end */
    uint64_t index, units, apart; /* of the next item; in the list; items that are done again */
    struct ptq_map_item failure;
    struct pti_worker inline_worker;
    char text[PTI_RESULT_TEXT_MAX + 1];
};

/* -- imap_send.c -- */
void pti_imap_errand_init(ptq_imap *imap, struct pti_imap_errand *errand, struct pti_imap_unit *unit, uint32_t which);
struct pti_imap_unit *pti_imap_unit_new(ptq_imap *imap); /* NULL: no memory */
void pti_imap_unit_append(ptq_imap *imap, struct pti_imap_unit *unit);
/* Frees it, or leaves it to the router. */
void pti_imap_unit_release(struct pti_imap_unit *unit);
/* Of what is not there yet nothing is wanted any more. */
void pti_imap_unit_cancel(struct pti_imap_unit *unit);
void pti_imap_end_input(ptq_imap *imap, enum ptq_err why);
/* Is there an item?  Asks for the next one if need be. */
bool pti_imap_pull(ptq_imap *imap);
/* So many items go now: when may the next? */
void pti_imap_pace(ptq_imap *imap, uint32_t items);
/* By its rate and its pool's; 0: at once.  Is there anything that could go, as far as the window lets it? */
int64_t pti_imap_turn(const ptq_imap *imap);
bool pti_imap_has_more(const ptq_imap *imap);
/* Submits what there is room for. */
void pti_imap_fill(ptq_imap *imap);

/* -- imap_arrive.c -- */
void pti_imap_unit_fail(struct pti_imap_unit *unit, enum ptq_err code, const char *text);
void pti_imap_take_in(ptq_imap *imap);
/* The next of the first unit. */
void pti_imap_show(ptq_imap *imap, struct ptq_map_item *item);

#endif
