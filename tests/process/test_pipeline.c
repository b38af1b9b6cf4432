/* test_pipeline.c -- inputs go through stages, and what comes out is in their order. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lines.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void three_stages_pass_on_in_order(void **state)
{
    static const struct ptq_stage stages[] = {{.name = "one", .task = "spin", .workers = 2}, {.name = "two", .task = "pass"},
                                              {.name = "three", .task = "spin", .workers = 2}};
    struct lines lines;
    char text[16];

    (void)state;
    lines_init(&lines, stages, COUNT(stages), NULL);
    assert_ok(ptq_pipeline_start(lines.line));
    for (unsigned i = 0; i < 200; i++)
        (void)lines_submit(lines.line, i);
    assert_ok(ptq_pipeline_end(lines.line));
    for (unsigned i = 0; i < 200; i++) {
        snprintf(text, sizeof text, "%u", i);
        lines_expect(lines.line, text);
    }
    lines_expect_end(lines.line);
    lines_fini(&lines);
}

static void an_input_may_have_no_output_or_several(void **state)
{
    static const struct ptq_stage stages[] = {{.name = "split", .workers = 2}, {.name = "pass", .workers = 2}};
    struct lines lines;
    char text[16];

    (void)state;
    lines_init(&lines, stages, COUNT(stages), NULL);
    assert_ok(ptq_pipeline_start(lines.line));
    for (unsigned i = 0; i < 40; i++)
        (void)lines_submit(lines.line, i);
    assert_ok(ptq_pipeline_end(lines.line));
    for (unsigned i = 0; i < 40; i++)
        for (unsigned k = 0; k < i % 4; k++) {
            snprintf(text, sizeof text, "%u.%u", i, k);
            lines_expect(lines.line, text);
        }
    lines_expect_end(lines.line);
    lines_fini(&lines);
}

static void stages_beside_each_other_get_the_same_and_are_joined_in_order(void **state)
{
    static const struct ptq_stage stages[] = {{.name = "split"}, {.name = "a", .workers = 2}, {.name = "odd", .beside = true},
                                              {.name = "b", .workers = 2}};
    struct lines lines;
    char text[16];

    (void)state;
    lines_init(&lines, stages, COUNT(stages), NULL);
    assert_ok(ptq_pipeline_start(lines.line));
    for (unsigned i = 0; i < 40; i++)
        (void)lines_submit(lines.line, i);
    assert_ok(ptq_pipeline_submit_marker(lines.line, "mark", 4, PTT_LONG, NULL));
    assert_ok(ptq_pipeline_end(lines.line));
    for (unsigned i = 0; i < 40; i++)
        for (unsigned k = 0; k < i % 4; k++) {
            snprintf(text, sizeof text, "ba%u.%u", i, k);
            lines_expect(lines.line, text);
            snprintf(text, sizeof text, "b%u.%u", i, k);
            if (i % 2 != 0)
                lines_expect(lines.line, text);
        }
    lines_expect(lines.line, "mark");
    lines_expect_end(lines.line);
    lines_fini(&lines);
}

static void an_error_stands_in_its_place_and_says_where_it_is_from(void **state)
{
    static const struct ptq_stage stages[] = {{.name = "spin", .workers = 2}, {.name = "check", .task = "fail-seventh"},
                                              {.name = "die", .workers = 2, .lives = 2}, {.name = "pass"}};
    struct lines lines;
    uint64_t inputs[60];
    char text[16];

    (void)state;
    lines_init(&lines, stages, COUNT(stages), NULL);
    assert_ok(ptq_pipeline_start(lines.line));
    for (unsigned i = 0; i < 60; i++)
        inputs[i] = lines_submit(lines.line, i + 1);
    assert_ok(ptq_pipeline_end(lines.line));
    for (unsigned i = 0; i < 60; i++) {
        snprintf(text, sizeof text, "%u", i + 1);
        if ((i + 1) % 7 == 0)
            lines_expect_error(lines.line, inputs[i], PTQ_EFAILED, "check");
        else if ((i + 1) % 10 == 0)
            lines_expect_error(lines.line, inputs[i], PTQ_EDIED, "die");
        else
            lines_expect(lines.line, text);
    }
    lines_expect_end(lines.line);
    lines_fini(&lines);
}

/* -- a flow ---------------------------------------------------------------------------------------------------- */

struct numbers {
    unsigned next, total, got, most_ahead;
    enum ptq_err source_answer;
    char text[16];
};

