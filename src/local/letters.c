/* letters.c -- a handle on "<queue>!dead": the view of its dead letters.  It takes, acks and gives back; nothing goes in. */
#include <pthread.h>

#include "base/time.h"
#include "local/verbs.h"
#include "ring/wait.h"

/* ---- out */

static enum ptq_err take_now(struct pti_local *local, struct pti_place *place, size_t max, struct ptq_msg **msgs,
                             size_t *ret_count)
{
    enum ptq_err err = PTQ_OK;
    size_t count = 0;

    while (count < max) {
        struct ptq_msg *msg = pti_local_msg_new(local, place);
        uint32_t block;
        uint64_t word;

        if (!msg) {
            err = PTQ_ENOMEM;
            break;
        }
        err = pti_dead_take(&place->lane, &block, &word);
        if (err != PTQ_OK) {
            pti_local_msg_free(place, msg);
            break;
        }
        err = pti_local_show(local, place, msg, block, word);
        if (err != PTQ_OK) {
            pti_dead_return(&place->lane, block, word);
            pti_local_msg_free(place, msg);
            break;
        }
        msg->kind &= (uint8_t)~PTI_KIND_LETTER;
        msgs[count++] = msg;
    }
    if (count == 0)
        return err;
    *ret_count = count;
    return PTQ_OK;
}

bool pti_local_may_take_letter(struct pti_place *place)
{
    return pti_dead_count(place->lane.ring) > 0 || pti_dead_is_over(&place->lane);
}

/* PTQ_OK: try again. */
static enum ptq_err nothing(struct pti_local *local, struct pti_place *place, int64_t deadline, struct pti_sleep *sleep)
{
    if (pti_dead_is_over(&place->lane)) {
        pti_fetch_or_seq(&local->ring.hints->flags, PTI_FLAG_ENDED); /* [F, W] */
        pti_local_rearm(local, PTQ_SIDE_GET);
        return PTQ_END;
    }
    if (deadline != PTI_DEADLINE_NOW)
        return pti_local_wait(local, place, PTQ_SIDE_GET, 1, deadline, sleep);
    if (pti_local_nothing(local, place, PTQ_SIDE_GET))
        return PTQ_OK;
    if (pti_local_disarm(local, place, PTQ_SIDE_GET) && pti_local_may_take_letter(place)) {
        pti_local_rearm(local, PTQ_SIDE_GET);
        return pti_local_once_more(sleep) ? PTQ_OK : PTQ_EMPTY;
    }
    return PTQ_EMPTY;
}

static enum ptq_err letters_take(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs,
                                 size_t *ret_count)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_sleep sleep = {0};
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(local, &place);

    if (err != PTQ_OK)
        return err;
    do {
        err = take_now(local, place, max, msgs, ret_count);
        if (err != PTQ_EMPTY)
            break;
        err = nothing(local, place, deadline, &sleep);
    } while (err == PTQ_OK);
    pti_local_leave(place);
    return pti_local_judge(port, err);
}

/* It stays dead, whether it was done in or only looked at. */
static enum ptq_err letters_nack(struct pti_port *port, struct ptq_msg *msg, int delay_ms)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_place *place;
    enum ptq_err err = pti_local_enter_with(local, msg, &place);

    (void)delay_ms;
    if (err != PTQ_OK)
        return err;
    pti_dead_return(&place->lane, msg->block, msg->word);
    pti_local_msg_free(place, msg);
    pti_local_leave(place);
    return pti_local_judge(port, PTQ_OK);
}

static enum ptq_err letters_untake(struct pti_port *port, struct ptq_msg *msg) { return letters_nack(port, msg, 0); }

enum ptq_err pti_local_kick(struct pti_port *port, uint64_t max, uint64_t *ret_count)
{
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(pti_local_of(port), &place);

    if (err != PTQ_OK)
        return err;
    err = pti_dead_kick(&place->lane, max, ret_count);
    pti_local_leave(place);
    return pti_local_judge(port, err);
}

static enum ptq_err letters_purge(struct pti_port *port, uint64_t *ret_count)
{
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(pti_local_of(port), &place);

    if (err != PTQ_OK)
        return err;
    err = pti_dead_purge(&place->lane, ret_count);
    pti_local_leave(place);
    return pti_local_judge(port, err);
}

/* ---- in: nothing */

static enum ptq_err no_put(struct pti_port *port, const struct pti_put *put, int64_t deadline, uint64_t *ret_position)
{
    (void)port, (void)put, (void)deadline, (void)ret_position;
    return PTQ_EINVAL;
}

static enum ptq_err no_put_many(struct pti_port *port, const struct pti_put *puts, size_t count, int64_t deadline,
                                uint64_t *ret_position)
{
    (void)count;
    return no_put(port, puts, deadline, ret_position);
}

static enum ptq_err no_loan(struct pti_port *port, uint32_t size, int64_t deadline, struct ptq_msg **ret_loan)
{
    (void)port, (void)size, (void)deadline, (void)ret_loan;
    return PTQ_EINVAL;
}

static enum ptq_err no_publish(struct pti_port *port, struct ptq_msg *loan, const struct pti_put *put, int64_t deadline,
                               uint64_t *ret_position)
{
    (void)loan;
    return no_put(port, put, deadline, ret_position);
}

static void no_abort(struct pti_port *port, struct ptq_msg *loan) { (void)port, (void)loan; }

static enum ptq_err no_place(struct pti_port *port, uint64_t position, const struct pti_put *put, int64_t deadline)
{
    (void)position;
    return no_put(port, put, deadline, NULL);
}

static enum ptq_err no_end(struct pti_port *port)
{
    (void)port;
    return PTQ_EINVAL;
}

static enum ptq_err no_limit(struct pti_port *port, uint64_t limit)
{
    (void)port, (void)limit;
    return PTQ_EINVAL;
}

static enum ptq_err no_claim(struct pti_port *port, int64_t deadline)
{
    (void)port, (void)deadline;
    return PTQ_EINVAL;
}

static enum ptq_err no_pause(struct pti_port *port, bool pause)
{
    (void)port, (void)pause;
    return PTQ_EINVAL;
}

/* ---- the tables: what is not said here is as for the queue itself, guarded or not */

static struct pti_port_ops tables[2];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_table(const struct pti_port_ops *of_the_queue, struct pti_port_ops *ret_ops)
{
    *ret_ops = *of_the_queue;
    ret_ops->put = no_put;
    ret_ops->put_many = no_put_many;
    ret_ops->loan = no_loan;
    ret_ops->publish = no_publish;
    ret_ops->abort = no_abort;
    ret_ops->place = no_place;
    ret_ops->end = no_end;
    ret_ops->limit = no_limit;
    ret_ops->claim = no_claim;
    ret_ops->pause = no_pause;
    ret_ops->purge = letters_purge;
    ret_ops->take = letters_take;
    ret_ops->recv = NULL; /* queue.c does it in steps */
    ret_ops->nack = letters_nack;
    ret_ops->untake = letters_untake;
}

static void make_tables(void)
{
    make_table(&pti_local_ops, &tables[0]);
    make_table(pti_local_guarded(), &tables[1]);
}

const struct pti_port_ops *pti_local_letters(bool guarded)
{
    pthread_once(&once, make_tables);
    return &tables[guarded];
}
