/* test_rights.c -- rules at the home: each right lets do what it says and nothing else, and what no rule allows is denied. */
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/keys.h"
#include "remote/remote.h"

static struct net net;
static struct keys keys;

#define RULES                                                                                                          \
    "putter jobs put\ngetter jobs get\npeeker jobs peek\nmaster jobs admin\n"                                         \
    "both j?bs put\nboth jobs get # and another\nall * all\n"

static int begin(void **state)
{
    (void)state;
    keys_make(&keys, (const char *const[]){"home", "putter", "getter", "peeker", "master", "both", "all", "nobody", NULL});
    keys_write(&keys, "home", "rules", RULES, 0600);
    net_init(&net, (const char *const[]){"--keys", keys_path(&keys, "home", NULL), NULL});
    return 0;
}

static int end(void **state)
{
    (void)state;
    net_fini(&net);
    keys_free(&keys);
    return 0;
}

/* The queue "jobs" at home, made there, and opened as this node. */
struct seat {
    ptq_queue *here, *there;
    ptq_bus *bus;
};

static struct seat sit(const char *node, unsigned flags)
{
    struct seat seat = {.here = net_open(net.here, "jobs", &(struct ptq_queue_options){.item_size = 3 << 20, .capacity = 16})};

    seat.bus = keys_open_bus(&net, &keys, node, net.peers);
    seat.there = net_open(seat.bus, "jobs@home", &(struct ptq_queue_options){.flags = flags});
    return seat;
}

static void stand_up(struct seat *seat)
{
    uint64_t count;

    ptq_queue_close(seat->there);
    ptq_bus_close(seat->bus);
    assert_ok(ptq_queue_purge(seat->here, &count));
    ptq_queue_close(seat->here);
}

static void assert_why(ptq_queue *queue, const char *why)
{
    char text[600];

    ptt_assert_says(ptq_queue_explain(queue, PTQ_EPERM, 0, text, sizeof text), why);
}

static void assert_cannot_get(ptq_queue *queue)
{
    ptq_msg *msg, *msgs[4];
    size_t count;

    assert_answer(PTQ_EPERM, ptq_get(queue, PTT_LONG, &msg));
    assert_answer(PTQ_EPERM, ptq_get(queue, PTQ_NOWAIT, &msg));
    assert_answer(PTQ_EPERM, ptq_get_many(queue, msgs, 1, 4, PTT_LONG, &count));
}

