/* flood.c -- messages through event loops with random drains, while their processes are killed and stopped: nobody stalls.
 *
 *     flood epoll|any|mixed [MESSAGES [SEED]]
 *
 * Producers put until the queue is full and wait for their put descriptor, consumers take a random number and wait for their get
 * descriptor, all without a timeout: in epoll, in ptq_wait_any, or half and half.  The queue is small, so both sides wait
 * often.  A disturbance comes only after there was progress since the last one: whoever sleeps beside what he waits for sleeps
 * until the stall detector tells.  In the end the ledger is balanced: nothing lost, nothing twice without its flag; and the history of all calls is
 * checked (history.h).
 */
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ptq/metrics.h>
#include <ptq/ptq.h>

#include "stress/history.h"
#include "stress/totals.h"

#define EVENTS_EACH 24 /* events of a message at most: a put and a get that found nothing for each that did, and room to spare */
#define STALL_MS 20000
#define DRAIN 70
#define PRODUCERS 2
#define CONSUMERS 3
#define MEMBERS (PRODUCERS + CONSUMERS)

/* A byte a message: what is known of it. */
enum { PUTTING = 1, IS_PUT = 2, IS_GOT = 4, ACKING = 8, IS_ACKED = 16 };

struct note {
    uint32_t producer, number, check;
};

struct member {
    pid_t pid;
    uint32_t number;
    bool is_producer, uses_any, has_ended;
    _Atomic uint32_t is_waiting, actor;
    _Atomic uint64_t steps, waits;
};

struct flood {
    char dir[64];
    uint64_t seed, capacity;
    uint32_t each; /* messages of one producer */
    struct member members[MEMBERS];
    _Atomic uint32_t next[PRODUCERS];
    _Atomic uint64_t put, acked, again;
    _Atomic uint32_t violations;
    char text[300];
    uint64_t kills, stops, alone;
    _Atomic uint8_t known[];
};

static struct flood *flood;
static struct history *history;
static struct history_writer parent; /* the parent's own */

static void violation(const char *format, ...)
{
    va_list arguments;

    if (atomic_fetch_add(&flood->violations, 1) != 0)
        return;
    va_start(arguments, format);
    vsnprintf(flood->text, sizeof flood->text, format, arguments);
    va_end(arguments);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void rest_us(uint64_t us)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
}

static _Atomic uint8_t *known_of(const struct note *note)
{
    return &flood->known[(size_t)note->producer * flood->each + note->number];
}

static uint32_t value_of(const struct note *note) { return note->number * PRODUCERS + note->producer; }

static uint32_t check_of(const struct note *note) { return note->producer * 2654435761u ^ note->number * 40503u ^ 0x5eed; }

/* ---- a member: its own process, its own handles */

struct loop {
    struct member *me;
    ptq_bus *bus;
    ptq_queue *queue, *idle; /* idle: nothing ever comes */
    int epoll;
    uint64_t random;
    struct history_writer writer;
};

static void must(enum ptq_err err, const char *what)
{
    if (err == PTQ_OK)
        return;
    violation("%s answered %s", what, ptq_err_name(err));
    _exit(1);
}

static void open_loop(struct loop *loop)
{
    struct ptq_bus_options bus = {.dir = flood->dir};
    struct ptq_queue_options options = {.capacity = flood->capacity, .item_size = 64, .max_endpoints = 24,
                                        .max_deliveries = PTQ_NEVER};
    enum ptq_side side = loop->me->is_producer ? PTQ_SIDE_PUT : PTQ_SIDE_GET;
    struct epoll_event event = {.events = EPOLLIN};
    int fd;

    must(ptq_bus_open("flood", &bus, &loop->bus), "bus open");
    must(ptq_queue_open(loop->bus, "flood", &options, &loop->queue), "open");
    must(ptq_queue_open(loop->bus, "idle", &options, &loop->idle), "open idle");
    if (loop->me->uses_any)
        return;
    must(ptq_queue_fd(loop->queue, side, &fd), "queue_fd");
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        must(PTQ_ESYS, "epoll");
}

