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

struct track track_follow(struct scene *scene, const struct script *script, int (*run)(void *))
{
    struct track track = {.script = script, .run = run};
    struct victim victim;

    track.places = calloc(TRACK_MOST, sizeof *track.places);
    track.times = calloc(TRACK_MOST, sizeof *track.times);
    assert_true(track.places != NULL && track.times != NULL);
    scene_set(scene, script);
    victim_start(&victim, run, scene);
    while (scene->ledger->phase != 2 && track.count < TRACK_MOST && victim_step(&victim)) {
        uint64_t place = victim_place(&victim);
        track.times[track.count] = times_before(&track, place) + 1;
        track.places[track.count++] = place;
    }
    victim_kill(&victim);
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

void track_free(struct track *track)
{
    free(track->places);
    free(track->times);
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
