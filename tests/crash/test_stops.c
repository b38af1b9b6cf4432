/* test_stops.c -- a victim, or two, stopped at an instruction, alive and holding its lock: others go on at once.
 *
 * Then it is killed, or goes on to its end, and everything is audited together: what the peer put and got meanwhile, what
 * the victim had been promised, and what is left.
 *     crash_stops [SECONDS]: how long; with 0 every instruction of every script and every peer, once.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crash/scene.h"

static int seconds = 10;

struct meeting {
    struct scene scene;
    struct ledger_actor peer;
    struct audit_seen seen;
    struct audit audit;
    uint64_t runs;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- what is surely there, what may be */

struct count {
    uint32_t surely, perhaps; /* ready for the peer */
    uint32_t most;            /* how many may stand in the ring */
    uint64_t bytes;           /* and of how many bytes */
};

/* What the queue itself says that it dropped is neither ready nor in the ring, whichever it was. */
static uint32_t count_dropped(const struct meeting *m)
{
    struct ptq_queue_stats stats = {0};

    return ptq_queue_stats(m->peer.queue, &stats) == PTQ_OK ? (uint32_t)stats.dropped : 0;
}

static struct count count_ready(const struct meeting *m)
{
    struct count count = {0};
    bool taken[LEDGER_IDS] = {false};
    uint32_t taking = ledger_taking(m->scene.ledger), dropped = count_dropped(m), leased = 0, less;

    for (size_t i = 0; i < m->seen.count; i++)
        taken[m->seen.msgs[i].id] = true;
    for (uint32_t id = 0; id < LEDGER_IDS; id++) {
        const struct ledger_msg *msg = &m->scene.ledger->msgs[id];
        if (taken[id] || msg->put == NOT_PUT || msg->put == PUT_REFUSED)
            continue;
        bool nacked = msg->out == IS_NACKED && m->scene.ledger->delays == 0;
        bool surely = msg->put == IS_PUT && (msg->out == IS_IN || nacked);
        bool perhaps = msg->put == PUTTING || msg->out == NACKING || (msg->out == IS_NACKED && !nacked);
        count.surely += surely;
        count.perhaps += perhaps;
        bool stands = surely || perhaps || msg->out == IS_PARKED || msg->out == IS_BURIED; /* until somebody meets it */
        count.most += stands;
        count.bytes += stands ? ledger_size(id, m->audit.item_size) : 0;
        leased += msg->out == IS_LEASED || msg->out == ACKING;
    }
    if (dropped > 0)
        count.most = count.most + leased > dropped ? count.most + leased - dropped : 0;
    less = taking + dropped < count.surely ? taking + dropped : count.surely;
    count.surely -= less;
    count.perhaps += taking;
    return count;
}

static bool say(struct meeting *m, const char *what, enum ptq_err err)
{
    struct count count = count_ready(m);

    snprintf(m->audit.text, sizeof m->audit.text,
             "beside the stopped one %s answered %s: %u surely ready, %u perhaps, %u in the ring", what, ptq_err_name(err),
             count.surely, count.perhaps, count.most);
    return false;
}

/* ---- the peer's calls: none may wait, none may be refused without reason */

/* No place for so many, or no room for their bytes? */
static bool may_be_full(const struct meeting *m, const struct count *before, uint32_t first, uint32_t many)
{
    uint64_t budget = m->scene.script->options.bytes, bytes = before->bytes;

    for (uint32_t i = 0; i < many; i++)
        bytes += ledger_size(first + i, m->audit.item_size);
    return before->most + many > m->audit.capacity || (budget != 0 && bytes > budget);
}

static bool peer_put_some(struct meeting *m, uint32_t many, const char *what)
{
    struct count before = count_ready(m);
    uint32_t first = m->peer.next;
    enum ptq_err err = many == 1 ? ledger_put(&m->peer) : ledger_put_many(&m->peer, many);

    if (err == PTQ_OK || (err == PTQ_EENDED && m->scene.ledger->ending > 0))
        return true;
    return (err == PTQ_FULL && may_be_full(m, &before, first, many)) || say(m, what, err);
}

static bool peer_put(struct meeting *m) { return peer_put_some(m, 1, "a put"); }
static bool peer_put_many(struct meeting *m) { return peer_put_some(m, 2, "a put of two"); }

static bool peer_get(struct meeting *m)
{
    struct count count;
    enum ptq_err err;

    if (!audit_take(&m->audit, m->peer.queue, &m->seen, PTQ_NOWAIT, &err))
        return false;
    if (err == PTQ_OK)
        return true;
    count = count_ready(m); /* afterwards: what it met and dropped is counted by then */
    if (err == PTQ_END && m->scene.ledger->ending > 0 && count.surely == 0)
        return true;
    return (err == PTQ_EMPTY && count.surely == 0) || say(m, "a get", err);
}

