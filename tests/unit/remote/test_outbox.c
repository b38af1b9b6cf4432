/* test_outbox.c -- what is said when: control first, channels in turn, long things in pieces, puts by credit. */
#include <stdlib.h>
#include <string.h>

#include "remote/outbox.h"
#include "support/ptt.h"
#include "wire/frame.h"
#include "wire/record.h"

#define PIECE 4096u

struct said {
    struct pti_frame frames[64];
    size_t count;
    uint8_t bytes[1 << 20];
};

/* Lets the outbox write into a buffer of `room` and cuts what it wrote into frames. */
static void listen_to(struct pti_outbox *outbox, size_t room, struct said *said)
{
    struct pti_frame_reader reader;
    const char *reason;
    size_t size = pti_outbox_fill(outbox, said->bytes, room), space;

    assert_true(size <= room);
    said->count = 0;
    pti_frame_reader_init(&reader, PIECE);
    for (size_t at = 0; at < size;) {
        uint8_t *to = pti_frame_reader_space(&reader, &space);
        size_t part = size - at < space ? size - at : space;
        memcpy(to, said->bytes + at, part);
        pti_frame_reader_filled(&reader, part);
        at += part;
        while (pti_frame_reader_next(&reader, &said->frames[said->count], &reason) == PTQ_OK)
            said->count++;
    }
    pti_frame_reader_fini(&reader);
}

struct fixture {
    struct pti_outbox outbox;
    struct pti_lane a, b;
    struct said said;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    pti_outbox_init(&f->outbox, 1, PIECE);
    pti_lane_init(&f->a, 1, 10000);
    pti_lane_init(&f->b, 2, 10000);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    pti_lane_fini(&f->outbox, &f->a);
    pti_lane_fini(&f->outbox, &f->b);
    pti_outbox_fini(&f->outbox);
    free(f);
    return 0;
}

static uint8_t zeroes[20000];

static struct pti_out new_put(uint64_t number, size_t size)
{
    return (struct pti_out){
        .type = PTI_FRAME_PUT, .bytes = zeroes, .size = size, .cost = (uint32_t)size, .number = number};
}

static void control_goes_before_channels(void **state)
{
    struct fixture *f = *state;
    struct pti_out put = new_put(1, 100);

    pti_outbox_push(&f->outbox, &f->a, &put);
    assert_true(pti_outbox_push_copy(&f->outbox, &f->outbox.control, PTI_FRAME_PING, 0, 0, "p", 1));
    listen_to(&f->outbox, 60000, &f->said);

    assert_int_equal(f->said.count, 2);
    assert_true(f->said.frames[0].type == PTI_FRAME_PING && f->said.frames[0].channel == 0);
    assert_true(f->said.frames[1].type == PTI_FRAME_PUT && f->said.frames[1].channel == 1);
    assert_true(pti_outbox_is_empty(&f->outbox));
}

static void long_things_go_in_pieces_and_channels_in_turn(void **state)
{
    struct fixture *f = *state;
    struct pti_out large = new_put(1, 3 * PIECE - 10), small = new_put(7, 5);

    pti_outbox_push(&f->outbox, &f->a, &large);
    pti_outbox_push(&f->outbox, &f->b, &small);
    listen_to(&f->outbox, 60000, &f->said);

    assert_int_equal(f->said.count, 4);
    assert_true(f->said.frames[0].channel == 1 && f->said.frames[0].flags == PTI_FRAME_MORE &&
                f->said.frames[0].length == PIECE);
    assert_true(f->said.frames[1].channel == 2 && f->said.frames[1].number == 7);
    assert_true(f->said.frames[2].channel == 1 && f->said.frames[2].flags == PTI_FRAME_MORE);
    assert_true(f->said.frames[3].channel == 1 && f->said.frames[3].flags == 0 &&
                f->said.frames[3].length == PIECE - 10);
}

static void nothing_comes_between_the_pieces_of_a_channel(void **state)
{
    struct fixture *f = *state;
    struct pti_out large = new_put(1, 2 * PIECE);

    pti_outbox_push(&f->outbox, &f->a, &large);
    listen_to(&f->outbox, PIECE + 100, &f->said);
    assert_true(pti_outbox_push_result(&f->outbox, &f->a, 9, 0, 0));
    assert_true(pti_outbox_push_copy(&f->outbox, &f->a, PTI_FRAME_CANCEL, 0, 1, NULL, 0));
    listen_to(&f->outbox, 60000, &f->said);

    assert_int_equal(f->said.count, 3);
    assert_int_equal(f->said.frames[0].type, PTI_FRAME_PUT);
    assert_int_equal(f->said.frames[1].type, PTI_FRAME_RESULT);
    assert_int_equal(f->said.frames[2].type, PTI_FRAME_CANCEL);
}

