/* test_shares.c -- shares and logs of another host: the same calls, each change once, whatever links and bridges do. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ptq/log.h>
#include <ptq/share.h>
#include <ptq/version.h>

#include "base/time.h"
#include "net/keys.h"
#include "net/raw.h"
#include "net/world.h"
#include "remote/via/verbs.h"
#include "wire/record.h"
#include "wire/share.h"

static ptq_share *open_share(ptq_bus *bus, const char *name, const struct ptq_share_options *options)
{
    struct ptq_share_options filled = options != NULL ? *options : (struct ptq_share_options){0};
    struct ptq_error error = {0};
    ptq_share *share = NULL;

    filled.error = &error;
    if (ptq_share_open(bus, name, &filled, &share) != PTQ_OK)
        fail_msg("%s: %s", name, error.text);
    return share;
}

static ptq_log *open_log(ptq_bus *bus, const char *name, const struct ptq_log_options *options)
{
    struct ptq_log_options filled = options != NULL ? *options : (struct ptq_log_options){0};
    struct ptq_error error = {0};
    ptq_log *log = NULL;

    filled.error = &error;
    if (ptq_log_open(bus, name, &filled, &log) != PTQ_OK)
        fail_msg("%s: %s", name, error.text);
    return log;
}

/* Most cases run twice: by a link of this process, and through the bridge of its host. */
#define BRIDGE ((void *)"bridge")

/* The far host's bus, which goes one of these ways. */
struct way {
    bool is_bridge;
    struct net near; /* only its bridge */
    ptq_bus *bus;
};

static void way_init(struct way *way, const struct net *net, const char *peers, bool is_bridge)
{
    *way = (struct way){.is_bridge = is_bridge};
    if (is_bridge)
        net_near_start(&way->near, net, NULL);
    way->bus = net_open_way(net, peers, is_bridge ? "bridge" : NULL);
}

static void way_fini(struct way *way)
{
    ptq_bus_close(way->bus);
    if (way->is_bridge)
        net_bridge_kill(&way->near);
}

/* A share at home, opened there and from afar. */
struct pair {
    struct net net;
    struct way way;
    ptq_share *here, *there;
};

static void pair_init(struct pair *pair, bool is_bridge, const struct ptq_share_options *options)
{
    net_init(&pair->net, NULL);
    way_init(&pair->way, &pair->net, pair->net.peers, is_bridge);
    pair->here = open_share(pair->net.here, "s", options);
    pair->there = open_share(pair->way.bus, "s@home", NULL);
}

static void pair_fini(struct pair *pair)
{
    ptq_share_close(pair->there);
    ptq_share_close(pair->here);
    way_fini(&pair->way);
    net_fini(&pair->net);
}

/* The same with a link of faults between them. */
struct far_world {
    struct world world;
    struct way way;
};

static void far_world_init(struct far_world *far, bool is_bridge)
{
    char peers[96];

    world_init(&far->world, NULL);
    snprintf(peers, sizeof peers, "home=%s", far->world.proxy.url);
    way_init(&far->way, &far->world.net, peers, is_bridge);
}

static void far_world_fini(struct far_world *far)
{
    way_fini(&far->way);
    world_fini(&far->world);
}

/* ---- the calls ---- */

static int64_t thrice(int64_t value, void *context)
{
    (void)context;
    return 3 * value;
}

static void numbers_of_another_host_are_read_and_changed(void **state)
{
    struct pair pair;
    ptq_cell *cell, *same, *other;
    int64_t value;

    pair_init(&pair, *state != NULL, NULL);
    assert_ok(ptq_share_i64(pair.there, "n", 7, &cell));
    assert_ok(ptq_share_i64(pair.here, "n", 0, &same));
    assert_ok(ptq_i64_get(same, &value));
    assert_int_equal(value, 7);
    assert_ok(ptq_i64_apply(cell, PTQ_ADD, 5, &value));
    assert_int_equal(value, 12);
    assert_ok(ptq_i64_apply(same, PTQ_MUL, -1, NULL));
    assert_ok(ptq_i64_get(cell, &value));
    assert_int_equal(value, -12);
    assert_ok(ptq_i64_apply(cell, PTQ_SET, INT64_MIN, NULL));
    assert_answer(PTQ_EINVAL, ptq_i64_apply(cell, PTQ_DIV, 0, NULL));
    assert_answer(PTQ_EINVAL, ptq_i64_apply(cell, (enum ptq_op)77, 0, NULL));
    assert_ok(ptq_i64_swap(cell, 4, &value));
    assert_true(value == INT64_MIN);
    value = 5;
    assert_answer(PTQ_EAGAIN, ptq_i64_cas(cell, &value, 9));
    assert_int_equal(value, 4);
    assert_ok(ptq_i64_cas(cell, &value, 9));
    assert_ok(ptq_i64_update(cell, thrice, NULL, &value));
    assert_int_equal(value, 27);
    assert_answer(PTQ_EMISMATCH, ptq_share_u64(pair.there, "n", 0, &other));
    assert_answer(PTQ_EMISMATCH, ptq_f64_apply(cell, PTQ_ADD, 1, NULL));
    assert_answer(PTQ_ENOENT, ptq_share_find(pair.there, "nobody", &other));
    assert_ok(ptq_share_find(pair.there, "n", &other));
    assert_int_equal(ptq_cell_type(other), PTQ_CELL_I64);
    ptq_cell_free(other);
    assert_ok(ptq_share_delete(pair.there, "n"));
    assert_answer(PTQ_ENOENT, ptq_i64_get(same, &value));
    assert_answer(PTQ_ENOENT, ptq_i64_apply(cell, PTQ_ADD, 1, NULL));
    assert_answer(PTQ_ENOENT, ptq_share_delete(pair.there, "n"));
    ptq_cell_free(cell);
    ptq_cell_free(same);

    double ratio;
    uint64_t bits;
    assert_ok(ptq_share_f64(pair.there, "ratio", 0.25, &cell));
    assert_ok(ptq_f64_apply(cell, PTQ_ADD, 0.5, &ratio));
    assert_true(ratio == 0.75);
    ptq_cell_free(cell);
    assert_ok(ptq_share_u64(pair.there, "bits", 6, &cell));
    assert_ok(ptq_u64_apply(cell, PTQ_XOR, UINT64_MAX, &bits));
    assert_true(bits == UINT64_MAX - 6);
    ptq_cell_free(cell);
    pair_fini(&pair);
}

