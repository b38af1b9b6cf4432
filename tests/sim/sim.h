/* sim.h -- one world of simulated processes: what the parts of the simulator say to each other.
 *
 *     main.c       options, budgets, replay          scenario.c   who does what: roles, and the table of scenarios
 *     world.c      one run: start, race, quiet, end  ledger.c     what was promised, and whether it was kept
 *     sched.c      fibers, schedules, deaths         trace.c      a step in words
 *     memory.c     every atomic and plain access     kernel.c     files, locks, mappings
 *     process.c    a copy of the library each        events.c     futex, eventfd, timerfd, inotify, epoll, clock
 *     more.c       roles of the other features       others.c     and of what looks at several, or at others
 *                                                    ready.c      how many messages could be got, at each step
 *
 * A simulated process is a fiber with a copy of the library of its own (dlopen of a copy of the file), so static and
 * thread-local variables are private without a change to the product.  The library is compiled with -fsanitize=thread,
 * whose callbacks are ours, and linked with --wrap for what it asks of the kernel.
 */
#ifndef PTQ_TESTS_SIM_H
#define PTQ_TESTS_SIM_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/ptq.h>

#define SIM_PROCS 7 /* 0: sets up, ends, audits; the others race */
#define SIM_ARENA UINT64_C(0x200000000000)
#define SIM_ARENA_BYTES (UINT64_C(64) << 20)
#define SIM_HEAP_BYTES (UINT64_C(4) << 20)
#define SIM_STACK_BYTES (UINT64_C(256) << 10)
#define SIM_FDS 272
#define SIM_NEVER INT64_MAX
#define SIM_BUFFER 24 /* stores that wait in a store buffer */

/* ---- processes */

enum sim_state { SIM_NONE, SIM_RUNNABLE, SIM_BLOCKED, SIM_PARKED, SIM_DONE, SIM_DEAD };
enum sim_block { SIM_BLOCK_FUTEX, SIM_BLOCK_POLL, SIM_BLOCK_SLEEP };

struct sim_store {
    uint64_t address, value;
    uint32_t size;
};

#define SIM_API(X)                                                                                                     \
    X(ptq_bus_open) X(ptq_bus_close) X(ptq_bus_gc) X(ptq_queue_open) X(ptq_queue_close) X(ptq_put) X(ptq_put_with)     \
    X(ptq_put_many) X(ptq_loan) X(ptq_publish) X(ptq_abort) X(ptq_flush) X(ptq_end) X(ptq_get) X(ptq_get_many)         \
    X(ptq_ack) X(ptq_nack) X(ptq_recv) X(ptq_msg_data) X(ptq_msg_size) X(ptq_msg_buffer) X(ptq_msg_redelivered)        \
    X(ptq_msg_position) X(ptq_msg_sub) X(ptq_msg_deliveries) X(ptq_queue_fd) X(ptq_queue_pause) X(ptq_queue_stats)     \
    X(ptq_queue_purge) X(ptq_queue_kick) X(ptq_wait_any) X(ptq_view_open) X(ptq_view_close) X(ptq_view_verify) X(ptq_err_name)

struct sim_api {
#define SIM_MEMBER(name) __typeof__(&name) name;
    SIM_API(SIM_MEMBER)
};

struct sim_role;
struct sim_file;

struct sim_proc {
    unsigned number, life;
    enum sim_state state;
    bool stopped;
    struct sim_api api;
    const struct sim_role *role;
    /* the fiber */
    void *stack_pointer;
    char *stack;
    int saved_errno;
    /* the schedule */
    int priority;
    uint64_t steps; /* taken since it was last chosen */
    /* why it is blocked */
    enum sim_block block;
    int64_t deadline;
    const volatile uint32_t *futex[64];
    unsigned futex_count;
    uint64_t futex_since;
    struct pollfd *poll;
    unsigned poll_count;
    bool timed_out;
    const char *inside; /* the call it is in, and since when */
    bool waits_get, waits_put;
    uint64_t needs, needs_bytes;
    uint64_t puts_since, gets_since; /* it is a producer, a consumer, since that step; 0: not now */
    /* private state */
    struct sim_file *files[SIM_FDS];
    uint64_t heap_used;
    struct sim_store buffer[SIM_BUFFER];
    unsigned buffered;
    void *key_value;
    uint64_t stopped_at;
    int64_t release_at; /* of a dead one: the step when its locks go */
};

