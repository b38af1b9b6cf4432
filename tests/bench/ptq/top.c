/* top.c -- what watching costs: processor time of ptqtop on a screen of its own, with many queues, at one frame a second.
 *
 *   bench_top PTQTOP [--queues 10000] [--busy 100] [--seconds 20] [--dir /dev/shm]
 *
 * Two lines: nothing moves; and `busy` of the queues get a message a tenth of a second, which is taken again.  In percent of a core, by the
 * kernel's count in nanoseconds, without the first frames.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ptq/ptq.h>

#define WARM_SECONDS 3
#define FIRST_FRAME 3000 /* bytes at least */

struct bench {
    const char *program, *dir;
    unsigned queues, busy, seconds;
    ptq_bus *bus;
    ptq_queue **open; /* those that are busy */
    int terminal;
    pid_t child;
};

static void die(const char *what)
{
    fprintf(stderr, "bench_top: cannot %s\n", what);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void make_queues(struct bench *bench)
{
    struct ptq_bus_options bus_options = {.dir = bench->dir};
    struct ptq_queue_options options = {.capacity = 16, .item_size = 64};

    if (ptq_bus_open("top", &bus_options, &bench->bus) != PTQ_OK)
        die("open a bus");
    bench->open = calloc(bench->busy + 1, sizeof *bench->open);
    for (unsigned i = 0; i < bench->queues; i++) {
        char name[32];
        ptq_queue *queue;
        snprintf(name, sizeof name, "queue.%05u", i);
        if (bench->open == NULL || ptq_queue_open(bench->bus, name, &options, &queue) != PTQ_OK || ptq_put(queue, "a message", 9, PTQ_NOWAIT) != PTQ_OK)
            die("make the queues");
        unsigned step = bench->busy > 0 ? bench->queues / bench->busy : 0;
        if (step > 0 && i % step == 0 && i / step < bench->busy)
            bench->open[i / step] = queue;
        else
            ptq_queue_close(queue);
    }
}

static void start(struct bench *bench)
{
    struct winsize size = {.ws_row = 60, .ws_col = 200};

    bench->terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (bench->terminal < 0 || grantpt(bench->terminal) != 0 || unlockpt(bench->terminal) != 0 || ioctl(bench->terminal, TIOCSWINSZ, &size) != 0)
        die("have a terminal");
    bench->child = fork();
    if (bench->child < 0)
        die("fork");
    if (bench->child > 0)
        return;
    setsid();
    int other = open(ptsname(bench->terminal), O_RDWR);
    if (other < 0 || dup2(other, 0) < 0 || dup2(other, 1) < 0)
        _exit(127);
    setenv("TERM", "xterm-256color", 1);
    setenv("LC_ALL", "C.UTF-8", 1);
    execl(bench->program, bench->program, "-d", "1", "--dir", bench->dir, "--run", "top", (char *)NULL);
    _exit(127);
}

static double spent_ns(const struct bench *bench)
{
    char path[64];
    double spent = -1;

    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)bench->child);
    FILE *file = fopen(path, "re");
    if (file == NULL || fscanf(file, "%lf", &spent) != 1)
        die("read what it has spent");
    fclose(file);
    return spent;
}

/* Lets it draw; with `moves` a message goes through each busy queue ten times a second.  Returns how many bytes it drew. */
static size_t watch(const struct bench *bench, unsigned seconds, bool moves)
{
    char drawn[65536], message[64];
    int64_t end = now_ns() + (int64_t)seconds * 1000000000;
    size_t bytes = 0, size;

    while (now_ns() < end) {
        struct pollfd output = {.fd = bench->terminal, .events = POLLIN};
        if (poll(&output, 1, 100) > 0) {
            ssize_t got = read(bench->terminal, drawn, sizeof drawn);
            if (got <= 0)
                die("hear of it: it has ended");
            bytes += (size_t)got;
        }
        for (unsigned i = 0; moves && i < bench->busy; i++)
            if (bench->open[i] != NULL && (ptq_put(bench->open[i], "another", 7, PTQ_NOWAIT) != PTQ_OK ||
                                           ptq_recv(bench->open[i], message, sizeof message, PTQ_NOWAIT, &size) != PTQ_OK))
                die("move messages");
    }
    return bytes;
}

static void measure(const struct bench *bench, bool moves, const char *what)
{
    watch(bench, 1, moves);
    double before = spent_ns(bench);
    int64_t began = now_ns();
    size_t bytes = watch(bench, bench->seconds, moves);
    double percent = 100 * (spent_ns(bench) - before) / (double)(now_ns() - began);

    printf("%u queues, 1 Hz, %s: %.2f %% of a core, %zu bytes/s drawn\n", bench->queues, what, percent, bytes / bench->seconds);
}

static void read_options(struct bench *bench, int argc, char **argv)
{
    if (argc < 2)
        die("do without the path of ptqtop");
    bench->program = argv[1];
    for (int i = 2; i + 1 < argc; i += 2) {
        unsigned number = (unsigned)atoi(argv[i + 1]);
        if (strcmp(argv[i], "--queues") == 0)
            bench->queues = number;
        else if (strcmp(argv[i], "--busy") == 0)
            bench->busy = number;
        else if (strcmp(argv[i], "--seconds") == 0)
            bench->seconds = number > 0 ? number : 1;
        else
            die("understand the options");
    }
}

int main(int argc, char **argv)
{
    struct bench bench = {.queues = 10000, .busy = 100, .seconds = 20};
    char dir[] = "/dev/shm/ptq-bench-top.XXXXXX", command[64], what[64];

    read_options(&bench, argc, argv);
    bench.dir = mkdtemp(dir);
    if (bench.dir == NULL)
        die("have a folder");
    make_queues(&bench);
    start(&bench);
    for (size_t drawn = 0; drawn < FIRST_FRAME;) /* it opens all of them first */
        drawn += watch(&bench, 1, false);
    watch(&bench, WARM_SECONDS, false);
    measure(&bench, false, "nothing moves");
    snprintf(what, sizeof what, "%u of them move", bench.busy);
    measure(&bench, true, what);
    kill(bench.child, SIGTERM);
    waitpid(bench.child, NULL, 0);
    for (unsigned i = 0; i < bench.busy; i++)
        ptq_queue_close(bench.open[i]);
    ptq_bus_close(bench.bus);
    snprintf(command, sizeof command, "rm -rf %s", bench.dir);
    return system(command) == 0 ? 0 : 1;
}
