/* large.h -- what the groups of large messages share: a queue of them, its side files, messages that only a seed gives. */
#ifndef PTQ_TESTS_CONTRACT_LARGE_H
#define PTQ_TESTS_CONTRACT_LARGE_H

#include "contract/contract.h"

#define MIB ((size_t)1 << 20)
#define LARGEST (5 * MIB)
#define INLINE 4032u /* of a block of a large queue */

ptq_queue *large_open(struct contract *c, const char *name, uint64_t capacity);

/* ---- side files */

struct sides {
    unsigned count;
    uint64_t bytes;  /* that have memory */
    char path[400];  /* of one of them */
};

void large_look_at_sides(struct contract *c, const char *queue, struct sides *sides);
void large_assert_sides(struct contract *c, const char *queue, unsigned count);

/* ---- messages */

void large_put(ptq_queue *queue, size_t size, uint64_t seed);
void large_assert_is(const ptq_msg *msg, size_t size, uint64_t seed);
void large_get(ptq_queue *queue, size_t size, uint64_t seed); /* and acks */

/* What a process is sent for. */
struct errand {
    struct contract *c;
    struct ptt_page *page;
    uint64_t count;
};

#endif
