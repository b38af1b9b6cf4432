/* serving.c -- what a ptqbridge costs that has nothing to do, and how it shares itself among many.
 *
 *   bench_serving idle PTQBRIDGE [--queues 1000] [--links 100] [--bridges 10] [--seconds 20] [--http]
 *   bench_serving fair PTQBRIDGE [--clients 200] [--seconds 10] [--via direct|bridge] [--greedy N]
 *
 * idle: a bus with so many queues, and so many links to its bridge: of programs that have one queue open each, and of --bridges other
 * bridges, which look at its directory every two seconds.  Told: processor time of the bridge in per cent of a core, its memory; with
 * --http also what a scrape of /metrics costs.
 * fair: so many processes put 64 bytes at a time, each acknowledged, into one queue that a process of the home empties.  Told: the
 * slowest and the fastest of them, and the longest time in which one of them got no answer.  --via bridge: they are programs of another
 * host that go through its bridge.  --greedy: so many more put 256 at once, and are not counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <dirent.h>
#include <time.h>
#include <unistd.h>

#include <ptq/ptq.h>

#define CLIENTS_MOST 4096
#define READY_S 60

static struct {
    const char *bridge, *via;
    int queues, links, bridges, clients, seconds, greedy;
    bool http;
} asked = {.queues = 1000, .links = 100, .bridges = 10, .clients = 200, .via = "direct"};

static char dir[64], url[64], local_url[96];
static pid_t children[CLIENTS_MOST + 64];
static size_t child_count;

/* What the clients tell; zero at first. */
static struct page {
    _Atomic int ready, go, stop;
    struct {
        _Atomic uint64_t count, longest_ns;
    } clients[CLIENTS_MOST];
} *page;

static void end_all(void)
{
    for (size_t i = 0; i < child_count; i++)
        kill(children[i], SIGKILL);
    while (wait(NULL) > 0)
        ;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fprintf(stderr, "bench_serving: ");
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    end_all();
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    exit(1);
}

static void must(enum ptq_err answer, const char *what)
{
    if (answer != PTQ_OK)
        fail("%s: %s", what, ptq_strerror(answer));
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void nap(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

/* ---- processes ---- */

static pid_t fork_child(void)
{
    pid_t pid = fork();

    if (pid < 0)
        fail("fork: %s", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        child_count = 0;
        return 0;
    }
    children[child_count++] = pid;
    return pid;
}

static unsigned free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        fail("no port: %s", strerror(errno));
    close(fd);
    return ntohs(address.sin_port);
}

/* Waits until it listens. */
static pid_t start_bridge(const char *bus_dir, const char *listen, const char *peer, const char *pages)
{
    const char *words[16] = {asked.bridge, "--dir", bus_dir, "--run", "bench", "--quiet", "--ready-fd", "3", "--listen", listen};
    size_t count = 10;
    char byte;
    int ends[2];

    if (peer != NULL) {
        words[count++] = "--peer";
        words[count++] = peer;
    }
    if (pages != NULL) {
        words[count++] = "--http";
        words[count++] = pages;
    }
    if (pipe(ends) != 0)
        fail("pipe: %s", strerror(errno));
    pid_t pid = fork_child();
    if (pid == 0) {
        dup2(ends[1], 3);
        execv(words[0], (char **)(uintptr_t)words);
        _exit(127);
    }
    close(ends[1]);
    if (read(ends[0], &byte, 1) != 1)
        fail("%s does not come up", asked.bridge);
    close(ends[0]);
    return pid;
}

static ptq_bus *open_bus(const char *bus_dir, const char *peers)
{
    struct ptq_error error = {0};
    struct ptq_bus_options options = {.dir = bus_dir, .peers = peers, .error = &error};
    ptq_bus *bus;

    if (ptq_bus_open("bench", &options, &bus) != PTQ_OK)
        fail("%s", error.text);
    return bus;
}

static void await_ready(int count)
{
    int64_t until = now_ns() + READY_S * INT64_C(1000000000);

    while (atomic_load(&page->ready) < count) {
        if (now_ns() > until)
            fail("only %d of %d came up in %d s", atomic_load(&page->ready), count, READY_S);
        nap(20);
    }
}

/* ---- what a process costs ---- */

/* Processor time of all its threads that live, in nanoseconds. */
static uint64_t spent_ns(pid_t pid)
{
    char path[300];
    uint64_t sum = 0;
    struct dirent *entry;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
        unsigned long long spent = 0;
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/schedstat", (int)pid, entry->d_name);
        FILE *file = entry->d_name[0] != '.' ? fopen(path, "r") : NULL;
        if (file != NULL && fscanf(file, "%llu", &spent) == 1)
            sum += spent;
        if (file != NULL)
            fclose(file);
    }
    if (tasks != NULL)
        closedir(tasks);
    return sum;
}

