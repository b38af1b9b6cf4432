/* test_chaos.c -- submitters, workers and getters are killed at random, and the ledger is right all the same.
 *
 * The ledger is memory that everybody shares: which jobs a submit has promised, which tickets and jobs have come out.  After a
 * getter's death the next one must begin with the ticket that was out and not done, flagged, or with the one behind it.  Besides,
 * the history of all calls is checked (stress/history.h).
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ptq/metrics.h>

#include "base/time.h"
#include "pool/pool.h"
#include "pools.h"
#include "stress/history.h"
#include "stress/totals.h"

enum { JOBS_MAX = 1 << 20, SUBMITTERS = 2, WORKERS = 3 };

enum fault { /* what a getter found wrong */
    NO_FAULT,
    WRONG_TICKET,
    NOT_FLAGGED,
    ERROR_RESULT,
    WRONG_DATA,
    TWICE,
    WRONG_ANSWER
};

struct ledger {
    struct ptt_scratch *scratch;
    struct history *history;        /* a submit is a put, its ticket the place; a result is a get, done its ack */
    _Atomic uint64_t next_id;       /* of a job */
    _Atomic uint64_t enough;        /* submitters stop at this id */
    _Atomic uint64_t first_ticket, got; /* first; the last that came out, 0: none yet */
    _Atomic uint64_t fault, fault_ticket, fault_detail;
    _Atomic uint64_t retried, markers;
    _Atomic uint8_t promised[JOBS_MAX];
    _Atomic uint64_t came[JOBS_MAX]; /* by which ticket; 0: not yet */
};

/* -- roles ---------------------------------------------------------------------------------------------------- */

static ptq_pool *open_pool(struct ledger *ledger)
{
    ptq_pool *pool = NULL;
    ptq_bus *bus = ptt_scratch_open(ledger->scratch);
    struct ptq_pool_options options = {.mode = PTQ_ATTACH, .lives = 200};
    return ptq_pool_open(bus, "pool", &options, &pool) == PTQ_OK ? pool : NULL;
}

static int submit_jobs(void *context)
{
    struct ledger *ledger = context;
    ptq_pool *pool = open_pool(ledger);
    struct history_writer writer;

    if (pool == NULL)
        return 1;
    history_live(&writer, ledger->history);
    for (;;) {
        uint64_t id = atomic_fetch_add(&ledger->next_id, 1), ticket;
        if (id >= atomic_load(&ledger->enough) || id >= JOBS_MAX)
            return 0;
        struct history_event *event = history_begin(&writer, HISTORY_PUT, 0, (uint32_t)id);
        enum ptq_err err = id % 64 == 0 ? ptq_pool_submit_marker(pool, &id, sizeof id, PTQ_FOREVER, &ticket)
                                        : ptq_pool_submit(pool, id % 4 == 0 ? "spin" : "echo", &id, sizeof id, PTQ_FOREVER, &ticket);
        if (err != PTQ_OK)
            return 2;
        event->place = ticket << 16;
        history_end(event, err);
        atomic_store(&ledger->promised[id], 1);
    }
}

static void find_fault(struct ledger *ledger, enum fault fault, uint64_t ticket, uint64_t detail)
{
    uint64_t none = NO_FAULT;
    if (!atomic_compare_exchange_strong(&ledger->fault, &none, fault))
        return;
    atomic_store(&ledger->fault_ticket, ticket);
    atomic_store(&ledger->fault_detail, detail);
}

/* A result that nobody has had yet, or nobody who came as far as to note its ticket. */
static void book(struct ledger *ledger, const ptq_result *result)
{
    uint64_t ticket = ptq_result_ticket(result), id;

    if (ptq_result_kind(result) == PTQ_RESULT_ERROR) {
        find_fault(ledger, ERROR_RESULT, ticket, (uint64_t)ptq_result_code(result));
        return;
    }
    if (ptq_result_size(result) != sizeof id) {
        find_fault(ledger, WRONG_DATA, ticket, ptq_result_size(result));
        return;
    }
    memcpy(&id, ptq_result_data(result), sizeof id);
    bool is_marker = ptq_result_kind(result) == PTQ_RESULT_MARKER;
    uint64_t other = 0;
    if (id >= JOBS_MAX || is_marker != (id % 64 == 0))
        find_fault(ledger, WRONG_DATA, ticket, id);
    else if (!atomic_compare_exchange_strong(&ledger->came[id], &other, ticket) && other != ticket)
        find_fault(ledger, TWICE, ticket, id);
    atomic_fetch_add(is_marker ? &ledger->markers : &ledger->retried, is_marker ? 1 : ptq_result_tries(result) - 1);
}

