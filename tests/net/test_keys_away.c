/* test_keys_away.c -- beyond the loopback: with tls or a key two hosts meet, without either nothing is dialled, nor let in. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/keys.h"
#include "net/netns.h"

#define ADDRESS "10.77.0.1"

static struct keys keys;

/* Another bridge of the home, in its namespace; nng has not begun here. */
static void serve(struct netns *ns, struct net *other, const char *scheme, const char *node)
{
    const char *words[3] = {NULL};

    unsetenv("PTQ_INSECURE");
    ptt_scratch_init_dir(&other->home);
    snprintf(other->url, sizeof other->url, "%s://" ADDRESS ":7401", scheme);
    snprintf(other->peers, sizeof other->peers, "home=%s", other->url);
    if (node != NULL) {
        words[0] = "--keys";
        words[1] = keys_path(&keys, node, NULL);
    } else {
        words[0] = "--insecure";
    }
    assert_int_equal(setns(ns->fds[NETNS_HOME], CLONE_NEWNET), 0);
    net_bridge_start(other, words);
    assert_int_equal(setns(ns->fds[NETNS_FAR], CLONE_NEWNET), 0);
    other->far = ns->net.far;
}

static void end(struct net *other)
{
    ptt_kill(other->bridge);
    ptt_scratch_fini(&other->home);
}

static void meet(struct netns *ns, const char *scheme)
{
    struct net other = {0};
    ptq_msg *msg;

    serve(ns, &other, scheme, "home");
    ptq_bus *bus = keys_open_bus(&other, &keys, "far", other.peers);
    ptq_queue *queue = net_open(bus, "away@home", NULL);
    assert_ok(ptq_put(queue, "hello", 5, PTT_LONG));
    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    end(&other);
}

static void meet_by_tls(struct netns *ns)
{
    meet(ns, "tls+tcp");
}

static void meet_by_keys(struct netns *ns)
{
    meet(ns, "tcp");
}

static void expect_refusal(struct net *other, const char *node, const char *word)
{
    ptq_bus *bus = keys_open_bus(other, &keys, node, other->peers);
    struct ptq_error error;
    ptq_queue *queue;

    assert_answer(PTQ_EPERM, keys_try_open(bus, "away@home", PTQ_OPEN_OR_CREATE, &error, &queue));
    if (strstr(error.text, word) == NULL)
        fail_msg("'%s' does not say '%s'", error.text, word);
    ptq_bus_close(bus);
}

static void dial_without_either(struct netns *ns)
{
    struct net other = {0};

    serve(ns, &other, "tcp", "home");
    expect_refusal(&other, "", "beyond the loopback"); /* before a byte is sent */
    setenv("PTQ_INSECURE", "1", 1);
    expect_refusal(&other, "", "lets nobody in without a key");
    end(&other);
}

/* A home that lets everybody in is not believed by who has a key. */
static void meet_a_home_without_keys(struct netns *ns)
{
    struct net other = {0};

    serve(ns, &other, "tcp", NULL);
    expect_refusal(&other, "far", "has no keys");
    end(&other);
}

#define SCENE(scene)                                                                                                   \
    static void case_##scene(void **state)                                                                             \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        netns_case(scene);                                                                                             \
    }
SCENE(meet_by_tls)
SCENE(meet_by_keys)
SCENE(dial_without_either)
SCENE(meet_a_home_without_keys)

static int make(void **state)
{
    (void)state;
    keys_make(&keys, (const char *const[]){"home", "far", NULL});
    return 0;
}

static int forget(void **state)
{
    (void)state;
    keys_free(&keys);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"two_hosts_meet_by_tls", case_meet_by_tls, NULL, NULL, NULL},
        {"two_hosts_meet_by_keys", case_meet_by_keys, NULL, NULL, NULL},
        {"without_either_nothing_is_dialled_nor_let_in", case_dial_without_either, NULL, NULL, NULL},
        {"a_home_without_keys_is_not_believed_by_who_has_one", case_meet_a_home_without_keys, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests(tests, make, forget);
}
