/* test_verify.c -- ptq verify finds each inconsistency that is planted in a sound segment. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ptq/metrics.h>
#include <ptq/ptq.h>

#include "bus/bus.h"
#include "ring/layout.h"
#include "support/ptt.h"

/* The queue's file, written by hand while nobody has it open. */
struct bytes {
    char *base;
    size_t size;
    struct pti_geometry *g;
    struct pti_hints *hints;
    struct pti_entry *entries;
    _Atomic uint64_t *slots;
    _Atomic uint64_t *special;
    _Atomic uint32_t *extents;
};

static struct pti_block *block_at(const struct bytes *b, uint32_t block)
{
    return (void *)(b->base + b->g->off_blocks + (size_t)block * b->g->stride);
}

static struct pti_block *block_in(const struct bytes *b, enum pti_state state)
{
    for (uint32_t i = 0; i < b->g->blocks; i++)
        if (pti_word_state(block_at(b, i)->word) == state && block_at(b, i)->length != 0)
            return block_at(b, i);
    fail_msg("no block is in state %d", state);
    return NULL;
}

static void set_state(struct pti_block *block, enum pti_state state) { block->word = (block->word & ~UINT64_C(15)) | state; }

/* ---- the plants */

static void count_a_put(const struct bytes *b) { b->entries[0].put++; }
static void count_an_ack(const struct bytes *b) { b->entries[0].acked++; }
static void count_a_drop(const struct bytes *b) { b->entries[0].dropped[PTQ_DROP_EXPIRED]++; }
static void lose_a_message(const struct bytes *b) { block_in(b, PTI_COMMIT)->word = 0; }
static void lose_a_dead_letter(const struct bytes *b) { block_in(b, PTI_DEAD)->word = 0; }

static void make_a_message(const struct bytes *b)
{
    uint32_t i = b->g->shared_blocks + 30; /* beside those in use: it has memory */

    block_at(b, i)->word = pti_word(PTI_REDELIV, 0, b->g->start, 1);
    b->special[i / 64] |= UINT64_C(1) << (i % 64);
}

static void write_an_unknown_state(const struct bytes *b) { set_state(block_in(b, PTI_COMMIT), PTI_ACKED); }

static void write_a_position_beyond(const struct bytes *b)
{
    struct pti_block *block = block_in(b, PTI_REDELIV);

    block->word |= UINT64_C(1) << 63;
}

static void write_an_owner_beyond(const struct bytes *b)
{
    struct pti_block *block = block_in(b, PTI_COMMIT);

    block->word = pti_word(PTI_COMMIT, 2000, pti_word_position(block->word), 0);
}

static void write_a_length_beyond(const struct bytes *b) { block_in(b, PTI_REDELIV)->length = b->g->item_size + 1; }
static void write_headers_beyond(const struct bytes *b) { block_in(b, PTI_COMMIT)->headers = 128; }
static void take_the_marks_away(const struct bytes *b)
{
    for (uint32_t i = 0; i < (b->g->blocks + 63) / 64; i++)
        b->special[i] = 0;
}
static void hide_a_redelivery(const struct bytes *b) { b->hints->redelivery &= ~UINT64_C(1); }
static void forget_the_due_time(const struct bytes *b) { b->hints->next_due = 0; }
static void move_the_head_hint(const struct bytes *b) { b->hints->head += 4; }
static void move_the_tail_hint(const struct bytes *b) { b->hints->tail += 100; }

static void name_a_block_beyond(const struct bytes *b)
{
    _Atomic uint64_t *slot = &b->slots[(b->hints->tail - 1) & (b->g->slots - 1)];

    *slot = pti_slot(pti_slot_lap(*slot), b->g->blocks + 7);
}

static void leave_a_hole(const struct bytes *b)
{
    _Atomic uint64_t *slot = &b->slots[(b->hints->tail - 2) & (b->g->slots - 1)];

    *slot = pti_slot(pti_slot_lap(*slot) - 1, pti_slot_block(*slot));
}

static void throw_a_slot_back(const struct bytes *b)
{
    b->slots[(b->hints->tail + 3) & (b->g->slots - 1)] = pti_slot((UINT64_C(1) << 41) - 9, 0);
}

static void lease_by_nobody(const struct bytes *b)
{
    struct pti_block *block = block_in(b, PTI_REDELIV);

    block->word = pti_word(PTI_LEASED, 3, pti_word_position(block->word), 1);
}

static void attach_where_nobody_looks(const struct bytes *b) { b->entries[b->g->endpoints - 1].state = 1; }
static void say_more_entries(const struct bytes *b) { b->hints->entries_used = b->g->endpoints + 1; }
static void grant_to_nobody(const struct bytes *b) { b->extents[0] = 2047; }
static void touch_the_header(const struct bytes *b) { b->g->capacity++; }