static inline int sim_pid(const struct sim_proc *proc) { return (int)(1000 + 100 * proc->number + proc->life); }
extern struct sim_proc sim_procs[SIM_PROCS];
extern struct sim_proc *sim_me; /* NULL: the controller */

static inline const struct sim_api *sim_api(void) { return &sim_me->api; }

void sim_library_load(const char *path); /* a copy for each process */
const char *sim_library_stale(void);     /* of a mutant: why it is none */
void sim_process_reset(struct sim_proc *proc);

/* ---- one run */

enum sim_mode { SIM_RANDOM, SIM_PCT, SIM_PLAN };

#define SIM_PLAN_MAX 8
struct sim_plan {
    uint64_t step; /* of the race */
    int to;        /* the process that goes on; -1: who runs is killed; -2: stopped */
};

struct sim_config {
    const struct sim_scenario *scenario;
    enum sim_mode mode;
    uint64_t seed;
    uint64_t length;  /* steps of a usual race of this scenario: deaths and changes fall into it */
    bool buffers;     /* stores wait in store buffers */
    bool deaths;      /* somebody may be killed or stopped */
    struct sim_plan plan[SIM_PLAN_MAX];
    unsigned plan_count;
};

struct sim_world {
    struct sim_config config;
    uint64_t random;
    uint64_t step, race_begin, next_decision, last_step;
    int64_t now;
    bool racing, failed, tracing, buffers, eager_clock, told_end;
    unsigned quantum;
    /* what is to happen: kills, stops */
    struct sim_plan events[SIM_PLAN_MAX];
    unsigned event_count, event_next;
    unsigned kills, stops;
    uint64_t pct_change[8];
    unsigned pct_changes;
    unsigned processors;
    uint64_t ino_next;
    bool ended;
    int64_t no_producer_since; /* by the clock; 0: there are some */
    char text[600];
};
extern struct sim_world sim;

/* True: all promises were kept.  Else sim.text says which was not. */
bool sim_run(const struct sim_config *config, bool trace);

/* Says what went wrong; a process that calls it goes no further. */
void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint64_t sim_random(uint64_t below);
static inline bool sim_chance(uint64_t of) { return sim_random(of) == 0; }

/* ---- the scheduler */

void sim_start(struct sim_proc *proc, const struct sim_role *role);
void sim_park(void);          /* until the race begins */
void sim_decide(void);
void sim_yield(void);         /* this process polls */
void sim_leave(void);         /* to the controller */
bool sim_sleep(enum sim_block block, int64_t deadline); /* false: the deadline came */
void sim_solo(struct sim_proc *proc);                   /* until it parks or is done */
void sim_race(void);                                    /* until nobody has anything to do */
void sim_kill(struct sim_proc *proc);

/* Before each access to shared memory and each call of the kernel. */
static inline void sim_point(void)
{
    if (__builtin_expect(++sim.step >= sim.next_decision, 0))
        sim_decide();
}

/* ---- memory */

static inline bool sim_is_shared(const volatile void *p) { return (uint64_t)(uintptr_t)p - SIM_ARENA < SIM_ARENA_BYTES; }
void sim_flush(struct sim_proc *proc);
void sim_memory_init(void);
void sim_memory_clear(void); /* what was used */
void sim_memory_mark(const volatile void *p, uint64_t size);
extern uint64_t sim_arena_used;

/* ---- what is ready, word by word (ready.c) */

extern uint64_t sim_ready_from; /* below it nothing is to be noted */
void sim_ready_begin(void);
void sim_ready_end(void);
void sim_ready_note(uint64_t address, uint64_t before, uint64_t after);
bool sim_ready_since(uint64_t step); /* at each moment since then there was something to get */

/* ---- the kernel */

void sim_kernel_reset(void);
void sim_kernel_close_all(struct sim_proc *proc, bool locks_later);
void sim_kernel_release(struct sim_proc *proc);
bool sim_poll_ready(struct sim_proc *proc);
void sim_kick(void);                 /* something became readable, perhaps */
int64_t sim_next_timer(void);
void sim_enter_kernel(const char *call);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int64_t sim_clock(void);

/* The queue's segment: NULL, there is none. */
const unsigned char *sim_segment(void);

/* ---- tracing */

void sim_trace_access(const char *what, const volatile void *p, unsigned size, uint64_t value);
void sim_trace_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
