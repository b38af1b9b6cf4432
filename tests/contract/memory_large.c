/* memory_large.c -- messages that stand in side files: every boundary, loans, batches, headers, other processes, and what
 * becomes of the files. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "contract/contract.h"

#include <ptq/metrics.h>

#define MIB ((size_t)1 << 20)
#define LARGEST (5 * MIB)
#define INLINE 4032u /* of a block of a large queue */

static ptq_queue *open_large(struct contract *c, const char *name, uint64_t capacity)
{
    return contract_open_sized(c, name, capacity, LARGEST);
}

/* ---- side files */

struct sides {
    unsigned count;
    uint64_t bytes;  /* that have memory */
    char path[400];  /* of one of them */
};

static void look_at_sides(struct contract *c, const char *queue, struct sides *sides)
{
    char path[300], prefix[160];
    struct dirent *entry;
    struct stat status;

    snprintf(path, sizeof path, "%s/test", c->home.dir);
    snprintf(prefix, sizeof prefix, "%s~L", queue);
    memset(sides, 0, sizeof *sides);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        sides->count++;
        snprintf(sides->path, sizeof sides->path, "%s/%.250s", path, entry->d_name);
        if (lstat(sides->path, &status) == 0)
            sides->bytes += (uint64_t)status.st_blocks * 512;
    }
    closedir(dir);
}

static void assert_sides(struct contract *c, const char *queue, unsigned count)
{
    struct sides sides;

    look_at_sides(c, queue, &sides);
    assert_int_equal(sides.count, count);
}

/* ---- messages */

static void put_filled(ptq_queue *queue, size_t size, uint64_t seed)
{
    void *bytes = malloc(size + 1);

    contract_fill(bytes, size, seed);
    assert_ok(ptq_put(queue, bytes, size, PTT_LONG));
    free(bytes);
}

static void assert_filled(const ptq_msg *msg, size_t size, uint64_t seed)
{
    assert_int_equal(ptq_msg_size(msg), size);
    assert_true(contract_is_filled(ptq_msg_data(msg), size, seed));
}

static void get_filled(ptq_queue *queue, size_t size, uint64_t seed)
{
    ptq_msg *msg;

    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_filled(msg, size, seed);
    assert_ok(ptq_ack(msg));
}

static const size_t boundaries[] = {
    0, 1, INLINE - 1, INLINE, INLINE + 1, 65535, 65536, 65537, MIB - 1, MIB, MIB + 1, 2 * MIB, 2 * MIB + 1, LARGEST - 1, LARGEST};
#define BOUNDARIES (sizeof boundaries / sizeof *boundaries)

