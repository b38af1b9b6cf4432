/* test_stopped.c -- stopped at an instruction, however long: a producer and a consumer beside it complete ten thousand operations
 * each, counted, not timed; the queue is full and empty again and again meanwhile.
 *
 * In the normal run the victim is stopped wherever others could see something new since its last instruction, before and behind
 * each call of the kernel, and at some instructions between; with `all`, at every instruction.  It stands in ptrace's stop, which
 * is SIGSTOP's to everybody else.  Then it is killed, or goes on to its end, and everything is audited.
 *     crash_stopped [all]
 * PTQ_CRASH_SCRIPT=CALL, or "recovery", or "crowd": nothing else.  PTQ_CRASH_RANGE=FROM-BELOW: stops at these instructions alone.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "crash/meeting.h"
#include "crash/track.h"

#define OPERATIONS 10000u
#define BETWEEN 12u   /* normal run: stops between the notable ones, of each call */
#define SLEEPING 3u   /* and stops beside which the others are processes that sleep */
#define AWAY_EVERY 50u /* puts */
#define FEWEST 2u     /* messages that go in between empty and full, whatever the stopped one holds */

static bool all;

static struct table {
    struct scene scene;
    struct meeting meeting;
    struct ptt_page *page;
    uint64_t stops, sleeps, switches;
    uint64_t astray; /* victims whose way was another: they ran to their end */
} table;

static const char *const calls[] = {
    "put", "put_many", "get", "get_many", "ack", "nack", "recv", "loan, publish, abort", "gather and flush", "ack in a pack",
    "open, use, close", "close",
};
#define CALLS (sizeof calls / sizeof *calls)

/* ---- the others' messages: numbered, and not the ledger's */

#define MARK UINT64_C(0x6f74206573656874)

struct number {
    uint64_t mark, number;
};

/* Whoever is stopped in a nack or a close has given a message back by its word, and perhaps not told anybody: it comes when
 * somebody looks.  Such are noted, for the auditor. */
enum { PUT_COUNT, GOT_COUNT, GOT_SWITCHES, OTHERS, OTHER };
#define OTHERS_MOST 32u

static bool note_other(const ptq_msg *msg)
{
    int id = ledger_id_of(ptq_msg_data(msg), ptq_msg_size(msg));
    uint64_t count = table.page->words[OTHERS];
    _Atomic uint64_t *words = &table.page->words[OTHER + 3 * count];

    if (id < 0 || count == OTHERS_MOST)
        return false;
    words[0] = (uint64_t)id << 1 | ptq_msg_redelivered(msg);
    words[1] = ptq_msg_position(msg);
    words[2] = ptq_msg_sub(msg);
    table.page->words[OTHERS]++;
    return true;
}

static void collect_others(struct audit_seen *seen)
{
    for (uint64_t i = 0; i < table.page->words[OTHERS]; i++) {
        const _Atomic uint64_t *words = &table.page->words[OTHER + 3 * i];
        seen->msgs[seen->count++] = (struct audit_msg){.id = (uint32_t)(words[0] >> 1),
                                                       .redelivered = words[0] & 1,
                                                       .position = words[1],
                                                       .sub = (uint32_t)words[2]};
    }
}

/* True: it is number *next, which is counted, or one that is noted. */
static bool take(ptq_msg *msg, uint64_t *next)
{
    const struct number *bytes = ptq_msg_data(msg);

    if (ptq_msg_size(msg) != sizeof *bytes || bytes->mark != MARK)
        return note_other(msg);
    return bytes->number == *next && ++*next > 0;
}

static bool say(const char *what, uint64_t number, enum ptq_err err)
{
    snprintf(table.meeting.audit.text, sizeof table.meeting.audit.text, "beside the stopped one %s %llu: %s", what,
             (unsigned long long)number, ptq_err_name(err));
    return false;
}

/* What was there before, as the peer. */
static bool drain(ptq_queue *queue)
{
    struct meeting *m = &table.meeting;
    enum ptq_err err = PTQ_OK;

    while (err == PTQ_OK)
        if (!audit_take(&m->audit, queue, &m->seen, PTQ_NOWAIT, &err))
            return false;
    return err == PTQ_EMPTY || say("a get of what was there answers", 0, err);
}

/* ---- two handles by turns: until it is full, until it is empty */

static bool fill(ptq_queue *queue, uint64_t *next)
{
    struct number number = {MARK, *next};
    enum ptq_err err;

    while ((err = ptq_put(queue, &number, sizeof number, PTQ_NOWAIT)) == PTQ_OK)
        number.number++;
    if (err != PTQ_FULL || number.number < *next + FEWEST)
        return say("puts go no further than", number.number, err);
    *next = number.number;
    return true;
}

