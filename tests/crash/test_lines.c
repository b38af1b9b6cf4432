/* test_lines.c -- who submits to a pipeline, works for a stage, hands on between stages, or gets what comes out is killed at an
 * instruction, or stopped there while others go on: what comes out is in order, each once, and nothing is missing.
 *
 *     submit -> [ split ] -> relay -> [ x | y ] -> get
 *
 * The library begins threads for workers and relays.  Here it is told that they run, and each is then called by whoever wants to be it, in
 * its main thread: so a relay, too, can be stepped through, and nothing happens but what the case says.
 *     crash_lines [all | N]: every instruction, or every so many; else some.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "crash/path.h"
#include "support/ptt.h"

#include <ptq/pipeline.h>
#include <ptq/ptq.h>

#define LINE "l"
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* -- threads that are not begun --------------------------------------------------------------------------------- */

enum part { SPLIT, X, Y, RELAY, PARTS }; /* in the order in which ptq_pipeline_start begins them */

static struct {
    void *(*routine)(void *);
    void *context;
} caught[PARTS];
static unsigned caught_count;

int pthread_create(pthread_t *restrict ret_thread, const pthread_attr_t *restrict attributes, void *(*routine)(void *),
                   void *restrict context)
{
    (void)attributes;
    if (caught_count == PARTS)
        abort();
    caught[caught_count].routine = routine;
    caught[caught_count].context = context;
    *ret_thread = (pthread_t)++caught_count;
    return 0;
}

int pthread_join(pthread_t thread, void **ret_value)
{
    (void)ret_value;
    return thread != 0 && thread <= PARTS ? 0 : 3;
}

static void be(enum part part)
{
    (void)caught[part].routine(caught[part].context);
}

/* -- the pipeline ----------------------------------------------------------------------------------------------- */

static enum ptq_err split(ptq_task *task, const void *data, size_t size)
{
    char digit = *(const char *)data, text[8];
    enum ptq_err err = PTQ_OK;

    if (size != 1)
        return ptq_task_fail(task, PTQ_EPROTO, "%zu bytes", size);
    if (digit == '5')
        return PTQ_EFAILED; /* with no words: for ptq_task_fail a backtrace is looked up, in more instructions than all the rest */
    for (char i = '0'; i < digit && err == PTQ_OK; i++)
        err = ptq_task_output(task, text, (size_t)snprintf(text, sizeof text, "%c.%c", digit, i));
    return err;
}

static enum ptq_err with(ptq_task *task, const char *letter, const void *data, size_t size)
{
    enum ptq_err err = ptq_task_emit(task, letter, 1);
    return err == PTQ_OK ? ptq_task_emit(task, data, size) : err;
}

static enum ptq_err x(ptq_task *task, const void *data, size_t size)
{
    return with(task, "x", data, size);
}

static enum ptq_err y(ptq_task *task, const void *data, size_t size)
{
    return memcmp(data, "2.1", 3) == 0 ? PTQ_OK : with(task, "y", data, size); /* drops one */
}

static const struct ptq_stage stages[] = {
    {.name = "split", .threads = true, .item_size = 64, .output_size = 512},
    {.name = "x", .threads = true, .item_size = 64, .output_size = 512},
    {.name = "y", .beside = true, .threads = true, .item_size = 64, .output_size = 512},
};

static const struct {
    bool is_marker;
    const char *text;
} inputs[] = {{false, "5"}, {true, "m"}, {false, "2"}, {false, "0"}, {false, "1"}};
static size_t inputs_used = 3; /* else all */

/* What comes of them: which stand together in a group leave the pipeline together. */
static const struct {
    enum ptq_result_kind kind;
    const char *text;
    unsigned input, group; /* group: the first of it */
} outputs[] = {
    {PTQ_RESULT_ERROR, "", 0, 0},   {PTQ_RESULT_MARKER, "m", 1, 1}, {PTQ_RESULT_JOB, "x2.0", 2, 2}, {PTQ_RESULT_JOB, "y2.0", 2, 2},
    {PTQ_RESULT_JOB, "x2.1", 2, 4}, {PTQ_RESULT_JOB, "x1.0", 4, 5}, {PTQ_RESULT_JOB, "y1.0", 4, 5},
};