static void sizes_around_every_boundary_come_out_whole_and_in_order(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_large(c, "tasks", BOUNDARIES);
    unsigned char *buffer = malloc(LARGEST);

    for (int way = 0; way < 2; way++) {
        for (size_t i = 0; i < BOUNDARIES; i++)
            put_filled(queue, boundaries[i], i);
        contract_verify(c, "tasks");
        for (size_t i = 0; i < BOUNDARIES; i++) {
            size_t size = 1;

            if (way == 0) {
                get_filled(queue, boundaries[i], i);
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
    ptq_queue *queue = open_large(c, "tasks", 100);

    for (uint64_t i = 0; i < 100; i++)
        put_filled(queue, INLINE, i);
    for (uint64_t i = 0; i < 100; i++)
        get_filled(queue, INLINE, i);
    assert_sides(c, "tasks", 0);
    ptq_queue_close(queue);
}

static void a_queue_up_to_a_mebibyte_makes_no_files(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 4, MIB);

    put_filled(queue, MIB, 1);
    assert_sides(c, "tasks", 0);
    get_filled(queue, MIB, 1);
    ptq_queue_close(queue);
}

static void one_message_at_a_time_uses_one_file_over_and_over(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_large(c, "tasks", 10);
    struct sides sides;

    for (uint64_t i = 0; i < 50; i++) {
        put_filled(queue, MIB + i, i);
        put_filled(queue, 100, i);
        get_filled(queue, MIB + i, i);
        get_filled(queue, 100, i);
    }
    look_at_sides(c, "tasks", &sides);
    assert_int_equal(sides.count, 1);
    assert_in_range(sides.bytes, MIB, 2 * MIB);
    ptq_queue_close(queue);
}

static void the_file_of_the_last_message_is_left_to_those_whom_it_fits(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_large(c, "tasks", 10);
    struct sides sides;

    put_filled(queue, LARGEST, 1);
    put_filled(queue, MIB, 2);
    get_filled(queue, LARGEST, 1);
    get_filled(queue, MIB, 2);
    for (uint64_t i = 0; i < 10; i++) {
        put_filled(queue, LARGEST, i);
        get_filled(queue, LARGEST, i);
        put_filled(queue, MIB, i + 1);
        put_filled(queue, LARGEST, i + 2);
        get_filled(queue, MIB, i + 1);
        get_filled(queue, LARGEST, i + 2);
    }
    look_at_sides(c, "tasks", &sides);
    assert_int_equal(sides.count, 2);
    assert_in_range(sides.bytes, LARGEST + MIB, LARGEST + MIB + MIB / 2);
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
}

static void stats_count_the_memory_of_side_files(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_large(c, "tasks", 10);
    uint64_t before = contract_stats(queue).bytes;

    for (uint64_t i = 0; i < 3; i++)
        put_filled(queue, 2 * MIB, i);

    uint64_t after = contract_stats(queue).bytes;
    assert_in_range(after - before, 6 * MIB, 7 * MIB);
    ptq_queue_close(queue);
}

static void a_leased_message_keeps_its_address_while_others_come(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_large(c, "tasks", 4);
    ptq_msg *held;

    put_filled(queue, MIB, 1);
    assert_ok(ptq_get(queue, PTQ_NOWAIT, &held));
    const void *data = ptq_msg_data(held);
    for (uint64_t i = 0; i < 20; i++) {
        put_filled(queue, LARGEST - i, i);
        get_filled(queue, LARGEST - i, i);
    }
    assert_ptr_equal(ptq_msg_data(held), data);
    assert_filled(held, MIB, 1);
    assert_ok(ptq_nack(held, 0));
    get_filled(queue, MIB, 1);
    ptq_queue_close(queue);
}

/* ---- loans, batches, headers */

static void a_loan_of_any_size_is_published_at_any_smaller_one(void **state)
{
    static const size_t ends[] = {0, 1, INLINE - 512, INLINE, INLINE + 1, MIB, LARGEST};
    struct contract *c = *state;
    ptq_queue *queue = open_large(c, "tasks", 4);

    for (size_t from = 0; from < sizeof ends / sizeof *ends; from++)
        for (size_t to = 0; to <= from; to++) {
            ptq_msg *loan;

            assert_ok(ptq_loan(queue, ends[from], PTQ_NOWAIT, &loan));
            contract_fill(ptq_msg_buffer(loan), ends[from], 7);
            contract_fill(ptq_msg_buffer(loan), ends[to], from * 10 + to);
            assert_ok(ptq_publish(loan, ends[to], PTQ_NOWAIT, NULL));
            get_filled(queue, ends[to], from * 10 + to);
        }
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
}

static void an_aborted_loan_leaves_its_file_for_the_next(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_large(c, "tasks", 4);

    for (int i = 0; i < 10; i++) {
        ptq_msg *loan;

        assert_ok(ptq_loan(queue, 2 * MIB, PTQ_NOWAIT, &loan));
        memset(ptq_msg_buffer(loan), i, 2 * MIB);
        ptq_abort(loan);
    }
    put_filled(queue, 2 * MIB, 3);
    assert_sides(c, "tasks", 1);
    get_filled(queue, 2 * MIB, 3);
    ptq_queue_close(queue);
}

static void a_batch_mixes_small_and_large(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_large(c, "tasks", BOUNDARIES);
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
        assert_filled(msgs[i], boundaries[i], i);
        assert_ok(ptq_ack(msgs[i]));
        free((void *)(uintptr_t)items[i].data);
    }
    ptq_queue_close(queue);
}

static void headers_go_with_the_message_across_the_boundary(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_large(c, "tasks", 4);
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
        assert_filled(msg, sizes[i], i);
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
        assert_filled(msg, sizes[i], i + 1);
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
    ptq_queue *queue = open_large(c, "tasks", BOUNDARIES);
    unsigned seen = 0;
    ptq_view *view;

    for (size_t i = 0; i < BOUNDARIES; i++)
        put_filled(queue, boundaries[i], i);
    assert_ok(ptq_view_open(c->bus, "tasks", NULL, &view));
    assert_ok(ptq_view_peek(view, check_peeked, &seen));
    assert_int_equal(seen, BOUNDARIES);
    ptq_view_close(view);
    ptq_queue_close(queue);
}

/* ---- other processes */

struct errand {
    struct contract *c;
    struct ptt_page *page;
    uint64_t count;
};

static size_t size_of_number(uint64_t number) { return (size_t)(number * 700001 % LARGEST); }

/* Puts numbered messages of many sizes until it is killed, or `count` are in; words[0]: so many puts returned. */
static int put_for_ever(void *context)
{
    struct errand *errand = context;
    struct ptq_bus_options options = {.dir = errand->c->home.dir};
    unsigned char *bytes = malloc(LARGEST);
    ptq_queue *queue;
    ptq_bus *bus;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK || ptq_queue_open(bus, "tasks", NULL, &queue) != PTQ_OK)
        return 1;
    for (uint64_t i = errand->page->words[0]; i < errand->count; i++) {
        size_t size = 8 + size_of_number(i);

        contract_fill(bytes, size, i);
        memcpy(bytes, &i, 8);
        if (ptq_put(queue, bytes, size, PTT_LONG) != PTQ_OK)
            return 2;
        errand->page->words[0] = i + 1;
    }
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    free(bytes);
    return 0;
}