static void bytes_of_another_host_are_whole_up_to_the_largest(void **state)
{
    struct pair pair;
    ptq_cell *cell;
    size_t size;
    uint64_t version, then;
    char small[4];

    pair_init(&pair, *state != NULL, &(struct ptq_share_options){.cells = 4, .max_endpoints = 4, .value_size = PTQ_SHARE_VALUE_MAX});
    char *large = malloc(PTQ_SHARE_VALUE_MAX), *got = malloc(PTQ_SHARE_VALUE_MAX);
    for (uint32_t i = 0; i < PTQ_SHARE_VALUE_MAX; i++)
        large[i] = (char)(i * 7919 >> 3);
    assert_ok(ptq_share_bytes(pair.there, "b", "first", 5, &cell));
    assert_answer(PTQ_EMSGSIZE, ptq_cell_read(cell, small, sizeof small, &size, NULL));
    assert_int_equal(size, 5);
    assert_ok(ptq_cell_write(cell, large, PTQ_SHARE_VALUE_MAX));
    assert_ok(ptq_cell_read(cell, got, PTQ_SHARE_VALUE_MAX, &size, &version));
    assert_int_equal(size, PTQ_SHARE_VALUE_MAX);
    assert_memory_equal(got, large, size);
    assert_answer(PTQ_EMSGSIZE, ptq_cell_write(cell, large, PTQ_SHARE_VALUE_MAX + (size_t)1));
    assert_ok(ptq_cell_write_if(cell, version, "", 0));
    assert_answer(PTQ_EAGAIN, ptq_cell_write_if(cell, version, "late", 4));
    assert_ok(ptq_cell_version(cell, &then));
    assert_int_equal(then, version + 1);
    assert_ok(ptq_cell_read(cell, NULL, 0, &size, NULL));
    assert_int_equal(size, 0);
    free(large);
    free(got);
    ptq_cell_free(cell);
    pair_fini(&pair);
}

struct count {
    unsigned all, keys;
    bool seen[3000];
};

static bool count_one(const struct ptq_cell_info *info, void *context)
{
    struct count *count = context;

    count->all++;
    if (info->key != NULL && strcmp(info->name, "m") == 0) {
        uint32_t number;
        assert_int_equal(info->key_size, sizeof number);
        memcpy(&number, info->key, sizeof number);
        assert_true(number < 3000 && !count->seen[number]);
        count->seen[number] = true;
        count->keys++;
    }
    return count->all < 4000;
}

static void maps_and_sets_of_another_host_have_their_keys(void **state)
{
    struct pair pair;
    struct count *count = calloc(1, sizeof *count);
    char value[8];
    size_t size;

    pair_init(&pair, *state != NULL, &(struct ptq_share_options){.cells = 4096, .value_size = 16, .max_endpoints = 8});
    assert_ok(ptq_map_set(pair.there, "m", "k\0y", 3, "value", 5));
    assert_ok(ptq_map_get(pair.here, "m", "k\0y", 3, value, sizeof value, &size, NULL));
    assert_true(size == 5 && memcmp(value, "value", 5) == 0);
    assert_ok(ptq_map_set(pair.here, "m", "k\0y", 3, "other", 5));
    assert_ok(ptq_map_get(pair.there, "m", "k\0y", 3, value, sizeof value, &size, NULL));
    assert_memory_equal(value, "other", 5);
    assert_ok(ptq_map_remove(pair.there, "m", "k\0y", 3));
    assert_answer(PTQ_ENOENT, ptq_map_get(pair.there, "m", "k\0y", 3, value, sizeof value, &size, NULL));
    assert_answer(PTQ_EMSGSIZE, ptq_map_set(pair.there, "m", "k", 1, "seventeen bytes!!", 17));
    assert_ok(ptq_set_add(pair.there, "t", "x", 1));
    assert_answer(PTQ_EALREADY, ptq_set_add(pair.there, "t", "x", 1));
    assert_answer(PTQ_EALREADY, ptq_set_add(pair.here, "t", "x", 1));
    assert_ok(ptq_set_has(pair.there, "t", "x", 1));
    assert_ok(ptq_set_remove(pair.there, "t", "x", 1));
    assert_answer(PTQ_ENOENT, ptq_set_has(pair.there, "t", "x", 1));

    for (uint32_t i = 0; i < 3000; i++) /* more than one answer holds */
        assert_ok(ptq_map_set(pair.here, "m", &i, sizeof i, NULL, 0));
    assert_ok(ptq_share_each(pair.there, count_one, count));
    assert_int_equal(count->keys, 3000);
    memset(count, 0, sizeof *count);
    count->all = 3990;
    assert_ok(ptq_map_each(pair.there, "m", count_one, count)); /* stopped by its caller */
    assert_int_equal(count->keys, 10);
    assert_ok(ptq_share_clear(pair.there));
    memset(count, 0, sizeof *count);
    assert_ok(ptq_share_each(pair.there, count_one, count));
    assert_int_equal(count->all, 0);
    free(count);
    pair_fini(&pair);
}

/* ---- waits ---- */

struct waiter {
    ptq_cell *cell;
    uint64_t version, then;
    int timeout_ms;
    _Atomic uint64_t began, ended;
    enum ptq_err answer;
    pthread_t thread;
};

static void *wait_for_change(void *context)
{
    struct waiter *waiter = context;

    atomic_store(&waiter->began, 1);
    waiter->answer = ptq_cell_wait(waiter->cell, waiter->version, waiter->timeout_ms, &waiter->then);
    atomic_store(&waiter->ended, 1);
    return NULL;
}

