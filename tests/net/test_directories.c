/* test_directories.c -- what a bus knows of its peers, for how long, how they are asked, and two who make one queue at once. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/time.h"
#include "net/homes.h"
#include "net/log.h"
#include "os/clock.h"

static void assert_path(ptq_queue *queue, bool remote, const char *why)
{
    struct ptq_queue_path path;

    assert_ok(ptq_queue_path(queue, &path));
    if (path.remote != remote || strstr(path.why, why) == NULL)
        fail_msg("%s, for: %s", path.remote ? "over a link" : "shared memory", path.why);
}

/* ---- a home that cannot read its directory ---- */

struct told {
    enum ptq_err answer;
    size_t count;
    char why[200];
};

static bool note_peer(const struct ptq_peer *peer, void *context)
{
    struct told *told = context;

    told->answer = peer->answer;
    told->count = peer->queue_count;
    snprintf(told->why, sizeof told->why, "%s", peer->why);
    return true;
}

/* Its last descriptor is in use: it opens no other. */
static void use_up_descriptors(pid_t bridge, struct rlimit *ret_before)
{
    struct rlimit less;
    char path[64];
    struct stat facts;

    assert_int_equal(prlimit(bridge, RLIMIT_NOFILE, NULL, ret_before), 0);
    less = *ret_before;
    less.rlim_cur = 0;
    do
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)bridge, (int)less.rlim_cur++);
    while (lstat(path, &facts) == 0);
    less.rlim_cur--; /* the lowest that is free */
    assert_int_equal(prlimit(bridge, RLIMIT_NOFILE, &less, NULL), 0);
}

static void a_listing_that_cannot_be_made_is_told_so_and_is_not_an_empty_one(void **state)
{
    struct rlimit before;
    struct told told = {0};
    struct net net;
    (void)state;

    net_init(&net, NULL);
    ptq_bus *bus = net_open_far(&net, net.peers);
    ptq_queue *queue = net_open(bus, "one@home", NULL); /* keeps the link */
    use_up_descriptors(net.bridge, &before);
    assert_ok(ptq_bus_look_at_peers(bus, note_peer, &told));
    assert_int_equal(prlimit(net.bridge, RLIMIT_NOFILE, &before, NULL), 0);
    assert_true(told.answer != PTQ_OK && strstr(told.why, "list") != NULL);
    assert_ok(ptq_bus_look_at_peers(bus, note_peer, &told));
    assert_ok(told.answer);
    assert_int_equal(told.count, 1);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    net_fini(&net);
}

/* ---- a peer that accepts and says nothing ---- */

static int listen_silently(char url[64])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    snprintf(url, 64, "tcp://127.0.0.1:%u", ntohs(address.sin_port));
    return fd;
}

enum { SILENT = 6 };

/* Each has a deadline of 3 s.  One after the other they would take 18. */
static void silent_peers_are_waited_for_once(void **state)
{
    char peers[80 * SILENT + 200] = "", url[64];
    struct ptq_error error;
    int fds[SILENT];
    (void)state;

    for (int i = 0; i < SILENT; i++) {
        fds[i] = listen_silently(url);
        snprintf(peers + strlen(peers), sizeof peers - strlen(peers), "silent-%d=%s,", i, url);
    }
    snprintf(peers + strlen(peers), sizeof peers - strlen(peers), "west=%s", west.url);
    ptq_bus *bus = net_open_far(&east, peers);
    int64_t began = pti_now_ns();
    assert_answer(PTQ_EUNREACHABLE, net_try_open(bus, "unheard-of", PTQ_OPEN_OR_CREATE, &error));
    assert_true(pti_now_ns() - began < 3 * INT64_C(3) * PTI_NS_PER_S);
    for (int i = 0; i < SILENT; i++) {
        int fd = accept(fds[i], NULL, NULL);
        assert_true(fd >= 0);
        close(fd);
        close(fds[i]);
    }

    ptq_bus_close(bus);
}

static void a_home_that_serves_at_two_addresses_is_one(void **state)
{
    struct net net;
    char peers[300], more[120];
    (void)state;

    snprintf(more, sizeof more, "ipc://%s/second.sock", east.far.dir);
    net_init(&net, (const char *const[]){"--listen", more, NULL});
    snprintf(peers, sizeof peers, "one=%s,other=%s,west=%s", net.url, more, west.url);
    ptq_bus *bus = net_open_far(&east, peers);
    ptq_queue *there = net_open(net.here, "served-twice", NULL), *found = net_open(bus, "served-twice", NULL);
    assert_path(found, true, "'one' has it");

    ptq_queue_close(found);
    ptq_queue_close(there);
    ptq_bus_close(bus);
    net_fini(&net);
}

/* ---- what is published ---- */

/* As a bridge would have published it, so many milliseconds from now on. */
static void publish(const struct net *net, long long names_ms, long long peers_ms, const char *lines)
{
    char path[200], *text;
    long long now = pti_host_ns() / PTI_NS_PER_MS;

    snprintf(path, sizeof path, "%s/~peers", ptq_bus_path(net->here));
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(asprintf(&text, "ptq-peers 2\nuntil %lld %lld\n%s", now + names_ms, now + peers_ms, lines) > 0);
    fputs(text, file);
    fclose(file);
    free(text);
}