static void wait_for_turn(struct loop *loop)
{
    struct ptq_wait waits[] = {{.queue = loop->idle},
                               {.queue = loop->queue, .side = loop->me->is_producer ? PTQ_SIDE_PUT : PTQ_SIDE_GET}};
    struct epoll_event event;

    loop->me->waits++;
    loop->me->is_waiting = 1;
    if (loop->me->uses_any)
        must(ptq_wait_any(waits, 2, PTQ_FOREVER, NULL), "wait_any");
    else
        (void)epoll_wait(loop->epoll, &event, 1, -1);
    loop->me->is_waiting = 0;
}

static enum ptq_err put(struct loop *loop, const struct note *note)
{
    struct history_event *event = history_begin(&loop->writer, HISTORY_PUT, 0, value_of(note));
    enum ptq_err err = ptq_put(loop->queue, note, sizeof *note, PTQ_NOWAIT);

    history_end(event, err);
    return err;
}

static int produce(struct loop *loop)
{
    struct note note = {.producer = loop->me->number};
    bool has_number = false; /* it found no room */

    for (;;) {
        uint64_t burst = 1 + next_random(&loop->random) % 60;
        enum ptq_err err = PTQ_OK;
        for (; burst > 0 && err == PTQ_OK; burst--) {
            if (!has_number && flood->next[note.producer] == flood->each)
                return 0;
            if (!has_number) /* given once: who is killed in a put leaves it in doubt */
                note.number = atomic_fetch_add(&flood->next[note.producer], 1);
            note.check = check_of(&note);
            atomic_fetch_or(known_of(&note), PUTTING);
            err = put(loop, &note);
            has_number = err == PTQ_FULL;
            if (err != PTQ_OK)
                break;
            atomic_fetch_or(known_of(&note), IS_PUT);
            flood->put++;
            loop->me->steps++;
        }
        if (err == PTQ_FULL)
            atomic_fetch_and(known_of(&note), (uint8_t)~PUTTING);
        else
            must(err, "put");
        wait_for_turn(loop);
    }
}

static void read_note(ptq_msg *msg, struct note *ret_note)
{
    if (ptq_msg_size(msg) != sizeof *ret_note) {
        violation("a message of %zu bytes", ptq_msg_size(msg));
        _exit(1);
    }
    memcpy(ret_note, ptq_msg_data(msg), sizeof *ret_note);
    if (ret_note->producer >= PRODUCERS || ret_note->number >= flood->each || ret_note->check != check_of(ret_note)) {
        violation("a message that nobody put");
        _exit(1);
    }
}

static enum ptq_err get(struct loop *loop, ptq_msg **ret_msg)
{
    struct history_event *event = history_begin(&loop->writer, HISTORY_GET, 0, HISTORY_NOBODY);
    enum ptq_err err = ptq_get(loop->queue, PTQ_NOWAIT, ret_msg);
    struct note note;

    if (err == PTQ_OK) {
        read_note(*ret_msg, &note);
        history_took(&loop->writer, event, true, value_of(&note), *ret_msg, 0);
    }
    history_end(event, err);
    return err;
}

static void ack(struct loop *loop, ptq_msg *msg, const struct note *note)
{
    struct history_event *event = history_begin(&loop->writer, HISTORY_ACK, 0, value_of(note));
    enum ptq_err err;

    atomic_fetch_or(known_of(note), ACKING);
    err = ptq_ack(msg);
    history_end(event, err);
    must(err, "ack");
    atomic_fetch_or(known_of(note), IS_ACKED);
    flood->acked++;
    loop->me->steps++;
}

static void receive(struct loop *loop, ptq_msg *msg, uint32_t *fresh)
{
    struct note note;
    uint8_t before;

    read_note(msg, &note);
    before = atomic_fetch_or(known_of(&note), IS_GOT);
    if (before & IS_ACKED)
        violation("%u.%u came after its ack", note.producer, note.number);
    if (before & IS_GOT && !ptq_msg_redelivered(msg))
        violation("%u.%u came twice without its flag", note.producer, note.number);
    if (!ptq_msg_redelivered(msg)) {
        if (note.number + 1 <= fresh[note.producer])
            violation("%u.%u came behind a later one", note.producer, note.number);
        fresh[note.producer] = note.number + 1;
    } else {
        flood->again++;
    }
    ack(loop, msg, &note);
}