static double memory_mib(pid_t pid, const char *what)
{
    char path[64], line[200];
    double kib = 0;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, what, strlen(what)) == 0)
            kib = strtod(line + strlen(what) + 1, NULL);
    }
    if (file != NULL)
        fclose(file);
    return kib / 1024;
}

/* ---- idle ---- */

static void make_queues(const char *bus_dir)
{
    ptq_bus *bus = open_bus(bus_dir, "");

    for (int i = 0; i < asked.queues; i++) {
        char name[32];
        ptq_queue *queue;
        snprintf(name, sizeof name, "queue-%04d", i);
        must(ptq_queue_open(bus, name, NULL, &queue), name);
        must(ptq_put(queue, "hello", 5, PTQ_NOWAIT), name);
        ptq_queue_close(queue);
    }
    ptq_bus_close(bus);
}

static void be_idle(int number)
{
    char peers[96], far_dir[96], name[48];
    struct ptq_queue_options options = {.mode = PTQ_ATTACH};
    ptq_queue *queue;

    snprintf(peers, sizeof peers, "home=%s", url);
    snprintf(far_dir, sizeof far_dir, "%s/far", dir);
    snprintf(name, sizeof name, "queue-%04d@home", number % asked.queues);
    must(ptq_queue_open(open_bus(far_dir, peers), name, &options, &queue), name);
    atomic_fetch_add(&page->ready, 1);
    for (;;)
        pause();
}

static void tell_scrape(pid_t bridge, const char *pages)
{
    char request[] = "GET /metrics HTTP/1.0\r\n\r\n", bytes[65536];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((in_port_t)atoi(strrchr(pages, ':') + 1))};
    ssize_t got, size = 0;
    uint64_t spent = spent_ns(bridge);
    int64_t begun = now_ns();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0 || write(fd, request, sizeof request - 1) < 0)
        fail("no pages at %s", pages);
    while ((got = read(fd, bytes, sizeof bytes)) > 0)
        size += got;
    close(fd);
    printf("a scrape: %.1f ms, %.1f ms of processor time, %.2f MiB; memory then %.1f MiB\n", (double)(now_ns() - begun) / 1e6,
           (double)(spent_ns(bridge) - spent) / 1e6, (double)size / (1 << 20), memory_mib(bridge, "VmRSS"));
}

static void run_idle(void)
{
    char home_dir[96], pages[32], peer[96];

    snprintf(home_dir, sizeof home_dir, "%s/home", dir);
    snprintf(pages, sizeof pages, "127.0.0.1:%u", free_port());
    snprintf(peer, sizeof peer, "home=%s", url);
    make_queues(home_dir);
    pid_t bridge = start_bridge(home_dir, url, NULL, asked.http ? pages : NULL);
    for (int i = 0; i < asked.bridges; i++) {
        char other_dir[96], other_url[128];
        snprintf(other_dir, sizeof other_dir, "%s/b%d", dir, i);
        snprintf(other_url, sizeof other_url, "ipc://%s/b%d.sock", dir, i);
        mkdir(other_dir, 0700);
        start_bridge(other_dir, other_url, peer, NULL);
    }
    for (int i = 0; i < asked.links - asked.bridges; i++) {
        if (fork_child() == 0)
            be_idle(i);
    }
    await_ready(asked.links - asked.bridges);
    nap(3000); /* what begins is over */
    uint64_t spent = spent_ns(bridge);
    int64_t begun = now_ns();
    nap(asked.seconds * 1000);
    double percent = 100.0 * (double)(spent_ns(bridge) - spent) / (double)(now_ns() - begun);
    printf("%d queues, %d links (%d of bridges): %.2f %% of a core, %.1f MiB (%.1f of its own)\n", asked.queues, asked.links, asked.bridges,
           percent, memory_mib(bridge, "VmRSS"), memory_mib(bridge, "RssAnon"));
    if (asked.http) {
        tell_scrape(bridge, pages);
        nap(3000);
        tell_scrape(bridge, pages);
    }
}