/* How many come of so many inputs. */
static size_t outputs_of(uint64_t inputs_in)
{
    size_t count = 0;

    while (count < COUNT(outputs) && outputs[count].input < inputs_in)
        count++;
    return count;
}

static bool wholly;

enum { BEGUN, DONE, FIRST, GETS, GOT, ENDED }; /* words of the page */

struct run {
    struct ptt_scratch scratch;
    struct ptt_page *page;
    const struct who *who;
    const char *what; /* was done to the victim */
    uint64_t seed, stride;
    uint64_t at, first; /* first: number of the first input */
    unsigned runs, wrong;
};


static ptq_pipeline *open_line(ptq_bus *bus)
{
    struct ptq_error error = {0};
    struct ptq_pipeline_options options = {.capacity = 20, .window = 20, .max_endpoints = 10, .error = &error};
    ptq_pipeline *line = NULL;

    if (ptq_pipeline_open(bus, LINE, stages, COUNT(stages), &options, &line) != PTQ_OK) {
        print_error("%s\n", error.text);
        return NULL;
    }
    return line;
}

/* Its threads are caught; false: it answered otherwise. */
static bool start_line(ptq_pipeline *line)
{
    caught_count = 0;
    return ptq_pipeline_start(line) == PTQ_OK && caught_count == PARTS;
}

static enum ptq_err submit_input(ptq_pipeline *line, size_t which, uint64_t *ret_input)
{
    const char *text = inputs[which].text;

    return inputs[which].is_marker ? ptq_pipeline_submit_marker(line, text, strlen(text), PTQ_NOWAIT, ret_input)
                                   : ptq_pipeline_submit(line, text, strlen(text), PTQ_NOWAIT, ret_input);
}

/* -- victims ---------------------------------------------------------------------------------------------------- */

/* Calls answer PTQ_EENDED once somebody has ended it. */
static int submit_and_end(void *context)
{
    struct run *run = context;
    ptq_pipeline *line = open_line(ptt_scratch_open(&run->scratch));
    uint64_t input;

    if (line == NULL)
        return 1;
    victim_mark();
    for (size_t i = 0; i < inputs_used; i++) {
        run->page->words[BEGUN]++;
        enum ptq_err err = submit_input(line, i, &input);
        if (err == PTQ_EENDED)
            return 0;
        if (err != PTQ_OK)
            return 2;
        if (i == 0)
            run->page->words[FIRST] = input;
        run->page->words[DONE]++;
    }
    run->page->words[BEGUN]++;
    if (ptq_pipeline_end(line) != PTQ_OK)
        return 3;
    run->page->words[DONE]++;
    return 0;
}

static int be_part(struct run *run, enum part part)
{
    ptq_pipeline *line = open_line(ptt_scratch_open(&run->scratch));

    if (line == NULL || !start_line(line))
        return 1;
    victim_mark();
    be(part);
    return 0;
}

static int be_split(void *run) { return be_part(run, SPLIT); }
static int be_x(void *run) { return be_part(run, X); }
static int be_relay(void *run) { return be_part(run, RELAY); }

/* Another one, that is no victim. */
static int take_part(struct run *run, enum part part)
{
    ptq_pipeline *line = open_line(ptt_scratch_open(&run->scratch));

    if (line == NULL || !start_line(line))
        return 1;
    be(part);
    return 0;
}

static int take_split(void *run) { return take_part(run, SPLIT); }
static int take_x(void *run) { return take_part(run, X); }
static int take_relay(void *run) { return take_part(run, RELAY); }

