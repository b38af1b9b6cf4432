/* case_random.c -- random calls beside a model of a queue: what is in it, in which order, and what each call must answer.
 *
 * The model is a plain array in put order.  Redeliverable messages come first, by place; then fresh ones.  The seed is
 * printed; PTT_SEED repeats a run.
 */
#include <stdio.h>
#include <stdlib.h>

#include "contract/contract.h"

#define HANDLES 3
#define ITEM CONTRACT_RANDOM_ITEM

enum place { FRESH, LEASED, AGAIN, GONE, BURIED };

struct entry {
    enum place place;
    uint32_t deliveries;
    uint32_t size;
    bool flagged;
    unsigned holder;
    ptq_msg *msg;
};

struct model {
    struct contract *c;
    uint64_t seed;
    uint64_t capacity;
    ptq_queue *queues[HANDLES];
    struct entry *entries;
    size_t put, max; /* entries[0 .. put) were put */
    size_t first;    /* all before it are gone */
    uint64_t fresh, held, again, buried, acked, nacked;
    ptq_msg *loans[HANDLES];
    uint64_t step;
};

static uint64_t roll(struct model *model, uint64_t sides) { return ptt_random(&model->seed) % sides; }

static void add_entry(struct model *model, uint32_t size)
{
    assert_true(model->put < model->max);
    model->entries[model->put++] = (struct entry){.place = FRESH, .size = size};
    model->fresh++;
}

static size_t next_entry(const struct model *model)
{
    for (size_t i = model->first; i < model->put; i++)
        if (model->entries[i].place == AGAIN)
            return i;
    for (size_t i = model->first; i < model->put; i++)
        if (model->entries[i].place == FRESH)
            return i;
    return SIZE_MAX;
}

/* A put of `count` was answered: may it be?  FULL below capacity only while leases, loans and the dead hold blocks. */
static bool is_accepted(struct model *model, enum ptq_err err, uint64_t count)
{
    if (err == PTQ_OK && model->fresh + count <= model->capacity)
        return true;
    bool holds_blocks = model->held + model->again + model->buried > 0;
    for (int i = 0; i < HANDLES; i++)
        holds_blocks |= model->loans[i] != NULL;
    if (err == PTQ_FULL && (model->fresh + count > model->capacity || holds_blocks))
        return false;
    fail_msg("step %llu: a put of %llu beside %llu fresh of %llu (%llu held, %llu again) was answered %s",
             (unsigned long long)model->step, (unsigned long long)count, (unsigned long long)model->fresh,
             (unsigned long long)model->capacity, (unsigned long long)model->held, (unsigned long long)model->again,
             ptq_err_name(err));
    return false;
}

static void put_one(struct model *model, ptq_queue *queue)
{
    unsigned char bytes[ITEM];
    uint32_t size = (uint32_t)roll(model, ITEM + 1);

    contract_fill(bytes, size, model->put);
    if (is_accepted(model, ptq_put(queue, bytes, size, PTQ_NOWAIT), 1))
        add_entry(model, size);
}

static void put_batch(struct model *model, ptq_queue *queue)
{
    unsigned char bytes[8][ITEM];
    struct ptq_bytes items[8];
    size_t count = 1 + roll(model, model->capacity < 8 ? model->capacity : 8);

    for (size_t i = 0; i < count; i++) {
        items[i] = (struct ptq_bytes){bytes[i], roll(model, ITEM + 1)};
        contract_fill(bytes[i], items[i].size, model->put + i);
    }
    if (is_accepted(model, ptq_put_many(queue, items, count, PTQ_NOWAIT, NULL), count))
        for (size_t i = 0; i < count; i++)
            add_entry(model, (uint32_t)items[i].size);
}

static void loan_or_publish(struct model *model, unsigned handle)
{
    ptq_msg **loan = &model->loans[handle];

    if (*loan == NULL) {
        enum ptq_err err = ptq_loan(model->queues[handle], ITEM, PTQ_NOWAIT, loan);
        assert_true(err == PTQ_OK || err == PTQ_FULL);
        return;
    }
    if (roll(model, 4) == 0) {
        ptq_abort(*loan);
        *loan = NULL;
        return;
    }
    uint32_t size = (uint32_t)roll(model, ITEM + 1);
    contract_fill(ptq_msg_buffer(*loan), size, model->put);
    if (is_accepted(model, ptq_publish(*loan, size, PTQ_NOWAIT, NULL), 1)) {
        *loan = NULL;
        add_entry(model, size);
    }
}

static void check_got(struct model *model, ptq_msg *msg, size_t expected, unsigned handle)
{
    struct entry *entry = &model->entries[expected];

    if (ptq_msg_size(msg) != entry->size || !contract_is_filled(ptq_msg_data(msg), entry->size, expected))
        fail_msg("step %llu: not message %zu was got", (unsigned long long)model->step, expected);
    assert_int_equal(ptq_msg_redelivered(msg), entry->flagged);
    assert_int_equal(ptq_msg_deliveries(msg), ++entry->deliveries);
    *(entry->place == AGAIN ? &model->again : &model->fresh) -= 1;
    model->held++;
    entry->place = LEASED;
    entry->msg = msg;
    entry->holder = handle;
}

