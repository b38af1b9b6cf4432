/* chaos.c -- producers, consumers and visitors are killed and stopped at random; at the end the ledger is balanced.
 *
 *     chaos [SECONDS [SEED [KIND]]]     KIND: 0 any policy, 1 packs, 2 leases that run out, 3 plain; else by turns
 *
 * In rounds of a few seconds, each with a queue of its own kind.  Nothing may be lost, nothing doubled without its flag,
 * nothing out of its producer's order, no batch in parts; the living must never stand still; in the end the counts must
 * balance and nothing be left.  Every call is written down, and the history of each round is checked (history.h).  One round in three every member is
 * process 1 of a container of its own that shares nothing but the directory.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stress/chaos.h"
#include "stress/totals.h"

#define EVENTS (UINT64_C(1) << 23) /* of a round, twice as many as it may use */
#define STALL_MS 15000
#define END_MS 30000

enum kind { ANY_POLICY, PACKS, LEASES, PLAIN, UNITS, KINDS };

struct round_ {
    struct chaos *chaos;
    struct history *history;
    struct history_writer writer; /* the parent's own */
    unsigned members;
    enum kind kind;
    bool namespaces, deadly;
    uint64_t seed, kills, stops;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void rest_us(uint64_t us)
{
    struct timespec a_little = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};

    nanosleep(&a_little, NULL);
}

/* ---- births and deaths */

#define CONTAINER (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS)

/* Each process 1 of its own. */
static pid_t fork_member(bool contained)
{
    if (!contained)
        return fork();
    return (pid_t)syscall(SYS_clone, (unsigned long)(CONTAINER | SIGCHLD), NULL, NULL, NULL, NULL);
}

/* In a new container: of all that is shared only the directory stays, by a name of its own. */
static bool furnish(const char *dir, unsigned number)
{
    static char own[64];

    snprintf(own, sizeof own, "/mnt/bus-%u", number);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || mount("tmpfs", "/mnt", "tmpfs", 0, "size=64k") != 0 ||
        mkdir(own, 0700) != 0 || mount(dir, own, NULL, MS_BIND, NULL) != 0 ||
        mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=64k") != 0 || mount("proc", "/proc", "proc", 0, NULL) != 0)
        return false;
    chaos_rename_dir(own);
    return getpid() == 1;
}

static int live(struct round_ *round, struct chaos_member *member)
{
    struct chaos *chaos = round->chaos;

    if (round->namespaces && !furnish(chaos->dir, (unsigned)(member - chaos->members))) {
        chaos_violation(chaos, "a container cannot be furnished: %s", strerror(errno));
        return 1;
    }
    switch (member->role) {
    case PRODUCER:
        return chaos_produce(chaos, member);
    case CONSUMER:
        return chaos_consume(chaos, member);
    case VISITOR:
        return chaos_visit(chaos, member);
    default:
        return chaos_tend(chaos, member);
    }
}

static void start_member(struct round_ *round, struct chaos_member *member)
{
    member->receiving = 0;
    member->batch_count = 0;
    member->actor = 0;
    member->polls = 0;
    pid_t pid = fork_member(round->namespaces);
    if (pid < 0) {
        perror("chaos: fork");
        exit(1);
    }
    if (pid > 0) {
        member->pid = pid;
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    _exit(live(round, member));
}

/* After a death: what it was about to do stays in doubt. */
static void note_death(struct round_ *round, struct chaos_member *member)
{
    struct chaos *chaos = round->chaos;

    history_end(history_begin(&round->writer, HISTORY_DEATH, 0, member->actor), PTQ_OK);
    chaos->may_be_lost += member->receiving;
    if (member->role != PRODUCER || member->batch_count == 0 || chaos->doubt_count == CHAOS_DOUBTS)
        return;
    chaos->doubts[chaos->doubt_count++] = (struct chaos_doubt){member->number, member->batch_first, member->batch_count};
}

static void bury(struct round_ *round, struct chaos_member *member, int status)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
        chaos_violation(round->chaos, "a member (role %d) died of signal %d", member->role, WTERMSIG(status));
    note_death(round, member);
    member->pid = 0;
}

static void kill_member(struct round_ *round, struct chaos_member *member)
{
    int status = 0;

    kill(member->pid, SIGKILL);
    if (waitpid(member->pid, &status, 0) == member->pid)
        bury(round, member, status);
    round->kills++;
    totals_add(TOTAL_KILLS, 1);
}