static void assert_cannot_put(ptq_queue *queue)
{
    static char large[2 << 20];
    struct ptq_bytes items[2] = {{"a", 1}, {"b", 1}};
    struct ptq_queue_stats stats;
    ptq_msg *loan;

    assert_answer(PTQ_EPERM, ptq_put(queue, "x", 1, PTT_LONG));
    assert_answer(PTQ_EPERM, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    assert_answer(PTQ_EPERM, ptq_put_many(queue, items, 2, PTT_LONG, NULL));
    assert_answer(PTQ_EPERM, ptq_put(queue, large, 300000, PTT_LONG));
    assert_answer(PTQ_EPERM, ptq_put(queue, large, sizeof large, PTT_LONG));
    enum ptq_err answer = ptq_loan(queue, 8, PTT_LONG, &loan);
    if (answer == PTQ_OK)
        answer = ptq_publish(loan, 8, PTT_LONG, NULL);
    assert_answer(PTQ_EPERM, answer);
    assert_answer(PTQ_EPERM, ptq_end(queue));
    assert_ok(ptq_queue_stats(queue, &stats));
    assert_int_equal(stats.ready, 0);
    assert_false(stats.ended);
}

static void assert_cannot_administer(ptq_queue *queue)
{
    uint64_t count;

    assert_answer(PTQ_EPERM, ptq_queue_purge(queue, &count));
    assert_why(queue, "may not make or administer queue 'jobs'");
    assert_answer(PTQ_EPERM, ptq_queue_pause(queue, true));
    assert_answer(PTQ_EPERM, ptq_queue_kick(queue, 10, &count));
}

static void who_may_put_may_not_get(void **state)
{
    struct seat seat = sit("putter", 0);
    static char large[2 << 20];
    struct ptq_queue_stats stats;
    (void)state;

    assert_ok(ptq_put(seat.there, "x", 1, PTT_LONG));
    assert_ok(ptq_put(seat.there, large, sizeof large, PTT_LONG));
    assert_cannot_get(seat.there);
    assert_cannot_administer(seat.there);
    assert_ok(ptq_queue_stats(seat.there, &stats));
    assert_int_equal(stats.ready, 2);
    stand_up(&seat);
}

static void who_may_get_may_not_put(void **state)
{
    struct seat seat = sit("getter", 0);
    ptq_msg *msg;
    (void)state;

    assert_cannot_put(seat.there);
    assert_cannot_administer(seat.there);
    assert_ok(ptq_put(seat.here, "x", 1, PTT_LONG));
    assert_ok(ptq_get(seat.there, PTT_LONG, &msg));
    assert_ok(ptq_nack(msg, 0));
    assert_ok(ptq_get(seat.there, PTT_LONG, &msg));
    assert_ok(ptq_ack(msg));
    stand_up(&seat);
}

static void the_line_of_a_tool_says_whose_rule_it_is(void **state)
{
    struct seat seat = sit("getter", 0);
    char text[2000];
    (void)state;

    int code = net_run(text, sizeof text, PTQ, "--dir %s --run test --keys %s --peers %s put jobs@home x", net.far.dir,
                       keys_path(&keys, "getter", NULL), net.peers);
    assert_int_not_equal(code, 0);
    ptt_assert_says(text, "'getter' may not put into queue 'jobs' at '");
    ptt_assert_says(text, "no rule allows it - 'getter jobs put' among the rules of its ptqbridge would");
    stand_up(&seat);
}

static void who_may_peek_may_look_alone(void **state)
{
    struct seat seat = sit("peeker", 0);
    struct ptq_queue_stats stats;
    (void)state;

    assert_ok(ptq_queue_stats(seat.there, &stats));
    assert_cannot_put(seat.there);
    assert_cannot_get(seat.there);
    assert_cannot_administer(seat.there);
    stand_up(&seat);
}

static void who_administers_neither_puts_nor_gets(void **state)
{
    struct seat seat = sit("master", 0);
    uint64_t count;
    (void)state;

    assert_cannot_put(seat.there);
    assert_cannot_get(seat.there);
    assert_ok(ptq_put(seat.here, "x", 1, PTT_LONG));
    assert_ok(ptq_queue_pause(seat.there, true));
    assert_ok(ptq_queue_pause(seat.there, false));
    assert_ok(ptq_queue_purge(seat.there, &count));
    assert_int_equal(count, 1);
    stand_up(&seat);
}

static void rules_add_up(void **state)
{
    struct seat seat = sit("both", PTQ_PRODUCER | PTQ_CONSUMER);
    ptq_msg *msg;
    (void)state;

    assert_ok(ptq_put(seat.there, "x", 1, PTT_LONG));
    assert_ok(ptq_get(seat.there, PTT_LONG, &msg));
    assert_ok(ptq_ack(msg));
    assert_cannot_administer(seat.there);
    stand_up(&seat);
}

static void expect_denial(const char *node, const char *name, enum ptq_open_mode mode, unsigned flags, const char *right)
{
    ptq_bus *bus = keys_open_bus(&net, &keys, node, net.peers);
    struct ptq_error error = {0};
    struct ptq_queue_options options = {.mode = mode, .flags = flags, .error = &error};
    char word[100];
    ptq_queue *queue;

    assert_answer(PTQ_EPERM, ptq_queue_open(bus, name, &options, &queue));
    snprintf(word, sizeof word, "'%s' may not %s queue", node, right);
    ptt_assert_says(error.text, word);
    ptt_assert_says(error.text, "rules");
    ptq_bus_close(bus);
}

static void what_one_says_that_he_is_he_must_be_allowed(void **state)
{
    ptq_queue *here = net_open(net.here, "jobs", &(struct ptq_queue_options){.item_size = 3 << 20, .capacity = 16});
    (void)state;

    expect_denial("putter", "jobs@home", PTQ_ATTACH, PTQ_CONSUMER, "get from");
    expect_denial("getter", "jobs@home", PTQ_ATTACH, PTQ_PRODUCER, "put into");
    expect_denial("peeker", "jobs@home", PTQ_ATTACH, PTQ_PRODUCER, "put into");
    ptq_queue_close(here);
}

static void a_queue_that_one_may_nothing_with_is_denied_whether_it_is_there_or_not(void **state)
{
    ptq_queue *here = net_open(net.here, "secret", NULL);
    (void)state;

    expect_denial("putter", "secret@home", PTQ_ATTACH, 0, "see");
    expect_denial("putter", "not-there@home", PTQ_ATTACH, 0, "see");
    expect_denial("nobody", "jobs@home", PTQ_ATTACH, 0, "see");
    expect_denial("nobody", "not-there@home", PTQ_OPEN_OR_CREATE, 0, "see");
    ptq_queue_close(here);
}

static void only_who_administers_makes_queues(void **state)
{
    ptq_bus *bus = keys_open_bus(&net, &keys, "all", net.peers);
    (void)state;

    expect_denial("both", "jabs@home", PTQ_OPEN_OR_CREATE, 0, "make or administer");
    expect_denial("both", "jabs@home", PTQ_CREATE, 0, "make or administer");
    ptq_queue *made = net_open(bus, "jabs@home", &(struct ptq_queue_options){.mode = PTQ_CREATE});
    ptq_bus *other = keys_open_bus(&net, &keys, "both", net.peers);
    ptq_queue *used = net_open(other, "jabs@home", NULL);
    assert_ok(ptq_put(used, "x", 1, PTT_LONG));

    ptq_queue_close(used);
    ptq_bus_close(other);
    ptq_queue_close(made);
    ptq_bus_close(bus);
}

static size_t count_names(const char *node)
{
    struct pti_directory directory = {0};
    struct pti_directory_ask ask = {0};
    struct ptq_error error = {0};
    struct pti_asking *asking;
    ptq_bus *bus = keys_open_bus(&net, &keys, node, net.peers);

    if (pti_remote_ask_begin(bus, net.url, &ask, &error, &directory, &asking) != PTQ_OK || pti_remote_ask_end(asking, &error) != PTQ_OK)
        fail_msg("%s", error.text);
    free(directory.names);
    ptq_bus_close(bus);
    return directory.count;
}

static void names_are_told_to_those_alone_who_may_do_something(void **state)
{
    ptq_queue *one = net_open(net.here, "jobs", &(struct ptq_queue_options){.item_size = 3 << 20, .capacity = 16});
    ptq_queue *other = net_open(net.here, "secret", NULL);
    (void)state;

    assert_int_equal(count_names("nobody"), 0);
    assert_int_equal(count_names("peeker"), 1);
    assert_true(count_names("all") >= 2);
    ptq_queue_close(one);
    ptq_queue_close(other);
}

/* ---- rules that are no good ---- */

static void expect_all_denied(const char *why)
{
    keys_restart(&net, &keys, NULL);
    expect_denial("all", "jobs@home", PTQ_OPEN_OR_CREATE, 0, "see");
    if (why != NULL)
        assert_true(net_log_count(&net, why) > 0);
}

static void rules_that_are_empty_missing_or_make_no_sense_deny_everything(void **state)
{
    (void)state;

    keys_write(&keys, "home", "rules", "", 0600);
    expect_all_denied("nobody may do anything");
    keys_write(&keys, "home", "rules", "all * all\nall * fly\n", 0600);
    expect_all_denied("rules:2: ");
    keys_write(&keys, "home", "rules", "all * all\n", 0666);
    expect_all_denied("chmod go-w");
    unlink(keys_path(&keys, "home", "rules"));
    expect_all_denied("cannot read the rules");
    keys_write(&keys, "home", "rules", RULES, 0600);
    keys_restart(&net, &keys, NULL);
}

/* ---- users of this host ---- */

static void over_ipc_the_user_is_who_the_kernel_says(void **state)
{
    char rules[100], url[100];
    struct net other;
    struct ptq_error error;
    ptq_queue *queue;
    (void)state;

    snprintf(rules, sizeof rules, "uid:%u mine all\nuid:%u theirs all\n", (unsigned)getuid(), (unsigned)getuid() + 1);
    keys_write(&keys, "home", "ipc-rules", rules, 0600);
    snprintf(url, sizeof url, "ipc://%s", keys_path(&keys, "home", "socket"));
    net_init_at(&other, url, (const char *const[]){"--rules", keys_path(&keys, "home", "ipc-rules"), NULL});
    queue = net_open(other.there, "mine@home", NULL);
    assert_ok(ptq_put(queue, "x", 1, PTT_LONG));
    ptq_queue_close(queue);
    assert_answer(PTQ_EPERM, keys_try_open(other.there, "theirs@home", PTQ_OPEN_OR_CREATE, &error, &queue));
    snprintf(rules, sizeof rules, "'uid:%u' may not see", (unsigned)getuid());
    ptt_assert_says(error.text, rules);
    net_fini(&other);
}

#define NOBODY 65534

struct visit {
    const char *peers, *dir;
};

static int visit_as_nobody(void *context)
{
    const struct visit *visit = context;
    struct ptq_bus_options options = {.dir = visit->dir, .peers = visit->peers, .node = "far", .keys = ""};
    struct ptq_error error;
    ptq_queue *queue;
    ptq_bus *bus;

    if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0)
        return 2;
    assert_ok(ptq_bus_open("test", &options, &bus));
    assert_ok(keys_try_open(bus, "shared@home", PTQ_ATTACH, &error, &queue));
    assert_ok(ptq_put(queue, "x", 1, PTT_LONG));
    ptq_queue_close(queue);
    assert_answer(PTQ_EPERM, keys_try_open(bus, "own@home", PTQ_ATTACH, &error, &queue));
    ptt_assert_says(error.text, "'uid:65534' may not see");
    ptq_bus_close(bus);
    return 0;
}

