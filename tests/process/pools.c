/* pools.c -- scratch pools, gates, tasks. */
#include "pools.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "pool/pool.h"

/* -- tasks ---------------------------------------------------------------------------------------------------- */

static enum ptq_err echo(ptq_task *task, const void *data, size_t size)
{
    return ptq_task_result(task, data, size);
}

/* Worker processes use the bus of their pool. */
static enum ptq_err open_queue(ptq_task *task, const char *name, ptq_queue **ret_queue)
{
    return ptq_queue_open(task->worker->pool->bus, name, NULL, ret_queue);
}

static enum ptq_err gate(ptq_task *task, const void *data, size_t size)
{
    char name[64];
    uint64_t ticket = ptq_task_ticket(task);
    ptq_queue *at = NULL, *way = NULL;
    size_t got;

    snprintf(name, sizeof name, "%.*s", (int)size, (const char *)data);
    enum ptq_err err = open_queue(task, "at", &at);
    if (err == PTQ_OK)
        err = open_queue(task, name, &way);
    if (err == PTQ_OK)
        err = ptq_put(at, &ticket, sizeof ticket, PTT_LONG);
    if (err == PTQ_OK)
        err = ptq_recv(way, NULL, 0, PTT_LONG, &got);
    ptq_queue_close(at);
    ptq_queue_close(way);
    return err == PTQ_OK ? ptq_task_result(task, data, size) : err;
}

static enum ptq_err die(ptq_task *task, const void *data, size_t size)
{
    (void)task;
    (void)data;
    (void)size;
    raise(SIGKILL);
    return PTQ_OK;
}

static enum ptq_err die_once(ptq_task *task, const void *data, size_t size)
{
    if (ptq_task_tries(task) == 1)
        raise(SIGKILL);
    return ptq_task_result(task, data, size);
}

static enum ptq_err failing(ptq_task *task, const void *data, size_t size)
{
    return ptq_task_fail(task, PTQ_EFAILED, "%.*s", (int)size, (const char *)data);
}

static enum ptq_err big(ptq_task *task, const void *data, size_t size)
{
    char number[16];
    snprintf(number, sizeof number, "%.*s", (int)size, (const char *)data);
    for (long left = atol(number); left > 0; left -= 100) {
        char bytes[100];
        memset(bytes, 'b', sizeof bytes);
        (void)ptq_task_emit(task, bytes, left < 100 ? (size_t)left : 100);
    }
    return PTQ_OK;
}

/* Echoes after some work. */
static enum ptq_err spin(ptq_task *task, const void *data, size_t size)
{
    int64_t end = pti_now_ns() + (int64_t)(ptq_task_ticket(task) % 8) * 100000;
    while (pti_now_ns() < end)
        ;
    return ptq_task_result(task, data, size);
}

static enum ptq_err tell_pid(ptq_task *task, const void *data, size_t size)
{
    char text[32];
    (void)data;
    (void)size;
    return ptq_task_result(task, text, (size_t)snprintf(text, sizeof text, "%d", (int)getpid()));
}

/* Its data says what each run does. */
static enum ptq_err plan(ptq_task *task, const void *data, size_t size)
{
    const char *runs = data;
    uint32_t run = ptq_task_tries(task) - 1;
    if (run >= size)
        return ptq_task_fail(task, PTQ_EINVAL, "run %u was not planned", run + 1);
    if (runs[run] == 'd')
        raise(SIGKILL);
    if (runs[run] == 'f' || runs[run] == 't')
        return ptq_task_fail(task, runs[run] == 'f' ? PTQ_EFAILED : PTQ_TIMEDOUT, "run %u failed", run + 1);
    return ptq_task_result(task, data, size);
}

/* Tells queue "at" its ticket, and stays. */
static enum ptq_err hang(ptq_task *task, const void *data, size_t size)
{
    uint64_t ticket = ptq_task_ticket(task);
    ptq_queue *at = NULL;
    (void)data;
    (void)size;
    enum ptq_err err = open_queue(task, "at", &at);
    if (err == PTQ_OK)
        err = ptq_put(at, &ticket, sizeof ticket, PTT_LONG);
    while (err == PTQ_OK)
        pause();
    return err;
}

/* Hangs until it is told, and says that it was. */
static enum ptq_err look(ptq_task *task, const void *data, size_t size)
{
    while (!ptq_task_cancelled(task))
        (void)usleep(1000);
    return ptq_task_result(task, data, size);
}

static enum ptq_err stop_once(ptq_task *task, const void *data, size_t size)
{
    if (ptq_task_tries(task) == 1)
        raise(SIGSTOP);
    return ptq_task_result(task, data, size);
}

static enum ptq_err stop_then_hang(ptq_task *task, const void *data, size_t size)
{
    if (ptq_task_tries(task) == 1)
        raise(SIGSTOP);
    return hang(task, data, size);
}

void pools_register(void)
{
    static const struct pools_task tasks[] = {{"echo", echo}, {"gate", gate},  {"die", die},     {"die-once", die_once},
                 {"fail", failing}, {"big", big}, {"pid", tell_pid}, {"spin", spin}, {"plan", plan},
                 {"hang", hang}, {"look", look}, {"stop-once", stop_once}, {"stop-then-hang", stop_then_hang}};
    pools_register_tasks(tasks, sizeof tasks / sizeof *tasks);
}

