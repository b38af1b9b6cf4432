/* scenario.h -- who takes part in a race, and what the queue is like. */
#ifndef PTQ_TESTS_SIM_SCENARIO_H
#define PTQ_TESTS_SIM_SCENARIO_H

#include <ptq/ptq.h>

#include "sim/sim.h"

/* What one process does.  Born again after a death, it goes on where it was. */
struct sim_role {
    const char *name;
    void (*work)(void);
    bool killable, producer;
    bool mortal;    /* who dies is not born again */
    bool slow;      /* rests with a message in hand, and after it; or before it puts */
    unsigned count; /* messages, or rounds */
    unsigned batch; /* at once */
    unsigned least; /* of a get_many; 0: 1 */
    unsigned nacks; /* one in so many is nacked */
    unsigned delays; /* one put in so many, and two nacks of three, are for later */
    unsigned ttls;   /* one put in so many expires */
    bool letters;    /* its queue is the view of dead letters */
    int timeout_ms;
    unsigned flags; /* of its handle */
};

struct sim_scenario {
    const char *name, *what;
    struct ptq_queue_options options;
    const struct sim_role *roles[SIM_PROCS]; /* of processes 1, 2, ... */
    bool drops;     /* messages may be dropped, counted */
    bool limited;   /* leases run out */
    bool unordered;
    bool batched;   /* puts that race may overshoot by a batch */
    bool packed;    /* in order to each consumer */
    bool pauses;    /* then a queue that is not empty says so */
    bool letters;   /* what is given back too often is a dead letter, and may be kicked, also after END */
    bool last_ends; /* the last producer that closes ends it */
    bool peers;     /* everybody watches; END comes when they have noticed */
    bool puts_back; /* who gets too few puts them back, uncounted */
    bool deadly;    /* three deaths in each run */
    bool halting;   /* three stops in each run */
    bool no_deaths; /* what its roles check would not hold */
};

extern const struct sim_scenario *const sim_scenarios[];
extern const unsigned sim_scenario_count;

extern const struct sim_role sim_setup, sim_ender, sim_auditor;

/* sched.c tells: a process is done, or dead and its locks are free; nobody runs. */
void sim_ended(struct sim_proc *proc);
void sim_check_quiet(bool is_final);
int64_t sim_next_due(void);     /* when who sleeps in it looks for what is due */
bool sim_queue_has_ended(void); /* END stands in it */

#endif