/* ---- fair ---- */

static void put_many(ptq_queue *queue, const struct ptq_bytes *messages, size_t count)
{
    while (!atomic_load(&page->stop))
        must(ptq_put_many(queue, messages, count, PTQ_FOREVER, NULL), "put_many");
    _exit(0);
}

/* Those from asked.clients on are greedy. */
static void be_a_client(int number)
{
    struct ptq_bytes messages[256];
    char peers[96], far_dir[96];
    struct ptq_queue_options options = {.mode = PTQ_ATTACH, .flags = strcmp(asked.via, "bridge") == 0 ? PTQ_VIA_BRIDGE : PTQ_DIRECT};
    const char bytes[64] = {0};
    ptq_queue *queue;

    snprintf(peers, sizeof peers, "home=%s", url);
    snprintf(far_dir, sizeof far_dir, "%s/far", dir);
    must(ptq_queue_open(open_bus(far_dir, peers), "all@home", &options, &queue), "all@home");
    atomic_fetch_add(&page->ready, 1);
    while (!atomic_load(&page->go))
        nap(5);
    for (size_t i = 0; i < 256; i++)
        messages[i] = (struct ptq_bytes){bytes, sizeof bytes};
    if (number >= asked.clients)
        put_many(queue, messages, 256);
    for (int64_t before = now_ns(), now; !atomic_load(&page->stop); before = now) {
        must(ptq_put(queue, bytes, sizeof bytes, PTQ_FOREVER), "put");
        now = now_ns();
        atomic_fetch_add_explicit(&page->clients[number].count, 1, memory_order_relaxed);
        if ((uint64_t)(now - before) > atomic_load_explicit(&page->clients[number].longest_ns, memory_order_relaxed))
            atomic_store_explicit(&page->clients[number].longest_ns, (uint64_t)(now - before), memory_order_relaxed);
    }
    _exit(0);
}

