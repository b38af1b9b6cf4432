/* case_open.c -- opening: modes, waiting, geometry that wins, names that are refused. */
#include <stdio.h>
#include <stdlib.h>

#include "contract/contract.h"

static enum ptq_err try_open(struct contract *c, const char *name, struct ptq_queue_options options,
                             struct ptq_error *error, ptq_queue **ret_queue)
{
    options.error = error;
    return ptq_queue_open(c->bus, contract_address(c, name), &options, ret_queue);
}

static void open_or_create_creates_then_attaches(void **state)
{
    struct contract *c = *state;

    ptq_queue *first = contract_open(c, "tasks", NULL);
    ptq_queue *second = contract_open(c, "tasks", NULL);
    put_number(first, 7);

    assert_int_equal(recv_number(second), 7);
    assert_string_equal(ptq_queue_name(first), "tasks");
    ptq_queue_close(first);
    ptq_queue_close(second);
}

static void defaults_are_1000_messages_of_4096_bytes(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    struct ptq_queue_stats stats = contract_stats(queue);

    assert_int_equal(stats.capacity, 1000);
    assert_int_equal(stats.item_size, 4096);
    assert_int_equal(stats.remote, c->carrier->remote);
    ptq_queue_close(queue);
}

static void attach_to_a_missing_queue_is_enoent_and_says_so(void **state)
{
    struct contract *c = *state;
    struct ptq_error error = {0};
    ptq_queue *queue = (ptq_queue *)(uintptr_t)16;

    assert_answer(PTQ_ENOENT, try_open(c, "nobody", (struct ptq_queue_options){.mode = PTQ_ATTACH}, &error, &queue));

    assert_ptr_equal(queue, (void *)(uintptr_t)16);
    assert_int_equal(error.code, PTQ_ENOENT);
    assert_non_null(strstr(error.text, "nobody"));
}

static void attach_waits_at_least_its_time_and_gives_up(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = NULL;
    int64_t start = contract_now_ms();

    assert_answer(PTQ_ENOENT, try_open(c, "nobody", (struct ptq_queue_options){.mode = PTQ_ATTACH, .wait_ms = 60}, NULL,
                                       &queue));

    assert_true(contract_now_ms() - start >= 59);
}

struct opener {
    struct caller caller;
    struct contract *c;
};

static enum ptq_err call_attach(struct caller *caller)
{
    struct opener *opener = (struct opener *)caller;

    return try_open(opener->c, "late", (struct ptq_queue_options){.mode = PTQ_ATTACH, .wait_ms = PTT_LONG}, NULL,
                    &caller->queue);
}

static void attach_waits_for_a_queue_that_comes(void **state)
{
    struct contract *c = *state;
    struct opener opener = {.caller.call = call_attach, .c = c};

    caller_start_sleeping(&opener.caller);
    ptq_queue *queue = contract_open(c, "late", NULL);
    assert_ok(caller_join(&opener.caller));

    put_number(opener.caller.queue, 1);
    assert_int_equal(recv_number(queue), 1);
    ptq_queue_close(opener.caller.queue);
    ptq_queue_close(queue);
}

static void create_is_exclusive(void **state)
{
    struct contract *c = *state;
    struct ptq_error error = {0};
    ptq_queue *second = NULL;

    ptq_queue *first = contract_open(c, "tasks", &(struct ptq_queue_options){.mode = PTQ_CREATE});
    assert_answer(PTQ_EEXIST, try_open(c, "tasks", (struct ptq_queue_options){.mode = PTQ_CREATE}, &error, &second));

    assert_null(second);
    assert_non_null(strstr(error.text, "tasks"));
    ptq_queue_close(first);
}

static void zero_fields_accept_what_exists(void **state)
{
    struct contract *c = *state;
    ptq_queue *first = contract_open(
        c, "tasks", &(struct ptq_queue_options){.capacity = 5, .item_size = 100, .max_deliveries = 3, .max_endpoints = 9});

    ptq_queue *second = contract_open(c, "tasks", NULL);
    ptq_queue *third = contract_open(c, "tasks", &(struct ptq_queue_options){.capacity = 5, .item_size = 100});

    assert_int_equal(contract_stats(second).capacity, 5);
    assert_int_equal(contract_stats(second).item_size, 100);
    ptq_queue_close(first);
    ptq_queue_close(second);
    ptq_queue_close(third);
}

static void assert_mismatch(struct contract *c, struct ptq_queue_options asked, const char *has, const char *wants)
{
    struct ptq_error error = {0};
    ptq_queue *queue = NULL;

    assert_answer(PTQ_EMISMATCH, try_open(c, "tasks", asked, &error, &queue));
    assert_null(queue);
    if (strstr(error.text, has) == NULL || strstr(error.text, wants) == NULL || strstr(error.text, "tasks") == NULL)
        fail_msg("'%s' does not name tasks, %s and %s", error.text, has, wants);
}