static bool is_message(const ptq_msg *msg, uint64_t *ret_number)
{
    size_t size = ptq_msg_size(msg);
    unsigned char *expected = malloc(size + 1);
    bool same;

    memcpy(ret_number, ptq_msg_data(msg), 8);
    contract_fill(expected, size, *ret_number);
    memcpy(expected, ret_number, 8);
    same = size == 8 + size_of_number(*ret_number) && memcmp(expected, ptq_msg_data(msg), size) == 0;
    free(expected);
    return same;
}

static void what_one_process_puts_another_gets_whole(void **state)
{
    struct contract *c = *state;
    struct errand errand = {c, ptt_page_new(), 60};
    ptq_queue *queue = open_large(c, "tasks", 4);
    pid_t child = ptt_fork(put_for_ever, &errand);

    for (uint64_t i = 0; i < 60; i++) {
        ptq_msg *msg;
        uint64_t number;

        assert_ok(ptq_get(queue, PTT_LONG, &msg));
        assert_true(is_message(msg, &number));
        assert_int_equal(number, i);
        assert_ok(ptq_ack(msg));
    }
    ptt_assert_exit(child, 0, PTT_LONG);
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    ptt_page_free(errand.page);
}

/* Producers are killed at any point: every put that returned comes out whole, and none half. */
static void a_killed_producer_leaves_whole_messages_only(void **state)
{
    struct contract *c = *state;
    struct errand errand = {c, ptt_page_new(), UINT64_MAX};
    ptq_queue *queue = open_large(c, "tasks", 4);
    uint64_t seed = ptt_seed(), next = 0;

    for (int life = 0; life < 25; life++) {
        pid_t child = ptt_fork(put_for_ever, &errand);
        uint64_t kill_at = next + ptt_random(&seed) % 6, number;
        ptq_msg *msg;

        while (next <= kill_at) {
            assert_ok(ptq_get(queue, PTT_LONG, &msg));
            assert_true(is_message(msg, &number));
            assert_int_equal(number, next);
            assert_ok(ptq_ack(msg));
            next = number + 1;
        }
        usleep((useconds_t)(ptt_random(&seed) % 2000)); /* no waiting for anything: where it is killed is random */
        ptt_kill(child);
        uint64_t returned = errand.page->words[0];
        for (enum ptq_err err; (err = ptq_get(queue, PTQ_NOWAIT, &msg)) != PTQ_EMPTY;) {
            assert_ok(err);
            assert_true(is_message(msg, &number));
            assert_int_equal(number, next++);
            assert_ok(ptq_ack(msg));
        }
        assert_in_range(next, returned, returned + 1);
        errand.page->words[0] = next;
    }
    contract_verify(c, "tasks");
    struct sides sides;
    look_at_sides(c, "tasks", &sides);
    assert_in_range(sides.count, 1, 10); /* the blocks of the dead are used again, with their files */
    ptq_queue_close(queue);
    ptt_page_free(errand.page);
}

