/* test_stops.c -- a victim, or two, stopped at an instruction, alive and holding its lock: others go on at once.
 *
 * Then it is killed, or goes on to its end, and everything is audited together: what the peer put and got meanwhile, what
 * the victim had been promised, and what is left.
 *     crash_stops [SECONDS [FIRST SECOND]]: how long each; with 0 every instruction of every script and every peer, once.
 *     FIRST and SECOND, of two at once: none but these scripts, to find again what was seen between them.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crash/meeting.h"
#include "crash/track.h"

static int seconds = 4;
static const char *names[2]; /* NULL: any */

struct table {
    struct scene scene;
    struct meeting meeting;
    uint64_t runs;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- one meeting */

struct plan {
    const struct track *first; /* NULL: nobody dies before */
    const struct track *track;
    uint64_t first_at, stop_at;
    size_t peer;
    bool kill_it;
};

static void set_table(struct table *m, const struct script *script, uint64_t blocks)
{
    struct scene *scene = &m->scene;

    scene->blocks = blocks;
    scene_set(scene, script);
    meeting_begin(&m->meeting, script, scene->ledger, blocks);
    assert_ok(ptq_queue_open(scene->scratch.bus, SCENE_QUEUE, NULL, &m->meeting.peer.queue));
}

static void describe(const struct table *m, const struct plan *plan, char *text, size_t size)
{
    snprintf(text, size, "%s%s (%llu), stopped at %llu of call %u, peer: %s, then %s", plan->first != NULL ? "recovery of " : "",
             (plan->first != NULL ? plan->first : plan->track)->script->name, (unsigned long long)plan->first_at,
             (unsigned long long)plan->stop_at, m->scene.ledger->calls, meeting_peers[plan->peer], plan->kill_it ? "killed" : "gone on");
}

/* What is under way, for whoever waits too long. */
static char now_met[400];

static _Noreturn void tell_of_a_wait(int signal)
{
    static const char text[] = ": a peer waits for a stopped process\n";

    (void)signal;
    _exit(write(2, now_met, strlen(now_met)) > 0 && write(2, text, sizeof text - 1) > 0 ? 3 : 4);
}

static void meet(struct table *m, const struct plan *plan)
{
    const struct track *setting = plan->first != NULL ? plan->first : plan->track;
    struct scene *scene = &m->scene;
    struct victim victim;

    set_table(m, setting->script, setting->blocks);
    if (plan->first != NULL)
        track_die(scene, plan->first, plan->first_at);
    m->meeting.audit.dead_before = plan->first != NULL;
    victim_start(&victim, plan->track->run, scene);
    track_bring(&victim, plan->track, plan->stop_at, scene->ledger);
    m->meeting.audit.dead_before |= victim.over;
    describe(m, plan, now_met, sizeof now_met);
    alarm(30); /* a peer that waits for the stopped one ends here */
    bool sound = meeting_go(&m->meeting, plan->peer);
    if (plan->kill_it)
        victim_kill(&victim);
    else
        victim_finish(&victim);
    ptq_queue_close(m->meeting.peer.queue);
    if (sound)
        sound = audit_queue(&m->meeting.audit, scene->scratch.bus, SCENE_QUEUE);
    alarm(0);
    scene->violations += !sound;
    m->runs++;
    if (!sound && scene->violations <= 20)
        print_error("%s: %s\n", now_met, m->meeting.audit.text);
    scene_clear(scene);
}

/* ---- two at once: each is stopped somewhere in the other's way */

struct pair {
    const struct track *tracks[2];
    uint64_t stop_at[2];
    size_t peer;
    bool kill_it[2], last_first;
};

static void describe_pair(const struct pair *pair, char *text, size_t size)
{
    snprintf(text, size, "%s stopped at %llu, %s at %llu, peer: %s, then %s and %s, %s first", pair->tracks[0]->script->name,
             (unsigned long long)pair->stop_at[0], pair->tracks[1]->script->name, (unsigned long long)pair->stop_at[1],
             pair->peer == MEETING_PEERS ? "none" : meeting_peers[pair->peer], pair->kill_it[0] ? "killed" : "gone on",
             pair->kill_it[1] ? "killed" : "gone on", pair->last_first ? "the second" : "the first");
}

static void go_on(struct victim *victim, bool kill_it)
{
    if (kill_it)
        victim_kill(victim);
    else
        victim_finish(victim);
}

static void meet_two(struct table *m, const struct pair *pair)
{
    struct scene *scene = &m->scene;
    struct victim victims[2];

    scene->second = pair->tracks[1]->script;
    set_table(m, pair->tracks[0]->script, pair->tracks[0]->blocks);
    victim_start(&victims[0], scene_run_victim, scene);
    track_bring(&victims[0], pair->tracks[0], pair->stop_at[0], scene->ledger);
    victim_start(&victims[1], scene_run_second, scene);
    track_bring(&victims[1], pair->tracks[1], pair->stop_at[1], scene->ledger);
    m->meeting.audit.dead_before = victims[0].over || victims[1].over;
    m->meeting.audit.two_deaths = victims[0].over && victims[1].over;
    describe_pair(pair, now_met, sizeof now_met);
    alarm(30);
    bool sound = pair->peer == MEETING_PEERS || meeting_go(&m->meeting, pair->peer); /* as many again: no peer */
    go_on(&victims[pair->last_first], pair->kill_it[pair->last_first]);
    go_on(&victims[!pair->last_first], pair->kill_it[!pair->last_first]);
    ptq_queue_close(m->meeting.peer.queue);
    if (sound)
        sound = audit_queue(&m->meeting.audit, scene->scratch.bus, SCENE_QUEUE);
    alarm(0);
    scene->violations += !sound;
    m->runs++;
    if (!sound && scene->violations <= 20)
        print_error("%s: %s\n", now_met, m->meeting.audit.text);
    scene_clear(scene);
}

static struct table table;
static struct track tracks[96], recovery;
static size_t track_count;

static int find_tracks(void **state)
{
    (void)state;
    scene_init(&table.scene);
    if (!victim_is_possible())
        return 0;
    const struct script *script;
    for (size_t i = 0; (script = script_at(i)) != NULL; i++)
        if (meeting_is_for(script))
            tracks[track_count++] = track_follow(&table.scene, script, scene_run_victim);
    for (size_t i = 0; i < track_count; i++)
        if (strcmp(tracks[i].script->name, "get of what comes again") == 0)
            recovery = track_note_recovery(&table.scene, &tracks[i]);
    assert_true(recovery.count > 0);
    return 0;
}

static int drop_tracks(void **state)
{
    (void)state;
    for (size_t i = 0; i < track_count; i++)
        track_free(&tracks[i]);
    track_free(&recovery);
    scene_fini(&table.scene);
    return 0;
}

static struct plan draw(const struct track *first, const struct track *track, uint64_t *seed)
{
    return (struct plan){.first = first,
                         .track = track,
                         .first_at = first != NULL ? ptt_random(seed) % first->count : 0,
                         .stop_at = ptt_random(seed) % track->count,
                         .peer = ptt_random(seed) % MEETING_PEERS,
                         .kill_it = ptt_random(seed) % 2 == 0};
}

static void skip_without_steps(void)
{
    if (track_count == 0) {
        print_message("skipped: no single steps here\n");
        skip();
    }
}

#define LEAST 50 /* meetings, however busy the machine is */

static bool goes_on(int64_t end) { return now_ms() < end || table.runs < LEAST; }

static void sum_up(uint64_t least)
{
    print_message("  %llu meetings, %llu violations\n", (unsigned long long)table.runs,
                  (unsigned long long)table.scene.violations);
    uint64_t violations = table.scene.violations, runs = table.runs;
    table.scene.violations = table.runs = 0;
    assert_int_equal(violations, 0);
    assert_true(runs >= least);
}

static void others_go_on_beside_a_stopped_process(void **state)
{
    uint64_t seed = ptt_seed();
    int64_t end = now_ms() + seconds * 1000;

    (void)state;
    skip_without_steps();
    for (uint64_t round = 0; seconds > 0 && goes_on(end); round++) {
        struct plan plan = draw(NULL, &tracks[round % track_count], &seed);
        meet(&table, &plan);
    }
    for (size_t i = 0; seconds == 0 && i < track_count * MEETING_PEERS * 2; i++) {
        struct plan plan = {.track = &tracks[i / (MEETING_PEERS * 2)], .peer = i / 2 % MEETING_PEERS, .kill_it = i % 2 == 0};
        for (; plan.stop_at < plan.track->count; plan.stop_at++)
            meet(&table, &plan);
    }
    sum_up(LEAST);
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
            meet(&table, &plan);
    }
    sum_up(90);
}