static int consume(struct loop *loop)
{
    uint32_t fresh[PRODUCERS] = {0};

    for (;;) {
        ptq_msg *held[DRAIN];
        uint64_t drain = 1 + next_random(&loop->random) % DRAIN, count = 0;
        bool one_by_one = next_random(&loop->random) % 2 == 0; /* else it holds all of them first */
        enum ptq_err err = PTQ_OK;
        for (; drain > 0 && (err = get(loop, &held[count])) == PTQ_OK; drain--) {
            if (one_by_one)
                receive(loop, held[count], fresh);
            else
                count++;
        }
        for (uint64_t i = 0; i < count; i++)
            receive(loop, held[i], fresh);
        if (err == PTQ_END)
            return 0;
        if (err != PTQ_EMPTY)
            must(err, "get");
        wait_for_turn(loop);
    }
}

static void start(struct member *member)
{
    struct loop loop = {.me = member, .random = next_random(&flood->seed) | 1};

    member->is_waiting = 0;
    pid_t pid = fork();
    if (pid < 0) {
        perror("flood: fork");
        exit(1);
    }
    if (pid > 0) {
        member->pid = pid; /* in shared memory: the child must not write it */
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    open_loop(&loop);
    history_live(&loop.writer, history);
    member->actor = loop.writer.actor;
    int code = member->is_producer ? produce(&loop) : consume(&loop);
    ptq_queue_close(loop.queue);
    ptq_queue_close(loop.idle);
    ptq_bus_close(loop.bus);
    _exit(code);
}

/* ---- the parent: it has nothing open while they run, for who opens recovers and wakes */

static bool open_view(ptq_bus **ret_bus, ptq_view **ret_view)
{
    struct ptq_bus_options options = {.dir = flood->dir};

    return ptq_bus_open("flood", &options, ret_bus) == PTQ_OK &&
           ptq_view_open(*ret_bus, "flood", NULL, ret_view) == PTQ_OK;
}

static void tell_stall(const char *when)
{
    struct ptq_queue_stats stats = {0};
    ptq_bus *bus = NULL;
    ptq_view *view = NULL;

    if (open_view(&bus, &view) && ptq_view_stats(view, &stats) == PTQ_OK)
        fprintf(stderr, "flood: %s: ready %llu of %llu, leased %llu, ended %d\n", when, (unsigned long long)stats.ready,
                (unsigned long long)stats.capacity, (unsigned long long)stats.leased, stats.ended);
    ptq_view_close(view);
    ptq_bus_close(bus);
    for (int i = 0; i < MEMBERS; i++) {
        const struct member *m = &flood->members[i];
        fprintf(stderr, "flood:   %s %d (%s, pid %d)%s: %llu steps, waited %llu times\n",
                m->is_producer ? "producer" : "consumer", i, m->uses_any ? "ptq_wait_any" : "epoll", (int)m->pid,
                m->has_ended ? " has ended" : m->is_waiting ? " SLEEPS" : " is at work", (unsigned long long)m->steps,
                (unsigned long long)m->waits);
    }
    violation("%s: nothing moved for %d ms; see above who sleeps beside what", when, STALL_MS);
}

static bool reap(struct member *member, int flags)
{
    int status = 0;

    if (member->has_ended || waitpid(member->pid, &status, flags) != member->pid)
        return member->has_ended;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        member->has_ended = true;
    else if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        violation("a %s ended with status %x", member->is_producer ? "producer" : "consumer", (unsigned)status);
    return true;
}

static bool wait_while(bool (*goes_on)(void *context), void *context, const char *when)
{
    int64_t moved = now_ms();
    uint64_t last = flood->acked + flood->put;

    while (goes_on(context) && flood->violations == 0) {
        if (flood->acked + flood->put != last) {
            last = flood->acked + flood->put;
            moved = now_ms();
        } else if (now_ms() - moved > STALL_MS) {
            tell_stall(when);
            return false;
        }
        rest_us(200);
    }
    return flood->violations == 0;
}

struct mark {
    uint64_t acked;
};

/* What was put shall all be taken although its producers are dead; acks of killed consumers were perhaps not counted. */
static bool something_left(void *context)
{
    (void)context;
    return flood->acked + flood->kills < flood->put;
}

static void kill_member(struct member *member)
{
    kill(member->pid, SIGKILL);
    reap(member, 0);
    history_end(history_begin(&parent, HISTORY_DEATH, 0, member->actor), PTQ_OK);
    flood->kills++;
}

static void disturb(void)
{
    struct member *member = &flood->members[next_random(&flood->seed) % MEMBERS];
    uint64_t roll = next_random(&flood->seed) % 100;

    if (reap(member, WNOHANG))
        return;
    if (roll < 40) {
        kill(member->pid, SIGSTOP);
        rest_us(next_random(&flood->seed) % 20000);
        kill(member->pid, SIGCONT);
        flood->stops++;
    } else if (roll < 92) {
        kill_member(member);
        if (!member->has_ended)
            start(member);
    } else { /* all producers: what they put must be heard of by their death alone */
        for (int i = 0; i < PRODUCERS; i++)
            if (!reap(&flood->members[i], WNOHANG))
                kill_member(&flood->members[i]);
        flood->alone++;
        wait_while(something_left, NULL, "with all producers dead");
        for (int i = 0; i < PRODUCERS; i++)
            if (!flood->members[i].has_ended)
                start(&flood->members[i]);
    }
}

static bool producers_go_on(void *context)
{
    bool any = false;

    (void)context;
    for (int i = 0; i < PRODUCERS; i++)
        any |= !reap(&flood->members[i], WNOHANG);
    return any;
}

static bool no_progress(void *context)
{
    return flood->acked <= ((struct mark *)context)->acked && producers_go_on(NULL);
}

static bool consumers_go_on(void *context)
{
    bool any = false;

    (void)context;
    for (int i = PRODUCERS; i < MEMBERS; i++)
        any |= !reap(&flood->members[i], WNOHANG);
    return any;
}

static void end_queue(void)
{
    struct ptq_bus_options options = {.dir = flood->dir};
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;

    must(ptq_bus_open("flood", &options, &bus), "bus open");
    must(ptq_queue_open(bus, "flood", NULL, &queue), "open");
    struct history_event *event = history_begin(&parent, HISTORY_CLOSE, 0, HISTORY_NOBODY);
    must(ptq_end(queue), "end");
    history_end(event, PTQ_OK);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

static void tell_finding(const char *finding, void *context)
{
    (void)context;
    violation("verify: %s", finding);
}

static void check_balance(void)
{
    struct ptq_verify_report report = {0};
    ptq_bus *bus = NULL;
    ptq_view *view = NULL;
    uint64_t put = 0, doubt = 0;

    for (size_t i = 0; i < (size_t)PRODUCERS * flood->each; i++) {
        uint8_t known = flood->known[i];
        put += (known & IS_PUT) != 0;
        doubt += (known & (PUTTING | IS_PUT)) == PUTTING;
        if (known & IS_PUT && !(known & (ACKING | IS_ACKED)))
            violation("message %zu is lost: it was %s", i, known & IS_GOT ? "got" : "never got");
        if (known & IS_GOT && !(known & PUTTING))
            violation("message %zu came and was refused before", i);
    }
    if (!open_view(&bus, &view) || ptq_view_verify(view, tell_finding, NULL, &report) != PTQ_OK)
        violation("verify does not answer");
    else if (report.put < put || report.put > put + flood->kills || report.acked != report.put || report.imbalance != 0)
        violation("put counts %llu, acked %llu, in the ledger are %llu and %llu in doubt",
                  (unsigned long long)report.put, (unsigned long long)report.acked, (unsigned long long)put,
                  (unsigned long long)doubt);
    ptq_view_close(view);
    if (bus && (ptq_queue_unlink(bus, "flood", true) != PTQ_OK || ptq_queue_unlink(bus, "idle", true) != PTQ_OK))
        violation("unlink refused");
    ptq_bus_close(bus);
}

static void check_history(void)
{
    struct history_rules rules = {.capacity = flood->capacity, .has_ended = true};
    struct history_report report;

    if (!history_check(history, &rules, &report)) {
        violation("history: %s (%llu in all)", report.text, (unsigned long long)report.violations);
        history_tell(history, report.value);
    }
    totals_add_history(&report);
    totals_add(TOTAL_PUT, flood->put);
    totals_add(TOTAL_KILLS, flood->kills);
    totals_add(TOTAL_STOPS, flood->stops);
    totals_add(TOTAL_ROUNDS, 1);
}

static void run(void)
{
    struct mark mark;

    for (int i = 0; i < MEMBERS; i++)
        start(&flood->members[i]);
    while (producers_go_on(NULL) && flood->violations == 0) {
        /* A death wakes everybody: so often enough there is none for long, and who is not woken stays asleep. */
        mark.acked = flood->acked + (next_random(&flood->seed) % 3 == 0 ? next_random(&flood->seed) % 30000 : 0);
        rest_us(next_random(&flood->seed) % 3000);
        if (!wait_while(no_progress, &mark, "at work"))
            break;
        disturb();
    }
    if (flood->violations == 0) {
        end_queue();
        wait_while(consumers_go_on, NULL, "at the end");
    }
    for (int i = 0; i < MEMBERS; i++)
        if (!reap(&flood->members[i], WNOHANG))
            kill_member(&flood->members[i]);
    if (flood->violations == 0)
        check_balance();
    if (flood->violations == 0)
        check_history();
}

int main(int argc, char **argv)
{
    static const uint64_t capacities[] = {1, 3, 17, 64}, shares[] = {5, 15, 30, 50}; /* small ones are slow */
    const char *mode = argc > 1 ? argv[1] : "epoll";
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : ((uint64_t)now_ms() << 20 ^ (uint64_t)getpid()) | 1;
    char dir[] = "/dev/shm/ptq-test.XXXXXX";
    size_t size;

    if (strcmp(mode, "epoll") != 0 && strcmp(mode, "any") != 0 && strcmp(mode, "mixed") != 0) {
        fprintf(stderr, "usage: flood epoll|any|mixed [MESSAGES [SEED]]\n");
        return 2;
    }
    size = sizeof *flood + count;
    printf("flood %s %llu 0x%llx\n", mode, (unsigned long long)count, (unsigned long long)seed);
    for (int round = 0; round < 4; round++) {
        int64_t began = now_ms();
        flood = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        history = history_new((count * shares[round] / 100 + 100000) * EVENTS_EACH);
        if ((void *)flood == MAP_FAILED || history == NULL || (round == 0 && mkdtemp(dir) == NULL)) {
            perror("flood");
            return 1;
        }
        history_live(&parent, history);
        memcpy(flood->dir, dir, sizeof dir);
        flood->seed = seed + (uint64_t)round * 7919;
        flood->capacity = capacities[round];
        flood->each = (uint32_t)(count * shares[round] / 100 / PRODUCERS);
        for (uint32_t i = 0; i < MEMBERS; i++)
            flood->members[i] = (struct member){.number = i, .is_producer = i < PRODUCERS,
                .uses_any = strcmp(mode, "any") == 0 || (strcmp(mode, "mixed") == 0 && i % 2 != 0)};
        run();
        printf("  capacity %2llu: %llu put, %llu again, %llu kills, %llu stops, %llu times without producers, %lld ms\n",
               (unsigned long long)flood->capacity, (unsigned long long)flood->put, (unsigned long long)flood->again,
               (unsigned long long)flood->kills, (unsigned long long)flood->stops, (unsigned long long)flood->alone,
               (long long)(now_ms() - began));
        fflush(stdout);
        if (flood->violations != 0) {
            fprintf(stderr, "flood: %u violations; the first: %s\n", (unsigned)flood->violations, flood->text);
            fprintf(stderr, "flood: its queue is kept in %s\n", dir);
            return 1;
        }
        history_free(history);
        munmap(flood, size);
    }
    char run_dir[96];
    snprintf(run_dir, sizeof run_dir, "%s/flood", dir);
    if (rmdir(run_dir) != 0 || rmdir(dir) != 0) {
        fprintf(stderr, "flood: something was left in %s\n", dir);
        return 1;
    }
    return 0;
}