static void waiter_start(struct waiter *waiter, ptq_cell *cell)
{
    *waiter = (struct waiter){.cell = cell, .timeout_ms = PTQ_FOREVER};
    assert_ok(ptq_cell_version(cell, &waiter->version));
    assert_int_equal(pthread_create(&waiter->thread, NULL, wait_for_change, waiter), 0);
    assert_true(ptt_wait_word(&waiter->began, 1, PTT_LONG));
}

static enum ptq_err waiter_end(struct waiter *waiter)
{
    assert_true(ptt_wait_word(&waiter->ended, 1, PTT_LONG));
    pthread_join(waiter->thread, NULL);
    return waiter->answer;
}

static void who_waits_afar_is_told_of_every_change(void **state)
{
    struct pair pair;
    struct waiter waiter, other;
    ptq_cell *far, *here, *still;

    pair_init(&pair, *state != NULL, NULL);
    assert_ok(ptq_share_i64(pair.there, "n", 0, &far));
    assert_ok(ptq_share_i64(pair.here, "n", 0, &here));
    assert_ok(ptq_share_i64(pair.there, "still", 0, &still));
    waiter_start(&other, still); /* waits beside the others, for something else */
    for (int i = 0; i < 20; i++) {
        waiter_start(&waiter, far);
        assert_ok(ptq_i64_apply(i % 2 == 0 ? here : far, PTQ_ADD, 1, NULL));
        assert_ok(waiter_end(&waiter));
        assert_int_equal(waiter.then, waiter.version + 1);
    }
    uint64_t version;
    assert_ok(ptq_cell_version(far, &version));
    assert_answer(PTQ_TIMEDOUT, ptq_cell_wait(far, version, 20, NULL));
    assert_answer(PTQ_TIMEDOUT, ptq_cell_wait(far, version, PTQ_NOWAIT, NULL));
    assert_ok(ptq_cell_wait(far, version - 1, PTQ_NOWAIT, &version));
    assert_int_equal(atomic_load(&other.ended), 0);
    assert_ok(ptq_share_delete(pair.here, "still"));
    assert_answer(PTQ_ENOENT, waiter_end(&other));
    waiter_start(&waiter, far);
    assert_ok(ptq_share_unlink(pair.net.here, "s", true));
    assert_answer(PTQ_EGONE, waiter_end(&waiter));
    int64_t value;
    assert_answer(PTQ_EGONE, ptq_i64_get(far, &value));
    ptq_cell_free(far);
    ptq_cell_free(here);
    ptq_cell_free(still);
    pair_fini(&pair);
}

static void a_wait_goes_on_over_a_cut_link_and_a_killed_bridge(void **state)
{
    struct far_world far;
    struct waiter waiter;
    ptq_cell *cell, *here;

    far_world_init(&far, *state != NULL);
    ptq_share *home = open_share(far.world.net.here, "s", NULL), *there = open_share(far.way.bus, "s@home", NULL);
    assert_ok(ptq_share_i64(there, "n", 0, &cell));
    assert_ok(ptq_share_i64(home, "n", 0, &here));
    waiter_start(&waiter, cell);
    proxy_cut_all(&far.world.proxy);
    assert_ok(ptq_i64_apply(here, PTQ_ADD, 1, NULL));
    assert_ok(waiter_end(&waiter));
    waiter_start(&waiter, cell);
    net_bridge_kill(&far.world.net);
    assert_ok(ptq_i64_apply(here, PTQ_ADD, 1, NULL));
    net_bridge_start(&far.world.net, NULL);
    assert_ok(waiter_end(&waiter));
    if (far.way.is_bridge) {
        waiter_start(&waiter, cell);
        net_bridge_kill(&far.way.near);
        assert_ok(ptq_i64_apply(here, PTQ_ADD, 1, NULL));
        net_bridge_start(&far.way.near, (const char *const[]){"--node", "far", NULL});
        assert_ok(waiter_end(&waiter));
        assert_int_equal(waiter.then, waiter.version + 1);
    }
    ptq_cell_free(cell);
    ptq_cell_free(here);
    ptq_share_close(there);
    ptq_share_close(home);
    far_world_fini(&far);
}

/* ---- once ---- */

enum { ADDERS = 3, ADDS = 200 };

struct adder {
    ptq_share *share;
    unsigned adds;
    _Atomic uint64_t *all;
    uint64_t done, undecided, retried;
    enum ptq_err refused;
    pthread_t thread;
};

/* One, until it is known to be done; PTQ_EINDOUBT where the home cannot tell. */
static enum ptq_err add_one(struct adder *adder, ptq_cell *cell)
{
    enum ptq_err err = ptq_i64_apply(cell, PTQ_ADD, 1, NULL);
    int64_t end = pti_now_ns() + (int64_t)PTT_LONG * PTI_NS_PER_MS;

    for (unsigned again = 0; err == PTQ_EINDOUBT && again < 3 && pti_now_ns() < end; again++) {
        adder->retried++;
        err = ptq_share_retry(adder->share);
        if (err == PTQ_OK)
            err = ptq_i64_apply(cell, PTQ_ADD, 1, NULL);
    }
    return err;
}

static void *add(void *context)
{
    struct adder *adder = context;
    ptq_cell *cell;

    adder->refused = ptq_share_i64(adder->share, "n", 0, &cell);
    if (adder->refused != PTQ_OK)
        return NULL;
    for (unsigned i = 0; i < adder->adds && adder->refused == PTQ_OK; i++) {
        enum ptq_err err = add_one(adder, cell);
        while (err == PTQ_EUNREACHABLE) /* not asked: the home is away */
            err = add_one(adder, cell);
        adder->done += err == PTQ_OK;
        adder->undecided += err == PTQ_EINDOUBT;
        adder->refused = err == PTQ_EINDOUBT ? PTQ_OK : err;
        atomic_fetch_add(adder->all, 1);
    }
    ptq_cell_free(cell);
    return NULL;
}

