/* test_names.c -- from a name to its home: here, there, by node, by address; and what is said where it is not clear. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/homes.h"

/* A bus of the third host that knows both homes, and whatever else. */
static ptq_bus *open_third(const char *more)
{
    char peers[400];

    snprintf(peers, sizeof peers, "east=%s,west=%s%s", east.url, west.url, more);
    return net_open_far(&east, peers);
}

static bool is_remote(ptq_queue *queue)
{
    return queue->port->remote;
}

/* ---- cases ---- */

static void a_local_queue_wins(void **state)
{
    ptq_bus *bus = open_third("");
    ptq_queue *there = net_open(east.here, "wins", NULL), *here = net_open(bus, "wins@self", NULL);
    ptq_queue *found = net_open(bus, "wins", NULL);
    (void)state;

    assert_false(is_remote(here));
    assert_false(is_remote(found));

    ptq_queue_close(found);
    ptq_queue_close(here);
    ptq_queue_close(there);
    ptq_bus_close(bus);
}

static void a_bare_name_finds_the_one_peer_that_has_it(void **state)
{
    ptq_bus *bus = open_third("");
    ptq_queue *there = net_open(west.here, "one", NULL), *found = net_open(bus, "one", NULL);
    char text[16];
    size_t size;
    (void)state;

    assert_true(is_remote(found));
    assert_string_equal(ptq_queue_name(found), "one");
    assert_ok(ptq_put(found, "x", 1, PTQ_NOWAIT));
    assert_ok(ptq_recv(there, text, sizeof text, PTQ_NOWAIT, &size));

    ptq_queue_close(found);
    ptq_queue_close(there);
    ptq_bus_close(bus);
}

static void two_remote_homes_are_an_error_that_names_both(void **state)
{
    ptq_bus *bus = open_third("");
    ptq_queue *one = net_open(east.here, "two", NULL), *other = net_open(west.here, "two", NULL);
    struct ptq_error error;
    (void)state;

    assert_answer(PTQ_EEXIST, net_try_open(bus, "two", PTQ_ATTACH, &error));
    ptt_assert_says(error.text, "two@east");
    ptt_assert_says(error.text, "two@west");
    ptq_queue *told = net_open(bus, "two@west", NULL);
    assert_true(is_remote(told));

    ptq_queue_close(told);
    ptq_queue_close(one);
    ptq_queue_close(other);
    ptq_bus_close(bus);
}

static void a_queue_that_is_nowhere_is_made_here(void **state)
{
    ptq_bus *bus = open_third("");
    struct ptq_error error;
    (void)state;

    assert_answer(PTQ_ENOENT, net_try_open(bus, "nowhere", PTQ_ATTACH, &error));
    ptq_queue *made = net_open(bus, "nowhere", NULL);
    assert_false(is_remote(made));

    ptq_queue_close(made);
    ptq_bus_close(bus);
}

static void what_exists_at_a_peer_is_not_made_again(void **state)
{
    ptq_bus *bus = open_third("");
    ptq_queue *there = net_open(east.here, "exists", NULL);
    struct ptq_error error;
    (void)state;

    assert_answer(PTQ_EEXIST, net_try_open(bus, "exists", PTQ_CREATE, &error));
    ptt_assert_says(error.text, "east");
    assert_answer(PTQ_EEXIST, net_try_open(bus, "exists@east", PTQ_CREATE, &error));

    ptq_queue_close(there);
    ptq_bus_close(bus);
}

/* No split brain by accident. */
static void nothing_is_made_while_a_peer_is_silent(void **state)
{
    ptq_bus *bus = open_third(",north=tcp://127.0.0.1:1");
    ptq_bus *lone = net_open_far(&east, "north=tcp://127.0.0.1:1");
    ptq_bus *const buses[] = {bus, lone};
    struct ptq_error error;
    (void)state;

    for (int i = 0; i < 2; i++) {
        assert_answer(PTQ_EUNREACHABLE, net_try_open(buses[i], "silent", PTQ_OPEN_OR_CREATE, &error));
        ptt_assert_says(error.text, "north");
        ptt_assert_says(error.text, "silent@self");
        assert_answer(PTQ_EUNREACHABLE, net_try_open(buses[i], "silent", PTQ_CREATE, &error));
        assert_answer(PTQ_EUNREACHABLE, net_try_open(buses[i], "silent", PTQ_ATTACH, &error));
        assert_ok(net_try_open(buses[i], "silent@self", PTQ_OPEN_OR_CREATE, &error));
        assert_ok(ptq_queue_unlink(buses[i], "silent", true));
    }
    ptq_queue *there = net_open(west.here, "silent", NULL), *found = net_open(bus, "silent", NULL);
    assert_true(is_remote(found)); /* who has it need not wait for the others */

    ptq_queue_close(found);
    ptq_queue_close(there);
    ptq_bus_close(lone);
    ptq_bus_close(bus);
}

