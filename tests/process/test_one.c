/* test_one.c -- one worker: sent to, received from, given another task, closed, started again. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ptq/worker.h>

#include "pools.h"

/* -- tasks ----------------------------------------------------------------------------------------------------- */

/* What was bound, and the data. */
static enum ptq_err prefix(ptq_task *task, const void *data, size_t size)
{
    size_t bound;
    const void *text = ptq_task_static(task, &bound);
    enum ptq_err err = ptq_task_emit(task, text, bound);
    return err == PTQ_OK ? ptq_task_emit(task, data, size) : err;
}

/* Fails for "bad". */
static enum ptq_err picky(ptq_task *task, const void *data, size_t size)
{
    if (size == 3 && memcmp(data, "bad", 3) == 0)
        return ptq_task_fail(task, PTQ_EINVAL, "that is bad");
    return ptq_task_result(task, data, size);
}

static enum ptq_err wait_long(ptq_task *task, const void *data, size_t size)
{
    (void)data;
    (void)size;
    for (;;)
        pause();
    return ptq_task_fail(task, PTQ_EFAILED, "woken");
}

/* Heeds no SIGTERM. */
static enum ptq_err stubborn(ptq_task *task, const void *data, size_t size)
{
    (void)signal(SIGTERM, SIG_IGN);
    return wait_long(task, data, size);
}

static enum ptq_err leave_quietly(ptq_task *task, const void *data, size_t size)
{
    (void)task;
    (void)data;
    (void)size;
    _exit(0);
}

/* -- the test's side ------------------------------------------------------------------------------------------- */

static ptq_worker *spawn(struct ptt_scratch *scratch, const char *task)
{
    ptq_worker *worker;
    ptt_scratch_init(scratch);
    assert_ok(ptq_worker_spawn(scratch->bus, &(struct ptq_worker_options){.task = task, .spawn = {.name = "one"}}, &worker));
    return worker;
}

static void fini(struct ptt_scratch *scratch, ptq_worker *worker)
{
    ptq_worker_free(worker);
    assert_int_equal(ptt_scratch_files(scratch, ""), 0);
    ptt_scratch_fini(scratch);
}

static void expect(ptq_result *result, const char *text)
{
    assert_answer(PTQ_OK, ptq_result_code(result));
    assert_int_equal(ptq_result_size(result), strlen(text));
    assert_memory_equal(ptq_result_data(result), text, strlen(text));
    assert_ok(ptq_result_done(result));
}

static void call(ptq_worker *worker, const char *data, const char *wanted)
{
    ptq_result *result;
    assert_ok(ptq_worker_call(worker, data, strlen(data), PTT_LONG, &result));
    expect(result, wanted);
}

static void send_text(ptq_worker *worker, const char *text)
{
    assert_ok(ptq_worker_send(worker, text, strlen(text), PTT_LONG, NULL));
}

static void receive(ptq_worker *worker, const char *wanted)
{
    ptq_result *result;
    assert_ok(ptq_worker_recv(worker, PTT_LONG, &result));
    expect(result, wanted);
}

struct busy {
    ptq_worker *worker;
    const char *task;
};

static bool is_busy(void *context)
{
    const struct busy *busy = context;
    struct ptq_worker_status status;
    return ptq_worker_status(busy->worker, &status) == PTQ_OK && status.has_job && strcmp(status.task, busy->task) == 0;
}

/* Until it has that task in hand. */
static void wait_busy(ptq_worker *worker, const char *task)
{
    assert_true(ptt_wait_until(is_busy, &(struct busy){worker, task}, PTT_LONG));
}

/* From now on SIGTERM does nothing to it. */
static bool is_stubborn(void *context)
{
    char path[64], line[200];
    unsigned long long ignored = 0;
    snprintf(path, sizeof path, "/proc/%lld/status", (long long)*(int64_t *)context);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL && sscanf(line, "SigIgn: %llx", &ignored) != 1)
        ;
    if (file != NULL)
        fclose(file);
    return (ignored >> (SIGTERM - 1) & 1) != 0;
}