/* Kills come between any two of these lines. */
static void check(struct ledger *ledger, const ptq_result *result)
{
    uint64_t ticket = ptq_result_ticket(result), got = atomic_load(&ledger->got);

    if (ticket == got) {
        if (!ptq_result_redelivered(result))
            find_fault(ledger, NOT_FLAGGED, ticket, got);
        return;
    }
    if (got != 0 ? ticket != got + 1 : ticket != atomic_load(&ledger->first_ticket))
        find_fault(ledger, WRONG_TICKET, ticket, got);
    book(ledger, result); /* first: who is killed behind it has another book the same, and not nobody */
    atomic_store(&ledger->got, ticket);
}

static uint32_t id_of(const ptq_result *result)
{
    uint64_t id = 0;

    if (ptq_result_size(result) == sizeof id)
        memcpy(&id, ptq_result_data(result), sizeof id);
    return (uint32_t)id;
}

static enum ptq_err get_result(struct ledger *ledger, struct history_writer *writer, ptq_pool *pool, ptq_result **ret_result)
{
    struct history_event *event = history_begin(writer, HISTORY_GET, 0, HISTORY_NOBODY);
    enum ptq_err err = ptq_pool_get(pool, PTQ_FOREVER, ret_result);

    if (err == PTQ_OK) {
        event->value = id_of(*ret_result);
        event->place = ptq_result_ticket(*ret_result) << 16;
        event->what |= (uint8_t)((ptq_result_redelivered(*ret_result) ? HISTORY_REDELIVERED : 0) << 4);
        check(ledger, *ret_result);
    }
    history_end(event, err);
    return err;
}

static enum ptq_err settle(struct history_writer *writer, ptq_result *result)
{
    struct history_event *event = history_begin(writer, HISTORY_ACK, 0, id_of(result));
    enum ptq_err err = ptq_result_done(result);

    history_end(event, err);
    return err;
}

static int get_results(void *context)
{
    struct ledger *ledger = context;
    ptq_pool *pool = open_pool(ledger);
    struct history_writer writer;
    ptq_result *result;
    enum ptq_err err;

    if (pool == NULL)
        return 1;
    history_live(&writer, ledger->history);
    while ((err = get_result(ledger, &writer, pool, &result)) == PTQ_OK)
        if (settle(&writer, result) != PTQ_OK)
            return 2;
    if (err != PTQ_END)
        find_fault(ledger, WRONG_ANSWER, 0, (uint64_t)err);
    return 0;
}

/* -- the test ------------------------------------------------------------------------------------------------- */

