/* lines.c -- scratch pipelines, and tasks of stages. */
#include "lines.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"

/* -- tasks ---------------------------------------------------------------------------------------------------- */

static unsigned number_of(const void *data, size_t size)
{
    char text[32];
    snprintf(text, sizeof text, "%.*s", (int)size, (const char *)data);
    return (unsigned)atoi(text);
}

static enum ptq_err pass(ptq_task *task, const void *data, size_t size)
{
    return ptq_task_result(task, data, size);
}

static enum ptq_err split(ptq_task *task, const void *data, size_t size)
{
    enum ptq_err err = PTQ_OK;
    for (unsigned i = 0; i < number_of(data, size) % 4 && err == PTQ_OK; i++) {
        char text[48];
        int length = snprintf(text, sizeof text, "%.*s.%u", (int)size, (const char *)data, i);
        err = ptq_task_output(task, text, (size_t)length);
    }
    return err;
}

static enum ptq_err odd(ptq_task *task, const void *data, size_t size)
{
    return number_of(data, size) % 2 == 0 ? PTQ_OK : ptq_task_result(task, data, size);
}

static enum ptq_err fail_seventh(ptq_task *task, const void *data, size_t size)
{
    unsigned number = number_of(data, size);
    if (number % 7 == 0)
        return ptq_task_fail(task, PTQ_EFAILED, "%u is a multiple of seven", number);
    return ptq_task_result(task, data, size);
}

static enum ptq_err die_once(ptq_task *task, const void *data, size_t size)
{
    if (number_of(data, size) % 10 == 0 && ptq_task_tries(task) == 1)
        raise(SIGKILL);
    return ptq_task_result(task, data, size);
}

static enum ptq_err die(ptq_task *task, const void *data, size_t size)
{
    if (number_of(data, size) % 10 == 0)
        raise(SIGKILL);
    return ptq_task_result(task, data, size);
}

static enum ptq_err with_letter(ptq_task *task, const void *data, size_t size, const char *letter)
{
    (void)ptq_task_emit(task, letter, 1);
    return ptq_task_emit(task, data, size);
}

static enum ptq_err letter_a(ptq_task *task, const void *data, size_t size) { return with_letter(task, data, size, "a"); }
static enum ptq_err letter_b(ptq_task *task, const void *data, size_t size) { return with_letter(task, data, size, "b"); }

static enum ptq_err spin(ptq_task *task, const void *data, size_t size)
{
    int64_t end = pti_now_ns() + (int64_t)(number_of(data, size) * 7 % 8) * 100000;
    while (pti_now_ns() < end)
        ;
    return ptq_task_result(task, data, size);
}

static enum ptq_err slow(ptq_task *task, const void *data, size_t size)
{
    (void)usleep(10000);
    return ptq_task_result(task, data, size);
}

static _Atomic int kept, asked;

static enum ptq_err make_count(ptq_task *task, void **ret_state)
{
    if (asked++ == 0)
        return ptq_task_fail(task, PTQ_EPERM, "not yet");
    *ret_state = calloc(1, sizeof(unsigned));
    kept++;
    return PTQ_OK;
}

static void drop_count(void *state, void *user)
{
    (void)user;
    free(state);
    kept--;
}

static enum ptq_err count(ptq_task *task, const void *data, size_t size)
{
    char text[16];
    unsigned *jobs = ptq_task_state(task);
    (void)data;
    (void)size;
    return ptq_task_result(task, text, (size_t)snprintf(text, sizeof text, "%u", ++*jobs));
}

int lines_kept(void)
{
    return kept;
}

void lines_register(void)
{
    if (ptq_task_register_with("count", count, &(struct ptq_task_hooks){make_count, drop_count}, NULL) != PTQ_OK)
        abort();
    static const struct {
        const char *name;
        ptq_task_fn fn;
    } tasks[] = {{"pass", pass}, {"split", split}, {"odd", odd}, {"fail-seventh", fail_seventh}, {"die-once", die_once}, {"die", die},
                 {"a", letter_a}, {"b", letter_b}, {"spin", spin}, {"slow", slow}};
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (ptq_task_register(tasks[i].name, tasks[i].fn, NULL) != PTQ_OK)
            abort();
}

/* -- the test's side ------------------------------------------------------------------------------------------ */

ptq_pipeline *lines_open(const struct lines *lines, const struct ptq_pipeline_options *options)
{
    struct ptq_error error = {0};
    struct ptq_pipeline_options own = {0};
    ptq_pipeline *line = NULL;
    if (options != NULL)
        own = *options;
    own.error = &error;
    if (ptq_pipeline_open(lines->scratch.bus, "line", lines->stages, lines->count, &own, &line) != PTQ_OK)
        fail_msg("cannot open the pipeline: %s", error.text);
    return line;
}

void lines_init(struct lines *lines, const struct ptq_stage *stages, size_t count, const struct ptq_pipeline_options *options)
{
    *lines = (struct lines){.stages = stages, .count = count};
    ptt_scratch_init(&lines->scratch);
    lines->line = lines_open(lines, options);
}

void lines_fini(struct lines *lines)
{
    ptq_pipeline_close(lines->line);
    lines->line = NULL;
    ptt_scratch_fini(&lines->scratch);
}

uint64_t lines_submit(ptq_pipeline *line, unsigned number)
{
    char text[16];
    uint64_t input = 0;
    int length = snprintf(text, sizeof text, "%u", number);
    assert_ok(ptq_pipeline_submit(line, text, (size_t)length, PTT_LONG, &input));
    return input;
}

void lines_expect(ptq_pipeline *line, const char *text)
{
    struct ptq_output output;
    assert_ok(ptq_pipeline_get(line, PTT_LONG, &output));
    if (output.kind == PTQ_RESULT_ERROR)
        fail_msg("an error instead of '%s': %s: %s", text, ptq_err_name(output.code), output.text);
    if (output.size != strlen(text) || memcmp(output.data, text, output.size) != 0)
        fail_msg("'%.*s' instead of '%s'", (int)output.size, (const char *)output.data, text);
}

void lines_expect_error(ptq_pipeline *line, uint64_t input, enum ptq_err code, const char *stage)
{
    struct ptq_output output;
    assert_ok(ptq_pipeline_get(line, PTT_LONG, &output));
    if (output.kind != PTQ_RESULT_ERROR)
        fail_msg("'%.*s' instead of an error", (int)output.size, (const char *)output.data);
    assert_answer(code, output.code);
    assert_int_equal(output.input, input);
    assert_string_equal(output.stage, stage);
    assert_true(output.text[0] != 0);
}

void lines_expect_end(ptq_pipeline *line)
{
    struct ptq_output output;
    assert_answer(PTQ_END, ptq_pipeline_get(line, PTT_LONG, &output));
}
