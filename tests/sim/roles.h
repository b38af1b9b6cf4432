/* roles.h -- what roles are made of: scenario.c has them, more.c uses them for the features beside put, get and ack. */
#ifndef PTQ_TESTS_SIM_ROLES_H
#define PTQ_TESTS_SIM_ROLES_H

#include "sim/scenario.h"

#define SIM_HELD_MAX 8
#define SIM_LONG_NS INT64_C(700000000) /* others are past their first sleeps */

struct sim_actor {
    ptq_bus *bus;
    ptq_queue *queue;
    unsigned done; /* of its count, over all its lives */
};

struct sim_actor *sim_actor(void);
static inline const struct sim_role *sim_role(void) { return sim_me->role; }

void sim_expect(enum ptq_err err, const char *what);
void sim_rest(void); /* of who only asks: he finds the dead by the clock */
void sim_open_queue(unsigned flags); /* of a role with `letters`: the view of its dead letters */
void sim_close_queue(void);

void sim_produce(void);
void sim_consume(void);
void sim_consume_all(void); /* the queue is open */
enum ptq_err sim_get(ptq_msg **msgs, unsigned max, int *ids, size_t *ret_count, int timeout_ms);
void sim_ack(ptq_msg *msg, int id);

#define SIM_PRODUCER(n, b)                                                                                             \
    {.name = "producer", .work = sim_produce, .killable = true, .producer = true, .count = n, .batch = b, .timeout_ms = PTQ_FOREVER}
#define SIM_CONSUMER(b, n)                                                                                             \
    {.name = "consumer", .work = sim_consume, .killable = true, .batch = b, .nacks = n, .timeout_ms = PTQ_FOREVER}

/* In more.c. */
extern const struct sim_scenario sim_units, sim_units_alone, sim_asks, sim_delays, sim_delays_polled, sim_letters, sim_few_letters,
    sim_recoverers, sim_purges, sim_expiry, sim_pack_puts;
/* In others.c. */
extern const struct sim_scenario sim_least, sim_least_tried, sim_bytes, sim_byte_batches, sim_last, sim_peers, sim_moves, sim_siblings;
#define SIM_MORE                                                                                                       \
    &sim_units, &sim_units_alone, &sim_asks, &sim_delays, &sim_delays_polled, &sim_letters, &sim_few_letters, &sim_recoverers,   \
        &sim_purges, &sim_expiry, &sim_pack_puts, &sim_least, &sim_least_tried, &sim_bytes, &sim_byte_batches, &sim_last, &sim_peers,   \
        &sim_moves, &sim_siblings

#endif