/* With packs two holders' acks overtake each other, which the ledger, of messages, cannot tell; a second one's script with a
 * limit needs a queue with a limit. */
static bool may_meet(const struct script *script, int which)
{
    if (names[which] != NULL && strcmp(script->name, names[which]) != 0)
        return false;
    return !script_has_packs(script) && (which == 0 || script->options.lease_ms == 0);
}

static bool may_any_meet(int which)
{
    for (size_t i = 0; i < track_count; i++)
        if (may_meet(tracks[i].script, which))
            return true;
    return false;
}

static void two_may_be_stopped_in_each_others_way(void **state)
{
    uint64_t seed = ptt_seed();
    int64_t end = now_ms() + (seconds > 0 ? seconds : 600) * 1000;

    (void)state;
    skip_without_steps();
    assert_true(may_any_meet(0) && may_any_meet(1)); /* else a name is wrong */
    while (goes_on(end)) {
        struct pair pair = {.peer = ptt_random(&seed) % (MEETING_PEERS + 1), .last_first = ptt_random(&seed) % 2 == 0};
        for (int i = 0; i < 2; i++) {
            do
                pair.tracks[i] = &tracks[ptt_random(&seed) % track_count];
            while (!may_meet(pair.tracks[i]->script, i));
            pair.stop_at[i] = ptt_random(&seed) % pair.tracks[i]->count;
            pair.kill_it[i] = ptt_random(&seed) % 3 == 0;
        }
        meet_two(&table, &pair);
    }
    sum_up(LEAST);
}

/* W16 */
static void others_go_on_beside_a_stopped_recoverer(void **state)
{
    uint64_t seed = ptt_seed();
    int64_t end = now_ms() + (seconds > 0 ? seconds / 2 : 600) * 1000;

    (void)state;
    skip_without_steps();
    for (uint64_t round = 0; goes_on(end); round++) {
        struct plan plan = draw(&tracks[round % track_count], &recovery, &seed);
        meet(&table, &plan);
    }
    sum_up(LEAST);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(others_go_on_beside_a_stopped_process),
                                       cmocka_unit_test(a_lease_that_runs_out_while_its_holder_closes_leaves_no_block_behind),
                                       cmocka_unit_test(two_may_be_stopped_in_each_others_way),
                                       cmocka_unit_test(others_go_on_beside_a_stopped_recoverer)};

    if (argc > 1)
        seconds = atoi(argv[1]);
    if (argc > 3) {
        names[0] = argv[2];
        names[1] = argv[3];
    }
    cmocka_set_test_filter(getenv("PTT_FILTER"));
    signal(SIGALRM, tell_of_a_wait);
    return cmocka_run_group_tests(tests, find_tracks, drop_tracks);
}