static void a_contradiction_is_a_mismatch_that_names_both_values(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(
        c, "tasks", &(struct ptq_queue_options){.capacity = 57, .item_size = 123, .max_deliveries = 31, .max_endpoints = 19});

    assert_mismatch(c, (struct ptq_queue_options){.capacity = 58}, "57", "58");
    assert_mismatch(c, (struct ptq_queue_options){.item_size = 124}, "123", "124");
    assert_mismatch(c, (struct ptq_queue_options){.max_deliveries = 32}, "31", "32");
    assert_mismatch(c, (struct ptq_queue_options){.max_endpoints = 20}, "19", "20");
    assert_mismatch(c, (struct ptq_queue_options){.mode = PTQ_ATTACH, .capacity = 56}, "57", "56");
    ptq_queue_close(queue);
}

/* Nothing is made where it is refused. */
static void the_largest_item_size_is_what_the_table_says(void **state)
{
    struct contract *c = *state;
    long most = contract_differs(c, DIFFERENCE_largest_item_size);
    struct ptq_error error = {0};
    ptq_queue *queue = NULL;
    char said[24];

    if (most < (long)PTQ_ITEM_MAX) {
        snprintf(said, sizeof said, "%ld", most);
        assert_answer(PTQ_EMSGSIZE,
                      try_open(c, "larger", (struct ptq_queue_options){.item_size = (uint32_t)most + 1}, &error, &queue));
        assert_non_null(strstr(error.text, "larger"));
        assert_non_null(strstr(error.text, said));
        assert_answer(PTQ_ENOENT,
                      try_open(c, "larger", (struct ptq_queue_options){.mode = PTQ_ATTACH}, &error, &queue));
    }
    assert_ok(try_open(c, "largest", (struct ptq_queue_options){.item_size = (uint32_t)most, .capacity = 4}, &error, &queue));
    assert_ok(ptq_put(queue, "x", 1, PTT_LONG));
    assert_int_equal(contract_stats(queue).item_size, most);
    ptq_queue_close(queue);
}

static void figures_out_of_bounds_are_refused(void **state)
{
    struct contract *c = *state;
    static const struct ptq_queue_options refused[] = {
        {.item_size = PTQ_ITEM_MAX + 1}, {.item_size = UINT32_MAX}, {.max_endpoints = 2048},
        {.capacity = UINT64_MAX},        {.capacity = 1u << 30},    {.mode = (enum ptq_open_mode)7},
    };

    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct ptq_error error = {0};
        ptq_queue *queue = NULL;
        enum ptq_err err = try_open(c, "odd", refused[i], &error, &queue);
        if (err != PTQ_EINVAL || error.text[0] == '\0')
            fail_msg("row %zu answered %s: %s", i, ptq_err_name(err), error.text);
    }
    assert_int_equal(ptt_scratch_files(&c->home, NULL), 0);
}

static void names_that_are_no_names_are_refused(void **state)
{
    struct contract *c = *state;
    char too_long[PTQ_NAME_MAX + 2];
    const char *const refused[] = {"",      ".",  "..",  ".hidden", "a/b", "/a",   "../a",  "a b",   " a",    "a\n",
                                   "a\tb",  "a~", "a:b", "a*",      "a%",  "\x01", "\xc3\xa4", "a\x7f", "a~v2", too_long};

    memset(too_long, 'x', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct ptq_error error = {0};
        ptq_queue *queue = NULL;
        enum ptq_err err = try_open(c, refused[i], (struct ptq_queue_options){0}, &error, &queue);
        if (err != PTQ_EINVAL || error.text[0] == '\0')
            fail_msg("name '%s' was answered %s: %s", refused[i], ptq_err_name(err), error.text);
        assert_answer(PTQ_EINVAL, ptq_queue_unlink(c->bus, refused[i], true));
    }
    assert_int_equal(ptt_scratch_files(&c->home, NULL), 0);
}

static void a_name_may_have_128_bytes_of_any_legal_kind(void **state)
{
    struct contract *c = *state;
    char name[PTQ_NAME_MAX + 1];

    for (size_t i = 0; i < PTQ_NAME_MAX; i++)
        name[i] = "abcXYZ019._-"[i % 12];
    name[PTQ_NAME_MAX] = '\0';
    ptq_queue *queue = contract_open(c, name, NULL);

    put_number(queue, 3);

    assert_int_equal(recv_number(queue), 3);
    assert_string_equal(ptq_queue_name(queue), name);
    ptq_queue_close(queue);
}