static bool once(struct meeting *m) { return peer_put(m) && peer_get(m) && peer_get(m); }

static bool drain_first(struct meeting *m)
{
    for (int i = 0; i < 8; i++)
        if (!peer_get(m))
            return false;
    return peer_put(m) && peer_put_many(m);
}

static bool fill_first(struct meeting *m)
{
    for (int i = 0; i < 8; i++)
        if (!peer_put(m))
            return false;
    for (int i = 0; i < 5; i++)
        if (!peer_get(m))
            return false;
    return peer_put_many(m) && peer_get(m);
}

/* More than once around the ring: every slot and block that the victim has looked at bears something else. */
static bool lap(struct meeting *m)
{
    for (int i = 0; i < 150; i++)
        if (!(i % 5 == 4 ? peer_put_many(m) && peer_get(m) : peer_put(m)) || !peer_get(m))
            return false;
    return true;
}

static bool (*const peers[])(struct meeting *) = {once, drain_first, fill_first, lap};
static const char *const peer_names[] = {"put and get", "drain first", "fill first", "a lap"};
#define PEERS (sizeof peers / sizeof *peers)

/* ---- one meeting */

/* The instructions of a script: where each stands, and how often it was there before. */
struct track {
    const struct script *script;
    int (*run)(void *);
    uint64_t blocks, count;
    uint64_t *places;
    uint32_t *times;
};

static uint32_t times_before(const struct track *track, uint64_t place)
{
    for (uint64_t i = track->count; i-- > 0;)
        if (track->places[i] == place)
            return track->times[i];
    return 0;
}

#define TRACK_MOST 60000

static struct track follow(struct meeting *m, const struct script *script, int (*run)(void *))
{
    struct track track = {.script = script, .run = run};
    struct victim victim;

    track.places = calloc(TRACK_MOST, sizeof *track.places);
    track.times = calloc(TRACK_MOST, sizeof *track.times);
    assert_true(track.places != NULL && track.times != NULL);
    scene_set(&m->scene, script);
    victim_start(&victim, run, &m->scene);
    while (m->scene.ledger->phase != 2 && track.count < TRACK_MOST && victim_step(&victim)) {
        uint64_t place = victim_place(&victim);
        track.times[track.count] = times_before(&track, place) + 1;
        track.places[track.count++] = place;
    }
    victim_kill(&victim);
    track.blocks = m->scene.blocks;
    scene_clear(&m->scene);
    return track;
}

/* By a breakpoint; where there are none, by steps.  Now and then its way is another, as when somebody has just looked for
 * the dead; then it may run to its end, and is dead. */
static void bring_to(struct victim *victim, const struct track *track, uint64_t at, const struct ledger *ledger)
{
    if (victim_run_to(victim, track->places[at], track->times[at], PTQ_FOREVER))
        return;
    while (victim->steps <= at && ledger->phase != 2 && victim_step(victim))
        ;
}

/* Dies at an instruction before the victim comes: for victims that recover. */
static void die_first(struct meeting *m, const struct track *track, uint64_t at)
{
    struct victim victim;

    victim_start(&victim, track->run, &m->scene);
    bring_to(&victim, track, at, m->scene.ledger);
    victim_kill(&victim);
    m->scene.ledger->phase = 0;
}

struct plan {
    const struct track *first; /* NULL: nobody dies before */
    const struct track *track;
    uint64_t first_at, stop_at;
    size_t peer;
    bool kill_it;
};

static void set_table(struct meeting *m, const struct script *script, uint64_t blocks)
{
    struct scene *scene = &m->scene;

    scene->blocks = blocks;
    scene_set(scene, script);
    m->seen.count = 0;
    m->audit = (struct audit){.ledger = scene->ledger,
                              .capacity = script->options.capacity,
                              .item_size = script->options.item_size,
                              .lenient = true,
                              .seen = &m->seen,
                              .blocks = blocks};
    m->peer = (struct ledger_actor){
        .ledger = scene->ledger, .item_size = script->options.item_size, .who = 2, .next = LEDGER_PEER};
    assert_ok(ptq_queue_open(scene->scratch.bus, SCENE_QUEUE, NULL, &m->peer.queue));
}

static void tell(const struct meeting *m, const struct plan *plan)
{
    print_error("%s%s (%llu), stopped at %llu of call %u, peer: %s, then %s: %s\n",
                plan->first != NULL ? "recovery of " : "", (plan->first != NULL ? plan->first : plan->track)->script->name,
                (unsigned long long)plan->first_at, (unsigned long long)plan->stop_at, m->scene.ledger->calls,
                peer_names[plan->peer], plan->kill_it ? "killed" : "gone on", m->audit.text);
}

