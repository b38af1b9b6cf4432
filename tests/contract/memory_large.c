/* memory_large.c -- messages that stand in side files: every boundary, loans, batches, headers, and what becomes of the files. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <ptq/metrics.h>

#include "contract/large.h"

static const size_t boundaries[] = {
    0, 1, INLINE - 1, INLINE, INLINE + 1, 65535, 65536, 65537, MIB - 1, MIB, MIB + 1, 2 * MIB, 2 * MIB + 1, LARGEST - 1, LARGEST};
#define BOUNDARIES (sizeof boundaries / sizeof *boundaries)

static void sizes_around_every_boundary_come_out_whole_and_in_order(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = large_open(c, "tasks", BOUNDARIES);
    unsigned char *buffer = malloc(LARGEST);

    for (int way = 0; way < 2; way++) {
        for (size_t i = 0; i < BOUNDARIES; i++)
            large_put(queue, boundaries[i], i);
        contract_verify(c, "tasks");
        for (size_t i = 0; i < BOUNDARIES; i++) {
            size_t size = 1;

            if (way == 0) {
                large_get(queue, boundaries[i], i);
                continue;
            }
            assert_ok(ptq_recv(queue, buffer, LARGEST, PTQ_NOWAIT, &size));
            assert_int_equal(size, boundaries[i]);
            assert_true(contract_is_filled(buffer, size, i));
        }
        assert_get(PTQ_EMPTY, queue);
    }
    assert_answer(PTQ_EMSGSIZE, ptq_put(queue, buffer, LARGEST + 1, PTQ_NOWAIT));
    contract_verify(c, "tasks");
    free(buffer);
    ptq_queue_close(queue);
}

static void small_messages_of_a_large_queue_make_no_files(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = large_open(c, "tasks", 100);

    for (uint64_t i = 0; i < 100; i++)
        large_put(queue, INLINE, i);
    for (uint64_t i = 0; i < 100; i++)
        large_get(queue, INLINE, i);
    large_assert_sides(c, "tasks", 0);
    ptq_queue_close(queue);
}

static void a_queue_up_to_a_mebibyte_makes_no_files(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 4, MIB);

    large_put(queue, MIB, 1);
    large_assert_sides(c, "tasks", 0);
    large_get(queue, MIB, 1);
    ptq_queue_close(queue);
}

static void one_message_at_a_time_uses_one_file_over_and_over(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = large_open(c, "tasks", 10);
    struct sides sides;

    for (uint64_t i = 0; i < 50; i++) {
        large_put(queue, MIB + i, i);
        large_put(queue, 100, i);
        large_get(queue, MIB + i, i);
        large_get(queue, 100, i);
    }
    large_look_at_sides(c, "tasks", &sides);
    assert_int_equal(sides.count, 1);
    assert_in_range(sides.bytes, MIB, 2 * MIB);
    ptq_queue_close(queue);
}

static void the_file_of_the_last_message_is_left_to_those_whom_it_fits(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = large_open(c, "tasks", 10);
    struct sides sides;

    large_put(queue, LARGEST, 1);
    large_put(queue, MIB, 2);
    large_get(queue, LARGEST, 1);
    large_get(queue, MIB, 2);
    for (uint64_t i = 0; i < 10; i++) {
        large_put(queue, LARGEST, i);
        large_get(queue, LARGEST, i);
        large_put(queue, MIB, i + 1);
        large_put(queue, LARGEST, i + 2);
        large_get(queue, MIB, i + 1);
        large_get(queue, LARGEST, i + 2);
    }
    large_look_at_sides(c, "tasks", &sides);
    assert_int_equal(sides.count, 2);
    assert_in_range(sides.bytes, LARGEST + MIB, LARGEST + MIB + MIB / 2);
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
}

static void stats_count_the_memory_of_side_files(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = large_open(c, "tasks", 10);
    uint64_t before = contract_stats(queue).bytes;

    for (uint64_t i = 0; i < 3; i++)
        large_put(queue, 2 * MIB, i);

    uint64_t after = contract_stats(queue).bytes;
    assert_in_range(after - before, 6 * MIB, 7 * MIB);
    ptq_queue_close(queue);
}

static void a_leased_message_keeps_its_address_while_others_come(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = large_open(c, "tasks", 4);
    ptq_msg *held;

    large_put(queue, MIB, 1);
    assert_ok(ptq_get(queue, PTQ_NOWAIT, &held));
    const void *data = ptq_msg_data(held);
    for (uint64_t i = 0; i < 20; i++) {
        large_put(queue, LARGEST - i, i);
        large_get(queue, LARGEST - i, i);
    }
    assert_ptr_equal(ptq_msg_data(held), data);
    large_assert_is(held, MIB, 1);
    assert_ok(ptq_nack(held, 0));
    large_get(queue, MIB, 1);
    ptq_queue_close(queue);
}

/* ---- loans, batches, headers */

