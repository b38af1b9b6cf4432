/* pool.c -- ordered work: a pool's caller and its worker processes, as a program would have them.
 *
 * --mode map      --batch N: items through ptq_imap_next, N a chunk, two workers
 * --mode plain    the same by ptq_pool_submit and ptq_pool_get
 * --mode load     tasks of 100 us of computing, two workers: beside the same tasks by two processes that get nothing from anybody and
 *                 tell nobody, by turns; then how many a millisecond either did
 * --mode sleeps   1,000 shuffled sleeps, eight workers: how long it took, beside the sum by the workers
 * --mode death    a worker is killed: milliseconds until its job runs again
 * --mode spawn    milliseconds until eight workers have all done something
 * --mode lend     --size N: bytes in and bytes out, written in place, one worker, four under way: us a job
 * --mode copy     the same by ptq_pool_submit and ptq_task_result
 * --mode bare     the same work on the same memory by two processes that spin, with nothing between them but a flag
 *
 * The workers are this program again.  Nothing is pinned: there are three processes on two cores.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ptq/ptq.h>

#include "use.h"

static enum ptq_err echo(ptq_task *task, const void *data, size_t size)
{
    return ptq_task_result(task, data, size);
}

static double turn(uint64_t rounds)
{
    double x = 1;
    for (uint64_t i = 0; i < rounds; i++) {
        x = x * 1.0000001 + 0.0000001;
        __asm__ volatile("" : "+x"(x));
    }
    return x;
}

static enum ptq_err compute(ptq_task *task, const void *data, size_t size)
{
    uint64_t rounds;
    memcpy(&rounds, data, sizeof rounds);
    double x = turn(rounds);
    return size == sizeof rounds ? ptq_task_result(task, &x, sizeof x) : PTQ_EINVAL;
}

/* The kernel may not be late for the sake of others: so with all who are measured beside it. */
static enum ptq_err nap(ptq_task *task, const void *data, size_t size)
{
    uint64_t us;
    (void)prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    memcpy(&us, data, sizeof us);
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
    return ptq_task_result(task, data, size);
}

/* The first time it waits to be killed; the second time it says when it began. */
static enum ptq_err die_once(ptq_task *task, const void *data, size_t size)
{
    int64_t now = bench_now_ns();
    (void)data;
    (void)size;
    if (ptq_task_tries(task) == 1)
        raise(SIGKILL);
    return ptq_task_result(task, &now, sizeof now);
}

static enum ptq_err tell(ptq_task *task, const void *data, size_t size)
{
    int64_t now = bench_now_ns();
    (void)data;
    (void)size;
    return ptq_task_result(task, &now, sizeof now);
}

static enum ptq_err meet(ptq_task *task, const void *data, size_t size)
{
    unsigned worker = ptq_task_worker(task);
    (void)nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    (void)data;
    (void)size;
    return ptq_task_result(task, &worker, sizeof worker);
}

struct scene {
    struct bench *bench;
    ptq_bus *bus;
    ptq_pool *pool;
    double load_rate, load_ideal; /* tasks a millisecond */
};

static void open_pool(struct scene *scene, uint64_t window)
{
    struct ptq_bus_options bus = {.dir = scene->bench->dir};
    uint32_t size = (uint32_t)scene->bench->options.size * scene->bench->options.batch + 16 * scene->bench->options.batch;
    struct ptq_pool_options options = {.window = window, .capacity = 4 * window, .item_size = size < 64 ? 64 : size, .result_size = size};
    bench_must(ptq_bus_open("bench", &bus, &scene->bus), "ptq_bus_open");
    bench_must(ptq_pool_open(scene->bus, "pool", &options, &scene->pool), "ptq_pool_open");
}

static void spawn(struct scene *scene, unsigned count)
{
    bench_must(ptq_pool_spawn(scene->pool, &(struct ptq_spawn_options){.count = count}), "ptq_pool_spawn");
}

static void close_pool(struct scene *scene)
{
    ptq_pool_close(scene->pool);
    ptq_bus_close(scene->bus);
}

static void submit(struct scene *scene, const char *task, const void *data, size_t size)
{
    bench_must(ptq_pool_submit(scene->pool, task, data, size, PTQ_FOREVER, NULL), "ptq_pool_submit");
}