static int get_all(void *context)
{
    struct run *run = context;
    ptq_pipeline *line = open_line(ptt_scratch_open(&run->scratch));
    struct ptq_output output;
    enum ptq_err err;

    if (line == NULL)
        return 1;
    victim_mark();
    do {
        run->page->words[GETS]++;
        err = ptq_pipeline_get(line, PTT_LONG, &output);
        run->page->words[GOT] += err == PTQ_OK;
    } while (err == PTQ_OK);
    run->page->words[ENDED] = err == PTQ_END;
    return err == PTQ_END ? 0 : 2;
}

/* -- before and after ------------------------------------------------------------------------------------------- */

static struct path paths[5];

static const struct who {
    const char *name;
    int (*life)(void *);
    int (*beside)(void *);   /* does the same, while it stands still; NULL: see there */
    bool submits;            /* nothing was submitted before; else all, and it has ended */
    unsigned before;         /* so many of the parts in `order` were done before */
    struct path *path;       /* its way */
} submitter = {"submitter", submit_and_end, NULL, true, 0, &paths[0]}, worker = {"worker of the first stage", be_split, take_split, false, 0, &paths[1]},
  relay = {"relay", be_relay, take_relay, false, 1, &paths[2]},
  second = {"worker of the second stage", be_x, take_x, false, 2, &paths[3]},
  getter = {"getter", get_all, NULL, false, 4, &paths[4]};

static const enum part order[PARTS] = {SPLIT, RELAY, X, Y};

static void complain(struct run *run, const char *what)
{
    if (run->wrong++ < 10)
        print_error("%s, %s %llu: %s\n", run->who->name, run->what, (unsigned long long)run->at, what);
}

static void do_parts(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        be(order[i]);
}

/* The parts that come before the victim's, in a process that ends without closing: closing would wait for the others. */
static int do_before(void *context)
{
    struct run *run = context;
    ptq_pipeline *line = open_line(ptt_scratch_open(&run->scratch));

    if (line == NULL || !start_line(line))
        return 1;
    do_parts(run->who->before);
    return 0;
}

static void prepare(struct run *run)
{
    uint64_t input = 0;

    ptt_scratch_init(&run->scratch);
    memset(run->page, 0, sizeof *run->page);
    ptq_pipeline *line = open_line(run->scratch.bus);
    assert_non_null(line);
    for (size_t i = 0; i < inputs_used && !run->who->submits; i++) {
        assert_ok(submit_input(line, i, &input));
        assert_true(i == 0 || input == run->first + i);
        run->first = input - i;
    }
    if (!run->who->submits)
        assert_ok(ptq_pipeline_end(line));
    ptq_pipeline_close(line);
    if (run->who->before != 0)
        assert_int_equal(ptt_reap(ptt_fork(do_before, run), PTT_LONG), 0);
}

static void clear(struct run *run)
{
    ptt_scratch_fini(&run->scratch);
    run->runs++;
}

/* Is this output number `which` of those inputs of which the first `count` are in? */
static void check_output(struct run *run, const struct ptq_output *output, size_t which)
{
    if (which >= COUNT(outputs) || output->kind != outputs[which].kind || output->size != strlen(outputs[which].text) ||
        memcmp(output->data, outputs[which].text, output->size) != 0) {
        char text[120];
        snprintf(text, sizeof text, "'%.*s' (kind %d) instead of '%s'", (int)output->size, (const char *)output->data, (int)output->kind,
                 which < COUNT(outputs) ? outputs[which].text : "nothing");
        complain(run, text);
        return;
    }
    if (output->input != run->first + outputs[which].input)
        complain(run, "an output is of another input");
    if (output->kind == PTQ_RESULT_ERROR && (output->code != PTQ_EFAILED || strcmp(output->stage, "split") != 0))
        complain(run, "another error");
}

/* Gets the rest from output `next` on: all that comes of `inputs_in` inputs, then a marker "t" where `tail`. */
static void get_rest(struct run *run, ptq_pipeline *line, size_t next, uint64_t inputs_in, bool tail)
{
    struct ptq_output output;
    size_t end = outputs_of(inputs_in);
    enum ptq_err err;

    while ((err = ptq_pipeline_get(line, PTT_LONG, &output)) == PTQ_OK) {
        if (next == end && tail && output.kind == PTQ_RESULT_MARKER && output.size == 1 && *(const char *)output.data == 't')
            tail = false;
        else
            check_output(run, &output, next++);
    }
    if (err != PTQ_END)
        complain(run, ptq_err_name(err));
    if (next != end || tail)
        complain(run, "something is missing, or too much");
}

