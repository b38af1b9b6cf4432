/* kit.c -- see kit.h */
#include "kit.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WARM_MS 40 /* or as long as is measured */
#define GATHER_MS 30000 /* roles have this long to be ready: some make ten thousand queues first */
#define MEET_MS 10000   /* for two roles to find each other, and to part */
#define GRACE_MS 30000  /* and this long to end after the stop: who has slept long has an inotify, which a busy kernel takes down for seconds */

/* What must be ended and removed; file-wide, because a signal handler needs it. */
static pid_t children[BENCH_ROLES_MAX];
static unsigned child_count;
static _Atomic unsigned threads_running;
static pid_t beside[BENCH_BESIDE_MAX];
static unsigned beside_count;
static char scratch[64];
static volatile sig_atomic_t interrupted;

int64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void bench_rest(long us)
{
    struct timespec time = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&time, NULL);
}

uint32_t bench_wait_word(const _Atomic uint32_t *word, bool is_set, const char *what)
{
    int64_t deadline = bench_now_ns() + (int64_t)MEET_MS * 1000000;
    uint32_t value;
    while (((value = atomic_load(word)) != 0) != is_set) {
        if (bench_now_ns() > deadline)
            bench_fail("%s: not after %d ms", what, MEET_MS);
        bench_rest(100);
    }
    return value;
}

uint64_t *bench_buffer(size_t size)
{
    uint64_t *words = aligned_alloc(64, (size + 63) & ~(size_t)63);
    if (words == NULL)
        bench_fail("no memory");
    memset(words, 1, size);
    return words;
}

/* -- cleaning up ------------------------------------------------------------------------------------------------ */

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status, (void)type, (void)walk;
    return remove(path);
}

static void end_children(void)
{
    for (unsigned i = 0; i < child_count; i++) {
        if (children[i] > 0) {
            kill(children[i], SIGKILL);
            waitpid(children[i], NULL, 0);
        }
    }
    child_count = 0;
}

static void end_one_beside(pid_t pid)
{
    kill(pid, SIGTERM);
    for (int tries = 0; tries < 2000; tries++) {
        if (waitpid(pid, NULL, WNOHANG) != 0)
            return;
        bench_rest(1000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* The last to be started first: it may use the others. */
static void end_beside(void)
{
    while (beside_count > 0)
        end_one_beside(beside[--beside_count]);
}

static void clean_up(void)
{
    end_children();
    end_beside();
    if (scratch[0] != '\0')
        nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    scratch[0] = '\0';
}

static void note_signal(int number)
{
    interrupted = number;
}

static bool in_role; /* a role must not clean up what is its parent's */

void bench_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    if (in_role)
        _exit(1);
    clean_up();
    exit(1);
}

void bench_wrong(uint64_t number, uint64_t expected, uint64_t producer)
{
    bench_fail("message %llu of producer %llu where %llu was due: order or bytes are wrong", (unsigned long long)number,
               (unsigned long long)producer, (unsigned long long)expected);
}

/* -- beginning -------------------------------------------------------------------------------------------------- */

static void pick_cores(int cpu[2])
{
    cpu_set_t set;
    int found = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        bench_fail("sched_getaffinity: %s", strerror(errno));
    for (int i = 0; i < CPU_SETSIZE && found < 2; i++) {
        if (CPU_ISSET(i, &set))
            cpu[found++] = i;
    }
    if (found == 1)
        cpu[1] = cpu[0];
}

static unsigned number_of(const char *option, const char *text, unsigned long least, unsigned long most)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < least || value > most) {
        fprintf(stderr, "%s: --%s %s: a number from %lu to %lu is wanted\n", program_invocation_short_name, option, text,
                least, most);
        exit(2);
    }
    return (unsigned)value;
}

static void usage(const struct bench *bench, FILE *out)
{
    fprintf(out,
            "usage: %s [--ms N] [--size BYTES] [--batch N] [--producers N] [--consumers N] [--cpus A,B]\n"
            "       [--poll hard|adaptive] [--one-core] [--unpinned] [--capacity N] [--item-size N] [--mode NAME] [--via NAME]\n"
            "       [--percentiles] [--think US] [--callers N] [--queues N] [--endpoints N] [--program FILE]\n"
            "%s. Prints value and unit.\n",
            program_invocation_short_name, bench->name);
}