static enum ptq_err give_number(void *user, struct ptq_bytes *ret_input)
{
    struct numbers *numbers = user;
    if (numbers->next == numbers->total)
        return numbers->source_answer;
    int length = snprintf(numbers->text, sizeof numbers->text, "%u", numbers->next++);
    *ret_input = (struct ptq_bytes){numbers->text, (size_t)length};
    if (numbers->next - numbers->got > numbers->most_ahead)
        numbers->most_ahead = numbers->next - numbers->got;
    return PTQ_OK;
}

static enum ptq_err take_number(void *user, const struct ptq_output *output)
{
    struct numbers *numbers = user;
    char text[16];
    int length = snprintf(text, sizeof text, "%u", numbers->got);
    if (output->kind != PTQ_RESULT_JOB || output->size != (size_t)length || memcmp(output->data, text, output->size) != 0)
        return PTQ_ECORRUPT;
    numbers->got++;
    return PTQ_OK;
}

static void a_flow_of_any_length_needs_no_more_than_the_pipeline_holds(void **state)
{
    static const struct ptq_stage stages[] = {{.name = "one", .task = "pass", .workers = 2}, {.name = "two", .task = "pass", .workers = 2}};
    struct numbers numbers = {.total = 2000, .source_answer = PTQ_END};
    struct ptq_flow flow = {.source = give_number, .sink = take_number, .user = &numbers};
    struct lines lines;

    (void)state;
    lines_init(&lines, stages, COUNT(stages), &(struct ptq_pipeline_options){.capacity = 10, .window = 10});
    assert_ok(ptq_pipeline_run(lines.line, &flow));
    assert_int_equal(numbers.got, 2000);
    assert_true(numbers.most_ahead <= 60);
    lines_fini(&lines);
}

static void what_the_source_answers_comes_behind_all_that_it_gave(void **state)
{
    static const struct ptq_stage stages[] = {{.name = "one", .task = "pass"}, {.name = "two", .task = "pass"}};
    struct numbers numbers = {.total = 20, .source_answer = PTQ_EPERM};
    struct ptq_flow flow = {.source = give_number, .sink = take_number, .user = &numbers};
    struct lines lines;

    (void)state;
    lines_init(&lines, stages, COUNT(stages), NULL);
    assert_answer(PTQ_EPERM, ptq_pipeline_run(lines.line, &flow));
    assert_int_equal(numbers.got, 20);
    lines_fini(&lines);
}

/* -- ends ------------------------------------------------------------------------------------------------------ */

static void the_last_producer_that_closes_ends_it(void **state)
{
    static const struct ptq_stage stages[] = {{.name = "one", .task = "pass"}, {.name = "two", .task = "pass"}};
    struct ptq_pipeline_options options = {.last_producer_ends = true};
    struct lines lines;

    (void)state;
    lines_init(&lines, stages, COUNT(stages), &options);
    assert_ok(ptq_pipeline_start(lines.line));
    options.producer = true;
    ptq_pipeline *first = lines_open(&lines, &options), *second = lines_open(&lines, &options);
    (void)lines_submit(first, 1);
    ptq_pipeline_close(first);
    lines_expect(lines.line, "1");
    (void)lines_submit(second, 2);
    ptq_pipeline_close(second);
    lines_expect(lines.line, "2");
    lines_expect_end(lines.line);
    lines_fini(&lines);
}

static void after_the_end_nothing_is_taken(void **state)
{
    static const struct ptq_stage stages[] = {{.name = "one", .task = "pass"}, {.name = "two", .task = "pass"}};
    struct lines lines;

    (void)state;
    lines_init(&lines, stages, COUNT(stages), NULL);
    assert_ok(ptq_pipeline_start(lines.line));
    assert_answer(PTQ_EALREADY, ptq_pipeline_start(lines.line));
    assert_ok(ptq_pipeline_end(lines.line));
    assert_ok(ptq_pipeline_end(lines.line));
    assert_answer(PTQ_EENDED, ptq_pipeline_submit(lines.line, "1", 1, PTT_LONG, NULL));
    assert_answer(PTQ_EENDED, ptq_pipeline_submit_marker(lines.line, "1", 1, PTT_LONG, NULL));
    lines_expect_end(lines.line);
    lines_fini(&lines);
}

