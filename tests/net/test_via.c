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
#include "remote/via/verbs.h"

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
    return net_open_way(&v->net, v->net.peers, way);
}

static int start(void **state)
{
    struct via *v = calloc(1, sizeof *v);

    net_init(&v->net, grace);
    net_near_start(&v->near, &v->net, NULL);
    v->bus = open_far(v, "bridge");
    *state = v;
    return 0;
}

static int stop(void **state)
{
    struct via *v = *state;

    ptq_bus_close(v->bus);
    net_bridge_kill(&v->near);
    net_fini(&v->net);
    free(v);
    return 0;
}

static void restart_near(struct via *v)
{
    net_bridge_kill(&v->near);
    net_bridge_start(&v->near, far_name);
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
    unsigned before = ptt_count_threads();
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

    assert_int_equal(ptt_count_threads(), before);
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
    return (int)ptt_count_threads() - 1;
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
    enum { COUNT = 3200, KILLS = 8 };
    pthread_t producer, consumer;
    ptq_queue *in = net_open(v->bus, "flow@home", NULL), *out = net_open(v->bus, "flow@home", NULL);
    struct ledger *put = ledger_new(in, COUNT), *got = ledger_new(out, COUNT);
    atomic_store(&put->open_to, 0);

    pthread_create(&consumer, NULL, ledger_consume, got);
    pthread_create(&producer, NULL, ledger_produce, put);
    for (unsigned i = 0; i < KILLS; i++) {
        ledger_go_on(put, COUNT / KILLS);
        restart_near(v);
    }
    pthread_join(producer, NULL);
    net_end(in);
    pthread_join(consumer, NULL);

    assert_int_equal(put->refused, 0);
    assert_int_equal(got->refused, 0);
    assert_true(put->in_doubt <= KILLS);
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

static int open_by_a_link(void *context)
{
    ptq_bus *bus = open_far(context, "direct");
    ptq_queue *queue;
    bool is_open = ptq_queue_open(bus, "tasks@home", NULL, &queue) == PTQ_OK;

    if (is_open)
        ptq_queue_close(queue);
    ptq_bus_close(bus);
    return is_open ? 0 : 1;
}

static void who_found_no_bridge_has_children_that_may_have_links(void **state)
{
    struct via *v = *state;
    ptq_queue *queue;

    net_bridge_kill(&v->near);
    assert_answer(PTQ_EUNREACHABLE, ptq_queue_open(v->bus, "tasks@home", NULL, &queue));

    ptt_assert_exit(ptt_fork(open_by_a_link, v), 0, PTT_LONG);
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
    struct net second;
    ptq_queue *queue = net_open(v->bus, "tasks@home", NULL);

    net_near_start(&second, &v->net, NULL);
    put_text(queue, "one");
    net_bridge_kill(&v->near);
    put_text(queue, "two");

    assert_ok(ptq_ack(get_text(queue, "one")));
    assert_ok(ptq_ack(get_text(queue, "two")));
    ptq_queue_close(queue);
    net_bridge_kill(&second);
}

/* As when somebody clears the directory: those who have it open have it no more. */
static void take_away_requests(const struct via *v)
{
    char path[300];

    snprintf(path, sizeof path, "%s/test/%s~v2", v->net.far.dir, PTI_ASK_NAME);
    assert_int_equal(unlink(path), 0);
}

static bool may_open(void *context)
{
    const struct via *v = context;
    ptq_queue *queue;

    if (ptq_queue_open(v->bus, "tasks@home", NULL, &queue) != PTQ_OK)
        return false;
    put_text(queue, "one");
    assert_ok(ptq_ack(get_text(queue, "one")));
    ptq_queue_close(queue);
    return true;
}

static void a_bridge_whose_queue_of_requests_was_taken_away_makes_another(void **state)
{
    struct via *v = *state;
    struct net second = {0};

    snprintf(second.home.dir, sizeof second.home.dir, "%s", v->net.far.dir);
    net_bridge_start(&second, far_name); /* it waits for its turn */
    assert_true(may_open(v));

    take_away_requests(v);

    assert_true(ptt_wait_until(may_open, v, PTT_LONG));
    net_bridge_kill(&second);
    assert_true(ptt_wait_until(may_open, v, PTT_LONG));
}

static unsigned count_maps(pid_t pid)
{
    char path[64], line[600];
    unsigned count = 0;

    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        count += strstr(line, PTI_ASK_NAME "~v2") != NULL;
    fclose(file);
    return count;
}

static void a_queue_of_requests_that_was_taken_away_is_not_kept_for_ever(void **state)
{
    struct via *v = *state;

    assert_true(may_open(v));
    unsigned before = count_maps(v->near.bridge);
    for (int i = 0; i < 12; i++) {
        take_away_requests(v);
        assert_true(ptt_wait_until(may_open, v, PTT_LONG));
    }

    assert_true(before > 0);
    assert_in_range(count_maps(v->near.bridge), before, 4 * before); /* the one in use, the one before it, and perhaps one with a request */
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

/* ---- what a request may bring */

static struct pti_port *open_own(const struct via *v, const char *name, struct pti_open open, enum ptq_open_mode mode)
{
    struct pti_port *port;

    open.options.mode = mode;
    assert_ok(pti_carriers.open_local(v->bus, name, &open, NULL, &port));
    return port;
}

/* Asks to make a queue, with pointers that are none there.  The answer's code. */
static uint32_t ask_with_pointers(const struct via *v, const char *url, const char *queue)
{
    static const uint8_t *const wild = (const uint8_t *)(uintptr_t)0x1000;
    struct {
        struct pti_ask ask;
        struct pti_ask_open open;
    } request = {.ask = {.layout = PTI_ASK_LAYOUT, .verb = PTI_ASK_OPEN, .client = {7, 7, 7}, .number = 1}};
    struct pti_answer answer = {0};
    char name[PTI_VIA_NAME];
    struct ptq_msg *msg;
    uint64_t position;
    size_t count;

    request.open.open = (struct pti_open){
        .options = {.mode = PTQ_CREATE, .spec = (const char *)wild, .group = (const char *)wild, .error = (struct ptq_error *)(uintptr_t)wild},
        .stream = wild, .maker = wild};
    snprintf(request.open.url, sizeof request.open.url, "%s", url);
    snprintf(request.open.name, sizeof request.open.name, "%s", queue);
    pti_via_name(name, PTI_ANSWER_PREFIX, request.ask.client, -1);
    struct pti_port *answers = open_own(v, name, pti_via_answer_open(), PTQ_OPEN_OR_CREATE);
    struct pti_port *ask = open_own(v, PTI_ASK_NAME, (struct pti_open){0}, PTQ_ATTACH);
    struct pti_put put = {.data = &request, .size = sizeof request};
    assert_ok(ask->ops->put(ask, &put, pti_deadline(PTT_LONG), &position));
    if (answers->ops->take(answers, 1, pti_deadline(5000), &msg, &count) == PTQ_OK) {
        memcpy(&answer, msg->data, sizeof answer);
        assert_ok(answers->ops->ack(answers, msg));
    }
    ask->ops->close(ask, PTI_DEADLINE_NOW);
    answers->ops->close(answers, PTI_DEADLINE_NOW);
    return answer.number == 1 ? answer.code : UINT32_MAX;
}

static void pointers_in_a_request_mean_nothing(void **state)
{
    struct via *v = *state;

    assert_int_equal(ask_with_pointers(v, v->net.url, "far-away"), PTQ_OK);
    assert_int_equal(ask_with_pointers(v, v->near.url, "near"), PTQ_OK); /* which has the memory of this bus */
    assert_true(may_open(v));
}

/* In a bridge's place: its first request is answered by texts that have no end. */
static int answer_without_ends(void *context)
{
    const struct via *v = context;
    struct {
        struct pti_answer head;
        struct pti_ask_opened opened;
    } answer = {.head = {.layout = PTI_ASK_LAYOUT}};
    char name[PTI_VIA_NAME];
    struct pti_ask request;
    struct ptq_msg *msg;
    uint64_t position;
    size_t count;

    struct pti_port *ask = open_own(v, PTI_ASK_NAME, (struct pti_open){.options = {.flags = PTQ_CONSUMER}}, PTQ_ATTACH);
    assert_ok(ask->ops->take(ask, 1, pti_deadline(PTT_LONG), &msg, &count));
    memcpy(&request, msg->data, sizeof request);
    pti_via_name(name, PTI_ANSWER_PREFIX, request.client, -1);
    struct pti_port *answers = open_own(v, name, (struct pti_open){.options = {.flags = PTQ_PRODUCER}}, PTQ_ATTACH);
    answer.opened.capacity = answer.opened.item_size = 64;
    memset(answer.opened.run, 'A', sizeof answer.opened - offsetof(struct pti_ask_opened, run));
    answer.head.number = request.number;
    struct pti_put put = {.data = &answer, .size = sizeof answer};
    assert_ok(answers->ops->put(answers, &put, pti_deadline(PTT_LONG), &position));
    while (pause() != 0)
        continue;
    return 0;
}

static void what_a_bridge_tells_of_a_queue_ends_somewhere(void **state)
{
    struct via *v = *state;
    struct ptq_queue_path path;
    ptq_queue *queue;

    net_bridge_kill(&v->near);
    pid_t bridge = ptt_fork(answer_without_ends, v);
    assert_ok(ptq_queue_open(v->bus, "tasks@home", &(struct ptq_queue_options){.mode = PTQ_ATTACH, .wait_ms = PTT_LONG}, &queue));

    assert_ok(ptq_queue_path(queue, &path));
    assert_in_range(strlen(path.where), 1, 255);
    assert_in_range(strlen(path.node), 1, 63);
    assert_in_range(strlen(path.run), 1, PTQ_NAME_MAX);
    assert_in_range(strlen(path.url), 1, PTI_ASK_URL - 1);
    assert_in_range(strlen(ptq_queue_spec(queue)), 1, PTQ_SPEC_TEXT_MAX);
    ptt_kill(bridge);
    ptq_queue_close(queue);
}

/* ---- a close, and a call that is not quite out */

static _Atomic bool is_slow, is_closed, was_closed;

void __real_pti_via_hear(struct pti_via *via, enum ptq_side side, enum ptq_err answer);
void __wrap_pti_via_hear(struct pti_via *via, enum ptq_side side, enum ptq_err answer);

/* The last that a get does with its handle: was that closed while it is on its way there? */
void __wrap_pti_via_hear(struct pti_via *via, enum ptq_side side, enum ptq_err answer)
{
    int64_t until = pti_now_ns() + PTI_NS_PER_S / 2;

    while (is_slow && !is_closed && pti_now_ns() < until)
        usleep(1000);
    was_closed = is_closed;
    if (!was_closed)
        __real_pti_via_hear(via, side, answer);
}

struct insider {
    ptq_queue *queue;
    _Atomic pid_t thread;
    enum ptq_err answer;
};

static void *stay_inside(void *context)
{
    struct insider *insider = context;
    ptq_msg *msg;

    insider->thread = gettid();
    insider->answer = ptq_get(insider->queue, PTQ_FOREVER, &msg);
    return NULL;
}

static bool is_inside(void *context)
{
    return ((struct insider *)context)->thread != 0;
}

static void a_close_waits_until_others_are_out_of_the_handle(void **state)
{
    struct via *v = *state;
    struct insider insider = {.queue = net_open(v->bus, "tasks@home", NULL)};
    pthread_t thread;

    is_slow = true;
    assert_int_equal(pthread_create(&thread, NULL, stay_inside, &insider), 0);
    assert_true(ptt_wait_until(is_inside, &insider, PTT_LONG));
    assert_true(ptt_wait_sleeping(getpid(), insider.thread, PTT_LONG));
    ptq_queue_close(insider.queue);
    is_closed = true;
    pthread_join(thread, NULL);
    is_slow = is_closed = false;

    assert_int_equal(insider.answer, PTQ_EINTR);
    assert_false(was_closed);
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
        CASE(who_found_no_bridge_has_children_that_may_have_links),
        CASE(a_home_that_is_away_is_unreachable),
        CASE(a_second_bridge_serves_when_the_first_is_killed),
        CASE(a_bridge_whose_queue_of_requests_was_taken_away_makes_another),
        CASE(a_queue_of_requests_that_was_taken_away_is_not_kept_for_ever),
        CASE(pointers_in_a_request_mean_nothing),
        CASE(what_a_bridge_tells_of_a_queue_ends_somewhere),
        CASE(the_way_is_said_clearly_or_refused),
        CASE(a_close_waits_until_others_are_out_of_the_handle),
        CASE(a_message_of_a_megabyte_goes_both_ways),
    };

    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 3);
}