static int hold_one(void *context)
{
    struct errand *errand = context;
    struct ptq_bus_options options = {.dir = errand->c->home.dir};
    ptq_queue *queue;
    ptq_bus *bus;
    ptq_msg *msg;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK || ptq_queue_open(bus, "tasks", NULL, &queue) != PTQ_OK ||
        ptq_get(queue, PTT_LONG, &msg) != PTQ_OK)
        return 1;
    errand->page->words[0] = 1;
    pause();
    return 0;
}

static void a_killed_consumer_s_message_comes_again(void **state)
{
    struct contract *c = *state;
    struct errand errand = {c, ptt_page_new(), 0};
    ptq_queue *queue = open_large(c, "tasks", 4);
    ptq_msg *msg;

    put_filled(queue, 3 * MIB, 9);
    pid_t child = ptt_fork(hold_one, &errand);
    assert_true(ptt_wait_word(&errand.page->words[0], 1, PTT_LONG));
    ptt_kill(child);

    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_true(ptq_msg_redelivered(msg));
    assert_filled(msg, 3 * MIB, 9);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
    ptt_page_free(errand.page);
}

static int use_inherited(void *context)
{
    ptq_msg *msg;

    return ptq_put(context, "x", 1, PTQ_NOWAIT) == PTQ_EFORKED && ptq_loan(context, MIB, PTQ_NOWAIT, &msg) == PTQ_EFORKED ? 0 : 1;
}

static void a_forked_child_touches_nothing(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_large(c, "tasks", 4);

    put_filled(queue, MIB, 9);
    ptt_assert_exit(ptt_fork(use_inherited, queue), 0, PTT_LONG);
    get_filled(queue, MIB, 9);
    ptq_queue_close(queue);
}

/* ---- removing */

static void unlink_leaves_no_file(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_large(c, "tasks", 4);

    put_filled(queue, MIB, 1);
    put_filled(queue, MIB, 2);
    assert_sides(c, "tasks", 2);
    assert_ok(ptq_queue_unlink(c->bus, "tasks", true));
    assert_sides(c, "tasks", 0);
    assert_int_equal(ptt_scratch_files(&c->home, NULL), 0);
    assert_answer(PTQ_EGONE, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    ptq_queue_close(queue);
}

static void gc_removes_what_an_empty_or_a_lost_queue_left(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_large(c, "tasks", 4), *kept = open_large(c, "kept", 4);
    struct ptq_gc_report report;
    char path[300];

    put_filled(queue, MIB, 1);
    get_filled(queue, MIB, 1);
    put_filled(kept, MIB, 1);
    ptq_queue_close(queue);
    snprintf(path, sizeof path, "%s/test/lost~L2.0123456789abcdef.3", c->home.dir); /* its queue is gone */
    close(open(path, O_CREAT | O_WRONLY, 0600));
    snprintf(path, sizeof path, "%s/test/kept~L2.0123456789abcdef.0", c->home.dir); /* of an earlier queue of that name */
    close(open(path, O_CREAT | O_WRONLY, 0600));

    assert_ok(ptq_bus_gc(c->bus, false, &report));

    assert_sides(c, "tasks", 0);
    assert_sides(c, "lost", 0);
    assert_sides(c, "kept", 1);
    get_filled(kept, MIB, 1);
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
    ptq_queue *queue = open_large(c, "tasks", 4);
    unsigned count = 0;

    put_filled(queue, MIB, 1);
    assert_ok(ptq_bus_list(c->bus, count_name, &count));
    assert_int_equal(count, 1);
    ptq_queue_close(queue);
}

static void a_new_queue_of_the_name_does_not_see_the_old_one_s_files(void **state)
{
    struct contract *c = *state;
    ptq_queue *old = open_large(c, "tasks", 4), *new;

    put_filled(old, MIB, 1);
    assert_ok(ptq_queue_unlink(c->bus, "tasks", true));
    new = open_large(c, "tasks", 4);
    put_filled(new, MIB, 2);
    get_filled(new, MIB, 2);
    assert_sides(c, "tasks", 1);
    ptq_queue_close(old);
    ptq_queue_close(new);
}

/* ---- garbage in place of a side file */

static void make_symlink(const char *path)
{
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/zero", path), 0);
}
static void make_short(const char *path)
{
    assert_int_equal(unlink(path), 0);
    close(open(path, O_CREAT | O_WRONLY, 0600));
}
static void make_another(const char *path)
{
    assert_int_equal(unlink(path), 0);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(ftruncate(fd, (off_t)LARGEST), 0);
    close(fd);
}
static void make_fifo(const char *path)
{
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
}
static void make_missing(const char *path) { assert_int_equal(unlink(path), 0); }
static void make_linked_twice(const char *path)
{
    char other[500];

    snprintf(other, sizeof other, "%s.other", path);
    assert_int_equal(link(path, other), 0);
}
static void make_foreign(const char *path)
{
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 4242, 4242), 0);
    } else {
        make_missing(path);
    }
}