static bool is_over(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/* A killed one is followed by another. */
static void kill_and_replace(pid_t *pid, int (*role)(void *context), struct ledger *ledger, unsigned *kills)
{
    if (is_over(*pid))
        return;
    ptt_kill(*pid);
    (*kills)++;
    *pid = ptt_fork(role, ledger);
}

static void verify(struct pools *pools, const char *name)
{
    struct ptq_verify_report report;
    ptq_view *view;
    assert_ok(ptq_view_open(pools->scratch.bus, name, NULL, &view));
    assert_ok(ptq_view_verify(view, NULL, NULL, &report));
    assert_true(report.quiet);
    ptq_view_close(view);
}

static void assert_ledger(struct ledger *ledger, struct pools *pools)
{
    struct ptq_pool_stats stats;
    uint64_t promised = 0, came = 0, ids = atomic_load(&ledger->next_id);

    if (atomic_load(&ledger->fault) != NO_FAULT)
        fail_msg("fault %d at ticket %llu, last got %llu: %llu", (int)ledger->fault, (unsigned long long)ledger->fault_ticket,
                 (unsigned long long)ledger->got, (unsigned long long)ledger->fault_detail);
    for (uint64_t id = 0; id < ids && id < JOBS_MAX; id++) {
        if (ledger->promised[id] && !ledger->came[id])
            fail_msg("job %llu was promised and did not come", (unsigned long long)id);
        promised += ledger->promised[id];
        came += ledger->came[id] != 0;
    }
    assert_ok(ptq_pool_stats(pools->pool, &stats));
    assert_int_equal(stats.submitted, came);
    assert_int_equal(stats.queued + stats.running + stats.held, 0);
    print_message("%llu jobs promised, %llu came out, %llu runs were repeated, %llu markers\n", (unsigned long long)promised,
                  (unsigned long long)came, (unsigned long long)ledger->retried, (unsigned long long)ledger->markers);
}

/* Whoever is killed, each job is one message from submit to done. */
static void check_history(struct ledger *ledger, unsigned kills)
{
    struct history_rules rules = {.has_ended = true};
    struct history_report report;

    if (!history_check(ledger->history, &rules, &report)) {
        history_tell(ledger->history, report.value);
        fail_msg("history: %s (%llu in all)", report.text, (unsigned long long)report.violations);
    }
    assert_true(report.takes > 0);
    totals_add_history(&report);
    totals_add(TOTAL_PUT, report.puts);
    totals_add(TOTAL_KILLS, kills);
    totals_add(TOTAL_ROUNDS, 1);
    history_free(ledger->history);
}

static void run_chaos(uint64_t window, uint64_t capacity, int64_t ms)
{
    struct pools pools;
    uint64_t random = ptt_seed();
    unsigned kills[3] = {0};
    pid_t submitters[SUBMITTERS], getter;
    struct ledger *ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(ledger != MAP_FAILED);
    pools_init(&pools, &(struct ptq_pool_options){.window = window, .capacity = capacity, .item_size = 64, .result_size = 64},
               0);
    ledger->scratch = &pools.scratch;
    ledger->history = history_new(UINT64_C(1) << 23);
    assert_non_null(ledger->history);
    ledger->enough = JOBS_MAX;
    uint64_t first;
    assert_ok(pti_queue_head(pools.pool->jobs, &first));
    atomic_store(&ledger->first_ticket, first);
    getter = ptt_fork(get_results, ledger);
    for (unsigned i = 0; i < SUBMITTERS; i++)
        submitters[i] = ptt_fork(submit_jobs, ledger);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = WORKERS, .crash_limit = 1000000}));

    int64_t end = pti_now_ns() + ms * PTI_NS_PER_MS;
    while (pti_now_ns() < end) {
        int64_t pids[WORKERS];
        assert_answer(PTQ_TIMEDOUT, ptq_pool_supervise(pools.pool, 1 + (int)(ptt_random(&random) % 20)));
        size_t alive = ptq_pool_worker_pids(pools.pool, pids, WORKERS);
        unsigned dice = (unsigned)(ptt_random(&random) % 10);
        if (dice < 6 && alive > 0) {
            kill((pid_t)pids[ptt_random(&random) % alive], SIGKILL);
            kills[0]++;
        } else if (dice < 8) {
            kill_and_replace(&getter, get_results, ledger, &kills[1]);
        } else {
            kill_and_replace(&submitters[dice - 8], submit_jobs, ledger, &kills[2]);
        }
    }
    atomic_store(&ledger->enough, 0);
    for (unsigned i = 0; i < SUBMITTERS; i++) {
        int64_t deadline = pti_now_ns() + PTT_LONG * PTI_NS_PER_MS;
        while (!is_over(submitters[i]) && pti_now_ns() < deadline)
            assert_answer(PTQ_TIMEDOUT, ptq_pool_supervise(pools.pool, 10));
        ptt_assert_exit(submitters[i], 0, PTT_LONG);
    }
    struct history_writer writer;
    history_live(&writer, ledger->history);
    struct history_event *event = history_begin(&writer, HISTORY_CLOSE, 0, HISTORY_NOBODY);
    assert_ok(ptq_pool_stop(pools.pool));
    history_end(event, PTQ_OK);
    assert_ok(ptq_pool_supervise(pools.pool, PTT_LONG));
    ptt_assert_exit(getter, 0, PTT_LONG);

    assert_ledger(ledger, &pools);
    check_history(ledger, kills[0] + kills[1] + kills[2]);
    print_message("killed: %u workers, %u getters, %u submitters\n", kills[0], kills[1], kills[2]);
    verify(&pools, "pool.jobs");
    verify(&pools, "pool.done");
    pools_fini(&pools);
    munmap(ledger, sizeof *ledger);
}

static void everybody_is_killed_and_the_ledger_is_right(void **state)
{
    (void)state;
    run_chaos(16, 64, 4000);
}

static void everybody_is_killed_around_the_smallest_window(void **state)
{
    (void)state;
    run_chaos(1, 1, 2000);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_is_killed_and_the_ledger_is_right),
        cmocka_unit_test(everybody_is_killed_around_the_smallest_window),
    };
    pools_register();
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