static void empty(const char *home_dir)
{
    ptq_queue *queue;
    ptq_msg *msgs[256];
    size_t count;

    must(ptq_queue_open(open_bus(home_dir, ""), "all", NULL, &queue), "all");
    atomic_fetch_add(&page->ready, 1);
    for (;;) {
        must(ptq_get_many(queue, msgs, 1, 256, PTQ_FOREVER, &count), "get");
        must(ptq_ack_many(msgs, count), "ack");
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void run_fair(void)
{
    char home_dir[96], far_dir[96], peer[96];
    static uint64_t counts[CLIENTS_MOST];
    uint64_t sum = 0, longest = 0;
    ptq_queue *queue;

    snprintf(home_dir, sizeof home_dir, "%s/home", dir);
    snprintf(far_dir, sizeof far_dir, "%s/far", dir);
    snprintf(peer, sizeof peer, "home=%s", url);
    ptq_bus *bus = open_bus(home_dir, "");
    must(ptq_queue_open(bus, "all", &(struct ptq_queue_options){.max_endpoints = 512}, &queue), "all");
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    pid_t bridge = start_bridge(home_dir, url, NULL, NULL);
    if (strcmp(asked.via, "bridge") == 0)
        bridge = start_bridge(far_dir, local_url, peer, NULL);
    if (fork_child() == 0)
        empty(home_dir);
    for (int i = 0; i < asked.clients + asked.greedy; i++) {
        if (fork_child() == 0)
            be_a_client(i);
    }
    await_ready(asked.clients + asked.greedy + 1);
    uint64_t spent = spent_ns(bridge);
    int64_t begun = now_ns();
    atomic_store(&page->go, 1);
    nap(asked.seconds * 1000);
    for (int i = 0; i < asked.clients; i++)
        counts[i] = atomic_load(&page->clients[i].count);
    double seconds = (double)(now_ns() - begun) / 1e9, core = 100.0 * (double)(spent_ns(bridge) - spent) / 1e9 / seconds;
    for (int i = 0; i < asked.clients; i++) {
        sum += counts[i];
        uint64_t pause_ns = atomic_load(&page->clients[i].longest_ns);
        longest = pause_ns > longest ? pause_ns : longest;
    }
    atomic_store(&page->stop, 1);
    qsort(counts, (size_t)asked.clients, sizeof counts[0], compare);
    printf("%d clients (%s): %.0f puts/s; each %.1f to %.1f /s, %.2f x; longest pause %.0f ms; the bridge %.0f %% of a core\n", asked.clients, asked.via,
           (double)sum / seconds, (double)counts[0] / seconds, (double)counts[asked.clients - 1] / seconds,
           counts[0] > 0 ? (double)counts[asked.clients - 1] / (double)counts[0] : 0.0, (double)longest / 1e6, core);
}

/* ---- main ---- */

static int misuse(void)
{
    fprintf(stderr, "bench_serving idle|fair PTQBRIDGE [--queues N] [--links N] [--bridges N] [--clients N] [--seconds N] [--via direct|bridge] "
                    "[--greedy N] [--http]\n");
    return 2;
}

static bool read_options(int argc, char **argv)
{
    static const struct option options[] = {{"queues", required_argument, NULL, 'q'},  {"links", required_argument, NULL, 'l'},
                                            {"bridges", required_argument, NULL, 'b'}, {"clients", required_argument, NULL, 'c'},
                                            {"seconds", required_argument, NULL, 's'}, {"via", required_argument, NULL, 'v'},
                                            {"http", no_argument, NULL, 'h'},          {"greedy", required_argument, NULL, 'g'},
                                            {0}};
    int letter;

    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        int number = optarg != NULL ? atoi(optarg) : 0;
        if (letter == 'q')
            asked.queues = number;
        else if (letter == 'l')
            asked.links = number;
        else if (letter == 'b')
            asked.bridges = number;
        else if (letter == 'c')
            asked.clients = number;
        else if (letter == 's')
            asked.seconds = number;
        else if (letter == 'v')
            asked.via = optarg;
        else if (letter == 'g')
            asked.greedy = number;
        else if (letter == 'h')
            asked.http = true;
        else
            return false;
    }
    return argc - optind == 2 && asked.queues > 0 && asked.clients > 0 && asked.clients + asked.greedy <= CLIENTS_MOST && asked.greedy >= 0 && asked.links <= CLIENTS_MOST &&
           asked.links >= asked.bridges && asked.bridges <= 32;
}

int main(int argc, char **argv)
{
    struct rlimit limit;

    if (!read_options(argc, argv))
        return misuse();
    bool idle = strcmp(argv[optind], "idle") == 0;
    if (!idle && strcmp(argv[optind], "fair") != 0)
        return misuse();
    asked.bridge = argv[optind + 1];
    asked.seconds = asked.seconds > 0 ? asked.seconds : idle ? 20 : 10;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    strcpy(dir, "/dev/shm/ptq-bench.XXXXXX");
    if (page == MAP_FAILED || mkdtemp(dir) == NULL)
        fail("no memory: %s", strerror(errno));
    char path[96];
    snprintf(path, sizeof path, "%s/home", dir);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/far", dir);
    mkdir(path, 0700);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", free_port());
    snprintf(local_url, sizeof local_url, "ipc://%s/far.sock", dir);
    if (idle)
        run_idle();
    else
        run_fair();
    end_all();
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