static int get_elsewhere(void *context)
{
    struct errand *errand = context;
    struct ptq_bus_options options = {.dir = errand->c->home.dir};
    char text[400];
    ptq_queue *queue;
    ptq_bus *bus;
    ptq_msg *msg;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK || ptq_queue_open(bus, "tasks", NULL, &queue) != PTQ_OK)
        return 1;
    if (ptq_get(queue, PTQ_NOWAIT, &msg) != PTQ_ECORRUPT)
        return 2;
    if (strstr(ptq_queue_explain(queue, PTQ_ECORRUPT, 0, text, sizeof text), "~L2.") == NULL)
        return 3;
    if (ptq_get(queue, PTQ_NOWAIT, &msg) != PTQ_OK || ptq_msg_size(msg) != 3 || ptq_ack(msg) != PTQ_OK)
        return 4; /* it does not stand in the others' way */
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

/* A reader refuses it, and goes on with the next message; a writer puts a new file in its place. */
static void garbage_in_place_of_a_file_is_refused_and_replaced(void **state)
{
    static void (*const makes[])(const char *) = {make_symlink, make_short,        make_another, make_fifo,
                                                  make_missing, make_linked_twice, make_foreign};
    struct contract *c = *state;

    for (size_t i = 0; i < sizeof makes / sizeof *makes; i++) {
        ptq_queue *queue = open_large(c, "tasks", 4);
        struct errand errand = {c, NULL, 0};
        struct sides sides;

        put_filled(queue, MIB, 1);
        assert_ok(ptq_put(queue, "abc", 3, PTQ_NOWAIT));
        look_at_sides(c, "tasks", &sides);
        makes[i](sides.path);
        ptt_assert_exit(ptt_fork(get_elsewhere, &errand), 0, PTT_LONG);
        assert_int_equal(contract_stats(queue).dead, 1);
        ptq_queue_close(queue);
        assert_ok(ptq_queue_unlink(c->bus, "tasks", true));

        queue = open_large(c, "tasks", 4);
        put_filled(queue, MIB, 1);
        get_filled(queue, MIB, 1);
        ptq_queue_close(queue);
        look_at_sides(c, "tasks", &sides);
        makes[i](sides.path);
        queue = open_large(c, "tasks", 4);
        put_filled(queue, 2 * MIB, 5); /* takes the block with the file */
        get_filled(queue, 2 * MIB, 5);
        contract_verify(c, "tasks");
        ptq_queue_close(queue);
        assert_ok(ptq_queue_unlink(c->bus, "tasks", true));
    }
}

/* ---- a scribbler */