static int64_t pid_of(ptq_worker *worker)
{
    struct ptq_worker_status status;
    assert_ok(ptq_worker_status(worker, &status));
    return status.pid;
}

static void a_worker_is_called_and_answers(void **state)
{
    struct ptt_scratch scratch;

    (void)state;
    ptq_worker *worker = spawn(&scratch, "echo");
    call(worker, "hello", "hello");
    call(worker, "", "");
    assert_true(ptq_worker_is_alive(worker));
    fini(&scratch, worker);
}

static void what_is_sent_comes_back_in_order(void **state)
{
    struct ptt_scratch scratch;
    ptq_result *result;
    uint64_t ticket[100];
    char text[16];
    int fd;

    (void)state;
    ptq_worker *worker = spawn(&scratch, "echo");
    assert_answer(PTQ_EMPTY, ptq_worker_recv(worker, PTQ_NOWAIT, &result));
    assert_answer(PTQ_EMPTY, ptq_worker_recv(worker, PTQ_FOREVER, &result)); /* nothing was sent: nothing can come */
    for (unsigned i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "%u", i);
        assert_ok(ptq_worker_send(worker, text, strlen(text), PTT_LONG, &ticket[i]));
    }
    assert_ok(ptq_worker_fd(worker, &fd));
    assert_true(ptt_wait_readable(fd, PTT_LONG));
    assert_ok(ptq_worker_poll(worker, PTT_LONG));
    for (unsigned i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "%u", i);
        assert_ok(ptq_worker_recv(worker, PTT_LONG, &result));
        assert_int_equal(ptq_result_ticket(result), ticket[i]);
        expect(result, text);
    }
    assert_answer(PTQ_EMPTY, ptq_worker_poll(worker, PTQ_NOWAIT));
    fini(&scratch, worker);
}

static void the_task_changes_in_order_with_the_data(void **state)
{
    struct ptt_scratch scratch;

    (void)state;
    ptq_worker *worker = spawn(&scratch, "echo");
    send_text(worker, "1");
    assert_ok(ptq_worker_set_task(worker, "prefix", "a:", 2, PTT_LONG));
    send_text(worker, "2");
    send_text(worker, "3");
    assert_ok(ptq_worker_set_task(worker, "prefix", NULL, 0, PTT_LONG));
    send_text(worker, "4");
    assert_ok(ptq_worker_set_task(worker, "echo", NULL, 0, PTT_LONG));
    call(worker, "5", "5");
    receive(worker, "1");
    receive(worker, "a:2");
    receive(worker, "a:3");
    receive(worker, "4");
    fini(&scratch, worker);
}

static void static_data_is_bound_once(void **state)
{
    struct ptt_scratch scratch;
    char *text = malloc(4000);

    (void)state;
    memset(text, 's', 3500);
    text[3500] = 0;
    ptq_worker *worker = spawn(&scratch, "echo");
    assert_ok(ptq_worker_set_task(worker, "prefix", text, 3500, PTT_LONG));
    memset(text, 'x', 3500); /* a copy was taken */
    char *wanted = malloc(4000);
    for (char c = 'a'; c < 'd'; c++) {
        memset(wanted, 's', 3500);
        wanted[3500] = c;
        wanted[3501] = 0;
        call(worker, (char[2]){c, 0}, wanted);
    }
    free(text);
    free(wanted);
    fini(&scratch, worker);
}

/* A program with several tasks, none of which was set. */
static void without_a_task_data_is_an_error_and_the_worker_lives(void **state)
{
    struct ptt_scratch scratch;
    ptq_result *result;

    (void)state;
    ptq_worker *worker = spawn(&scratch, NULL);
    assert_ok(ptq_worker_set_task(worker, "echo", NULL, 0, PTT_LONG));
    assert_answer(PTQ_ENOTASK, ptq_worker_set_task(worker, "unheard-of", NULL, 0, PTT_LONG));
    call(worker, "x", "x");
    fini(&scratch, worker);

    worker = spawn(&scratch, NULL);
    if (ptq_task_register("here-only", picky, NULL) != PTQ_OK)
        abort();
    assert_ok(ptq_worker_set_task(worker, "here-only", NULL, 0, PTT_LONG));
    assert_ok(ptq_worker_call(worker, "x", 1, PTT_LONG, &result));
    assert_answer(PTQ_ENOTASK, ptq_result_code(result));
    assert_ok(ptq_result_done(result));
    assert_ok(ptq_worker_set_task(worker, "echo", NULL, 0, PTT_LONG));
    call(worker, "y", "y");
    fini(&scratch, worker);
}