static void stop_member(struct round_ *round, struct chaos_member *member)
{
    kill(member->pid, SIGSTOP);
    rest_us(chaos_random(&round->seed) % 30000);
    kill(member->pid, SIGCONT);
    round->stops++;
    totals_add(TOTAL_STOPS, 1);
}

static void disturb(struct round_ *round)
{
    struct chaos_member *member = &round->chaos->members[chaos_random(&round->seed) % round->members];
    int status = 0;

    if (member->pid == 0)
        return;
    if (waitpid(member->pid, &status, WNOHANG) == member->pid) { /* it ended by itself: out of numbers, or at fault */
        bury(round, member, status);
        if (member->role != PRODUCER)
            start_member(round, member);
        return;
    }
    uint64_t roll = chaos_random(&round->seed) % 100;
    if (roll < 25)
        stop_member(round, member);
    if (roll > 20) {
        kill_member(round, member);
        start_member(round, member);
    }
}

/* ---- a round */

static void end_queue(struct round_ *round, ptq_queue *queue)
{
    struct history_event *event;
    enum ptq_err err;

    if (ptq_queue_pause(queue, false) != PTQ_OK)
        chaos_violation(round->chaos, "a resume was refused");
    event = history_begin(&round->writer, HISTORY_CLOSE, 0, HISTORY_NOBODY);
    err = ptq_end(queue);
    history_end(event, err);
    if (err != PTQ_OK)
        chaos_violation(round->chaos, "end answered %s", ptq_err_name(err));
}

