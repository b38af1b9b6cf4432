/* test_verbs.c -- the ring under the API: fragmented batches, strays, a killed freer, several lives of an endpoint. */
#include "support/ptt.h"

#include <stdlib.h>
#include <string.h>

#include "bus/attach.h"
#include "ring/tally.h"

struct ring {
    struct pti_ring ring;
    struct pti_lane lane;
};

/* A lane of its own, as another process would have. */
static void enter(struct ptt_scratch *scratch, uint64_t capacity, struct ring *r)
{
    struct pti_attach ask = {.geometry = {.capacity = capacity, .item_size = 64}};

    assert_ok(pti_attach(scratch->bus, "q", &ask, NULL, &r->ring, &r->lane));
}

static void leave(struct ring *r)
{
    pti_lane_unregister(&r->lane);
    pti_ring_fini(&r->ring);
}

static void put_one(struct ring *r, uint32_t value)
{
    struct pti_meta meta = {.size = sizeof value};
    uint32_t block;
    uint64_t before, position;

    assert_ok(pti_block_alloc(&r->lane, &block, &before));
    pti_block_fill(&r->lane, block, &meta, 0, 0);
    memcpy(pti_block_at(&r->ring, block)->payload, &value, sizeof value);
    assert_ok(pti_ring_publish(&r->lane, block, before, &position));
}

static uint32_t take_one(struct ring *r, uint32_t *ret_block, uint64_t *ret_word)
{
    uint32_t value;

    assert_ok(pti_ring_take(&r->lane, ret_block, ret_word));
    memcpy(&value, pti_block_at(&r->ring, *ret_block)->payload, sizeof value);
    return value;
}

static void assert_balanced(struct ring *r)
{
    struct pti_tally t;

    pti_tally_make(&r->ring, &t);
    assert_int_equal(t.put, t.acked + t.ready + t.leased + t.redeliverable + t.delayed + t.dead);
    assert_int_equal(pti_tally_check(&r->ring, NULL, NULL), 0);
}

#define MANY 200

/* A batch of MANY / 2 elements of which no two are neighbours, so that it needs several lists: every second block is held
 * back by a lease of b. */
struct scattered {
    struct ring a, b;
    uint32_t held[2 * MANY];
    uint64_t words[2 * MANY], position;
};

static void scatter(struct ptt_scratch *scratch, struct scattered *t)
{
    struct pti_scratch *s = &t->a.lane.scratch;

    enter(scratch, 1000, &t->a);
    enter(scratch, 0, &t->b);
    for (uint32_t i = 0; i < 2 * MANY; i++)
        put_one(&t->a, i);
    for (uint32_t i = 0; i < 2 * MANY; i++)
        assert_int_equal(take_one(&t->b, &t->held[i], &t->words[i]), i);
    for (uint32_t i = 0; i < 2 * MANY; i += 2)
        pti_ring_ack(&t->b.lane, t->held[i], t->words[i]);

    s->blocks = calloc(MANY, sizeof *s->blocks);
    s->befores = calloc(MANY, sizeof *s->befores);
    s->lists = calloc(MANY, sizeof *s->lists);
    s->list_befores = calloc(MANY, sizeof *s->list_befores);
    s->size = MANY;
    for (uint32_t i = 0; i < MANY / 2; i++) {
        struct pti_meta meta = {.size = sizeof i};

        t->a.lane.own_at = 2 * i; /* past the one that is held */
        t->a.lane.own_away = 0;
        assert_ok(pti_block_alloc(&t->a.lane, &s->blocks[i], &s->befores[i]));
        pti_block_keep(&t->a.lane, s->blocks[i], true);
        pti_block_fill(&t->a.lane, s->blocks[i], &meta, i, 0);
        memcpy(pti_block_at(&t->a.ring, s->blocks[i])->payload, &i, sizeof i);
        if (i > 0)
            assert_true(s->blocks[i] != s->blocks[i - 1] + 1);
    }
    assert_ok(pti_ring_publish_batch(&t->a.lane, MANY / 2, MANY / 2, &t->position));
}

static uint32_t next_list(struct ring *r, uint32_t list)
{
    return pti_load_relaxed(&((struct pti_batch *)(void *)pti_block_at(&r->ring, list)->payload)->next);
}

static void gather(struct scattered *t)
{
    uint32_t block;
    uint64_t word;

    assert_answer(PTQ_EMPTY, pti_ring_take(&t->a.lane, &block, &word));
    for (uint32_t i = 1; i < 2 * MANY; i += 2)
        pti_ring_ack(&t->b.lane, t->held[i], t->words[i]);
    assert_balanced(&t->a);
    for (uint32_t list = 0; list < 4; list++) /* header and lists came back */
        assert_true(pti_word_state(pti_load_relaxed(&pti_block_at(&t->a.ring, t->a.lane.scratch.lists[list])->word)) !=
                    PTI_COMMITH);
    leave(&t->b);
    leave(&t->a);
}