static void a_loan_of_any_size_is_published_at_any_smaller_one(void **state)
{
    static const size_t ends[] = {0, 1, INLINE - 512, INLINE, INLINE + 1, MIB, LARGEST};
    struct contract *c = *state;
    ptq_queue *queue = large_open(c, "tasks", 4);

    for (size_t from = 0; from < sizeof ends / sizeof *ends; from++)
        for (size_t to = 0; to <= from; to++) {
            ptq_msg *loan;

            assert_ok(ptq_loan(queue, ends[from], PTQ_NOWAIT, &loan));
            contract_fill(ptq_msg_buffer(loan), ends[from], 7);
            contract_fill(ptq_msg_buffer(loan), ends[to], from * 10 + to);
            assert_ok(ptq_publish(loan, ends[to], PTQ_NOWAIT, NULL));
            large_get(queue, ends[to], from * 10 + to);
        }
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
}

static void an_aborted_loan_leaves_its_file_for_the_next(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = large_open(c, "tasks", 4);

    for (int i = 0; i < 10; i++) {
        ptq_msg *loan;

        assert_ok(ptq_loan(queue, 2 * MIB, PTQ_NOWAIT, &loan));
        memset(ptq_msg_buffer(loan), i, 2 * MIB);
        ptq_abort(loan);
    }
    large_put(queue, 2 * MIB, 3);
    large_assert_sides(c, "tasks", 1);
    large_get(queue, 2 * MIB, 3);
    ptq_queue_close(queue);
}

static void a_batch_mixes_small_and_large(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = large_open(c, "tasks", BOUNDARIES);
    struct ptq_bytes items[BOUNDARIES];
    ptq_msg *msgs[BOUNDARIES];
    size_t count = 0;

    for (size_t i = 0; i < BOUNDARIES; i++) {
        void *bytes = malloc(boundaries[i] + 1);

        contract_fill(bytes, boundaries[i], i);
        items[i] = (struct ptq_bytes){bytes, boundaries[i]};
    }
    assert_ok(ptq_put_many(queue, items, BOUNDARIES, PTQ_NOWAIT, NULL));
    contract_verify(c, "tasks");
    while (count < BOUNDARIES) {
        size_t got;

        assert_ok(ptq_get_many(queue, msgs + count, 1, BOUNDARIES - count, PTQ_NOWAIT, &got));
        count += got;
    }
    for (size_t i = 0; i < BOUNDARIES; i++) {
        large_assert_is(msgs[i], boundaries[i], i);
        assert_ok(ptq_ack(msgs[i]));
        free((void *)(uintptr_t)items[i].data);
    }
    ptq_queue_close(queue);
}

static void headers_go_with_the_message_across_the_boundary(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = large_open(c, "tasks", 4);
    unsigned char *bytes = malloc(LARGEST);
    static const size_t sizes[] = {INLINE - 60, INLINE - 41, INLINE - 40, INLINE - 39, INLINE - 4, INLINE, MIB, LARGEST};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct ptq_header header = {.name = "content", .value = "0123456789012345678901", .size = 22};
        struct ptq_put_options options = {.headers = &header, .header_count = 1};
        const void *value;
        size_t size;
        ptq_msg *msg;

        contract_fill(bytes, sizes[i], i);
        assert_ok(ptq_put_with(queue, bytes, sizes[i], &options, PTQ_NOWAIT));
        assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
        large_assert_is(msg, sizes[i], i);
        value = ptq_msg_header(msg, "content", &size);
        assert_non_null(value);
        assert_int_equal(size, 22);
        assert_memory_equal(value, header.value, 22);
        assert_ok(ptq_ack(msg));

        ptq_msg *loan;
        assert_ok(ptq_loan(queue, sizes[i], PTQ_NOWAIT, &loan));
        contract_fill(ptq_msg_buffer(loan), sizes[i], i + 1);
        assert_ok(ptq_publish_with(loan, sizes[i], &options, PTQ_NOWAIT));
        assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
        large_assert_is(msg, sizes[i], i + 1);
        value = ptq_msg_header(msg, "content", &size);
        assert_non_null(value);
        assert_memory_equal(value, header.value, 22);
        assert_ok(ptq_ack(msg));
    }
    free(bytes);
    ptq_queue_close(queue);
}

static bool check_peeked(const struct ptq_view_msg *msg, void *context)
{
    unsigned *seen = context;

    assert_int_equal(msg->size, boundaries[*seen]);
    assert_true(contract_is_filled(msg->data, msg->size, *seen));
    ++*seen;
    return true;
}