void bench_init(struct bench *bench, int argc, char **argv)
{
    static const struct option table[] = {
        {"ms", 1, NULL, 'm'},        {"size", 1, NULL, 's'},     {"batch", 1, NULL, 'b'},     {"producers", 1, NULL, 'p'},
        {"consumers", 1, NULL, 'c'}, {"cpus", 1, NULL, 'u'},     {"poll", 1, NULL, 'l'},      {"one-core", 0, NULL, 'o'},
        {"capacity", 1, NULL, 'a'},  {"item-size", 1, NULL, 'i'}, {"mode", 1, NULL, 'v'},     {"program", 1, NULL, 'x'},
        {"unpinned", 0, NULL, 'n'},  {"via", 1, NULL, 'w'},      {"percentiles", 0, NULL, 'r'}, {"think", 1, NULL, 't'},
        {"callers", 1, NULL, 'k'},
        {"queues", 1, NULL, 'q'},    {"endpoints", 1, NULL, 'e'}, {"help", 0, NULL, 'h'},      {0}};
    struct bench_options *options = &bench->options;
    pick_cores(options->cpu);
    if (options->ms == 0)
        options->ms = 300;
    for (int letter; (letter = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        switch (letter) {
        case 'm': options->ms = number_of("ms", optarg, 1, 600000); break;
        case 's':
            options->size = number_of("size", optarg, 8, bench->size_max > 0 ? bench->size_max : BENCH_SIZE_MAX) & ~7u;
            break;
        case 'b': options->batch = number_of("batch", optarg, 1, 65536); break;
        case 'p': options->producers = number_of("producers", optarg, 1, BENCH_ROLES_MAX / 2); break;
        case 'c': options->consumers = number_of("consumers", optarg, 1, BENCH_ROLES_MAX / 2); break;
        case 'u':
            if (sscanf(optarg, "%d,%d", &options->cpu[0], &options->cpu[1]) != 2)
                usage(bench, stderr), exit(2);
            break;
        case 'l':
            if (strcmp(optarg, "hard") != 0 && strcmp(optarg, "adaptive") != 0)
                usage(bench, stderr), exit(2);
            options->hard = optarg[0] == 'h';
            break;
        case 'o': options->one_core = true; break;
        case 'a': options->capacity = number_of("capacity", optarg, 1, 1u << 22); break;
        case 'i': options->item_size = number_of("item-size", optarg, 1, 1u << 30); break;
        case 'v': options->mode = optarg; break;
        case 'x': options->program = optarg; break;
        case 'n': options->unpinned = true; break;
        case 'w': options->via = optarg; break;
        case 'r': options->percentiles = true; break;
        case 't':
            options->think_us = number_of("think", optarg, 1, 1000000);
            options->percentiles = true;
            break;
        case 'k': options->callers = number_of("callers", optarg, 1, BENCH_ROLES_MAX); break;
        case 'q': options->queues = number_of("queues", optarg, 0, 1000000); break;
        case 'e': options->endpoints = number_of("endpoints", optarg, 0, 2000); break;
        case 'h': usage(bench, stdout); exit(0);
        default: usage(bench, stderr); exit(2);
        }
    }
    if (optind != argc)
        usage(bench, stderr), exit(2);
    bench->page = bench_shared(sizeof *bench->page);
    struct sigaction action = {.sa_handler = note_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

void *bench_shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        bench_fail("no memory: %zu bytes: %s", size, strerror(errno));
    return memory;
}

void bench_scratch(struct bench *bench)
{
    snprintf(scratch, sizeof scratch, "/dev/shm/ptq-bench.XXXXXX");
    if (mkdtemp(scratch) == NULL)
        bench_fail("%s: %s", scratch, strerror(errno));
    memcpy(bench->dir, scratch, sizeof scratch);
}

/* -- processes -------------------------------------------------------------------------------------------------- */

static void die_with(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        bench_fail("cannot pin to core %d: %s", cpu, strerror(errno));
}

void bench_beside(struct bench *bench, int cpu, char *const argv[])
{
    pid_t parent = getpid();
    if (beside_count == BENCH_BESIDE_MAX)
        bench_fail("more than %d processes beside", BENCH_BESIDE_MAX);
    pid_t child = fork();
    if (child < 0)
        bench_fail("fork: %s", strerror(errno));
    if (child == 0) {
        die_with(parent);
        if (cpu >= 0 && !bench->options.unpinned)
            pin(cpu);
        execv(argv[0], argv);
        fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    beside[beside_count++] = child;
}

void bench_make_keys(const struct bench *bench, const char *dir)
{
    char keys[128];
    int status;
    snprintf(keys, sizeof keys, "%s/keys", dir);
    if (bench->options.program == NULL)
        bench_fail("--program: where is ptqbridge?");
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(null, 1);
        execl(bench->options.program, bench->options.program, "keygen", keys, "home", "far", (char *)NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        bench_fail("%s keygen: no keys and certificates; is openssl there?", bench->options.program);
}

const char *bench_host(void)
{
    static char host[16];
    unsigned pid = (unsigned)getpid();
    snprintf(host, sizeof host, "127.%u.%u.%u", 1 + (pid >> 16 & 63), pid >> 8 & 255, pid & 255);
    return host;
}

unsigned bench_free_port(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(bench_host())};
    socklen_t length = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name) != 0 ||
        getsockname(fd, (struct sockaddr *)&name, &length) != 0)
        bench_fail("no free port on loopback: %s", strerror(errno));
    close(fd);
    return ntohs(name.sin_port);
}

/* Under chrt -f a role that polls would keep the parent, which says when to stop, off both cores for ever. */
static void stay_below_parent(void)
{
    struct sched_param priority;
    int policy = sched_getscheduler(0);
    if ((policy != SCHED_FIFO && policy != SCHED_RR) || sched_getparam(0, &priority) != 0)
        return;
    if (--priority.sched_priority < 1)
        bench_fail("a real-time priority of 2 or more is needed: the parent runs one above its roles");
    if (sched_setscheduler(0, policy, &priority) != 0)
        bench_fail("sched_setscheduler: %s", strerror(errno));
}

struct thread_role {
    struct bench *bench;
    bench_role *role;
    unsigned index;
    int cpu;
};

static void *be_thread(void *argument)
{
    struct thread_role it = *(struct thread_role *)argument;
    free(argument);
    if (!it.bench->options.unpinned)
        pin(it.cpu);
    it.role(it.bench, it.index);
    atomic_fetch_sub(&threads_running, 1);
    return NULL;
}

static void start_thread(struct bench *bench, bench_role *role, unsigned index, int cpu)
{
    struct thread_role *it = malloc(sizeof *it);
    pthread_t thread;
    if (it == NULL)
        bench_fail("no memory");
    *it = (struct thread_role){bench, role, index, cpu};
    atomic_fetch_add(&threads_running, 1);
    if (pthread_create(&thread, NULL, be_thread, it) != 0 || pthread_detach(thread) != 0)
        bench_fail("no thread");
}

static void start_role(struct bench *bench, bench_role *role, unsigned index, int cpu)
{
    if (bench->threads) {
        start_thread(bench, role, index, cpu);
        return;
    }
    pid_t parent = getpid();
    pid_t child = fork();
    if (child < 0)
        bench_fail("fork: %s", strerror(errno));
    if (child == 0) {
        in_role = true;
        die_with(parent);
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        stay_below_parent();
        if (!bench->options.unpinned)
            pin(cpu);
        role(bench, index);
        _exit(0);
    }
    children[index] = child;
    child_count = index + 1;
}

struct each {
    void (*work)(void *context, unsigned index);
    void *context;
    unsigned index;
};

static void *be_one_of_each(void *argument)
{
    const struct each *it = argument;
    it->work(it->context, it->index);
    return NULL;
}

void bench_each(unsigned count, void (*work)(void *context, unsigned index), void *context)
{
    pthread_t threads[BENCH_ROLES_MAX];
    struct each each[BENCH_ROLES_MAX];
    for (unsigned i = 0; i < count; i++) {
        each[i] = (struct each){work, context, i};
        if (i >= BENCH_ROLES_MAX || pthread_create(&threads[i], NULL, be_one_of_each, &each[i]) != 0)
            bench_fail("no thread");
    }
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

/* -- processor time ---------------------------------------------------------------------------------------------- */

/* Of all threads of a process that are there, in ns. */
static double cpu_of(pid_t pid)
{
    char path[64], name[320];
    double sum = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    for (struct dirent *task; tasks != NULL && (task = readdir(tasks)) != NULL;) {
        unsigned long long ns;
        snprintf(name, sizeof name, "%s/%s/schedstat", path, task->d_name);
        FILE *file = task->d_name[0] != '.' ? fopen(name, "re") : NULL;
        if (file != NULL && fscanf(file, "%llu", &ns) == 1)
            sum += (double)ns;
        if (file != NULL)
            fclose(file);
    }
    if (tasks != NULL)
        closedir(tasks);
    return sum;
}

static double cpu_of_all(void)
{
    double sum = 0;
    for (unsigned i = 0; i < child_count; i++)
        sum += children[i] > 0 ? cpu_of(children[i]) : 0;
    for (unsigned i = 0; i < beside_count; i++)
        sum += cpu_of(beside[i]);
    return sum;
}

/* Notices roles that ended; one that failed ends the whole run.  Returns how many still run. */
static unsigned look_after(void)
{
    unsigned left = atomic_load(&threads_running);
    for (unsigned i = 0; i < child_count; i++) {
        int status;
        if (children[i] <= 0)
            continue;
        if (waitpid(children[i], &status, WNOHANG) != children[i]) {
            left++;
            continue;
        }
        children[i] = 0;
        if (WIFSIGNALED(status))
            bench_fail("process %u was ended by signal %d", i, WTERMSIG(status));
        if (WEXITSTATUS(status) != 0)
            bench_fail("process %u failed", i);
    }
    if (interrupted)
        bench_fail("interrupted by signal %d", (int)interrupted);
    return left;
}

static void say(struct bench *bench, enum bench_phase phase)
{
    atomic_store_explicit(&bench->page->phase, phase, memory_order_release);
}

static void conduct(struct bench *bench, unsigned count)
{
    int64_t deadline = bench_now_ns() + (int64_t)GATHER_MS * 1000000;
    while (atomic_load_explicit(&bench->page->ready, memory_order_acquire) < count) {
        look_after();
        if (bench_now_ns() > deadline)
            bench_fail("not all processes were ready after %d ms", GATHER_MS);
        bench_rest(500);
    }
    say(bench, BENCH_WARM);
    bench_rest((bench->options.ms < WARM_MS ? bench->options.ms : WARM_MS) * 1000);
    double cpu_before = cpu_of_all();
    say(bench, BENCH_MEASURE);
    for (int64_t end = bench_now_ns() + (int64_t)bench->options.ms * 1000000, now; (now = bench_now_ns()) < end;) {
        look_after();
        long left = (long)((end - now) / 1000);
        bench_rest(left < 100000 ? left : 100000);
    }
    bench->cpu_ns = cpu_of_all() - cpu_before;
    say(bench, BENCH_STOP);
    int grace_ms = bench->grace_ms > 0 ? bench->grace_ms : GRACE_MS;
    deadline = bench_now_ns() + (int64_t)grace_ms * 1000000;
    while (look_after() > 0) {
        if (bench_now_ns() > deadline)
            bench_fail("processes hang: not ended %d ms after the stop", grace_ms);
        bench_rest(500);
    }
    child_count = 0;
    end_beside();
}

void bench_run(struct bench *bench, bench_role *role, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        start_role(bench, role, i, bench->options.cpu[bench->options.one_core ? 0 : i % 2]);
    conduct(bench, count);
}

void bench_run_stream(struct bench *bench, bench_role *produce, bench_role *consume)
{
    unsigned producers = bench->options.producers, count = producers + bench->options.consumers;
    bool pair = count == 2;
    for (unsigned i = 0; i < count; i++) {
        bool consumer = i >= producers;
        unsigned core = bench->options.one_core ? 0 : pair ? consumer : (consumer ? i - producers : i) % 2;
        start_role(bench, consumer ? consume : produce, i, bench->options.cpu[core]);
    }
    conduct(bench, count);
}

void bench_barrier(struct bench *bench)
{
    atomic_fetch_add_explicit(&bench->page->ready, 1, memory_order_release);
    while (atomic_load_explicit(&bench->page->phase, memory_order_acquire) == BENCH_GATHER)
        sched_yield();
}

/* -- counting --------------------------------------------------------------------------------------------------- */

void bench_turn(struct bench_meter *meter, uint32_t phase, uint64_t count)
{
    if (phase >= BENCH_MEASURE && meter->seen < BENCH_MEASURE) {
        meter->begin_ns = bench_now_ns();
        meter->count_begin = count;
    }
    if (phase == BENCH_STOP && meter->end_ns == 0) {
        meter->end_ns = bench_now_ns();
        meter->count_end = count;
    }
    meter->seen = phase;
}

double bench_rate(const struct bench *bench, unsigned first, unsigned count)
{
    double sum = 0;
    for (unsigned i = first; i < first + count; i++) {
        const struct bench_meter *meter = &bench->page->role[i].meter;
        int64_t ns = meter->end_ns - meter->begin_ns;
        if (meter->begin_ns == 0 || ns <= 0)
            bench_fail("process %u counted nothing", i);
        sum += (double)(meter->count_end - meter->count_begin) * 1e9 / (double)ns;
    }
    return sum;
}

void bench_finish(struct bench *bench)
{
    (void)bench;
    clean_up();
}

void bench_print(const struct bench *bench, double value, const char *unit)
{
    (void)bench;
    clean_up();
    printf("%.4g %s\n", value, unit);
}

void bench_print_more(const struct bench *bench, double value, const char *unit, const char *name)
{
    (void)bench;
    printf("%.4g %s %s\n", value, unit, name);
}

/* -- round trips ------------------------------------------------------------------------------------------------ */

/* Times below BENCH_FINE have a bin each; above, each doubling has BENCH_FINE of them. */
static unsigned bin_of(uint64_t ticks)
{
    if (ticks < BENCH_FINE)
        return (unsigned)ticks;
    unsigned high = 63 - (unsigned)__builtin_clzll(ticks), shift = high - 7;
    return (shift + 1) * BENCH_FINE + (unsigned)(ticks >> shift) - BENCH_FINE;
}

static double middle_of(unsigned bin)
{
    if (bin < BENCH_FINE)
        return bin;
    unsigned shift = bin / BENCH_FINE - 1;
    return ((double)(bin % BENCH_FINE + BENCH_FINE) + 0.5) * (double)(UINT64_C(1) << shift);
}

void bench_trips_note(struct bench_trips *trips, const struct bench *bench, uint64_t ticks)
{
    if (trips->begin_ns == 0) {
        if (bench_phase_now(bench) != BENCH_MEASURE)
            return;
        trips->begin_ns = bench_now_ns();
        trips->begin_ticks = bench_ticks();
        return; /* it began before */
    }
    trips->bins[bin_of(ticks)]++;
    trips->count++;
}

static double percentile(const struct bench_trips *trips, unsigned percent)
{
    uint64_t wanted = (trips->count * percent + 99) / 100, passed = 0;
    for (unsigned i = 0; i < sizeof trips->bins / sizeof trips->bins[0]; i++) {
        passed += trips->bins[i];
        if (passed >= wanted && passed > 0)
            return middle_of(i);
    }
    return NAN;
}

void bench_trips_leave(const struct bench_trips *trips, struct bench *bench, unsigned index)
{
    double *extra = bench->page->role[index].meter.extra;
    double ticks = (double)(bench_ticks() - trips->begin_ticks), ns = (double)(bench_now_ns() - trips->begin_ns);
    extra[0] = trips->begin_ns == 0 ? NAN : percentile(trips, 50) * ns / ticks;
    extra[1] = trips->begin_ns == 0 ? NAN : percentile(trips, 99) * ns / ticks;
}

uint64_t bench_think(const struct bench *bench)
{
    uint64_t begin = bench_ticks();
    if (bench->options.think_us > 0) {
        for (int64_t end = bench_now_ns() + (int64_t)bench->options.think_us * 1000; bench_now_ns() < end;)
            ;
    }
    return bench_ticks() - begin;
}

void bench_print_trips(const struct bench *bench, const char *unit)
{
    const double *extra = bench->page->role[0].meter.extra;
    double part = strcmp(unit, "us") == 0 ? 1e3 : 1;
    if (!bench->options.percentiles) {
        bench_print(bench, 1e9 / part / bench_rate(bench, 0, 1), unit);
        return;
    }
    bench_print(bench, extra[0] / part, unit);
    bench_print_more(bench, extra[1] / part, unit, "p99");
}
