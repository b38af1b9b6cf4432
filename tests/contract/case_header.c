/* case_header.c -- headers and traces: what a put says beside its bytes comes out with them. */
#include "contract/contract.h"

static const struct ptq_trace trace = {.version = 0,
                                       .trace_id = {0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d,
                                                    0x0e, 0x0e, 0x47, 0x36},
                                       .parent_id = {0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7},
                                       .flags = 1};

static void assert_header(const ptq_msg *msg, const char *name, const char *value)
{
    size_t size = 0;
    const char *found = ptq_msg_header(msg, name, &size);

    assert_non_null(found);
    assert_int_equal(size, strlen(value));
    assert_memory_equal(found, value, size);
}

static void assert_trace(const ptq_msg *msg)
{
    struct ptq_trace found;

    assert_true(ptq_msg_trace(msg, &found));
    assert_memory_equal(&found, &trace, sizeof trace);
}

static struct ptq_put_options two_headers(void)
{
    static const struct ptq_header headers[] = {{"kind", "letter", 6}, {"empty", NULL, 0}};

    return (struct ptq_put_options){.headers = headers, .header_count = 2, .trace = &trace};
}

static void assert_two_headers(const ptq_msg *msg)
{
    char name[PTQ_HEADER_NAME_MAX + 1] = "";
    const void *value = NULL;
    size_t size = 9;

    assert_header(msg, "kind", "letter");
    assert_header(msg, "empty", "");
    assert_trace(msg);
    assert_int_equal(ptq_msg_header_count(msg), 2);
    assert_true(ptq_msg_header_at(msg, 1, name, &value, &size));
    assert_string_equal(name, "empty");
    assert_int_equal(size, 0);
    assert_false(ptq_msg_header_at(msg, 2, name, &value, &size));
    assert_null(ptq_msg_header(msg, "none", &size));
}

static void headers_and_trace_come_out_as_they_went_in(void **state)
{
    struct contract *c = *state;
    struct ptq_put_options options = two_headers();
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    for (size_t size = 0; size < 9; size++) {
        ptq_msg *msg = NULL;
        assert_ok(ptq_put_with(queue, "12345678", size, &options, PTT_LONG));
        assert_ok(ptq_get(queue, PTT_LONG, &msg));
        assert_int_equal(ptq_msg_size(msg), size);
        assert_memory_equal(ptq_msg_data(msg), "12345678", size);
        assert_two_headers(msg);
        assert_ok(ptq_ack(msg));
    }
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_message_without_headers_has_none_though_its_block_had(void **state)
{
    struct contract *c = *state;
    struct ptq_put_options options = two_headers();
    ptq_queue *queue = contract_open_sized(c, "tasks", 1, 200);
    struct ptq_trace found;
    ptq_msg *msg = NULL;
    size_t size;

    for (int i = 0; i < 300; i++) { /* each block, by and by */
        assert_ok(ptq_put_with(queue, "x", 1, &options, PTT_LONG));
        assert_ok(ptq_get(queue, PTT_LONG, &msg));
        assert_two_headers(msg);
        assert_ok(ptq_ack(msg));
        assert_ok(ptq_put(queue, "x", 1, PTT_LONG));
        assert_ok(ptq_get(queue, PTT_LONG, &msg));
        assert_int_equal(ptq_msg_header_count(msg), 0);
        assert_null(ptq_msg_header(msg, "kind", &size));
        assert_false(ptq_msg_trace(msg, &found));
        assert_ok(ptq_ack(msg));
    }
    ptq_queue_close(queue);
}

static void a_redelivered_message_keeps_its_headers_and_trace(void **state)
{
    struct contract *c = *state;
    struct ptq_put_options options = two_headers();
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    ptq_msg *msg = NULL;

    assert_ok(ptq_put_with(queue, "hello", 5, &options, PTT_LONG));
    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_ok(ptq_nack(msg, 0));
    assert_ok(ptq_get(queue, PTT_LONG, &msg));

    assert_true(ptq_msg_redelivered(msg));
    assert_two_headers(msg);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
}

static void a_loan_is_published_with_headers(void **state)
{
    struct contract *c = *state;
    struct ptq_put_options options = two_headers();
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    ptq_msg *msg = NULL;

    assert_ok(ptq_loan(queue, 100, PTT_LONG, &msg));
    memcpy(ptq_msg_buffer(msg), "in place", 8);
    assert_ok(ptq_publish_with(msg, 8, &options, PTT_LONG));
    assert_ok(ptq_get(queue, PTT_LONG, &msg));

    assert_int_equal(ptq_msg_size(msg), 8);
    assert_memory_equal(ptq_msg_data(msg), "in place", 8);
    assert_two_headers(msg);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
}

static void each_message_of_a_batch_bears_its_headers(void **state)
{
    struct contract *c = *state;
    struct ptq_put_options options = two_headers();
    const struct ptq_bytes items[] = {{"a", 1}, {NULL, 0}, {"ccc", 3}};
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    ptq_msg *msgs[3];
    size_t count = 0;

    assert_ok(ptq_put_many_with(queue, items, 3, &options, PTT_LONG));
    assert_ok(ptq_get_many(queue, msgs, 1, 3, PTT_LONG, &count));

    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ptq_msg_size(msgs[i]), items[i].size);
        assert_two_headers(msgs[i]);
        assert_ok(ptq_ack(msgs[i]));
    }
    ptq_queue_close(queue);
}