static ptq_result *get(struct scene *scene)
{
    ptq_result *result;
    bench_must(ptq_pool_get(scene->pool, PTQ_FOREVER, &result), "ptq_pool_get");
    if (ptq_result_code(result) != PTQ_OK)
        bench_fail("a task failed: %s", ptq_result_text(result));
    return result;
}

/* -- streams -------------------------------------------------------------------------------------------------- */

struct source {
    struct bench *bench;
    struct bench_message message;
    uint64_t next, last;
};

static enum ptq_err pull(void *user, struct ptq_bytes *ret_item)
{
    struct source *source = user;
    if (source->next == source->last)
        return PTQ_END;
    bench_fill(&source->message, source->bench->options.size, source->next++, 0);
    *ret_item = (struct ptq_bytes){source->message.word, source->bench->options.size};
    return PTQ_OK;
}

/* Counts from the end of warming to the end of the window. */
struct window {
    int64_t begin, end, first;
    uint64_t count;
};

static bool tick(struct window *window, struct bench *bench)
{
    int64_t now = bench_now_ns();
    if (window->first == 0)
        window->first = now;
    if (window->begin == 0 && now - window->first > 50000000) {
        window->begin = now;
        window->count = 0;
    }
    window->end = now;
    return window->begin == 0 || now - window->begin < (int64_t)bench->options.ms * 1000000;
}

static double rate_of(const struct window *window)
{
    return (double)window->count / (double)(window->end - window->begin) * 1000;
}

static double run_map(struct scene *scene)
{
    static struct source source;
    static struct bench_seen seen;
    struct window window = {0};
    struct bench *bench = scene->bench;
    struct ptq_map_options options = {.chunk = bench->options.batch};
    struct ptq_map_item item;
    ptq_imap *imap;
    source.bench = bench;
    source.last = UINT64_MAX;
    bench_must(ptq_imap_begin(scene->pool, "echo", pull, &source, &options, &imap), "ptq_imap_begin");
    for (uint64_t i = 0;; i++) {
        bench_must(ptq_imap_next(imap, PTQ_FOREVER, &item), "ptq_imap_next");
        (void)bench_check(&seen, item.data, item.size, true);
        window.count++;
        if (i % 64 == 0 && !tick(&window, bench))
            break;
    }
    ptq_imap_end(imap);
    return rate_of(&window);
}

static double run_plain(struct scene *scene)
{
    static struct bench_message message;
    static struct bench_seen seen;
    struct window window = {0};
    struct bench *bench = scene->bench;
    uint64_t put = 0, ahead = ptq_pool_window(scene->pool) * 2;
    for (uint64_t got = 0;; got++) {
        if (put - got < ahead / 2)
            for (; put < got + ahead; put++) {
                bench_fill(&message, bench->options.size, put, 0);
                submit(scene, "echo", message.word, bench->options.size);
            }
        ptq_result *result = get(scene);
        (void)bench_check(&seen, ptq_result_data(result), ptq_result_size(result), true);
        bench_must(ptq_result_done(result), "ptq_result_done");
        window.count++;
        if (got % 64 == 0 && !tick(&window, bench))
            return rate_of(&window);
    }
}

/* -- memory --------------------------------------------------------------------------------------------------- */

/* What is done to the bytes of a job, wherever they stand. */
static void write_words(uint64_t *to, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size / 8; i++)
        to[i] = seed + i;
}

static void invert_words(uint64_t *restrict to, const uint64_t *restrict from, size_t size)
{
    for (size_t i = 0; i < size / 8; i++)
        to[i] = ~from[i];
}

static void check_words(const uint64_t *from, size_t size, uint64_t seed)
{
    uint64_t sum = 0, count = size / 8;
    for (size_t i = 0; i < count; i++)
        sum += from[i];
    if (~sum + 1 != count + count * seed + count * (count - 1) / 2) /* each is ~(seed + i) = -1 - seed - i */
        bench_fail("other bytes came back");
}

static enum ptq_err invert(ptq_task *task, const void *data, size_t size)
{
    void *to;
    enum ptq_err err = ptq_task_loan(task, size, &to);
    if (err == PTQ_OK)
        invert_words(to, data, size);
    return err;
}