static void where_a_queue_was_seen_is_looked_first(void **state)
{
    struct net third;
    char lines[400], url[64];
    int fd = listen_silently(url);
    (void)state;

    net_init(&third, NULL);
    snprintf(lines, sizeof lines, "peer silent %s up\npeer west %s up\nqueue seen west\n", url, west.url);
    publish(&third, 60000, 60000, lines);
    ptq_queue *there = net_open(west.here, "seen", NULL), *found = net_open(third.here, "seen", NULL);
    assert_path(found, true, "saw it at peer 'west'");
    assert_int_equal(accept(fd, NULL, NULL), -1); /* nobody else was asked */

    ptq_queue_close(found);
    ptq_queue_close(there);
    net_fini(&third);
    close(fd);
}

static void a_hint_that_is_wrong_misleads_nobody(void **state)
{
    struct net third;
    char lines[400];
    struct ptq_error error;
    (void)state;

    net_init(&third, NULL);
    snprintf(lines, sizeof lines, "peer east %s up\npeer west %s up\nqueue moved west\nqueue gone west\n", east.url, west.url);
    publish(&third, 60000, 60000, lines);
    ptq_queue *there = net_open(east.here, "moved", NULL), *found = net_open(third.here, "moved", NULL);
    assert_path(found, true, "'east' has it");
    assert_answer(PTQ_ENOENT, net_try_open(third.here, "gone", PTQ_ATTACH, &error));

    ptq_queue_close(found);
    ptq_queue_close(there);
    net_fini(&third);
}

/* First the names are not believed any more, then the peers are not. */
static void what_a_killed_bridge_published_expires(void **state)
{
    struct net third;
    char lines[400], url[64];
    struct ptq_error error;
    int fd = listen_silently(url);
    (void)state;

    net_init(&third, NULL);
    ptq_queue *there = net_open(west.here, "late", NULL);
    snprintf(lines, sizeof lines, "peer west %s up\npeer east %s up\nqueue late west\n", west.url, east.url);
    publish(&third, -1, 60000, lines);
    ptq_queue *found = net_open(third.here, "late", NULL);
    assert_path(found, true, "of 2 peers");
    publish(&third, -60000, -1, lines);
    assert_answer(PTQ_ENOENT, net_try_open(third.here, "late", PTQ_ATTACH, &error));
    snprintf(lines, sizeof lines, "peer silent %s up\n", url);
    publish(&third, -60000, -1, lines);
    assert_ok(net_try_open(third.here, "late", PTQ_OPEN_OR_CREATE, &error)); /* nobody is known who could have it */
    assert_int_equal(accept(fd, NULL, NULL), -1);

    ptq_queue_close(found);
    ptq_queue_close(there);
    net_fini(&third);
    close(fd);
}