/* So many threads add from afar, by one handle and by handles of their own, while this is done to them; and before it, after so many
 * bytes, a cut. */
static void add_through(struct far_world *far, void (*disturb)(struct far_world *far, uint64_t *seed), int64_t cut_first, uint64_t undecided_most)
{
    ptq_share *home = open_share(far->world.net.here, "s", NULL), *shares[2] = {open_share(far->way.bus, "s@home", NULL), NULL};
    struct adder adders[ADDERS];
    _Atomic uint64_t all = 0;
    uint64_t seed = ptt_seed(), done = 0, undecided = 0, retried = 0;
    ptq_cell *cell;
    int64_t value;

    shares[1] = open_share(far->way.bus, "s@home", NULL);
    atomic_store(&far->world.proxy.cut_after, cut_first); /* however late this thread comes again */
    for (int i = 0; i < ADDERS; i++) {
        adders[i] = (struct adder){.share = shares[i % 2], .adds = ADDS, .all = &all};
        assert_int_equal(pthread_create(&adders[i].thread, NULL, add, &adders[i]), 0);
    }
    for (int64_t end = pti_now_ns() + (int64_t)PTT_LONG * PTI_NS_PER_MS; atomic_load(&all) < ADDERS * ADDS && pti_now_ns() < end;) {
        uint64_t now = atomic_load(&all);
        disturb(far, &seed);
        ptt_wait_word(&all, now + 20 < ADDERS * ADDS ? now + 20 : ADDERS * ADDS, 1000);
    }
    for (int i = 0; i < ADDERS; i++) {
        pthread_join(adders[i].thread, NULL);
        assert_ok(adders[i].refused);
        done += adders[i].done;
        undecided += adders[i].undecided;
        retried += adders[i].retried;
    }
    assert_ok(ptq_share_i64(home, "n", 0, &cell));
    assert_ok(ptq_i64_get(cell, &value));
    print_message("done=%llu undecided=%llu retried=%llu value=%lld\n", (unsigned long long)done, (unsigned long long)undecided,
                  (unsigned long long)retried, (long long)value);
    assert_int_equal(done + undecided, ADDERS * ADDS);
    assert_true((uint64_t)value >= done && (uint64_t)value <= done + undecided);
    assert_true(undecided <= undecided_most);
    ptq_cell_free(cell);
    ptq_share_close(shares[0]);
    ptq_share_close(shares[1]);
    ptq_share_close(home);
}

static void cut_somewhere(struct far_world *far, uint64_t *seed)
{
    atomic_store(&far->world.proxy.cut_after, (int64_t)(1 + ptt_random(seed) % 3000));
}

static void adds_over_links_that_are_cut_are_exact(void **state)
{
    struct far_world far;

    far_world_init(&far, *state != NULL);
    add_through(&far, cut_somewhere, 2000, 0);
    assert_true(far.world.proxy.faults > 0);
    far_world_fini(&far);
}

static unsigned kills;

static void kill_home(struct far_world *far, uint64_t *seed)
{
    if (kills == 6)
        return;
    kills++;
    usleep((useconds_t)(ptt_random(seed) % 3000)); /* somewhere in what it is at */
    net_bridge_kill(&far->world.net);
    net_bridge_start(&far->world.net, NULL);
}

static void kill_near(struct far_world *far, uint64_t *seed)
{
    if (kills == 6)
        return;
    kills++;
    usleep((useconds_t)(ptt_random(seed) % 3000));
    net_bridge_kill(&far->way.near);
    net_bridge_start(&far->way.near, (const char *const[]){"--node", "far", NULL});
}

static void adds_while_bridges_are_killed_are_exact_but_for_what_was_under_way(void **state)
{
    struct far_world far;

    kills = 0;
    far_world_init(&far, *state != NULL);
    add_through(&far, kill_home, 0, 6 * ADDERS);
    far_world_fini(&far);
}

/* The home knows each by its key, whichever bridge asks. */
static void adds_while_the_bridge_of_their_host_is_killed_are_exact(void **state)
{
    struct far_world far;
    (void)state;

    kills = 0;
    far_world_init(&far, true);
    add_through(&far, kill_near, 0, 0);
    far_world_fini(&far);
}

/* ---- away ---- */

static void what_is_read_tells_how_old_it_may_be_and_is_never_old_in_silence(void **state)
{
    struct far_world far;
    struct ptq_freshness fresh;
    ptq_cell *cell, *here;
    int64_t value;

    far_world_init(&far, *state != NULL);
    ptq_share *home = open_share(far.world.net.here, "s", NULL), *there = open_share(far.way.bus, "s@home", NULL);
    assert_ok(ptq_share_i64(there, "n", 5, &cell));
    assert_ok(ptq_share_i64(home, "n", 0, &here));
    assert_answer(PTQ_EMPTY, ptq_cell_freshness(cell, &fresh));
    int64_t before = pti_now_ns();
    assert_ok(ptq_i64_get(cell, &value));
    assert_ok(ptq_cell_freshness(cell, &fresh));
    assert_true(fresh.remote && fresh.age_ns > 0 && fresh.age_ns <= pti_now_ns() - before);
    assert_ok(ptq_i64_apply(here, PTQ_ADD, 1, NULL));
    uint64_t version = fresh.version;
    assert_ok(ptq_i64_get(cell, &value));
    assert_int_equal(value, 6);
    assert_ok(ptq_cell_freshness(cell, &fresh));
    assert_int_equal(fresh.version, version + 1);
    assert_ok(ptq_cell_freshness(here, &fresh));
    assert_true(!fresh.remote && fresh.age_ns == 0 && fresh.version == version + 1);
    net_bridge_kill(&far.world.net);
    before = pti_now_ns();
    assert_answer(PTQ_EUNREACHABLE, ptq_i64_get(cell, &value));
    assert_true(pti_now_ns() - before < 2 * (int64_t)PTI_NS_PER_S * 3);
    assert_answer(PTQ_EUNREACHABLE, ptq_i64_apply(cell, PTQ_ADD, 1, NULL)); /* never asked: not in doubt */
    assert_ok(ptq_cell_freshness(cell, &fresh));
    assert_true(fresh.age_ns > pti_now_ns() - before - PTI_NS_PER_S);
    net_bridge_start(&far.world.net, NULL);
    enum ptq_err err;
    while ((err = ptq_i64_get(cell, &value)) == PTQ_EUNREACHABLE && pti_now_ns() - before < (int64_t)PTT_LONG * PTI_NS_PER_MS)
        ;
    assert_ok(err);
    assert_int_equal(value, 6);
    ptq_cell_free(cell);
    ptq_cell_free(here);
    ptq_share_close(there);
    ptq_share_close(home);
    far_world_fini(&far);
}

