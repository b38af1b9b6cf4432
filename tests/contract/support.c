/* support.c -- what the contract cases share. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "contract/contract.h"

static const long differences[DIFFERENCE_COUNT][2] = {
#define DIFFERENCE(name, local, remote, sentence) {local, remote},
#include "contract/differences.def"
#undef DIFFERENCE
};

/* Where a queue behind the bridge of this host differs from one behind a link. */
static const struct {
    enum contract_difference difference;
    long value;
} through_bridge[] = {
#define THROUGH_BRIDGE(name, value) {DIFFERENCE_##name, value},
#include "contract/through_bridge.def"
#undef THROUGH_BRIDGE
};

const struct contract_carrier *contract_carrier_named(const char *name)
{
    for (size_t i = 0; contract_carriers[i] != NULL; i++)
        if (strcmp(contract_carriers[i]->name, name) == 0)
            return contract_carriers[i];
    return NULL;
}

long contract_differs(const struct contract *c, enum contract_difference difference)
{
    for (size_t i = 0; c->carrier->bridge && i < sizeof through_bridge / sizeof *through_bridge; i++)
        if (through_bridge[i].difference == difference)
            return through_bridge[i].value;
    return differences[difference][c->carrier->remote];
}

void contract_skip_if(const struct contract *c, enum contract_difference difference)
{
    static const char *const sentences[DIFFERENCE_COUNT] = {
#define DIFFERENCE(name, local, remote, sentence) sentence,
#include "contract/differences.def"
#undef DIFFERENCE
    };

    if (contract_differs(c, difference) == 0)
        return;
    print_message("skipped, %s: %s\n", c->carrier->name, sentences[difference]);
    skip();
}

const char *contract_address(const struct contract *c, const char *name)
{
    static _Thread_local char addresses[8][PTQ_NAME_MAX + 64];
    static _Thread_local unsigned next;
    char *address = addresses[next++ % 8];

    snprintf(address, sizeof addresses[0], "%s%s", name, c->carrier->suffix);
    return address;
}

ptq_queue *contract_open(struct contract *c, const char *name, const struct ptq_queue_options *options)
{
    struct ptq_error error = {0};
    struct ptq_queue_options asked = options != NULL ? *options : (struct ptq_queue_options){0};
    ptq_queue *queue = NULL;

    asked.error = &error;
    enum ptq_err err = ptq_queue_open(c->bus, contract_address(c, name), &asked, &queue);
    if (err != PTQ_OK)
        fail_msg("open of '%s' answered %s: %s", name, ptq_err_name(err), error.text);
    return queue;
}

ptq_queue *contract_open_sized(struct contract *c, const char *name, uint64_t capacity, uint32_t item_size)
{
    return contract_open(c, name, &(struct ptq_queue_options){.capacity = capacity, .item_size = item_size});
}

void contract_fill(void *data, size_t size, uint64_t seed)
{
    unsigned char *bytes = data;
    uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

    for (size_t i = 0; i < size; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        bytes[i] = (unsigned char)(state >> 56);
    }
}

bool contract_is_filled(const void *data, size_t size, uint64_t seed)
{
    const unsigned char *bytes = data;
    uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

    for (size_t i = 0; i < size; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        if (bytes[i] != (unsigned char)(state >> 56))
            return false;
    }
    return true;
}

void put_number(ptq_queue *queue, uint64_t number)
{
    assert_ok(ptq_put(queue, &number, sizeof number, PTQ_NOWAIT));
}

uint64_t recv_number(ptq_queue *queue)
{
    uint64_t number = 0;
    size_t size = 0;

    assert_ok(ptq_recv(queue, &number, sizeof number, PTT_LONG, &size));
    assert_int_equal(size, sizeof number);
    return number;
}

uint64_t number_of(const ptq_msg *msg)
{
    uint64_t number = 0;

    assert_int_equal(ptq_msg_size(msg), sizeof number);
    memcpy(&number, ptq_msg_data(msg), sizeof number);
    return number;
}

void put_range(ptq_queue *queue, uint64_t from, uint64_t below)
{
    for (uint64_t i = from; i < below; i++)
        put_number(queue, i);
}

void recv_range(ptq_queue *queue, uint64_t from, uint64_t below)
{
    for (uint64_t i = from; i < below; i++)
        assert_int_equal(recv_number(queue), i);
}

