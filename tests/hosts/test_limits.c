/* test_limits.c -- ten thousand queues in a bus, two thousand endpoints at a queue, the least and the largest of each figure.
 *
 * Bounds of time are many times what was measured: they fail where something grows with the square.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hosts/hosts.h"

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool allow_descriptors(rlim_t count)
{
    struct rlimit limit = {count, count};

    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* ---- queues ---- */

enum { QUEUES = 10000 };

static bool count_one(const char *name, void *context)
{
    char expected[16];
    unsigned *count = context;

    snprintf(expected, sizeof expected, "q%05u", (*count)++);
    return strcmp(name, expected) == 0;
}

static int many_queues(void *context)
{
    struct hosts *h = context;
    struct ptq_queue_options small = {.mode = PTQ_CREATE, .capacity = 1, .item_size = 16, .max_endpoints = 1};
    struct ptq_gc_report report;
    struct statvfs space;
    ptq_bus *bus = NULL;
    unsigned count = 0;
    int64_t begun = now_ms(), made, listed, kept, removed;
    char name[16];

    if (statvfs(h->dir, &space) != 0 || (uint64_t)space.f_bavail * space.f_frsize < UINT64_C(3) << 30)
        return hosts_cannot(h, "%d queues need 3 GB of /dev/shm", QUEUES);
    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    for (unsigned i = 0; i < QUEUES; i++) {
        ptq_queue *queue = NULL;
        snprintf(name, sizeof name, "q%05u", i);
        HOSTS_OK(h, hosts_queue(bus, name, &small, &queue));
        if (i % 100 == 0)
            HOSTS_OK(h, ptq_put(queue, "x", 1, PTQ_NOWAIT));
        ptq_queue_close(queue);
    }
    made = now_ms();
    HOSTS_OK(h, ptq_bus_list(bus, count_one, &count));
    HOSTS_TRUE(h, count == QUEUES);
    listed = now_ms();
    HOSTS_OK(h, ptq_bus_gc(bus, false, &report));
    HOSTS_TRUE(h, report.queues == QUEUES && report.kept == QUEUES / 100 && report.removed == QUEUES - QUEUES / 100);
    kept = now_ms();
    HOSTS_OK(h, ptq_bus_gc(bus, true, &report));
    HOSTS_TRUE(h, report.removed == QUEUES / 100);
    removed = now_ms();
    h->page->words[0] = (uint64_t)(made - begun);
    h->page->words[1] = (uint64_t)(listed - made);
    h->page->words[2] = (uint64_t)(kept - listed);
    if (made - begun > 15000 || listed - made > 2000 || removed - listed > 15000)
        return hosts_wrong(h, "%d queues: made in %lld ms, listed in %lld, collected in %lld", QUEUES,
                           (long long)(made - begun), (long long)(listed - made), (long long)(removed - listed));
    ptq_bus_close(bus);
    return 0;
}

static void ten_thousand_queues_are_made_listed_and_collected_in_seconds(void **state)
{
    struct hosts *h = *state;

    hosts_run(h, many_queues);
    print_message("made in %llu ms, listed in %llu, collected in %llu\n", (unsigned long long)h->page->words[0],
                  (unsigned long long)h->page->words[1], (unsigned long long)h->page->words[2]);
}

/* ---- endpoints ---- */

enum { ENDPOINTS = 2047, DOOMED = 400, CHILDREN = 4, ENDED = 10 };

static const struct ptq_queue_options crowded = {.max_endpoints = ENDPOINTS, .capacity = 5000, .item_size = 64};

/* Opens DOOMED handles, leases one message by each, and waits to be killed. */
static int hold_many(void *context)
{
    struct hosts *h = context;
    ptq_bus *bus = NULL;
    ptq_msg *msg = NULL;

    HOSTS_TRUE(h, allow_descriptors(4096));
    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    for (int i = 0; i < DOOMED; i++) {
        ptq_queue *queue = NULL;
        HOSTS_OK(h, hosts_queue(bus, "tasks", &crowded, &queue));
        HOSTS_OK(h, ptq_get(queue, PTQ_NOWAIT, &msg));
    }
    atomic_fetch_add(&h->page->words[0], 1);
    for (;;)
        pause();
}

