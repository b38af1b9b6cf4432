/* test_pb.c -- unpacking foreign bytes: whatever they say, within bounds of memory and depth, or not at all. */
#include <stdlib.h>
#include <string.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <ptq/pb.h>

#include "queue/port.h"
#include "support/ptt.h"
#include "support/shapes.pb-c.h"

static ptq_msg message_of(void *bytes, size_t size)
{
    return (ptq_msg){.data = bytes, .size = (uint32_t)size, .type = ptq_pb_type("shapes.Tree"), .state = PTI_MSG_LEASED};
}

static enum ptq_err unpack_with(void *bytes, size_t size, const struct ptq_pb_options *options, Shapes__Tree **ret_tree)
{
    ptq_msg msg = message_of(bytes, size);
    ProtobufCMessage *message = NULL;
    enum ptq_err err = ptq_pb_unpack(&msg, &shapes__tree__descriptor, options, &message);

    if (err == PTQ_OK)
        *ret_tree = (Shapes__Tree *)message;
    else
        assert_null(message);
    return err;
}

/* `depth` trees inside each other, written from the inside out; returns how many bytes. */
static size_t nest(uint8_t *buffer, size_t room, unsigned depth)
{
    size_t at = room;

    for (unsigned i = 0; i < depth; i++) {
        size_t inside = room - at;
        uint8_t length[10];
        size_t n = 0;
        do {
            length[n++] = (uint8_t)((inside & 127) | (inside > 127 ? 128 : 0));
            inside >>= 7;
        } while (inside > 0);
        at -= n;
        memcpy(buffer + at, length, n);
        buffer[--at] = 2 << 3 | 2;
    }
    memmove(buffer, buffer + at, room - at);
    return room - at;
}

static void what_nests_too_deep_is_refused_and_never_overflows_the_stack(void **state)
{
    size_t room = 4u << 20;
    uint8_t *bytes = malloc(room);
    struct ptq_pb_options options = {.memory = 1u << 30};
    Shapes__Tree *tree = NULL;
    (void)state;

    size_t size = nest(bytes, room, 100);
    assert_ok(unpack_with(bytes, size, NULL, &tree));
    unsigned depth = 0;
    for (Shapes__Tree *at = tree; at->n_children > 0; at = at->children[0])
        depth++;
    assert_int_equal(depth, 100);
    ptq_pb_free(&tree->base);
    size = nest(bytes, room, 101);
    assert_answer(PTQ_EPROTO, unpack_with(bytes, size, &options, &tree));
    size = nest(bytes, room, 500000);
    assert_answer(PTQ_EPROTO, unpack_with(bytes, size, &options, &tree));
    options.depth = 4000000000u; /* 1000 is the most */
    assert_answer(PTQ_EPROTO, unpack_with(bytes, size, &options, &tree));
    size = nest(bytes, room, 1000);
    assert_ok(unpack_with(bytes, size, &options, &tree));
    ptq_pb_free(&tree->base);
    free(bytes);
}

static void what_takes_more_than_the_limit_is_refused(void **state)
{
    uint8_t bytes[4000];
    Shapes__Tree *tree = NULL;
    struct ptq_pb_options options = {.memory = 200000};
    (void)state;

    for (size_t i = 0; i < sizeof bytes; i += 2) { /* 2000 empty trees: about a hundred bytes each */
        bytes[i] = 2 << 3 | 2;
        bytes[i + 1] = 0;
    }
    assert_answer(PTQ_EPROTO, unpack_with(bytes, sizeof bytes, &options, &tree));
    options.memory = 1;
    assert_answer(PTQ_EPROTO, unpack_with(bytes, 0, &options, &tree));
    assert_ok(unpack_with(bytes, sizeof bytes, NULL, &tree)); /* by default it is not too much */
    assert_int_equal(tree->n_children, 2000);
    ptq_pb_free(&tree->base);
}

static void random_bytes_are_unpacked_within_bounds_or_refused(void **state)
{
    uint64_t seed = ptt_seed(), good = 0;
    (void)state;

    for (int round = 0; round < 100000; round++) {
        size_t size = ptt_random(&seed) % 60;
        uint8_t *bytes = malloc(size > 0 ? size : 1); /* exactly so long */
        for (size_t i = 0; i < size; i++) {
            static const uint8_t likely[] = {1 << 3 | 2, 2 << 3 | 2, 3 << 3, 3 << 3 | 2, 4 << 3 | 2, 0, 1, 2, 5, 128};
            bytes[i] = ptt_random(&seed) % 8 == 0 ? (uint8_t)ptt_random(&seed)
                                                  : likely[ptt_random(&seed) % sizeof likely];
        }
        Shapes__Tree *tree = NULL;
        struct ptq_pb_options options = {.memory = ptt_random(&seed) % 3 == 0 ? ptt_random(&seed) % 2000 : 0};
        enum ptq_err err = unpack_with(bytes, size, &options, &tree);
        assert_true(err == PTQ_OK || err == PTQ_EPROTO);
        good += err == PTQ_OK;
        if (err == PTQ_OK)
            ptq_pb_free(&tree->base);
        free(bytes);
    }
    assert_true(good > 1000);
}

/* Bytes of the heap; a sanitizer's own heap tells leaks by itself. */
static size_t in_use(void)
{
#if defined(__GLIBC__)
    return mallinfo2().uordblks;
#else
    return 0;
#endif
}

static void one_call_frees_all(void **state)
{
    Shapes__Tree leaf = SHAPES__TREE__INIT, root = SHAPES__TREE__INIT, *children[50], *tree = NULL;
    char *words[] = {(char[]){"one"}, (char[]){"two"}, (char[]){""}};
    uint64_t numbers[1000] = {0};
    uint8_t *bytes;
    (void)state;

    leaf.n_words = 3;
    leaf.words = words;
    leaf.n_numbers = 1000;
    leaf.numbers = numbers;
    for (size_t i = 0; i < 50; i++)
        children[i] = &leaf;
    root.n_children = 50;
    root.children = children;
    size_t size = shapes__tree__get_packed_size(&root);
    bytes = malloc(size);
    shapes__tree__pack(&root, bytes);
    size_t before = in_use();

    for (int i = 0; i < 100; i++) {
        assert_ok(unpack_with(bytes, size, NULL, &tree));
        assert_int_equal(tree->n_children, 50);
        assert_string_equal(tree->children[49]->words[1], "two");
        assert_int_equal(tree->children[7]->n_numbers, 1000);
        ptq_pb_free(&tree->base);
    }
    ptq_pb_free(NULL);

    assert_true(in_use() <= before + 4096);
    free(bytes);
}

static void the_hash_of_a_name_is_for_ever(void **state)
{
    (void)state;

    assert_int_equal(ptq_pb_type("shapes.Point"), 0x118a1bbbu); /* FNV-1a, 32 bits: it stands in queues and on wires */
    assert_int_equal(ptq_pb_type("a"), 0xe40c292cu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nests_too_deep_is_refused_and_never_overflows_the_stack),
        cmocka_unit_test(what_takes_more_than_the_limit_is_refused),
        cmocka_unit_test(random_bytes_are_unpacked_within_bounds_or_refused),
        cmocka_unit_test(one_call_frees_all),
        cmocka_unit_test(the_hash_of_a_name_is_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