static void meet(struct meeting *m, const struct plan *plan)
{
    const struct track *setting = plan->first != NULL ? plan->first : plan->track;
    struct scene *scene = &m->scene;
    struct victim victim;

    set_table(m, setting->script, setting->blocks);
    if (plan->first != NULL)
        die_first(m, plan->first, plan->first_at);
    m->audit.dead_before = plan->first != NULL;
    victim_start(&victim, plan->track->run, scene);
    bring_to(&victim, plan->track, plan->stop_at, scene->ledger);
    m->audit.dead_before |= victim.over;
    alarm(30); /* a peer that waits for the stopped one ends here */
    bool sound = peers[plan->peer](m);
    if (plan->kill_it)
        victim_kill(&victim);
    else
        victim_finish(&victim);
    ptq_queue_close(m->peer.queue);
    if (sound)
        sound = audit_queue(&m->audit, scene->scratch.bus, SCENE_QUEUE);
    alarm(0);
    scene->violations += !sound;
    m->runs++;
    if (!sound && scene->violations <= 20)
        tell(m, plan);
    scene_clear(scene);
}

/* ---- two at once: each is stopped somewhere in the other's way */

struct pair {
    const struct track *tracks[2];
    uint64_t stop_at[2];
    size_t peer;
    bool kill_it[2], last_first;
};

static void go_on(struct victim *victim, bool kill_it)
{
    if (kill_it)
        victim_kill(victim);
    else
        victim_finish(victim);
}

static void meet_two(struct meeting *m, const struct pair *pair)
{
    struct scene *scene = &m->scene;
    struct victim victims[2];

    scene->second = pair->tracks[1]->script;
    set_table(m, pair->tracks[0]->script, pair->tracks[0]->blocks);
    victim_start(&victims[0], scene_run_victim, scene);
    bring_to(&victims[0], pair->tracks[0], pair->stop_at[0], scene->ledger);
    victim_start(&victims[1], scene_run_second, scene);
    bring_to(&victims[1], pair->tracks[1], pair->stop_at[1], scene->ledger);
    m->audit.dead_before = victims[0].over || victims[1].over;
    alarm(30);
    bool sound = pair->peer == PEERS || peers[pair->peer](m); /* as many again: no peer */
    go_on(&victims[pair->last_first], pair->kill_it[pair->last_first]);
    go_on(&victims[!pair->last_first], pair->kill_it[!pair->last_first]);
    ptq_queue_close(m->peer.queue);
    if (sound)
        sound = audit_queue(&m->audit, scene->scratch.bus, SCENE_QUEUE);
    alarm(0);
    scene->violations += !sound;
    m->runs++;
    if (!sound && scene->violations <= 20)
        print_error("%s stopped at %llu, %s at %llu, peer: %s, then %s and %s, %s first: %s\n",
                    pair->tracks[0]->script->name, (unsigned long long)pair->stop_at[0], pair->tracks[1]->script->name,
                    (unsigned long long)pair->stop_at[1], pair->peer == PEERS ? "none" : peer_names[pair->peer],
                    pair->kill_it[0] ? "killed" : "gone on", pair->kill_it[1] ? "killed" : "gone on",
                    pair->last_first ? "the second" : "the first", m->audit.text);
    scene_clear(scene);
}

/* A victim that makes no calls of its own but an open, which recovers who died before. */
static int open_and_recover(void *context)
{
    struct scene *scene = context;
    ptq_bus *bus = ptt_scratch_open(&scene->scratch);
    ptq_queue *queue = NULL;

    victim_mark();
    scene->ledger->phase = 1;
    if (ptq_queue_open(bus, SCENE_QUEUE, NULL, &queue) != PTQ_OK)
        return 1;
    scene->ledger->phase = 2;
    return 0;
}

static bool is_for_peers(const struct script *script)
{
    /* Who holds a pack holds all that is in it, and what is acked in it out of order may come again: the ledger knows of messages,
     * not of packs. */
    if (script->options.flags & PTQ_PIPELINE)
        return false;
    /* What sleeps, or waits for due messages, takes long and stops others nowhere else than the calls below. */
    return strncmp(script->name, "sleep", 5) != 0 && strcmp(script->name, "get of what is due") != 0 &&
           strcmp(script->name, "get that buries") != 0 && strcmp(script->name, "put_many of many runs") != 0;
}

static struct meeting meeting;
static struct track tracks[64], recovery;
static size_t track_count;

static int find_tracks(void **state)
{
    (void)state;
    scene_init(&meeting.scene);
    if (!victim_is_possible())
        return 0;
    for (size_t i = 0; i < script_count; i++)
        if (is_for_peers(&scripts[i]))
            tracks[track_count++] = follow(&meeting, &scripts[i], scene_run_victim);
    recovery = follow(&meeting, &scripts[0], open_and_recover);
    return 0;
}