/* There, what other calls had left in the pipe was read as the answer of the next. */
static void after_an_error_no_stale_result_is_taken_for_the_next(void **state)
{
    struct ptt_scratch scratch;
    ptq_result *result;

    (void)state;
    ptq_worker *worker = spawn(&scratch, "picky");
    send_text(worker, "1");
    send_text(worker, "bad");
    send_text(worker, "2");
    call(worker, "own", "own"); /* with all of them before it */
    receive(worker, "1");
    assert_ok(ptq_worker_recv(worker, PTT_LONG, &result));
    assert_answer(PTQ_EINVAL, ptq_result_code(result));
    assert_string_equal(ptq_result_text(result), "that is bad");
    assert_ok(ptq_result_done(result));
    call(worker, "more", "more");
    receive(worker, "2");
    fini(&scratch, worker);
}

static void the_result_of_a_call_that_was_given_up_is_thrown_away(void **state)
{
    struct ptt_scratch scratch;
    ptq_result *result;
    ptq_queue *way;

    (void)state;
    ptq_worker *worker = spawn(&scratch, "gate");
    assert_answer(PTQ_TIMEDOUT, ptq_worker_call(worker, "way", 3, 30, &result));
    assert_ok(ptq_queue_open(scratch.bus, "way", NULL, &way));
    assert_ok(ptq_put(way, NULL, 0, PTT_LONG));
    assert_ok(ptq_worker_set_task(worker, "echo", NULL, 0, PTT_LONG));
    call(worker, "x", "x");
    assert_answer(PTQ_EMPTY, ptq_worker_recv(worker, PTQ_NOWAIT, &result));
    ptq_queue_close(way);
    ptq_worker_free(worker);
    ptt_scratch_fini(&scratch);
}

static void a_worker_that_dies_says_how_and_can_be_started_again(void **state)
{
    struct ptt_scratch scratch;
    ptq_result *result;
    char text[300];

    (void)state;
    ptq_worker *worker = spawn(&scratch, "echo");
    send_text(worker, "before");
    assert_ok(ptq_worker_poll(worker, PTT_LONG));
    assert_answer(PTQ_EALREADY, ptq_worker_start(worker));
    pid_t pid = (pid_t)pid_of(worker);
    ptt_stop(pid); /* or it might be dead before the last is sent */
    assert_ok(ptq_worker_set_task(worker, "die", NULL, 0, PTT_LONG));
    send_text(worker, "x");
    send_text(worker, "never");
    ptt_continue(pid);
    receive(worker, "before");
    assert_answer(PTQ_EDIED, ptq_worker_recv(worker, PTT_LONG, &result));
    assert_false(ptq_worker_is_alive(worker));
    assert_answer(PTQ_EDIED, ptq_worker_send(worker, "x", 1, PTT_LONG, NULL));
    assert_answer(PTQ_EDIED, ptq_worker_call(worker, "x", 1, PTT_LONG, &result));
    struct ptq_worker_end end = ptq_worker_end(worker);
    assert_true(end.known && end.signaled);
    assert_int_equal(end.code, SIGKILL);
    ptt_assert_says(ptq_worker_explain(worker, PTQ_EDIED, text, sizeof text), "signal 9");

    assert_ok(ptq_worker_start(worker)); /* with the task that it had */
    assert_true(ptq_worker_is_alive(worker));
    assert_ok(ptq_worker_set_task(worker, "echo", NULL, 0, PTT_LONG));
    call(worker, "new", "new"); /* and nothing of before */
    assert_answer(PTQ_EMPTY, ptq_worker_recv(worker, PTQ_NOWAIT, &result));
    fini(&scratch, worker);
}

