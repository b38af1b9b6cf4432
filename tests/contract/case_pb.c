/* case_pb.c -- protobuf-c messages: packed in place, typed, unpacked; S14: a type that is not the one asked for is told. */
#include <ptq/pb.h>

#include "contract/contract.h"
#include "support/shapes.pb-c.h"

static void put_point(ptq_queue *queue, int32_t x, const char *label)
{
    Shapes__Point point = SHAPES__POINT__INIT;

    point.x = x;
    point.y = -x;
    point.label = (char *)(uintptr_t)label;
    assert_ok(ptq_put_pb(queue, &point.base, PTT_LONG));
}

static void a_message_comes_out_as_it_was_put_with_its_type(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "points", NULL);
    ProtobufCMessage *message = NULL;
    ptq_msg *msg = NULL;
    size_t size = 0;

    put_point(queue, 3, "three");
    assert_ok(ptq_get_pb(queue, &shapes__point__descriptor, PTT_LONG, NULL, &msg, &message));

    assert_int_equal(ptq_msg_type(msg), ptq_pb_type("shapes.Point"));
    assert_memory_equal(ptq_msg_header(msg, PTQ_PB_HEADER, &size), "shapes.Point", 12);
    assert_int_equal(size, 12);
    assert_ok(ptq_ack(msg)); /* what was unpacked is memory of its own */
    const Shapes__Point *point = (const Shapes__Point *)message;
    assert_true(point->x == 3 && point->y == -3);
    assert_string_equal(point->label, "three");
    ptq_pb_free(message);
    ptq_queue_close(queue);
    contract_verify(c, "points");
}

static void an_empty_message_and_the_largest_that_fits(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "points", 4, 64);
    Shapes__Point empty = SHAPES__POINT__INIT;
    ProtobufCMessage *message = NULL;
    char label[65] = "";
    ptq_msg *msg = NULL;

    assert_ok(ptq_put_pb(queue, &empty.base, PTT_LONG));
    memset(label, 'l', 62);
    empty.label = label; /* 2 bytes before it */
    assert_ok(ptq_put_pb(queue, &empty.base, PTT_LONG));
    label[62] = 'l';
    assert_answer(PTQ_EMSGSIZE, ptq_put_pb(queue, &empty.base, PTQ_NOWAIT));

    assert_ok(ptq_get_pb(queue, &shapes__point__descriptor, PTT_LONG, NULL, &msg, &message));
    assert_int_equal(ptq_msg_size(msg), 0);
    assert_string_equal(((Shapes__Point *)message)->label, "");
    ptq_pb_free(message);
    assert_ok(ptq_ack(msg));
    assert_ok(ptq_get_pb(queue, &shapes__point__descriptor, PTT_LONG, NULL, &msg, &message));
    assert_int_equal(strlen(((Shapes__Point *)message)->label), 62);
    ptq_pb_free(message);
    assert_ok(ptq_ack(msg));
    assert_int_equal(contract_stats(queue).put, 2);
    ptq_queue_close(queue);
}

static void another_type_is_a_mismatch_and_ends_as_a_dead_letter(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "points", &(struct ptq_queue_options){.max_deliveries = 2});
    struct ptq_error error = {0};
    struct ptq_pb_options options = {.error = &error};
    ProtobufCMessage *message = NULL;
    ptq_msg *msg = NULL;

    put_point(queue, 1, "poison");
    put_point(queue, 2, "poison too");
    for (int i = 0; i < 4; i++) {
        assert_answer(PTQ_EMISMATCH, ptq_get_pb(queue, &shapes__line__descriptor, PTT_LONG, &options, &msg, &message));
        assert_non_null(strstr(error.text, "'shapes.Point'"));
        assert_non_null(strstr(error.text, "'shapes.Line'"));
    }
    assert_null(msg);
    assert_answer(PTQ_TIMEDOUT, ptq_get_pb(queue, &shapes__line__descriptor, 50, NULL, &msg, &message));

    assert_int_equal(contract_stats(queue).dead, 2);
    assert_int_equal(contract_stats(queue).leased, 0);
    ptq_queue_close(queue);
}