static int drop_tracks(void **state)
{
    (void)state;
    for (size_t i = 0; i < track_count; i++) {
        free(tracks[i].places);
        free(tracks[i].times);
    }
    free(recovery.places);
    free(recovery.times);
    scene_fini(&meeting.scene);
    return 0;
}

static struct plan draw(const struct track *first, const struct track *track, uint64_t *seed)
{
    return (struct plan){.first = first,
                         .track = track,
                         .first_at = first != NULL ? ptt_random(seed) % first->count : 0,
                         .stop_at = ptt_random(seed) % track->count,
                         .peer = ptt_random(seed) % PEERS,
                         .kill_it = ptt_random(seed) % 2 == 0};
}

static void skip_without_steps(void)
{
    if (track_count == 0) {
        print_message("skipped: no single steps here\n");
        skip();
    }
}

static void sum_up(uint64_t least)
{
    print_message("  %llu meetings, %llu violations\n", (unsigned long long)meeting.runs,
                  (unsigned long long)meeting.scene.violations);
    uint64_t violations = meeting.scene.violations, runs = meeting.runs;
    meeting.scene.violations = meeting.runs = 0;
    assert_int_equal(violations, 0);
    assert_true(runs >= least);
}

static void others_go_on_beside_a_stopped_process(void **state)
{
    uint64_t seed = ptt_seed();
    int64_t end = now_ms() + seconds * 1000;

    (void)state;
    skip_without_steps();
    for (uint64_t round = 0; seconds > 0 && now_ms() < end; round++) {
        struct plan plan = draw(NULL, &tracks[round % track_count], &seed);
        meet(&meeting, &plan);
    }
    for (size_t i = 0; seconds == 0 && i < track_count * PEERS * 2; i++) {
        struct plan plan = {.track = &tracks[i / (PEERS * 2)], .peer = i / 2 % PEERS, .kill_it = i % 2 == 0};
        for (; plan.stop_at < plan.track->count; plan.stop_at++)
            meet(&meeting, &plan);
    }
    sum_up(50);
}

/* All along its close, in steps: the block of a lease that another took over meanwhile is in quarantine for nobody. */
static void a_lease_that_runs_out_while_its_holder_closes_leaves_no_block_behind(void **state)
{
    (void)state;
    skip_without_steps();
    for (size_t i = 0; i < track_count; i++) {
        struct plan plan = {.track = &tracks[i], .peer = 1};
        if (strcmp(tracks[i].script->name, "close with what is overdue") != 0)
            continue;
        for (; plan.stop_at < tracks[i].count; plan.stop_at += 1 + tracks[i].count / 100)
            meet(&meeting, &plan);
    }
    sum_up(90);
}

static void two_may_be_stopped_in_each_others_way(void **state)
{
    uint64_t seed = ptt_seed();
    int64_t end = now_ms() + (seconds > 0 ? seconds : 600) * 1000;

    (void)state;
    skip_without_steps();
    while (now_ms() < end) {
        struct pair pair = {.peer = ptt_random(&seed) % (PEERS + 1), .last_first = ptt_random(&seed) % 2 == 0};
        for (int i = 0; i < 2; i++) {
            do
                pair.tracks[i] = &tracks[ptt_random(&seed) % track_count];
            while (i == 1 && pair.tracks[i]->script->options.lease_ms != 0); /* theirs needs a queue with a limit */
            pair.stop_at[i] = ptt_random(&seed) % pair.tracks[i]->count;
            pair.kill_it[i] = ptt_random(&seed) % 3 == 0;
        }
        meet_two(&meeting, &pair);
    }
    sum_up(50);
}

static void others_go_on_beside_a_stopped_recoverer(void **state)
{
    uint64_t seed = ptt_seed();
    int64_t end = now_ms() + (seconds > 0 ? seconds / 2 : 600) * 1000;

    (void)state;
    skip_without_steps();
    for (uint64_t round = 0; now_ms() < end; round++) {
        struct plan plan = draw(&tracks[round % track_count], &recovery, &seed);
        meet(&meeting, &plan);
    }
    sum_up(50);
}

static _Noreturn void tell_of_a_wait(int signal)
{
    static const char text[] = "a peer waits for a stopped process\n";

    (void)signal;
    _exit(write(2, text, sizeof text - 1) > 0 ? 3 : 4);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(others_go_on_beside_a_stopped_process),
                                       cmocka_unit_test(a_lease_that_runs_out_while_its_holder_closes_leaves_no_block_behind),
                                       cmocka_unit_test(two_may_be_stopped_in_each_others_way),
                                       cmocka_unit_test(others_go_on_beside_a_stopped_recoverer)};

    if (argc > 1)
        seconds = atoi(argv[1]);
    signal(SIGALRM, tell_of_a_wait);
    return cmocka_run_group_tests(tests, find_tracks, drop_tracks);
}