/* Puts and gets whatever comes, by copy and in place, until words[0]; every answer is fine. */
static int use_until_told(void *context)
{
    struct errand *errand = context;
    struct ptq_bus_options options = {.dir = errand->c->home.dir};
    unsigned char *bytes = calloc(1, LARGEST);
    uint64_t seed = errand->count, sum = 0;
    ptq_bus *bus;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK)
        return 1;
    while (errand->page->words[0] == 0) {
        ptq_queue *queue;

        if (ptq_queue_open(bus, "tasks", NULL, &queue) != PTQ_OK)
            continue;
        for (int i = 0; i < 200 && errand->page->words[0] == 0; i++) {
            size_t size = ptt_random(&seed) % 3 == 0 ? ptt_random(&seed) % 5000 : ptt_random(&seed) % LARGEST, got = 0;
            ptq_msg *msg;

            if (i % 3 != 0) {
                (void)!ptq_put(queue, bytes, size, PTQ_NOWAIT);
            } else if (ptq_loan(queue, size, PTQ_NOWAIT, &msg) == PTQ_OK) {
                memset(ptq_msg_buffer(msg), 1, size);
                if (ptq_publish(msg, size / 2, PTQ_NOWAIT, NULL) != PTQ_OK)
                    ptq_abort(msg);
            }
            if (i % 2 == 0) {
                (void)!ptq_recv(queue, bytes, LARGEST, PTQ_NOWAIT, &got);
            } else if (ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK) {
                for (size_t at = 0; at < ptq_msg_size(msg); at += 512)
                    sum += ((const unsigned char *)ptq_msg_data(msg))[at];
                (void)!ptq_ack(msg);
            }
            errand->page->words[1]++;
        }
        ptq_queue_close(queue);
    }
    ptq_bus_close(bus);
    free(bytes);
    return sum == 1; /* so that it is read */
}

/* Words of the blocks in use: state, length, headers, notes of files. */
static void a_live_scribbler_crashes_nobody(void **state)
{
    struct contract *c = *state;
    struct errand errand[2] = {{c, ptt_page_new(), 11}, {c, NULL, 12}};
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.capacity = 4, .item_size = LARGEST, .max_endpoints = 8});
    uint64_t seed = ptt_seed();
    ptq_view *view;
    struct ptq_view_info info;
    char path[300];
    pid_t children[2];

    errand[1].page = errand[0].page;
    assert_ok(ptq_view_open(c->bus, "tasks", NULL, &view));
    assert_ok(ptq_view_info(view, &info));
    ptq_view_close(view);
    ptq_queue_close(queue);
    snprintf(path, sizeof path, "%s", info.path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    uint64_t blocks = (uint64_t)info.file_bytes - info.blocks * info.block_stride;
    for (int i = 0; i < 2; i++)
        children[i] = ptt_fork(use_until_told, &errand[i]);
    int64_t end = contract_now_ms() + 1500;
    for (uint64_t n = 0; contract_now_ms() < end; n++) {
        static const uint64_t odd[] = {0, 1, UINT64_MAX, 5000, 1u << 20, (1u << 20) + 1, LARGEST, LARGEST + 1, 1u << 30};
        uint64_t block = ptt_random(&seed) % 12, word = ptt_random(&seed) % 8;
        uint64_t at = blocks + block * info.block_stride + (word < 6 ? word * 8 : info.block_stride - 16 + (word - 6) * 8);
        uint64_t value = ptt_random(&seed) % 2 ? odd[ptt_random(&seed) % (sizeof odd / sizeof *odd)] : ptt_random(&seed);

        assert_int_equal(pwrite(fd, &value, 8, (off_t)at), 8);
        if (n % 16 == 0)
            usleep(200); /* they must come to do something in between */
    }
    close(fd);
    errand[0].page->words[0] = 1;
    for (int i = 0; i < 2; i++)
        ptt_assert_exit(children[i], 0, PTT_LONG);
    assert_true(errand[0].page->words[1] > 100);
    assert_ok(ptq_queue_unlink(c->bus, "tasks", true));
    assert_sides(c, "tasks", 0);
    ptt_page_free(errand[0].page);
}

/* ---- limits of a process */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* and needs the address space itself */
#else
#define SANITIZED 0
#endif

