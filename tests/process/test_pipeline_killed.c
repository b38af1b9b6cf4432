/* test_pipeline_killed.c -- whoever is killed, what comes out of a pipeline is in order, each once, and nothing is missing. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "lines.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct ptq_spawn_options never_given_up = {.crash_limit = 1000000}; /* some are killed before they have done anything */
static const struct ptq_stage stages[] = {
    {.name = "split", .workers = 2, .lives = 5000, .spawn = &never_given_up},
    {.name = "a", .workers = 1, .lives = 5000, .spawn = &never_given_up},
    {.name = "odd", .beside = true, .workers = 1, .lives = 5000, .spawn = &never_given_up},
    {.name = "last", .task = "fail-seventh", .workers = 2, .lives = 5000, .spawn = &never_given_up},
};
static const struct ptq_pipeline_options small = {.capacity = 5, .window = 4};

static void nap_us(unsigned us)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
}

/* Starts the pipeline, and stays. */
static int keep_running(void *context)
{
    const struct lines *lines = context;
    struct lines own = *lines;
    own.scratch.bus = ptt_scratch_open(&lines->scratch);
    ptq_pipeline *line = lines_open(&own, &small);
    if (ptq_pipeline_start(line) != PTQ_OK)
        return 1;
    for (;;)
        pause();
}

/* What comes out, in order: of each input its outputs by "split"; of each of them that of "a" (as text no number, so 0: it fails in "last"),
 * then that of "odd", of odd numbers. */
struct sequence {
    unsigned number, part, turn, total;
};

static bool next_of(struct sequence *sequence, char text[32], bool *ret_fails)
{
    for (; sequence->number < sequence->total; sequence->number++, sequence->part = 0)
        for (; sequence->part < sequence->number % 4; sequence->part++, sequence->turn = 0) {
            if (sequence->turn == 0) {
                sequence->turn = 1;
                *ret_fails = true;
                return true;
            }
            if (sequence->turn == 1 && sequence->number % 2 != 0) {
                sequence->turn = 2;
                snprintf(text, 32, "%u.%u", sequence->number, sequence->part);
                *ret_fails = sequence->number % 7 == 0;
                return true;
            }
        }
    return false;
}

static void check_output(struct sequence *sequence, const struct ptq_output *output)
{
    char text[32] = "";
    bool fails = false;
    assert_true(next_of(sequence, text, &fails));
    if (!fails && output->kind == PTQ_RESULT_ERROR)
        fail_msg("an error instead of '%s': %s: %s", text, ptq_err_name(output->code), output->text);
    if (fails) {
        assert_int_equal(output->kind, PTQ_RESULT_ERROR);
        assert_answer(PTQ_EFAILED, output->code);
        return;
    }
    if (output->size != strlen(text) || memcmp(output->data, text, output->size) != 0)
        fail_msg("'%.*s' instead of '%s'", (int)output->size, (const char *)output->data, text);
}

/* Submits what there is room for, up to `most` inputs, and gets what is there. */
static bool move_some(ptq_pipeline *line, unsigned *sent, unsigned most, struct sequence *sequence)
{
    struct ptq_output output;
    char text[16];
    while (*sent < most) {
        int length = snprintf(text, sizeof text, "%u", *sent);
        enum ptq_err err = ptq_pipeline_submit(line, text, (size_t)length, PTQ_NOWAIT, NULL);
        if (err == PTQ_FULL)
            break;
        assert_ok(err);
        if (++*sent == sequence->total)
            assert_ok(ptq_pipeline_end(line));
    }
    enum ptq_err err;
    while ((err = ptq_pipeline_get(line, PTQ_NOWAIT, &output)) == PTQ_OK) {
        assert_false(output.redelivered);
        check_output(sequence, &output);
    }
    if (err != PTQ_END && err != PTQ_EMPTY)
        assert_ok(err);
    return err == PTQ_END;
}

