/* test_create.c -- an exclusive create whose bridge dies before it answers: its maker is let into what he made, or told that nobody
 * knows, and nobody else is. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "net/byhand.h"
#include "net/kit.h"

/* A home, and a host from where it is asked. */
struct pair {
    struct hand_home home;
    struct ptt_scratch far;
    ptq_bus *bus;
    struct net next; /* only the home's next bridge */
    ptq_queue *queue;
    enum ptq_err answer;
};

static void pair_init(struct pair *pair, const char *via)
{
    struct ptq_bus_options options = {.node = "far", .via = via};
    char peers[160];

    memset(pair, 0, sizeof *pair);
    ptt_scratch_init_dir(&pair->home.scratch);
    ptt_scratch_init_dir(&pair->far);
    net_find_url(pair->home.listen, sizeof pair->home.listen);
    hand_start_bridge(&pair->home, PTI_STEP_OPENED, 1);
    snprintf(peers, sizeof peers, "home=%s", pair->home.url);
    options.peers = peers;
    options.dir = pair->far.dir;
    assert_ok(ptq_bus_open("test", &options, &pair->bus));
}

static void pair_fini(struct pair *pair)
{
    ptq_bus_close(pair->bus);
    net_bridge_kill(&pair->next);
    ptt_scratch_fini(&pair->far);
    ptt_scratch_fini(&pair->home.scratch);
}

static enum ptq_err create(struct pair *pair, int wait_ms, ptq_queue **ret_queue)
{
    struct ptq_error error = {0};
    struct ptq_queue_options options = {.mode = PTQ_CREATE, .wait_ms = wait_ms, .error = &error};
    enum ptq_err answer = ptq_queue_open(pair->bus, "made@home", &options, ret_queue);

    if (answer != PTQ_OK && answer != PTQ_EEXIST)
        print_message("%s: %s\n", ptq_err_name(answer), error.text);
    return answer;
}

static void replace_home(struct pair *pair)
{
    hand_reap_bridge(&pair->home);
    pair->next.home = pair->home.scratch;
    snprintf(pair->next.url, sizeof pair->next.url, "%s", pair->home.listen);
    net_bridge_start(&pair->next, NULL);
}

static void assert_is_of_one(struct pair *pair, ptq_queue *queue)
{
    ptq_queue *other;

    assert_ok(ptq_put(queue, "mine", 4, PTT_LONG));
    assert_answer(PTQ_EEXIST, create(pair, 0, &other));
    ptq_queue_close(queue);
    assert_answer(PTQ_EEXIST, create(pair, 0, &other));
}

static void *create_patiently(void *context)
{
    struct pair *pair = context;

    pair->answer = create(pair, PTT_LONG, &pair->queue);
    return NULL;
}

/* The bridge dies of it, and another comes. */
static void assert_is_made_once(struct pair *pair)
{
    pthread_t thread;

    pthread_create(&thread, NULL, create_patiently, pair);
    replace_home(pair);
    pthread_join(thread, NULL);
    assert_ok(pair->answer);
    assert_is_of_one(pair, pair->queue);
}

static void its_maker_is_let_in_by_the_next_bridge(void **state)
{
    struct pair pair;
    (void)state;

    pair_init(&pair, NULL);
    assert_is_made_once(&pair);
    pair_fini(&pair);
}

static void who_does_not_wait_is_told_that_nobody_knows(void **state)
{
    struct pair pair;
    ptq_queue *queue;
    (void)state;

    pair_init(&pair, NULL);
    assert_answer(PTQ_EINDOUBT, create(&pair, 0, &queue));
    replace_home(&pair);
    assert_answer(PTQ_EEXIST, create(&pair, PTT_LONG, &queue));
    assert_ok(ptq_queue_open(pair.bus, "made@home", NULL, &queue));
    ptq_queue_close(queue);
    pair_fini(&pair);
}

static void through_the_bridge_its_maker_is_let_in_too(void **state)
{
    struct net near;
    struct pair pair;
    (void)state;

    pair_init(&pair, "bridge");
    net_near_start(&near, &(struct net){.far = pair.far}, NULL);
    assert_is_made_once(&pair);
    net_bridge_kill(&near);
    pair_fini(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_maker_is_let_in_by_the_next_bridge),
        cmocka_unit_test(who_does_not_wait_is_told_that_nobody_knows),
        cmocka_unit_test(through_the_bridge_its_maker_is_let_in_too),
    };

    signal(SIGPIPE, SIG_IGN);
    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 3);
}
