/* test_pipeline_record.c -- what a pipeline tells of itself: figures, advice, and who did what when. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lines.h"
#include "pool/line.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* -- advice ---------------------------------------------------------------------------------------------------- */

static void workers_go_where_the_slowest_stage_is(void **state)
{
    static const struct {
        double work[4];
        unsigned count, workers, advised[4];
    } cases[] = {
        {{1, 1, 1, 0}, 3, 3, {1, 1, 1, 0}},   {{1, 4, 1, 0}, 3, 6, {1, 4, 1, 0}},   {{10, 30, 20, 0}, 3, 6, {1, 3, 2, 0}},
        {{0, 5, 0, 0}, 3, 10, {1, 8, 1, 0}},  {{7, 0, 0, 0}, 1, 4, {4, 0, 0, 0}},   {{3, 3, 3, 3}, 4, 7, {2, 2, 2, 1}},
        {{100, 1, 1, 98}, 4, 4, {1, 1, 1, 1}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        unsigned advised[4] = {0};
        pti_advice_distribute(cases[i].work, cases[i].count, cases[i].workers, advised);
        for (unsigned k = 0; k < cases[i].count; k++)
            assert_int_equal(advised[k], cases[i].advised[k]);
    }
    assert_int_equal(pti_advice_slowest((double[]){10, 30, 20}, 3, (unsigned[]){1, 4, 1}), 2);
}

/* -- figures --------------------------------------------------------------------------------------------------- */

static const struct ptq_stage stages[] = {{.name = "split", .workers = 2}, {.name = "check", .task = "fail-seventh", .workers = 2},
                                          {.name = "odd", .beside = true}, {.name = "last", .task = "spin"}};
#define NUMBERS 60u /* what "split" gives for 0 to 59: 0, 1, 2, 3, 0, ...: 90; what "check" fails at: of 7, 14, ...: 12; what "odd" passes: 60 */

static void send(ptq_pipeline *line, unsigned count)
{
    struct ptq_output output;
    for (unsigned i = 0; i < count; i++)
        (void)lines_submit(line, i);
    assert_ok(ptq_pipeline_end(line));
    enum ptq_err err;
    do
        err = ptq_pipeline_get(line, PTT_LONG, &output);
    while (err == PTQ_OK);
    assert_answer(PTQ_END, err);
}

struct counted {
    ptq_pipeline *line;
    const uint64_t *jobs;
    size_t stages;
};

static bool is_counted(void *context)
{
    struct counted *counted = context;
    struct ptq_pipeline_stats whole;
    struct ptq_stage_stats stats[COUNT(stages)];
    bool all = ptq_pipeline_stats(counted->line, &whole, stats, COUNT(stats)) == PTQ_OK;
    for (size_t i = 0; i < counted->stages; i++)
        all = all && stats[i].jobs >= counted->jobs[i] && stats[i].running == 0;
    return all;
}

/* A worker counts a job when it has handed in what came of it: whoever has got that may be before it. */
static void wait_counted(ptq_pipeline *line, const uint64_t *jobs, size_t count)
{
    assert_true(ptt_wait_until(is_counted, &(struct counted){line, jobs, count}, PTT_LONG));
}

static void figures_are_of_all_workers_that_there_were(void **state)
{
    struct lines lines;
    struct ptq_pipeline_stats whole;
    struct ptq_stage_stats stats[COUNT(stages)];
    unsigned advised[COUNT(stages)], sum = 0;
    size_t bottleneck = 99;

    (void)state;
    lines_init(&lines, stages, COUNT(stages), &(struct ptq_pipeline_options){.total = 120});
    assert_answer(PTQ_EMPTY, ptq_pipeline_advise(lines.line, 0, advised, NULL, NULL));
    assert_ok(ptq_pipeline_start(lines.line));
    send(lines.line, NUMBERS);
    wait_counted(lines.line, (const uint64_t[]){NUMBERS, 90, 90, 90 - 12 + 60}, COUNT(stages));
    assert_ok(ptq_pipeline_stats(lines.line, &whole, stats, COUNT(stats)));
    assert_int_equal(whole.stages, COUNT(stages));
    assert_int_equal(whole.inputs, NUMBERS);
    assert_true(whole.runtime_ns > 0 && whole.rate > 0 && whole.left_ms >= 0);
    static const unsigned jobs[] = {NUMBERS, 90, 90, 0}, failed[] = {0, 12, 0, 0};
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(stats[i].name, stages[i].name);
        assert_int_equal(stats[i].jobs, jobs[i]);
        assert_int_equal(stats[i].failed, failed[i]);
        assert_true(stats[i].on_ns > 0 && stats[i].rate_on > stats[i].rate && stats[i].busy > 0 && stats[i].busy <= 1);
        assert_true(stats[i].on_ns + stats[i].starved_ns + stats[i].blocked_ns <= whole.runtime_ns * 2 + 1000000);
        assert_int_equal(stats[i].queued + stats[i].running + stats[i].held, 0);
    }
    assert_int_equal(stats[3].jobs, 90 - 12 + 60);
    assert_int_equal(stats[0].bottleneck + stats[1].bottleneck + stats[2].bottleneck + stats[3].bottleneck, 1);
    assert_ok(ptq_pipeline_advise(lines.line, 10, advised, &bottleneck, NULL));
    for (size_t i = 0; i < COUNT(stages); i++)
        sum += advised[i];
    assert_int_equal(sum, 10);
    assert_true(bottleneck < COUNT(stages) && stats[bottleneck].bottleneck);
    assert_answer(PTQ_EINVAL, ptq_pipeline_advise(lines.line, 3, advised, NULL, NULL));
    lines_fini(&lines);
}

