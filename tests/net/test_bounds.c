/* test_bounds.c -- what a home keeps of streams is bounded in number, time and memory: beyond that it says so, and nothing is silent. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "net/byhand.h"
#include "remote/streams.h"

#define CANNOT_MOUNT 78

static const struct hand_kind few = {"few", false, 6, 2, 3, 3, 4, false};

struct place {
    struct hand_home home;
    ptq_bus *bus;
    ptq_queue *queue;
};

static void place_init(struct place *place, void (*prepare)(void))
{
    *place = (struct place){.home = {.prepare = prepare}};
    ptt_scratch_init_dir(&place->home.scratch);
    place->bus = ptt_scratch_open(&place->home.scratch);
    place->queue = hand_open_queue(place->bus, &few);
}

static void place_fini(struct place *place)
{
    ptt_kill(place->home.bridge);
    ptq_queue_close(place->queue);
    ptq_bus_close(place->bus);
    ptt_scratch_fini(&place->home.scratch);
}

/* ---- how many */

static void three_at_most(void) { pti_streams_most = 3; }

static void one_stream_more_than_are_kept_is_refused_with_a_sentence(void **state)
{
    static struct hand_far fars[4];
    struct pti_error_message error;
    struct pti_opened opened;
    struct place place;
    (void)state;

    place_init(&place, three_at_most);
    hand_start_bridge(&place.home, PTI_STEPS, 0);
    for (int i = 0; i < 4; i++) {
        hand_begin(&fars[i], &place.home, &few, place.queue);
        assert_true(hand_say_hello(&fars[i]));
        assert_int_equal(hand_try_open(&fars[i], &opened, &error), i < 3);
    }
    assert_int_equal(error.code, PTQ_EAGAIN);
    assert_non_null(strstr(error.text, "queue 'steps': 3 handles of other hosts are known here, which is the most"));
    hand_put_all(&fars[0]); /* those that are known lose nothing by it */
    hand_hang_up(&fars[1]);
    assert_false(hand_try_open(&fars[3], &opened, &error)); /* one whose link broke is kept */
    hand_close(&fars[0]);
    assert_true(hand_try_open(&fars[3], &opened, &error));
    for (int i = 0; i < 4; i++)
        hand_hang_up(&fars[i]);
    place_fini(&place);
}

/* ---- how long */

static void not_for_long(void) { pti_stream_kept_ns = 100 * PTI_NS_PER_MS; }

/* Its answers are lost with its link. */
static void forget_answers(struct hand_far *far)
{
    hand_hang_up(far);
    memset(far->answered, 0, sizeof far->answered);
    far->ack = 0;
}

static void what_a_home_has_forgotten_after_its_time_comes_flagged(void **state)
{
    static struct hand_far far;
    struct timespec nap = {.tv_nsec = 150000000};
    struct place place;
    (void)state;

    place_init(&place, not_for_long);
    place.home.grace_ms = 50;
    hand_begin(&far, &place.home, &few, place.queue);
    hand_start_bridge(&place.home, PTI_STEPS, 0);
    hand_put_all(&far);
    for (int look = 0; far.resyncs == 0 && look < 100; look++) {
        forget_answers(&far);
        nanosleep(&nap, NULL); /* the time that has to be over */
        hand_connect(&far);
    }
    assert_int_equal(far.resyncs, 1);
    hand_put_all(&far);
    hand_close(&far);
    hand_drain(&far, place.queue);
    hand_assert_all_there(&far);
    for (unsigned value = 1; value <= 2; value++) {
        assert_int_equal(far.came[value * 3 - 2], 2);
        assert_int_equal(far.unflagged[value * 3 - 2], 1);
    }
    place_fini(&place);
}

/* ---- memory */

/* A file that takes all the room but `leave` while a bridge serves; it begins with more. */
static size_t leave;

static void take_the_room(struct hand_home *home, bool up)
{
    char path[128];
    static const char bytes[4096];
    off_t written = 0;

    snprintf(path, sizeof path, "%s/ballast", home->scratch.dir);
    if (!up) {
        unlink(path);
        return;
    }
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (ssize_t part; (part = write(fd, bytes, sizeof bytes)) > 0;)
        written += part;
    assert_int_equal(ftruncate(fd, written > (off_t)leave ? written - (off_t)leave : 0), 0);
    close(fd);
}

