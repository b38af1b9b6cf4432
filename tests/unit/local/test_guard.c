/* test_guard.c -- PTQ_GUARD: whoever truncates a queue's file gets nobody killed. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ptq/metrics.h>
#include <ptq/ptq.h>

#include "bus/bus.h"
#include "support/ptt.h"

static ptq_bus *bus_of(void **state) { return ((struct ptt_scratch *)*state)->bus; }

static ptq_bus *open_guarded(void **state)
{
    struct ptq_bus_options options = {.dir = ((struct ptt_scratch *)*state)->dir, .guard = true};
    ptq_bus *bus;

    assert_ok(ptq_bus_open(ptq_bus_run(bus_of(state)), &options, &bus));
    return bus;
}

static void truncate_queue(ptq_bus *bus, const char *name, off_t size)
{
    char file[PTI_FILE_NAME_MAX];
    int fd;

    pti_segment_file(name, file, sizeof file);
    fd = openat(bus->dirfd, file, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    close(fd);
}

/* After the file lost all beyond `size` bytes every call ends, with an answer of its own; from the first that met the damage
 * on it is PTQ_ECORRUPT. */
static void use_after(void **state, off_t size)
{
    ptq_bus *bus = open_guarded(state);
    ptq_queue *queue;
    ptq_view *view;
    ptq_msg *msg, *loan;
    struct ptq_queue_stats stats;
    struct ptq_verify_report report;
    const char *bytes;
    char buffer[4096];
    size_t got;

    assert_ok(ptq_queue_open(bus, "q", NULL, &queue));
    assert_ok(ptq_put(queue, "hello", 5, PTQ_NOWAIT));
    assert_ok(ptq_put(queue, "more", 4, PTQ_NOWAIT));
    assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
    assert_ok(ptq_loan(queue, 100, PTQ_NOWAIT, &loan));
    assert_ok(ptq_view_open(bus, "q", NULL, &view));
    bytes = ptq_msg_data(msg);

    truncate_queue(bus, "q", size);

    assert_true(bytes[0] == 'h' || bytes[0] == 0);
    memset(ptq_msg_buffer(loan), 'x', 100);
    (void)!ptq_publish(loan, 100, PTQ_NOWAIT, NULL);
    (void)ptq_ack(msg);
    assert_answer(PTQ_ECORRUPT, ptq_put(queue, "again", 5, PTQ_NOWAIT));
    assert_answer(PTQ_ECORRUPT, ptq_recv(queue, buffer, sizeof buffer, PTQ_NOWAIT, &got));
    assert_answer(PTQ_ECORRUPT, ptq_get(queue, 1000, &msg));
    assert_answer(PTQ_ECORRUPT, ptq_end(queue));
    assert_answer(PTQ_ECORRUPT, ptq_queue_stats(queue, &stats));
    assert_answer(PTQ_ECORRUPT, ptq_view_stats(view, &stats));
    assert_answer(PTQ_ECORRUPT, ptq_view_verify(view, NULL, NULL, &report));

    ptq_view_close(view);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

static void a_queue_truncated_to_nothing_answers_ecorrupt(void **state) { use_after(state, 0); }
static void a_queue_truncated_to_its_header_answers_ecorrupt(void **state) { use_after(state, 4096); }
static void a_queue_truncated_to_its_hints_answers_ecorrupt(void **state) { use_after(state, 8192); }

static int sleep_in_get(void *context)
{
    struct ptt_page *page = ((void **)context)[1];
    ptq_bus *bus = open_guarded(((void **)context)[0]);
    ptq_queue *queue;
    ptq_msg *msg;

    if (ptq_queue_open(bus, "q", NULL, &queue) != PTQ_OK)
        return 1;
    page->words[0] = 1;
    return ptq_get(queue, PTQ_FOREVER, &msg) == PTQ_ECORRUPT ? 0 : 2;
}

static void a_sleeper_is_told_that_its_queue_was_truncated(void **state)
{
    struct ptt_page *page = ptt_page_new();
    void *context[] = {state, page};
    ptq_queue *queue;
    pid_t sleeper;

    assert_ok(ptq_queue_open(bus_of(state), "q", NULL, &queue));
    sleeper = ptt_fork(sleep_in_get, context);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    assert_true(ptt_wait_sleeping(sleeper, sleeper, PTT_LONG));
    ptq_queue_close(queue); /* this process has no guard */

    truncate_queue(bus_of(state), "q", 0);

    ptt_assert_exit(sleeper, 0, PTT_LONG);
    ptt_page_free(page);
}

static volatile sig_atomic_t passed_on;
static void note_and_repair(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    passed_on++;
    mmap((void *)((uintptr_t)info->si_addr & ~(uintptr_t)4095), 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
         0);
}

/* In a child: handlers belong to a process. */
static int fault_elsewhere(void *state)
{
    struct sigaction action = {.sa_sigaction = note_and_repair, .sa_flags = SA_SIGINFO};
    int fd = memfd_create("short", 0);
    ptq_queue *queue;
    ptq_bus *bus;
    volatile char *bytes;

    sigaction(SIGBUS, &action, NULL);
    bus = open_guarded(state);
    if (ptq_queue_open(bus, "q", NULL, &queue) != PTQ_OK || fd < 0 || ftruncate(fd, 4096) != 0)
        return 1;
    bytes = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (ftruncate(fd, 0) != 0 || bytes[0] != 0)
        return 2;
    return passed_on == 1 && ptq_put(queue, "x", 1, PTQ_NOWAIT) == PTQ_OK ? 0 : 3;
}

static void a_fault_elsewhere_goes_to_the_programs_own_handler(void **state)
{
    ptt_assert_exit(ptt_fork(fault_elsewhere, state), 0, PTT_LONG);
}

static int fault_without_handler(void *state)
{
    int fd = memfd_create("short", 0);
    ptq_queue *queue;
    volatile char *bytes;

    signal(SIGBUS, SIG_DFL);
    if (ptq_queue_open(open_guarded(state), "q", NULL, &queue) != PTQ_OK || fd < 0 || ftruncate(fd, 4096) != 0)
        return 1;
    bytes = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    return ftruncate(fd, 0) != 0 || bytes[0] != 0;
}

static void a_fault_elsewhere_ends_a_process_that_has_no_handler(void **state)
{
    int status = ptt_reap(ptt_fork(fault_without_handler, state), PTT_LONG);

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGBUS);
#else
    assert_true(status != 0); /* sanitizers have a handler of their own */
#endif
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, ptt_setup_scratch, ptt_teardown_scratch)

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(a_queue_truncated_to_nothing_answers_ecorrupt),
        CASE(a_queue_truncated_to_its_header_answers_ecorrupt),
        CASE(a_queue_truncated_to_its_hints_answers_ecorrupt),
        CASE(a_sleeper_is_told_that_its_queue_was_truncated),
        CASE(a_fault_elsewhere_goes_to_the_programs_own_handler),
        CASE(a_fault_elsewhere_ends_a_process_that_has_no_handler),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