static void queues_do_not_mix(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "a", NULL);
    ptq_queue *b = contract_open(c, "b", NULL);

    put_number(a, 1);

    assert_get(PTQ_EMPTY, b);
    assert_int_equal(recv_number(a), 1);
    ptq_queue_close(a);
    ptq_queue_close(b);
}

static void one_handle_too_many_is_eagain_and_room_comes_back(void **state)
{
    struct contract *c = *state;
    struct ptq_error error = {0};
    ptq_queue *queues[3] = {0}, *more = NULL;

    contract_skip_if(c, DIFFERENCE_handles_share_an_endpoint);
    for (int i = 0; i < 3; i++) {
        queues[i] = contract_open(c, "tasks", &(struct ptq_queue_options){.max_endpoints = 3});
        put_number(queues[i], 1);
    }
    assert_answer(PTQ_EAGAIN, try_open(c, "tasks", (struct ptq_queue_options){0}, &error, &more));
    assert_non_null(strstr(error.text, "3"));

    ptq_queue_close(queues[1]);
    queues[1] = contract_open(c, "tasks", NULL);

    put_number(queues[1], 2);
    for (int i = 0; i < 3; i++)
        ptq_queue_close(queues[i]);
}

static void senseless_arguments_are_einval(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL), *none = NULL;
    size_t count = 0;
    ptq_msg *msg = NULL;

    assert_answer(PTQ_EINVAL, ptq_queue_open(NULL, "tasks", NULL, &none));
    assert_answer(PTQ_EINVAL, ptq_queue_open(c->bus, NULL, NULL, &none));
    assert_answer(PTQ_EINVAL, ptq_queue_open(c->bus, contract_address(c, "tasks"), NULL, NULL));
    assert_answer(PTQ_EINVAL, ptq_put(NULL, "a", 1, PTQ_NOWAIT));
    assert_answer(PTQ_EINVAL, ptq_put(queue, NULL, 1, PTQ_NOWAIT));
    assert_answer(PTQ_EINVAL, ptq_put_many(queue, NULL, 2, PTQ_NOWAIT, NULL));
    assert_answer(PTQ_EINVAL, ptq_get(queue, PTQ_NOWAIT, NULL));
    assert_answer(PTQ_EINVAL, ptq_get(NULL, PTQ_NOWAIT, &msg));
    assert_answer(PTQ_EINVAL, ptq_get_many(queue, NULL, 1, 2, PTQ_NOWAIT, &count));
    assert_answer(PTQ_EINVAL, ptq_recv(queue, NULL, 5, PTQ_NOWAIT, &count));
    assert_answer(PTQ_EINVAL, ptq_end(NULL));
    assert_int_not_equal(ptq_ack(NULL), PTQ_OK);
    assert_int_not_equal(ptq_nack(NULL, 0), PTQ_OK);
    assert_int_equal(contract_stats(queue).put, 0);
    ptq_queue_close(queue);
}

static void every_answer_has_a_name_and_a_sentence(void **state)
{
    (void)state;
    for (int err = -3; err < 60; err++) {
        assert_non_null(ptq_strerror((enum ptq_err)err));
        assert_non_null(ptq_err_name((enum ptq_err)err));
        assert_true(strlen(ptq_strerror((enum ptq_err)err)) > 0);
    }
    assert_string_equal(ptq_err_name(PTQ_EGONE), "PTQ_EGONE");
}

static const struct contract_case open_cases[] = {
    CONTRACT_CASE(open_or_create_creates_then_attaches),
    CONTRACT_CASE(defaults_are_1000_messages_of_4096_bytes),
    CONTRACT_CASE(attach_to_a_missing_queue_is_enoent_and_says_so),
    CONTRACT_CASE(attach_waits_at_least_its_time_and_gives_up),
    CONTRACT_CASE(attach_waits_for_a_queue_that_comes),
    CONTRACT_CASE(create_is_exclusive),
    CONTRACT_CASE(zero_fields_accept_what_exists),
    CONTRACT_CASE(a_contradiction_is_a_mismatch_that_names_both_values),
    CONTRACT_CASE(the_largest_item_size_is_what_the_table_says),
    CONTRACT_CASE(figures_out_of_bounds_are_refused),
    CONTRACT_CASE(names_that_are_no_names_are_refused),
    CONTRACT_CASE(a_name_may_have_128_bytes_of_any_legal_kind),
    CONTRACT_CASE(queues_do_not_mix),
    CONTRACT_CASE(one_handle_too_many_is_eagain_and_room_comes_back),
    CONTRACT_CASE(senseless_arguments_are_einval),
    CONTRACT_CASE(every_answer_has_a_name_and_a_sentence),
};
CONTRACT_GROUP(open);