static void a_queue_is_made_at_the_node_that_is_named(void **state)
{
    ptq_bus *bus = open_third("");
    struct ptq_error error;
    (void)state;

    ptq_queue *made = net_open(bus, "made@west", &(struct ptq_queue_options){.capacity = 3});
    assert_true(is_remote(made));
    assert_string_equal(ptq_queue_name(made), "made");
    assert_int_equal(made->port->capacity, 3);
    assert_ok(net_try_open(west.here, "made", PTQ_ATTACH, &error));
    assert_answer(PTQ_ENOENT, net_try_open(bus, "made@south", PTQ_ATTACH, &error));
    ptt_assert_says(error.text, "south");
    ptt_assert_says(error.text, "PTQ_PEERS");

    ptq_queue_close(made);
    ptq_bus_close(bus);
}

static void an_address_says_everything(void **state)
{
    ptq_bus *bus = net_open_far(&east, "");
    char name[200];
    struct ptq_error error;
    (void)state;

    snprintf(name, sizeof name, "ptq://%s/test/addressed", east.url + 6);
    ptq_queue *queue = net_open(bus, name, NULL);
    assert_string_equal(queue->port->where, name);
    assert_string_equal(ptq_queue_name(queue), "addressed");
    assert_ok(net_try_open(east.here, "addressed", PTQ_ATTACH, &error));
    snprintf(name, sizeof name, "ptq://%s/other/addressed", east.url + 6);
    assert_answer(PTQ_ENOENT, net_try_open(bus, name, PTQ_OPEN_OR_CREATE, &error));
    ptt_assert_says(error.text, "other");

    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

static void a_name_that_is_none_is_told_so(void **state)
{
    static const char *const names[] = {"",
                                        ".x",
                                        "a/b",
                                        "a b",
                                        "a@",
                                        "@b",
                                        "a@b@c",
                                        "ptq://",
                                        "ptq://host:1/x",
                                        "ptq:///run/x",
                                        "ptq://h:1/ru n/x",
                                        "http://h:1/run/x",
                                        "ptq+ipc://x"};
    struct ptq_error error;
    (void)state;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (net_try_open(east.there, names[i], PTQ_ATTACH, &error) != PTQ_EINVAL)
            fail_msg("'%s' was taken for a name", names[i]);
        assert_true(strlen(error.text) > 10);
    }
}

static void a_queue_may_be_waited_for(void **state)
{
    ptq_bus *bus = open_third("");
    (void)state;

    char program[] = "sleep 0.3; exec \"$0\" --dir \"$1\" --run test create waited";
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", program, PTQ, west.home.dir, (char *)NULL);
        _exit(126);
    }
    ptq_queue *queue = net_open(bus, "waited", &(struct ptq_queue_options){.mode = PTQ_ATTACH, .wait_ms = PTT_LONG});
    assert_true(is_remote(queue));
    ptt_assert_exit(child, 0, PTT_LONG);

    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

static void nothing_is_dialled_beyond_the_loopback(void **state)
{
    static const char *const urls[] = {"tcp://192.0.2.1:7400", "tcp://0.0.0.0:7400", "tcp://[2001:db8::1]:7400"};
    struct ptq_error error;
    char peers[100], name[100];
    (void)state;

    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        snprintf(peers, sizeof peers, "out=%s", urls[i]);
        ptq_bus *bus = net_open_far(&east, peers);
        assert_answer(PTQ_EPERM, net_try_open(bus, "x@out", PTQ_ATTACH, &error));
        ptt_assert_says(error.text, "insecure");
        assert_answer(PTQ_EPERM, net_try_open(bus, "never-here", PTQ_OPEN_OR_CREATE, &error));
        snprintf(name, sizeof name, "ptq://%s/test/x", urls[i] + 6);
        assert_answer(PTQ_EPERM, net_try_open(bus, name, PTQ_ATTACH, &error));
        ptq_bus_close(bus);
    }
}

static void an_address_that_ptq_does_not_speak_to_is_told_so(void **state)
{
    static const char *const urls[] = {"tls+tcp://127.0.0.1:1", "tcp://127.0.0.1", "tcp://127.0.0.1:port",
                                       "tcp://127.0.0.1:99999", "ipc://relative",  "ws://127.0.0.1/x"};
    struct ptq_error error;
    char peers[100];
    (void)state;

    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        snprintf(peers, sizeof peers, "odd=%s", urls[i]);
        ptq_bus *bus = net_open_far(&east, peers);
        assert_answer(PTQ_EINVAL, net_try_open(bus, "x@odd", PTQ_ATTACH, &error));
        ptt_assert_says(error.text, urls[i]);
        ptq_bus_close(bus);
    }
}