static void what_the_dead_did_is_counted_too(void **state)
{
    static const struct ptq_stage dying[] = {{.name = "die-once", .workers = 1}};
    struct lines lines;
    struct ptq_pipeline_stats whole;
    struct ptq_stage_stats stats;

    (void)state;
    lines_init(&lines, dying, 1, NULL);
    assert_ok(ptq_pipeline_start(lines.line));
    send(lines.line, 35);
    wait_counted(lines.line, &(uint64_t){35}, 1);
    assert_ok(ptq_pipeline_stats(lines.line, &whole, &stats, 1));
    assert_int_equal(stats.jobs, 35); /* by five workers, one after the other */
    lines_fini(&lines);
}

static char *written(enum ptq_err (*write)(ptq_pipeline *, FILE *), ptq_pipeline *line)
{
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    assert_non_null(file);
    assert_ok(write(line, file));
    fclose(file);
    return text;
}

static enum ptq_err table(ptq_pipeline *line, FILE *file) { return ptq_pipeline_report(line, PTQ_REPORT_TEXT, file); }
static enum ptq_err csv(ptq_pipeline *line, FILE *file) { return ptq_pipeline_record(line, PTQ_RECORD_CSV, file); }
static enum ptq_err svg(ptq_pipeline *line, FILE *file) { return ptq_pipeline_record(line, PTQ_RECORD_SVG, file); }

static unsigned workers_of(ptq_pipeline *line)
{
    struct ptq_pipeline_stats whole;
    struct ptq_stage_stats stats[COUNT(stages)];
    assert_ok(ptq_pipeline_stats(line, &whole, stats, COUNT(stats)));
    return stats[0].workers + stats[1].workers + stats[2].workers + stats[3].workers;
}

static bool six_live(void *line) { return workers_of(line) == 6; }
static bool none_lives(void *line) { return workers_of(line) == 0; }

