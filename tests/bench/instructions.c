/* instructions.c -- how many instructions a call of ptq takes: a count that repeats where times do not.
 *
 * A child makes the calls; its parent steps it instruction by instruction (ptrace) and counts from the first
 * instruction of the library's function to its return, kernel excluded.  Calls differ a little: every eighth put moves a
 * hint, every 64th reads the clock, and some look at the time, which is long under a stepper.  The least of CALLS is the
 * plain way and repeats exactly; median, mean and most are printed too.
 *
 *   instructions [--ceilings FILE]     FILE: "name number" lines; exit 1 where the least is higher
 *   instructions --trace NAME          where the least call of NAME went: offsets in the library, for addr2line
 *   instructions --trace all           the same for each: lines "NAME offset"; after the counts
 *
 * Exit 77: it cannot be counted here (another processor, ptrace refused, a build without optimisation).
 */
#include "ptq/use.h"
#include "step.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CALLS 32
#define BATCH 32
#define WARM_ROUNDS 5000
#define SIZE 64
#define TRACE_MAX 65536

/* The way of one call. */
struct trace {
    unsigned steps;
    uintptr_t at[TRACE_MAX];
};
static struct trace this_trace;
static const char *traced; /* a function, or "all"; NULL: none */
static uintptr_t library_base;

/* One function that is counted; `each`: messages a call. */
struct counted {
    const char *name;
    unsigned each;
    uintptr_t entry;
    unsigned calls;
    unsigned count[CALLS * 4];
    struct trace least;
};

static struct counted table[] = {{.name = "ptq_put", .each = 1},           {.name = "ptq_get", .each = 1},
                                 {.name = "ptq_ack", .each = 1},           {.name = "ptq_recv", .each = 1},
                                 {.name = "ptq_put_many", .each = BATCH}, {.name = "ptq_get_many", .each = BATCH},
                                 {.name = "ptq_ack_many", .each = BATCH}};
#define TABLE (sizeof table / sizeof table[0])

/* -- the child: what is called ---------------------------------------------------------------------------------- */

static void round_of_calls(ptq_queue *queue, bool many)
{
    static struct bench_message message;
    static unsigned char bytes[BATCH * SIZE];
    struct ptq_bytes items[BATCH];
    ptq_msg *msgs[BATCH];
    size_t got;
    if (!many) {
        bench_must(ptq_put(queue, message.word, SIZE, PTQ_FOREVER), "ptq_put");
        bench_must(ptq_get(queue, PTQ_FOREVER, &msgs[0]), "ptq_get");
        bench_must(ptq_ack(msgs[0]), "ptq_ack");
        bench_must(ptq_put(queue, message.word, SIZE, PTQ_FOREVER), "ptq_put");
        bench_must(ptq_recv(queue, message.word, sizeof message.word, PTQ_FOREVER, &got), "ptq_recv");
        return;
    }
    for (size_t i = 0; i < BATCH; i++)
        items[i] = (struct ptq_bytes){bytes + i * SIZE, SIZE};
    bench_must(ptq_put_many(queue, items, BATCH, PTQ_FOREVER, NULL), "ptq_put_many");
    for (size_t left = BATCH; left > 0; left -= got) {
        bench_must(ptq_get_many(queue, msgs, 1, BATCH, PTQ_FOREVER, &got), "ptq_get_many");
        bench_must(ptq_ack_many(msgs, got), "ptq_ack_many");
    }
}

static void be_counted(struct bench *bench)
{
    ptq_bus *bus = bench_open_bus(bench->dir, NULL);
    ptq_queue *single = bench_open_queue(bench, bus, "single"), *many = bench_open_queue(bench, bus, "many");
    for (int i = 0; i < WARM_ROUNDS; i++)
        round_of_calls(single, false);
    for (int i = 0; i < WARM_ROUNDS / BATCH; i++)
        round_of_calls(many, true);
    raise(SIGSTOP); /* from here on every instruction is a step */
    for (int i = 0; i < CALLS; i++)
        round_of_calls(single, false);
    for (int i = 0; i < 3; i++)
        round_of_calls(many, true);
    raise(SIGSTOP);
    ptq_queue_close(many);
    ptq_queue_close(single);
    ptq_bus_close(bus);
}

/* -- the parent: what is counted -------------------------------------------------------------------------------- */

#if defined(__x86_64__)

static struct counted *counted_at(uintptr_t instruction)
{
    for (size_t i = 0; i < TABLE; i++) {
        if (table[i].entry == instruction)
            return &table[i];
    }
    return NULL;
}