static int crowd(void *context)
{
    struct hosts *h = context;
    ptq_bus *bus = NULL;
    ptq_queue *first = NULL, *queue = NULL;
    static ptq_queue *queues[ENDPOINTS];
    ptq_msg *msg = NULL;
    pid_t children[CHILDREN];
    int64_t begun = now_ms(), opened, recovered;

    HOSTS_TRUE(h, allow_descriptors(4096));
    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", &crowded, &first));
    for (uint64_t i = 0; i < CHILDREN * DOOMED; i++)
        HOSTS_OK(h, ptq_put(first, &i, sizeof i, PTQ_NOWAIT));
    for (int i = 0; i < CHILDREN; i++)
        children[i] = ptt_fork(hold_many, h);
    if (!ptt_wait_word(&h->page->words[0], CHILDREN, PTT_LONG))
        return 1; /* a child has said why */
    for (int i = 1; i < ENDPOINTS - CHILDREN * DOOMED; i++)
        HOSTS_OK(h, hosts_queue(bus, "tasks", &crowded, &queues[i]));
    opened = now_ms();

    HOSTS_ANSWER(h, PTQ_EAGAIN, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_SAYS(h, hosts_text, "'tasks'", "2047", "close some", "max_endpoints");
    HOSTS_ANSWER(h, PTQ_EMPTY, ptq_get(first, PTQ_NOWAIT, &msg));

    for (int i = 0; i < CHILDREN; i++)
        kill(children[i], SIGKILL); /* hundreds of endpoints at once */
    recovered = now_ms();
    for (int i = 0; i < CHILDREN * DOOMED; i++) {
        ptq_queue *taker = i % 2 == 0 ? first : queues[1 + i % (ENDPOINTS - CHILDREN * DOOMED - 1)];
        HOSTS_OK(h, ptq_get(taker, PTT_LONG, &msg));
        HOSTS_TRUE(h, ptq_msg_redelivered(msg));
        HOSTS_OK(h, ptq_ack(msg));
    }
    recovered = now_ms() - recovered;
    for (int i = 0; i < CHILDREN; i++)
        waitpid(children[i], NULL, 0);
    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &queue)); /* there is room again */
    ptq_queue_close(queue);
    for (int i = 1; i < ENDPOINTS - CHILDREN * DOOMED; i++)
        ptq_queue_close(queues[i]);
    ptq_queue_close(first);
    ptq_bus_close(bus);
    h->page->words[ENDED] = (uint64_t)(opened - begun);
    h->page->words[ENDED + 1] = (uint64_t)recovered;
    h->page->words[ENDED + 2] = (uint64_t)(now_ms() - begun);
    if (opened - begun > 15000 || recovered > 10000)
        return hosts_wrong(h, "opened in %lld ms, recovered in %lld", (long long)(opened - begun), (long long)recovered);
    return 0;
}

static void two_thousand_endpoints_work_and_hundreds_may_die_at_once(void **state)
{
    struct hosts *h = *state;

    hosts_run(h, crowd);
    print_message("opened in %llu ms, recovered in %llu, all in %llu\n", (unsigned long long)h->page->words[ENDED],
                  (unsigned long long)h->page->words[ENDED + 1], (unsigned long long)h->page->words[ENDED + 2]);
}

/* ---- figures ---- */

