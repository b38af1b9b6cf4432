/* track.c -- the instructions of a script, and the way back to one. */
#include "crash/track.h"

#include <stdlib.h>

static uint32_t times_before(const struct track *track, uint64_t place)
{
    for (uint64_t i = track->count; i-- > 0;)
        if (track->places[i] == place)
            return track->times[i];
    return 0;
}

#define TRACK_MOST 60000

static void init(struct track *track)
{
    track->places = calloc(TRACK_MOST, sizeof *track->places);
    track->times = calloc(TRACK_MOST, sizeof *track->times);
    track->notable = calloc(TRACK_MOST, sizeof *track->notable);
    assert_true(track->places != NULL && track->times != NULL && track->notable != NULL);
}

/* The victim that stands at its mark, to its end. */
static void follow(struct track *track, struct scene *scene, struct victim *victim, bool notes)
{
    while (scene->ledger->phase != 2 && track->count < TRACK_MOST) {
        bool is_call = notes && victim_is_at_call(victim);
        if (is_call && track->count > 0)
            track->notable[track->count - 1] = true;
        if (!victim_step(victim))
            break;
        uint64_t place = victim_place(victim);
        track->times[track->count] = times_before(track, place) + 1;
        track->places[track->count] = place;
        track->notable[track->count++] = notes && (is_call || scene_is_new(scene));
    }
    victim_kill(victim);
}

static struct track follow_script(struct scene *scene, const struct script *script, int (*run)(void *), bool notes)
{
    struct track track = {.script = script, .run = run};
    struct victim victim;

    init(&track);
    scene_set(scene, script);
    victim_start(&victim, run, scene);
    follow(&track, scene, &victim, notes);
    track.blocks = scene->blocks;
    scene_clear(scene);
    return track;
}

struct track track_follow(struct scene *scene, const struct script *script, int (*run)(void *))
{
    return follow_script(scene, script, run, false);
}

struct track track_note(struct scene *scene, const struct script *script, int (*run)(void *))
{
    return follow_script(scene, script, run, true);
}

struct track track_note_recovery(struct scene *scene, const struct track *first)
{
    struct track track = {.script = first->script, .run = track_recover};
    struct victim victim;

    init(&track);
    scene_set(scene, first->script);
    track_die(scene, first, first->count - 1);
    victim_start(&victim, track_recover, scene);
    follow(&track, scene, &victim, true);
    track.blocks = scene->blocks;
    scene_clear(scene);
    return track;
}

void track_bring(struct victim *victim, const struct track *track, uint64_t at, const struct ledger *ledger)
{
    if (victim_run_to(victim, track->places[at], track->times[at], PTQ_FOREVER))
        return;
    while (victim->steps <= at && ledger->phase != 2 && victim_step(victim))
        ;
}

void track_die(struct scene *scene, const struct track *track, uint64_t at)
{
    struct victim victim;

    victim_start(&victim, track->run, scene);
    track_bring(&victim, track, at, scene->ledger);
    victim_kill(&victim);
    scene->ledger->phase = 0;
}

void track_free(struct track *track)
{
    free(track->places);
    free(track->times);
    free(track->notable);
    track->count = 0;
}

int track_recover(void *context)
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