static const struct plant {
    const char *name;
    void (*plant)(const struct bytes *b);
    const char *finding; /* some of its words; NULL: it is not even opened */
} plants[] = {
    {"a put too many is counted", count_a_put, "put"},
    {"an ack too many is counted", count_an_ack, "acked"},
    {"a drop too many is counted", count_a_drop, "dropped"},
    {"a message is gone", lose_a_message, "ready"},
    {"a dead letter is gone", lose_a_dead_letter, "dead"},
    {"a message came from nowhere", make_a_message, "ready"},
    {"a state that nobody writes", write_an_unknown_state, "which nobody writes"},
    {"a position beyond the last", write_a_position_beyond, "beyond the last"},
    {"an owner beyond the last", write_an_owner_beyond, "belongs to endpoint 2000"},
    {"a length beyond item_size", write_a_length_beyond, "bytes long"},
    {"headers beyond the room", write_headers_beyond, "headers"},
    {"no marks", take_the_marks_away, "without its mark"},
    {"a redelivery that nobody is told of", hide_a_redelivery, "redelivery word"},
    {"a delayed message that nobody looks for", forget_the_due_time, "due before anybody looks"},
    {"a head hint beyond messages", move_the_head_hint, "head hint"},
    {"a tail hint beyond the last", move_the_tail_hint, "tail hint"},
    {"a slot that names no block", name_a_block_beyond, "names block"},
    {"a hole", leave_a_hole, "behind an empty one"},
    {"a slot laps behind", throw_a_slot_back, "laps behind"},
    {"a lease of nobody", lease_by_nobody, "which nobody is"},
    {"an endpoint where nobody looks", attach_where_nobody_looks, "where nobody looks"},
    {"entries beyond the last", say_more_entries, "said to be in use"},
    {"an extent of nobody", grant_to_nobody, "was granted"},
    {"another geometry", touch_the_header, NULL},
};

/* ---- the segment */

static void leave_queue(ptq_bus *bus)
{
    struct ptq_queue_options options = {.capacity = 32, .item_size = 64, .max_endpoints = 8, .max_deliveries = 1};
    ptq_queue *queue;
    ptq_msg *msg;

    assert_ok(ptq_queue_open(bus, "q", &options, &queue));
    for (int i = 0; i < 10; i++)
        assert_ok(ptq_put(queue, "message", 7, PTQ_NOWAIT));
    assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
    assert_ok(ptq_nack(msg, 0));
    assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg)); /* the first is dead now */
    assert_ok(ptq_nack(msg, 1000000));
    assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
    assert_ok(ptq_ack(msg));
    assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
    assert_ok(ptq_nack(msg, 0));
    ptq_queue_close(queue);
}

static void map_queue(ptq_bus *bus, struct bytes *b)
{
    char file[PTI_FILE_NAME_MAX];
    struct stat status;
    int fd;

    pti_segment_file("q", file, sizeof file);
    fd = openat(bus->dirfd, file, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    b->size = (size_t)status.st_size;
    b->base = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(b->base != MAP_FAILED);
    close(fd);
    b->g = &((struct pti_header *)(void *)b->base)->geometry;
    b->hints = (void *)(b->base + b->g->off_hints);
    b->entries = (void *)(b->base + b->g->off_entries);
    b->slots = (void *)(b->base + b->g->off_slots);
    b->special = (void *)(b->base + b->g->off_special);
    b->extents = (void *)(b->base + b->g->off_extents);
}

static char findings[2000];

static void note(const char *finding, void *context)
{
    (void)context;
    snprintf(findings + strlen(findings), sizeof findings - strlen(findings), "%s\n", finding);
}

static enum ptq_err verify(ptq_bus *bus)
{
    struct ptq_verify_report report;
    ptq_view *view;
    enum ptq_err err = ptq_view_open(bus, "q", NULL, &view);

    findings[0] = 0;
    if (err != PTQ_OK)
        return err;
    err = ptq_view_verify(view, note, NULL, &report);
    ptq_view_close(view);
    return err;
}

static void each_planted_inconsistency_is_found(void **state)
{
    ptq_bus *bus = ((struct ptt_scratch *)*state)->bus;
    struct bytes b;
    char *sound;
    int missed = 0;

    leave_queue(bus);
    assert_ok(verify(bus));
    map_queue(bus, &b);
    sound = malloc(b.size);
    assert_non_null(sound);
    memcpy(sound, b.base, b.size);

    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        enum ptq_err err;

        plants[i].plant(&b);
        err = verify(bus);
        if (err != PTQ_ECORRUPT || (plants[i].finding && !strstr(findings, plants[i].finding))) {
            missed++;
            print_error("%s: verify answered %s, and told: %s\n", plants[i].name, ptq_err_name(err), findings);
        }
        memcpy(b.base, sound, b.size);
        assert_ok(verify(bus));
    }

    assert_int_equal(missed, 0);
    free(sound);
    munmap(b.base, b.size);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, ptt_setup_scratch, ptt_teardown_scratch)

int main(void)
{
    const struct CMUnitTest cases[] = {CASE(each_planted_inconsistency_is_found)};

    return cmocka_run_group_tests(cases, NULL, NULL);
}