static void a_share_made_anew_is_another(void **state)
{
    struct pair pair;
    ptq_cell *cell;
    int64_t value;

    pair_init(&pair, *state != NULL, NULL);
    assert_ok(ptq_share_i64(pair.there, "n", 1, &cell));
    net_bridge_kill(&pair.net);
    ptq_share_close(pair.here);
    assert_ok(ptq_share_unlink(pair.net.here, "s", true));
    usleep(2000); /* its id has the time in milliseconds, and may get the same inode */
    pair.here = open_share(pair.net.here, "s", NULL);
    net_bridge_start(&pair.net, NULL);
    enum ptq_err err;
    int64_t end = pti_deadline(PTT_LONG);
    do
        err = ptq_i64_get(cell, &value);
    while (err == PTQ_EUNREACHABLE && pti_now_ns() < end); /* the link is not back yet */
    assert_answer(PTQ_EGONE, err);
    ptq_cell_free(cell);
    pair_fini(&pair);
}

/* ---- names ---- */

struct child {
    ptq_bus *bus;
    enum ptq_err expected;
};

static int open_in_child(void *context)
{
    struct child *child = context;
    struct ptq_error error = {0};
    ptq_share *share = NULL;
    enum ptq_err err = ptq_share_open(child->bus, "s@home", &(struct ptq_share_options){.error = &error}, &share);

    ptq_share_close(share);
    return err == child->expected ? 0 : 1;
}

/* A child of a process with links goes through the bridge by itself; and what that has in its own memory is not asked for over a link. */
static void through_the_bridge_names_lead_there_too(void **state)
{
    struct ptq_error error = {0};
    struct ptq_share_options options = {.error = &error, .mode = PTQ_ATTACH};
    ptq_share *share = NULL, *own;
    struct pair pair;
    char address[200];
    ptq_cell *cell, *same;
    int64_t value;
    (void)state;

    pair_init(&pair, true, NULL);
    ptq_share *direct = open_share(pair.net.there, "s@home", NULL); /* from here on this process has links */
    ptt_assert_exit(ptt_fork(open_in_child, &(struct child){pair.net.there, PTQ_OK}), 0, PTT_LONG);
    assert_answer(PTQ_ENOENT, ptq_share_open(pair.way.bus, "none@home", &options, &share));
    ptt_assert_says(error.text, "share 'none' does not exist at");
    assert_answer(PTQ_EMISMATCH, ptq_share_open(pair.way.bus, "s@home", &(struct ptq_share_options){.cells = 77, .error = &error}, &share));
    own = open_share(pair.way.bus, "own", NULL);
    snprintf(address, sizeof address, "ptq://%s/test/own", pair.way.near.url + strlen("tcp://"));
    assert_ok(ptq_share_open(pair.way.bus, address, &options, &share));
    assert_ok(ptq_share_i64(own, "n", 0, &cell));
    assert_ok(ptq_share_i64(share, "n", 0, &same));
    assert_ok(ptq_i64_apply(cell, PTQ_SET, 9, NULL));
    net_bridge_kill(&pair.way.near);
    assert_ok(ptq_i64_get(same, &value)); /* by memory */
    assert_int_equal(value, 9);
    ptq_cell_free(cell);
    ptq_cell_free(same);
    ptq_share_close(share);
    ptq_share_close(own);
    ptq_share_close(direct);
    pair_fini(&pair);
}