/* It exits with 0, as one that was closed, and is dead all the same. */
static void a_task_that_exits_ends_its_worker_and_recv_says_so(void **state)
{
    struct ptt_scratch scratch;
    ptq_result *result;

    (void)state;
    ptq_worker *worker = spawn(&scratch, "leave");
    send_text(worker, "x");
    assert_answer(PTQ_EDIED, ptq_worker_recv(worker, PTT_LONG, &result));
    assert_int_equal(ptq_worker_end(worker).code, 0);
    fini(&scratch, worker);
}

static void a_close_lets_it_finish_and_it_exits_with_0(void **state)
{
    struct ptt_scratch scratch;
    ptq_result *result;

    (void)state;
    ptq_worker *worker = spawn(&scratch, "echo");
    for (int i = 0; i < 5; i++)
        send_text(worker, "x");
    assert_ok(ptq_worker_close(worker, PTT_LONG));
    struct ptq_worker_end end = ptq_worker_end(worker);
    assert_true(end.known && !end.signaled);
    assert_int_equal(end.code, 0);
    for (int i = 0; i < 5; i++)
        receive(worker, "x");
    assert_answer(PTQ_END, ptq_worker_recv(worker, PTT_LONG, &result));
    assert_answer(PTQ_EENDED, ptq_worker_send(worker, "x", 1, PTT_LONG, NULL));
    assert_answer(PTQ_EENDED, ptq_worker_call(worker, "x", 1, PTT_LONG, &result));
    assert_ok(ptq_worker_close(worker, PTQ_NOWAIT)); /* again */
    assert_ok(ptq_worker_start(worker));
    call(worker, "y", "y");
    fini(&scratch, worker);
}

static void a_close_asks_then_terminates_then_kills_by_one_deadline(void **state)
{
    static const struct {
        const char *task;
        int timeout_ms, signal;
    } cases[] = {{"wait", 200, SIGTERM}, {"stubborn", 200, SIGKILL}, {"wait", 0, SIGKILL}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ptt_scratch scratch;
        ptq_worker *worker = spawn(&scratch, cases[i].task);
        send_text(worker, "x");
        wait_busy(worker, cases[i].task);
        int64_t pid = pid_of(worker);
        assert_true(cases[i].signal != SIGKILL || cases[i].timeout_ms == 0 || ptt_wait_until(is_stubborn, &pid, PTT_LONG));
        assert_ok(ptq_worker_close(worker, cases[i].timeout_ms));
        struct ptq_worker_end end = ptq_worker_end(worker);
        assert_true(end.signaled);
        assert_int_equal(end.code, cases[i].signal);
        ptq_result *result;
        assert_answer(PTQ_EENDED, ptq_worker_recv(worker, PTT_LONG, &result)); /* closed, and not all was done */
        fini(&scratch, worker);
    }
}

static void its_status_is_read_while_it_works(void **state)
{
    struct ptt_scratch scratch;
    struct ptq_worker_status status;
    ptq_queue *at, *way;
    uint64_t ticket;
    size_t size;

    (void)state;
    ptq_worker *worker = spawn(&scratch, "gate");
    send_text(worker, "way");
    send_text(worker, "way");
    assert_ok(ptq_queue_open(scratch.bus, "at", NULL, &at));
    assert_ok(ptq_queue_open(scratch.bus, "way", NULL, &way));
    assert_ok(ptq_recv(at, &ticket, sizeof ticket, PTT_LONG, &size));
    assert_ok(ptq_worker_status(worker, &status));
    assert_int_equal(status.state, PTQ_WORKER_WORKS);
    assert_string_equal(status.task, "gate");
    assert_true(status.has_job && status.busy_ns > 0);
    assert_ok(ptq_put(way, NULL, 0, PTT_LONG));
    assert_ok(ptq_put(way, NULL, 0, PTT_LONG));
    receive(worker, "way");
    receive(worker, "way");
    ptq_queue_close(at);
    ptq_queue_close(way);
    assert_ok(ptq_worker_close(worker, PTT_LONG));
    assert_answer(PTQ_EENDED, ptq_worker_status(worker, &status));
    ptq_worker_free(worker);
    ptt_scratch_fini(&scratch);
}