static int fill_and_drain(struct hosts *h, ptq_bus *bus, uint64_t capacity)
{
    struct ptq_queue_options options = {.capacity = capacity, .item_size = 8, .max_endpoints = 2};
    ptq_queue *queue = NULL;
    uint64_t got = 0;
    size_t size = 0;

    HOSTS_OK(h, hosts_queue(bus, "figures", &options, &queue));
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < capacity; i++)
            HOSTS_OK(h, ptq_put(queue, &i, sizeof i, PTQ_NOWAIT));
        HOSTS_ANSWER(h, PTQ_FULL, ptq_put(queue, &capacity, sizeof capacity, PTQ_NOWAIT));
        for (uint64_t i = 0; i < capacity; i++) {
            HOSTS_OK(h, ptq_recv(queue, &got, sizeof got, PTQ_NOWAIT, &size));
            HOSTS_TRUE(h, got == i);
        }
        HOSTS_ANSWER(h, PTQ_EMPTY, ptq_recv(queue, &got, sizeof got, PTQ_NOWAIT, &size));
    }
    ptq_queue_close(queue);
    HOSTS_OK(h, ptq_queue_unlink(bus, "figures", false));
    return 0;
}

static int try_capacities(void *context)
{
    static const uint64_t capacities[] = {1, 2, 3, 63, 64, 65, 127, 128, 129, 4095, 4096, 4097, (1u << 16) - 1, 1u << 16};
    struct hosts *h = context;
    ptq_bus *bus = NULL;
    int answer = 0;

    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    for (size_t i = 0; answer == 0 && i < sizeof capacities / sizeof capacities[0]; i++)
        answer = fill_and_drain(h, bus, capacities[i]);
    ptq_bus_close(bus);
    return answer;
}

static void capacity_is_exact_around_every_power_of_two(void **state) { hosts_run(*state, try_capacities); }

static int try_largest(void *context)
{
    struct hosts *h = context;
    struct ptq_queue_options options = {.capacity = 1u << 22, .item_size = 8, .max_endpoints = 2};
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    char name[PTQ_NAME_MAX + 2];

    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_OK(h, hosts_queue(bus, "largest", &options, &queue));
    HOSTS_OK(h, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    ptq_queue_close(queue);
    HOSTS_OK(h, ptq_queue_unlink(bus, "largest", false));

    options.capacity++;
    HOSTS_ANSWER(h, PTQ_EINVAL, hosts_queue(bus, "beyond", &options, &queue));
    HOSTS_SAYS(h, hosts_text, "'beyond'", "4194305", "4194304");
    options = (struct ptq_queue_options){.max_endpoints = 2048};
    HOSTS_ANSWER(h, PTQ_EINVAL, hosts_queue(bus, "beyond", &options, &queue));
    HOSTS_SAYS(h, hosts_text, "'beyond'", "2048", "2047");
    options = (struct ptq_queue_options){.item_size = UINT32_MAX};
    HOSTS_ANSWER(h, PTQ_EINVAL, hosts_queue(bus, "beyond", &options, &queue));
    HOSTS_SAYS(h, hosts_text, "'beyond'", "item_size", "at most");

    memset(name, 'n', sizeof name);
    name[PTQ_NAME_MAX] = '\0';
    HOSTS_OK(h, hosts_queue(bus, name, NULL, &queue));
    ptq_queue_close(queue);
    name[PTQ_NAME_MAX] = 'n';
    name[PTQ_NAME_MAX + 1] = '\0';
    HOSTS_ANSWER(h, PTQ_EINVAL, hosts_queue(bus, name, NULL, &queue));
    HOSTS_SAYS(h, hosts_text, "at most 128 bytes");
    ptq_bus_close(bus);
    return 0;
}

static void beyond_each_largest_figure_is_a_sentence(void **state) { hosts_run(*state, try_largest); }

int main(int argc, char **argv)
{
    const struct CMUnitTest figures[] = {
        HOSTS_CASE(capacity_is_exact_around_every_power_of_two),
        HOSTS_CASE(beyond_each_largest_figure_is_a_sentence),
    };
    const struct CMUnitTest crowds[] = {
        HOSTS_CASE(ten_thousand_queues_are_made_listed_and_collected_in_seconds),
        HOSTS_CASE(two_thousand_endpoints_work_and_hundreds_may_die_at_once),
    };

    if (argc > 1 && strcmp(argv[1], "figures") == 0)
        return cmocka_run_group_tests(figures, NULL, NULL);
    return cmocka_run_group_tests(crowds, NULL, NULL);
}