static void a_batch_of_scattered_blocks_needs_several_lists(void **state)
{
    struct scattered t;
    uint32_t block;
    uint64_t word;

    scatter(*state, &t);
    assert_true(next_list(&t.a, t.a.lane.scratch.lists[0]) != 0);
    for (uint32_t i = 0; i < MANY / 2; i++) {
        assert_int_equal(take_one(&t.b, &block, &word), i);
        assert_true(pti_word_position(word) == t.position);
        pti_ring_ack(&t.b.lane, block, word);
    }
    gather(&t);
}

/* The consumer of the last element is killed after it freed the last list, and before the header. */
static void a_header_half_freed_by_the_dead_is_freed_by_the_next(void **state)
{
    struct scattered t;
    struct pti_block *last_list;
    uint32_t block, list, last;
    uint64_t word, lease;

    scatter(*state, &t);
    for (uint32_t i = 0; i + 1 < MANY / 2; i++) {
        assert_int_equal(take_one(&t.b, &block, &word), i);
        pti_ring_ack(&t.b.lane, block, word);
    }
    last = t.a.lane.scratch.blocks[MANY / 2 - 1];
    lease = pti_word(PTI_LEASED, t.b.lane.index, t.position, 0);
    pti_store_relaxed(&pti_block_at(&t.a.ring, last)->word, lease);
    for (list = t.a.lane.scratch.lists[0]; next_list(&t.a, list) != 0; list = next_list(&t.a, list) - 1)
        ;
    last_list = pti_block_at(&t.a.ring, list);
    word = pti_load_relaxed(&last_list->word);
    pti_store_relaxed(&last_list->word, pti_word(PTI_FREE, 0, pti_word_position(word), 0));

    assert_answer(PTQ_EMPTY, pti_ring_take(&t.a.lane, &block, &word));
    pti_ring_ack(&t.b.lane, last, lease);
    gather(&t);
}

static void an_ack_to_a_home_that_has_gone_is_found_again(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ring a, b;
    uint32_t block;
    uint64_t word;

    enter(scratch, 10, &a);
    enter(scratch, 0, &b);
    put_one(&a, 7);
    assert_int_equal(take_one(&b, &block, &word), 7);
    leave(&a);
    pti_ring_ack(&b.lane, block, word);
    assert_int_equal(pti_word_state(pti_load_relaxed(&pti_block_at(&b.ring, block)->word)), PTI_OWNED);
    pti_ring_sweep(&b.ring, true);
    assert_int_equal(pti_word_state(pti_load_relaxed(&pti_block_at(&b.ring, block)->word)), PTI_FREE);
    assert_balanced(&b);
    leave(&b);
}

static void what_a_lane_leased_comes_again_when_it_leaves(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ring a, b;
    uint32_t block;
    uint64_t word;

    enter(scratch, 10, &a);
    enter(scratch, 0, &b);
    put_one(&a, 1);
    put_one(&a, 2);
    assert_int_equal(take_one(&b, &block, &word), 1);
    leave(&b);
    assert_int_equal(take_one(&a, &block, &word), 1);
    assert_int_equal(pti_word_redelivered(word), 1);
    pti_ring_ack(&a.lane, block, word);
    assert_int_equal(take_one(&a, &block, &word), 2);
    assert_int_equal(pti_word_redelivered(word), 0);
    pti_ring_ack(&a.lane, block, word);
    assert_balanced(&a);
    leave(&a);
}

static void the_next_life_of_an_endpoint_counts_on(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ring keeper, a;

    enter(scratch, 100, &keeper);
    for (uint32_t life = 0; life < 5; life++) {
        enter(scratch, 0, &a);
        assert_int_equal(a.lane.index, 1);
        put_one(&a, life);
        assert_int_equal(pti_load_relaxed(&a.lane.entry->put), life + 1);
        leave(&a);
    }
    assert_balanced(&keeper);
    leave(&keeper);
}

static void a_journal_line_of_a_commit_that_happened_is_finished(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ring a, b;
    struct pti_entry *entry;
    uint64_t dead[32] = {0};

    enter(scratch, 10, &a);
    enter(scratch, 0, &b);
    put_one(&a, 1);
    /* As if a had been killed between the slot's CAS and the counter. */
    entry = a.lane.entry;
    pti_store_relaxed(&entry->put, 0);
    dead[0] = UINT64_C(1) << a.lane.index;
    pti_ring_recover(&b.ring, dead);
    assert_int_equal(pti_load_relaxed(&entry->put), 1);
    pti_ring_recover(&b.ring, dead);
    assert_int_equal(pti_load_relaxed(&entry->put), 1);
    assert_balanced(&b);
    pti_store_relaxed(&entry->state, 1);
    leave(&a);
    leave(&b);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, ptt_setup_scratch, ptt_teardown_scratch)
    const struct CMUnitTest tests[] = {
        CASE(a_batch_of_scattered_blocks_needs_several_lists),
        CASE(a_header_half_freed_by_the_dead_is_freed_by_the_next),
        CASE(an_ack_to_a_home_that_has_gone_is_found_again),
        CASE(what_a_lane_leased_comes_again_when_it_leaves),
        CASE(the_next_life_of_an_endpoint_counts_on),
        CASE(a_journal_line_of_a_commit_that_happened_is_finished),
    };

    return cmocka_run_group_tests_name("ring_verbs", tests, NULL, NULL);
}