static void a_view_peeks_into_side_files(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = large_open(c, "tasks", BOUNDARIES);
    unsigned seen = 0;
    ptq_view *view;

    for (size_t i = 0; i < BOUNDARIES; i++)
        large_put(queue, boundaries[i], i);
    assert_ok(ptq_view_open(c->bus, "tasks", NULL, &view));
    assert_ok(ptq_view_peek(view, check_peeked, &seen));
    assert_int_equal(seen, BOUNDARIES);
    ptq_view_close(view);
    ptq_queue_close(queue);
}

/* ---- removing */

static void unlink_leaves_no_file(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = large_open(c, "tasks", 4);

    large_put(queue, MIB, 1);
    large_put(queue, MIB, 2);
    large_assert_sides(c, "tasks", 2);
    assert_ok(ptq_queue_unlink(c->bus, "tasks", true));
    large_assert_sides(c, "tasks", 0);
    assert_int_equal(ptt_scratch_files(&c->home, NULL), 0);
    assert_answer(PTQ_EGONE, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    ptq_queue_close(queue);
}

static void gc_removes_what_an_empty_or_a_lost_queue_left(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = large_open(c, "tasks", 4), *kept = large_open(c, "kept", 4);
    struct ptq_gc_report report;
    char path[300];

    large_put(queue, MIB, 1);
    large_get(queue, MIB, 1);
    large_put(kept, MIB, 1);
    ptq_queue_close(queue);
    snprintf(path, sizeof path, "%s/test/lost~L2.0123456789abcdef.3", c->home.dir); /* its queue is gone */
    close(open(path, O_CREAT | O_WRONLY, 0600));
    snprintf(path, sizeof path, "%s/test/kept~L2.0123456789abcdef.0", c->home.dir); /* of an earlier queue of that name */
    close(open(path, O_CREAT | O_WRONLY, 0600));

    assert_ok(ptq_bus_gc(c->bus, false, &report));

    large_assert_sides(c, "tasks", 0);
    large_assert_sides(c, "lost", 0);
    large_assert_sides(c, "kept", 1);
    large_get(kept, MIB, 1);
    ptq_queue_close(kept);
}

static bool count_name(const char *name, void *context)
{
    assert_string_equal(name, "tasks");
    ++*(unsigned *)context;
    return true;
}

static void side_files_are_no_queues(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = large_open(c, "tasks", 4);
    unsigned count = 0;

    large_put(queue, MIB, 1);
    assert_ok(ptq_bus_list(c->bus, count_name, &count));
    assert_int_equal(count, 1);
    ptq_queue_close(queue);
}

static void a_new_queue_of_the_name_does_not_see_the_old_one_s_files(void **state)
{
    struct contract *c = *state;
    ptq_queue *old = large_open(c, "tasks", 4), *new;

    large_put(old, MIB, 1);
    assert_ok(ptq_queue_unlink(c->bus, "tasks", true));
    new = large_open(c, "tasks", 4);
    large_put(new, MIB, 2);
    large_get(new, MIB, 2);
    large_assert_sides(c, "tasks", 1);
    ptq_queue_close(old);
    ptq_queue_close(new);
}

static const struct contract_case large_cases[] = {
    CONTRACT_CASE(sizes_around_every_boundary_come_out_whole_and_in_order),
    CONTRACT_CASE(small_messages_of_a_large_queue_make_no_files),
    CONTRACT_CASE(a_queue_up_to_a_mebibyte_makes_no_files),
    CONTRACT_CASE(one_message_at_a_time_uses_one_file_over_and_over),
    CONTRACT_CASE(the_file_of_the_last_message_is_left_to_those_whom_it_fits),
    CONTRACT_CASE(stats_count_the_memory_of_side_files),
    CONTRACT_CASE(a_leased_message_keeps_its_address_while_others_come),
    CONTRACT_CASE(a_loan_of_any_size_is_published_at_any_smaller_one),
    CONTRACT_CASE(an_aborted_loan_leaves_its_file_for_the_next),
    CONTRACT_CASE(a_batch_mixes_small_and_large),
    CONTRACT_CASE(headers_go_with_the_message_across_the_boundary),
    CONTRACT_CASE(a_view_peeks_into_side_files),
    CONTRACT_CASE(unlink_leaves_no_file),
    CONTRACT_CASE(gc_removes_what_an_empty_or_a_lost_queue_left),
    CONTRACT_CASE(side_files_are_no_queues),
    CONTRACT_CASE(a_new_queue_of_the_name_does_not_see_the_old_one_s_files),
};
CONTRACT_GROUP(large);
