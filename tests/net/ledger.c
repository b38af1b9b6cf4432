/* ledger.c -- what was promised, and what came: puts and gets that are written down. */
#include "net/ledger.h"

#include <stdlib.h>
#include <string.h>

void *ledger_produce(void *context)
{
    struct ledger *ledger = context;

    for (uint64_t number = 1; number <= ledger->count; number++) {
        while (!ptt_wait_word(&ledger->open_to, number, PTT_LONG))
            ;
        enum ptq_err answer = ptq_put(ledger->queue, &number, sizeof number, PTT_LONG);
        ledger->put[number] = (unsigned char)(answer + 1);
        if (answer == PTQ_EINDOUBT)
            atomic_fetch_add(&ledger->in_doubt, 1);
        else if (answer != PTQ_OK)
            atomic_fetch_add(&ledger->refused, 1);
        atomic_store(&ledger->done, number);
    }
    return NULL;
}

void ledger_go_on(struct ledger *put, uint64_t portion)
{
    uint64_t from = atomic_fetch_add(&put->open_to, portion);

    assert_true(ptt_wait_word(&put->done, from + portion / 10, PTT_LONG));
}

static uint64_t number_of(ptq_msg *msg)
{
    uint64_t number = 0;

    if (ptq_msg_size(msg) == sizeof number)
        memcpy(&number, ptq_msg_data(msg), sizeof number);
    return number <= LEDGER_MOST ? number : 0;
}

void *ledger_consume(void *context)
{
    struct ledger *ledger = context;
    enum ptq_err answer;
    ptq_msg *msg;

    while ((answer = ptq_get(ledger->queue, PTT_LONG, &msg)) != PTQ_END && answer != PTQ_TIMEDOUT) {
        if (answer != PTQ_OK)
            continue; /* the home is away */
        uint64_t number = number_of(msg);
        ledger->seen[number]++;
        ledger->unflagged[number] += !ptq_msg_redelivered(msg);
        answer = ptq_ack(msg);
        if (answer == PTQ_OK)
            atomic_fetch_add(&ledger->acked, 1);
        else if (answer == PTQ_ELEASELOST || answer == PTQ_EINDOUBT)
            atomic_fetch_add(&ledger->lost_leases, 1);
        else
            atomic_fetch_add(&ledger->refused, 1);
    }
    return NULL;
}

void ledger_assert(const struct ledger *put, const struct ledger *got)
{
    assert_int_equal(got->seen[0], 0);
    for (uint64_t number = 1; number <= put->count; number++) {
        bool promised = put->put[number] == PTQ_OK + 1, doubt = put->put[number] == PTQ_EINDOUBT + 1;
        if (promised && got->seen[number] == 0)
            fail_msg("message %llu was promised and is lost", (unsigned long long)number);
        if (promised && got->unflagged[number] > 1)
            fail_msg("message %llu came %u times without a flag", (unsigned long long)number, got->unflagged[number]);
        if (!promised && !doubt && got->seen[number] > 0)
            fail_msg("message %llu was refused and came", (unsigned long long)number);
    }
}

struct ledger *ledger_new(ptq_queue *queue, uint64_t count)
{
    struct ledger *ledger = calloc(1, sizeof *ledger);

    assert_non_null(ledger);
    ledger->queue = queue;
    ledger->count = count;
    ledger->open_to = count;
    return ledger;
}