static void a_stage_whose_workers_only_die_ends_the_waiting_with_its_name(void **state)
{
    static const struct ptq_spawn_options soon = {.crash_limit = 2};
    static const struct ptq_stage stages[] = {{.name = "one", .task = "pass"}, {.name = "two", .task = "die", .lives = 1000, .spawn = &soon},
                                              {.name = "three", .task = "pass"}};
    struct lines lines;
    struct ptq_output output;
    char text[400];

    (void)state;
    lines_init(&lines, stages, COUNT(stages), NULL);
    assert_ok(ptq_pipeline_start(lines.line));
    (void)lines_submit(lines.line, 10);
    assert_answer(PTQ_ENOWORKERS, ptq_pipeline_get(lines.line, PTT_LONG, &output));
    ptt_assert_says(ptq_pipeline_explain(lines.line, PTQ_ENOWORKERS, text, sizeof text), "line.two");
    lines_fini(&lines);
}

/* -- what is asked for ------------------------------------------------------------------------------------------ */

static void refuse(const struct lines *lines, const struct ptq_stage *stages, size_t count, enum ptq_err code, const char *words)
{
    struct ptq_error error = {0};
    ptq_pipeline *line = NULL;
    assert_answer(code, ptq_pipeline_open(lines->scratch.bus, "other", stages, count, &(struct ptq_pipeline_options){.error = &error}, &line));
    assert_null(line);
    ptt_assert_says(error.text, words);
}

static void what_makes_no_sense_is_refused_with_a_reason(void **state)
{
    static const struct ptq_stage good[] = {{.name = "pass"}}, twins[] = {{.name = "pass"}, {.name = "pass"}}, dotted[] = {{.name = "a.b"}},
                                  beside[] = {{.name = "pass", .beside = true}}, unknown[] = {{.name = "pass", .task = "nobody"}},
                                  both[] = {{.name = "pass", .task = "pass", .exec = "cat"}};
    struct lines lines;

    (void)state;
    lines_init(&lines, good, 1, NULL);
    refuse(&lines, good, 0, PTQ_EINVAL, "1 to 64 stages");
    refuse(&lines, twins, 2, PTQ_EINVAL, "two stages are called 'pass'");
    refuse(&lines, dotted, 1, PTQ_EINVAL, "'a.b' is not a name");
    refuse(&lines, beside, 1, PTQ_EINVAL, "none beside it");
    refuse(&lines, unknown, 1, PTQ_ENOTASK, "no task 'nobody'");
    refuse(&lines, both, 1, PTQ_EINVAL, "has a command");
    lines_fini(&lines);
}

static void commands_and_threads_are_stages_like_others(void **state)
{
    static const struct ptq_stage stages[] = {{.name = "sort", .exec = "tr a-c A-C", .workers = 2}, {.name = "pass", .threads = true}};
    struct lines lines;

    (void)state;
    lines_init(&lines, stages, COUNT(stages), NULL);
    assert_ok(ptq_pipeline_start(lines.line));
    assert_ok(ptq_pipeline_submit(lines.line, "abcd", 4, PTT_LONG, NULL));
    assert_ok(ptq_pipeline_submit(lines.line, "", 0, PTT_LONG, NULL));
    assert_ok(ptq_pipeline_end(lines.line));
    lines_expect(lines.line, "ABCd");
    lines_expect(lines.line, "");
    lines_expect_end(lines.line);
    lines_fini(&lines);
}

static void outputs_that_are_too_large_are_errors_in_their_place(void **state)
{
    static const struct ptq_stage stages[] = {{.name = "one", .task = "pass", .item_size = 8000}, {.name = "two", .task = "pass", .item_size = 2000}};
    static char bytes[8000];
    struct lines lines;
    struct ptq_output output;

    (void)state;
    lines_init(&lines, stages, COUNT(stages), NULL);
    assert_ok(ptq_pipeline_start(lines.line));
    uint64_t input;
    memset(bytes, 'x', sizeof bytes);
    assert_ok(ptq_pipeline_submit(lines.line, bytes, 8000, PTT_LONG, &input));
    assert_ok(ptq_pipeline_submit(lines.line, bytes, 2000, PTT_LONG, NULL));
    assert_answer(PTQ_EMSGSIZE, ptq_pipeline_submit(lines.line, bytes, 8001, PTT_LONG, NULL));
    assert_ok(ptq_pipeline_end(lines.line));
    lines_expect_error(lines.line, input, PTQ_EMSGSIZE, "one");
    assert_ok(ptq_pipeline_get(lines.line, PTT_LONG, &output));
    assert_int_equal(output.size, 2000);
    lines_expect_end(lines.line);
    lines_fini(&lines);
}