static bool empty(ptq_queue *queue, uint64_t *next)
{
    ptq_msg *msg = NULL;
    enum ptq_err err;

    while ((err = ptq_get(queue, PTQ_NOWAIT, &msg)) == PTQ_OK) {
        if (!take(msg, next))
            return say("a get gives not", *next, err);
        if ((err = ptq_ack(msg)) != PTQ_OK)
            return say("an ack answers", *next, err);
    }
    return err == PTQ_EMPTY || say("a get answers", *next, err);
}

static bool work_by_turns(ptq_queue *producer, ptq_queue *consumer)
{
    uint64_t put = 0, got = 0;

    while (got < OPERATIONS) {
        if (!fill(producer, &put) || !empty(consumer, &got))
            return false;
        if (got != put)
            return say("of what was put is missing", put, PTQ_EMPTY);
    }
    table.scene.ledger->turned += (uint32_t)got;
    return true;
}

/* ---- two processes that sleep */

static ptq_queue *open_own(void)
{
    ptq_bus *bus = ptt_scratch_open(&table.scene.scratch);
    ptq_queue *queue = NULL;

    return ptq_queue_open(bus, SCENE_QUEUE, NULL, &queue) == PTQ_OK ? queue : NULL;
}

static uint64_t times_asleep(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_nvcsw : 0;
}

/* Elsewhere for longer than the other polls: alone on the processor, it cannot but sleep. */
static void be_away(void)
{
    struct timespec a_while = {0, 100000};

    nanosleep(&a_while, NULL);
}

static int produce(void *context)
{
    ptq_queue *queue = open_own();

    (void)context;
    for (uint64_t i = 0; i < OPERATIONS; i++) {
        struct number number = {MARK, i};
        if (i % AWAY_EVERY == 0)
            be_away();
        if (ptq_put(queue, &number, sizeof number, PTT_LONG) != PTQ_OK)
            return 1;
        table.page->words[PUT_COUNT]++;
    }
    ptq_queue_close(queue);
    return 0;
}

static int consume(void *context)
{
    ptq_queue *queue = open_own();
    uint64_t next = 0;
    ptq_msg *msg = NULL;

    (void)context;
    while (next < OPERATIONS) {
        if (ptq_get(queue, PTT_LONG, &msg) != PTQ_OK)
            return 1;
        if (!take(msg, &next) || ptq_ack(msg) != PTQ_OK)
            return 2;
        table.page->words[GOT_COUNT] = next;
    }
    table.page->words[GOT_SWITCHES] = times_asleep();
    ptq_queue_close(queue);
    return 0;
}

/* The consumer's sleeps are counted: the producer's may be its own. */
static bool work_asleep(void)
{
    pid_t consumer = ptt_fork(consume, NULL), producer = ptt_fork(produce, NULL);
    int put = ptt_reap(producer, 2 * PTT_LONG), got = ptt_reap(consumer, PTT_LONG);

    if (put != 0 || got != 0) {
        snprintf(table.meeting.audit.text, sizeof table.meeting.audit.text,
                 "beside the stopped one a sleeping producer ends with %#x after %llu, a consumer with %#x after %llu", (unsigned)put,
                 (unsigned long long)table.page->words[PUT_COUNT], (unsigned)got,
                 (unsigned long long)table.page->words[GOT_COUNT]);
        return false;
    }
    table.sleeps++;
    table.switches += table.page->words[GOT_SWITCHES];
    table.scene.ledger->turned += OPERATIONS;
    return true;
}

/* ---- one stop */

static bool work(bool asleep)
{
    struct meeting *m = &table.meeting;
    ptq_queue *consumer = m->peer.queue, *producer = NULL;

    if (!drain(consumer))
        return false;
    if (asleep) {
        ptq_queue_close(consumer);
        m->peer.queue = NULL;
        return work_asleep();
    }
    assert_ok(ptq_queue_open(table.scene.scratch.bus, SCENE_QUEUE, NULL, &producer));
    bool sound = work_by_turns(producer, consumer);
    ptq_queue_close(producer);
    return sound;
}

