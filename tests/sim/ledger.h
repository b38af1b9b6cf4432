/* ledger.h -- what was promised to whom, noted around each call; and whether it was kept. */
#ifndef PTQ_TESTS_SIM_LEDGER_H
#define PTQ_TESTS_SIM_LEDGER_H

#include <ptq/ptq.h>

#include "sim/sim.h"

#define LEDGER_MESSAGES 200
#define LEDGER_BYTES 24 /* in the largest message */

void ledger_reset(void);

/* A put of `count` new messages begins: their bytes, and the number of the first.  They end together. */
unsigned ledger_put_begins(unsigned count, struct ptq_bytes *items);
void ledger_put_ends(unsigned first, unsigned count, enum ptq_err err);

void ledger_put_is_delayed(unsigned first, unsigned delay_ms);
void ledger_put_expires(unsigned first, unsigned ttl_ms);

/* Gathered in a pack: in doubt until the flush that ends. */
void ledger_gathered(unsigned first);
void ledger_flush_ends(enum ptq_err err);

void ledger_get_begins(void);
int ledger_got(ptq_msg *msg, unsigned index); /* its number; below 0: the run has failed */
void ledger_get_ends(enum ptq_err err, bool waited);

void ledger_ack_begins(int id);
void ledger_ack_ends(int id, enum ptq_err err);
void ledger_nack_begins(int id, unsigned delay_ms);
void ledger_nack_ends(int id, enum ptq_err err);
void ledger_gives_back(void); /* this process closes with leases */

void ledger_died(const struct sim_proc *proc);

/* When all is over and drained. */
void ledger_check(const struct ptq_queue_stats *stats);
unsigned ledger_count(void);

#endif