static void get_some(struct model *model, unsigned handle, size_t max)
{
    ptq_msg *msgs[8];
    size_t count = 0;
    enum ptq_err err = max == 1 ? ptq_get(model->queues[handle], PTQ_NOWAIT, msgs)
                                : ptq_get_many(model->queues[handle], msgs, 1, max, PTQ_NOWAIT, &count);

    if (next_entry(model) == SIZE_MAX) {
        assert_answer(PTQ_EMPTY, err);
        return;
    }
    if (err != PTQ_OK)
        fail_msg("step %llu: a get beside %llu fresh and %llu again was answered %s", (unsigned long long)model->step,
                 (unsigned long long)model->fresh, (unsigned long long)model->again, ptq_err_name(err));
    count = max == 1 ? 1 : count;
    assert_true(count <= max && (count == max || count == model->fresh + model->again));
    for (size_t i = 0; i < count; i++)
        check_got(model, msgs[i], next_entry(model), handle);
}

static void recv_one(struct model *model, unsigned handle)
{
    unsigned char bytes[ITEM];
    size_t size = 0, room = roll(model, ITEM + 1), next = next_entry(model);
    enum ptq_err err = ptq_recv(model->queues[handle], bytes, room, PTQ_NOWAIT, &size);

    if (next == SIZE_MAX) {
        assert_answer(PTQ_EMPTY, err);
        return;
    }
    struct entry *entry = &model->entries[next];
    assert_answer(entry->size > room ? PTQ_EMSGSIZE : PTQ_OK, err);
    assert_int_equal(size, entry->size);
    if (err != PTQ_OK) { /* untaken: uncounted and unflagged, but from now on it needs no room */
        model->fresh -= entry->place == FRESH;
        model->again += entry->place == FRESH;
        entry->place = AGAIN;
        return;
    }
    assert_true(contract_is_filled(bytes, size, next));
    *(entry->place == AGAIN ? &model->again : &model->fresh) -= 1;
    entry->place = GONE;
    model->acked++;
}

static size_t some_leased(struct model *model)
{
    size_t span = model->put - model->first, from = span > 0 ? roll(model, span) : 0;

    for (size_t i = 0; i < span; i++) {
        size_t at = model->first + (from + i) % span;
        if (model->entries[at].place == LEASED)
            return at;
    }
    return SIZE_MAX;
}

static void settle_one(struct model *model, bool ack)
{
    size_t at = some_leased(model);

    if (at == SIZE_MAX)
        return;
    struct entry *entry = &model->entries[at];
    assert_ok(ack ? ptq_ack(entry->msg) : ptq_nack(entry->msg, 0));
    model->held--;
    model->acked += ack;
    model->nacked += !ack;
    model->again += !ack;
    entry->place = ack ? GONE : AGAIN;
    entry->flagged = true;
}

static void reopen(struct model *model, unsigned handle)
{
    ptq_queue_close(model->queues[handle]);
    model->loans[handle] = NULL;
    for (size_t i = model->first; i < model->put; i++)
        if (model->entries[i].place == LEASED && model->entries[i].holder == handle) {
            model->entries[i].place = AGAIN;
            model->entries[i].flagged = true;
            model->held--;
            model->again++;
        }
    model->queues[handle] = contract_open(model->c, "tasks", NULL);
}

static void check_stats(struct model *model)
{
    struct ptq_queue_stats stats = contract_stats(model->queues[0]);

    assert_int_equal(stats.put, model->put);
    assert_int_equal(stats.ready, model->fresh + model->again);
    assert_int_equal(stats.leased, model->held);
    assert_int_equal(stats.acked, model->acked);
    contract_verify(model->c, "tasks");
}

static void take_step(struct model *model)
{
    unsigned handle = (unsigned)roll(model, HANDLES);
    ptq_queue *queue = model->queues[handle];
    uint64_t what = roll(model, 100);

    if (what < 28)
        put_one(model, queue);
    else if (what < 38)
        put_batch(model, queue);
    else if (what < 46)
        loan_or_publish(model, handle);
    else if (what < 62)
        get_some(model, handle, 1);
    else if (what < 67)
        get_some(model, handle, 2 + roll(model, 7));
    else if (what < 77)
        recv_one(model, handle);
    else if (what < 92)
        settle_one(model, true);
    else if (what < 99)
        settle_one(model, false);
    else
        reopen(model, handle);
    while (model->first < model->put && model->entries[model->first].place == GONE)
        model->first++;
}

void contract_run_random(struct contract *c, uint64_t capacity, uint64_t steps)
{
    struct model model = {.c = c, .seed = ptt_seed(), .capacity = capacity, .max = steps * 8};

    model.entries = calloc(model.max, sizeof *model.entries);
    assert_non_null(model.entries);
    for (int i = 0; i < HANDLES; i++)
        model.queues[i] = contract_open(
            c, "tasks",
            &(struct ptq_queue_options){.capacity = capacity, .item_size = ITEM, .max_deliveries = PTQ_NEVER});
    for (model.step = 0; model.step < steps; model.step++) {
        take_step(&model);
        if (model.step % 256 == 0)
            check_stats(&model);
    }
    for (unsigned i = 0; i < HANDLES; i++)
        reopen(&model, i);
    while (next_entry(&model) != SIZE_MAX) {
        get_some(&model, 0, 1);
        settle_one(&model, true);
    }
    assert_get(PTQ_EMPTY, model.queues[1]);
    check_stats(&model);
    for (int i = 0; i < HANDLES; i++)
        ptq_queue_close(model.queues[i]);
    assert_ok(ptq_queue_unlink(c->home.bus, "tasks", true));
    free(model.entries);
}

static void random_calls_answer_as_the_model_says(void **state)
{
    struct contract *c = *state;
    static const uint64_t capacities[] = {1, 2, 3, 7, 20, 63, 64, 65, 200};

    for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++)
        contract_run_random(c, capacities[i], c->carrier->remote ? 300 : 6000);
}

static const struct contract_case random_cases[] = {
    CONTRACT_CASE(random_calls_answer_as_the_model_says),
};
CONTRACT_GROUP(random);
