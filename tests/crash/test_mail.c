/* test_mail.c -- a supervised process is killed, or stopped, at an instruction of its mail.
 *
 * It hears numbers and tells them back.  Killed anywhere, what was told to it and what it told are there: its successor goes on, no number
 * comes twice, and the only one that may be missing is what it had heard and not told.  Stopped anywhere, its parent tells and listens as ever.
 *     crash_mail [all | N]: every instruction, or every so many; else some.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash/path.h"
#include "support/ptt.h"

#include <ptq/ptq.h>

#define NUMBERS 3u

enum { HEARING, TOLD, OVER, PID };

struct page {
    _Atomic uint64_t words[8];
};

/* Shared by a file: the process is another program's start, no fork. */
static struct page *open_page(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct page *page = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, sizeof *page) == 0)
        page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return page != MAP_FAILED ? page : NULL;
}

/* ---- the process */

static struct page *page_of_victim;

/* The first life opens its boxes, and stands. */
static enum ptq_err begin_life(ptq_self *self, void *user)
{
    uint64_t number;
    size_t size;

    (void)user;
    page_of_victim = open_page(ptq_self_input(self, &size));
    if (page_of_victim == NULL)
        return PTQ_ENOMEM;
    if (ptq_self_restarts(self) != 0)
        return PTQ_OK;
    if (ptq_self_listen(self, &number, sizeof number, PTQ_NOWAIT, &size) != PTQ_EMPTY ||
        ptq_self_tell(self, (char[100]){0}, 100, PTQ_NOWAIT) != PTQ_EMSGSIZE)
        return PTQ_EPROTO;
    page_of_victim->words[PID] = (uint64_t)getpid();
    victim_offer();
    return PTQ_OK;
}

static enum ptq_err echo(ptq_self *self, void *user)
{
    uint64_t number;
    size_t size;

    (void)user;
    page_of_victim->words[HEARING]++;
    enum ptq_err err = ptq_self_listen(self, &number, sizeof number, PTQ_FOREVER, &size);
    if (err == PTQ_OK)
        err = ptq_self_tell(self, &number, sizeof number, PTQ_FOREVER);
    if (err == PTQ_OK)
        page_of_victim->words[TOLD] = number;
    if (err == PTQ_OK && number == NUMBERS)
        page_of_victim->words[OVER] = 1;
    return err;
}

/* ---- its parent */

struct run {
    struct ptt_scratch scratch;
    struct page *page;
    ptq_process *process;
    uint64_t seed, stride, at;
    const char *what;
    unsigned runs, wrong;
};

static struct path way;

static void complain(struct run *run, const char *what)
{
    if (run->wrong++ < 10)
        print_error("%s %llu: %s\n", run->what, (unsigned long long)run->at, what);
}

static void tell(struct run *run, uint64_t number)
{
    enum ptq_err err = ptq_process_tell(run->process, &number, sizeof number, PTQ_NOWAIT);

    if (err != PTQ_OK)
        complain(run, ptq_err_name(err));
}

/* It stands before its first run, and three numbers wait for it. */
static void start(struct run *run, struct victim *victim)
{
    char path[100];

    ptt_scratch_init(&run->scratch);
    snprintf(path, sizeof path, "%s/page", run->scratch.dir);
    run->page = open_page(path);
    assert_non_null(run->page);
    struct ptq_process_options options = {.lives = 2, .pause_ms = 1, .input = path, .input_size = strlen(path) + 1, .mail_count = 10,
                                          .mail_size = 16};
    assert_ok(ptq_process_new(run->scratch.bus, "echo", &options, &run->process));
    assert_ok(ptq_process_start(run->process));
    assert_true(ptt_wait_word(&run->page->words[PID], 1, PTT_LONG)); /* asked the library, it would take the stop for an end */
    victim_adopt(victim, (pid_t)run->page->words[PID]);
    assert_false(victim->over);
    for (uint64_t i = 1; i <= NUMBERS; i++)
        tell(run, i);
}

