/* test_routes.c -- which queues a bridge serves, which of others are found through it, and under which names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/kit.h"
#include "net/log.h"

static void assert_same_queue(ptq_queue *one, ptq_queue *other)
{
    char text[16];
    size_t size;

    assert_memory_equal(one->port->id, other->port->id, sizeof one->port->id);
    assert_true(one->port->remote != other->port->remote);
    assert_ok(ptq_put(one, "x", 1, PTT_LONG));
    assert_ok(ptq_recv(other, text, sizeof text, PTT_LONG, &size));
}

static void read_text(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");

    text[0] = '\0';
    if (file == NULL)
        return;
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

/* ---- exports ---- */

static void what_is_not_exported_is_not_there_for_others(void **state)
{
    struct net net;
    struct ptq_error error;
    (void)state;

    net_init(&net, (const char *const[]){"--export", "open-*", "--export", "one", "--deny", "open-secret", NULL});
    ptq_queue *open = net_open(net.here, "open-a", NULL), *secret = net_open(net.here, "open-secret", NULL),
              *closed = net_open(net.here, "closed", NULL);
    ptq_queue *found = net_open(net.there, "open-a", NULL);
    assert_same_queue(open, found);
    assert_answer(PTQ_ENOENT, net_try_open(net.there, "open-secret@home", PTQ_ATTACH, &error));
    ptt_assert_says(error.text, "--export");
    assert_answer(PTQ_ENOENT, net_try_open(net.there, "closed@home", PTQ_ATTACH, &error));
    assert_answer(PTQ_ENOENT, net_try_open(net.there, "never-made@home", PTQ_ATTACH, &error)); /* one cannot tell them apart */
    ptt_assert_says(error.text, "--export");
    assert_answer(PTQ_EPERM, net_try_open(net.there, "mine@home", PTQ_OPEN_OR_CREATE, &error));
    ptt_assert_says(error.text, "not served");
    assert_answer(PTQ_ENOENT, net_try_open(net.here, "mine", PTQ_ATTACH, &error));
    assert_ok(net_try_open(net.there, "one@home", PTQ_OPEN_OR_CREATE, &error));
    assert_ok(net_try_open(net.here, "one", PTQ_ATTACH, &error));
    ptq_queue *other = net_open(net.there, "closed", NULL); /* nobody's but ours */
    assert_false(other->port->remote);

    ptq_queue_close(other);
    ptq_queue_close(found);
    ptq_queue_close(closed);
    ptq_queue_close(secret);
    ptq_queue_close(open);
    net_fini(&net);
}

static void a_renamed_queue_has_one_name_here_and_one_there(void **state)
{
    struct net net;
    struct ptq_error error;
    (void)state;

    net_init(&net, (const char *const[]){"--rename", "tasks=work", "--rename", "jobs-*=east.*", NULL});
    ptq_queue *tasks = net_open(net.here, "tasks", NULL), *jobs = net_open(net.here, "jobs-7", NULL);
    ptq_queue *work = net_open(net.there, "work", NULL), *east = net_open(net.there, "east.7@home", NULL);
    assert_same_queue(tasks, work);
    assert_same_queue(jobs, east);
    assert_answer(PTQ_ENOENT, net_try_open(net.there, "tasks@home", PTQ_ATTACH, &error));
    assert_answer(PTQ_ENOENT, net_try_open(net.there, "jobs-7@home", PTQ_ATTACH, &error));
    assert_ok(net_try_open(net.there, "east.new@home", PTQ_OPEN_OR_CREATE, &error));
    assert_ok(net_try_open(net.here, "jobs-new", PTQ_ATTACH, &error));
    assert_answer(PTQ_ENOENT, net_try_open(net.here, "east.new", PTQ_ATTACH, &error));

    ptq_queue_close(east);
    ptq_queue_close(work);
    ptq_queue_close(jobs);
    ptq_queue_close(tasks);
    net_fini(&net);
}