static const enum pti_step steps[] = {PTI_STEP_INTENT, PTI_STEP_PUBLISHED, PTI_STEP_FACT, PTI_STEP_ANSWERED};

/* Killed at these steps; how often the next bridge did not know the stream. */
static unsigned run_without_rows(struct hand_home *home)
{
    unsigned resyncs = 0;

    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        resyncs += hand_run(home, &few, steps[i], 3);
    return resyncs;
}

static int run_in_a_small_file_system(void *context)
{
    struct hand_home *home = context;
    const size_t rooms[] = {0, 4096}; /* then the head may be had, and no row */

    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", home->scratch.dir, "tmpfs", 0, "size=2m,mode=0700") != 0)
        return CANNOT_MOUNT;
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        leave = rooms[i];
        assert_true(run_without_rows(home) > 0);
    }
    assert_true(home->kills >= 8);
    return 0;
}

static void without_memory_for_rows_nothing_comes_twice_in_silence(void **state)
{
    struct hand_home home = {.starts = take_the_room};
    (void)state;

    ptt_scratch_init_dir(&home.scratch);
    int status = ptt_reap(ptt_fork(run_in_a_small_file_system, &home), PTT_LONG);
    ptt_scratch_fini(&home.scratch);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_MOUNT) {
        print_message("nothing can be mounted here\n");
        skip();
    }
    assert_int_equal(status, 0);
}

/* There is room for the bridge's own page, and for no queue of its own. */
static void take_nearly_all(struct hand_home *home, bool up)
{
    if (up)
        return;
    leave = 16384;
    take_the_room(home, true);
}

static int run_where_no_queue_has_room(void *context)
{
    struct hand_home *home = context;
    struct hand_home brings_back = *home;

    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", home->scratch.dir, "tmpfs", 0, "size=1m,mode=0700") != 0)
        return CANNOT_MOUNT;
    signal(SIGPIPE, SIG_IGN);
    home->starts = take_nearly_all;
    (void)hand_run(home, &few, PTI_STEPS, 0);
    take_the_room(&brings_back, false);
    return 0;
}

static void a_bus_without_room_for_another_queue_is_served_to_others(void **state)
{
    struct hand_home home = {0};
    (void)state;

    ptt_scratch_init_dir(&home.scratch);
    int status = ptt_reap(ptt_fork(run_where_no_queue_has_room, &home), PTT_LONG);
    ptt_scratch_fini(&home.scratch);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_MOUNT) {
        print_message("nothing can be mounted here\n");
        skip();
    }
    assert_int_equal(status, 0);
}

/* ---- two bridges */

static void a_second_bridge_of_a_run_doubles_nothing_in_silence(void **state)
{
    static struct hand_far far;
    struct place first;
    (void)state;

    place_init(&first, NULL);
    hand_begin(&far, &first.home, &few, first.queue);
    hand_start_bridge(&first.home, PTI_STEPS, 0);
    hand_connect(&far); /* its rows are made with the first stream */
    hand_hang_up(&far); /* a silent link would end */
    struct hand_home second = {.scratch = first.home.scratch};
    second.scratch.bus = NULL;
    assert_true(run_without_rows(&second) > 0);
    assert_int_equal(second.kills, 4);

    hand_put_all(&far); /* the first has served on */
    hand_take_some(&far);
    hand_close(&far);
    ptt_kill(first.home.bridge);
    hand_drain(&far, first.queue);
    hand_assert_all_there(&far);
    assert_int_equal(run_without_rows(&second), 0); /* it is alone now */
    hand_start_bridge(&first.home, PTI_STEPS, 0);
    place_fini(&first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_stream_more_than_are_kept_is_refused_with_a_sentence),
        cmocka_unit_test(what_a_home_has_forgotten_after_its_time_comes_flagged),
        cmocka_unit_test(without_memory_for_rows_nothing_comes_twice_in_silence),
        cmocka_unit_test(a_bus_without_room_for_another_queue_is_served_to_others),
        cmocka_unit_test(a_second_bridge_of_a_run_doubles_nothing_in_silence),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