ptq_msg *get_number(ptq_queue *queue, uint64_t expected)
{
    ptq_msg *msg = NULL;

    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_int_equal(number_of(msg), expected);
    return msg;
}

ptq_msg *get_when_due(ptq_queue *queue, uint64_t expected, int64_t due_ms)
{
    ptq_msg *msg = NULL;
    enum ptq_err err = ptq_get(queue, PTQ_NOWAIT, &msg);

    if (err == PTQ_EMPTY)
        err = ptq_get(queue, PTT_LONG, &msg);
    assert_ok(err);
    assert_true(contract_now_ms() >= due_ms - 1);
    assert_int_equal(number_of(msg), expected);
    return msg;
}

struct ptq_queue_stats contract_stats(ptq_queue *queue)
{
    struct ptq_queue_stats stats = {0};

    assert_ok(ptq_queue_stats(queue, &stats));
    return stats;
}

static void print_finding(const char *finding, void *context)
{
    print_error("%s: %s\n", (const char *)context, finding);
}

bool contract_becomes_quiet(ptq_queue *queue, int fd)
{
    for (int i = 0; i < 20; i++) {
        assert_get(PTQ_EMPTY, queue);
        if (!ptt_wait_readable(fd, 0) && !ptt_wait_readable(fd, 20))
            return true;
    }
    return false;
}

void contract_verify(struct contract *c, const char *name)
{
    struct ptq_verify_report report = {0};
    struct ptq_error error = {0};
    ptq_view *view = NULL;

    if (ptq_view_open(c->home.bus, name, &error, &view) != PTQ_OK)
        fail_msg("%s", error.text);
    assert_ok(ptq_view_verify(view, print_finding, (void *)(uintptr_t)name, &report));
    ptq_view_close(view);
    assert_true(report.quiet);
    assert_int_equal(report.imbalance, 0);
    assert_int_equal(report.findings, 0);
    assert_int_equal(report.put,
                     report.ready + report.leased + report.delayed + report.dead + report.acked + report.dropped);
}

/* ---- threads */

enum ptq_err call_get(struct caller *caller)
{
    ptq_msg *msg = NULL;
    enum ptq_err err = ptq_get(caller->queue, caller->timeout_ms, &msg);

    if (err != PTQ_OK)
        return err;
    memcpy(&caller->number, ptq_msg_data(msg), sizeof caller->number);
    return ptq_ack(msg);
}

enum ptq_err call_put(struct caller *caller)
{
    return ptq_put(caller->queue, &caller->number, sizeof caller->number, caller->timeout_ms);
}

enum ptq_err call_put_many(struct caller *caller)
{
    uint64_t numbers[64];
    struct ptq_bytes items[64];

    for (size_t i = 0; i < caller->count; i++) {
        numbers[i] = caller->number + i;
        items[i] = (struct ptq_bytes){&numbers[i], sizeof numbers[i]};
    }
    return ptq_put_many(caller->queue, items, caller->count, caller->timeout_ms, NULL);
}

static void *run_caller(void *context)
{
    struct caller *caller = context;

    caller->tid = (uint64_t)syscall(SYS_gettid);
    caller->answer = caller->call(caller);
    caller->done = 1;
    return NULL;
}

void caller_start(struct caller *caller)
{
    caller->tid = caller->done = 0;
    assert_int_equal(pthread_create(&caller->thread, NULL, run_caller, caller), 0);
}

void caller_start_sleeping(struct caller *caller)
{
    caller_start(caller);
    assert_true(ptt_wait_word(&caller->tid, 1, PTT_LONG));
    assert_true(ptt_wait_sleeping(getpid(), (pid_t)caller->tid, PTT_LONG));
    assert_int_equal(caller->done, 0);
}

bool caller_is_done(struct caller *caller, int within_ms)
{
    return ptt_wait_word(&caller->done, 1, within_ms);
}

enum ptq_err caller_join(struct caller *caller)
{
    if (!caller_is_done(caller, PTT_LONG)) {
        print_error("a call never came back\n");
        abort(); /* its thread would run on in freed memory */
    }
    pthread_join(caller->thread, NULL);
    return caller->answer;
}

int64_t contract_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
