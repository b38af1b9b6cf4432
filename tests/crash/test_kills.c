/* test_kills.c -- real deaths around each call of the kernel: opening, creating, closing, removing, collecting.
 *
 * Between two calls of the kernel a process changes nothing but the segment, and test_images.c looks at that; here the
 * victim is killed before and behind each call that it makes, and a stranger must be able to go on with what is left:
 * files, locks and memory.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <ptq/share.h>

#include "crash/scene.h"
#include "os/life.h"
#include "share/layout.h"

struct errand {
    const char *name;
    bool exists;  /* the queue is there before, with messages in it */
    bool empty;   /* ... but none */
    enum ptq_err (*act)(ptq_bus *bus);
    bool removes; /* afterwards it may be gone */
    bool slow;    /* a long sleep: killed before each call only */
};

struct trip {
    const struct errand *errand;
    struct ptt_scratch scratch;
    _Atomic uint64_t *done;
    unsigned deaths, calls;
};

static const struct ptq_queue_options options = {.capacity = 10, .item_size = 64, .max_endpoints = 8};

/* ---- errands */

static enum ptq_err create(ptq_bus *bus)
{
    ptq_queue *queue = NULL;

    return ptq_queue_open(bus, SCENE_QUEUE, &options, &queue);
}

static enum ptq_err create_put_close(ptq_bus *bus)
{
    ptq_queue *queue = NULL;
    enum ptq_err err = ptq_queue_open(bus, SCENE_QUEUE, &options, &queue);

    if (err == PTQ_OK)
        err = ptq_put(queue, "late", 4, PTQ_NOWAIT);
    ptq_queue_close(queue);
    return err;
}

static enum ptq_err get_and_close(ptq_bus *bus)
{
    ptq_queue *queue = NULL;
    ptq_msg *msg = NULL;
    int fd = -1;
    enum ptq_err err = ptq_queue_open(bus, SCENE_QUEUE, NULL, &queue);

    if (err == PTQ_OK)
        err = ptq_get(queue, PTQ_NOWAIT, &msg);
    if (err == PTQ_OK)
        err = ptq_queue_fd(queue, PTQ_SIDE_GET, &fd);
    ptq_queue_close(queue);
    return err;
}

static enum ptq_err sleep_in_get(ptq_bus *bus)
{
    ptq_queue *queue = NULL;
    ptq_msg *msg = NULL;
    enum ptq_err err = ptq_queue_open(bus, SCENE_QUEUE, NULL, &queue);

    for (int i = 0; err == PTQ_OK && i < 3; i++)
        err = ptq_get(queue, PTQ_NOWAIT, &msg);
    if (err == PTQ_OK)
        err = ptq_get(queue, 260, &msg) == PTQ_TIMEDOUT ? PTQ_OK : PTQ_ESYS;
    return err;
}

static enum ptq_err sleep_in_put(ptq_bus *bus)
{
    ptq_queue *queue = NULL;
    enum ptq_err err = ptq_queue_open(bus, SCENE_QUEUE, NULL, &queue);

    for (int i = 0; err == PTQ_OK && i < 7; i++)
        err = ptq_put(queue, "late", 4, PTQ_NOWAIT);
    if (err == PTQ_OK)
        err = ptq_put(queue, "late", 4, 10) == PTQ_TIMEDOUT ? PTQ_OK : PTQ_ESYS;
    return err;
}

static enum ptq_err unlink_it(ptq_bus *bus) { return ptq_queue_unlink(bus, SCENE_QUEUE, false); }
static enum ptq_err unlink_by_force(ptq_bus *bus) { return ptq_queue_unlink(bus, SCENE_QUEUE, true); }

static enum ptq_err collect(ptq_bus *bus)
{
    struct ptq_gc_report report;

    return ptq_bus_gc(bus, false, &report);
}

static const struct errand errands[] = {
    {"create", false, false, create, false, false},
    {"create, put, close", false, false, create_put_close, false, false},
    {"get, descriptor, close", true, false, get_and_close, false, false},
    {"sleep in get", true, false, sleep_in_get, false, true},
    {"sleep in put", true, false, sleep_in_put, false, false},
    {"unlink", true, false, unlink_it, true, false},
    {"unlink by force", true, false, unlink_by_force, true, false},
    {"gc of a queue with messages", true, false, collect, false, false},
    {"gc of an empty queue", true, true, collect, true, false},
};

/* ... and of the share "s", which is there before. */
static enum ptq_err attach_share(ptq_bus *bus)
{
    ptq_share *share = NULL;

