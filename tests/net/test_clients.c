/* test_clients.c -- clients that are killed, stopped or forked: what they held comes back, what they put is there. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "net/kit.h"

static const char *const short_grace[] = {"--grace", "1000", NULL};

static pid_t start_client(struct net *net, const char *queue, const char *role, const char *count, int *ret_out,
                          int *ret_in)
{
    const char *words[] = {net->far.dir, net->peers, queue, role, count, NULL};
    int ends[2], saved = dup(STDIN_FILENO);

    assert_int_equal(pipe(ends), 0);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    pid_t pid = net_spawn(CLIENT, words, ret_out);
    if (saved >= 0)
        dup2(saved, STDIN_FILENO);
    close(saved);
    *ret_in = ends[1];
    return pid;
}

static void expect_line(int fd, const char *begin)
{
    char line[300];

    net_read_line(fd, line, sizeof line);
    if (strncmp(line, begin, strlen(begin)) != 0)
        fail_msg("the client said '%s', not '%s'", line, begin);
}

static void what_a_killed_client_held_comes_back_after_the_grace(void **state)
{
    struct net net;
    int out, in;
    (void)state;

    net_init(&net, short_grace);
    ptq_queue *here = net_open(net.here, "killed", NULL);
    for (int i = 0; i < 3; i++)
        assert_ok(ptq_put(here, "job", 3, PTQ_NOWAIT));
    pid_t client = start_client(&net, "killed", "hold", "2", &out, &in);
    expect_line(out, "held");
    expect_line(out, "held");
    uint64_t last = 0;
    for (int i = 0; i < 3; i++) {
        ptq_msg *msg;
        if (i == 1)
            ptt_kill(client);
        assert_ok(ptq_get(here, PTT_LONG, &msg));
        bool first_time = i == 0; /* the one that nobody held; then those that came back, in their order */
        assert_true(ptq_msg_redelivered(msg) == !first_time);
        assert_true(first_time || ptq_msg_position(msg) > last || i == 1);
        last = ptq_msg_position(msg);
        assert_ok(ptq_ack(msg));
    }
    close(out);
    close(in);
    ptq_queue_close(here);
    net_fini(&net);
}

static void what_a_stopped_client_held_comes_back_and_its_late_ack_is_told(void **state)
{
    struct net net;
    ptq_msg *msg;
    int out, in;
    (void)state;

    net_init(&net, short_grace);
    ptq_queue *here = net_open(net.here, "stopped", NULL);
    assert_ok(ptq_put(here, "job", 3, PTQ_NOWAIT));
    pid_t client = start_client(&net, "stopped", "hold", "1", &out, &in);
    expect_line(out, "held");
    ptt_stop(client);
    assert_ok(ptq_get(here, PTT_LONG, &msg)); /* 3 s of silence, and the grace */
    assert_true(ptq_msg_redelivered(msg));
    ptt_continue(client);
    assert_int_equal(write(in, "go\n", 3), 3);
    expect_line(out, "ack PTQ_ELEASELOST");
    assert_ok(ptq_ack(msg));
    ptt_assert_exit(client, 0, PTT_LONG);
    close(out);
    close(in);
    ptq_queue_close(here);
    net_fini(&net);
}

static void a_put_that_a_killed_client_saw_return_is_there(void **state)
{
    struct net net;
    char line[64];
    int out, in;
    (void)state;

    net_init(&net, short_grace);
    ptq_queue *here = net_open(net.here, "promised", &(struct ptq_queue_options){.capacity = 100000});
    pid_t client = start_client(&net, "promised", "put", "", &out, &in);
    unsigned long long last = 0, number;
    while (last < 300) {
        net_read_line(out, line, sizeof line);
        assert_int_equal(sscanf(line, "put %llu", &last), 1);
    }
    ptt_kill(client);
    FILE *rest = fdopen(out, "r");
    while (fgets(line, sizeof line, rest) != NULL && sscanf(line, "put %llu", &number) == 1)
        last = number;
    for (number = 1; number <= last; number++) {
        ptq_msg *msg;
        assert_ok(ptq_get(here, PTQ_NOWAIT, &msg));
        assert_int_equal(*(const uint64_t *)ptq_msg_data(msg), number);
        assert_ok(ptq_ack(msg));
    }
    fclose(rest);
    close(in);
    ptq_queue_close(here);
    net_fini(&net);
}

static int use_in_child(void *context)
{
    struct net *net = context;
    struct ptq_error error = {0};
    ptq_queue *queue;
    ptq_bus *bus = net_open_far(net, net->peers);
    enum ptq_err answer = ptq_queue_open(bus, "forked@home", &(struct ptq_queue_options){.error = &error}, &queue);

    return answer == PTQ_EFORKED && strstr(error.text, "fork") != NULL ? 0 : 1;
}

struct inherited {
    ptq_queue *queue;
    ptq_msg *msg;
};

static int use_inherited(void *context)
{
    struct inherited *inherited = context;

    if (ptq_put(inherited->queue, "x", 1, PTQ_NOWAIT) != PTQ_EFORKED || ptq_ack(inherited->msg) != PTQ_EFORKED)
        return 1;
    ptq_interrupt(inherited->queue);
    ptq_queue_close(inherited->queue);
    return 0;
}

static void a_forked_child_is_told_so(void **state)
{
    struct net net;
    struct inherited inherited;
    (void)state;

    net_init(&net, NULL);
    inherited.queue = net_open(net.there, "forked@home", NULL);
    assert_ok(ptq_put(inherited.queue, "mine", 4, PTQ_NOWAIT));
    assert_ok(ptq_get(inherited.queue, PTT_LONG, &inherited.msg));
    ptt_assert_exit(ptt_fork(use_in_child, &net), 0, PTT_LONG);
    ptt_assert_exit(ptt_fork(use_inherited, &inherited), 0, PTT_LONG);
    assert_ok(ptq_ack(inherited.msg)); /* the parent's goes on */
    ptq_queue_close(inherited.queue);
    net_fini(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_stopped_client_held_comes_back_and_its_late_ack_is_told),
        cmocka_unit_test(what_a_killed_client_held_comes_back_after_the_grace),
        cmocka_unit_test(a_put_that_a_killed_client_saw_return_is_there),
        cmocka_unit_test(a_forked_child_is_told_so),
    };

    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 4);
}