/* The one who started it is killed again and again, with its workers and relays, wherever they are. */
static void the_program_that_started_it_is_killed_and_another_goes_on(void **state)
{
    struct lines lines;
    uint64_t seed = ptt_seed();
    struct sequence sequence = {.total = 150};
    unsigned sent = 0, kills = 0, came = 0, life_ms = 30, portion = sequence.total / 5; /* a kill each at least, whoever is slow */
    int64_t deadline = pti_now_ns() + 3 * (int64_t)PTT_LONG * PTI_NS_PER_MS;
    bool over = false;

    (void)state;
    lines_init(&lines, stages, COUNT(stages), &small);
    while (!over) {
        pid_t runner = ptt_fork(keep_running, &lines);
        int64_t end = pti_now_ns() + (int64_t)(8 + ptt_random(&seed) % life_ms) * PTI_NS_PER_MS;
        while (!over && pti_now_ns() < end) {
            over = move_some(lines.line, &sent, kills < 4 ? (kills + 1) * portion : sequence.total, &sequence);
            nap_us(200);
        }
        ptt_kill(runner);
        if (++kills >= 30) /* the first are killed early, the others when something may have come of it, however slow workers start */
            life_ms = life_ms < 300 ? 300 : sequence.number == came ? 2 * life_ms : life_ms;
        came = sequence.number;
        assert_true(pti_now_ns() < deadline);
    }
    char text[32];
    bool fails;
    assert_false(next_of(&sequence, text, &fails));
    assert_true(kills > 4);
    lines_fini(&lines);
}

static void workers_killed_at_random_cost_nothing(void **state)
{
    struct lines lines;
    uint64_t seed = ptt_seed();
    struct sequence sequence = {.total = 300};
    unsigned sent = 0, killed_at = 0;
    int64_t deadline = pti_now_ns() + 3 * (int64_t)PTT_LONG * PTI_NS_PER_MS;

    (void)state;
    lines_init(&lines, stages, COUNT(stages), &small);
    assert_ok(ptq_pipeline_start(lines.line));
    while (!move_some(lines.line, &sent, sequence.total, &sequence)) {
        int64_t pids[8];
        ptq_pool *pool = ptq_pipeline_pool(lines.line, ptt_random(&seed) % COUNT(stages));
        size_t count = ptq_pool_worker_pids(pool, pids, 8);
        if (count != 0 && sequence.number >= killed_at + 4) { /* something comes out between two deaths, however slow workers start */
            kill((pid_t)pids[ptt_random(&seed) % count], SIGKILL);
            killed_at = sequence.number;
        }
        nap_us(300);
        assert_true(pti_now_ns() < deadline);
    }
    char text[32];
    bool fails;
    assert_false(next_of(&sequence, text, &fails));
    lines_fini(&lines);
}

/* Gets one output, and dies with it. */
static int get_and_die(void *context)
{
    const struct lines *lines = context;
    struct lines own = *lines;
    struct ptq_output output;
    own.scratch.bus = ptt_scratch_open(&lines->scratch);
    ptq_pipeline *line = lines_open(&own, NULL);
    if (ptq_pipeline_get(line, PTT_LONG, &output) != PTQ_OK)
        return 1;
    raise(SIGKILL);
    return 1;
}

static void what_a_killed_getter_had_comes_again_flagged(void **state)
{
    static const struct ptq_stage few[] = {{.name = "pass"}, {.name = "split"}};
    struct lines lines;
    struct ptq_output output;

    (void)state;
    lines_init(&lines, few, COUNT(few), NULL);
    assert_ok(ptq_pipeline_start(lines.line));
    (void)lines_submit(lines.line, 3);
    (void)lines_submit(lines.line, 1);
    assert_ok(ptq_pipeline_end(lines.line));
    pid_t getter = ptt_fork(get_and_die, &lines);
    assert_true(ptt_reap(getter, PTT_LONG) != 0);
    for (unsigned i = 0; i < 3; i++) {
        char text[8];
        snprintf(text, sizeof text, "3.%u", i);
        assert_ok(ptq_pipeline_get(lines.line, PTT_LONG, &output));
        assert_true(output.redelivered);
        assert_memory_equal(output.data, text, 3);
    }
    lines_expect(lines.line, "1.0");
    lines_expect_end(lines.line);
    lines_fini(&lines);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_program_that_started_it_is_killed_and_another_goes_on),
        cmocka_unit_test(workers_killed_at_random_cost_nothing),
        cmocka_unit_test(what_a_killed_getter_had_comes_again_flagged),
    };
    lines_register();
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