/* What is no ask of a share the bridge keeps to itself: the home would end the link, which others use. */
static void what_a_program_asks_wrongly_of_a_share_ends_no_link(void **state)
{
    struct pti_open open = {.thing = 1};
    uint8_t change[PTI_SHARE_ASK_HEAD + 1], look[PTI_SHARE_ASK_HEAD + 1];
    struct ptq_error error = {0};
    struct far_world far;
    struct ptq_queue_stats stats;
    struct pti_port *port = NULL, *queue = NULL;
    struct ptq_msg *msg;
    ptq_cell *cell;
    uint64_t value;
    uint8_t *said;
    size_t count, size;
    (void)state;

    far_world_init(&far, true);
    ptq_share *there = open_share(far.way.bus, "s@home", NULL);
    assert_ok(ptq_share_i64(there, "n", 0, &cell));
    uint64_t links = atomic_load(&far.world.proxy.links);
    assert_ok(pti_carriers.open_remote(far.way.bus, far.world.proxy.url, NULL, "s", &open, &error, &port));
    assert_ok(pti_carriers.open_remote(far.way.bus, far.world.proxy.url, NULL, "q", &(struct pti_open){0}, &error, &queue));
    pti_write_share_ask(change, &(struct pti_share_ask){.verb = PTI_SHARE_DELETE, .name = "n", .name_size = 1});
    pti_write_share_ask(look, &(struct pti_share_ask){.verb = PTI_SHARE_FIND, .name = "n", .name_size = 1});

    assert_answer(PTQ_EPROTO, port->ops->put(port, &(struct pti_put){.data = "junk", .size = 4}, PTI_DEADLINE_NOW, &value));
    assert_answer(PTQ_EPROTO, port->ops->put(port, &(struct pti_put){.data = look, .size = sizeof look}, PTI_DEADLINE_NOW, &value));
    assert_answer(PTQ_EPROTO, port->ops->put(port, &(struct pti_put){.data = change, .size = sizeof change, .kind = 1}, PTI_DEADLINE_NOW, &value));
    struct pti_put two[2] = {{.data = change, .size = sizeof change}, {.data = change, .size = sizeof change}};
    assert_answer(PTQ_EPROTO, port->ops->put_many(port, two, 2, PTI_DEADLINE_NOW, &value));
    assert_answer(PTQ_EPROTO, port->ops->take(port, 1, PTI_DEADLINE_NOW, &msg, &count));
    assert_answer(PTQ_EPROTO, port->ops->stats(port, &stats));
    assert_answer(PTQ_EPROTO, port->ops->purge(port, &value));
    assert_answer(PTQ_EPROTO, pti_via_share_look(port, &(struct pti_share_ask){.verb = PTI_SHARE_APPLY}, &said, &size));
    assert_answer(PTQ_EPROTO, pti_via_share_await(port, &(struct pti_share_ask){.verb = PTI_SHARE_FIND}, PTI_DEADLINE_NOW, &value));
    assert_answer(PTQ_EPROTO, pti_via_share_look(queue, &(struct pti_share_ask){.verb = PTI_SHARE_FIND}, &said, &size));
    assert_ok(pti_via_share_look(port, &(struct pti_share_ask){.verb = PTI_SHARE_FIND, .name = "n", .name_size = 1}, &said, &size));
    free(said);
    assert_ok(ptq_i64_apply(cell, PTQ_ADD, 1, NULL));
    assert_int_equal(atomic_load(&far.world.proxy.links), links);
    port->ops->close(port, pti_deadline(PTT_LONG));
    queue->ops->close(queue, pti_deadline(PTT_LONG));
    ptq_cell_free(cell);
    ptq_share_close(there);
    far_world_fini(&far);
}

static void names_lead_where_those_of_queues_do(void **state)
{
    struct pair pair;
    struct ptq_error error = {0};
    struct ptq_share_options options = {.error = &error, .mode = PTQ_ATTACH};
    ptq_share *share = NULL;
    char address[200];
    (void)state;

    pair_init(&pair, false, NULL);
    assert_answer(PTQ_ENOENT, ptq_share_open(pair.net.there, "s", &options, &share)); /* a bare name is of this host */
    assert_answer(PTQ_ENOENT, ptq_share_open(pair.net.there, "s@self", &options, &share));
    assert_answer(PTQ_ENOENT, ptq_share_open(pair.net.there, "s@nobody", &options, &share));
    ptt_assert_says(error.text, "no peer is called 'nobody'");
    assert_answer(PTQ_ENOENT, ptq_share_open(pair.net.there, "none@home", &options, &share));
    ptt_assert_says(error.text, "share 'none' does not exist at");
    assert_answer(PTQ_EMISMATCH, ptq_share_open(pair.net.there, "s@home", &(struct ptq_share_options){.cells = 77, .error = &error}, &share));
    ptt_assert_says(error.text, "exists with cells 256, 77 was asked");
    assert_answer(PTQ_EINVAL, ptq_share_open(pair.net.there, "s!dead@home", &options, &share));
    snprintf(address, sizeof address, "ptq://%s/test/s", pair.net.url + strlen("tcp://"));
    assert_ok(ptq_share_open(pair.net.there, address, &options, &share));
    ptq_share_close(share);
    assert_ok(ptq_share_open(pair.net.here, "s@self", &options, &share));
    ptq_share_close(share);
    ptq_bus *bus = net_open_way(&pair.net, pair.net.peers, "bridge");
    assert_answer(PTQ_EUNREACHABLE, ptq_share_open(bus, "s@home", &options, &share));
    ptt_assert_says(error.text, "share 's' is to be reached through the ptqbridge of this host, and none serves run 'test'");
    ptq_bus_close(bus);
    ptt_assert_exit(ptt_fork(open_in_child, &(struct child){pair.net.there, PTQ_EFORKED}), 0, PTT_LONG);
    pair_fini(&pair);
}

/* ---- rights ---- */

#define RULES "putter s put\npeeker s peek\nmaster s admin\nall * all\nputter l put\n"

