/* case_ref.c -- S13: a handle as text, sent inside a message, opens the same queue elsewhere, and never another one. */
#include <stdlib.h>
#include <unistd.h>

#include "contract/contract.h"

static void ref_of(ptq_queue *queue, char text[PTQ_REF_SIZE])
{
    assert_ok(ptq_queue_ref(queue, text, PTQ_REF_SIZE));
}

static enum ptq_err follow(ptq_bus *bus, const char *text, struct ptq_error *error, ptq_queue **ret_queue)
{
    return ptq_queue_from_ref(bus, text, &(struct ptq_queue_options){.error = error}, ret_queue);
}

static void a_handle_reads_back_from_its_text(void **state)
{
    struct contract *c = *state;
    struct ptq_error error = {0};
    ptq_queue *queue = contract_open_sized(c, "tasks", 7, 64), *again = NULL, *opened = NULL;
    char text[PTQ_REF_SIZE], second[PTQ_REF_SIZE];

    ref_of(queue, text);
    assert_non_null(strstr(text, "/test/tasks@"));
    put_number(queue, 42);
    if (follow(c->bus, text, &error, &again) != PTQ_OK)
        fail_msg("%s: %s", text, error.text);
    assert_string_equal(ptq_queue_name(again), "tasks");
    assert_int_equal(recv_number(again), 42);
    ref_of(again, second);
    assert_string_equal(second, text);
    assert_ok(ptq_queue_open(c->bus, text, NULL, &opened)); /* open takes it as well */
    assert_int_equal(contract_stats(opened).capacity, 7);
    assert_answer(PTQ_EMSGSIZE, ptq_queue_ref(queue, second, strlen(text)));
    assert_ok(ptq_queue_ref(queue, second, strlen(text) + 1));
    ptq_queue_close(opened);
    ptq_queue_close(again);
    ptq_queue_close(queue);
}

static void a_handle_sent_inside_a_message_opens_the_same_queue_in_another_process(void **state)
{
    struct contract *c = *state;
    ptq_queue *tasks = contract_open(c, "tasks", NULL), *replies = contract_open(c, "replies", NULL);
    char text[PTQ_REF_SIZE];

    ref_of(replies, text);
    assert_ok(ptq_put(tasks, text, strlen(text), PTT_LONG));
    pid_t child = contract_child(c, "answer-to", "tasks", NULL, 4711);

    assert_int_equal(recv_number(replies), 4711);
    ptt_assert_exit(child, 0, PTT_LONG);
    ptq_queue_close(replies);
    ptq_queue_close(tasks);
}

static void where_the_memory_is_a_handle_of_a_link_leads_to_it_directly(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL), *direct = NULL;
    char text[PTQ_REF_SIZE];

    ref_of(queue, text);
    put_number(queue, 1);
    assert_ok(ptq_queue_from_ref(c->home.bus, text, NULL, &direct)); /* a process at the home */

    assert_false(contract_stats(direct).remote);
    assert_int_equal(recv_number(direct), 1);
    ptq_queue_close(direct);
    ptq_queue_close(queue);
}

static void a_queue_of_the_same_name_made_later_is_not_taken_for_it(void **state)
{
    struct contract *c = *state;
    struct ptq_error error = {0};
    ptq_queue *queue = contract_open(c, "tasks", NULL), *other = (ptq_queue *)(uintptr_t)16;
    char text[PTQ_REF_SIZE];

    ref_of(queue, text);
    ptq_queue_close(queue);
    assert_ok(ptq_queue_unlink(c->home.bus, "tasks", true));
    enum ptq_err err = follow(c->bus, text, &error, &other);
    assert_int_equal(err, PTQ_ENOENT);
    assert_true(strlen(error.text) > 20);
    queue = contract_open(c, "tasks", NULL);
    assert_answer(PTQ_EGONE, follow(c->bus, text, &error, &other));
    assert_non_null(strstr(error.text, "removed"));
    assert_ptr_equal(other, (void *)(uintptr_t)16);
    ptq_queue_close(queue);
}

static void a_ref_that_leads_nowhere_says_so_in_a_sentence(void **state)
{
    struct contract *c = *state;
    struct ptq_error error = {0};
    ptq_queue *other = NULL;

    assert_answer(PTQ_ENOENT, follow(c->bus, "ptq:///test/tasks@faraway#00112233445566778899aabbccddeeff", &error, &other));
    assert_non_null(strstr(error.text, "no peer is called 'faraway'"));
    assert_answer(PTQ_ENOENT, follow(c->bus, "ptq:///norun/tasks@faraway#00112233445566778899aabbccddeeff", &error, &other));
    assert_int_not_equal(access(c->dir, F_OK), -1);
    assert_int_equal(ptt_scratch_files(&c->home, NULL), 0);
}

static void what_is_no_ref_is_einval(void **state)
{
    static const char *const bad[] = {"#",
                                      "ptq:///test/tasks@here#",
                                      "ptq:///test/tasks@here#00112233445566778899aabbccddeef",
                                      "ptq:///test/tasks@here#00112233445566778899aabbccddeeff0",
                                      "ptq:///test/tasks@here#00112233445566778899AABBCCDDEEFF",
                                      "ptq:///test/tasks@here# 0112233445566778899aabbccddeeff",
                                      "ptq:///test/tasks#00112233445566778899aabbccddeeff",
                                      "ptq:///tasks@here#00112233445566778899aabbccddeeff",
                                      "tasks@here#00112233445566778899aabbccddeeff",
                                      "/tasks@here#00112233445566778899aabbccddeeff",
                                      "ptq:///../tasks@here#00112233445566778899aabbccddeeff",
                                      "ptq:///test/../tasks@here#00112233445566778899aabbccddeeff",
                                      "ptq:///test/.tasks@here#00112233445566778899aabbccddeeff",
                                      "ptq:///test/tasks@#00112233445566778899aabbccddeeff"};
    struct contract *c = *state;
    ptq_queue *other = NULL;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ptq_error error = {0};
        char *exact = strdup(bad[i]);
        enum ptq_err err = follow(c->bus, exact, &error, &other);
        if (err != PTQ_EINVAL || error.text[0] == '\0')
            fail_msg("'%s' was answered %s: %s", exact, ptq_err_name(err), error.text);
        free(exact);
    }
    assert_null(other);
}

static const struct contract_case ref_cases[] = {
    CONTRACT_CASE(a_handle_reads_back_from_its_text),
    CONTRACT_CASE(a_handle_sent_inside_a_message_opens_the_same_queue_in_another_process),
    CONTRACT_CASE(where_the_memory_is_a_handle_of_a_link_leads_to_it_directly),
    CONTRACT_CASE(a_queue_of_the_same_name_made_later_is_not_taken_for_it),
    CONTRACT_CASE(a_ref_that_leads_nowhere_says_so_in_a_sentence),
    CONTRACT_CASE(what_is_no_ref_is_einval),
};
CONTRACT_GROUP(ref);
