/* test_split.c -- two hosts that make one name while the links between them are cut: never two queues by accident, and two that
 * were made on purpose are told. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/homes.h"
#include "net/proxy.h"

/* Each reaches the other through a proxy. */
static struct side {
    struct net net;
    struct proxy proxy; /* in front of it */
    ptq_bus *bus;       /* its own, whose peer is the other's proxy */
} sides[2];

static int start_sides(void **state)
{
    char peers[96];
    (void)state;

    for (int i = 0; i < 2; i++) {
        net_init(&sides[i].net, NULL);
        proxy_start(&sides[i].proxy, sides[i].net.url);
    }
    for (int i = 0; i < 2; i++) {
        snprintf(peers, sizeof peers, "other=%s", sides[!i].proxy.url);
        struct ptq_bus_options options = {.dir = sides[i].net.home.dir, .peers = peers};
        assert_ok(ptq_bus_open("test", &options, &sides[i].bus));
    }
    return 0;
}

static int end_sides(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        ptq_bus_close(sides[i].bus);
        proxy_stop(&sides[i].proxy);
        net_fini(&sides[i].net);
    }
    return 0;
}

static void stall(bool on)
{
    for (int i = 0; i < 2; i++)
        atomic_store(&sides[i].proxy.stall, on);
    for (int i = 0; !on && i < 2; i++)
        proxy_cut_all(&sides[i].proxy);
}

static bool is_here(const struct side *side, const char *name)
{
    char path[300];

    snprintf(path, sizeof path, "%s/%s~v2", ptq_bus_path(side->net.here), name);
    return access(path, F_OK) == 0;
}

/* Both make it at once while the links are spoiled; then all is whole again.  How many got it. */
static unsigned race(int number, uint64_t *seed, bool silent)
{
    struct makers makers;
    const struct maker *one = &makers.each[0], *other = &makers.each[1];
    char name[32];
    unsigned got = 0;

    snprintf(name, sizeof name, "split-%d", number);
    for (int i = 0; i < 2 && !silent; i++)
        atomic_store(&sides[i].proxy.cut_after, (int64_t)(1 + ptt_random(seed) % 3000));
    makers_start(&makers, sides[0].bus, sides[1].bus, name);
    usleep((useconds_t)(ptt_random(seed) % 1500)); /* where in their doings it strikes */
    if (silent)
        stall(true);
    makers_join(&makers);
    for (int i = 0; i < 2; i++)
        atomic_store(&sides[i].proxy.cut_after, 0); /* what has not struck is not for the next */
    stall(false);

    for (int i = 0; i < 2; i++) {
        const struct maker *maker = &makers.each[i];
        got += maker->answer == PTQ_OK;
        if (maker->answer != PTQ_OK && maker->answer != PTQ_EUNREACHABLE && maker->answer != PTQ_EBUSY)
            fail_msg("race %d: maker %d: %s: %s", number, i, ptq_err_name(maker->answer), maker->error.text);
    }
    if (is_here(&sides[0], name) && is_here(&sides[1], name))
        fail_msg("race %d: both have one; they were told %s, %s", number, ptq_err_name(one->answer), ptq_err_name(other->answer));
    if (got == 2)
        assert_memory_equal(one->queue->port->id, other->queue->port->id, 16);
    makers_close(&makers);
    for (int i = 0; i < 2; i++)
        (void)!ptq_queue_unlink(sides[i].net.here, name, true);
    return got;
}

enum { CUTS = 60, SILENCES = 4 };

static void two_that_make_one_queue_while_links_are_cut_never_make_two(void **state)
{
    uint64_t seed = ptt_seed();
    unsigned got = 0;
    (void)state;

    for (int i = 0; i < CUTS; i++)
        got += race(i, &seed, false);
    print_message("of %d makers %u have it\n", 2 * CUTS, got);
    assert_true(got > 0);
}

static void nor_while_links_are_silent(void **state)
{
    uint64_t seed = ptt_seed();
    unsigned got = 0;
    (void)state;

    for (int i = 0; i < SILENCES; i++)
        got += race(CUTS + i, &seed, true);
    print_message("of %d makers %u have it\n", 2 * SILENCES, got);
}

/* It is one that a neighbour has put into: it is not taken away from him, whoever is silent. */
static void what_was_made_before_the_cut_stays_usable_behind_it(void **state)
{
    (void)state;

    ptq_queue *queue = net_open(sides[0].bus, "before", &(struct ptq_queue_options){.wait_ms = PTT_LONG});
    stall(true);
    ptq_queue *again = net_open(sides[0].bus, "before", NULL);
    assert_ok(ptq_put(again, "x", 1, PTQ_NOWAIT));
    stall(false);

    ptq_queue_close(again);
    ptq_queue_close(queue);
}

static void run_doctor(const struct side *side, const char *peer, char text[8000])
{
    (void)net_run(text, 8000, PTQ, "--dir %s --run test --peers other=%s doctor", side->net.home.dir, peer);
}

/* Said outright, on both sides of a cut: once it has healed a third is told of both, and doctor tells each. */
static void two_that_were_made_outright_behind_a_cut_are_told_after_it(void **state)
{
    char text[8000], peers[200];
    struct ptq_error error;
    ptq_queue *made[2], *third = NULL;
    struct ptq_queue_options options = {.mode = PTQ_ATTACH, .wait_ms = PTT_LONG, .error = &error};
    (void)state;

    stall(true);
    for (int i = 0; i < 2; i++)
        made[i] = net_open(sides[i].bus, "outright@self", NULL);
    stall(false);
    snprintf(peers, sizeof peers, "one=%s,two=%s", sides[0].proxy.url, sides[1].proxy.url);
    ptq_bus *bus = net_open_far(&sides[0].net, peers);
    assert_answer(PTQ_EEXIST, ptq_queue_open(bus, "outright", &options, &third));
    assert_non_null(strstr(error.text, "outright@one"));
    assert_non_null(strstr(error.text, "outright@two"));
    for (int i = 0; i < 2; i++) {
        run_doctor(&sides[i], sides[!i].proxy.url, text);
        if (strstr(text, "both here and at another host ('other')") == NULL || strstr(text, "outright") == NULL)
            fail_msg("%s", text);
        assert_true(made[i]->port->url == NULL);
    }

    ptq_bus_close(bus);
    for (int i = 0; i < 2; i++)
        ptq_queue_close(made[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_that_make_one_queue_while_links_are_cut_never_make_two),
        cmocka_unit_test(nor_while_links_are_silent),
        cmocka_unit_test(what_was_made_before_the_cut_stays_usable_behind_it),
        cmocka_unit_test(two_that_were_made_outright_behind_a_cut_are_told_after_it),
    };

    return ptt_run_beside_with(tests, sizeof tests / sizeof *tests, 3, start_sides, end_sides);
}