static void touch(const char *directory, const char *name)
{
    char path[300];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static bool has_published(void *context)
{
    return ptt_scratch_files(context, "~peers") == 1;
}

/* A bridge that is killed between writing and renaming leaves a part. */
static void the_litter_of_a_killed_bridge_goes_with_the_next(void **state)
{
    struct net third;
    char peer[160];
    (void)state;

    snprintf(peer, sizeof peer, "west=%s", west.url);
    net_init(&third, (const char *const[]){"--peer", peer, NULL});
    assert_true(ptt_wait_until(has_published, &third.home, PTT_LONG));
    net_bridge_kill(&third);
    assert_int_equal(ptt_scratch_files(&third.home, "~peers"), 1);
    touch(ptq_bus_path(third.here), "~peers.0");
    touch(ptq_bus_path(third.here), "~peers.7");
    net_bridge_start(&third, NULL); /* and this one knows no peers */
    assert_int_equal(ptt_scratch_files(&third.home, "~peers"), 0);
    assert_int_equal(ptt_scratch_files(&third.home, "~peers.0"), 0);
    assert_int_equal(ptt_scratch_files(&third.home, "~peers.7"), 0);

    net_fini(&third);
}

static bool says_down(void *context)
{
    const struct net *third = context;
    char path[200], text[2000];

    snprintf(path, sizeof path, "%s/~peers", ptq_bus_path(third->here));
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return strstr(text, " down\n") != NULL && strstr(text, "queue remembered gone\n") != NULL;
}

/* For as long as names are believed. */
static void the_names_of_a_peer_that_has_gone_silent_are_kept_for_a_while(void **state)
{
    struct net third, gone;
    char peer[160];
    (void)state;

    net_init(&gone, NULL);
    ptq_queue *queue = net_open(gone.here, "remembered", NULL);
    snprintf(peer, sizeof peer, "gone=%s", gone.url);
    net_init(&third, (const char *const[]){"--peer", peer, NULL});
    assert_true(ptt_wait_until(has_published, &third.home, PTT_LONG));
    net_bridge_kill(&gone);
    assert_true(ptt_wait_until(says_down, &third, PTT_LONG));
    net_log_wait(&third, "component=peer event=down peer=gone url=tcp://127.0.0.1:");

    ptq_queue_close(queue);
    net_fini(&third);
    net_fini(&gone);
}

static void run_tool(const char *words, const char *dir, const char *peers, char text[8000])
{
    (void)net_run(text, 8000, PTQ, "--dir %s --run test --peers %s %s", dir, peers, words);
}

static void doctor_warns_of_a_name_that_is_here_and_there(void **state)
{
    char peers[200], text[8000];
    (void)state;

    snprintf(peers, sizeof peers, "west=%s", west.url);
    ptq_queue *here = net_open(east.here, "twin", NULL), *there = net_open(west.here, "twin", NULL);
    run_tool("doctor", east.home.dir, peers, text);
    if (strstr(text, "1 both here and at another host ('west')") == NULL || strstr(text, ": twin") == NULL)
        fail_msg("%s", text);
    snprintf(peers, sizeof peers, "myself=%s", east.url); /* the same memory is no other host */
    run_tool("doctor", east.home.dir, peers, text);
    if (strstr(text, "none of this bus was found at a peer too") == NULL)
        fail_msg("%s", text);

    ptq_queue_close(there);
    ptq_queue_close(here);
}

static void what_is_not_found_is_told_with_where_it_was_looked_for(void **state)
{
    static const char *const looks[][2] = {
        {"info nosuch", "there is no queue 'nosuch', here or at the only peer 'west'"},
        {"info nosuch@west", "does not exist at 'home' (run 'test')"},
        {"info nosuch@nowhere", "no peer is called 'nowhere'"},
        {"info nosuch@self", "create it with: ptq create nosuch"},
    };
    char peers[200], text[8000];
    (void)state;

    snprintf(peers, sizeof peers, "west=%s", west.url);
    for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++) {
        run_tool(looks[i][0], east.home.dir, peers, text);
        if (strstr(text, looks[i][1]) == NULL)
            fail_msg("%s: %s", looks[i][0], text);
    }
}

/* ---- two at once ---- */

enum { RACES = 200 };

static ptq_bus *open_home(const struct net *home, const struct net *other)
{
    char peers[160];
    struct ptq_bus_options options = {.dir = home->home.dir, .peers = peers};
    ptq_bus *bus;

    snprintf(peers, sizeof peers, "other=%s", other->url);
    assert_ok(ptq_bus_open("test", &options, &bus));
    return bus;
}

static void race(ptq_bus *const buses[2], int number, unsigned here[2])
{
    struct makers makers;
    char name[32];

    snprintf(name, sizeof name, "race-%d", number);
    makers_start(&makers, buses[0], buses[1], name);
    makers_join(&makers);
    for (int i = 0; i < 2; i++) {
        struct maker *maker = &makers.each[i];
        if (maker->answer != PTQ_OK)
            fail_msg("race %d: maker %d: %s: %s", number, i, ptq_err_name(maker->answer), maker->error.text);
        here[i] += !maker->queue->port->remote;
    }
    assert_memory_equal(makers.each[0].queue->port->id, makers.each[1].queue->port->id, 16);
    assert_true(makers.each[0].queue->port->remote != makers.each[1].queue->port->remote);
    makers_close(&makers);
    for (int i = 0; i < 2; i++)
        (void)!ptq_queue_unlink(buses[i], name, true);
}

static void two_hosts_that_make_one_queue_at_once_end_up_with_one(void **state)
{
    ptq_bus *buses[2] = {open_home(&east, &west), open_home(&west, &east)};
    unsigned here[2] = {0};
    (void)state;

    for (int i = 0; i < RACES; i++)
        race(buses, i, here);
    print_message("of %d: %u here, %u there\n", RACES, here[0], here[1]);
    assert_int_equal(here[0] + here[1], RACES);

    ptq_bus_close(buses[0]);
    ptq_bus_close(buses[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listing_that_cannot_be_made_is_told_so_and_is_not_an_empty_one),
        cmocka_unit_test(silent_peers_are_waited_for_once),
        cmocka_unit_test(a_home_that_serves_at_two_addresses_is_one),
        cmocka_unit_test(where_a_queue_was_seen_is_looked_first),
        cmocka_unit_test(a_hint_that_is_wrong_misleads_nobody),
        cmocka_unit_test(what_a_killed_bridge_published_expires),
        cmocka_unit_test(the_litter_of_a_killed_bridge_goes_with_the_next),
        cmocka_unit_test(the_names_of_a_peer_that_has_gone_silent_are_kept_for_a_while),
        cmocka_unit_test(doctor_warns_of_a_name_that_is_here_and_there),
        cmocka_unit_test(what_is_not_found_is_told_with_where_it_was_looked_for),
        cmocka_unit_test(two_hosts_that_make_one_queue_at_once_end_up_with_one),
    };

    return ptt_run_beside_with(tests, sizeof tests / sizeof *tests, 3, homes_start, homes_end);
}