static void headers_do_not_count_to_item_size_and_may_fill_their_room(void **state)
{
    struct contract *c = *state;
    char bytes[8192], value[PTQ_HEADERS_MAX];
    struct ptq_header header = {"v", value, PTQ_HEADERS_MAX - 4};
    struct ptq_put_options options = {.headers = &header, .header_count = 1};
    ptq_queue *queue = contract_open_sized(c, "tasks", 2, sizeof bytes);
    ptq_msg *msg = NULL;
    size_t size = 0;

    contract_fill(bytes, sizeof bytes, 1);
    contract_fill(value, sizeof value, 2);
    assert_ok(ptq_put_with(queue, bytes, sizeof bytes, &options, PTT_LONG));
    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_true(contract_is_filled(ptq_msg_data(msg), sizeof bytes, 1));
    assert_memory_equal(ptq_msg_header(msg, "v", &size), value, header.size);
    assert_int_equal(size, header.size);
    assert_ok(ptq_ack(msg));

    header.size++;
    assert_answer(PTQ_EMSGSIZE, ptq_put_with(queue, bytes, 1, &options, PTQ_NOWAIT));
    ptq_queue_close(queue);
}

static void headers_that_do_not_fit_beside_the_message_are_emsgsize(void **state)
{
    struct contract *c = *state;
    struct ptq_put_options options = two_headers();
    struct ptq_queue_options how = {.item_size = 64, .header_size = PTQ_NEVER};
    ptq_queue *queue = contract_open(c, "tasks", &how);
    char bytes[64] = "";

    assert_answer(PTQ_EMSGSIZE, ptq_put_with(queue, bytes, sizeof bytes, &options, PTQ_NOWAIT));
    assert_ok(ptq_put_with(queue, bytes, 8, &options, PTT_LONG)); /* a smaller message leaves room */

    assert_int_equal(contract_stats(queue).put, 1);
    ptq_queue_close(queue);
}

static void a_bad_header_is_einval_and_nothing_is_put(void **state)
{
    struct contract *c = *state;
    char name[PTQ_HEADER_NAME_MAX + 2];
    struct ptq_header header = {name, "v", 1};
    struct ptq_put_options options = {.headers = &header, .header_count = 1};
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    memset(name, 'n', sizeof name);
    name[PTQ_HEADER_NAME_MAX + 1] = '\0';
    assert_answer(PTQ_EINVAL, ptq_put_with(queue, "x", 1, &options, PTQ_NOWAIT));
    header.name = "";
    assert_answer(PTQ_EINVAL, ptq_put_with(queue, "x", 1, &options, PTQ_NOWAIT));
    header = (struct ptq_header){"n", NULL, 1};
    assert_answer(PTQ_EINVAL, ptq_put_with(queue, "x", 1, &options, PTQ_NOWAIT));
    options = (struct ptq_put_options){.header_count = 1};
    assert_answer(PTQ_EINVAL, ptq_put_with(queue, "x", 1, &options, PTQ_NOWAIT));

    name[PTQ_HEADER_NAME_MAX] = '\0';
    header = (struct ptq_header){name, "v", 1};
    options = (struct ptq_put_options){.headers = &header, .header_count = 1};
    assert_ok(ptq_put_with(queue, "x", 1, &options, PTT_LONG));
    assert_int_equal(contract_stats(queue).put, 1);
    ptq_queue_close(queue);
}

static const struct contract_case header_cases[] = {
    CONTRACT_CASE(headers_and_trace_come_out_as_they_went_in),
    CONTRACT_CASE(a_message_without_headers_has_none_though_its_block_had),
    CONTRACT_CASE(a_redelivered_message_keeps_its_headers_and_trace),
    CONTRACT_CASE(a_loan_is_published_with_headers),
    CONTRACT_CASE(each_message_of_a_batch_bears_its_headers),
    CONTRACT_CASE(headers_do_not_count_to_item_size_and_may_fill_their_room),
    CONTRACT_CASE(headers_that_do_not_fit_beside_the_message_are_emsgsize),
    CONTRACT_CASE(a_bad_header_is_einval_and_nothing_is_put),
};
CONTRACT_GROUP(header);
