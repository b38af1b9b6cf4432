/* memory_giant.c -- one message of 1 GiB: written in place, read in another process, its file used again. */
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "contract/contract.h"

#define STEP ((size_t)1 << 20)

/* A word at the beginning of each MiB, and the last byte: enough to tell it whole, without writing 1 GiB twice. */
static void mark(unsigned char *bytes, size_t size, uint64_t seed)
{
    for (size_t at = 0; at + 8 <= size; at += STEP)
        memcpy(bytes + at, &(uint64_t){seed + at}, 8);
    bytes[size - 1] = (unsigned char)seed;
}

static bool is_marked(const unsigned char *bytes, size_t size, uint64_t seed)
{
    for (size_t at = 0; at + 8 <= size; at += STEP)
        if (memcmp(bytes + at, &(uint64_t){seed + at}, 8) != 0)
            return false;
    return bytes[size - 1] == (unsigned char)seed;
}

static bool is_there_room(const char *dir, uint64_t bytes)
{
    struct statvfs space;

    return statvfs(dir, &space) == 0 && (uint64_t)space.f_bavail * space.f_frsize > bytes;
}

static int get_giants(void *context)
{
    struct contract *c = context;
    struct ptq_bus_options options = {.dir = c->home.dir};
    ptq_queue *queue;
    ptq_bus *bus;
    ptq_msg *msg;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK || ptq_queue_open(bus, "tasks", NULL, &queue) != PTQ_OK)
        return 1;
    for (uint64_t i = 0; i < 3; i++) {
        if (ptq_get(queue, PTT_LONG, &msg) != PTQ_OK)
            return 2;
        if (ptq_msg_size(msg) != PTQ_ITEM_MAX - i || !is_marked(ptq_msg_data(msg), PTQ_ITEM_MAX - i, i))
            return 3;
        if (ptq_ack(msg) != PTQ_OK)
            return 4;
    }
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

static void a_message_of_a_gibibyte_goes_from_process_to_process(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue;
    pid_t child;

    if (!is_there_room(c->home.dir, 3 * (uint64_t)PTQ_ITEM_MAX)) {
        print_message("skipped: less than 3 GiB are free in %s\n", c->home.dir);
        skip();
    }
    queue = contract_open_sized(c, "tasks", 1, PTQ_ITEM_MAX);
    child = ptt_fork(get_giants, c);
    for (uint64_t i = 0; i < 3; i++) {
        enum ptq_err err;
        ptq_msg *loan;

        assert_ok(ptq_loan(queue, PTQ_ITEM_MAX, PTT_LONG, &loan));
        mark(ptq_msg_buffer(loan), PTQ_ITEM_MAX - i, i);
        err = ptq_publish(loan, PTQ_ITEM_MAX - i, PTT_LONG, NULL);
        assert_answer(PTQ_OK, err);
    }
    ptt_assert_exit(child, 0, PTT_LONG);
    assert_in_range(contract_stats(queue).bytes, PTQ_ITEM_MAX, 3 * (uint64_t)PTQ_ITEM_MAX);
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    assert_ok(ptq_queue_unlink(c->bus, "tasks", false));
    assert_int_equal(ptt_scratch_files(&c->home, NULL), 0);
}

static void the_largest_message_bears_headers_too(void **state)
{
    struct contract *c = *state;
    struct ptq_header header = {.name = "note", .value = "end", .size = 3};
    struct ptq_put_options options = {.headers = &header, .header_count = 1};
    ptq_queue *queue;
    const void *value;
    size_t size;
    ptq_msg *msg;

    if (!is_there_room(c->home.dir, 3 * (uint64_t)PTQ_ITEM_MAX))
        skip();
    queue = contract_open_sized(c, "tasks", 1, PTQ_ITEM_MAX);
    assert_ok(ptq_loan(queue, PTQ_ITEM_MAX, PTQ_NOWAIT, &msg));
    mark(ptq_msg_buffer(msg), PTQ_ITEM_MAX, 7);
    assert_ok(ptq_publish_with(msg, PTQ_ITEM_MAX, &options, PTQ_NOWAIT));
    assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
    assert_true(is_marked(ptq_msg_data(msg), PTQ_ITEM_MAX, 7));
    value = ptq_msg_header(msg, "note", &size);
    assert_non_null(value);
    assert_memory_equal(value, "end", 3);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
}

static const struct contract_case giant_cases[] = {
    CONTRACT_CASE(a_message_of_a_gibibyte_goes_from_process_to_process),
    CONTRACT_CASE(the_largest_message_bears_headers_too),
};
CONTRACT_GROUP(giant);
