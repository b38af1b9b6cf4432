/* pool.c -- an ordered pool: a hundred numbers are tried by three worker processes, one of which dies on the way.
 *
 *     ./pool
 *     26 primes up to 101, in order; a marker after each ten numbers; 1 job was done twice
 *
 * The workers are this program again: main begins with ptq_worker_main.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ptq/ptq.h>

enum { NUMBERS = 100, WORKERS = 3 };

static void must(enum ptq_err answer, const char *what)
{
    if (answer == PTQ_OK)
        return;
    fprintf(stderr, "pool: %s: %s\n", what, ptq_strerror(answer));
    exit(1);
}

/* A task gets bytes and gives bytes.  What it cannot do it says with ptq_task_fail. */
static enum ptq_err smallest_divisor(ptq_task *task, const void *data, size_t size)
{
    int number, divisor = 2;

    if (size != sizeof number)
        return ptq_task_fail(task, PTQ_EINVAL, "%zu bytes are not a number", size);
    memcpy(&number, data, size);
    if (number == 42 && ptq_task_tries(task) == 1)
        raise(SIGKILL); /* the worker dies with this job in its hands: another one gets it */
    while (divisor * divisor <= number && number % divisor != 0)
        divisor++;
    if (divisor * divisor > number)
        divisor = number;
    return ptq_task_result(task, &divisor, sizeof divisor);
}

struct tally {
    int numbers, primes, markers, twice;
};

/* Takes what stands at the next ticket.  It is ours until ptq_result_done: if we died, the next getter would get it. */
static int take_next(ptq_pool *pool, struct tally *tally)
{
    ptq_result *result;
    enum ptq_err answer = ptq_pool_get(pool, PTQ_FOREVER, &result);

    if (answer == PTQ_END)
        return 0;
    must(answer, "get");
    if (ptq_result_kind(result) == PTQ_RESULT_ERROR) {
        fprintf(stderr, "ticket %llu: %s\n", (unsigned long long)ptq_result_ticket(result), ptq_result_text(result));
    } else if (ptq_result_kind(result) == PTQ_RESULT_MARKER) {
        tally->markers += tally->numbers % 10 == 0; /* in its place, or it does not count */
    } else {
        int divisor, number = 1 + ++tally->numbers; /* results come in the order of submission */
        memcpy(&divisor, ptq_result_data(result), sizeof divisor);
        tally->primes += divisor == number;
        tally->twice += ptq_result_tries(result) > 1;
    }
    must(ptq_result_done(result), "done");
    return 1;
}

int main(int argc, char **argv)
{
    struct tally tally = {0, 0, 0, 0};
    ptq_bus *bus;
    ptq_pool *pool;

    must(ptq_task_register("smallest-divisor", smallest_divisor, NULL), "register");
    ptq_worker_main(argc, argv); /* does not return in a worker */

    must(ptq_bus_open("primes", NULL, &bus), "open bus");
    must(ptq_pool_unlink(bus, "primes", true), "remove what an earlier run left");
    must(ptq_pool_open(bus, "primes", NULL, &pool), "open pool");
    struct ptq_spawn_options workers = {.count = WORKERS};
    must(ptq_pool_spawn(pool, &workers), "spawn");

    for (int number = 2; number <= NUMBERS + 1; number++) {
        must(ptq_pool_submit(pool, "smallest-divisor", &number, sizeof number, PTQ_FOREVER, NULL), "submit");
        if (number % 10 == 1)
            must(ptq_pool_submit_marker(pool, NULL, 0, PTQ_FOREVER, NULL), "submit a marker");
    }
    must(ptq_pool_stop(pool), "stop");
    while (take_next(pool, &tally))
        ;
    must(ptq_pool_join(pool, PTQ_FOREVER), "join");
    printf("%d primes up to %d, in order; a marker after each ten numbers; %d job was done twice\n", tally.primes,
           NUMBERS + 1, tally.twice);

    ptq_pool_close(pool);
    must(ptq_pool_unlink(bus, "primes", true), "remove");
    ptq_bus_close(bus);
    return tally.numbers == NUMBERS && tally.markers == NUMBERS / 10 ? 0 : 1;
}