/* "pixels:u8[n]" becomes two halves and their number. */
static enum ptq_err describe_halves(const struct ptq_stage *stage, const ptq_spec *in, ptq_spec *out)
{
    struct ptq_field pixels;
    ++*(unsigned *)stage->user;
    if (in == NULL || !ptq_spec_find(in, "pixels", &pixels))
        return PTQ_EINVAL;
    enum ptq_err err = ptq_spec_add(out, "left", PTQ_U8, 1, &(uint64_t){pixels.count / 2});
    if (err == PTQ_OK)
        err = ptq_spec_add(out, "right", PTQ_U8, 1, &(uint64_t){pixels.count - pixels.count / 2});
    return err == PTQ_OK ? ptq_spec_add(out, "number", PTQ_U64, 0, NULL) : err;
}

/* Is told what the stage before gives. */
static enum ptq_err describe_left(const struct ptq_stage *stage, const ptq_spec *in, ptq_spec *out)
{
    struct ptq_field left;
    ++*(unsigned *)stage->user;
    if (in == NULL || ptq_spec_count(in) != 3 || !ptq_spec_find(in, "left", &left))
        return PTQ_EINVAL;
    return ptq_spec_add(out, "left", left.type, left.ndim, left.dims);
}

static void sizes_are_as_the_stages_describe_them(void **state)
{
    static unsigned asked;
    static const struct ptq_stage stages[] = {{.name = "halve", .task = "pass", .describe = describe_halves, .user = &asked},
                                              {.name = "left", .task = "pass", .describe = describe_left, .user = &asked},
                                              {.name = "end", .task = "pass", .output_size = 6000}};
    static char bytes[10001];
    struct lines lines;
    struct ptq_output output;
    struct ptq_error error = {0};
    ptq_pipeline *other;
    uint64_t small, large;

    (void)state;
    memset(bytes, 'x', sizeof bytes);
    asked = 0;
    lines_init(&lines, stages, COUNT(stages), &(struct ptq_pipeline_options){.input = "pixels:u8[10000]"});
    assert_int_equal(asked, 2);
    assert_ok(ptq_pipeline_start(lines.line));
    assert_answer(PTQ_EMSGSIZE, ptq_pipeline_submit(lines.line, bytes, 10001, PTT_LONG, NULL));
    assert_ok(ptq_pipeline_submit(lines.line, bytes, 5000, PTT_LONG, &small));
    assert_ok(ptq_pipeline_submit(lines.line, bytes, 10000, PTT_LONG, &large)); /* more than half of it, for the second stage */
    assert_ok(ptq_pipeline_end(lines.line));
    assert_ok(ptq_pipeline_get(lines.line, PTT_LONG, &output));
    assert_string_equal(output.text, "");
    assert_int_equal(output.size, 5000);
    assert_ok(ptq_pipeline_done(lines.line));
    lines_expect_error(lines.line, large, PTQ_EMSGSIZE, "left");
    lines_expect_end(lines.line);

    assert_answer(PTQ_EINVAL, ptq_pipeline_open(lines.scratch.bus, "other", stages, COUNT(stages),
                                                &(struct ptq_pipeline_options){.input = "sound:f32[8]", .error = &error}, &other));
    assert_non_null(strstr(error.text, "stage 'halve'"));
    assert_answer(PTQ_EMSGSIZE, ptq_pipeline_open(lines.scratch.bus, "other", stages, COUNT(stages),
                                                &(struct ptq_pipeline_options){.input = "pixels:u8[2000000000]", .error = &error}, &other));
    lines_fini(&lines);
}

static void closing_in_the_middle_leaves_everything_to_the_next(void **state)
{
    static const struct ptq_stage stages[] = {{.name = "one", .task = "split", .workers = 2}, {.name = "two", .task = "pass"}};
    struct ptq_pipeline_options options = {.capacity = 3, .window = 2};
    struct lines lines;
    unsigned sent = 0;
    char text[16];

    (void)state;
    lines_init(&lines, stages, COUNT(stages), &options);
    for (unsigned i = 0; i < 60; i++)
        for (unsigned k = 0; k < i % 4; k++) {
            struct ptq_output output;
            enum ptq_err err = PTQ_EMPTY;
            if (k == 1) { /* another one goes on */
                ptq_pipeline_close(lines.line);
                lines.line = lines_open(&lines, &options);
            }
            enum ptq_err started = ptq_pipeline_start(lines.line);
            assert_true(started == PTQ_OK || started == PTQ_EALREADY);
            while (err != PTQ_OK) {
                while (sent < 60) {
                    snprintf(text, sizeof text, "%u", sent);
                    if (ptq_pipeline_submit(lines.line, text, strlen(text), PTQ_NOWAIT, NULL) != PTQ_OK)
                        break;
                    sent++;
                }
                err = ptq_pipeline_get(lines.line, 5, &output);
                if (err != PTQ_TIMEDOUT)
                    assert_ok(err);
            }
            snprintf(text, sizeof text, "%u.%u", i, k);
            if (output.size != strlen(text) || memcmp(output.data, text, output.size) != 0)
                fail_msg("'%.*s' instead of '%s'", (int)output.size, (const char *)output.data, text);
            assert_ok(ptq_pipeline_done(lines.line));
        }
    lines_fini(&lines);
}