static void stop_at(const struct track *first, const struct track *track, uint64_t at, bool asleep)
{
    struct scene *scene = &table.scene;
    struct meeting *m = &table.meeting;
    struct victim victim;

    scene->blocks = track->blocks;
    scene_set(scene, track->script);
    meeting_begin(m, track->script, scene->ledger, track->blocks);
    if (first != NULL)
        track_die(scene, first, first->count - 1);
    victim_start(&victim, track->run, scene);
    track_bring(&victim, track, at, scene->ledger);
    if (victim.over) { /* its way was another: nobody stands there */
        table.astray++;
        scene_clear(scene);
        return;
    }
    assert_ok(ptq_queue_open(scene->scratch.bus, SCENE_QUEUE, NULL, &m->peer.queue)); /* not before: it looks for the dead */
    m->audit.dead_before = first != NULL;
    alarm(120); /* who waits for the stopped one ends here */
    memset(table.page, 0, sizeof *table.page);
    bool sound = work(asleep);
    collect_others(&m->seen);
    if (at % 2 == 0)
        victim_kill(&victim);
    else
        victim_finish(&victim);
    ptq_queue_close(m->peer.queue);
    sound = sound && audit_queue(&m->audit, scene->scratch.bus, SCENE_QUEUE);
    alarm(0);
    table.stops++;
    scene->violations += !sound;
    if (!sound && scene->violations <= 20)
        print_error("%s%s, stopped at %llu, then %s: %s\n", first != NULL ? "recovery of " : "", track->script->name,
                    (unsigned long long)at, at % 2 == 0 ? "killed" : "gone on", m->audit.text);
    scene_clear(scene);
}

static bool is_wanted(const char *what)
{
    const char *wanted = getenv("PTQ_CRASH_SCRIPT");

    return wanted == NULL || strcmp(wanted, what) == 0;
}

static void stop_along(const struct track *first, const struct track *track)
{
    uint64_t stops = table.stops, notable = 0, from = 0, below = track->count;
    const char *range = getenv("PTQ_CRASH_RANGE"), *dash = range != NULL ? strchr(range, '-') : NULL;

    if (dash != NULL) {
        from = strtoull(range, NULL, 10);
        below = strtoull(dash + 1, NULL, 10);
    }
    for (uint64_t at = from; at < below && at < track->count; at++) {
        notable += track->notable[at];
        if (all || track->notable[at] || at % (track->count / BETWEEN + 1) == 0)
            stop_at(first, track, at, false);
        if (at % (track->count / (all ? 100 : SLEEPING) + 1) == 0)
            stop_at(first, track, at, true);
    }
    print_message("  %s%-24s %6llu instructions, %4llu notable, %5llu stops\n", first != NULL ? "recovery of " : "",
                  track->script->name, (unsigned long long)track->count, (unsigned long long)notable,
                  (unsigned long long)(table.stops - stops));
}

static const struct script *script_named(const char *name)
{
    const struct script *script;

    for (size_t i = 0; (script = script_at(i)) != NULL; i++)
        if (strcmp(script->name, name) == 0)
            return script;
    fail_msg("no script '%s'", name);
    return NULL;
}

static void sum_up(void)
{
    print_message("  %llu stops, beside each %u operations of two others; %llu of them of processes that slept %llu times; "
                  "%llu stood elsewhere; %llu violations\n",
                  (unsigned long long)table.stops, OPERATIONS, (unsigned long long)table.sleeps,
                  (unsigned long long)table.switches, (unsigned long long)table.astray,
                  (unsigned long long)table.scene.violations);
    uint64_t violations = table.scene.violations, stops = table.stops, sleeps = table.sleeps, switches = table.switches;
    uint64_t astray = table.astray;
    table.scene.violations = table.astray = table.stops = table.sleeps = table.switches = 0;
    assert_int_equal(violations, 0);
    if (getenv("PTQ_CRASH_SCRIPT") != NULL)
        return;
    assert_true(stops > 20 && sleeps > 0 && astray < stops / 10);
    assert_true(switches > sleeps * 100);
}

static void others_work_on_beside_each_call_stopped(void **state)
{
    (void)state;
    for (size_t i = 0; i < CALLS; i++) {
        if (!is_wanted(calls[i]))
            continue;
        struct track track = track_note(&table.scene, script_named(calls[i]), scene_run_victim);
        stop_along(NULL, &track);
        track_free(&track);
    }
    sum_up();
}

static void others_work_on_beside_a_stopped_recoverer(void **state)
{
    if (!is_wanted("recovery"))
        return;
    struct track first = track_follow(&table.scene, script_named("get of what comes again"), scene_run_victim);
    struct track track = track_note_recovery(&table.scene, &first);

    (void)state;
    stop_along(&first, &track);
    track_free(&track);
    track_free(&first);
    sum_up();
}

/* ---- fifty at once */

#define CROWD 50u

static const struct script crowd = {
    .name = "crowd", .options = {.capacity = 64, .item_size = 1024, .max_endpoints = 64}};

static struct track crowd_tracks[CALLS];

/* Each victim's promises are its own: what it notes stays in its own copy of the ledger. */
static int live_in_the_crowd(void *context)
{
    struct scene own = table.scene;
    struct ledger *ledger = calloc(1, sizeof *ledger);

    own.script = context;
    own.ledger = ledger;
    return ledger != NULL ? scene_run_victim(&own) : 1;
}

