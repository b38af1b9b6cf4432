/* kit.h -- what every benchmark here shares: pinned processes, one start, one clock, bytes that are checked.
 *
 * A benchmark is a parent and its roles.  The parent forks one process a role, each pinned to a core, before anything
 * is opened; roles meet at a barrier; the parent then says WARM, MEASURE, STOP on a shared page, and the roles that
 * count look at the clock when they see it change.  A run is bounded: roles that do not end are killed by their pid.
 * It prints a line on standard output, "<value> <unit>", and fails loudly where an order or a checksum is wrong.  What
 * else it found out follows in lines "<value> <unit> <name>".
 */
#ifndef PTQ_BENCH_KIT_H
#define PTQ_BENCH_KIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BENCH_LINE 128      /* two cache lines: processors fetch them in pairs */
#define BENCH_ROLES_MAX 128
#define BENCH_BESIDE_MAX 4
#define BENCH_SIZE_MAX 65536 /* of a struct bench_message; programs that know larger ones set bench.size_max */
#define BENCH_LAST UINT64_MAX /* sequence number of the message that ends a stream */

#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define BENCH_OPTIMISED 1
#else
#define BENCH_OPTIMISED 0
#endif

enum bench_phase { BENCH_GATHER = 0, BENCH_WARM = 1, BENCH_MEASURE = 2, BENCH_STOP = 3 };

/* What one role counted between MEASURE and STOP. */
struct bench_meter {
    uint64_t seen; /* the last phase this role acted on */
    uint64_t count_begin, count_end;
    int64_t begin_ns, end_ns;
    double extra[4]; /* whatever else a benchmark wants to hand to its parent */
};

/* Shared by parent and roles: anonymous memory, a line for each writer. */
struct bench_page {
    _Alignas(BENCH_LINE) _Atomic uint32_t phase; /* written by the parent */
    _Alignas(BENCH_LINE) _Atomic uint32_t ready; /* counted up by the roles */
    struct {
        _Alignas(BENCH_LINE) struct bench_meter meter; /* written by its role */
    } role[BENCH_ROLES_MAX];
};

/* The command line, the same for all of them. */
struct bench_options {
    unsigned ms;       /* length of the measured window */
    size_t size;       /* bytes in a message */
    unsigned batch;    /* messages a call */
    unsigned producers, consumers;
    unsigned callers;  /* threads of a side that ask, each for itself */
    int cpu[2];        /* the two cores */
    bool hard;         /* poll without a pause, never sleep */
    bool one_core;     /* all roles on cpu[0] */
    bool unpinned;     /* roles go where the kernel puts them */
    bool percentiles;  /* of round trips: print the median, and p99 in a second line, instead of the mean */
    unsigned think_us; /* both sides of a round trip compute so long before they speak, so that the other one sleeps;
                          not counted; with percentiles */
    unsigned queues, endpoints; /* that exist besides */
    unsigned capacity; /* 0: as a user would create the queue */
    unsigned item_size;
    const char *mode;  /* which variant: each benchmark says which it knows */
    const char *via;   /* which transport, of those that know several */
    const char *program; /* another program that is needed: ptqbridge */
};

struct bench {
    struct bench_options options;
    const char *name;
    size_t size_max;   /* of --size; 0: BENCH_SIZE_MAX */
    int grace_ms;      /* how long roles have to end after the stop; 0: the usual */
    bool threads;      /* roles are threads of one process, for what knows nothing else */
    double cpu_ns;     /* processor time of all roles and of what stood beside them, of the measured window */
    struct bench_page *page;
    void *shared;      /* memory of the benchmark's own, set before bench_run */
    char dir[64];      /* scratch directory on /dev/shm, if bench_scratch was called */
};

typedef void bench_role(struct bench *bench, unsigned index);

/* Reads the command line into bench->options, whose fields hold the defaults.  Exits 2 on a wrong one. */
void bench_init(struct bench *bench, int argc, char **argv);

/* Zeroed memory that all roles will share. */
void *bench_shared(size_t size);

/* Makes bench->dir, removed when the parent ends, also by SIGINT or SIGTERM. */
void bench_scratch(struct bench *bench);

/* A process that stays beside the roles (a server), up to BENCH_BESIDE_MAX: started by the parent, on `cpu` (-1: anywhere),
 * ended after them. */
void bench_beside(struct bench *bench, int cpu, char *const argv[]);

/* Keys and certificates of two hosts, home and far, in `dir`/keys, by ptqbridge (`options.program`). */
void bench_make_keys(const struct bench *bench, const char *dir);

/* An address of the loopback that is this process's own; and a port there that stays free until it is used: nobody else is given one of
 * this address, as one of 127.0.0.1 by the next bind or connect. */
const char *bench_host(void);
unsigned bench_free_port(void);

/* Calls work(context, i) in a thread for each i below count, and waits until all have returned. */
void bench_each(unsigned count, void (*work)(void *context, unsigned index), void *context);

/* Forks roles 0..count-1, role i on core cpu[i % 2] unless one_core, runs them to the end.  Exits 1 if one fails. */
void bench_run(struct bench *bench, bench_role *role, unsigned count);

/* As bench_run, with producers 0..p-1 on one core and consumers p..p+c-1 on the other for 1+1; spread for more. */
void bench_run_stream(struct bench *bench, bench_role *produce, bench_role *consume);

/* A role is ready: waits until all are. */
void bench_barrier(struct bench *bench);