/* The first of all: a child of a process with links has none. */
static void another_user_comes_over_ipc_where_rules_say_so(void **state)
{
    struct ptt_scratch socket, dir;
    char path[100];
    struct net other;
    (void)state;

    if (geteuid() != 0)
        skip();
    ptt_scratch_init_dir(&socket);
    ptt_scratch_init_dir(&dir);
    assert_int_equal(chmod(socket.dir, 0711), 0);
    assert_int_equal(chown(dir.dir, NOBODY, NOBODY), 0);
    keys_write(&keys, "home", "user-rules", "uid:65534 shared put\nuid:0 own all\n", 0600);
    snprintf(path, sizeof path, "ipc://%s/s", socket.dir);
    net_init_at(&other, path, (const char *const[]){"--rules", keys_path(&keys, "home", "user-rules"), NULL});
    ptq_queue *here = net_open(other.here, "shared", NULL);
    struct visit visit = {other.peers, dir.dir};
    ptt_assert_exit(ptt_fork(visit_as_nobody, &visit), 0, PTT_LONG);
    ptq_queue_close(here);
    net_fini(&other);
    ptt_scratch_fini(&socket);
    ptt_scratch_fini(&dir);
}

/* ---- words ---- */

static void each_denial_is_logged_once_and_counted_each_time(void **state)
{
    struct seat seat;
    ptq_msg *msg;
    (void)state;

    keys_restart(&net, &keys, (const char *const[]){"--verbose", NULL});
    unsigned before = net_log_count(&net, "event=denied identity=\"putter\" queue=jobs right=get");
    seat = sit("putter", 0);
    for (int i = 0; i < 10; i++)
        assert_answer(PTQ_EPERM, ptq_get(seat.there, PTQ_NOWAIT, &msg));
    stand_up(&seat);
    assert_int_equal(keys_end_and_count(&net, "refused_rights"), 10);
    assert_int_equal(net_log_count(&net, "event=denied identity=\"putter\" queue=jobs right=get"), before + 1);
    keys_restart(&net, &keys, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_user_comes_over_ipc_where_rules_say_so),
        cmocka_unit_test(who_may_put_may_not_get),
        cmocka_unit_test(who_may_get_may_not_put),
        cmocka_unit_test(the_line_of_a_tool_says_whose_rule_it_is),
        cmocka_unit_test(who_may_peek_may_look_alone),
        cmocka_unit_test(who_administers_neither_puts_nor_gets),
        cmocka_unit_test(rules_add_up),
        cmocka_unit_test(what_one_says_that_he_is_he_must_be_allowed),
        cmocka_unit_test(a_queue_that_one_may_nothing_with_is_denied_whether_it_is_there_or_not),
        cmocka_unit_test(only_who_administers_makes_queues),
        cmocka_unit_test(names_are_told_to_those_alone_who_may_do_something),
        cmocka_unit_test(rules_that_are_empty_missing_or_make_no_sense_deny_everything),
        cmocka_unit_test(over_ipc_the_user_is_who_the_kernel_says),
        cmocka_unit_test(each_denial_is_logged_once_and_counted_each_time),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
