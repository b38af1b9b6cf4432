/* memory_large_garbage.c -- what others put in place of side files, or write into the segment of their queue. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ptq/metrics.h>

#include "contract/large.h"

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
        ptq_queue *queue = large_open(c, "tasks", 4);
        struct errand errand = {c, NULL, 0};
        struct sides sides;

        large_put(queue, MIB, 1);
        assert_ok(ptq_put(queue, "abc", 3, PTQ_NOWAIT));
        large_look_at_sides(c, "tasks", &sides);
        makes[i](sides.path);
        ptt_assert_exit(ptt_fork(get_elsewhere, &errand), 0, PTT_LONG);
        assert_int_equal(contract_stats(queue).dead, 1);
        ptq_queue_close(queue);
        assert_ok(ptq_queue_unlink(c->bus, "tasks", true));

        queue = large_open(c, "tasks", 4);
        large_put(queue, MIB, 1);
        large_get(queue, MIB, 1);
        ptq_queue_close(queue);
        large_look_at_sides(c, "tasks", &sides);
        makes[i](sides.path);
        queue = large_open(c, "tasks", 4);
        large_put(queue, 2 * MIB, 5); /* takes the block with the file */
        large_get(queue, 2 * MIB, 5);
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
    for (uint64_t n = 0; contract_now_ms() < end || (errand[0].page->words[1] <= 100 && contract_now_ms() < end + PTT_LONG); n++) {
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
    large_assert_sides(c, "tasks", 0);
    ptt_page_free(errand[0].page);
}

static const struct contract_case large_garbage_cases[] = {
    CONTRACT_CASE(garbage_in_place_of_a_file_is_refused_and_replaced),
    CONTRACT_CASE(a_live_scribbler_crashes_nobody),
};
CONTRACT_GROUP(large_garbage);