static void the_table_names_stages_workers_and_the_bottleneck(void **state)
{
    struct lines lines;

    (void)state;
    lines_init(&lines, stages, COUNT(stages), NULL);
    assert_ok(ptq_pipeline_start(lines.line));
    assert_true(ptt_wait_until(six_live, lines.line, PTT_LONG)); /* or others may have done all before the last has begun */
    send(lines.line, NUMBERS);
    wait_counted(lines.line, (const uint64_t[]){NUMBERS, 90, 90, 90 - 12 + 60}, COUNT(stages));
    assert_true(ptt_wait_until(none_lives, lines.line, PTT_LONG)); /* or those that had left would not count */
    struct ptq_pipeline_stats whole;
    struct ptq_stage_stats stats[COUNT(stages)];
    char best[80];
    assert_ok(ptq_pipeline_stats(lines.line, &whole, stats, COUNT(stats)));
    snprintf(best, sizeof best, "of 6 workers best: split %u, check %u, odd %u, last %u\n", stats[0].advised, stats[1].advised,
             stats[2].advised, stats[3].advised);
    assert_int_equal(stats[0].advised + stats[1].advised + stats[2].advised + stats[3].advised, 6);
    char *text = written(table, lines.line);
    ptt_assert_says(text, "60 inputs");
    ptt_assert_says(text, "check-");
    ptt_assert_says(text, "bottleneck: ");
    ptt_assert_says(text, best);
    free(text);
    lines_fini(&lines);
}

static void a_file_that_cannot_be_written_is_told(void **state)
{
    static const struct ptq_stage one[] = {{.name = "pass"}};
    struct lines lines;

    (void)state;
    lines_init(&lines, one, 1, NULL);
    FILE *file = fopen("/dev/full", "w");
    assert_non_null(file);
    assert_answer(PTQ_ESYS, ptq_pipeline_report(lines.line, PTQ_REPORT_JSON, file));
    fclose(file);
    lines_fini(&lines);
}

/* -- records --------------------------------------------------------------------------------------------------- */

struct job {
    char stage[32], worker[32];
    unsigned long long ticket, from, on, off;
    unsigned tries, outputs, failed;
};

/* Jobs of a CSV; *ret_others counts the other lines but the first. */
static size_t parse(char *text, struct job *jobs, size_t most, size_t *ret_others)
{
    size_t count = 0;
    *ret_others = 0;
    assert_string_equal(strtok(text, "\n"), "stage,worker,pid,what,ticket,from,on_ns,off_ns,tries,outputs,failed");
    for (char *line; (line = strtok(NULL, "\n")) != NULL;) {
        struct job job = {.from = 0};
        char worker[32], from[24], *at = strstr(line, ",job,");
        if (at == NULL) {
            ++*ret_others;
            continue;
        }
        assert_int_equal(sscanf(line, "%31[^,],%31[^,],", job.stage, worker), 2);
        snprintf(job.worker, sizeof job.worker, "%s", worker);
        bool first = sscanf(at, ",job,%llu,,%llu,%llu,%u,%u,%u", &job.ticket, &job.on, &job.off, &job.tries, &job.outputs, &job.failed) == 6;
        if (!first) {
            assert_int_equal(sscanf(at, ",job,%llu,%23[0-9],%llu,%llu,%u,%u,%u", &job.ticket, from, &job.on, &job.off, &job.tries, &job.outputs,
                                    &job.failed), 7);
            job.from = strtoull(from, NULL, 10);
        }
        assert_true(count < most);
        jobs[count++] = job;
    }
    return count;
}

static const struct job *find(const struct job *jobs, size_t count, const char *stage, unsigned long long ticket)
{
    const struct job *found = NULL;
    for (size_t i = 0; i < count; i++)
        if (strcmp(jobs[i].stage, stage) == 0 && jobs[i].ticket == ticket) {
            assert_null(found);
            found = &jobs[i];
        }
    return found;
}

struct recorded {
    ptq_pipeline *line;
    struct job *jobs;
    size_t room, count, wanted;
};

/* A worker notes its last job when it has handed in what came of it. */
static bool is_recorded(void *context)
{
    struct recorded *recorded = context;
    size_t others;
    char *text = written(csv, recorded->line);

    recorded->count = parse(text, recorded->jobs, recorded->room, &others);
    free(text);
    return recorded->count >= recorded->wanted;
}

