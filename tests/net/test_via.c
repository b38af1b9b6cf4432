/* test_via.c -- queues of another host through the ptqbridge of this one: no thread, no link, and who may die meanwhile. */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "bus/bus.h"
#include "net/kit.h"
#include "net/ledger.h"
#include "remote/via/ask.h"

/* The home, and a far host with a bridge of its own. */
struct via {
    struct net net;
    struct net near; /* only its bridge: .home is the far directory */
    ptq_bus *bus;    /* of the far host, through that bridge */
};

static const char *const grace[] = {"--grace", "300ms", NULL};
static const char *const far_name[] = {"--node", "far", NULL};

static ptq_bus *open_far(const struct via *v, const char *way)
{
    struct ptq_error error = {0};
    struct ptq_bus_options options = {
        .dir = v->net.far.dir, .peers = v->net.peers, .node = "far", .via = way, .error = &error};
    ptq_bus *bus;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK)
        fail_msg("%s", error.text);
    return bus;
}

static int start(void **state)
{
    struct via *v = calloc(1, sizeof *v);

    net_init(&v->net, grace);
    snprintf(v->near.home.dir, sizeof v->near.home.dir, "%s", v->net.far.dir);
    net_bridge_start(&v->near, far_name);
    v->bus = open_far(v, "bridge");
    *state = v;
    return 0;
}

static int stop(void **state)
{
    struct via *v = *state;

    ptq_bus_close(v->bus);
    if (v->near.bridge != 0)
        ptt_kill(v->near.bridge);
    net_fini(&v->net);
    free(v);
    return 0;
}

static void restart_near(struct via *v)
{
    if (v->near.bridge != 0)
        net_bridge_kill(&v->near);
    net_bridge_start(&v->near, far_name);
}

/* ThreadSanitizer has one of its own. */
static unsigned count_threads(void)
{
#ifdef __SANITIZE_THREAD__
    return 1;
#endif
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    unsigned count = 0;

    while (tasks != NULL && (entry = readdir(tasks)) != NULL)
        count += entry->d_name[0] != '.';
    if (tasks != NULL)
        closedir(tasks);
    return count;
}

static void put_text(ptq_queue *queue, const char *text)
{
    assert_ok(ptq_put(queue, text, strlen(text), PTT_LONG));
}

static ptq_msg *get_text(ptq_queue *queue, const char *text)
{
    ptq_msg *msg;

    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_int_equal(ptq_msg_size(msg), strlen(text));
    assert_memory_equal(ptq_msg_data(msg), text, strlen(text));
    return msg;
}

static void a_program_has_no_thread_for_it(void **state)
{
    struct via *v = *state;
    unsigned before = count_threads();
    ptq_queue *queue = net_open(v->bus, "tasks@home", NULL);
    struct ptq_queue_stats stats;

    put_text(queue, "one");
    put_text(queue, "two");
    assert_ok(ptq_ack(get_text(queue, "one")));
    assert_ok(ptq_nack(get_text(queue, "two"), 0));
    assert_ok(ptq_ack(get_text(queue, "two")));
    assert_ok(ptq_queue_stats(queue, &stats));
    assert_true(stats.remote);
    assert_int_equal(stats.acked, 2);

    assert_int_equal(count_threads(), before);
    ptq_queue_close(queue);
    assert_int_equal(ptt_scratch_files(&v->net.far, NULL), 0);
}

static int put_in_child(void *context)
{
    struct via *v = context;
    ptq_bus *bus = open_far(v, "bridge");
    ptq_queue *queue = net_open(bus, "tasks@home", NULL);

    put_text(queue, "child");
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return (int)count_threads() - 1;
}

static void a_forked_child_opens_its_own_and_the_parents_is_refused(void **state)
{
    struct via *v = *state;
    ptq_queue *queue = net_open(v->bus, "tasks@home", NULL);

    ptt_assert_exit(ptt_fork(put_in_child, v), 0, PTT_LONG);

    assert_ok(ptq_ack(get_text(queue, "child")));
    ptq_queue_close(queue);
}