/* The child stands at a function's first instruction: steps to its return. */
static void count_call(pid_t child, struct counted *counted, uintptr_t stack)
{
    uintptr_t back = step_return_address(child, stack);
    unsigned steps = 0;
    this_trace.at[0] = counted->entry;
    for (struct step_place at = {0}; at.instruction != back || at.stack <= stack; steps++) {
        if (!step_on(child))
            bench_fail("%s did not return", counted->name);
        at = step_where(child);
        if (steps + 1 < TRACE_MAX)
            this_trace.at[steps + 1] = at.instruction;
    }
    this_trace.steps = steps;
    if (traced != NULL && (counted->least.steps == 0 || steps < counted->least.steps))
        counted->least = this_trace;
    if (counted->calls < sizeof counted->count / sizeof counted->count[0])
        counted->count[counted->calls++] = steps;
}

static void count_all(pid_t child)
{
    do {
        struct step_place at = step_where(child);
        struct counted *counted = counted_at(at.instruction);
        if (counted != NULL)
            count_call(child, counted, at.stack);
    } while (step_on(child));
}

#else

static void count_all(pid_t child)
{
    bench_fail("process %d: only x86-64 is counted", (int)child); /* main asked before */
}

#endif

/* -- what is printed -------------------------------------------------------------------------------------------- */

static int by_number(const void *left, const void *right)
{
    unsigned a = *(const unsigned *)left, b = *(const unsigned *)right;
    return (a > b) - (a < b);
}

static double mean_of(const struct counted *counted)
{
    double sum = 0;
    for (unsigned i = 0; i < counted->calls; i++)
        sum += counted->count[i];
    return sum / counted->calls;
}

static void print_counts(void)
{
    printf("%-14s %8s %8s %8s %8s\n", "instructions", "least", "median", "mean", "most");
    for (size_t i = 0; i < TABLE; i++) {
        struct counted *counted = &table[i];
        if (counted->calls == 0)
            bench_fail("%s was never called", counted->name);
        qsort(counted->count, counted->calls, sizeof counted->count[0], by_number);
        printf("%-14s %8u %8u %8.1f %8u", counted->name, counted->count[0], counted->count[counted->calls / 2],
               mean_of(counted), counted->count[counted->calls - 1]);
        if (counted->each > 1)
            printf("   %.1f a message", (double)counted->count[0] / counted->each);
        putchar('\n');
    }
}

static void print_trace(void)
{
    bool all = strcmp(traced, "all") == 0;
    if (all)
        print_counts();
    for (size_t i = 0; i < TABLE; i++) {
        if (!all && strcmp(table[i].name, traced) != 0)
            continue;
        for (unsigned j = 0; j < table[i].least.steps && j < TRACE_MAX; j++)
            printf("%s%s0x%lx\n", all ? table[i].name : "", all ? " " : "", (unsigned long)(table[i].least.at[j] - library_base));
    }
}

/* How many are above their ceiling. */
static unsigned compare(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[160], name[64];
    unsigned ceiling, known = 0, higher = 0;
    if (file == NULL)
        bench_fail("%s: %s", path, strerror(errno));
    while (fgets(line, sizeof line, file) != NULL) {
        if (line[0] == '#' || sscanf(line, "%63s %u", name, &ceiling) != 2)
            continue;
        for (size_t i = 0; i < TABLE; i++) {
            if (strcmp(table[i].name, name) != 0)
                continue;
            known++;
            if (table[i].count[0] > ceiling) {
                fprintf(stderr, "%s: %u instructions, the ceiling in %s is %u\n", name, table[i].count[0], path, ceiling);
                higher++;
            }
        }
    }
    fclose(file);
    if (known == 0)
        bench_fail("%s names none of the functions", path);
    return higher;
}

int main(int argc, char **argv)
{
    step_fix_addresses(argv);
    const char *ceilings = NULL;
    if (argc == 3 && strcmp(argv[1], "--ceilings") == 0)
        ceilings = argv[2];
    else if (argc == 3 && strcmp(argv[1], "--trace") == 0)
        traced = argv[2];
    else if (argc != 1) {
        fprintf(stderr, "usage: %s [--ceilings FILE | --trace NAME]\n", argv[0]);
        return 2;
    }
    if (ceilings != NULL && !BENCH_OPTIMISED) {
        fprintf(stderr, "instructions: ceilings are for builds with optimisation and without sanitizers\n");
        return STEP_CANNOT;
    }
    if (!STEP_COUNTABLE) {
        fprintf(stderr, "instructions: only x86-64 is counted\n");
        return STEP_CANNOT;
    }
    struct bench bench = {.name = "Instructions a call", .options = {.item_size = SIZE}};
    bench_init(&bench, 1, argv);
    bench_scratch(&bench);
    for (size_t i = 0; i < TABLE; i++)
        table[i].entry = (uintptr_t)dlsym(RTLD_NEXT, table[i].name);
    Dl_info info;
    if (dladdr((void *)table[0].entry, &info) != 0)
        library_base = (uintptr_t)info.dli_fbase;
    pid_t child = step_start(&bench, be_counted);
    count_all(child);
    step_end(child);
    bench_finish(&bench);
    if (traced != NULL) {
        print_trace();
        return 0;
    }
    print_counts();
    return ceilings != NULL && compare(ceilings) > 0;
}