static int get_without_address_space(void *context)
{
    struct errand *errand = context;
    struct ptq_bus_options options = {.dir = errand->c->home.dir};
    struct rlimit limit, tight;
    ptq_queue *queue;
    ptq_bus *bus;
    ptq_msg *msg;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK || ptq_queue_open(bus, "tasks", NULL, &queue) != PTQ_OK)
        return 1;
    getrlimit(RLIMIT_AS, &limit);
    tight = limit;
    tight.rlim_cur = 1; /* nothing more can be mapped */
    setrlimit(RLIMIT_AS, &tight);
    enum ptq_err first = ptq_get(queue, PTQ_NOWAIT, &msg), put = ptq_put(queue, errand->page, MIB, PTQ_NOWAIT);
    setrlimit(RLIMIT_AS, &limit);
    if (first != PTQ_ENOMEM)
        return 2;
    if (put != PTQ_ENOMEM)
        return 3;
    limit.rlim_cur = 0;
    getrlimit(RLIMIT_NOFILE, &limit);
    tight = limit;
    tight.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &tight);
    first = ptq_get(queue, PTQ_NOWAIT, &msg);
    setrlimit(RLIMIT_NOFILE, &limit);
    if (first != PTQ_ENOMEM)
        return 4;
    if (ptq_get(queue, PTQ_NOWAIT, &msg) != PTQ_OK || ptq_msg_redelivered(msg) || ptq_msg_deliveries(msg) != 1)
        return 5; /* as if it had not been taken */
    if (!contract_is_filled(ptq_msg_data(msg), MIB, 1) || ptq_ack(msg) != PTQ_OK)
        return 6;
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

static void without_address_space_or_descriptors_it_is_enomem_and_the_message_stays(void **state)
{
    struct contract *c = *state;
    struct errand errand = {c, NULL, 0};
    ptq_queue *queue;

    if (SANITIZED)
        skip();
    queue = open_large(c, "tasks", 4);
    errand.page = malloc(MIB);
    memset(errand.page, 1, MIB);
    put_filled(queue, MIB, 1);
    ptt_assert_exit(ptt_fork(get_without_address_space, &errand), 0, PTT_LONG);
    contract_verify(c, "tasks");
    free(errand.page);
    ptq_queue_close(queue);
}

static int use_after_closefrom(void *context)
{
    struct errand *errand = context;
    struct ptq_bus_options options = {.dir = errand->c->home.dir};
    ptq_queue *queue;
    ptq_bus *bus;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK || ptq_queue_open(bus, "tasks", NULL, &queue) != PTQ_OK)
        return 1;
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    int root = open("/", O_RDONLY | O_DIRECTORY); /* takes a number that was ours */
    (void)root;
    unsigned char *bytes = malloc(2 * MIB);
    contract_fill(bytes, 2 * MIB, 4);
    if (ptq_put(queue, bytes, 2 * MIB, PTQ_NOWAIT) != PTQ_OK)
        return 2;
    return 0;
}

static void closed_descriptors_do_not_lead_it_astray(void **state)
{
    struct contract *c = *state;
    struct errand errand = {c, NULL, 0};
    ptq_queue *queue = open_large(c, "tasks", 4);

    for (uint64_t i = 0; i < 1; i++)
        put_filled(queue, 100, i); /* the segment has its memory */
    ptt_assert_exit(ptt_fork(use_after_closefrom, &errand), 0, PTT_LONG);
    get_filled(queue, 100, 0);
    get_filled(queue, 2 * MIB, 4);
    ptq_queue_close(queue);
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
    CONTRACT_CASE(what_one_process_puts_another_gets_whole),
    CONTRACT_CASE(a_killed_producer_leaves_whole_messages_only),
    CONTRACT_CASE(a_killed_consumer_s_message_comes_again),
    CONTRACT_CASE(a_forked_child_touches_nothing),
    CONTRACT_CASE(unlink_leaves_no_file),
    CONTRACT_CASE(gc_removes_what_an_empty_or_a_lost_queue_left),
    CONTRACT_CASE(side_files_are_no_queues),
    CONTRACT_CASE(a_new_queue_of_the_name_does_not_see_the_old_one_s_files),
    CONTRACT_CASE(garbage_in_place_of_a_file_is_refused_and_replaced),
    CONTRACT_CASE(a_live_scribbler_crashes_nobody),
    CONTRACT_CASE(without_address_space_or_descriptors_it_is_enomem_and_the_message_stays),
    CONTRACT_CASE(closed_descriptors_do_not_lead_it_astray),
};
CONTRACT_GROUP(large);