static void several_types_in_one_queue_are_told_apart(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "shapes", NULL);
    Shapes__Line line = SHAPES__LINE__INIT;
    ProtobufCMessage *message = NULL;
    struct ptq_pb_options untyped = {.untyped = true};
    ptq_msg *msg = NULL;

    put_point(queue, 1, "a");
    assert_ok(ptq_put_pb(queue, &line.base, PTT_LONG));
    assert_ok(ptq_put(queue, "\010\005", 2, PTT_LONG)); /* x: 5, by somebody who says no type */

    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_true(ptq_pb_is(msg, &shapes__point__descriptor) && !ptq_pb_is(msg, &shapes__line__descriptor));
    assert_answer(PTQ_EMISMATCH, ptq_pb_unpack(msg, &shapes__line__descriptor, &untyped, &message));
    assert_ok(ptq_pb_unpack(msg, &shapes__point__descriptor, NULL, &message));
    ptq_pb_free(message);
    assert_ok(ptq_ack(msg));
    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_true(ptq_pb_is(msg, &shapes__line__descriptor));
    assert_ok(ptq_ack(msg));
    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_answer(PTQ_EMISMATCH, ptq_pb_unpack(msg, &shapes__point__descriptor, NULL, &message));
    assert_ok(ptq_pb_unpack(msg, &shapes__point__descriptor, &untyped, &message));
    assert_int_equal(((Shapes__Point *)message)->x, 5);
    ptq_pb_free(message);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
}

static void without_room_for_the_name_the_hash_tells_types_apart(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "points", &(struct ptq_queue_options){.item_size = 20, .header_size = PTQ_NEVER});
    ProtobufCMessage *message = NULL;
    ptq_msg *msg = NULL;
    size_t size;

    put_point(queue, 1, "abc"); /* no room is left beside it */
    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_null(ptq_msg_header(msg, PTQ_PB_HEADER, &size));
    assert_true(ptq_pb_is(msg, &shapes__point__descriptor) && !ptq_pb_is(msg, &shapes__tree__descriptor));
    assert_ok(ptq_pb_unpack(msg, &shapes__point__descriptor, NULL, &message));
    assert_string_equal(((Shapes__Point *)message)->label, "abc");
    ptq_pb_free(message);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
}

static void garbage_under_a_good_type_is_eproto_and_is_not_lost(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "points", NULL);
    struct ptq_header type = {PTQ_PB_HEADER, "shapes.Point", 12};
    struct ptq_put_options options = {.headers = &type, .header_count = 1};
    ProtobufCMessage *message = NULL;
    ptq_msg *msg = NULL;

    assert_ok(ptq_put_with(queue, "\377\377\377", 3, &options, PTT_LONG));
    assert_answer(PTQ_EPROTO, ptq_get_pb(queue, &shapes__point__descriptor, PTT_LONG, NULL, &msg, &message));

    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_int_equal(ptq_msg_deliveries(msg), 2);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
}

static void headers_and_trace_go_beside_the_type(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "points", NULL);
    struct ptq_trace trace, found;
    struct ptq_header header = {"from", "me", 2};
    struct ptq_put_options options = {.headers = &header, .header_count = 1, .trace = &trace};
    Shapes__Point point = SHAPES__POINT__INIT;
    ptq_msg *msg = NULL;
    size_t size = 0;

    assert_ok(ptq_trace_parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", &trace));
    assert_ok(ptq_put_pb_with(queue, &point.base, &options, PTT_LONG));
    assert_ok(ptq_get(queue, PTT_LONG, &msg));

    assert_memory_equal(ptq_msg_header(msg, "from", &size), "me", 2);
    assert_true(ptq_pb_is(msg, &shapes__point__descriptor));
    assert_int_equal(ptq_msg_header_count(msg), 2);
    assert_true(ptq_msg_trace(msg, &found));
    assert_memory_equal(&found, &trace, sizeof trace);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
}

static const struct contract_case pb_cases[] = {
    CONTRACT_CASE(a_message_comes_out_as_it_was_put_with_its_type),
    CONTRACT_CASE(an_empty_message_and_the_largest_that_fits),
    CONTRACT_CASE(another_type_is_a_mismatch_and_ends_as_a_dead_letter),
    CONTRACT_CASE(several_types_in_one_queue_are_told_apart),
    CONTRACT_CASE(without_room_for_the_name_the_hash_tells_types_apart),
    CONTRACT_CASE(garbage_under_a_good_type_is_eproto_and_is_not_lost),
    CONTRACT_CASE(headers_and_trace_go_beside_the_type),
};
CONTRACT_GROUP(pb);