/* -- after a death ---------------------------------------------------------------------------------------------- */

/* The submitter's inputs, as far as they are in, then our own. */
static void go_on_submitting(struct run *run, ptq_pipeline *line)
{
    uint64_t done = run->page->words[DONE], begun = run->page->words[BEGUN], in, ours = 0;
    enum ptq_err err = ptq_pipeline_submit_marker(line, "t", 1, PTQ_NOWAIT, &ours);

    if (err != PTQ_OK && err != PTQ_EENDED)
        complain(run, ptq_err_name(err));
    if ((err == PTQ_EENDED && begun <= inputs_used) || (err == PTQ_OK && done > inputs_used))
        complain(run, "what its end answered is not so");
    assert_ok(ptq_pipeline_end(line));
    assert_true(start_line(line));
    do_parts(PARTS);
    in = err == PTQ_OK ? ours - run->first : inputs_used; /* numbers have no gaps */
    if (in != (done < inputs_used ? done : inputs_used) && in != begun)
        complain(run, "a submit that had not begun is in, or one that was promised is not");
    get_rest(run, line, 0, in, err == PTQ_OK);
}

/* What the dead getter had got may come again, flagged; what it was done with does not. */
static void go_on_getting(struct run *run, ptq_pipeline *line)
{
    uint64_t gets = run->page->words[GETS], got = run->page->words[GOT];
    struct ptq_output output;
    enum ptq_err err = ptq_pipeline_get(line, PTT_LONG, &output);
    size_t least = got == 0 ? 0 : outputs[got - 1].group, next = least;

    if (err == PTQ_END) { /* it had all of them, and was about to learn that */
        if (got != outputs_of(inputs_used) || gets != outputs_of(inputs_used) + 1)
            complain(run, "the rest is missing");
        return;
    }
    while (next < got && (output.size != strlen(outputs[next].text) || memcmp(output.data, outputs[next].text, output.size) != 0))
        next++;
    check_output(run, &output, next);
    if (next != least && (gets == got || next < got))
        complain(run, "half of a group came again");
    for (; err == PTQ_OK; next++) {
        if (next < got && !output.redelivered)
            complain(run, "an output came twice without a flag");
        err = ptq_pipeline_get(line, PTT_LONG, &output);
        if (err == PTQ_OK)
            check_output(run, &output, next + 1);
    }
    if (err != PTQ_END)
        complain(run, ptq_err_name(err));
    if (next != outputs_of(inputs_used))
        complain(run, "something is missing");
}

static void go_on(struct run *run)
{
    ptq_pipeline *line = open_line(run->scratch.bus);

    assert_non_null(line);
    if (run->who->submits) {
        go_on_submitting(run, line);
    } else if (run->who->before == PARTS) {
        go_on_getting(run, line);
    } else {
        assert_true(start_line(line));
        do_parts(PARTS);
        get_rest(run, line, 0, inputs_used, false);
    }
    ptq_pipeline_close(line);
    clear(run);
}

static uint64_t first; /* number of the first input of all submitters */

static void init(struct run *run, const struct who *who, const char *what)
{
    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        skip();
    }
    *run = (struct run){.page = ptt_page_new(), .who = who, .what = what, .seed = ptt_seed()};
    assert_ok(ptq_task_register("split", split, NULL));
    assert_ok(ptq_task_register("x", x, NULL));
    assert_ok(ptq_task_register("y", y, NULL));
    if (who->path->count == 0) {
        prepare(run);
        path_follow(who->path, who->life, run, 1000);
        if (who->submits)
            first = run->page->words[FIRST];
        ptt_scratch_fini(&run->scratch);
    }
    run->first = first;
    assert_in_range(who->path->count, 500, PATH_MOST - 1);
}

