/* test_three.c [SECONDS [unordered]] -- a pool over three buses, while everything between them breaks.
 *
 * One host submits jobs and gets the results, the second has the pool, a bridge and a worker, the third has workers.  Both links go
 * through a proxy that cuts, corrupts, repeats, stalls, truncates and half closes; bridges and workers are killed, and stopped.
 * Results must come in the order of their tickets, each once, each as its job asks for, or an error in its place; and all of it
 * must come to its end.  Of an unordered pool, they come in any order, each once.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "net/kit.h"
#include "net/proxy.h"
#include "pool/pool.h"
#include "stress/totals.h"

enum { JOBS_MOST = 1 << 20, WORKERS = 4, FAR_WORKERS = 3, SIZE_MOST = 96 << 10, MARKER_EACH = 64 };
enum { NOT_SUBMITTED, PROMISED, IN_DOUBT };

struct job {
    uint64_t number;
    uint32_t size; /* of its result */
    uint32_t work_us;
};

struct scene {
    const char *via;
    struct net home; /* .far is the submitter's directory */
    struct net near; /* the submitter's bridge; only where via is "bridge" */
    struct net third;
    struct proxy links[2]; /* of the submitter, of the workers */
    char peers[2][96];
    pid_t workers[WORKERS];
    ptq_bus *bus;
    ptq_pool *pool;
    uint8_t *fate;     /* by number of job */
    uint64_t *ticket;  /* the same */
    uint64_t *came;    /* by ticket - first: number + 1; 0: an error */
    uint8_t *out;      /* the same: it came */
    uint64_t first, submitted;
    _Atomic uint64_t got, errors, in_doubt, asked_again;
    _Atomic bool stop, over;
    _Atomic(const char *) fault;
    _Atomic uint64_t fault_at, fault_detail;
    unsigned kills, restarts, stops;
};

static int64_t seconds = 5;
static bool unordered;

static void find_fault(struct scene *scene, const char *fault, uint64_t at, uint64_t detail)
{
    const char *none = NULL;

    if (!atomic_compare_exchange_strong(&scene->fault, &none, fault))
        return;
    atomic_store(&scene->fault_at, at);
    atomic_store(&scene->fault_detail, detail);
}

/* ---- workers */

static enum ptq_err do_job(ptq_task *task, const void *data, size_t size)
{
    struct job job;

    if (size < sizeof job)
        return ptq_task_fail(task, PTQ_EPROTO, "a job of %zu bytes", size);
    memcpy(&job, data, sizeof job);
    (void)nanosleep(&(struct timespec){.tv_nsec = 1000L * job.work_us}, NULL);
    unsigned char *result = calloc(1, job.size);
    memcpy(result, &job, sizeof job);
    memset(result + sizeof job, (int)(job.number & 0xff), job.size - sizeof job);
    enum ptq_err err = ptq_task_result(task, result, job.size);
    free(result);
    return err;
}

/* As the program of a worker: work DIR NODE PEERS VIA POOL. */
static int work(char **words)
{
    struct ptq_error error = {0};
    struct ptq_bus_options options = {
        .dir = words[0], .node = words[1], .peers = words[2], .via = words[3], .error = &error};
    struct ptq_pool_options attach = {.mode = PTQ_ATTACH, .wait_ms = PTT_LONG, .error = &error};
    struct ptq_work_options how = {.error = &error};
    enum ptq_err err;
    ptq_pool *pool;
    ptq_bus *bus;

    if (ptq_task_register(NULL, do_job, NULL) != PTQ_OK || ptq_bus_open("test", &options, &bus) != PTQ_OK)
        return 2;
    int64_t until = pti_now_ns() + PTT_LONG * PTI_NS_PER_MS;
    while (((err = ptq_pool_open(bus, words[4], &attach, &pool)) == PTQ_EUNREACHABLE || err == PTQ_EPROTO) &&
           pti_now_ns() < until)
        (void)nanosleep(&(struct timespec){.tv_nsec = 50 * PTI_NS_PER_MS}, NULL);
    if (err != PTQ_OK) {
        fprintf(stderr, "worker %d of %s: %s\n", (int)getpid(), words[1], error.text);
        return 3;
    }
    err = ptq_pool_work(pool, &how);
    if (err != PTQ_OK)
        fprintf(stderr, "worker %d of %s: %s: %s\n", (int)getpid(), words[1], ptq_err_name(err), error.text);
    ptq_pool_close(pool);
    ptq_bus_close(bus);
    return err == PTQ_OK ? 0 : 4;
}

