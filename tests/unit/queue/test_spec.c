/* test_spec.c -- declared layouts: where fields stand, and a text form that reads back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ptq/spec.h>

#include "queue/port.h"
#include "support/ptt.h"

static ptq_spec *parse(const char *text)
{
    struct ptq_error error = {0};
    ptq_spec *spec = NULL;

    if (ptq_spec_parse(text, &error, &spec) != PTQ_OK)
        fail_msg("'%s': %s", text, error.text);
    return spec;
}

struct like_c {
    uint8_t flag;
    double weight;
    uint16_t codes[3];
    int32_t label;
    float points[2][3];
    int8_t last;
};

static void fields_stand_where_a_c_struct_has_them(void **state)
{
    ptq_spec *spec = parse("flag:u8 weight:f64 codes:u16[3] label:i32 points:f32[2,3] last:i8");
    static const struct {
        const char *name;
        size_t offset, size;
    } wanted[] = {{"flag", offsetof(struct like_c, flag), 1},      {"weight", offsetof(struct like_c, weight), 8},
                  {"codes", offsetof(struct like_c, codes), 6},    {"label", offsetof(struct like_c, label), 4},
                  {"points", offsetof(struct like_c, points), 24}, {"last", offsetof(struct like_c, last), 1}};
    struct ptq_field field;
    (void)state;

    assert_int_equal(ptq_spec_size(spec), sizeof(struct like_c));
    assert_int_equal(ptq_spec_count(spec), 6);
    for (size_t i = 0; i < 6; i++) {
        assert_true(ptq_spec_field_at(spec, i, &field));
        assert_string_equal(field.name, wanted[i].name);
        assert_int_equal(field.offset, wanted[i].offset);
        assert_int_equal(field.size, wanted[i].size);
        assert_true(ptq_spec_find(spec, wanted[i].name, &field));
        assert_int_equal(field.offset, wanted[i].offset);
    }
    assert_false(ptq_spec_field_at(spec, 6, &field));
    assert_false(ptq_spec_find(spec, "flags", &field));
    assert_int_equal(field.ndim, 0);
    assert_true(ptq_spec_find(spec, "points", &field));
    assert_true(field.ndim == 2 && field.dims[0] == 2 && field.dims[1] == 3 && field.count == 6 && field.type == PTQ_F32);
    ptq_spec_free(spec);
}

static void the_text_form_reads_back_to_an_equal_spec(void **state)
{
    ptq_spec *spec, *again;
    (void)state;

    assert_ok(ptq_spec_new(&spec));
    assert_string_equal(ptq_spec_text(spec), "");
    assert_int_equal(ptq_spec_size(spec), 0);
    assert_ok(ptq_spec_add(spec, "images", PTQ_U8, 3, (uint64_t[]){480, 640, 3}));
    assert_ok(ptq_spec_add(spec, "label", PTQ_I32, 0, NULL));
    assert_string_equal(ptq_spec_text(spec), "images:u8[480,640,3] label:i32");
    again = parse("  images:u8[480,640,3]   label:i32 ");

    assert_true(ptq_spec_equal(spec, again));
    assert_int_equal(ptq_spec_size(again), 480 * 640 * 3 + 4);
    assert_int_equal(ptq_spec_nbytes(again, 10), 10 * (480 * 640 * 3 + 4));
    assert_true(ptq_spec_nbytes(again, UINT64_MAX / 2) == UINT64_MAX);
    ptq_spec_free(again);
    again = parse("label:i32 images:u8[480,640,3]");
    assert_false(ptq_spec_equal(spec, again));
    ptq_spec_free(again);
    ptq_spec_free(spec);
}

static void specs_are_linked_into_one_record(void **state)
{
    ptq_spec *a = parse("image:u8[5]"), *b = parse("box:f32[4] label:i32"), *sum = parse("image:u8[5] box:f32[4] label:i32");
    (void)state;

    assert_answer(PTQ_EEXIST, ptq_spec_append(a, a));
    assert_string_equal(ptq_spec_text(a), "image:u8[5]");
    assert_ok(ptq_spec_append(a, b));

    assert_true(ptq_spec_equal(a, sum));
    assert_int_equal(ptq_spec_size(a), 8 + 16 + 4);
    ptq_spec_free(a);
    ptq_spec_free(b);
    ptq_spec_free(sum);
}

static void what_is_no_spec_is_told_where(void **state)
{
    static const struct {
        const char *text, *told;
        enum ptq_err err;
    } bad[] = {{"label", "character 6", PTQ_EINVAL},
               {"label:", "a type is one of", PTQ_EINVAL},
               {"label:i33", "a type is one of", PTQ_EINVAL},
               {"label:i32[", "number from 1", PTQ_EINVAL},
               {"label:i32[]", "number from 1", PTQ_EINVAL},
               {"label:i32[0]", "number from 1", PTQ_EINVAL},
               {"label:i32[1,]", "number from 1", PTQ_EINVAL},
               {"label:i32[-1]", "number from 1", PTQ_EINVAL},
               {"label:i32[1", "] is missing", PTQ_EINVAL},
               {"label:i32[1]x", "blank", PTQ_EINVAL},
               {"a:i32,b:i32", "blank", PTQ_EINVAL},
               {"a:i32 \tb:i32", "begins with its name", PTQ_EINVAL},
               {":i32", "begins with its name", PTQ_EINVAL},
               {"9a:i32", "begins with its name", PTQ_EINVAL},
               {"a:i32 a:i32", "twice", PTQ_EEXIST},
               {"a:u8[1,1,1,1,1,1,1,1,1]", "8 dimensions", PTQ_EINVAL},
               {"a:u8[99999999999999999999]", "number from 1", PTQ_EINVAL},
               {"a:u8[9999999999999999999,9999999999999999999]", "more than", PTQ_EMSGSIZE},
               {"a:f64[134217729]", "more than", PTQ_EMSGSIZE},
               {"a:u8[1073741824] b:u8", "more than", PTQ_EMSGSIZE}};
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ptq_error error = {0};
        ptq_spec *spec = (ptq_spec *)(uintptr_t)16;
        char *exact = strdup(bad[i].text); /* a sanitizer sees a look behind its end */
        assert_answer(bad[i].err, ptq_spec_parse(exact, &error, &spec));
        assert_ptr_equal(spec, (void *)(uintptr_t)16);
        if (strstr(error.text, bad[i].told) == NULL || strstr(error.text, exact) == NULL)
            fail_msg("'%s' was told as: %s", exact, error.text);
        free(exact);
    }
}