static enum ptq_err invert_copied(ptq_task *task, const void *data, size_t size)
{
    static uint64_t *room;
    static size_t have;
    if (have < size)
        room = realloc(room, have = size);
    if (room == NULL)
        return PTQ_ENOMEM;
    invert_words(room, data, size);
    return ptq_task_result(task, room, size);
}

#define UNDER_WAY 4 /* jobs, so that neither side need wait for the other */

static double run_lend(struct scene *scene)
{
    struct window window = {0};
    size_t size = scene->bench->options.size;
    uint64_t put = 0;
    spawn(scene, 1);
    for (uint64_t seed = 0; tick(&window, scene->bench); seed++, window.count++) {
        for (; put < seed + UNDER_WAY; put++) {
            ptq_job *job;
            bench_must(ptq_pool_loan(scene->pool, "invert", size, NULL, PTQ_FOREVER, &job), "ptq_pool_loan");
            write_words(ptq_job_buffer(job), size, put);
            bench_must(ptq_pool_publish(job, size, PTQ_FOREVER, NULL), "ptq_pool_publish");
        }
        ptq_result *result = get(scene);
        check_words(ptq_result_data(result), size, seed);
        ptq_result_done(result);
    }
    return 1 / rate_of(&window);
}

static double run_copy(struct scene *scene)
{
    struct window window = {0};
    size_t size = scene->bench->options.size;
    uint64_t *bytes = malloc(size), put = 0;
    spawn(scene, 1);
    for (uint64_t seed = 0; tick(&window, scene->bench); seed++, window.count++) {
        for (; put < seed + UNDER_WAY; put++) {
            write_words(bytes, size, put);
            submit(scene, "invert-copied", bytes, size);
        }
        ptq_result *result = get(scene);
        check_words(ptq_result_data(result), size, seed);
        ptq_result_done(result);
    }
    free(bytes);
    return 1 / rate_of(&window);
}

/* As many buffers as jobs are under way, used by turns. */
struct bare {
    _Atomic uint64_t jobs;  /* written */
    char apart[56];
    _Atomic uint64_t results;
    char apart_too[56];
    _Atomic uint32_t over;
    char padding[3964];
    uint64_t words[];
};

static void invert_all(struct bare *bare, size_t size)
{
    uint64_t *in = bare->words, *out = in + UNDER_WAY * size / 8;
    for (uint64_t done = 0;; done++) {
        while (atomic_load_explicit(&bare->jobs, memory_order_acquire) <= done)
            if (atomic_load_explicit(&bare->over, memory_order_relaxed) != 0 || getppid() == 1)
                _exit(0);
        size_t at = done % UNDER_WAY * (size / 8);
        invert_words(out + at, in + at, size);
        atomic_store_explicit(&bare->results, done + 1, memory_order_release);
    }
}

static double run_bare(struct scene *scene)
{
    struct window window = {0};
    size_t size = scene->bench->options.size;
    struct bare *bare = bench_shared(sizeof *bare + 2 * UNDER_WAY * size);
    uint64_t *in = bare->words, *out = in + UNDER_WAY * size / 8, put = 0;
    pid_t child = fork();
    if (child == 0)
        invert_all(bare, size);
    for (uint64_t seed = 0; tick(&window, scene->bench); seed++, window.count++) {
        for (; put < seed + UNDER_WAY; put++) {
            write_words(in + put % UNDER_WAY * (size / 8), size, put);
            atomic_store_explicit(&bare->jobs, put + 1, memory_order_release);
        }
        while (atomic_load_explicit(&bare->results, memory_order_acquire) <= seed)
            ;
        check_words(out + seed % UNDER_WAY * (size / 8), size, seed);
    }
    atomic_store(&bare->over, 1);
    (void)waitpid(child, NULL, 0);
    return 1 / rate_of(&window);
}

/* -- time ----------------------------------------------------------------------------------------------------- */

#define TASK_NS 100000
#define LOADED 2 /* workers of the load, */
#define AHEAD 16 /* and jobs that are under way */

static uint64_t rounds_of(int64_t ns)
{
    int64_t best = INT64_MAX;
    for (int i = 0; i < 20; i++) {
        int64_t start = bench_now_ns();
        (void)turn(100000);
        int64_t took = bench_now_ns() - start;
        best = took < best ? took : best;
    }
    return (uint64_t)(100000.0 * (double)ns / (double)best);
}