static int open_after_links(void *context)
{
    struct via *v = context;
    ptq_bus *direct = open_far(v, NULL);
    ptq_queue *queue = net_open(direct, "tasks@home", NULL); /* nng is in this process from here on */

    put_text(queue, "parent");
    pid_t child = fork();
    if (child == 0) {
        ptq_bus *bus = open_far(v, NULL); /* and nothing says which way */
        ptq_queue *own = net_open(bus, "tasks@home", NULL);
        enum ptq_err inherited = ptq_put(queue, "x", 1, PTQ_NOWAIT);
        ptq_msg *msg;
        if (ptq_get(own, PTT_LONG, &msg) != PTQ_OK || ptq_ack(msg) != PTQ_OK || inherited != PTQ_EFORKED)
            _exit(1);
        ptq_queue_close(own);
        ptq_bus_close(bus);
        _exit(0);
    }
    ptt_assert_exit(child, 0, PTT_LONG);
    ptq_queue_close(queue);
    ptq_bus_close(direct);
    return 0;
}

static void a_child_of_a_process_with_links_goes_through_the_bridge_by_itself(void **state)
{
    ptt_assert_exit(ptt_fork(open_after_links, *state), 0, PTT_LONG);
}

struct holder {
    struct via *v;
    struct ptt_page *page;
};

static int hold(void *context)
{
    struct holder *holder = context;
    ptq_bus *bus = open_far(holder->v, "bridge");
    ptq_queue *queue = net_open(bus, "tasks@home", NULL);
    ptq_msg *msg;

    if (ptq_get(queue, PTT_LONG, &msg) != PTQ_OK)
        return 1;
    holder->page->words[0] = 1;
    for (;;)
        pause();
}

static void what_a_killed_program_held_comes_again_flagged(void **state)
{
    struct via *v = *state;
    ptq_queue *queue = net_open(v->bus, "tasks@home", NULL);
    struct holder holder = {v, ptt_page_new()};

    put_text(queue, "work");
    pid_t pid = ptt_fork(hold, &holder);
    assert_true(ptt_wait_word(&holder.page->words[0], 1, PTT_LONG));
    ptt_kill(pid);

    ptq_msg *msg = get_text(queue, "work");
    assert_true(ptq_msg_redelivered(msg));
    assert_ok(ptq_ack(msg));
    ptt_page_free(holder.page);
    ptq_queue_close(queue);
}

static bool has_no_answers(void *context)
{
    const struct via *v = context;
    char path[160];

    snprintf(path, sizeof path, "%s/test", v->net.far.dir);
    DIR *dir = opendir(path);
    bool none = true;

    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        none = none && strncmp(entry->d_name, PTI_ANSWER_PREFIX, strlen(PTI_ANSWER_PREFIX)) != 0;
    if (dir != NULL)
        closedir(dir);
    return none;
}

static int open_alone(void *context)
{
    struct holder *holder = context;

    if (net_open(open_far(holder->v, "bridge"), "tasks@home", NULL) == NULL)
        return 1;
    holder->page->words[0] = 1;
    for (;;)
        pause();
}

/* Also by a bridge that nobody else asks for anything. */
static void a_program_that_is_killed_when_it_has_only_opened_is_noticed(void **state)
{
    struct via *v = *state;
    struct holder holder = {v, ptt_page_new()};

    pid_t pid = ptt_fork(open_alone, &holder);
    assert_true(ptt_wait_word(&holder.page->words[0], 1, PTT_LONG));
    assert_false(has_no_answers(v));
    ptt_kill(pid);
    assert_true(ptt_wait_until(has_no_answers, v, PTT_LONG));
    ptt_page_free(holder.page);
}

static void a_stopped_program_holds_only_what_it_took(void **state)
{
    struct via *v = *state;
    ptq_queue *queue = net_open(v->bus, "tasks@home", NULL);
    struct holder holder = {v, ptt_page_new()};

    put_text(queue, "first");
    pid_t pid = ptt_fork(hold, &holder);
    assert_true(ptt_wait_word(&holder.page->words[0], 1, PTT_LONG));
    ptt_stop(pid);
    for (int i = 0; i < 100; i++) {
        put_text(queue, "more");
        assert_ok(ptq_ack(get_text(queue, "more")));
    }

    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_stats(queue, &stats));
    assert_int_equal(stats.leased, 1);
    assert_int_equal(stats.ready, 0);
    ptt_kill(pid);
    ptt_page_free(holder.page);
    ptq_queue_close(queue);
}

