/* test_mail.c -- tell and listen with a supervised process of another host: its mailboxes are queues, by the name that was chosen for them. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <ptq/ptq.h>

#include "net/kit.h"

#define BRIDGE ((void *)"bridge")

/* ---- the process */

/* Sends back what it gets, with a mark; "die" is its death. */
static enum ptq_err echo(ptq_self *self, void *user)
{
    char bytes[64] = "+";
    size_t size;
    (void)user;
    enum ptq_err err = ptq_self_listen(self, bytes + 1, sizeof bytes - 1, PTQ_FOREVER, &size);

    if (err != PTQ_OK)
        return err;
    if (size == 3 && memcmp(bytes + 1, "die", 3) == 0)
        raise(SIGKILL);
    return ptq_self_tell(self, bytes, size + 1, PTQ_FOREVER);
}

static enum ptq_err make(const struct net *net, const char *mail_name, struct ptq_error *error, ptq_process **ret_process)
{
    struct ptq_process_options options = {.lives = PTQ_LIVES_MANY, .pause_ms = 1, .mail_name = mail_name, .error = error};

    return ptq_process_new(net->here, "echo", &options, ret_process);
}

static void tell(ptq_queue *in, const char *text) { assert_ok(ptq_put(in, text, strlen(text), PTT_LONG)); }

static void expect(ptq_queue *out, const char *text)
{
    char bytes[64];
    size_t size = 0;

    assert_ok(ptq_recv(out, bytes, sizeof bytes, PTT_LONG, &size));
    assert_int_equal(size, strlen(text));
    assert_memory_equal(bytes, text, size);
}

/* ---- the tests */

static void a_process_is_told_and_heard_from_another_host(void **state)
{
    struct ptq_error error = {0};
    ptq_process *process = NULL;
    struct net net, near;
    char bytes[64];
    size_t size;

    net_init(&net, NULL);
    if (*state != NULL)
        net_near_start(&near, &net, NULL);
    if (make(&net, "clerk", &error, &process) != PTQ_OK)
        fail_msg("%s", error.text);
    assert_ok(ptq_process_start(process));
    ptq_bus *bus = net_open_way(&net, net.peers, *state);
    ptq_queue *in = net_open(bus, "clerk.in@home", &(struct ptq_queue_options){.mode = PTQ_ATTACH});
    ptq_queue *out = net_open(bus, "clerk.out@home", &(struct ptq_queue_options){.mode = PTQ_ATTACH});

    assert_answer(PTQ_TIMEDOUT, ptq_recv(out, bytes, sizeof bytes, 20, &size));
    tell(in, "one");
    tell(in, "");
    expect(out, "+one");
    expect(out, "+");
    assert_ok(ptq_process_tell(process, "near", 4, PTT_LONG)); /* its parent is not shut out */
    expect(out, "+near");
    tell(in, "die");
    tell(in, "after it"); /* mail outlives a death; its parent's calls start it again */
    enum ptq_err err = PTQ_TIMEDOUT;
    for (int tries = 0; err == PTQ_TIMEDOUT && tries < PTT_LONG / 20; tries++) {
        (void)!ptq_process_wait(process, PTQ_NOWAIT);
        err = ptq_recv(out, bytes, sizeof bytes, 20, &size);
    }
    assert_ok(err);
    assert_true(size == 9 && memcmp(bytes, "+after it", 9) == 0);
    tell(in, "home");
    assert_ok(ptq_process_listen(process, bytes, sizeof bytes, PTT_LONG, &size));
    assert_int_equal(size, 5);
    ptq_process_free(process);
    assert_answer(PTQ_EGONE, ptq_put(in, "late", 4, PTT_LONG));
    assert_answer(PTQ_EGONE, ptq_recv(out, bytes, sizeof bytes, PTT_LONG, &size));

    ptq_queue_close(in);
    ptq_queue_close(out);
    ptq_bus_close(bus);
    if (*state != NULL)
        net_bridge_kill(&near);
    net_fini(&net);
}

static void mail_of_a_chosen_name_is_one_process_and_no_dead_ones(void **state)
{
    struct ptq_error error = {0};
    ptq_process *first = NULL, *second = NULL;
    char long_name[PTQ_NAME_MAX + 1] = "";
    struct net net;
    (void)state;

    net_init(&net, NULL);
    ptq_queue *left = net_open(net.here, "clerk.out", &(struct ptq_queue_options){.item_size = 8}); /* as of a parent that was killed */
    ptq_queue_close(left);
    assert_ok(make(&net, "clerk", &error, &first));
    assert_answer(PTQ_EEXIST, make(&net, "clerk", &error, &second));
    ptt_assert_says(error.text, "queue 'clerk.in' exists");
    assert_answer(PTQ_EINVAL, make(&net, "a/b", &error, &second));
    memset(long_name, 'x', PTQ_NAME_MAX - 3);
    assert_answer(PTQ_EINVAL, make(&net, long_name, &error, &second));
    long_name[PTQ_NAME_MAX - 4] = '\0';
    assert_ok(make(&net, long_name, &error, &second));
    ptq_process_free(second);
    assert_ok(ptq_process_start(first)); /* the other one took nothing from it */
    assert_ok(ptq_process_tell(first, "x", 1, PTT_LONG));
    char bytes[8];
    size_t size;
    assert_ok(ptq_process_listen(first, bytes, sizeof bytes, PTT_LONG, &size));
    ptq_process_free(first);
    net_fini(&net);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_is_told_and_heard_from_another_host),
        {"a_process_is_told_and_heard_through_the_bridge", a_process_is_told_and_heard_from_another_host, NULL, NULL, BRIDGE},
        cmocka_unit_test(mail_of_a_chosen_name_is_one_process_and_no_dead_ones),
    };

    if (ptq_process_register("echo", &(struct ptq_process_hooks){.run = echo}, NULL) != PTQ_OK)
        return 1;
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
