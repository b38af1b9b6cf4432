/* jobs.c -- how many instructions a worker of a pool takes for a job, and how many of them recording costs.
 *
 * A child is submitter and worker in one thread: the jobs are there, their results have room, so it never waits.  Its parent steps it
 * (step.h) and counts from the first instruction of the task to the first of the next: one round of the worker's loop, a trivial task
 * of 8 bytes in and out in it, kernel excluded.  The least of JOBS rounds is the plain way and repeats exactly.
 *
 *   jobs                     prints "job N" and "job_recorded N"
 *   jobs --beside PROGRAM    PROGRAM is this one with a worker that knows no recording (PTI_WITHOUT_TRAILS); exit 1 where
 *                            recording that is off costs more than OFF_MOST instructions a job, or on more than ON_PERCENT
 *
 * Exit 77: it cannot be counted here (another processor, ptrace refused, a build without optimisation).
 */
#include "ptq/use.h"
#include "step.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define WARM 200u
#define JOBS 12u
#define OFF_MOST 6u   /* a comparison and a branch at each edge, and what the compiler makes of them */
#define ON_PERCENT 3u

static unsigned counted; /* jobs done by the child */
static ptq_pool *pool;

static enum ptq_err trivial(ptq_task *task, const void *data, size_t size)
{
    counted++;
    if (counted == WARM || counted == WARM + JOBS)
        raise(SIGSTOP); /* between the two every instruction is a step */
    if (counted == WARM + JOBS)
        ptq_pool_leave(pool);
    return ptq_task_result(task, data, size);
}

static void work(struct bench *bench, const char *name, uint32_t record)
{
    uint64_t number = 0;
    struct ptq_pool_options options = {.capacity = 512, .window = 512, .item_size = 64, .result_size = 64};
    ptq_bus *bus = bench_open_bus(bench->dir, NULL);
    bench_must(ptq_pool_open(bus, name, &options, &pool), "ptq_pool_open");
    for (; number < WARM + JOBS + 1; number++)
        bench_must(ptq_pool_submit(pool, "trivial", &number, sizeof number, PTQ_NOWAIT, NULL), "ptq_pool_submit");
    enum ptq_err err = ptq_pool_work(pool, &(struct ptq_work_options){.record = record});
    if (err != PTQ_EINTR)
        bench_must(err, "ptq_pool_work");
    ptq_pool_close(pool);
    ptq_bus_close(bus);
}

static void work_unrecorded(struct bench *bench)
{
    work(bench, "off", 0);
}

#ifndef PTI_WITHOUT_TRAILS
static void work_recorded(struct bench *bench)
{
    work(bench, "on", 1000);
}
#endif

/* The least from one beginning of the task to the next. */
static unsigned count_jobs(struct bench *bench, void (*child_of)(struct bench *bench))
{
    uintptr_t task = (uintptr_t)trivial;
    unsigned least = 0, steps = 0, rounds = 0;
    pid_t child = step_start(bench, child_of);
    do {
        uintptr_t at = step_where(child).instruction;
        steps += !step_is_again(at);
        if (at != task)
            continue;
        if (rounds++ > 0 && (least == 0 || steps < least))
            least = steps;
        steps = 0;
    } while (step_on(child));
    step_end(child);
    if (rounds != JOBS)
        bench_fail("%u of %u jobs were counted", rounds, JOBS);
    return least;
}

/* What the other program counted for a job. */
static unsigned ask(const char *program)
{
    char command[4200];
    unsigned count = 0;
    if (snprintf(command, sizeof command, "'%s'", program) >= (int)sizeof command)
        bench_fail("%s: the name is too long", program);
    FILE *pipe = popen(command, "r");
    if (pipe == NULL || fscanf(pipe, "job %u", &count) != 1 || count == 0)
        bench_fail("%s did not tell", program);
    while (fgetc(pipe) != EOF)
        ;
    if (pclose(pipe) != 0)
        bench_fail("%s failed", program);
    return count;
}

/* How many of the two promises are broken. */
static int judge(unsigned without, unsigned off, unsigned on)
{
    int broken = 0;
    printf("job_without_recording %u\n", without);
    printf("off: %d instructions a job, %.2f %%\n", (int)off - (int)without, 100.0 * ((double)off - without) / without);
    printf("on: %d instructions a job, %.2f %%\n", (int)on - (int)off, 100.0 * ((double)on - off) / off);
    if (off > without + OFF_MOST)
        broken += fprintf(stderr, "recording that is off costs more than %u instructions a job\n", OFF_MOST) > 0;
    if (100ull * (on - off) > (uint64_t)ON_PERCENT * off)
        broken += fprintf(stderr, "recording costs more than %u %%\n", ON_PERCENT) > 0;
    if (on <= off)
        broken += fprintf(stderr, "nothing was recorded\n") > 0;
    return broken;
}

int main(int argc, char **argv)
{
    step_fix_addresses(argv);
    bool judges = argc == 3 && strcmp(argv[1], "--beside") == 0;
    if (argc != 1 && !judges) {
        fprintf(stderr, "usage: %s [--beside PROGRAM]\n", argv[0]);
        return 2;
    }
    if (!STEP_COUNTABLE || !BENCH_OPTIMISED) {
        fprintf(stderr, "jobs: only builds for x86-64, with optimisation and without sanitizers, are counted\n");
        return STEP_CANNOT;
    }
    struct bench bench = {.name = "Instructions a job"};
    bench_must(ptq_task_register("trivial", trivial, NULL), "register");
    bench_init(&bench, 1, argv);
    bench_scratch(&bench);
    unsigned off = count_jobs(&bench, work_unrecorded);
    printf("job %u\n", off);
    unsigned on = 0;
#ifndef PTI_WITHOUT_TRAILS
    on = count_jobs(&bench, work_recorded);
    printf("job_recorded %u\n", on);
#endif
    bench_finish(&bench);
    return judges && judge(ask(argv[2]), off, on) > 0;
}