static void a_command_is_one_worker_too(void **state)
{
    struct ptt_scratch scratch;
    ptq_worker *worker;

    (void)state;
    ptt_scratch_init(&scratch);
    assert_ok(ptq_worker_spawn(scratch.bus, &(struct ptq_worker_options){.spawn = {.exec = "tr a-z A-Z"}}, &worker));
    call(worker, "loud", "LOUD");
    fini(&scratch, worker);
}

static void a_full_worker_blocks_who_sends(void **state)
{
    struct ptt_scratch scratch;
    ptq_worker *worker;
    unsigned sent = 0;
    enum ptq_err err;

    (void)state;
    ptt_scratch_init(&scratch);
    assert_ok(ptq_worker_spawn(scratch.bus, &(struct ptq_worker_options){.task = "wait", .capacity = 3}, &worker));
    do
        err = ptq_worker_send(worker, "x", 1, PTQ_NOWAIT, NULL);
    while (err == PTQ_OK && ++sent < 50);
    assert_answer(PTQ_FULL, err);
    assert_int_equal(sent, 3);
    wait_busy(worker, "wait"); /* what it has in hand is not received */
    assert_answer(PTQ_TIMEDOUT, ptq_worker_send(worker, "x", 1, 20, NULL));
    fini(&scratch, worker);
}

static unsigned fill(ptq_worker *worker)
{
    unsigned sent = 0;
    while (sent < 200 && ptq_worker_send(worker, "x", 1, PTQ_NOWAIT, NULL) == PTQ_OK)
        sent++;
    return sent;
}

/* Finished or not: it counts until it is received. */
static void what_is_sent_and_not_received_is_bounded_and_a_close_ends_well(void **state)
{
    struct ptt_scratch scratch;
    ptq_worker *worker;
    ptq_result *result;

    (void)state;
    ptt_scratch_init(&scratch);
    assert_ok(ptq_worker_spawn(scratch.bus, &(struct ptq_worker_options){.task = "echo", .capacity = 4}, &worker));
    for (unsigned round = 0; round < 40; round++) {
        assert_int_equal(fill(worker), 4);
        call(worker, "beside", "beside"); /* what was sent before is kept, and counts on */
        assert_int_equal(fill(worker), 0);
        assert_ok(ptq_worker_poll(worker, PTT_LONG));
        assert_int_equal(fill(worker), 0);
        assert_ok(ptq_worker_set_task(worker, "echo", NULL, 0, PTQ_NOWAIT)); /* does not count */
        receive(worker, "x");
        assert_int_equal(fill(worker), 1);
        for (unsigned i = 0; i < 4; i++)
            receive(worker, "x");
    }
    assert_int_equal(fill(worker), 4);
    assert_ok(ptq_worker_close(worker, PTT_LONG));
    struct ptq_worker_end end = ptq_worker_end(worker);
    assert_true(end.known && !end.signaled);
    assert_int_equal(end.code, 0);
    assert_answer(PTQ_EENDED, ptq_worker_send(worker, "x", 1, PTQ_NOWAIT, NULL));
    for (unsigned i = 0; i < 4; i++)
        receive(worker, "x");
    assert_answer(PTQ_END, ptq_worker_recv(worker, PTT_LONG, &result));
    fini(&scratch, worker);
}