/* Ends a role, or the parent, with a sentence on standard error. */
_Noreturn void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Per second, all consumers together; and the one line of output. */
double bench_rate(const struct bench *bench, unsigned first, unsigned count);
void bench_print(const struct bench *bench, double value, const char *unit);
void bench_print_more(const struct bench *bench, double value, const char *unit, const char *name);

/* Ends what is left and removes the scratch directory; bench_print and bench_fail do it by themselves. */
void bench_finish(struct bench *bench);

int64_t bench_now_ns(void);

/* The pause between two looks at what shall become true.  Loops around it end by a deadline or with bench_stopped. */
void bench_rest(long us);

/* Waits until *word is set (not 0), or is not any more; fails after ten seconds, saying `what` did not happen.  What it is then. */
uint32_t bench_wait_word(const _Atomic uint32_t *word, bool is_set, const char *what);

/* Memory for one message of any size, written, not for the roles to share; freed with free. */
uint64_t *bench_buffer(size_t size);

static inline uint32_t bench_phase_now(const struct bench *bench)
{
    return atomic_load_explicit(&bench->page->phase, memory_order_relaxed);
}

static inline bool bench_stopped(const struct bench *bench)
{
    return bench_phase_now(bench) == BENCH_STOP;
}

void bench_turn(struct bench_meter *meter, uint32_t phase, uint64_t count);

/* A counting role says how far it is; call it now and then, and once at the very end. */
static inline void bench_tick(struct bench *bench, unsigned index, uint64_t count)
{
    uint32_t phase = bench_phase_now(bench);
    if (phase != bench->page->role[index].meter.seen)
        bench_turn(&bench->page->role[index].meter, phase, count);
}

/* -- bytes ---------------------------------------------------------------------------------------------------- */

static inline void bench_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

/* A message as it is made and as it is read: the first word is its number, the second its producer, the last their
 * mixture, all of it is written by the producer and summed by the consumer.  Sizes are multiples of 8, from 8. */
struct bench_message {
    _Alignas(64) uint64_t word[BENCH_SIZE_MAX / 8];
};

static inline void bench_write(uint64_t *word, size_t size, uint64_t number, uint64_t producer)
{
    size_t words = size / 8;
    word[0] = number;
    if (words >= 3) {
        word[1] = producer;
        word[words - 1] = ~(number + producer);
    }
}

/* For a message of any size, in a buffer of its own. */
static inline void bench_fill_large(uint64_t *word, size_t size, uint64_t number, uint64_t producer)
{
    bench_write(word, size, number, producer);
    __asm__ volatile("" ::: "memory"); /* the bytes are really written, each time */
}

static inline void bench_fill(struct bench_message *message, size_t size, uint64_t number, uint64_t producer)
{
    bench_fill_large(message->word, size, number, producer);
}

/* Calls call(..., size) with the size as a constant where it is a common one, for loops that are inlined. */
#define BENCH_FOR_SIZE(asked, call, ...)                                                                               \
    ((asked) == 8 ? call(__VA_ARGS__, 8) : (asked) == 64 ? call(__VA_ARGS__, 64) : call(__VA_ARGS__, (asked)))

/* What a consumer has seen: numbers of each producer must grow. */
struct bench_seen {
    uint64_t next[BENCH_ROLES_MAX];
    uint64_t sum;
};

void bench_wrong(uint64_t number, uint64_t expected, uint64_t producer);

/* Checks a message where it is.  `strict`: every number of a producer comes, one after the other; else they grow
 * (several consumers share them).  Returns its number. */
static inline uint64_t bench_look(struct bench_seen *seen, const uint64_t *word, size_t size, bool strict)
{
    size_t words = size / 8;
    uint64_t number = word[0], producer = 0;
    if (number == BENCH_LAST)
        return number;
    if (words >= 3) {
        producer = word[1];
        if (producer >= BENCH_ROLES_MAX || word[words - 1] != ~(number + producer))
            bench_wrong(number, seen->next[producer % BENCH_ROLES_MAX], producer);
    }
    if (strict ? number != seen->next[producer] : number < seen->next[producer] && words >= 3)
        bench_wrong(number, seen->next[producer], producer);
    seen->next[producer] = number + 1;
    seen->sum += word[words / 2];
    return number;
}

/* Copies a message out and checks it. */
static inline uint64_t bench_check(struct bench_seen *seen, const void *bytes, size_t size, bool strict)
{
    struct bench_message copy;
    memcpy(copy.word, bytes, size);
    __asm__ volatile("" : : "r"(copy.word) : "memory"); /* the copy is really made */
    return bench_look(seen, copy.word, size, strict);
}

/* -- round trips, each by itself ------------------------------------------------------------------------------- */

#define BENCH_FINE 128 /* bins in which a doubling of time is divided */

/* How long each round trip took, in ticks of the processor's clock; of the measured window alone. */
struct bench_trips {
    uint64_t bins[64 * BENCH_FINE];
    uint64_t count, begin_ticks;
    int64_t begin_ns;
};

static inline uint64_t bench_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return (uint64_t)bench_now_ns();
#endif
}

void bench_trips_note(struct bench_trips *trips, const struct bench *bench, uint64_t ticks);

/* The role that asked leaves median and p99, in ns, in its meter's extra[0] and extra[1]; NAN: there were none. */
void bench_trips_leave(const struct bench_trips *trips, struct bench *bench, unsigned index);

/* Computes for think_us; returns how many ticks that was. */
uint64_t bench_think(const struct bench *bench);

/* What a benchmark of round trips prints, with role 0 having asked: by --percentiles, in `unit` ("ns" or "us"). */
void bench_print_trips(const struct bench *bench, const char *unit);

#endif