static void start_worker(struct scene *scene, int i)
{
    bool is_far = i < FAR_WORKERS;
    const char *words[] = {"work", is_far ? scene->third.home.dir : scene->home.home.dir, is_far ? "third" : "home",
                           is_far ? scene->peers[1] : "", scene->via, is_far ? "pool@home" : "pool", NULL};
    int fd;

    scene->workers[i] = net_spawn("/proc/self/exe", words, &fd);
    close(fd);
}

static bool is_over(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/* ---- the submitter: jobs in, results out, in two threads of one handle */

static enum ptq_err submit_one(struct scene *scene, uint64_t number, uint64_t *seed, uint64_t *ret_ticket)
{
    struct ptq_submit_options retry = {.flags = PTQ_RETRY};
    uint64_t random = ptt_random(seed);
    struct job job = {number, sizeof job + random % 200, (uint32_t)(random >> 20) % 2000};

    if (number % 50 == 7)
        job.size = sizeof job + (uint32_t)(random >> 8) % (SIZE_MOST - sizeof job);
    if (number % MARKER_EACH == 0)
        return ptq_pool_submit_marker(scene->pool, &job, sizeof job, PTT_LONG, ret_ticket);
    enum ptq_err err = ptq_pool_submit(scene->pool, NULL, &job, sizeof job, PTT_LONG, ret_ticket);
    if (err == PTQ_EINDOUBT) {
        atomic_fetch_add(&scene->asked_again, 1);
        err = ptq_pool_submit_with(scene->pool, NULL, &job, sizeof job, &retry, PTT_LONG, ret_ticket);
    }
    return err;
}

static void *submit_jobs(void *context)
{
    struct scene *scene = context;
    uint64_t seed = ptt_seed(), number = 0;

    while (!atomic_load(&scene->stop) && number < JOBS_MOST) {
        enum ptq_err err = submit_one(scene, number, &seed, &scene->ticket[number]);
        if (err == PTQ_OK) {
            scene->fate[number++] = PROMISED;
        } else if (err == PTQ_EINDOUBT) {
            scene->fate[number++] = IN_DOUBT;
            atomic_fetch_add(&scene->in_doubt, 1);
        } else if (err != PTQ_EUNREACHABLE && err != PTQ_TIMEDOUT) {
            find_fault(scene, "submit answered", number, (uint64_t)err);
            break;
        }
    }
    scene->submitted = number;
    return NULL;
}

/* The number of the job whose result it is, + 1; 0: an error. */
static uint64_t read_result(struct scene *scene, const ptq_result *result)
{
    const unsigned char *bytes = ptq_result_data(result);
    size_t size = ptq_result_size(result);
    struct job job;

    if (ptq_result_kind(result) == PTQ_RESULT_ERROR) {
        if (ptq_result_code(result) != PTQ_EDIED)
            find_fault(scene, ptq_result_text(result), ptq_result_ticket(result), (uint64_t)ptq_result_code(result));
        atomic_fetch_add(&scene->errors, 1);
        return 0;
    }
    memcpy(&job, bytes, size < sizeof job ? 0 : sizeof job);
    bool is_marker = ptq_result_kind(result) == PTQ_RESULT_MARKER;
    bool good = size >= sizeof job && is_marker == (job.number % MARKER_EACH == 0) &&
                size == (is_marker ? sizeof job : job.size) && job.number < JOBS_MOST;
    for (size_t i = sizeof job; good && i < size; i++)
        good = bytes[i] == (job.number & 0xff);
    if (!good)
        find_fault(scene, "a result is not what its job asked for", ptq_result_ticket(result), size);
    return job.number + 1;
}

static void look_at(struct scene *scene, const ptq_result *result)
{
    uint64_t ticket = ptq_result_ticket(result), got = atomic_load(&scene->got);

    uint64_t at = ticket - scene->first;

    if (!unordered && at != got)
        find_fault(scene, "another ticket came than the next", ticket, scene->first + got);
    if (at >= JOBS_MOST || scene->out[at]++ != 0)
        find_fault(scene, "a ticket came twice, or was never given", ticket, at);
    else
        scene->came[at] = read_result(scene, result);
    atomic_store(&scene->got, got + 1);
}

static bool passes(enum ptq_err err)
{
    return err == PTQ_EUNREACHABLE || err == PTQ_EBUSY || err == PTQ_TIMEDOUT || err == PTQ_EINTR ||
           err == PTQ_EINDOUBT;
}

static void *get_results(void *context)
{
    struct scene *scene = context;
    ptq_result *result;
    enum ptq_err err;

    while ((err = ptq_pool_get(scene->pool, 1000, &result)) != PTQ_END && !atomic_load(&scene->over)) {
        if (err == PTQ_OK) {
            look_at(scene, result);
            err = ptq_result_done(result);
            if (err != PTQ_OK && !passes(err) && err != PTQ_ELEASELOST)
                find_fault(scene, "done answered", atomic_load(&scene->got), (uint64_t)err);
        } else if (!passes(err)) {
            find_fault(scene, "get answered", atomic_load(&scene->got), (uint64_t)err);
            break;
        }
    }
    atomic_store(&scene->over, true);
    return NULL;
}

/* ---- what goes wrong */

static const char *const home_options[] = {"--grace", "1s", NULL};
static const char *const near_options[] = {"--node", "near", NULL};
static const char *const third_options[] = {"--node", "third", NULL};

static void restart(struct scene *scene, struct net *net, const char *const *options)
{
    net_bridge_kill(net);
    net_bridge_start(net, options);
    scene->restarts++;
}

static void stop_for(struct scene *scene, pid_t pid, int ms)
{
    if (is_over(pid))
        return;
    ptt_stop(pid);
    (void)nanosleep(&(struct timespec){.tv_nsec = ms * PTI_NS_PER_MS}, NULL);
    ptt_continue(pid);
    scene->stops++;
}

static void kill_worker(struct scene *scene, int i)
{
    if (is_over(scene->workers[i])) {
        find_fault(scene, "a worker has left", (uint64_t)i, 0);
        return;
    }
    ptt_kill(scene->workers[i]);
    start_worker(scene, i);
    scene->kills++;
}

static void break_something(struct scene *scene, uint64_t *seed)
{
    uint64_t dice = ptt_random(seed) % 100, random = ptt_random(seed);
    struct proxy *link = &scene->links[random & 1];
    struct proxy_way *way = &link->way[(random >> 1) & 1];
    int64_t after = 1 + (int64_t)((random >> 2) % 20000);
    struct net *bridges[] = {&scene->home, &scene->near, &scene->third};
    const char *const *options[] = {home_options, near_options, third_options};
    uint64_t which = scene->near.bridge != 0 ? (random >> 8) % 3 : 0;

    for (int i = 0; i < 4; i++) /* a stall lasts until the next fault */
        atomic_store(&scene->links[i & 1].way[i >> 1].stall, false);
    if (dice < 20)
        proxy_cut_all(link);
    else if (dice < 30)
        atomic_store(&link->cut_after, after);
    else if (dice < 40)
        atomic_store(&link->corrupt, after);
    else if (dice < 50)
        atomic_store(&way->duplicate, after);
    else if (dice < 56)
        atomic_store(&way->half_close, after);
    else if (dice < 57)
        atomic_store(&way->truncate, after); /* found out by silence, which takes seconds */
    else if (dice < 63)
        atomic_store(&link->delay_ms, (int)(random >> 8) % 10);
    else if (dice < 68)
        atomic_store(&way->stall, true);
    else if (dice < 83)
        kill_worker(scene, (int)((random >> 8) % WORKERS));
    else if (dice < 95)
        restart(scene, bridges[which], options[which]);
    else if (dice < 98)
        stop_for(scene, bridges[which]->bridge, (int)(random >> 16) % 300);
    else
        stop_for(scene, scene->workers[(random >> 8) % WORKERS], (int)(random >> 16) % 300);
}

static void mend_all(struct scene *scene)
{
    for (int i = 0; i < 2; i++) {
        struct proxy *link = &scene->links[i];
        atomic_store(&link->delay_ms, 0);
        atomic_store(&link->corrupt, 0);
        atomic_store(&link->cut_after, 0);
        for (int way = 0; way < 2; way++) {
            atomic_store(&link->way[way].stall, false);
            atomic_store(&link->way[way].truncate, 0);
            atomic_store(&link->way[way].duplicate, 0);
            atomic_store(&link->way[way].half_close, 0);
        }
    }
}

/* ---- the whole */

static void init_link(struct scene *scene, int i)
{
    char url[sizeof scene->links[i].url];

    proxy_start(&scene->links[i], scene->home.url);
    memcpy(url, scene->links[i].url, sizeof url);
    snprintf(scene->peers[i], sizeof scene->peers[i], "home=%s", url);
}

static void open_pools(struct scene *scene)
{
    struct ptq_error error = {0};
    struct ptq_bus_options options = {
        .dir = scene->home.far.dir, .peers = scene->peers[0], .node = "near", .via = scene->via, .error = &error};
    struct ptq_pool_options make = {.capacity = 64, .window = 16, .result_size = SIZE_MOST, .unordered = unordered,
                                    .error = &error};
    struct ptq_pool_options attach = {.mode = PTQ_ATTACH, .error = &error};
    ptq_pool *pool;

    if (ptq_pool_open(scene->home.here, "pool", &make, &pool) != PTQ_OK)
        fail_msg("%s", error.text);
    assert_ok(pti_queue_head(pool->jobs, &scene->first));
    ptq_pool_close(pool);
    if (ptq_bus_open("test", &options, &scene->bus) != PTQ_OK)
        fail_msg("%s", error.text);
    if (ptq_pool_open(scene->bus, "pool@home", &attach, &scene->pool) != PTQ_OK)
        fail_msg("%s", error.text);
}

static void init_scene(struct scene *scene, const char *via)
{
    memset(scene, 0, sizeof *scene);
    scene->via = via;
    scene->fate = calloc(JOBS_MOST, sizeof *scene->fate);
    scene->ticket = calloc(JOBS_MOST, sizeof *scene->ticket);
    scene->came = calloc(JOBS_MOST, sizeof *scene->came);
    scene->out = calloc(JOBS_MOST, sizeof *scene->out);
    net_init(&scene->home, home_options);
    ptt_scratch_init_dir(&scene->third.home);
    for (int i = 0; i < 2; i++)
        init_link(scene, i);
    if (strcmp(via, "bridge") == 0) {
        net_near_start(&scene->near, &scene->home, near_options);
        net_bridge_start(&scene->third, third_options);
    }
    open_pools(scene);
    for (int i = 0; i < WORKERS; i++)
        start_worker(scene, i);
}

static void fini_scene(struct scene *scene)
{
    ptq_pool_close(scene->pool);
    ptq_bus_close(scene->bus);
    for (int i = 0; i < 2; i++)
        proxy_stop(&scene->links[i]);
    net_bridge_kill(&scene->near);
    net_bridge_kill(&scene->third);
    net_fini(&scene->home);
    ptt_scratch_fini(&scene->third.home);
    free(scene->fate);
    free(scene->ticket);
    free(scene->came);
    free(scene->out);
}

static bool is_got(void *context)
{
    return atomic_load(&((struct scene *)context)->over);
}

static void fail_stuck(struct scene *scene)
{
    struct ptq_pool_stats stats = {0};
    struct ptq_pool_options attach = {.mode = PTQ_ATTACH};
    ptq_pool *pool;

    if (ptq_pool_open(scene->home.here, "pool", &attach, &pool) == PTQ_OK) {
        assert_ok(ptq_pool_stats(pool, &stats));
        ptq_pool_close(pool);
    }
    for (int i = 0; i < WORKERS; i++)
        print_message("worker %d: %s\n", i, is_over(scene->workers[i]) ? "has left" : "is there");
    fail_msg("it stands still: submitted %llu queued %llu running %llu held %llu ready %llu got %llu stopped %d, here %llu",
             (unsigned long long)stats.submitted, (unsigned long long)stats.queued, (unsigned long long)stats.running,
             (unsigned long long)stats.held, (unsigned long long)stats.ready, (unsigned long long)stats.got, stats.stopped,
             (unsigned long long)scene->got);
}

static void stop_pool(struct scene *scene)
{
    enum ptq_err err;
    int64_t until = pti_now_ns() + PTT_LONG * PTI_NS_PER_MS;

    while ((err = ptq_pool_stop(scene->pool)) != PTQ_OK && passes(err) && pti_now_ns() < until)
        (void)nanosleep(&(struct timespec){.tv_nsec = 10 * PTI_NS_PER_MS}, NULL);
    assert_ok(err);
}

/* Each promised job stands at its ticket, and nothing else does. */
static void check_books(struct scene *scene)
{
    uint64_t got = scene->got, promised = 0, strange = 0, doubled = 0;
    uint8_t *seen = calloc(JOBS_MOST, 1);

    for (uint64_t at = 0; at < got; at++) {
        if (scene->came[at] == 0)
            continue;
        doubled += seen[scene->came[at] - 1]++ > 0;
        strange += scene->fate[scene->came[at] - 1] == NOT_SUBMITTED;
    }
    for (uint64_t number = 0; number < scene->submitted; number++) {
        if (scene->fate[number] != PROMISED)
            continue;
        uint64_t at = scene->ticket[number] - scene->first;
        promised++;
        if (at >= got || (scene->came[at] != 0 && scene->came[at] != number + 1))
            fail_msg("job %llu was promised ticket %llu, where %lld came", (unsigned long long)number,
                     (unsigned long long)scene->ticket[number], at < got ? (long long)scene->came[at] - 1 : -1);
    }
    free(seen);
    uint64_t faults = scene->links[0].faults + scene->links[1].faults;
    print_message("%s: jobs=%llu tickets=%llu errors=%llu doubled=%llu in_doubt=%llu asked_again=%llu faults=%llu links=%llu "
                  "bridges_killed=%u workers_killed=%u stops=%u\n",
                  scene->via, (unsigned long long)promised, (unsigned long long)got, (unsigned long long)scene->errors,
                  (unsigned long long)doubled, (unsigned long long)scene->in_doubt, (unsigned long long)scene->asked_again,
                  (unsigned long long)faults,
                  (unsigned long long)(scene->links[0].links + scene->links[1].links), scene->restarts, scene->kills, scene->stops);
    assert_int_equal(strange + doubled, 0);
    assert_true(promised > 100 && scene->kills > 0 && scene->restarts > 0 && faults > 0);
    totals_add(TOTAL_PUT, promised);
    totals_add(TOTAL_TAKEN, got);
    totals_add(TOTAL_KILLS, scene->kills + scene->restarts);
    totals_add(TOTAL_STOPS, scene->stops);
}

/* On a busy machine little happens in the time that is given: then it takes longer. */
static bool enough_happened(const struct scene *scene)
{
    return atomic_load(&scene->got) > 200 && scene->kills > 0 && scene->restarts > 0 &&
           scene->links[0].faults + scene->links[1].faults > 0;
}

static void run_scene(const char *via)
{
    static struct scene scene;
    pthread_t submitter, getter;
    uint64_t seed = ptt_seed();

    init_scene(&scene, via);
    assert_int_equal(pthread_create(&submitter, NULL, submit_jobs, &scene), 0);
    assert_int_equal(pthread_create(&getter, NULL, get_results, &scene), 0);
    int64_t end = pti_now_ns() + seconds * PTI_NS_PER_S;
    int64_t late = end + PTT_LONG * PTI_NS_PER_MS;
    while ((pti_now_ns() < end || (!enough_happened(&scene) && pti_now_ns() < late)) && atomic_load(&scene.fault) == NULL) {
        break_something(&scene, &seed);
        (void)nanosleep(&(struct timespec){.tv_nsec = (20 + (long)(ptt_random(&seed) % 100)) * PTI_NS_PER_MS}, NULL);
    }
    mend_all(&scene);
    atomic_store(&scene.stop, true);
    int64_t quiet = pti_now_ns();
    pthread_join(submitter, NULL);
    if (atomic_load(&scene.fault) == NULL)
        stop_pool(&scene);
    if (!ptt_wait_until(is_got, &scene, 2 * PTT_LONG) && atomic_load(&scene.fault) == NULL)
        fail_stuck(&scene);
    atomic_store(&scene.over, true);
    pthread_join(getter, NULL);
    if (scene.fault != NULL)
        fail_msg("at %llu: %s: %llu", (unsigned long long)scene.fault_at, scene.fault,
                 (unsigned long long)scene.fault_detail);
    print_message("%s: over %lld ms after the last fault\n", via, (long long)((pti_now_ns() - quiet) / PTI_NS_PER_MS));
    check_books(&scene);
    for (int i = 0; i < WORKERS; i++)
        ptt_assert_exit(scene.workers[i], 0, PTT_LONG);
    fini_scene(&scene);
}

static void over_links_of_their_own_each_ticket_comes_once_in_order(void **state)
{
    (void)state;
    run_scene("direct");
}

static void through_bridges_each_ticket_comes_once_in_order(void **state)
{
    (void)state;
    run_scene("bridge");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(over_links_of_their_own_each_ticket_comes_once_in_order),
        cmocka_unit_test(through_bridges_each_ticket_comes_once_in_order),
    };

    if (argc == 7 && strcmp(argv[1], "work") == 0)
        return work(argv + 2);
    if (argc > 1)
        seconds = atoi(argv[1]);
    unordered = argc > 2 && strcmp(argv[2], "unordered") == 0;
    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 2);
}