static void rules_say_who_may_read_and_who_may_change(void **state)
{
    const char *nodes[] = {"putter", "peeker", "master", "all", "nobody"};
    struct ptq_error error = {0};
    struct ptq_share_options options = {.error = &error};
    ptq_share *shares[5];
    ptq_log *log;
    ptq_bus *buses[5];
    ptq_cell *cell, *cells[4];
    struct keys keys;
    struct net net;
    int64_t value;
    (void)state;

    keys_make(&keys, (const char *const[]){"home", "putter", "peeker", "master", "all", "nobody", NULL});
    keys_write(&keys, "home", "rules", RULES, 0600);
    net_init(&net, (const char *const[]){"--keys", keys_path(&keys, "home", NULL), NULL});
    for (int i = 0; i < 5; i++)
        buses[i] = keys_open_bus(&net, &keys, nodes[i], net.peers);
    assert_answer(PTQ_EPERM, ptq_share_open(buses[0], "s@home", &options, &shares[0])); /* to make it needs admin */
    ptt_assert_says(error.text, "'putter' may not make or administer share 's' at 'home'");
    assert_ok(ptq_share_open(buses[2], "s@home", &options, &shares[2]));
    ptq_share *here = open_share(net.here, "s", NULL);
    assert_ok(ptq_share_i64(here, "n", 5, &cell));
    for (int i = 0; i < 4; i++)
        if (i != 2)
            shares[i] = open_share(buses[i], "s@home", NULL);
    assert_answer(PTQ_EPERM, ptq_share_open(buses[4], "s@home", &options, &shares[4]));
    ptt_assert_says(error.text, "'nobody' may not see share 's' at 'home'");
    assert_answer(PTQ_EPERM, ptq_log_open(buses[4], "l@home", &(struct ptq_log_options){.error = &error}, &log));
    ptt_assert_says(error.text, "'nobody' may not see log 'l' at 'home'");
    assert_answer(PTQ_EPERM, ptq_share_open(buses[1], "other@home", &options, &shares[4]));

    assert_ok(ptq_share_i64(shares[0], "n", 0, &cells[0])); /* found by making it */
    assert_ok(ptq_i64_apply(cells[0], PTQ_ADD, 1, NULL));
    assert_answer(PTQ_EPERM, ptq_i64_apply(cells[0], PTQ_ADD, 1, &value)); /* the sum would be a look */
    assert_answer(PTQ_EPERM, ptq_i64_get(cells[0], &value));
    assert_answer(PTQ_EPERM, ptq_cell_wait(cells[0], 0, PTQ_NOWAIT, NULL));
    assert_answer(PTQ_EPERM, ptq_share_clear(shares[0]));
    assert_ok(ptq_share_i64(shares[1], "n", 0, &cells[1]));
    assert_ok(ptq_i64_get(cells[1], &value));
    assert_int_equal(value, 6);
    assert_answer(PTQ_EPERM, ptq_i64_apply(cells[1], PTQ_ADD, 1, NULL));
    assert_answer(PTQ_EPERM, ptq_share_i64(shares[1], "new", 0, &cells[2]));
    assert_answer(PTQ_EPERM, ptq_share_find(shares[2], "n", &cells[2]));
    assert_ok(ptq_share_i64(shares[3], "n", 0, &cells[3]));
    assert_ok(ptq_i64_apply(cells[3], PTQ_ADD, 1, &value));
    assert_int_equal(value, 7);
    assert_ok(ptq_share_clear(shares[3]));
    for (int i = 0; i < 4; i++) {
        if (i != 2)
            ptq_cell_free(cells[i]);
        ptq_share_close(shares[i]);
    }
    for (int i = 0; i < 5; i++)
        ptq_bus_close(buses[i]);
    ptq_cell_free(cell);
    ptq_share_close(here);
    net_fini(&net);
    keys_free(&keys);
}

/* ---- logs ---- */

static void *append_late(void *context)
{
    enum ptq_err err = ptq_log_append(context, "late", 4, NULL);

    return err == PTQ_OK ? context : NULL;
}

static void a_log_of_another_host_is_appended_to_and_read_in_order(void **state)
{
    struct ptq_log_record record;
    uint64_t position, oldest, next;
    struct net net;
    struct way way;
    pthread_t thread;
    void *answer;
    char text[16];

    net_init(&net, NULL);
    way_init(&way, &net, net.peers, *state != NULL);
    ptq_log *far = open_log(way.bus, "l@home", &(struct ptq_log_options){.capacity = 8, .item_size = 200000, .max_endpoints = 8});
    ptq_log *here = open_log(net.here, "l", NULL);
    for (uint64_t i = 0; i < 10; i++) {
        snprintf(text, sizeof text, "%llu", (unsigned long long)i);
        assert_ok(ptq_log_append(i % 2 == 0 ? far : here, text, strlen(text), &position));
        assert_int_equal(position, i);
    }
    assert_ok(ptq_log_bounds(far, &oldest, &next));
    assert_true(oldest == 2 && next == 10);
    assert_answer(PTQ_ELATE, ptq_log_read(far, 0, text, sizeof text, &record));
    assert_answer(PTQ_EMPTY, ptq_log_read(far, 10, text, sizeof text, &record));
    assert_ok(ptq_log_read(far, 8, text, sizeof text, &record));
    assert_true(record.position == 8 && record.size == 1 && text[0] == '8' && record.pid == getpid() && record.unix_ms > 0);
    char *large = calloc(1, 200000);
    memset(large, 'x', 200000);
    assert_ok(ptq_log_append(far, large, 200000, &position));
    assert_answer(PTQ_EMSGSIZE, ptq_log_append(far, large, 200001, NULL));
    assert_answer(PTQ_EMSGSIZE, ptq_log_read(far, position, text, sizeof text, &record));
    assert_int_equal(record.size, 200000);
    memset(large, 0, 200000);
    assert_ok(ptq_log_read(far, position, large, 200000, &record));
    assert_true(large[0] == 'x' && large[199999] == 'x');
    free(large);
    assert_answer(PTQ_TIMEDOUT, ptq_log_wait(far, 11, 20));
    assert_int_equal(pthread_create(&thread, NULL, append_late, here), 0);
    assert_ok(ptq_log_wait(far, 11, PTT_LONG));
    pthread_join(thread, &answer);
    assert_non_null(answer);
    ptq_log_close(far);
    ptq_log_close(here);
    way_fini(&way);
    net_fini(&net);
}

/* ---- foreign bytes ---- */

static uint32_t open_by_hand(struct raw *raw, const char *url, const struct pti_open_message *asked, uint8_t version)
{
    struct pti_hello hello = {.version_min = 1, .version_max = version, .limits = pti_limits_own(), .session = {(uint8_t)ptt_random(&(uint64_t){ptt_seed()})}};
    uint8_t bytes[PTI_CONTROL_BYTES];
    struct pti_frame frame;

    raw_dial(raw, url);
    raw_say_hello(raw, &hello, 0);
    raw_expect(raw, PTI_FRAME_HELLO, &frame);
    raw->version = version;
    raw_say(raw, &(struct pti_frame){.type = PTI_FRAME_OPEN, .channel = 1, .length = (uint32_t)pti_open_pack(asked, bytes, sizeof bytes),
                                     .payload = bytes});
    return 1;
}