/* ---- the bridge ---- */

static void expect_refusal(const char *const *words, const char *why)
{
    char line[600];
    int ends[2], saved = dup(STDERR_FILENO), fd;

    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    pid_t pid = net_spawn(PTQBRIDGE, words, &fd);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    net_read_line(ends[0], line, sizeof line);
    close(ends[0]);
    close(fd);
    int status = ptt_reap(pid, PTT_LONG);
    assert_true(status != -1 && status != 0);
    if (strstr(line, why) == NULL || strncmp(line, "ptqbridge: ", 11) != 0)
        fail_msg("the bridge said '%s', not '%s'", line, why);
}

static void the_bridge_says_what_it_cannot_do(void **state)
{
    const char *dir = east.home.dir;
    (void)state;

    expect_refusal((const char *const[]){"--dir", dir, NULL}, "--listen");
    expect_refusal((const char *const[]){"--dir", dir, "--listen", "tcp://0.0.0.0:0", NULL}, "--insecure");
    expect_refusal((const char *const[]){"--dir", dir, "--listen", "tcp://*:0", NULL}, "--insecure");
    expect_refusal((const char *const[]){"--dir", dir, "--listen", "nonsense", NULL}, "tcp://host:port");
    expect_refusal((const char *const[]){"--dir", dir, "--listen", east.url, NULL}, east.url);
    expect_refusal((const char *const[]){"--dir", dir, "--listen", "tcp://127.0.0.1:0", "--peer", "x", NULL},
                   "name=url");
    expect_refusal(
        (const char *const[]){"--dir", dir, "--listen", "tcp://127.0.0.1:0", "--peer", "x=tcp://192.0.2.1:1", NULL},
        "insecure");
    expect_refusal((const char *const[]){"--dir", dir, "--nonsense", NULL}, "--nonsense");
}

static void with_insecure_it_listens_everywhere(void **state)
{
    struct net net;
    const char *words[] = {"--dir",      east.home.dir, "--listen", "tcp://0.0.0.0:0", "--insecure", "--quiet",
                           "--ready-fd", "1",           NULL};
    char line[200];
    int fd;
    (void)state, (void)net;

    pid_t pid = net_spawn(PTQBRIDGE, words, &fd);
    net_read_line(fd, line, sizeof line);
    ptt_kill(pid);
    close(fd);
    assert_non_null(strstr(line, "listening on tcp://0.0.0.0:"));
}

