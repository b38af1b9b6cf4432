/* test_layout.c -- geometry: what may be asked for, what follows from it, and that a damaged header leads nowhere. */
#include "support/ptt.h"

#include <stdlib.h>
#include <string.h>

#include <ptq/queue.h>

#include "ring/layout.h"

static struct pti_geometry make(uint64_t capacity, uint32_t item_size)
{
    struct pti_geometry_request request = {.capacity = capacity, .item_size = item_size};
    struct pti_geometry geometry;

    assert_ok(pti_geometry_make(&request, &geometry));
    return geometry;
}

static void slots_are_a_power_of_two_above_the_capacity(void **state)
{
    static const uint64_t capacities[] = {1, 2, 63, 64, 65, 127, 128, 1000, 4095, 4096, 1 << 20};

    (void)state;
    for (size_t i = 0; i < sizeof capacities / sizeof capacities[0]; i++) {
        struct pti_geometry g = make(capacities[i], 64);

        assert_true(g.slots > capacities[i] && g.slots >= 64);
        assert_int_equal(g.slots & (g.slots - 1), 0);
        assert_true(g.position_bits >= 46);
        assert_true(g.shared_blocks > capacities[i]);
    }
}

static void regions_follow_each_other_without_overlap(void **state)
{
    struct pti_geometry g = make(1000, 4096);

    (void)state;
    assert_true(g.off_hints >= PTI_HEADER_SIZE);
    assert_true(g.off_stretch >= g.off_hints + sizeof(struct pti_hints));
    assert_true(g.off_special >= g.off_used + (g.shared_blocks + 63) / 64 * 8);
    assert_true(g.off_extents >= g.off_special + (g.blocks + 63) / 64 * 8);
    assert_true(g.off_slots >= g.off_extents + g.extents * 4);
    assert_true(g.off_entries >= g.off_slots + g.slots * 8);
    assert_true(g.off_blocks >= g.off_entries + g.endpoints * sizeof(struct pti_entry));
    assert_true(g.file_size >= g.off_blocks + (uint64_t)g.blocks * g.stride);
    assert_true(g.stride >= PTI_BLOCK_HEAD + 4096);
}

static void what_is_beyond_the_limits_is_refused(void **state)
{
    struct pti_geometry_request capacity = {.capacity = UINT64_C(1) << 40};
    struct pti_geometry_request item = {.item_size = PTQ_ITEM_MAX + 4097};
    struct pti_geometry_request endpoints = {.endpoints = 2048};
    struct pti_geometry_request both = {.capacity = 1 << 22, .item_size = 1 << 20};
    struct pti_geometry geometry;

    (void)state;
    assert_answer(PTQ_EINVAL, pti_geometry_make(&capacity, &geometry));
    assert_answer(PTQ_EINVAL, pti_geometry_make(&item, &geometry));
    assert_answer(PTQ_EINVAL, pti_geometry_make(&endpoints, &geometry));
    assert_ok(pti_geometry_make(&both, &geometry)); /* large, but sparse */
}

static void every_changed_byte_of_the_header_is_noticed(void **state)
{
    struct pti_geometry g = make(10, 64);
    unsigned char *base = calloc(1, g.file_size), kept;
    struct pti_header header;
    uint8_t id[16] = {1, 2, 3};

    (void)state;
    assert_non_null(base);
    pti_header_write(base, &g, "tasks", NULL, id);
    assert_ok(pti_header_read(base, g.file_size, &header));
    assert_string_equal(header.name, "tasks");
    for (size_t i = 0; i < sizeof header; i++) {
        enum ptq_err err;

        kept = base[i];
        base[i] ^= 0x41;
        err = pti_header_read(base, g.file_size, &header);
        assert_true(err == PTQ_ECORRUPT || err == PTQ_EVERSION);
        base[i] = kept;
    }
    assert_answer(PTQ_ECORRUPT, pti_header_read(base, g.file_size - 4096, &header));
    free(base);
}

static void a_name_that_a_terminal_would_obey_is_refused(void **state)
{
    struct pti_geometry g = make(10, 64);
    unsigned char *base = calloc(1, g.file_size);
    struct pti_header header;

    (void)state;
    assert_non_null(base);
    pti_header_write(base, &g, "tasks\033[2J", "x:u8", (uint8_t[16]){1}); /* the checksum is right */
    assert_answer(PTQ_ECORRUPT, pti_header_read(base, g.file_size, &header));
    free(base);
}

static void words_keep_their_parts(void **state)
{
    uint64_t word = pti_word(PTI_LEASED, 2046, (UINT64_C(1) << 48) - 1, 1);
    uint64_t line = pti_journal(PTI_OP_NACK, PTI_END_BLOCK, UINT64_C(0x123456789abcdef0), PTI_LINE_OPEN);

    (void)state;
    assert_int_equal(pti_word_state(word), PTI_LEASED);
    assert_int_equal(pti_word_owner(word), 2046);
    assert_int_equal(pti_word_redelivered(word), 1);
    assert_true(pti_word_position(word) == (UINT64_C(1) << 48) - 1);
    assert_int_equal(pti_journal_operation(line), PTI_OP_NACK);
    assert_int_equal(pti_journal_status(line), PTI_LINE_OPEN);
    assert_int_equal(pti_journal_block(line), PTI_END_BLOCK);
    assert_true(pti_journal_low(line) == 0x9abcdef0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_a_power_of_two_above_the_capacity),
        cmocka_unit_test(regions_follow_each_other_without_overlap),
        cmocka_unit_test(what_is_beyond_the_limits_is_refused),
        cmocka_unit_test(every_changed_byte_of_the_header_is_noticed),
        cmocka_unit_test(a_name_that_a_terminal_would_obey_is_refused),
        cmocka_unit_test(words_keep_their_parts),
    };

    return cmocka_run_group_tests_name("ring_layout", tests, NULL, NULL);
}