/* Over a broken link, too: the name of the channel is that of the other side. */
static void a_renamed_queue_is_opened_again_after_its_bridge_was_killed(void **state)
{
    static const char *const options[] = {"--rename", "tasks=work", NULL};
    struct net net;
    char text[16];
    size_t size;
    (void)state;

    net_init(&net, options);
    ptq_queue *tasks = net_open(net.here, "tasks", NULL), *work = net_open(net.there, "work", NULL);
    assert_same_queue(tasks, work);
    net_bridge_kill(&net);
    net_bridge_start(&net, options);
    assert_ok(ptq_put(tasks, "again", 5, PTT_LONG));
    enum ptq_err answer;
    do
        answer = ptq_recv(work, text, sizeof text, PTT_LONG, &size);
    while (answer == PTQ_EUNREACHABLE || answer == PTQ_EINDOUBT);
    assert_ok(answer);
    assert_int_equal(size, 5);

    ptq_queue_close(work);
    ptq_queue_close(tasks);
    net_fini(&net);
}

/* A memory in which names lead elsewhere is not entered by a short cut. */
static void renames_hold_for_who_shares_the_memory(void **state)
{
    struct net net;
    char peers[160];
    (void)state;

    net_init(&net, (const char *const[]){"--rename", "tasks=work", NULL});
    snprintf(peers, sizeof peers, "myself=%s", net.url);
    struct ptq_bus_options options = {.dir = net.home.dir, .peers = peers};
    ptq_bus *bus;
    assert_ok(ptq_bus_open("test", &options, &bus));
    ptq_queue *tasks = net_open(net.here, "tasks", NULL), *work = net_open(bus, "work@myself", NULL);
    assert_same_queue(tasks, work);

    ptq_queue_close(work);
    ptq_queue_close(tasks);
    ptq_bus_close(bus);
    net_fini(&net);
}

/* ---- imports ---- */

struct published {
    const struct net *net;
    const char *words;
};

static bool says(void *context)
{
    const struct published *published = context;
    char path[200], text[8000];

    snprintf(path, sizeof path, "%s/~peers", ptq_bus_path(published->net->here));
    read_text(path, text, sizeof text);
    return strstr(text, published->words) != NULL;
}

static void what_is_not_imported_is_not_found_by_its_bare_name(void **state)
{
    struct net west, third;
    char peer[160], path[200], text[8000];
    struct ptq_error error;
    (void)state;

    net_init(&west, NULL);
    static const char *const names[] = {"in-a", "in-x", "out-a", "theirs"};
    ptq_queue *there[4];
    for (int i = 0; i < 4; i++)
        there[i] = net_open(west.here, names[i], NULL);
    snprintf(peer, sizeof peer, "west=%s", west.url);
    net_init(&third, (const char *const[]){"--peer", peer, "--import", "in-*", "--deny", "in-x", "--rename", "in-mine=theirs", NULL});
    assert_true(ptt_wait_until(says, &(struct published){&third, "\nqueue in-mine west\n"}, PTT_LONG));
    snprintf(path, sizeof path, "%s/~peers", ptq_bus_path(third.here));
    read_text(path, text, sizeof text);
    ptt_assert_says(text, "\nqueue in-a west\n");
    assert_null(strstr(text, "in-x west"));
    assert_null(strstr(text, "out-a"));
    assert_null(strstr(text, "queue theirs"));

    ptq_queue *a = net_open(third.here, "in-a", NULL), *mine = net_open(third.here, "in-mine", NULL);
    assert_same_queue(there[0], a);
    assert_same_queue(there[3], mine);
    assert_answer(PTQ_ENOENT, net_try_open(third.here, "out-a", PTQ_ATTACH, &error));
    assert_answer(PTQ_ENOENT, net_try_open(third.here, "in-x", PTQ_ATTACH, &error));
    assert_answer(PTQ_ENOENT, net_try_open(third.here, "theirs", PTQ_ATTACH, &error));
    assert_ok(net_try_open(third.here, "out-a@west", PTQ_ATTACH, &error)); /* said outright */
    ptq_queue *own = net_open(third.here, "out-a", NULL);
    assert_false(own->port->remote);

    ptq_queue_close(own);
    ptq_queue_close(mine);
    ptq_queue_close(a);
    for (int i = 0; i < 4; i++)
        ptq_queue_close(there[i]);
    net_fini(&third);
    net_fini(&west);
}