/* -- numbers of workers ---------------------------------------------------------------------------------------- */

struct crew {
    ptq_pipeline *line;
    size_t wanted;
    unsigned waiting; /* of the inputs; without more of them it may have done all while nobody looked */
};

static bool has_so_many(void *context)
{
    struct crew *crew = context;
    struct ptq_output output;
    while (ptq_pipeline_get(crew->line, PTQ_NOWAIT, &output) == PTQ_OK) /* and the getter looks after workers */
        crew->waiting--;
    for (; crew->wanted > 1 && crew->waiting < 100; crew->waiting++)
        (void)lines_submit(crew->line, crew->waiting);
    return ptq_pool_worker_pids(ptq_pipeline_pool(crew->line, 1), NULL, 0) == crew->wanted;
}

static void a_stage_that_is_behind_gets_workers_and_gives_them_back(void **state)
{
    static const struct ptq_stage stages[] = {{.name = "one", .task = "pass"}, {.name = "slow", .workers = 1, .workers_max = 3}};
    struct lines lines;

    (void)state;
    lines_init(&lines, stages, COUNT(stages), NULL);
    assert_ok(ptq_pipeline_start(lines.line));
    struct crew crew = {lines.line, 3, 0};
    assert_true(ptt_wait_until(has_so_many, &crew, PTT_LONG));
    crew.wanted = 1;
    assert_true(ptt_wait_until(has_so_many, &crew, PTT_LONG));
    lines_fini(&lines);
}

/* -- what a task keeps in its worker --------------------------------------------------------------------------- */

static void a_task_keeps_in_each_worker_what_its_hook_made(void **state)
{
    static const struct ptq_stage stages[] = {{.name = "count", .threads = true}, {.name = "pass"}};
    struct lines lines;
    char text[16];

    (void)state;
    lines_init(&lines, stages, COUNT(stages), NULL);
    assert_ok(ptq_pipeline_start(lines.line));
    uint64_t first = lines_submit(lines.line, 7);
    for (unsigned i = 0; i < 5; i++)
        (void)lines_submit(lines.line, i);
    assert_ok(ptq_pipeline_end(lines.line));
    lines_expect_error(lines.line, first, PTQ_EPERM, "count"); /* its hook failed; it is tried again with the next job */
    for (unsigned i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "%u", i + 1);
        lines_expect(lines.line, text);
    }
    lines_expect_end(lines.line);
    lines_fini(&lines);
    assert_int_equal(lines_kept(), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_stages_pass_on_in_order),
        cmocka_unit_test(an_input_may_have_no_output_or_several),
        cmocka_unit_test(stages_beside_each_other_get_the_same_and_are_joined_in_order),
        cmocka_unit_test(an_error_stands_in_its_place_and_says_where_it_is_from),
        cmocka_unit_test(a_flow_of_any_length_needs_no_more_than_the_pipeline_holds),
        cmocka_unit_test(what_the_source_answers_comes_behind_all_that_it_gave),
        cmocka_unit_test(the_last_producer_that_closes_ends_it),
        cmocka_unit_test(after_the_end_nothing_is_taken),
        cmocka_unit_test(a_stage_whose_workers_only_die_ends_the_waiting_with_its_name),
        cmocka_unit_test(what_makes_no_sense_is_refused_with_a_reason),
        cmocka_unit_test(commands_and_threads_are_stages_like_others),
        cmocka_unit_test(outputs_that_are_too_large_are_errors_in_their_place),
        cmocka_unit_test(sizes_are_as_the_stages_describe_them),
        cmocka_unit_test(a_stage_that_is_behind_gets_workers_and_gives_them_back),
        cmocka_unit_test(a_task_keeps_in_each_worker_what_its_hook_made),
        cmocka_unit_test(closing_in_the_middle_leaves_everything_to_the_next),
    };
    lines_register();
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