static void ipc_is_for_this_user_alone(void **state)
{
    char url[120], peers[140], name[200];
    struct stat status;
    int fd;
    (void)state;

    snprintf(url, sizeof url, "ipc://%s/bridge.sock", east.home.dir);
    const char *words[] = {"--dir", east.home.dir, "--run",      "test", "--listen",
                           url,     "--quiet",     "--ready-fd", "1",    NULL};
    pid_t pid = net_spawn(PTQBRIDGE, words, &fd);
    net_read_line(fd, name, sizeof name);
    close(fd);
    assert_int_equal(stat(url + 6, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    snprintf(peers, sizeof peers, "near=%s", url);
    ptq_bus *bus = net_open_far(&east, peers);
    ptq_queue *queue = net_open(bus, "ipc@near", NULL);
    assert_ok(ptq_put(queue, "x", 1, PTT_LONG));
    snprintf(name, sizeof name, "ptq+ipc://%s/bridge.sock/test/ipc", east.home.dir);
    assert_string_equal(queue->port->where, name);
    ptq_queue *same = net_open(bus, name, NULL);

    ptq_queue_close(same);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    ptt_kill(pid);
}

static void assert_reached(const char *dir, bool remote, const char *why)
{
    char peers[160];
    struct ptq_queue_path path;

    snprintf(peers, sizeof peers, "other=%s", east.url);
    struct ptq_bus_options options = {.dir = dir, .peers = peers, .node = "far"};
    ptq_bus *bus;
    assert_ok(ptq_bus_open("test", &options, &bus));
    ptq_queue *queue = net_open(bus, "near@other", NULL);
    assert_ok(ptq_queue_path(queue, &path));
    if (path.remote != remote || strstr(path.why, why) == NULL)
        fail_msg("%s, for: %s", path.remote ? "over a link" : "shared memory", path.why);

    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

/* By the home's page of memory, not by its name. */
static void a_home_that_has_our_memory_is_found_out(void **state)
{
    (void)state;

    ptq_queue *here = net_open(east.here, "near", NULL);
    assert_reached(east.home.dir, false, "one memory");
    assert_reached(east.far.dir, true, "has no ~node");
    assert_reached(west.home.dir, true, "its memory is not that of this bus");

    ptq_queue_close(here);
}

static void a_queue_that_the_bridge_of_this_host_carries_is_told_so(void **state)
{
    char peers[160];
    struct ptq_queue_path path;
    (void)state;

    snprintf(peers, sizeof peers, "east=%s", east.url);
    struct ptq_bus_options options = {.dir = west.home.dir, .peers = peers, .via = "bridge"};
    ptq_bus *bus;
    assert_ok(ptq_bus_open("test", &options, &bus));
    ptq_queue *there = net_open(east.here, "carried", NULL), *queue = net_open(bus, "carried@east", NULL);
    assert_ok(ptq_queue_path(queue, &path));
    assert_true(path.remote);
    assert_string_equal(path.via, "bridge");
    assert_non_null(strstr(path.why, "at node 'east'"));
    assert_non_null(strstr(path.why, "through the ptqbridge of this host"));

    ptq_queue_close(queue);
    ptq_queue_close(there);
    ptq_bus_close(bus);
}

static bool is_published(void *context)
{
    ptq_queue *queue;
    ptq_bus *bus = context;

    if (ptq_queue_open(bus, "published", &(struct ptq_queue_options){.mode = PTQ_ATTACH}, &queue) != PTQ_OK)
        return false;
    bool remote = is_remote(queue);
    ptq_queue_close(queue);
    return remote;
}

/* The bridge of this host knows the peers; its processes need not be told. */
static void what_the_bridge_learned_its_neighbours_find(void **state)
{
    struct net third;
    char peer[160], text[2000];
    (void)state;

    snprintf(peer, sizeof peer, "west=%s", west.url);
    net_init(&third, (const char *const[]){"--peer", peer, NULL});
    ptq_queue *there = net_open(west.here, "published", NULL);
    assert_true(ptt_wait_until(is_published, third.here, PTT_LONG));
    snprintf(text, sizeof text, "%s/~peers", ptq_bus_path(third.here));
    FILE *file = fopen(text, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_non_null(strstr(text, peer + 5));
    ptq_queue *named = net_open(third.here, "published@west", NULL);
    assert_true(is_remote(named));
    assert_int_equal(net_bridge_end(&third), 0);
    assert_int_equal(ptt_scratch_files(&third.home, "~peers"), 0);

    ptq_queue_close(named);
    ptq_queue_close(there);
    net_fini(&third);
}

static void all_runs_are_served_on_request(void **state)
{
    struct net net;
    struct ptq_error error;
    char name[200];
    (void)state;

    net_init(&net, (const char *const[]){"--all-runs", NULL});
    snprintf(name, sizeof name, "ptq://%s/other/queue", net.url + 6);
    assert_answer(PTQ_ENOENT, net_try_open(net.there, name, PTQ_ATTACH, &error));
    assert_ok(net_try_open(net.there, name, PTQ_OPEN_OR_CREATE, &error));
    ptq_bus *bus;
    assert_ok(ptq_bus_open("other", &(struct ptq_bus_options){.dir = net.home.dir, .peers = ""}, &bus));
    assert_ok(net_try_open(bus, "queue", PTQ_ATTACH, &error));

    ptq_bus_close(bus);
    net_fini(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_local_queue_wins),
        cmocka_unit_test(a_bare_name_finds_the_one_peer_that_has_it),
        cmocka_unit_test(two_remote_homes_are_an_error_that_names_both),
        cmocka_unit_test(a_queue_that_is_nowhere_is_made_here),
        cmocka_unit_test(what_exists_at_a_peer_is_not_made_again),
        cmocka_unit_test(nothing_is_made_while_a_peer_is_silent),
        cmocka_unit_test(a_queue_is_made_at_the_node_that_is_named),
        cmocka_unit_test(an_address_says_everything),
        cmocka_unit_test(a_name_that_is_none_is_told_so),
        cmocka_unit_test(a_queue_may_be_waited_for),
        cmocka_unit_test(nothing_is_dialled_beyond_the_loopback),
        cmocka_unit_test(an_address_that_ptq_does_not_speak_to_is_told_so),
        cmocka_unit_test(the_bridge_says_what_it_cannot_do),
        cmocka_unit_test(with_insecure_it_listens_everywhere),
        cmocka_unit_test(ipc_is_for_this_user_alone),
        cmocka_unit_test(a_home_that_has_our_memory_is_found_out),
        cmocka_unit_test(a_queue_that_the_bridge_of_this_host_carries_is_told_so),
        cmocka_unit_test(what_the_bridge_learned_its_neighbours_find),
        cmocka_unit_test(all_runs_are_served_on_request),
    };

    cmocka_set_test_filter(getenv("PTT_FILTER"));
    return cmocka_run_group_tests(tests, homes_start, homes_end);
}