static void a_record_has_each_job_once_with_its_edges_and_where_it_came_from(void **state)
{
    static const struct ptq_stage few[] = {{.name = "split", .workers = 2}, {.name = "check", .task = "fail-seventh", .workers = 2},
                                           {.name = "last", .task = "die-once", .workers = 2}};
    static struct job jobs[400];
    struct lines lines;
    size_t of[3] = {0};

    (void)state;
    lines_init(&lines, few, COUNT(few), &(struct ptq_pipeline_options){.record = 1000});
    assert_ok(ptq_pipeline_start(lines.line));
    send(lines.line, NUMBERS);
    struct recorded recorded = {lines.line, jobs, COUNT(jobs), 0, NUMBERS + 90 + 90 - 12};
    assert_true(ptt_wait_until(is_recorded, &recorded, PTT_LONG));
    size_t count = recorded.count;
    for (size_t i = 0; i < count; i++) {
        unsigned stage = strcmp(jobs[i].stage, "split") == 0 ? 0 : strcmp(jobs[i].stage, "check") == 0 ? 1 : 2;
        of[stage]++;
        assert_true(jobs[i].on <= jobs[i].off);
        if (i > 0 && strcmp(jobs[i].worker, jobs[i - 1].worker) == 0)
            assert_true(jobs[i].on >= jobs[i - 1].off); /* a worker does one thing at a time */
        const struct job *giver = stage == 0 ? NULL : find(jobs, count, few[stage - 1].name, jobs[i].from);
        if (stage == 0)
            continue;
        assert_non_null(giver);
        assert_true(giver->outputs > 0 && !giver->failed);
    }
    assert_int_equal(of[0], NUMBERS);
    assert_int_equal(of[1], 90);
    assert_int_equal(of[2], 90 - 12);
    lines_fini(&lines);
}

static void the_oldest_go_and_are_counted(void **state)
{
    static const struct ptq_stage one[] = {{.name = "pass"}};
    static struct job jobs[20];
    struct lines lines;
    size_t others;

    (void)state;
    lines_init(&lines, one, 1, &(struct ptq_pipeline_options){.record = 10});
    assert_ok(ptq_pipeline_start(lines.line));
    send(lines.line, 100);
    char *text = written(csv, lines.line), *picture = written(svg, lines.line);
    size_t count = parse(text, jobs, COUNT(jobs), &others);
    assert_true(count + others >= 9 && count + others <= 10);
    ptt_assert_says(picture, "older ones are gone");
    free(text);
    free(picture);
    lines_fini(&lines);
}

static void where_nothing_was_recorded_the_picture_says_so(void **state)
{
    static const struct ptq_stage one[] = {{.name = "pass"}};
    struct lines lines;

    (void)state;
    lines_init(&lines, one, 1, NULL);
    assert_ok(ptq_pipeline_start(lines.line));
    send(lines.line, 10);
    char *picture = written(svg, lines.line);
    ptt_assert_says(picture, "nothing was recorded");
    free(picture);
    assert_int_equal(ptt_scratch_files(&lines.scratch, ".trail"), 0);
    lines_fini(&lines);
}

static void a_record_goes_with_its_pipeline(void **state)
{
    static const struct ptq_stage one[] = {{.name = "pass"}};
    struct lines lines;

    (void)state;
    lines_init(&lines, one, 1, &(struct ptq_pipeline_options){.record = 10});
    assert_ok(ptq_pipeline_start(lines.line));
    send(lines.line, 10);
    assert_int_equal(ptt_scratch_files(&lines.scratch, ".trail"), 1);
    ptq_pipeline_close(lines.line);
    lines.line = NULL;
    assert_ok(ptq_pipeline_unlink(lines.scratch.bus, "line", one, 1, false));
    assert_int_equal(ptt_scratch_files(&lines.scratch, ".trail"), 0);
    lines_fini(&lines);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_go_where_the_slowest_stage_is),
        cmocka_unit_test(figures_are_of_all_workers_that_there_were),
        cmocka_unit_test(what_the_dead_did_is_counted_too),
        cmocka_unit_test(the_table_names_stages_workers_and_the_bottleneck),
        cmocka_unit_test(a_file_that_cannot_be_written_is_told),
        cmocka_unit_test(a_record_has_each_job_once_with_its_edges_and_where_it_came_from),
        cmocka_unit_test(the_oldest_go_and_are_counted),
        cmocka_unit_test(where_nothing_was_recorded_the_picture_says_so),
        cmocka_unit_test(a_record_goes_with_its_pipeline),
    };
    lines_register();
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