static void a_handle_outlives_the_bridge_that_was_killed(void **state)
{
    struct via *v = *state;
    ptq_queue *queue = net_open(v->bus, "tasks@home", NULL);

    put_text(queue, "held");
    put_text(queue, "next");
    ptq_msg *held = get_text(queue, "held");
    restart_near(v);

    put_text(queue, "after");
    assert_answer(PTQ_ELEASELOST, ptq_ack(held));
    bool redelivered = false;
    for (int i = 0; i < 3; i++) { /* "held" when the grace has passed */
        ptq_msg *msg;
        assert_ok(ptq_get(queue, PTT_LONG, &msg));
        redelivered |= ptq_msg_redelivered(msg) && memcmp(ptq_msg_data(msg), "held", 4) == 0;
        assert_ok(ptq_ack(msg));
    }
    assert_true(redelivered);
    ptq_queue_close(queue);
}

struct getter {
    ptq_queue *queue;
    enum ptq_err answer;
};

static void *get_for_ever(void *context)
{
    struct getter *getter = context;
    ptq_msg *msg;

    getter->answer = ptq_get(getter->queue, PTQ_FOREVER, &msg);
    if (getter->answer == PTQ_OK)
        getter->answer = ptq_ack(msg);
    return NULL;
}

static void a_get_that_waits_goes_on_over_the_next_bridge(void **state)
{
    struct via *v = *state;
    struct getter getter = {.queue = net_open(v->bus, "tasks@home", NULL), .answer = PTQ_EMPTY};
    ptq_queue *here = net_open(v->net.here, "tasks", NULL);
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, get_for_ever, &getter), 0);
    restart_near(v);
    put_text(here, "late");
    pthread_join(thread, NULL);

    assert_ok(getter.answer);
    ptq_queue_close(getter.queue);
    ptq_queue_close(here);
}

struct putter {
    ptq_queue *queue;
    enum ptq_err first, retried, after;
};

static void *put_and_ask_again(void *context)
{
    struct putter *putter = context;

    putter->first = ptq_put(putter->queue, "doubt", 5, PTT_LONG);
    putter->retried = ptq_put_with(putter->queue, "doubt", 5, &(struct ptq_put_options){.flags = PTQ_RETRY}, PTQ_NOWAIT);
    putter->after = ptq_put(putter->queue, "after", 5, PTT_LONG);
    return NULL;
}

/* A request was taken by the bridge, and is not answered. */
static bool is_taken(void *context)
{
    struct ptq_queue_stats stats = {0};
    struct pti_port *requests = context;

    return requests->ops->stats(requests, &stats) == PTQ_OK && stats.leased > 0;
}

static ptq_msg *get_any(ptq_queue *queue)
{
    ptq_msg *msg;

    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    return msg;
}

/* The next bridge asks again under the same name. */
static void a_put_whose_bridge_was_killed_is_done_once_by_the_next(void **state)
{
    struct via *v = *state;
    struct putter putter = {.queue = net_open(v->bus, "tasks@home", NULL)};
    struct pti_port *requests;
    pthread_t thread;

    put_text(putter.queue, "before");
    assert_ok(pti_carriers.open_local(v->bus, "~ask", &(struct pti_open){.options.mode = PTQ_ATTACH}, NULL, &requests));
    ptt_stop(v->net.bridge); /* the home's: it does not answer */
    assert_int_equal(pthread_create(&thread, NULL, put_and_ask_again, &putter), 0);
    assert_true(ptt_wait_until(is_taken, requests, PTT_LONG));
    restart_near(v);
    ptt_continue(v->net.bridge);
    pthread_join(thread, NULL);
    requests->ops->close(requests, PTI_DEADLINE_NOW);

    assert_ok(putter.first);
    assert_ok(putter.retried); /* nothing was in doubt: it is another */
    assert_ok(putter.after);
    const char *const expected[] = {"before", "doubt", "doubt", "after"};
    for (int i = 0; i < 4; i++) {
        ptq_msg *msg = get_any(putter.queue);
        assert_memory_equal(ptq_msg_data(msg), expected[i], strlen(expected[i]));
        assert_false(ptq_msg_redelivered(msg));
        assert_ok(ptq_ack(msg));
    }
    ptq_queue_close(putter.queue);
}

struct doubter {
    ptq_queue *queue;
    _Atomic uint64_t may_retry;
    _Atomic uint64_t in_doubt;
    enum ptq_err first, other, retried;
};

static void *put_and_retry_when_told(void *context)
{
    struct doubter *doubter = context;
    struct ptq_put_options retry = {.flags = PTQ_RETRY};

    doubter->first = ptq_put(doubter->queue, "doubt", 5, PTT_LONG);
    atomic_store(&doubter->in_doubt, 1);
    ptt_wait_word(&doubter->may_retry, 1, PTT_LONG);
    doubter->other = ptq_put_with(doubter->queue, "other", 5, &retry, PTT_LONG);
    doubter->retried = ptq_put_with(doubter->queue, "doubt", 5, &retry, PTT_LONG);
    return NULL;
}

