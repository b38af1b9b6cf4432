/* test_steps.c -- the home's bridge is killed at each of its steps: nothing is lost, nothing comes twice without a flag. */
#include <signal.h>
#include <string.h>

#include "net/byhand.h"

#define NTH_MOST 6u /* times that somebody comes by a step */

static const struct hand_kind kinds[] = {
    {"single puts and batches, one by one", false, 8, 3, 1, 3, 4, false},
    {"single puts and batches, five at a time", false, 8, 3, 5, 3, 4, false},
    {"places", true, 6, 2, 3, 1, 4, false},
    {"large messages in pieces", false, 3, 1, 2, 1, HAND_LARGE_BYTES, false},
    {"chained batches, as packs", false, 6, 3, 3, 3, 4, true},
};

static struct {
    unsigned runs, kills, resyncs;
} totals;

/* True: it was killed there. */
static bool run_killed_at(enum pti_step step, unsigned nth, const struct hand_kind *kind)
{
    struct hand_home home = {0};

    ptt_scratch_init_dir(&home.scratch);
    totals.resyncs += hand_run(&home, kind, step, nth);
    totals.runs++;
    totals.kills += home.kills;
    ptt_scratch_fini(&home.scratch);
    return home.kills > 0;
}

/* The home has known the stream since before anything was put, so that nothing needs a flag. */
static void kill_at_every_step(const struct hand_kind *kind)
{
    memset(&totals, 0, sizeof totals);
    for (enum pti_step step = PTI_STEP_HELLO_READ; step <= PTI_STEP_CLOSE_READ; step++) {
        unsigned nth = 1;
        while (nth <= NTH_MOST && run_killed_at(step, nth, kind))
            nth++;
        if (nth == 1 && (step != PTI_STEP_PIECE_READ || kind->size > PTI_WIRE_LARGE_BYTES))
            fail_msg("nobody comes by step %u", step);
    }
    print_message("%s: runs=%u kills=%u lost=0 doubled=0 asked_as_new=%u\n", kind->name, totals.runs, totals.kills, totals.resyncs);
    assert_int_equal(totals.resyncs, 0);
}

static void a_bridge_killed_at_any_step_of_puts_loses_and_doubles_nothing(void **state)
{
    (void)state;
    kill_at_every_step(&kinds[0]);
}

static void a_bridge_killed_at_any_step_of_many_puts_at_once_loses_and_doubles_nothing(void **state)
{
    (void)state;
    kill_at_every_step(&kinds[1]);
}

static void a_bridge_killed_at_any_step_of_places_loses_and_doubles_nothing(void **state)
{
    (void)state;
    kill_at_every_step(&kinds[2]);
}

static void a_bridge_killed_at_any_step_of_large_messages_loses_and_doubles_nothing(void **state)
{
    (void)state;
    kill_at_every_step(&kinds[3]);
}

static void a_bridge_killed_at_any_step_of_batches_that_become_packs_loses_and_doubles_nothing(void **state)
{
    (void)state;
    kill_at_every_step(&kinds[4]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bridge_killed_at_any_step_of_puts_loses_and_doubles_nothing),
        cmocka_unit_test(a_bridge_killed_at_any_step_of_many_puts_at_once_loses_and_doubles_nothing),
        cmocka_unit_test(a_bridge_killed_at_any_step_of_places_loses_and_doubles_nothing),
        cmocka_unit_test(a_bridge_killed_at_any_step_of_large_messages_loses_and_doubles_nothing),
        cmocka_unit_test(a_bridge_killed_at_any_step_of_batches_that_become_packs_loses_and_doubles_nothing),
    };

    signal(SIGPIPE, SIG_IGN);
    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 5);
}