static void fini(struct run *run)
{
    print_message("  %s: %llu instructions, %s %u times, %u wrong\n", run->who->name, (unsigned long long)run->who->path->count, run->what, run->runs,
                  run->wrong);
    ptt_page_free(run->page);
    assert_int_equal(run->wrong, 0);
    assert_true(run->runs >= 10);
}

/* Stands at the instruction.  False: this time it came through on another way. */
static bool bring(struct run *run, struct victim *victim, uint64_t at)
{
    run->at = at;
    prepare(run);
    if (path_bring(run->who->path, at, victim, run->who->life, run, 2000))
        return true;
    victim_finish(victim);
    return false;
}

/* The first of about so many instructions. */
static uint64_t begin(struct run *run, uint64_t some)
{
    run->stride = path_stride(run->who->path, some);
    return ptt_random(&run->seed) % run->stride;
}

static void kill_everywhere(const struct who *who)
{
    struct run run;

    init(&run, who, "killed at");
    for (uint64_t at = begin(&run, 25); at < run.who->path->count; at += run.stride) {
        struct victim victim;
        (void)bring(&run, &victim, at);
        victim_kill(&victim);
        go_on(&run);
    }
    fini(&run);
}

static void a_submitter_may_die_at_any_instruction(void **state)
{
    (void)state;
    kill_everywhere(&submitter);
}

static void a_worker_of_a_stage_may_die_at_any_instruction(void **state)
{
    (void)state;
    kill_everywhere(&worker);
    kill_everywhere(&second);
}

static void a_relay_may_die_at_any_instruction(void **state)
{
    (void)state;
    kill_everywhere(&relay);
}

static void a_getter_of_outputs_may_die_at_any_instruction(void **state)
{
    (void)state;
    kill_everywhere(&getter);
}

/* Whoever takes over what a dead one left half done may die as well. */
static void relays_may_die_one_after_another(void **state)
{
    struct run run;

    (void)state;
    init(&run, &relay, "the last killed at");
    for (unsigned n = 0; n < (wholly ? 500 : 15); n++) {
        struct victim victim;
        (void)bring(&run, &victim, ptt_random(&run.seed) % relay.path->count);
        victim_kill(&victim);
        for (unsigned more = 0; more < 2; more++) {
            run.at = ptt_random(&run.seed) % relay.path->count;
            if (!path_bring(relay.path, run.at, &victim, be_relay, &run, 2000))
                victim_finish(&victim);
            victim_kill(&victim);
        }
        go_on(&run);
    }
    fini(&run);
}

/* -- stopped ---------------------------------------------------------------------------------------------------- */

static void let_go_on(struct run *run, struct victim *victim)
{
    victim_let_go(victim);
    assert_true(victim_wait(victim, PTT_LONG));
    victim_finish(victim);
    if (victim->status != 0)
        complain(run, "it did not come to its end");
}

/* Others submit, end, work and get, and nobody waits for it; then it is told which of its inputs came too late. */
static void a_submitter_that_is_stopped_stops_nobody_and_learns_what_was_too_late(void **state)
{
    struct run run;

    (void)state;
    init(&run, &submitter, "stopped at");
    for (uint64_t at = begin(&run, 20); at < run.who->path->count; at += run.stride) {
        struct victim victim;
        bool stands = bring(&run, &victim, at);
        uint64_t ours = 0, begun = run.page->words[BEGUN];
        ptq_pipeline *line = open_line(run.scratch.bus);
        assert_non_null(line);
        enum ptq_err err = ptq_pipeline_submit_marker(line, "t", 1, PTQ_NOWAIT, &ours);
        assert_true(err == PTQ_OK || (err == PTQ_EENDED && begun > inputs_used));
        assert_ok(ptq_pipeline_end(line));
        assert_true(start_line(line));
        do_parts(PARTS);
        if (stands)
            let_go_on(&run, &victim);
        uint64_t done = run.page->words[DONE]; /* as it was told */
        get_rest(&run, line, 0, done < inputs_used ? done : inputs_used, err == PTQ_OK);
        ptq_pipeline_close(line);
        clear(&run);
    }
    fini(&run);
}

