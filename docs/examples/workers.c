/* workers.c -- one producer and three workers; one of them is killed with a message in its hands, and nothing is lost.
 *
 *     ./workers
 *     100 squares, sum 328350, 1 redelivered
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ptq/ptq.h>

enum { JOBS = 100, WORKERS = 3 };

/* Every call can fail; a real program would do more than give up. */
static void must(enum ptq_err answer, const char *what)
{
    if (answer == PTQ_OK)
        return;
    fprintf(stderr, "workers: %s: %s\n", what, ptq_strerror(answer));
    exit(1);
}

/* A result: the square, and whether its job came a second time. */
struct result {
    int square;
    int again;
};

/* Handles are not inherited: each worker opens its own.  It acks a job when the result is in, not before. */
static int work(int is_doomed)
{
    ptq_bus *bus;
    ptq_queue *jobs, *results;
    ptq_msg *job;
    enum ptq_err answer;

    must(ptq_bus_open("squares", NULL, &bus), "open bus");
    must(ptq_queue_open(bus, "jobs", NULL, &jobs), "open jobs");
    must(ptq_queue_open(bus, "results", NULL, &results), "open results");
    while ((answer = ptq_get(jobs, PTQ_FOREVER, &job)) == PTQ_OK) {
        struct result result = {0, ptq_msg_redelivered(job)};
        int number;

        if (is_doomed)
            raise(SIGKILL); /* in the middle of its work */
        memcpy(&number, ptq_msg_data(job), sizeof number);
        result.square = number * number;
        must(ptq_put(results, &result, sizeof result, PTQ_FOREVER), "put result");
        must(ptq_ack(job), "ack");
    }
    must(answer == PTQ_END ? PTQ_OK : answer, "get");
    ptq_queue_close(jobs);
    ptq_queue_close(results);
    ptq_bus_close(bus);
    return 0;
}

static void start_worker(int is_doomed)
{
    if (fork() == 0)
        _exit(work(is_doomed));
}

int main(void)
{
    ptq_bus *bus;
    ptq_queue *jobs, *results;
    int sum = 0, again = 0;

    must(ptq_bus_open("squares", NULL, &bus), "open bus");
    must(ptq_queue_unlink(bus, "jobs", true), "remove what an earlier run left");
    must(ptq_queue_unlink(bus, "results", true), "remove what an earlier run left");
    must(ptq_queue_open(bus, "jobs", NULL, &jobs), "open jobs");
    must(ptq_queue_open(bus, "results", NULL, &results), "open results");

    for (int number = 0; number < JOBS; number++)
        must(ptq_put(jobs, &number, sizeof number, PTQ_FOREVER), "put job");
    must(ptq_end(jobs), "end");
    start_worker(1);
    while (wait(NULL) < 0)
        ; /* it is dead now, and its job goes to another */
    for (int i = 1; i < WORKERS; i++)
        start_worker(0);

    for (int i = 0; i < JOBS; i++) {
        struct result result;
        size_t size;
        must(ptq_recv(results, &result, sizeof result, 10000, &size), "get result");
        sum += result.square;
        again += result.again;
    }
    while (wait(NULL) > 0)
        ;
    printf("%d squares, sum %d, %d redelivered\n", JOBS, sum, again);

    ptq_queue_close(jobs);
    ptq_queue_close(results);
    must(ptq_queue_unlink(bus, "jobs", true), "remove jobs");
    must(ptq_queue_unlink(bus, "results", true), "remove results");
    ptq_bus_close(bus);
    return 0;
}