    return ptq_share_open(bus, "s", &(struct ptq_share_options){.mode = PTQ_ATTACH}, &share);
}

/* ---- before, and after */

static void arrange(struct trip *trip)
{
    ptq_queue *queue = NULL;

    ptt_scratch_init(&trip->scratch);
    *trip->done = 0;
    if (trip->errand->act == attach_share) {
        ptq_share *share = NULL;
        assert_ok(ptq_share_open(trip->scratch.bus, "s", &(struct ptq_share_options){.cells = 4, .max_endpoints = 2}, &share));
        ptq_share_close(share);
    }
    if (!trip->errand->exists)
        return;
    assert_ok(ptq_queue_open(trip->scratch.bus, SCENE_QUEUE, &options, &queue));
    for (uint64_t i = 0; i < 3 && !trip->errand->empty; i++)
        assert_ok(ptq_put(queue, &i, sizeof i, PTQ_NOWAIT));
    ptq_queue_close(queue);
}

static int go(void *context)
{
    struct trip *trip = context;
    ptq_bus *bus = ptt_scratch_open(&trip->scratch);

    victim_mark();
    enum ptq_err err = trip->errand->act(bus);
    *trip->done = 1 + (uint64_t)err;
    return 0;
}

static void assert_figures(ptq_bus *bus)
{
    struct ptq_verify_report report = {0};
    ptq_view *view = NULL;

    assert_ok(ptq_view_open(bus, SCENE_QUEUE, NULL, &view));
    assert_ok(ptq_view_verify(view, NULL, NULL, &report));
    ptq_view_close(view);
    assert_true(report.quiet);
    assert_int_equal(report.imbalance, 0);
}

/* What was there before comes in order, each once; what the dead one put comes behind it or not at all. */
static void drain(const struct trip *trip, ptq_queue *queue)
{
    uint64_t next = 0, late = 0;

    for (;;) {
        ptq_msg *msg = NULL;
        enum ptq_err err = ptq_get(queue, PTQ_NOWAIT, &msg);
        if (err == PTQ_EMPTY)
            break;
        assert_ok(err);
        if (ptq_msg_size(msg) == 4) {
            late++;
        } else {
            assert_int_equal(*(const uint64_t *)ptq_msg_data(msg), next++);
            assert_int_equal(late, 0);
        }
        assert_ok(ptq_ack(msg));
    }
    bool had = trip->errand->exists && !trip->errand->empty;
    if (had && !(trip->errand->removes && next == 0))
        assert_int_equal(next, 3);
    assert_true(late <= 7);
}

static void go_on_with_what_is_left(struct trip *trip)
{
    struct ptq_gc_report report;
    ptq_queue *queue = NULL;

    assert_ok(ptq_queue_open(trip->scratch.bus, SCENE_QUEUE, &options, &queue));
    drain(trip, queue);
    for (uint64_t i = 0; i < 10; i++)
        assert_ok(ptq_put(queue, "more", 4, PTQ_NOWAIT));
    assert_answer(PTQ_FULL, ptq_put(queue, "more", 4, PTQ_NOWAIT));
    assert_figures(trip->scratch.bus);
    ptq_queue_close(queue);
    assert_ok(ptq_bus_gc(trip->scratch.bus, false, &report));
    assert_int_equal(report.live, 0);
    assert_int_equal(ptt_scratch_files(&trip->scratch, NULL), 1); /* no half-made or half-removed file */
    assert_ok(ptq_queue_unlink(trip->scratch.bus, SCENE_QUEUE, false));
    assert_int_equal(ptt_scratch_files(&trip->scratch, NULL), 0);
}

/* Killed before (or behind) its n-th call; false when it makes fewer. */
static bool die_at_call(struct trip *trip, uint64_t n, bool behind)
{
    struct victim victim;

    arrange(trip);
    victim_start(&victim, go, trip);
    bool stands = victim_run_to_call(&victim, n, behind) && *trip->done == 0;
    if (!stands && *trip->done != 1 + (uint64_t)PTQ_OK)
        fail_msg("%s: undisturbed it answered %s", trip->errand->name, ptq_err_name((enum ptq_err)(*trip->done - 1)));
    victim_kill(&victim);
    go_on_with_what_is_left(trip);
    ptt_scratch_fini(&trip->scratch);
    return stands;
}