static void limits_are_kept(void **state)
{
    ptq_spec *spec;
    char name[PTQ_SPEC_NAME_MAX + 2];
    (void)state;

    assert_ok(ptq_spec_new(&spec));
    memset(name, 'n', sizeof name);
    name[PTQ_SPEC_NAME_MAX + 1] = '\0';
    assert_answer(PTQ_EINVAL, ptq_spec_add(spec, name, PTQ_U8, 0, NULL));
    assert_answer(PTQ_EINVAL, ptq_spec_add(spec, "a", (enum ptq_type)0, 0, NULL));
    assert_answer(PTQ_EINVAL, ptq_spec_add(spec, "a", (enum ptq_type)11, 0, NULL));
    assert_answer(PTQ_EINVAL, ptq_spec_add(spec, "a", PTQ_U8, 1, NULL));
    assert_answer(PTQ_EINVAL, ptq_spec_add(spec, "a b", PTQ_U8, 0, NULL));
    for (int i = 0; i < PTQ_SPEC_FIELDS_MAX; i++) {
        snprintf(name, sizeof name, "f%d", i);
        assert_ok(ptq_spec_add(spec, name, PTQ_U64, 0, NULL));
    }
    assert_answer(PTQ_EMSGSIZE, ptq_spec_add(spec, "more", PTQ_U8, 0, NULL));
    assert_int_equal(ptq_spec_size(spec), PTQ_SPEC_FIELDS_MAX * 8);
    ptq_spec_free(spec);

    assert_ok(ptq_spec_new(&spec)); /* the text fills first where names are long */
    enum ptq_err err = PTQ_OK;
    size_t count = 0;
    memset(name, 'n', sizeof name);
    name[PTQ_SPEC_NAME_MAX] = '\0';
    while (err == PTQ_OK && count < 40) {
        name[0] = (char)('A' + count % 26);
        name[1] = (char)('a' + count / 26);
        err = ptq_spec_add(spec, name, PTQ_U8, 0, NULL);
        count += err == PTQ_OK;
    }
    assert_int_equal(err, PTQ_EMSGSIZE);
    ptq_spec *again = parse(ptq_spec_text(spec));
    assert_int_equal(ptq_spec_count(again), count);
    assert_true(ptq_spec_equal(spec, again));
    ptq_spec_free(again);
    ptq_spec_free(spec);
}

static void a_field_of_a_message_that_is_too_short_is_not_given(void **state)
{
    ptq_spec *spec = parse("a:u32 b:u32");
    uint32_t bytes[3] = {1, 2, 3};
    ptq_msg msg = {.data = bytes, .size = 8, .state = PTI_MSG_LEASED};
    struct ptq_array array;
    size_t size = 0;
    (void)state;

    assert_ptr_equal(ptq_spec_field(spec, &msg, "b", &size), &bytes[1]);
    assert_int_equal(size, 4);
    assert_answer(PTQ_ENOENT, ptq_spec_array(spec, &msg, "c", &array));
    for (msg.size = 0; msg.size <= 12; msg.size += 12) {
        assert_null(ptq_spec_field(spec, &msg, "a", &size));
        assert_answer(PTQ_EMISMATCH, ptq_spec_array(spec, &msg, "a", &array));
    }
    msg.state = PTI_MSG_LOANED; /* a loan may be longer */
    assert_int_equal(msg.size, 24);
    assert_ptr_equal(ptq_spec_field(spec, &msg, "a", NULL), &bytes[0]);
    ptq_spec_free(spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_stand_where_a_c_struct_has_them),
        cmocka_unit_test(the_text_form_reads_back_to_an_equal_spec),
        cmocka_unit_test(specs_are_linked_into_one_record),
        cmocka_unit_test(what_is_no_spec_is_told_where),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(a_field_of_a_message_that_is_too_short_is_not_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