static void calls_that_are_given_up_take_no_room_for_ever(void **state)
{
    struct ptt_scratch scratch;
    ptq_worker *worker;
    ptq_result *result;
    ptq_queue *way;

    (void)state;
    ptt_scratch_init(&scratch);
    assert_ok(ptq_worker_spawn(scratch.bus, &(struct ptq_worker_options){.task = "gate", .capacity = 2}, &worker));
    for (unsigned i = 0; i < 4; i++)
        assert_answer(PTQ_TIMEDOUT, ptq_worker_call(worker, "way", 3, 10, &result));
    assert_answer(PTQ_FULL, ptq_worker_send(worker, "way", 3, PTQ_NOWAIT, NULL));
    assert_ok(ptq_queue_open(scratch.bus, "way", NULL, &way));
    for (unsigned i = 0; i < 8; i++)
        assert_ok(ptq_put(way, NULL, 0, PTT_LONG));
    call(worker, "way", "way");
    assert_int_equal(fill(worker), 2);
    ptq_queue_close(way);
    ptq_worker_free(worker);
    ptt_scratch_fini(&scratch);
}

static void *send_one(void *worker)
{
    return (void *)(intptr_t)ptq_worker_send(worker, "y", 1, PTQ_FOREVER, NULL);
}

static void who_waits_to_send_is_let_in_by_a_recv_and_told_of_a_death(void **state)
{
    struct ptt_scratch scratch;
    ptq_worker *worker;
    ptq_result *result;
    pthread_t thread;
    void *answer;

    (void)state;
    ptt_scratch_init(&scratch);
    assert_ok(ptq_worker_spawn(scratch.bus, &(struct ptq_worker_options){.task = "echo", .capacity = 1}, &worker));
    send_text(worker, "x");
    assert_int_equal(pthread_create(&thread, NULL, send_one, worker), 0);
    assert_ok(ptq_worker_poll(worker, PTT_LONG));
    assert_ok(ptq_worker_recv(worker, PTT_LONG, &result));
    assert_ok(ptq_result_done(result));
    assert_int_equal(pthread_join(thread, &answer), 0);
    assert_answer(PTQ_OK, (enum ptq_err)(intptr_t)answer);
    receive(worker, "y");

    assert_ok(ptq_worker_set_task(worker, "die", NULL, 0, PTT_LONG));
    send_text(worker, "x");
    assert_int_equal(pthread_create(&thread, NULL, send_one, worker), 0);
    assert_int_equal(pthread_join(thread, &answer), 0);
    assert_answer(PTQ_EDIED, (enum ptq_err)(intptr_t)answer);
    fini(&scratch, worker);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_is_called_and_answers),
        cmocka_unit_test(what_is_sent_comes_back_in_order),
        cmocka_unit_test(the_task_changes_in_order_with_the_data),
        cmocka_unit_test(static_data_is_bound_once),
        cmocka_unit_test(after_an_error_no_stale_result_is_taken_for_the_next),
        cmocka_unit_test(the_result_of_a_call_that_was_given_up_is_thrown_away),
        cmocka_unit_test(a_worker_that_dies_says_how_and_can_be_started_again),
        cmocka_unit_test(a_task_that_exits_ends_its_worker_and_recv_says_so),
        cmocka_unit_test(a_close_lets_it_finish_and_it_exits_with_0),
        cmocka_unit_test(a_close_asks_then_terminates_then_kills_by_one_deadline),
        cmocka_unit_test(its_status_is_read_while_it_works),
        cmocka_unit_test(a_command_is_one_worker_too),
        cmocka_unit_test(a_full_worker_blocks_who_sends),
        cmocka_unit_test(what_is_sent_and_not_received_is_bounded_and_a_close_ends_well),
        cmocka_unit_test(calls_that_are_given_up_take_no_room_for_ever),
        cmocka_unit_test(who_waits_to_send_is_let_in_by_a_recv_and_told_of_a_death),
        cmocka_unit_test(without_a_task_data_is_an_error_and_the_worker_lives), /* last: it adds a task */
    };
    static const struct pools_task tasks[] = {{"prefix", prefix}, {"picky", picky}, {"wait", wait_long}, {"stubborn", stubborn}, {"leave", leave_quietly}};
    pools_register();
    pools_register_tasks(tasks, sizeof tasks / sizeof tasks[0]);
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