void pools_register_tasks(const struct pools_task *tasks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ptq_task_register(tasks[i].name, tasks[i].fn, NULL) != PTQ_OK)
            abort();
}

/* -- the test's side ------------------------------------------------------------------------------------------ */

void pools_init(struct pools *pools, const struct ptq_pool_options *options, uint64_t start)
{
    struct pti_open test = {.start = start};
    struct ptq_error error = {0};
    struct ptq_pool_options own = {0};

    ptt_scratch_init(&pools->scratch);
    if (options != NULL)
        own = *options;
    own.error = &error;
    if (pti_pool_open(pools->scratch.bus, "pool", &own, &test, &pools->pool) != PTQ_OK)
        fail_msg("cannot open the pool: %s", error.text);
}

void pools_fini(struct pools *pools)
{
    ptq_pool_close(pools->pool);
    pools->pool = NULL;
    ptt_scratch_fini(&pools->scratch);
}

void pools_open_gate(struct pools *pools, const char *name)
{
    ptq_queue *queue;
    assert_ok(ptq_queue_open(pools->scratch.bus, name, NULL, &queue));
    assert_ok(ptq_put(queue, NULL, 0, PTT_LONG));
    ptq_queue_close(queue);
}

void pools_wait_at_gates(struct pools *pools, unsigned count)
{
    ptq_queue *queue;
    assert_ok(ptq_queue_open(pools->scratch.bus, "at", NULL, &queue));
    for (unsigned i = 0; i < count; i++) {
        uint64_t ticket;
        size_t size;
        assert_ok(ptq_recv(queue, &ticket, sizeof ticket, PTT_LONG, &size));
    }
    ptq_queue_close(queue);
}

void pools_spawn(struct pools *pools, unsigned count)
{
    struct ptq_error error = {0};
    if (ptq_pool_spawn(pools->pool, &(struct ptq_spawn_options){.count = count, .error = &error}) != PTQ_OK)
        fail_msg("cannot spawn: %s", error.text);
}

uint64_t pools_submit(struct pools *pools, const char *task, const char *text)
{
    uint64_t ticket = 0;
    assert_ok(ptq_pool_submit(pools->pool, task, text, strlen(text), PTT_LONG, &ticket));
    return ticket;
}

ptq_result *pools_get(struct pools *pools)
{
    ptq_result *result = NULL;
    assert_ok(ptq_pool_get(pools->pool, PTT_LONG, &result));
    return result;
}

void pools_expect(struct pools *pools, uint64_t ticket, const char *text)
{
    ptq_result *result = pools_get(pools);
    if (ptq_result_kind(result) == PTQ_RESULT_ERROR)
        fail_msg("an error instead of '%s': %s: %s", text, ptq_err_name(ptq_result_code(result)), ptq_result_text(result));
    assert_int_equal(ptq_result_ticket(result), ticket);
    assert_int_equal(ptq_result_size(result), strlen(text));
    assert_memory_equal(ptq_result_data(result), text, strlen(text));
    assert_ok(ptq_result_done(result));
}

void pools_expect_error(struct pools *pools, uint64_t ticket, enum ptq_err code)
{
    ptq_result *result = pools_get(pools);
    assert_int_equal(ptq_result_ticket(result), ticket);
    assert_int_equal(ptq_result_kind(result), PTQ_RESULT_ERROR);
    assert_answer(code, ptq_result_code(result));
    assert_true(ptq_result_text(result)[0] != 0);
    assert_int_equal(ptq_result_size(result), 0);
    assert_ok(ptq_result_done(result));
}

void pools_expect_end(struct pools *pools)
{
    ptq_result *result = NULL;
    assert_answer(PTQ_END, ptq_pool_get(pools->pool, PTT_LONG, &result));
    assert_null(result);
}

struct wish {
    ptq_pool *pool;
    bool (*is_true)(const struct ptq_pool_stats *stats, uint64_t value);
    uint64_t value;
};

static bool is_fulfilled(void *context)
{
    struct wish *wish = context;
    struct ptq_pool_stats stats;
    return ptq_pool_stats(wish->pool, &stats) == PTQ_OK && wish->is_true(&stats, wish->value);
}

bool pools_wait_stats(struct pools *pools, bool (*is_true)(const struct ptq_pool_stats *stats, uint64_t value),
                      uint64_t value)
{
    return ptt_wait_until(is_fulfilled, &(struct wish){pools->pool, is_true, value}, PTT_LONG);
}

bool pools_have_finished(const struct ptq_pool_stats *stats, uint64_t count)
{
    return stats->ready + stats->held >= count;
}

void pools_pass_by(struct pools *pools, const char *gate, unsigned count)
{
    uint64_t first = pools_submit(pools, "gate", gate);
    pools_wait_at_gates(pools, 1);
    for (unsigned i = 1; i <= count; i++)
        pools_submit(pools, "echo", "x");
    assert_true(pools_wait_stats(pools, pools_have_finished, count)); /* all of them, while it is at its gate */
    pools_open_gate(pools, gate);
    pools_expect(pools, first, gate);
    for (unsigned i = 1; i <= count; i++)
        pools_expect(pools, first + i, "x");
}