static double median(double *values, unsigned count)
{
    for (unsigned i = 1; i < count; i++)
        for (unsigned j = i; j > 0 && values[j] < values[j - 1]; j--) {
            double kept = values[j];
            values[j] = values[j - 1];
            values[j - 1] = kept;
        }
    return values[count / 2];
}

static double by_pool(struct scene *scene, uint64_t rounds, int64_t ns)
{
    uint64_t put = 0, got = 0, count = 0;
    int64_t begin = 0, start = bench_now_ns(), now = start;
    for (; now - start < ns; now = bench_now_ns(), got++, count++) {
        for (; put < got + AHEAD; put++)
            submit(scene, "compute", &rounds, sizeof rounds);
        ptq_result_done(get(scene));
        if (begin == 0 && got == AHEAD) /* it is in full swing */
            begin = bench_now_ns(), count = 0;
    }
    for (; got < put; got++)
        ptq_result_done(get(scene));
    return (double)count / (double)(now - begin) * 1e6;
}

/* What there was to be had: the same tasks at the same time on the same cores, and nothing else. */
static double by_themselves(uint64_t rounds, int64_t ns)
{
    enum { LINE = 16 };
    static _Atomic uint64_t *done;
    pid_t child[LOADED];
    if (done == NULL)
        done = bench_shared(4096);
    _Atomic uint64_t *over = done + LOADED * LINE;
    atomic_store(over, 0);
    for (unsigned i = 0; i < LOADED; i++)
        if ((child[i] = fork()) == 0) {
            while (atomic_load_explicit(over, memory_order_relaxed) == 0 && getppid() != 1) {
                (void)turn(rounds);
                atomic_fetch_add_explicit(&done[i * LINE], 1, memory_order_relaxed);
            }
            _exit(0);
        }
    bench_rest(2000);
    int64_t begin = bench_now_ns();
    uint64_t before = atomic_load(&done[0]) + atomic_load(&done[LINE]);
    bench_rest((long)(ns / 1000));
    uint64_t after = atomic_load(&done[0]) + atomic_load(&done[LINE]);
    int64_t end = bench_now_ns();
    atomic_store(over, 1);
    for (unsigned i = 0; i < LOADED; i++)
        (void)waitpid(child[i], NULL, 0);
    return (double)(after - before) / (double)(end - begin) * 1e6;
}

/* By turns, so that neither has the better moments; the median of the pairs. */
static double run_load(struct scene *scene)
{
    enum { PAIRS = 9 };
    int64_t slice = (int64_t)scene->bench->options.ms * 1000000 / (2 * PAIRS);
    uint64_t rounds = rounds_of(TASK_NS);
    double pool[PAIRS], ideal[PAIRS], ratio[PAIRS];
    spawn(scene, LOADED);
    (void)by_pool(scene, rounds, slice); /* all are there */
    for (unsigned i = 0; i < PAIRS; i++) {
        ideal[i] = by_themselves(rounds, slice);
        pool[i] = by_pool(scene, rounds, slice);
        ratio[i] = pool[i] / ideal[i];
    }
    scene->load_rate = median(pool, PAIRS);
    scene->load_ideal = median(ideal, PAIRS);
    return median(ratio, PAIRS);
}

static double run_sleeps(struct scene *scene)
{
    enum { SLEEPS = 1000, WORKERS = 8 };
    unsigned longest = scene->bench->options.ms * 1000 * WORKERS * 2 / SLEEPS + 100; /* us: about ms in all */
    uint64_t us[SLEEPS], sum = 0, random = 88172645463325252u;
    spawn(scene, WORKERS);
    for (unsigned i = 0; i < SLEEPS; i++)
        us[i] = (uint64_t)(i + 1) * longest / SLEEPS;
    for (unsigned i = SLEEPS; i-- > 1;) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned other = (unsigned)((random >> 33) % (i + 1));
        uint64_t kept = us[i];
        us[i] = us[other];
        us[other] = kept;
    }
    for (unsigned i = 0; i < 200; i++) /* all are there */
        submit(scene, "meet", NULL, 0);
    for (unsigned i = 0; i < 200; i++)
        ptq_result_done(get(scene));
    int64_t start = bench_now_ns();
    for (unsigned put = 0, got = 0; got < SLEEPS; got++) {
        for (; put < SLEEPS && put < got + 64; put++)
            submit(scene, "nap", &us[put], sizeof us[put]);
        ptq_result_done(get(scene));
        sum += us[got];
    }
    return (double)(bench_now_ns() - start) / ((double)sum * 1000 / WORKERS);
}