/* Each bridge of a ring knows the next: what it tells is its own, never what it was told. */
static void names_do_not_go_round_in_a_ring(void **state)
{
    struct net ring[3];
    char peers[3][160], path[200], text[8000];
    struct ptq_error error;
    (void)state;

    for (int i = 0; i < 3; i++)
        net_init(&ring[i], NULL);
    ptq_queue *queue = net_open(ring[0].here, "wanderer", NULL);
    for (int i = 0; i < 3; i++) {
        snprintf(peers[i], sizeof peers[i], "next=%s", ring[(i + 1) % 3].url);
        assert_int_equal(net_bridge_end(&ring[i]), 0);
        net_bridge_start(&ring[i], (const char *const[]){"--peer", peers[i], NULL});
    }
    assert_true(ptt_wait_until(says, &(struct published){&ring[2], "queue wanderer next\n"}, PTT_LONG));
    assert_true(ptt_wait_until(says, &(struct published){&ring[1], " up\n"}, PTT_LONG));
    snprintf(path, sizeof path, "%s/~peers", ptq_bus_path(ring[1].here));
    read_text(path, text, sizeof text);
    assert_null(strstr(text, "wanderer"));
    assert_answer(PTQ_ENOENT, net_try_open(ring[1].here, "wanderer", PTQ_ATTACH, &error));
    assert_ok(net_try_open(ring[2].here, "wanderer", PTQ_ATTACH, &error));

    ptq_queue_close(queue);
    for (int i = 0; i < 3; i++)
        net_fini(&ring[i]);
}

/* ---- words ---- */

static void a_rule_that_is_none_is_told_so(void **state)
{
    static const char *const rules[][2] = {
        {"--rename", "tasks"}, {"--rename", "a*=b"}, {"--export", "a/b"}, {"--import", ""}, {"--deny", "a b"}};
    char text[2000];
    (void)state;

    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        struct ptt_scratch scratch;
        ptt_scratch_init_dir(&scratch);
        assert_int_equal(net_run(text, sizeof text, PTQBRIDGE, "--dir %s --listen tcp://127.0.0.1:0 %s '%s'", scratch.dir, rules[i][0],
                                 rules[i][1]), 2);
        ptt_assert_says(text, rules[i][0] + 2);
        ptt_assert_says(text, rules[i][1]);
        ptt_scratch_fini(&scratch);
    }
}

enum { COUNTED = 1000 };

/* A put is asked in a frame and answered in a frame: not less, and with its link's greetings and pings hardly more. */
static void the_log_tells_how_many_frames_there_were(void **state)
{
    struct net net;
    char word[64];
    (void)state;

    net_init(&net, (const char *const[]){"--verbose", NULL});
    ptq_queue *queue = net_open(net.there, "counted@home", &(struct ptq_queue_options){.capacity = COUNTED});
    for (int i = 0; i < COUNTED; i++)
        assert_ok(ptq_put(queue, "0123456789", 10, PTT_LONG));
    ptq_queue_close(queue);
    assert_int_equal(net_bridge_end(&net), 0);
    uint64_t in = net_log_total(&net, "frames_in"), out = net_log_total(&net, "frames_out");
    if (in < COUNTED || out < COUNTED || in + out > 3 * COUNTED)
        fail_msg("%d messages: %llu frames in, %llu out", COUNTED, (unsigned long long)in, (unsigned long long)out);
    assert_true(net_log_total(&net, "bytes_in") > 10 * COUNTED);
    assert_true(net_log_total(&net, "bytes_out") > 10 * COUNTED);
    char *log = net_log_read(&net);
    const char *link = strstr(log, " frames_in="); /* of the one link, before the total */
    snprintf(word, sizeof word, " frames_in=%llu ", (unsigned long long)in);
    assert_non_null(link);
    assert_int_equal(strncmp(link, word, strlen(word)), 0);
    ptt_assert_says(log, "node=\"far\""); /* and who came over it */
    free(log);

    net_fini(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_exported_is_not_there_for_others),
        cmocka_unit_test(a_renamed_queue_has_one_name_here_and_one_there),
        cmocka_unit_test(a_renamed_queue_is_opened_again_after_its_bridge_was_killed),
        cmocka_unit_test(renames_hold_for_who_shares_the_memory),
        cmocka_unit_test(what_is_not_imported_is_not_found_by_its_bare_name),
        cmocka_unit_test(names_do_not_go_round_in_a_ring),
        cmocka_unit_test(a_rule_that_is_none_is_told_so),
        cmocka_unit_test(the_log_tells_how_many_frames_there_were),
    };

    cmocka_set_test_filter(getenv("PTT_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