struct look {
    ptq_pool *pool;
    enum ptq_err err;
};

/* All that may be leased is. */
static bool nothing_waits(void *context)
{
    struct look *look = context;
    struct ptq_pool_stats stats;

    look->err = ptq_pool_stats(look->pool, &stats);
    return look->err != PTQ_OK || stats.queued == 0;
}

/* Another one does all but what it has in hand, then it goes on, or is killed. */
static void stop_beside_another(const struct who *who, unsigned stage)
{
    struct run run;

    init(&run, who, "stopped at");
    for (uint64_t at = begin(&run, 15); at < run.who->path->count; at += run.stride) {
        struct victim victim;
        bool stands = bring(&run, &victim, at);
        pid_t other = ptt_fork(who->beside, &run);
        if (who != &relay) { /* of two relays one waits */
            ptq_pipeline *line = open_line(run.scratch.bus);
            struct look look = {.pool = ptq_pipeline_pool(line, stage)};
            if (!ptt_wait_until(nothing_waits, &look, PTT_LONG))
                complain(&run, "it holds up another one");
            assert_ok(look.err);
            ptq_pipeline_close(line);
        }
        if (stands && at / run.stride % 2 == 0)
            let_go_on(&run, &victim);
        victim_kill(&victim);
        if (ptt_reap(other, PTT_LONG) != 0)
            complain(&run, "the other one did not come to its end");
        go_on(&run);
    }
    fini(&run);
}

static void a_worker_of_a_stage_that_is_stopped_holds_back_what_it_has_alone(void **state)
{
    (void)state;
    stop_beside_another(&worker, 0);
    stop_beside_another(&second, 1);
}

static void a_relay_that_is_stopped_goes_on_or_is_replaced_when_it_is_dead(void **state)
{
    (void)state;
    stop_beside_another(&relay, 0);
}

static void a_getter_that_is_stopped_goes_on_where_it_was(void **state)
{
    struct run run;

    (void)state;
    init(&run, &getter, "stopped at");
    for (uint64_t at = begin(&run, 15); at < run.who->path->count; at += run.stride) {
        struct victim victim;
        struct ptq_output output;
        bool stands = bring(&run, &victim, at);
        ptq_pipeline *line = open_line(run.scratch.bus);
        assert_non_null(line);
        if (stands && run.page->words[GOT] != 0) {
            enum ptq_err err = ptq_pipeline_get(line, PTQ_NOWAIT, &output);
            if (err != PTQ_EBUSY)
                complain(&run, "somebody else gets beside it");
        }
        if (stands)
            let_go_on(&run, &victim);
        if (run.page->words[GOT] != outputs_of(inputs_used) || run.page->words[ENDED] != 1)
            complain(&run, "it did not get all of it");
        ptq_pipeline_close(line);
        clear(&run);
    }
    fini(&run);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_submitter_may_die_at_any_instruction),
        cmocka_unit_test(a_worker_of_a_stage_may_die_at_any_instruction),
        cmocka_unit_test(a_relay_may_die_at_any_instruction),
        cmocka_unit_test(a_getter_of_outputs_may_die_at_any_instruction),
        cmocka_unit_test(relays_may_die_one_after_another),
        cmocka_unit_test(a_submitter_that_is_stopped_stops_nobody_and_learns_what_was_too_late),
        cmocka_unit_test(a_worker_of_a_stage_that_is_stopped_holds_back_what_it_has_alone),
        cmocka_unit_test(a_relay_that_is_stopped_goes_on_or_is_replaced_when_it_is_dead),
        cmocka_unit_test(a_getter_that_is_stopped_goes_on_where_it_was),
    };

    wholly = path_arguments(argc, argv);
    if (wholly)
        inputs_used = COUNT(inputs);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
