/* test_scribble.c -- a process that writes into a segment while others use it: what was checked is what is used. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ptq/metrics.h>
#include <ptq/ptq.h>

#include "base/time.h"
#include "ring/layout.h"
#include "support/ptt.h"

enum { ITEM = 1024, ROUNDS = 20000 };

/* Another's map of the segment, and a thread that never stops changing a field of one block in it. */
struct scribbler {
    char *base;
    struct pti_header header;
    size_t field; /* of struct pti_block: a byte, or the length */
    uint32_t one, other;
    _Atomic uint64_t block; /* 1 + which; 0: none */
    _Atomic uint64_t done;
    pthread_t thread;
};

static void write_field(struct scribbler *s, uint64_t block, uint32_t value)
{
    const struct pti_geometry *g = &s->header.geometry;
    char *at = s->base + g->off_blocks + (block - 1) * g->stride + s->field;

    if (s->field == offsetof(struct pti_block, length))
        pti_store_relaxed((_Atomic uint32_t *)(void *)at, value);
    else
        pti_store_relaxed((_Atomic uint8_t *)(void *)at, (uint8_t)value);
}

static void *scribble(void *context)
{
    struct scribbler *s = context;

    for (unsigned turn = 0; pti_load_acquire(&s->done) == 0; turn++) {
        uint64_t block = pti_load_acquire(&s->block);

        if (block == 0)
            continue;
        write_field(s, block, turn & 1 ? s->one : s->other);
        for (unsigned pauses = turn / 2 % 8; pauses > 0; pauses--) /* each of them stands for long enough to be looked at */
            pti_pause();
    }
    return NULL;
}

static void start(struct scribbler *s, const struct ptt_scratch *scratch)
{
    char path[200];

    snprintf(path, sizeof path, "%s/test/tasks~v%d", scratch->dir, PTQ_LAYOUT_VERSION);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    off_t size = lseek(fd, 0, SEEK_END);
    s->base = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(s->base, MAP_FAILED);
    close(fd);
    assert_ok(pti_header_read(s->base, (size_t)size, &s->header));
    assert_int_equal(pthread_create(&s->thread, NULL, scribble, s), 0);
}

static void stop(struct scribbler *s)
{
    pti_store_release(&s->done, 1);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    munmap(s->base, s->header.geometry.file_size);
}

/* From now on the block of the message at `position` is scribbled in. */
static void aim(struct scribbler *s, uint64_t position)
{
    const _Atomic uint64_t *slots = (const _Atomic uint64_t *)(const void *)(s->base + s->header.geometry.off_slots);

    pti_store_release(&s->block, 1 + pti_slot_block(pti_load_acquire(&slots[position & (s->header.geometry.slots - 1)])));
}

static ptq_queue *open_queue(struct ptt_scratch *scratch)
{
    struct ptq_queue_options options = {.capacity = 100, .item_size = ITEM, .stamps = PTQ_STAMPS_OFF};
    ptq_queue *queue = NULL;

    assert_ok(ptq_queue_open(scratch->bus, "tasks", &options, &queue));
    return queue;
}

static void recv_writes_no_further_than_the_buffer(void **state)
{
    struct scribbler s = {.field = offsetof(struct pti_block, length), .one = 8, .other = ITEM};
    ptq_queue *queue = open_queue(*state);
    unsigned char buffer[2 * ITEM];
    uint64_t position = 0;
    size_t size = 0;

    start(&s, *state);
    for (int round = 0; round < ROUNDS; round++) {
        enum ptq_err err = PTQ_EMSGSIZE;

        assert_ok(ptq_put_position(queue, "8 bytes", 8, PTQ_NOWAIT, &position));
        aim(&s, position);
        memset(buffer, 0xee, sizeof buffer);
        int64_t deadline = pti_now_ns() + PTT_LONG * PTI_NS_PER_MS;
        for (unsigned tries = 1; err == PTQ_EMSGSIZE; tries++) {
            err = ptq_recv(queue, buffer, 16, PTQ_NOWAIT, &size);
            if (tries % 1000 == 0 && pti_now_ns() > deadline)
                break;
            if (tries % 1000 == 0) /* the length stands as it is until the other thread runs again */
                sched_yield();
        }
        pti_store_release(&s.block, 0);
        assert_ok(err);
        assert_true(size <= 16);
        for (size_t i = 16; i < sizeof buffer; i++)
            assert_int_equal(buffer[i], 0xee);
    }
    stop(&s);
    ptq_queue_close(queue);
}

static void no_message_is_longer_than_its_block(void **state)
{
    struct scribbler s = {.field = offsetof(struct pti_block, length), .one = 8, .other = 1u << 30};
    const struct ptq_bytes items[] = {{"first  ", 8}, {"second ", 8}, {"third  ", 8}, {"fourth ", 8}};
    ptq_queue *queue = open_queue(*state);
    uint64_t position = 0;
    ptq_msg *msgs[4];
    size_t count = 0;

    start(&s, *state);
    for (int round = 0; round < ROUNDS; round++) {
        if (round % 2 == 0)
            assert_ok(ptq_put_many(queue, items, 4, PTQ_NOWAIT, &position));
        for (int i = 0; round % 2 != 0 && i < 4; i++)
            assert_ok(ptq_put_position(queue, items[i].data, items[i].size, PTQ_NOWAIT, &position));
        aim(&s, position);
        if (round % 2 == 0)
            pti_store_release(&s.block, pti_load_relaxed(&s.block) - 2); /* not the header of the batch: an element before it */
        assert_ok(ptq_get_many(queue, msgs, 4, 4, PTQ_NOWAIT, &count));
        pti_store_release(&s.block, 0);
        for (size_t i = 0; i < count; i++)
            assert_true(ptq_msg_size(msgs[i]) <= ITEM);
        assert_ok(ptq_ack_many(msgs, count));
    }
    stop(&s);
    ptq_queue_close(queue);
}

static bool is_in_bounds(const struct ptq_view_msg *msg, void *context)
{
    uint64_t *worst = context;

    *worst = msg->size > *worst ? msg->size : *worst;
    return true;
}

static void a_view_reads_no_further_than_it_has_copied(void **state)
{
    struct scribbler s = {.field = offsetof(struct pti_block, kind), .one = 0, .other = PTI_KIND_PACK};
    struct ptt_scratch *scratch = *state;
    ptq_queue *queue = open_queue(scratch);
    uint64_t position = 0, worst = 0, one = 1;
    unsigned char much[64];
    ptq_view *view = NULL;

    memset(much, 0x7f, sizeof much); /* what stands behind a short message in the buffer of a peek: a pack with one endless record */
    memset(much + 8, 0, 8);
    assert_ok(ptq_put(queue, much, sizeof much, PTQ_NOWAIT));
    assert_ok(ptq_put_position(queue, &one, sizeof one, PTQ_NOWAIT, &position));
    assert_ok(ptq_view_open(scratch->bus, "tasks", NULL, &view));
    start(&s, scratch);
    aim(&s, position);
    for (int round = 0; round < ROUNDS && worst <= ITEM; round++)
        assert_ok(ptq_view_peek(view, is_in_bounds, &worst));
    stop(&s);
    assert_true(worst <= ITEM);
    ptq_view_close(view);
    ptq_queue_close(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(recv_writes_no_further_than_the_buffer, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(no_message_is_longer_than_its_block, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(a_view_reads_no_further_than_it_has_copied, ptt_setup_scratch, ptt_teardown_scratch),
    };

    return cmocka_run_group_tests_name("local scribble", tests, NULL, NULL);
}