/* W17 W19 W20 */
static void a_death_at_any_call_of_the_kernel_leaves_nothing_behind(void **state)
{
    struct ptt_page *page = ptt_page_new();

    (void)state;
    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        skip();
    }
    for (size_t i = 0; i < sizeof errands / sizeof *errands; i++) {
        struct trip trip = {.errand = &errands[i], .done = &page->words[0]};
        uint64_t n = 0;
        while (die_at_call(&trip, n, false) && (trip.errand->slow || die_at_call(&trip, n, true)))
            n++;
        print_message("  %-30s killed at %llu calls of the kernel\n", trip.errand->name, (unsigned long long)n);
        assert_true(n > 2);
    }
    ptt_page_free(page);
}

/* ---- gc has the queue in hand, and lets it go at any moment */

static _Atomic uint64_t *away_s; /* so much later it is for the library than by the clock: as if the victim had been away */

int clock_gettime(clockid_t clock, struct timespec *ret_now)
{
    static int (*real)(clockid_t, struct timespec *);

    if (real == NULL)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, ret_now);
    if (failed == 0 && away_s != NULL)
        ret_now->tv_sec += (time_t)*away_s;
    return failed;
}

static enum ptq_err attach(ptq_bus *bus)
{
    struct ptq_queue_options asked = {.mode = PTQ_ATTACH};
    ptq_queue *queue = NULL;

    return ptq_queue_open(bus, SCENE_QUEUE, &asked, &queue);
}

static enum ptq_err attach_patiently(ptq_bus *bus)
{
    struct ptq_queue_options asked = {.mode = PTQ_ATTACH, .wait_ms = PTT_LONG};
    ptq_queue *queue = NULL;

    return ptq_queue_open(bus, SCENE_QUEUE, &asked, &queue);
}

static const struct errand patient_errand = {"attach with wait_ms", true, false, attach_patiently, false, false};
static const struct errand beside_gc[] = {{"attach", true, false, attach, false, false},
                                          {"unlink by force", true, false, unlink_by_force, true, false},
                                          {"attach to a share", false, false, attach_share, false, false}};

static int lock_as_gc(const struct trip *trip)
{
    char path[128];
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = PTI_LIFE_BASE, .l_len = PTI_LIFE_BYTES};

    if (trip->errand->act == attach_share)
        snprintf(path, sizeof path, "%s/test/s" PTI_SHARE_SUFFIX, trip->scratch.dir);
    else
        snprintf(path, sizeof path, "%s/test/" SCENE_QUEUE "~v%d", trip->scratch.dir, PTQ_LAYOUT_VERSION);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &whole), 0);
    return fd;
}

/* Stops behind its n-th call, where `away` for longer than it would wait; gc is done before it goes on, or so many calls later. */
static void meet_gc(struct trip *trip, uint64_t n, uint64_t away, uint64_t later)
{
    struct victim victim;

    arrange(trip);
    victim_start(&victim, go, trip);
    int gc = lock_as_gc(trip); /* not before: the victim would inherit it */
    victim_run_to_call(&victim, n, true);
    *away_s = away;
    if (later > 0)
        (void)victim_run_to_call(&victim, n + later, true);
    close(gc);
    victim_finish(&victim);
    *away_s = 0;
    if (*trip->done != 1 + (uint64_t)PTQ_OK)
        fail_msg("gc was done behind call %llu of '%s', which was away for %llu s and answered %s", (unsigned long long)n,
                 trip->errand->name, (unsigned long long)away, ptq_err_name((enum ptq_err)(*trip->done - 1)));
    ptt_scratch_fini(&trip->scratch);
}

/* W20 */
static void whoever_meets_gc_goes_on_when_gc_is_done(void **state)
{
    struct ptt_page *page = ptt_page_new();

    (void)state;
    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        skip();
    }
    away_s = &page->words[1];
    for (size_t i = 0; i < sizeof beside_gc / sizeof *beside_gc; i++) {
        struct trip trip = {.errand = &beside_gc[i], .done = &page->words[0]};
        for (uint64_t n = 0; n < 50; n++)
            for (uint64_t away = 0; away < 3; away += 2)
                meet_gc(&trip, n, away, 0);
    }
    struct trip patient = {.errand = &patient_errand, .done = &page->words[0]};
    for (uint64_t n = 0; n < 50; n++)
        meet_gc(&patient, n, PTT_LONG / 4000, 60);
    away_s = NULL;
    ptt_page_free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_death_at_any_call_of_the_kernel_leaves_nothing_behind),
        cmocka_unit_test(whoever_meets_gc_goes_on_when_gc_is_done)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