static void open_and_close(struct round_ *round, bool end)
{
    struct chaos *chaos = round->chaos;
    struct ptq_error error = {0};
    struct ptq_bus_options bus_options = {.dir = chaos->dir, .error = &error};
    struct ptq_queue_options options = chaos->options;
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;

    options.error = &error;
    options.flags = chaos->packs && !chaos->units ? PTQ_PIPELINE : 0;
    if (ptq_bus_open("chaos", &bus_options, &bus) != PTQ_OK ||
        ptq_queue_open(bus, CHAOS_QUEUE, &options, &queue) != PTQ_OK)
        chaos_violation(chaos, "an open answered %s", error.text);
    else if (end)
        end_queue(round, queue);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

static void run_disturbed(struct round_ *round, int64_t milliseconds)
{
    struct chaos *chaos = round->chaos;
    int64_t end = now_ms() + milliseconds, moved_at = now_ms();
    uint64_t last = 0;

    while (now_ms() < end && chaos->violations == 0 && !history_is_filling(round->history)) {
        rest_us(chaos_random(&round->seed) % 5000);
        disturb(round);
        if (chaos->acked != last) {
            last = chaos->acked;
            moved_at = now_ms();
        } else if (now_ms() - moved_at > STALL_MS) {
            chaos_violation(chaos, "nothing moved for %d ms", STALL_MS);
        }
    }
}

/* All that have role `role` shall end by themselves. */
static void wait_for(struct round_ *round, int role)
{
    int64_t end = now_ms() + END_MS;

    for (unsigned i = 0; i < round->members; i++) {
        struct chaos_member *member = &round->chaos->members[i];
        int status = 0;
        while (member->role == role && member->pid != 0) {
            if (waitpid(member->pid, &status, WNOHANG) == member->pid) {
                bury(round, member, status);
            } else if (now_ms() > end) {
                chaos_violation(round->chaos, "a member (role %d) does not end", role);
                kill_member(round, member);
            } else {
                rest_us(500);
            }
        }
    }
}

/* ---- the balance */

static void check_messages(struct chaos *chaos, uint64_t *ret_put, uint64_t *ret_doubt)
{
    uint64_t lost = 0;

    for (uint32_t p = 0; p < CHAOS_PRODUCERS; p++) {
        for (uint32_t i = 0; i < chaos->next[p]; i++) {
            uint8_t known = chaos->known[p][i];
            *ret_put += (known & IS_PUT) != 0;
            *ret_doubt += (known & (PUTTING | IS_PUT)) == PUTTING;
            if (known & IS_PUT && !(known & (ACKING | IS_ACKED)) && lost++ >= chaos->may_be_lost + chaos->dropped)
                chaos_violation(chaos, "message %u.%u is lost (%s)", p, i, known & IS_GOT ? "was got" : "was never got");
        }
    }
}

static void check_batches(struct chaos *chaos)
{
    for (uint32_t d = 0; d < chaos->doubt_count; d++) {
        const struct chaos_doubt *doubt = &chaos->doubts[d];
        uint32_t came = 0;
        for (uint32_t i = 0; i < doubt->count; i++)
            came += (chaos->known[doubt->producer][doubt->first + i] & IS_GOT) != 0;
        if (came != 0 && came + chaos->may_be_lost + chaos->dropped < doubt->count)
            chaos_violation(chaos, "of an unreturned batch of %u, %u came", doubt->count, came);
    }
}

/* So many may be missing. */
static void read_drops(struct chaos *chaos)
{
    struct ptq_bus_options options = {.dir = chaos->dir};
    struct ptq_queue_stats stats = {0};
    ptq_bus *bus = NULL;
    ptq_view *view = NULL;

    if (ptq_bus_open("chaos", &options, &bus) != PTQ_OK || ptq_view_open(bus, CHAOS_QUEUE, NULL, &view) != PTQ_OK ||
        ptq_view_stats(view, &stats) != PTQ_OK)
        chaos_violation(chaos, "the queue cannot be looked at in the end");
    chaos->dropped = stats.dropped;
    ptq_view_close(view);
    ptq_bus_close(bus);
}

static void tell_finding(const char *finding, void *context) { chaos_violation(context, "verify: %s", finding); }

static void check_counts(struct chaos *chaos, uint64_t put, uint64_t doubt)
{
    struct ptq_bus_options options = {.dir = chaos->dir};
    struct ptq_verify_report report = {0};
    ptq_bus *bus = NULL;
    ptq_view *view = NULL;

    if (ptq_bus_open("chaos", &options, &bus) != PTQ_OK || ptq_view_open(bus, CHAOS_QUEUE, NULL, &view) != PTQ_OK) {
        chaos_violation(chaos, "the queue is gone at the end");
        return;
    }
    enum ptq_err err = ptq_view_verify(view, tell_finding, chaos, &report);
    ptq_view_close(view);
    if (err != PTQ_OK || !report.quiet || report.imbalance != 0)
        chaos_violation(chaos, "verify answers %s, imbalance %lld", ptq_err_name(err), (long long)report.imbalance);
    if (report.put < put || report.put > put + doubt)
        chaos_violation(chaos, "put counts %llu, %llu returned and %llu are in doubt", (unsigned long long)report.put,
                        (unsigned long long)put, (unsigned long long)doubt);
    if (report.ready + report.leased + report.delayed + report.dead != 0 || report.acked + report.dropped != report.put)
        chaos_violation(chaos, "at the end %llu are ready, %llu leased, %llu delayed, %llu dead",
                        (unsigned long long)report.ready, (unsigned long long)report.leased,
                        (unsigned long long)report.delayed, (unsigned long long)report.dead);
    if (report.in_transit != 0)
        chaos_violation(chaos, "%llu blocks did not come home", (unsigned long long)report.in_transit);
    if (ptq_queue_unlink(bus, CHAOS_QUEUE, false) != PTQ_OK)
        chaos_violation(chaos, "somebody still has it open");
    ptq_bus_close(bus);
}

/* FULL is judged where nothing but capacity bounds the queue. */
static void check_history(struct round_ *round)
{
    const struct ptq_queue_options *options = &round->chaos->options;
    struct history_rules rules = {.capacity = options->bytes || options->lease_ms || options->full >= PTQ_FULL_DROP_OLDEST
                                                  ? 0
                                                  : options->capacity,
                                  .dropped = round->chaos->dropped,
                                  .lease_ns = options->lease_ms * UINT64_C(1000000),
                                  .makes_room = round->chaos->may_drop,
                                  .has_ended = true,
                                  .is_passed_on = round->chaos->packs && round->deadly};
    struct history_report report;

    if (!history_check(round->history, &rules, &report)) {
        chaos_violation(round->chaos, "history: %s (%llu in all)", report.text, (unsigned long long)report.violations);
        history_tell(round->history, report.value);
    }
    totals_add_history(&report);
    printf("    history: %llu events, %llu takes (%llu flagged), %llu found nothing, %llu no room, %llu stood in front, %llu left open\n",
           (unsigned long long)report.events, (unsigned long long)report.takes, (unsigned long long)report.again,
           (unsigned long long)report.empties, (unsigned long long)report.fulls, (unsigned long long)report.stands, (unsigned long long)report.open);
}

static void reset(struct round_ *round)
{
    struct chaos *chaos = round->chaos;
    char dir[64];

    memcpy(dir, chaos->dir, sizeof dir);
    if (madvise(chaos, sizeof *chaos, MADV_REMOVE) != 0)
        memset(chaos, 0, sizeof *chaos);
    memcpy(chaos->dir, dir, sizeof dir);
    history_reset(round->history);
    chaos->history = round->history;
    history_live(&round->writer, round->history);
}

static const char *const waits[] = {"", ", waiting in poll", ", half of them waiting in poll"};
static const char *const policies[] = {"block", "fail", "drop-oldest", "drop-newest"};

/* Every second round is an ordinary queue. */
static void arrange_policy(struct round_ *round)
{
    struct chaos *chaos = round->chaos;
    uint64_t roll = chaos_random(&round->seed) + (round->kind == ANY_POLICY);

    if (roll % 2 == 0)
        return;
    chaos->options.full = (enum ptq_full)((roll >> 1) % 4);
    if ((roll >> 3) % 2)
        chaos->options.bytes = chaos->options.item_size > 3000 ? chaos->options.item_size : 3000;
    chaos->delays = (roll >> 4) % 2;
    chaos->ttl_ms = (roll >> 5) % 2 ? 3 : 0;
    chaos->may_drop = true; /* visitors purge now and then */
}

/* A queue on which small puts share entries: docs/decisions/packs.md. */
static void arrange_units(struct chaos *chaos, uint32_t pack_size)
{
    chaos->units = true;
    chaos->options.pack_size = pack_size;
    chaos->options.bytes = 0;
    if (chaos->options.capacity < 4)
        chaos->options.capacity = 30;
}

/* Packs, leases that run out, or neither (the two exclude each other); waits in calls or in poll. */
static void arrange_ways(struct round_ *round)
{
    struct chaos *chaos = round->chaos;
    uint64_t roll = chaos_random(&round->seed);

    chaos->packs = round->kind == PACKS || round->kind == UNITS;
    if (round->kind == UNITS)
        arrange_units(chaos, (uint32_t)(roll >> 24) % 2 ? 512 : 4096);
    chaos->singles = !chaos->packs && roll % 3 == 0;
    chaos->options.lease_ms = round->kind == LEASES ? 2 + (uint32_t)((roll >> 8) % 10) : 0;
    for (unsigned i = 0; i < round->members; i++)
        chaos->members[i].waits_in_poll = (roll >> 16) % 3 == 0 ? false : (roll >> 16) % 3 == 1 ? true : i % 2 == 0;
    chaos->by_poll = (unsigned)((roll >> 16) % 3);
}

static void arrange(struct round_ *round)
{
    static const uint64_t capacities[] = {1, 2, 7, 64, 100, 1000};
    static const uint32_t sizes[] = {32, 200, 1000, 4000};
    struct chaos *chaos = round->chaos;
    unsigned producers = 1 + (unsigned)(chaos_random(&round->seed) % CHAOS_PRODUCERS);
    unsigned consumers = 1 + (unsigned)(chaos_random(&round->seed) % 4);

    chaos->seed = round->seed;
    chaos->options = (struct ptq_queue_options){.capacity = capacities[chaos_random(&round->seed) % 6],
                                                .item_size = sizes[chaos_random(&round->seed) % 4],
                                                .max_deliveries = PTQ_NEVER,
                                                .max_endpoints = 24};
    if (round->deadly) {
        chaos->options.max_deliveries = 1 + (uint32_t)(chaos_random(&round->seed) % 2);
        chaos->options.max_dead = chaos_random(&round->seed) % 2 ? 5 : 500;
    }
    if (!round->deadly)
        arrange_policy(round);
    round->members = producers + consumers + (round->deadly ? 3 : 1);
    for (unsigned i = 0; i < round->members; i++) {
        chaos->members[i].role = i < producers                   ? PRODUCER
                                 : i < producers + consumers     ? CONSUMER
                                 : i < producers + consumers + 1 ? VISITOR
                                                                 : TENDER;
        chaos->members[i].number = i < producers ? i : 0;
    }
    arrange_ways(round);
    printf("  capacity %4llu item_size %4u producers %u consumers %u, full: %s%s%s%s%s%s%s%s%s%s\n",
           (unsigned long long)chaos->options.capacity, chaos->options.item_size, producers, consumers,
           policies[chaos->options.full], chaos->options.bytes ? ", a byte budget" : "", chaos->delays ? ", delays" : "",
           chaos->ttl_ms ? ", times to live" : "", round->namespaces ? ", each process 1" : "",
           round->deadly ? ", messages die" : "", chaos->units ? ", units" : chaos->packs ? ", packs" : "", chaos->options.lease_ms ? ", leases run out" : "",
           chaos->singles ? ", one at a time" : "", waits[chaos->by_poll]);
    fflush(stdout);
}

static void run_round(struct round_ *round, int64_t milliseconds)
{
    struct chaos *chaos = round->chaos;
    uint64_t put = 0, doubt = 0;

    reset(round);
    arrange(round);
    open_and_close(round, false);
    for (unsigned i = 0; i < round->members; i++)
        start_member(round, &chaos->members[i]);
    run_disturbed(round, milliseconds);
    chaos->is_closing = 1;
    wait_for(round, PRODUCER);
    wait_for(round, VISITOR);
    wait_for(round, TENDER); /* what is kicked now, somebody gets */
    open_and_close(round, true);
    wait_for(round, CONSUMER);
    chaos_empty_the_view(chaos, &round->writer);
    read_drops(chaos);
    check_history(round);
    check_messages(chaos, &put, &doubt);
    check_batches(chaos);
    check_counts(chaos, put, doubt);
    printf("    put %llu, got %llu, again %llu, dropped %llu, batches %llu, visits %llu, kicked %llu, in doubt %llu\n",
           (unsigned long long)chaos->put, (unsigned long long)chaos->got, (unsigned long long)chaos->again,
           (unsigned long long)chaos->dropped, (unsigned long long)chaos->batches, (unsigned long long)chaos->visits,
           (unsigned long long)chaos->kicked,
           (unsigned long long)doubt);
    fflush(stdout);
    totals_add(TOTAL_PUT, put);
    totals_add(TOTAL_DEAD, chaos->buried + chaos->kicked);
    for (unsigned i = 0; i < PTQ_DROPS; i++)
        totals_add(TOTAL_DROPPED + i, chaos->dropped_by[i]);
    totals_add(TOTAL_ROUNDS, 1);
    totals_add(TOTAL_CONTAINED, round->namespaces);
}

static bool have_namespaces(void)
{
    int status = 0;
    pid_t pid = fork_member(true);

    if (pid == 0)
        _exit(furnish("/tmp", 0) ? 0 : 1);
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(int argc, char **argv)
{
    int64_t seconds = argc > 1 ? atoi(argv[1]) : 30, end;
    struct round_ round = {.seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL) * 1000003u ^ (uint64_t)getpid()};
    char dir[] = "/dev/shm/ptq-test.XXXXXX";
    bool namespaces = have_namespaces();

    round.chaos = mmap(NULL, sizeof *round.chaos, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    round.history = history_new(EVENTS);
    if (round.chaos == MAP_FAILED || round.history == NULL || mkdtemp(dir) == NULL) {
        perror("chaos");
        return 1;
    }
    memcpy(round.chaos->dir, dir, sizeof dir);
    printf("chaos: %lld seconds, seed %#llx%s\n", (long long)seconds, (unsigned long long)round.seed,
           namespaces ? "" : " (no namespaces here: those rounds are ordinary ones)");
    end = now_ms() + seconds * 1000;
    for (unsigned i = 0; now_ms() < end && round.chaos->violations == 0; i++) {
        round.namespaces = namespaces && i % 3 == 2;
        round.deadly = i % 2 == 1;
        round.kind = argc > 3 ? (enum kind)(atoi(argv[3]) % KINDS)
                              : (enum kind)((i + i / KINDS) % KINDS); /* each kind in each way, in time */
        run_round(&round, end - now_ms() < 4000 ? end - now_ms() : 4000);
    }
    if (round.chaos->violations > 0)
        printf("VIOLATION (%u): %s\n", round.chaos->violations, round.chaos->text);
    printf("chaos: %llu kills, %llu stops\n", (unsigned long long)round.kills, (unsigned long long)round.stops);
    char command[100];
    snprintf(command, sizeof command, "%s/chaos", dir);
    bool left = rmdir(command) != 0 || rmdir(dir) != 0;
    if (left)
        printf("VIOLATION: something is left in %s\n", dir);
    return round.chaos->violations > 0 || left;
}
