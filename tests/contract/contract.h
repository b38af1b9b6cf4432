/* contract.h -- one suite for both carriers: what a case gets, and the helpers that cases share.
 *
 * A carrier gives a scratch home (where queues live) and a bus through which the cases speak; for the local carrier both
 * are the same directory.  A case opens its queues by contract_open, so it cannot tell which carrier it runs on; where
 * the carriers may differ it asks contract_differs, and the answer stands in differences.def.
 */
#ifndef PTQ_TESTS_CONTRACT_H
#define PTQ_TESTS_CONTRACT_H

#include <string.h>

#include "support/ptt.h"

#include <ptq/ptq.h>

enum contract_difference {
#define DIFFERENCE(name, local, remote, sentence) DIFFERENCE_##name,
#include "contract/differences.def"
#undef DIFFERENCE
    DIFFERENCE_COUNT
};

struct contract;

struct contract_carrier {
    const char *name;
    bool remote;
    bool bridge;                        /* remote, through the ptqbridge of its own host */
    const char *suffix;                 /* what an address adds to a queue's name */
    void (*start)(struct contract *c);  /* home is there; fills bus, dir, peers */
    void (*attach)(struct contract *c); /* in a child: opens bus by dir and peers */
    void (*stop)(struct contract *c);   /* after bus was closed */
    void (*restart_home)(struct contract *c); /* kills the bridge in front of the home, and starts it anew; NULL: there is none */
};
extern const struct contract_carrier contract_local, contract_general, contract_remote, contract_ipc,
    contract_ws, contract_tls, contract_bridge;

struct contract {
    const struct contract_carrier *carrier;
    struct ptt_scratch home; /* where the queues live */
    ptq_bus *bus;            /* through which cases speak */
    char dir[64];            /* of that bus */
    char peers[300];
    pid_t bridge;
    pid_t near; /* the bridge of the far bus */
};

/* ---- cases */

struct contract_case {
    const char *name;
    void (*run)(void **state); /* *state is a struct contract */
};
#define CONTRACT_CASE(run) {#run, run}
struct contract_group {
    const char *name;
    const struct contract_case *cases;
    size_t count;
};
#define CONTRACT_GROUP(group)                                                                                          \
    const struct contract_group group_##group = {#group, group##_cases, sizeof group##_cases / sizeof *group##_cases}

/* Of this program; the last is NULL. */
extern const struct contract_group *const contract_groups[];
extern const struct contract_carrier *const contract_carriers[];
const struct contract_carrier *contract_carrier_named(const char *name); /* NULL: none */

/* What differences.def says for this carrier. */
long contract_differs(const struct contract *c, enum contract_difference difference);

/* Skips the case, and says why, where that row says that the carrier differs. */
void contract_skip_if(const struct contract *c, enum contract_difference difference);

/* ---- queues */

/* What a case calls `name`, as this carrier addresses it; lives until the next call but seven. */
const char *contract_address(const struct contract *c, const char *name);

/* Opens with options (may be NULL) or fails the test with the text of the error. */
ptq_queue *contract_open(struct contract *c, const char *name, const struct ptq_queue_options *options);

/* As above with a capacity (0: default) and an item_size (0: default). */
ptq_queue *contract_open_sized(struct contract *c, const char *name, uint64_t capacity, uint32_t item_size);

/* ---- messages */

/* `size` bytes that only `seed` gives; and are these they? */
void contract_fill(void *data, size_t size, uint64_t seed);
bool contract_is_filled(const void *data, size_t size, uint64_t seed);

/* Numbers as messages of 8 bytes.  They fail the test on any other answer than PTQ_OK. */
void put_number(ptq_queue *queue, uint64_t number);
uint64_t recv_number(ptq_queue *queue);
ptq_msg *get_number(ptq_queue *queue, uint64_t expected); /* leased */
/* The same of one that is due at due_ms (contract_now_ms): a get that does not wait answers PTQ_EMPTY before, whenever we come to ask. */
ptq_msg *get_when_due(ptq_queue *queue, uint64_t expected, int64_t due_ms);
uint64_t number_of(const ptq_msg *msg);
void put_range(ptq_queue *queue, uint64_t from, uint64_t below);  /* from, from + 1, ... below - 1 */
void recv_range(ptq_queue *queue, uint64_t from, uint64_t below); /* these must come, in that order */

/* A get that must answer `expected` with PTQ_NOWAIT. */
#define assert_get(expected, queue)                                                                                    \
    do {                                                                                                               \
        ptq_msg *untouched_ = (ptq_msg *)(uintptr_t)16;                                                                \
        assert_answer((expected), ptq_get((queue), PTQ_NOWAIT, &untouched_));                                          \
        assert_ptr_equal(untouched_, (void *)(uintptr_t)16);                                                           \
    } while (0)

struct ptq_queue_stats contract_stats(ptq_queue *queue);

/* At the home: put = ready + leased + delayed + dead + acked + dropped, counted. */
void contract_verify(struct contract *c, const char *name);

/* As a program does: spurious wakes of a get descriptor are answered by a get that says EMPTY.  Is it quiet in the end? */
bool contract_becomes_quiet(ptq_queue *queue, int fd);

/* ---- processes and threads */

/* A page that survives exec, for the children below. */
struct ptt_page *contract_page_new(void);
void contract_page_free(struct ptt_page *page);

/* A process of its own that opens its own bus and runs the role of that name (roles.c); `page` may be NULL. */
pid_t contract_child(struct contract *c, const char *role, const char *queue, struct ptt_page *page, uint64_t argument);
int contract_child_main(int argc, char **argv);

/* A thread in one call: what it answered, and when it came back. */
struct caller {
    enum ptq_err (*call)(struct caller *caller);
    ptq_queue *queue;
    int timeout_ms;
    uint64_t number; /* what it puts, or what it got */
    size_t count;    /* for put_many, get_many */
    enum ptq_err answer;
    _Atomic uint64_t tid;
    _Atomic uint64_t done;
    pthread_t thread;
};
enum ptq_err call_get(struct caller *caller);      /* and acks; number is what it got */
enum ptq_err call_put(struct caller *caller);      /* number */
enum ptq_err call_put_many(struct caller *caller); /* count numbers from `number` on */
void caller_start(struct caller *caller);
void caller_start_sleeping(struct caller *caller);        /* and it sleeps in its call */
enum ptq_err caller_join(struct caller *caller);          /* with a generous deadline */
bool caller_is_done(struct caller *caller, int within_ms);

int64_t contract_now_ms(void); /* rounded down */

/* Random calls on the queue "tasks" beside a model; creates it unless it exists with these figures. */
#define CONTRACT_RANDOM_ITEM 96
void contract_run_random(struct contract *c, uint64_t capacity, uint64_t steps);

#endif
