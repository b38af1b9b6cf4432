/* large.c -- messages of 1, 16 and 64 MiB between two processes, copied in or written in place, beside memcpy in the same run.
 *
 *     bench_large [seconds a figure, 1]
 *
 * copy:  ptq_put from a buffer of the producer's; get, a word of each page is read, ack: one copy, to be compared with memcpy.
 * loan:  ptq_loan, a word of each page is written, ptq_publish; get as above: no copy, so the rate says how often, not how much.
 */
#include <ptq/ptq.h>

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define PAGE 4096u

static void must(enum ptq_err err, const char *what)
{
    if (err == PTQ_OK)
        return;
    fprintf(stderr, "bench_large: %s: %s\n", what, ptq_strerror(err));
    exit(1);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void touch(unsigned char *bytes, size_t size, uint64_t number)
{
    for (size_t at = 0; at + sizeof number <= size; at += PAGE)
        memcpy(bytes + at, &number, sizeof number);
}

/* Every word must be the message's: what is counted was there. */
static void check(const unsigned char *bytes, size_t size, uint64_t number)
{
    for (size_t at = 0; at + sizeof number <= size; at += PAGE)
        if (memcmp(bytes + at, &number, sizeof number) != 0) {
            fprintf(stderr, "bench_large: message %llu bears other bytes at %zu\n", (unsigned long long)number, at);
            exit(1);
        }
}

static void consume(const char *dir, const char *name)
{
    ptq_bus *bus;
    ptq_queue *queue;
    ptq_msg *msg;

    must(ptq_bus_open("bench", &(struct ptq_bus_options){.dir = dir}, &bus), "bus");
    must(ptq_queue_open(bus, name, NULL, &queue), "queue");
    for (uint64_t number = 0;; number++) {
        enum ptq_err err = ptq_get(queue, PTQ_FOREVER, &msg);
        if (err == PTQ_END)
            break;
        must(err, "get");
        check(ptq_msg_data(msg), ptq_msg_size(msg), number);
        must(ptq_ack(msg), "ack");
    }
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    _exit(0);
}

static double run_memcpy(size_t size, double seconds)
{
    unsigned char *from = malloc(size), *to = malloc(size);
    uint64_t count = 0;
    double start;

    memset(from, 1, size);
    memset(to, 2, size);
    start = now();
    do {
        memcpy(to, from, size);
        __asm__ volatile("" : : "r"(to) : "memory");
        from[count++ % size]++;
    } while (now() - start < seconds);
    double rate = (double)count / (now() - start);
    free(from);
    free(to);
    return rate;
}

static double run_queue(ptq_bus *bus, const char *dir, size_t size, bool in_place, double seconds)
{
    unsigned char *bytes = malloc(size);
    uint64_t number = 0;
    ptq_queue *queue;
    double start;
    int status;

    must(ptq_queue_open(bus, "large", &(struct ptq_queue_options){.capacity = 4, .item_size = (uint32_t)size}, &queue), "queue");
    pid_t consumer = fork();
    if (consumer == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        consume(dir, "large");
    }
    memset(bytes, 1, size);
    start = now();
    for (; number < 12 || now() - start < seconds; number++) {
        ptq_msg *loan;

        if (number == 8)
            start = now(); /* the files are there, and mapped */
        if (!in_place) {
            touch(bytes, size, number);
            must(ptq_put(queue, bytes, size, PTQ_FOREVER), "put");
            continue;
        }
        must(ptq_loan(queue, size, PTQ_FOREVER, &loan), "loan");
        touch(ptq_msg_buffer(loan), size, number);
        must(ptq_publish(loan, size, PTQ_FOREVER, NULL), "publish");
    }
    must(ptq_end(queue), "end");
    if (waitpid(consumer, &status, 0) != consumer || status != 0)
        must(PTQ_ESYS, "consumer");
    double rate = (double)(number - 8) / (now() - start);
    ptq_queue_close(queue);
    must(ptq_queue_unlink(bus, "large", true), "unlink");
    free(bytes);
    return rate;
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {1 * MIB + 1, 16 * MIB, 64 * MIB};
    double seconds = argc > 1 ? atof(argv[1]) : 1;
    char dir[] = "/dev/shm/ptq-bench.XXXXXX", run[64];
    ptq_bus *bus;

    if (seconds <= 0 || seconds > 60 || mkdtemp(dir) == NULL) {
        fprintf(stderr, "usage: bench_large [seconds a figure, to 60]\n");
        return 2;
    }
    must(ptq_bus_open("bench", &(struct ptq_bus_options){.dir = dir}, &bus), "bus");
    printf("%-10s %14s %14s %14s %8s\n", "size", "memcpy GB/s", "copy GB/s", "loan msgs/s", "copy/memcpy");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        double size = (double)sizes[i] / 1e9, before = run_memcpy(sizes[i], seconds / 2);
        double copy = run_queue(bus, dir, sizes[i], false, seconds), loan = run_queue(bus, dir, sizes[i], true, seconds);
        double plain = (before + run_memcpy(sizes[i], seconds / 2)) / 2;

        printf("%6zu MiB %14.2f %14.2f %14.0f %8.2f\n", sizes[i] / MIB, plain * size, copy * size, loan, copy / plain);
    }
    ptq_bus_close(bus);
    snprintf(run, sizeof run, "%s/bench", dir);
    return rmdir(run) == 0 && rmdir(dir) == 0 ? 0 : 1; /* nothing is left */
}