static void feed(ptq_queue *queue, unsigned count)
{
    while (count-- > 0) {
        unsigned char bytes[512];
        size_t size = ledger_fill(bytes, LEDGER_SETUP + 1, sizeof bytes);
        enum ptq_err err = ptq_put(queue, bytes, size, PTQ_NOWAIT);
        assert_true(err == PTQ_OK || err == PTQ_FULL);
    }
}

static void take_all(ptq_queue *queue)
{
    ptq_msg *msg = NULL;
    enum ptq_err err;

    while ((err = ptq_get(queue, PTQ_NOWAIT, &msg)) == PTQ_OK) {
        assert_true(ledger_id_of(ptq_msg_data(msg), ptq_msg_size(msg)) >= 0);
        assert_ok(ptq_ack(msg));
    }
    assert_answer(PTQ_EMPTY, err);
}

static void assert_sound(uint64_t blocks)
{
    struct scene *scene = &table.scene;
    struct ptq_verify_report report = {0};
    ptq_queue *queue = NULL;
    ptq_view *view = NULL;

    assert_ok(ptq_queue_open(scene->scratch.bus, SCENE_QUEUE, NULL, &queue));
    take_all(queue);
    assert_ok(ptq_view_open(scene->scratch.bus, SCENE_QUEUE, NULL, &view));
    assert_ok(ptq_view_verify(view, NULL, NULL, &report));
    ptq_view_close(view);
    assert_true(report.quiet && report.imbalance == 0);
    assert_int_equal(report.ready + report.leased, 0);
    assert_int_equal(audit_blocks(scene->scratch.bus, queue, crowd.options.capacity), blocks);
    ptq_queue_close(queue);
}

static void stop_a_crowd(uint64_t *seed)
{
    struct scene *scene = &table.scene;
    ptq_queue *producer = NULL, *consumer = NULL;
    struct victim victims[CROWD];

    scene_set(scene, &crowd);
    uint64_t blocks = scene->blocks;
    assert_ok(ptq_queue_open(scene->scratch.bus, SCENE_QUEUE, NULL, &producer));
    assert_ok(ptq_queue_open(scene->scratch.bus, SCENE_QUEUE, NULL, &consumer));
    for (unsigned i = 0; i < CROWD; i++) {
        const struct track *track = &crowd_tracks[ptt_random(seed) % CALLS];
        uint64_t at = ptt_random(seed) % track->count;
        feed(producer, 4);
        victim_start(&victims[i], live_in_the_crowd, (void *)(uintptr_t)track->script);
        victim_run_to(&victims[i], track->places[at], track->times[at], PTT_LONG);
    }
    alarm(120);
    take_all(consumer);
    memset(table.page, 0, sizeof *table.page);
    bool sound = work_by_turns(producer, consumer);
    alarm(0);
    if (!sound)
        print_error("%s\n", table.meeting.audit.text);
    for (unsigned i = 0; i < CROWD; i++) {
        if (ptt_random(seed) % 2 == 0)
            victim_kill(&victims[i]);
        else
            victim_finish(&victims[i]);
    }
    ptq_queue_close(producer);
    ptq_queue_close(consumer);
    assert_true(sound);
    assert_sound(blocks);
    scene_clear(scene);
}

static void fifty_may_be_stopped_at_once(void **state)
{
    uint64_t seed = ptt_seed();

    (void)state;
    if (!is_wanted("crowd"))
        return;
    for (size_t i = 0; i < CALLS; i++)
        crowd_tracks[i] = track_follow(&table.scene, script_named(calls[i]), scene_run_victim);
    for (unsigned round = 0; round < (all ? 200 : 5); round++)
        stop_a_crowd(&seed);
    for (size_t i = 0; i < CALLS; i++)
        track_free(&crowd_tracks[i]);
}

/* ---- */

static int init(void **state)
{
    (void)state;
    scene_init(&table.scene);
    table.page = ptt_page_new();
    return 0;
}

static int fini(void **state)
{
    (void)state;
    ptt_page_free(table.page);
    scene_fini(&table.scene);
    return 0;
}

static _Noreturn void tell_of_a_wait(int signal)
{
    static const char text[] = "somebody waits for a stopped process\n";

    (void)signal;
    _exit(write(2, text, sizeof text - 1) > 0 ? 3 : 4);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(others_work_on_beside_each_call_stopped),
                                       cmocka_unit_test(others_work_on_beside_a_stopped_recoverer),
                                       cmocka_unit_test(fifty_may_be_stopped_at_once)};

    all = argc > 1 && strcmp(argv[1], "all") == 0;
    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        return 77;
    }
    signal(SIGALRM, tell_of_a_wait);
    return cmocka_run_group_tests(tests, init, fini);
}