static void puts_wait_for_credit_and_the_rest_does_not(void **state)
{
    struct fixture *f = *state;
    struct pti_out puts[3] = {new_put(1, 6000), new_put(2, 6000), new_put(3, 6000)};

    for (int i = 0; i < 3; i++)
        pti_outbox_push(&f->outbox, &f->a, &puts[i]);
    assert_true(pti_outbox_push_copy(&f->outbox, &f->a, PTI_FRAME_TAKE, 0, 4, "12345678", 8));
    listen_to(&f->outbox, 60000, &f->said);
    assert_int_equal(f->said.count, 3); /* the take, and one put in two pieces */
    assert_int_equal(f->said.frames[0].type, PTI_FRAME_TAKE);
    assert_int_equal(f->said.frames[2].number, 1);
    assert_true(pti_outbox_is_empty(&f->outbox)); /* nothing may be said now */

    pti_outbox_credit_back(&f->outbox, &f->a, 6000);
    listen_to(&f->outbox, 60000, &f->said);
    assert_int_equal(f->said.count, 2);
    assert_int_equal(f->said.frames[1].number, 2);
    pti_outbox_set_credit(&f->outbox, &f->a, 12000);
    listen_to(&f->outbox, 60000, &f->said);
    assert_int_equal(f->said.frames[1].number, 3);
}

static void a_put_that_is_larger_than_all_credit_goes_alone(void **state)
{
    struct fixture *f = *state;
    struct pti_out huge = new_put(1, sizeof zeroes), next = new_put(2, 1);

    pti_outbox_push(&f->outbox, &f->a, &huge);
    pti_outbox_push(&f->outbox, &f->a, &next);
    listen_to(&f->outbox, 60000, &f->said);

    assert_int_equal(f->said.count, 5);
    assert_int_equal(f->said.frames[4].number, 1);
    assert_true(next.queued);
    pti_outbox_drop(&f->outbox, &f->a, &next);
}

static void what_was_not_begun_can_be_taken_back(void **state)
{
    struct fixture *f = *state;
    struct pti_out put = new_put(1, 2 * PIECE);

    pti_outbox_push(&f->outbox, &f->a, &put);
    assert_true(pti_outbox_cancel(&f->outbox, &f->a, &put));
    assert_false(pti_outbox_has_begun(&f->outbox, &put));
    listen_to(&f->outbox, 60000, &f->said);
    assert_int_equal(f->said.count, 0);

    pti_outbox_push(&f->outbox, &f->a, &put);
    listen_to(&f->outbox, PIECE + 100, &f->said);
    assert_false(pti_outbox_cancel(&f->outbox, &f->a, &put)); /* the receiver waits for the rest */
    assert_true(pti_outbox_holds(&f->outbox, &put));
    pti_outbox_drop(&f->outbox, &f->a, &put);
    assert_true(pti_outbox_is_empty(&f->outbox));
}

static void results_that_wait_go_together(void **state)
{
    struct fixture *f = *state;
    size_t count;

    for (uint64_t i = 1; i <= 100; i++)
        assert_true(pti_outbox_push_result(&f->outbox, &f->a, i, PTQ_FULL, 0));
    pti_outbox_set_ack(&f->outbox, &f->a, 77);
    listen_to(&f->outbox, 60000, &f->said);

    assert_int_equal(f->said.count, 1);
    assert_int_equal(f->said.frames[0].ack, 77);
    assert_ok(pti_read_results(f->said.frames[0].length, &count));
    assert_int_equal(count, 100);
}

static const void *part_of_test(struct pti_out *out, size_t index, size_t *ret_size)
{
    static const char *const parts[] = {"one", "", "three", "4"};
    (void)out;

    *ret_size = strlen(parts[index]);
    return parts[index];
}

/* A piece of k bytes cuts the parts everywhere in turn. */
static void parts_are_joined_wherever_pieces_cut_them(void **state)
{
    struct fixture *f = *state;
    struct pti_frame_reader reader;
    struct pti_frame frame;
    const char *reason;
    size_t room;

    for (uint32_t piece = 1; piece < 12; piece++) {
        struct pti_out out = {.type = PTI_FRAME_MESSAGES, .part = part_of_test, .size = 9};
        char text[16] = "";
        f->outbox.piece_bytes = piece;
        pti_outbox_push(&f->outbox, &f->a, &out);
        size_t size = pti_outbox_fill(&f->outbox, f->said.bytes, sizeof f->said.bytes);
        pti_frame_reader_init(&reader, PIECE);
        memcpy(pti_frame_reader_space(&reader, &room), f->said.bytes, size);
        pti_frame_reader_filled(&reader, size);
        while (pti_frame_reader_next(&reader, &frame, &reason) == PTQ_OK)
            strncat(text, (const char *)frame.payload, frame.length);
        pti_frame_reader_fini(&reader);
        assert_string_equal(text, "onethree4");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(control_goes_before_channels, setup, teardown),
        cmocka_unit_test_setup_teardown(long_things_go_in_pieces_and_channels_in_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_comes_between_the_pieces_of_a_channel, setup, teardown),
        cmocka_unit_test_setup_teardown(puts_wait_for_credit_and_the_rest_does_not, setup, teardown),
        cmocka_unit_test_setup_teardown(a_put_that_is_larger_than_all_credit_goes_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_not_begun_can_be_taken_back, setup, teardown),
        cmocka_unit_test_setup_teardown(results_that_wait_go_together, setup, teardown),
        cmocka_unit_test_setup_teardown(parts_are_joined_wherever_pieces_cut_them, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
