/* test_create.c -- an exclusive create whose bridge dies before it answers: its maker is let into what he made, or told that nobody
 * knows, and nobody else is. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/time.h"

#include "net/byhand.h"
#include "net/kit.h"

/* A home, and a host from where it is asked. */
struct pair {
    struct hand_home home;
    struct ptt_scratch far;
    ptq_bus *bus;
    pid_t next; /* the home's next bridge */
    ptq_queue *queue;
    enum ptq_err answer;
};

/* Below those that the kernel gives away, so that the next bridge has it again. */
static void find_port(char *url, size_t size)
{
    int one = 1, bound = -1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unsigned port = 0;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    for (unsigned i = 0; bound != 0 && i < 100; i++) {
        port = 10000 + (unsigned)(pti_now_ns() / 1000 + getpid() * 131) % 20000;
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        bound = bind(fd, (struct sockaddr *)&at, sizeof at);
    }
    close(fd);
    assert_int_equal(bound, 0);
    snprintf(url, size, "tcp://127.0.0.1:%u", port);
}

static pid_t start_bridge(const char *dir, const char *url)
{
    const char *const words[] = {"--dir", dir, "--run", "test", "--quiet", "--listen", url, "--ready-fd", "1", NULL};
    char line[200];
    int out;

    pid_t pid = net_spawn(PTQBRIDGE, words, &out);
    net_read_line(out, line, sizeof line);
    close(out);
    assert_memory_equal(line, "listening on", 12);
    return pid;
}

static void pair_init(struct pair *pair, const char *via)
{
    struct ptq_bus_options options = {.node = "far", .via = via};
    char peers[160];

    memset(pair, 0, sizeof *pair);
    ptt_scratch_init_dir(&pair->home.scratch);
    ptt_scratch_init_dir(&pair->far);
    find_port(pair->home.listen, sizeof pair->home.listen);
    hand_start_bridge(&pair->home, PTI_STEP_OPENED, 1);
    snprintf(peers, sizeof peers, "home=%s", pair->home.url);
    options.peers = peers;
    options.dir = pair->far.dir;
    assert_ok(ptq_bus_open("test", &options, &pair->bus));
}

static void pair_fini(struct pair *pair)
{
    ptq_bus_close(pair->bus);
    ptt_kill(pair->next);
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
    pair->next = start_bridge(pair->home.scratch.dir, pair->home.listen);
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
    struct pair pair;
    (void)state;

    pair_init(&pair, "bridge");
    pid_t near = start_bridge(pair.far.dir, "tcp://127.0.0.1:0");
    assert_is_made_once(&pair);
    ptt_kill(near);
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