/* Nobody took the dead one's place for 3 s.  Whoever does later can say what became of it. */
static void a_put_in_doubt_is_decided_by_a_bridge_that_comes_later(void **state)
{
    struct via *v = *state;
    struct doubter doubter = {.queue = net_open(v->bus, "tasks@home", NULL)};
    ptq_queue *here = net_open(v->net.here, "tasks", NULL);
    struct ptq_queue_stats stats;
    struct pti_port *requests;
    pthread_t thread;

    assert_ok(pti_carriers.open_local(v->bus, "~ask", &(struct pti_open){.options.mode = PTQ_ATTACH}, NULL, &requests));
    ptt_stop(v->net.bridge);
    assert_int_equal(pthread_create(&thread, NULL, put_and_retry_when_told, &doubter), 0);
    assert_true(ptt_wait_until(is_taken, requests, PTT_LONG));
    requests->ops->close(requests, PTI_DEADLINE_NOW);
    net_bridge_kill(&v->near);
    assert_true(ptt_wait_word(&doubter.in_doubt, 1, PTT_LONG));
    ptt_continue(v->net.bridge);
    net_bridge_start(&v->near, far_name);
    atomic_store(&doubter.may_retry, 1);
    pthread_join(thread, NULL);

    assert_answer(PTQ_EINDOUBT, doubter.first);
    assert_answer(PTQ_EINVAL, doubter.other); /* it says that it is the same */
    assert_ok(doubter.retried);
    assert_ok(ptq_queue_stats(here, &stats));
    assert_int_equal(stats.put, 1);
    ptq_msg *msg = get_text(here, "doubt");
    assert_false(ptq_msg_redelivered(msg));
    assert_ok(ptq_ack(msg));
    ptq_queue_close(here);
    ptq_queue_close(doubter.queue);
}

static void where_nothing_is_in_doubt_a_retry_is_an_ordinary_put(void **state)
{
    struct via *v = *state;
    ptq_queue *queue = net_open(v->bus, "tasks@home", NULL);

    assert_ok(ptq_put_with(queue, "one", 3, &(struct ptq_put_options){.flags = PTQ_RETRY}, PTT_LONG));
    assert_ok(ptq_ack(get_text(queue, "one")));
    ptq_queue_close(queue);
}

static void a_near_bridge_killed_in_mid_flow_loses_nothing(void **state)
{
    struct via *v = *state;
    uint64_t count = 3000, kills = 0;
    pthread_t producer, consumer;
    ptq_queue *in = net_open(v->bus, "flow@home", NULL), *out = net_open(v->bus, "flow@home", NULL);
    struct ledger *put = ledger_new(in, count), *got = ledger_new(out, count);

    pthread_create(&consumer, NULL, ledger_consume, got);
    pthread_create(&producer, NULL, ledger_produce, put);
    while (atomic_load(&put->done) < count) {
        ptt_wait_word(&put->done, atomic_load(&put->done) + 500, 500);
        if (atomic_load(&put->done) >= count)
            break;
        restart_near(v);
        kills++;
    }
    pthread_join(producer, NULL);
    enum ptq_err ended;
    while ((ended = ptq_end(in)) != PTQ_OK && ended != PTQ_EALREADY)
        ;
    pthread_join(consumer, NULL);

    assert_true(kills >= 3);
    assert_int_equal(put->refused, 0);
    assert_int_equal(got->refused, 0);
    assert_true(put->in_doubt <= kills);
    ledger_assert(put, got);
    free(put);
    free(got);
    ptq_queue_close(in);
    ptq_queue_close(out);
}

