/* case_spec.c -- queues that are made for a declared layout: fields in place, a spec that attachers get and check. */
#include "contract/contract.h"

#define FRAMES "images:u8[4,5,3] label:i32 score:f64"

static ptq_spec *spec_of(const char *text)
{
    ptq_spec *spec = NULL;

    assert_ok(ptq_spec_parse(text, NULL, &spec));
    return spec;
}

static ptq_queue *open_frames(struct contract *c)
{
    return contract_open(c, "frames", &(struct ptq_queue_options){.capacity = 3, .spec = FRAMES});
}

/* P2, P11: slots of a fixed layout, no serialization, named fields that are pointers into the slot. */
static void fields_are_written_and_read_in_place(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_frames(c);
    ptq_spec *spec = spec_of(ptq_queue_spec(queue));
    struct ptq_array array;
    ptq_msg *msg = NULL;
    size_t size = 0;

    assert_ok(ptq_loan(queue, ptq_spec_size(spec), PTT_LONG, &msg));
    uint8_t *images = ptq_spec_field(spec, msg, "images", &size);
    assert_int_equal(size, 60);
    contract_fill(images, size, 5);
    *(int32_t *)ptq_spec_field(spec, msg, "label", NULL) = -7;
    *(double *)ptq_spec_field(spec, msg, "score", NULL) = 0.25;
    assert_ok(ptq_publish(msg, ptq_spec_size(spec), PTT_LONG, NULL));

    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_ok(ptq_spec_array(spec, msg, "images", &array));
    assert_true(array.field.ndim == 3 && array.field.dims[2] == 3 && array.field.type == PTQ_U8);
    assert_ptr_equal(array.data, ptq_msg_data(msg));
    assert_true(contract_is_filled(array.data, 60, 5));
    assert_int_equal(*(int32_t *)ptq_spec_field(spec, msg, "label", NULL), -7);
    assert_true(*(double *)ptq_spec_field(spec, msg, "score", NULL) == 0.25);
    assert_ok(ptq_ack(msg));
    ptq_spec_free(spec);
    ptq_queue_close(queue);
}

/* P10: a spec travels with its queue. */
static void an_attacher_gets_the_spec_and_item_size_follows_it(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_frames(c);
    ptq_queue *other = contract_open(c, "frames", &(struct ptq_queue_options){.mode = PTQ_ATTACH});
    ptq_queue *same = contract_open(c, "frames", &(struct ptq_queue_options){.spec = "  images:u8[4,5,3]  label:i32 score:f64"});

    assert_string_equal(ptq_queue_spec(other), FRAMES);
    assert_string_equal(ptq_queue_spec(same), FRAMES);
    assert_int_equal(contract_stats(other).item_size, 72);
    ptq_queue_close(same);
    ptq_queue_close(other);
    ptq_queue_close(queue);
}

static enum ptq_err try_open(struct contract *c, const char *name, const char *spec, uint32_t item_size, char text[500])
{
    struct ptq_error error = {0};
    struct ptq_queue_options options = {.spec = spec, .item_size = item_size, .error = &error};
    ptq_queue *queue = NULL;
    enum ptq_err err = ptq_queue_open(c->bus, contract_address(c, name), &options, &queue);

    ptq_queue_close(queue);
    memcpy(text, error.text, 500);
    return err;
}

static void another_spec_is_a_mismatch_that_names_both(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_frames(c), *bytes = contract_open(c, "bytes", NULL);
    char text[500];

    assert_answer(PTQ_EMISMATCH, try_open(c, "frames", "images:u8[4,5,4] label:i32 score:f64", 0, text));
    assert_non_null(strstr(text, FRAMES));
    assert_non_null(strstr(text, "images:u8[4,5,4]"));
    assert_answer(PTQ_EMISMATCH, try_open(c, "bytes", FRAMES, 0, text));
    assert_non_null(strstr(text, "without a spec"));
    assert_string_equal(ptq_queue_spec(bytes), "");
    ptq_queue_close(bytes);
    ptq_queue_close(queue);
}

static void a_bad_spec_or_one_beyond_item_size_makes_no_queue(void **state)
{
    struct contract *c = *state;
    char text[500], longer[3000];

    assert_answer(PTQ_EINVAL, try_open(c, "frames", "images:u9", 0, text));
    assert_non_null(strstr(text, "images:u9"));
    assert_answer(PTQ_EINVAL, try_open(c, "frames", FRAMES, 71, text));
    assert_non_null(strstr(text, "72"));
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    assert_answer(PTQ_EINVAL, try_open(c, "frames", longer, 0, text));
    assert_int_equal(ptt_scratch_files(&c->home, NULL), 0);
    assert_ok(try_open(c, "frames", FRAMES, 100, text));
    assert_ok(try_open(c, "frames", FRAMES, 0, text)); /* the existing item_size is accepted */
}

static const struct contract_case spec_cases[] = {
    CONTRACT_CASE(fields_are_written_and_read_in_place),
    CONTRACT_CASE(an_attacher_gets_the_spec_and_item_size_follows_it),
    CONTRACT_CASE(another_spec_is_a_mismatch_that_names_both),
    CONTRACT_CASE(a_bad_spec_or_one_beyond_item_size_makes_no_queue),
};
CONTRACT_GROUP(spec);