/* True: the link is ended for it. */
static bool is_fatal(const struct net *net, const struct pti_open_message *asked, uint8_t type, const void *payload, size_t size)
{
    struct pti_frame frame;
    struct raw raw;
    bool fatal;

    uint32_t channel = open_by_hand(&raw, net->url, asked, PTQ_WIRE_VERSION);
    raw_expect(&raw, PTI_FRAME_OPEN, &frame);
    raw_say(&raw, &(struct pti_frame){.type = type, .channel = channel, .number = 1, .length = (uint32_t)size, .payload = payload});
    do
        fatal = !raw_next(&raw, &frame) || (frame.type == PTI_FRAME_ERROR && frame.channel == 0);
    while (!fatal && frame.type != PTI_FRAME_LOOK && frame.type != PTI_FRAME_RESULT && frame.type != PTI_FRAME_ERROR);
    raw_close(&raw);
    return fatal;
}

static void frames_that_are_for_something_else_end_the_link_and_nothing_else(void **state)
{
    struct pti_open_message share = {.name = "s", .thing = 1}, queue = {.name = "q"};
    uint8_t bytes[300] = {0}, put[400] = {0};
    struct pair pair;
    (void)state;

    pair_init(&pair, false, NULL);
    pti_write_share_ask(bytes + 8, &(struct pti_share_ask){.verb = PTI_SHARE_FIND, .name = "n", .name_size = 1});
    assert_false(is_fatal(&pair.net, &share, PTI_FRAME_LOOK, bytes, 33));
    assert_true(is_fatal(&pair.net, &queue, PTI_FRAME_LOOK, bytes, 33));
    assert_true(is_fatal(&pair.net, &share, PTI_FRAME_LOOK, bytes, 31)); /* cut short */
    assert_true(is_fatal(&pair.net, &share, PTI_FRAME_AWAIT, bytes, 33)); /* no wait */
    bytes[8] = PTI_SHARE_APPLY;
    assert_true(is_fatal(&pair.net, &share, PTI_FRAME_LOOK, bytes, 33)); /* no look */
    bytes[8] = 200;
    assert_true(is_fatal(&pair.net, &share, PTI_FRAME_LOOK, bytes, 33));
    bytes[8] = PTI_SHARE_BOUNDS;
    assert_false(is_fatal(&pair.net, &share, PTI_FRAME_LOOK, bytes, 33)); /* of a log: answered so */
    assert_true(is_fatal(&pair.net, &share, PTI_FRAME_TAKE, bytes, 8));
    assert_true(is_fatal(&pair.net, &share, PTI_FRAME_STATS, bytes, 0));
    assert_true(is_fatal(&pair.net, &share, PTI_FRAME_CALL, bytes, 16));
    assert_true(is_fatal(&pair.net, &share, PTI_FRAME_WATCH, bytes, 8));
    assert_true(is_fatal(&pair.net, &share, PTI_FRAME_PUT, "\1\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0junk", 20));
    pti_write_put_head(put, 1, 0);
    put[8] = 24;
    put[16] = PTI_SHARE_FIND;
    assert_true(is_fatal(&pair.net, &share, PTI_FRAME_PUT, put, 40)); /* a look is no change */
    put[16] = PTI_SHARE_CLEAR;
    assert_false(is_fatal(&pair.net, &share, PTI_FRAME_PUT, put, 40));
    pti_write_put_head(put, 2, 0);
    memcpy(put + 40, put + 8, 32);
    assert_true(is_fatal(&pair.net, &share, PTI_FRAME_PUT, put, 72)); /* two at once */
    pair_fini(&pair);
}

static void a_version_that_knows_no_shares_is_told_apart(void **state)
{
    struct ptt_scratch far;
    struct ptq_error error = {0};
    struct ptq_share_options options = {.error = &error};
    ptq_share *share;
    char url[64], peers[96];
    (void)state;

    ptt_scratch_init_dir(&far);
    int listener = raw_listen(url, sizeof url);
    snprintf(peers, sizeof peers, "raw=%s", url);
    pid_t pid = fork();
    if (pid == 0) { /* a home of version 2 */
        struct raw raw;
        raw_welcome(&raw, listener, 7, false);
        raw_serve_end(&raw);
        _exit(0);
    }
    close(listener);
    ptq_bus *bus;
    assert_ok(ptq_bus_open("test", &(struct ptq_bus_options){.dir = far.dir, .peers = peers, .node = "far"}, &bus));
    assert_answer(PTQ_EVERSION, ptq_share_open(bus, "s@raw", &options, &share));
    ptt_assert_says(error.text, "speaks wire version 2, and shares and logs need 3");
    ptq_bus_close(bus);
    ptt_kill(pid);
    ptt_scratch_fini(&far);
}

#define BOTH(name) {#name, name, NULL, NULL, NULL}, {#name "_through_the_bridge", name, NULL, NULL, BRIDGE}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(numbers_of_another_host_are_read_and_changed),
        BOTH(bytes_of_another_host_are_whole_up_to_the_largest),
        BOTH(maps_and_sets_of_another_host_have_their_keys),
        BOTH(who_waits_afar_is_told_of_every_change),
        BOTH(a_wait_goes_on_over_a_cut_link_and_a_killed_bridge),
        BOTH(adds_over_links_that_are_cut_are_exact),
        BOTH(adds_while_bridges_are_killed_are_exact_but_for_what_was_under_way),
        cmocka_unit_test(adds_while_the_bridge_of_their_host_is_killed_are_exact),
        BOTH(what_is_read_tells_how_old_it_may_be_and_is_never_old_in_silence),
        BOTH(a_share_made_anew_is_another),
        cmocka_unit_test(names_lead_where_those_of_queues_do),
        cmocka_unit_test(through_the_bridge_names_lead_there_too),
        cmocka_unit_test(what_a_program_asks_wrongly_of_a_share_ends_no_link),
        cmocka_unit_test(rules_say_who_may_read_and_who_may_change),
        BOTH(a_log_of_another_host_is_appended_to_and_read_in_order),
        cmocka_unit_test(frames_that_are_for_something_else_end_the_link_and_nothing_else),
        cmocka_unit_test(a_version_that_knows_no_shares_is_told_apart),
    };

    signal(SIGPIPE, SIG_IGN);
    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 5);
}