/* From the moment at which the job before it, of the only worker, began to wait for its end. */
static double run_death(struct scene *scene)
{
    enum { DEATHS = 9 };
    double ms[DEATHS];
    spawn(scene, 1);
    for (unsigned i = 0; i < DEATHS; i++) {
        int64_t before, after;
        submit(scene, "tell", NULL, 0);
        submit(scene, "die-once", NULL, 0);
        ptq_result *result = get(scene);
        memcpy(&before, ptq_result_data(result), sizeof before);
        ptq_result_done(result);
        result = get(scene);
        memcpy(&after, ptq_result_data(result), sizeof after);
        ptq_result_done(result);
        ms[i] = (double)(after - before) / 1e6;
    }
    return median(ms, DEATHS);
}

static double run_spawn(struct scene *scene)
{
    enum { WORKERS = 8 };
    unsigned seen = 0, worker, put = 0, got = 0;
    int64_t start = bench_now_ns();
    spawn(scene, WORKERS);
    while (seen != (1u << WORKERS) - 1 && got < 100000) {
        for (; put < got + 4 * WORKERS; put++)
            submit(scene, "meet", NULL, 0);
        ptq_result *result = get(scene);
        memcpy(&worker, ptq_result_data(result), sizeof worker);
        seen |= 1u << worker;
        ptq_result_done(result);
        got++;
    }
    return (double)(bench_now_ns() - start) / 1e6;
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "pool", .size_max = 64 << 20, .options = {.ms = 1000, .size = 64, .batch = 1, .mode = "map"}};
    struct scene scene = {.bench = &bench};
    double value = 0;

    bench_must(ptq_task_register("echo", echo, NULL), "register");
    bench_must(ptq_task_register("compute", compute, NULL), "register");
    bench_must(ptq_task_register("nap", nap, NULL), "register");
    bench_must(ptq_task_register("die-once", die_once, NULL), "register");
    bench_must(ptq_task_register("tell", tell, NULL), "register");
    bench_must(ptq_task_register("meet", meet, NULL), "register");
    bench_must(ptq_task_register("invert", invert, NULL), "register");
    bench_must(ptq_task_register("invert-copied", invert_copied, NULL), "register");
    ptq_worker_main(argc, argv);
    bench_init(&bench, argc, argv);
    bench_scratch(&bench);
    const char *mode = bench.options.mode, *unit = "M/s";
    open_pool(&scene, bench.options.size > 65536 ? 8 : bench.options.batch > 1 ? 64 : bench.options.capacity != 0 ? bench.options.capacity : 1024);
    if (strcmp(mode, "map") == 0 || strcmp(mode, "plain") == 0) {
        spawn(&scene, 2);
        value = mode[0] == 'm' ? run_map(&scene) : run_plain(&scene);
    } else if (strcmp(mode, "load") == 0) {
        value = run_load(&scene), unit = "x";
    } else if (strcmp(mode, "sleeps") == 0) {
        value = run_sleeps(&scene), unit = "x";
    } else if (strcmp(mode, "death") == 0) {
        value = run_death(&scene), unit = "ms";
    } else if (strcmp(mode, "spawn") == 0) {
        value = run_spawn(&scene), unit = "ms";
    } else if (strcmp(mode, "lend") == 0 || strcmp(mode, "copy") == 0 || strcmp(mode, "bare") == 0) {
        value = mode[0] == 'l' ? run_lend(&scene) : mode[0] == 'c' ? run_copy(&scene) : run_bare(&scene), unit = "us";
    } else {
        bench_fail("--mode %s: map, plain, load, sleeps, death, spawn, lend, copy or bare", mode);
    }
    close_pool(&scene);
    bench_print(&bench, value, unit);
    if (strcmp(mode, "load") == 0) {
        bench_print_more(&bench, scene.load_rate, "/ms", "rate");
        bench_print_more(&bench, scene.load_ideal, "/ms", "ideal");
    }
    return 0;
}