static void without_a_bridge_it_is_unreachable_and_says_why(void **state)
{
    struct via *v = *state;
    ptq_queue *queue = net_open(v->bus, "tasks@home", NULL), *other = NULL;
    struct ptq_error error = {0};
    char why[400];

    net_bridge_kill(&v->near);
    enum ptq_err first = ptq_put(queue, "x", 1, PTQ_NOWAIT); /* it was asked, and its death was the answer */
    assert_true(first == PTQ_EINDOUBT || first == PTQ_EUNREACHABLE);
    assert_answer(PTQ_EUNREACHABLE, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    assert_non_null(strstr(ptq_queue_explain(queue, PTQ_EUNREACHABLE, 0, why, sizeof why), "ptqbridge"));
    assert_answer(PTQ_EUNREACHABLE,
                  ptq_queue_open(v->bus, "tasks@home", &(struct ptq_queue_options){.error = &error}, &other));
    assert_non_null(strstr(error.text, "ptqbridge"));
    ptq_queue_close(queue);
}

static void a_home_that_is_away_is_unreachable(void **state)
{
    struct via *v = *state;
    ptq_queue *queue = net_open(v->bus, "tasks@home", NULL);

    net_bridge_kill(&v->net);
    while (ptq_put(queue, "x", 1, PTQ_NOWAIT) == PTQ_EINDOUBT) /* until the near bridge has noticed */
        ;
    assert_answer(PTQ_EUNREACHABLE, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    net_bridge_start(&v->net, grace);
    while (ptq_put(queue, "y", 1, PTQ_NOWAIT) == PTQ_EUNREACHABLE) /* until it was dialled again */
        ;
    assert_ok(ptq_ack(get_text(queue, "y")));
    ptq_queue_close(queue);
}

static void a_second_bridge_serves_when_the_first_is_killed(void **state)
{
    struct via *v = *state;
    struct net second = {0};
    ptq_queue *queue = net_open(v->bus, "tasks@home", NULL);

    snprintf(second.home.dir, sizeof second.home.dir, "%s", v->net.far.dir);
    net_bridge_start(&second, far_name);
    put_text(queue, "one");
    net_bridge_kill(&v->near);
    put_text(queue, "two");

    assert_ok(ptq_ack(get_text(queue, "one")));
    assert_ok(ptq_ack(get_text(queue, "two")));
    ptq_queue_close(queue);
    net_bridge_kill(&second);
}

static void the_way_is_said_clearly_or_refused(void **state)
{
    struct via *v = *state;
    struct ptq_error error = {0};
    struct ptq_bus_options odd = {.dir = v->net.far.dir, .via = "sideways", .error = &error};
    struct ptq_queue_options both = {.flags = PTQ_VIA_BRIDGE | PTQ_DIRECT, .error = &error};
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;

    assert_answer(PTQ_EINVAL, ptq_bus_open("test", &odd, &bus));
    assert_non_null(strstr(error.text, "sideways"));
    assert_answer(PTQ_EINVAL, ptq_queue_open(v->bus, "tasks@home", &both, &queue));
    assert_non_null(strstr(error.text, "PTQ_DIRECT"));
}

static void a_message_of_a_megabyte_goes_both_ways(void **state)
{
    struct via *v = *state;
    size_t size = 1 << 20;
    uint8_t *bytes = malloc(size);
    ptq_queue *queue = net_open(v->bus, "large@home", &(struct ptq_queue_options){.item_size = 1 << 20, .capacity = 8});
    ptq_msg *msg;

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 4099);
    assert_ok(ptq_put(queue, bytes, size, PTT_LONG));
    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_int_equal(ptq_msg_size(msg), size);
    assert_memory_equal(ptq_msg_data(msg), bytes, size);
    assert_ok(ptq_ack(msg));
    free(bytes);
    ptq_queue_close(queue);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_program_has_no_thread_for_it),
        CASE(a_forked_child_opens_its_own_and_the_parents_is_refused),
        CASE(a_child_of_a_process_with_links_goes_through_the_bridge_by_itself),
        CASE(what_a_killed_program_held_comes_again_flagged),
        CASE(a_program_that_is_killed_when_it_has_only_opened_is_noticed),
        CASE(a_stopped_program_holds_only_what_it_took),
        CASE(a_handle_outlives_the_bridge_that_was_killed),
        CASE(a_get_that_waits_goes_on_over_the_next_bridge),
        CASE(a_put_whose_bridge_was_killed_is_done_once_by_the_next),
        CASE(a_put_in_doubt_is_decided_by_a_bridge_that_comes_later),
        CASE(where_nothing_is_in_doubt_a_retry_is_an_ordinary_put),
        CASE(a_near_bridge_killed_in_mid_flow_loses_nothing),
        CASE(without_a_bridge_it_is_unreachable_and_says_why),
        CASE(a_home_that_is_away_is_unreachable),
        CASE(a_second_bridge_serves_when_the_first_is_killed),
        CASE(the_way_is_said_clearly_or_refused),
        CASE(a_message_of_a_megabyte_goes_both_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