static void clear(struct run *run)
{
    ptq_process_free(run->process);
    assert_int_equal(ptt_scratch_files(&run->scratch, NULL), 0);
    munmap(run->page, sizeof *run->page);
    ptt_scratch_fini(&run->scratch);
    run->runs++;
}

/* Listens until the last number comes; `told` were promised, and one that was `heard` may be missing. */
static void hear(struct run *run, uint64_t *last, uint64_t end, uint64_t told, uint64_t heard)
{
    uint64_t number;
    size_t size;

    while (*last < end) {
        enum ptq_err err = ptq_process_listen(run->process, &number, sizeof number, PTT_LONG, &size);
        if (err != PTQ_OK) {
            complain(run, ptq_err_name(err));
            return;
        }
        if (number <= *last)
            complain(run, "a number came twice, or out of turn");
        for (uint64_t missing = *last + 1; missing < number; missing++)
            if (missing != told + 1 || missing > heard)
                complain(run, "a number is missing");
        *last = number;
    }
}

static void init(struct run *run, const char *what)
{
    struct victim victim;

    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        skip();
    }
    *run = (struct run){.what = what, .seed = ptt_seed()};
    if (way.count == 0) {
        start(run, &victim);
        path_step(&way, &victim, 1000, &run->page->words[OVER]);
        victim_let_go(&victim);
        clear(run);
        run->runs = 0;
    }
    assert_in_range(way.count, 300, PATH_MOST - 1);
    run->stride = path_stride(&way, 40);
    run->at = ptt_random(&run->seed) % run->stride;
}

/* False: its way was another this time, and it was killed when it slept. */
static bool bring(struct run *run, struct victim *victim)
{
    start(run, victim);
    return victim_run_to(victim, way.places[run->at], way.times[run->at], 500);
}

static void fini(struct run *run)
{
    print_message("  mail: %llu instructions, %s %u times, %u wrong\n", (unsigned long long)way.count, run->what, run->runs, run->wrong);
    assert_int_equal(run->wrong, 0);
    assert_true(run->runs >= 10);
}

static void a_process_may_die_at_any_instruction_of_its_mail(void **state)
{
    struct run run;

    (void)state;
    for (init(&run, "killed at"); run.at < way.count; run.at += run.stride) {
        struct victim victim;
        uint64_t last = 0;
        bool stands = bring(&run, &victim);
        uint64_t told = run.page->words[TOLD], heard = run.page->words[HEARING];
        if (stands)
            assert_int_equal(kill(victim.pid, SIGKILL), 0);
        victim_let_go(&victim);
        tell(&run, NUMBERS + 1);
        hear(&run, &last, NUMBERS + 1, told, heard);
        clear(&run);
    }
    fini(&run);
}

static void a_process_that_is_stopped_in_its_mail_stops_nobody_and_goes_on(void **state)
{
    struct run run;

    (void)state;
    for (init(&run, "stopped at"); run.at < way.count; run.at += run.stride) {
        struct victim victim;
        uint64_t number, last = 0, told;
        size_t size;
        if (!bring(&run, &victim)) {
            clear(&run);
            continue;
        }
        told = run.page->words[TOLD];
        alarm(60); /* whoever waits for the stopped one ends here */
        tell(&run, NUMBERS + 1);
        hear(&run, &last, told, told, 0);
        enum ptq_err err = ptq_process_listen(run.process, &number, sizeof number, PTQ_NOWAIT, &size);
        if (err == PTQ_OK ? number != ++last : err != PTQ_EMPTY)
            complain(&run, "it is not heard as it told");
        alarm(0);
        victim_let_go(&victim);
        hear(&run, &last, NUMBERS + 1, 0, 0);
        clear(&run);
    }
    fini(&run);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_may_die_at_any_instruction_of_its_mail),
        cmocka_unit_test(a_process_that_is_stopped_in_its_mail_stops_nobody_and_goes_on),
    };

    if (ptq_process_register("echo", &(struct ptq_process_hooks){.start = begin_life, .run = echo}, NULL) != PTQ_OK)
        return 1;
    ptq_worker_main(argc, argv);
    (void)personality(ADDR_NO_RANDOMIZE); /* of what is started from now on: each at the same addresses */
    (void)path_arguments(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
