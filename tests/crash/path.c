/* path.c -- ways of victims, instruction by instruction. */
#include "crash/path.h"

#include <stdlib.h>
#include <string.h>

static uint64_t every;

bool path_arguments(int argc, char **argv)
{
    if (argc > 1)
        every = strcmp(argv[1], "all") == 0 ? 1 : strtoull(argv[1], NULL, 10);
    return every != 0;
}

uint64_t path_stride(const struct path *path, uint64_t some)
{
    return every != 0 ? every : path->count / some + 1;
}

void path_step(struct path *path, struct victim *victim, int ms, const _Atomic uint64_t *until)
{
    path->count = 0;
    while (path->count < PATH_MOST && (until == NULL || *until == 0) && victim_step_within(victim, ms)) {
        uint64_t place = victim_place(victim);
        uint32_t times = 1;
        for (uint64_t i = path->count; i-- > 0 && times == 1;)
            if (path->places[i] == place)
                times = path->times[i] + 1;
        if (times > 4)
            continue; /* a turn of a loop like those before */
        path->times[path->count] = times;
        path->places[path->count++] = place;
    }
}

void path_follow(struct path *path, int (*life)(void *), void *context, int ms)
{
    struct victim victim;

    victim_start(&victim, life, context);
    path_step(path, &victim, ms, NULL);
    victim_kill(&victim);
}

bool path_bring(const struct path *path, uint64_t at, struct victim *victim, int (*life)(void *), void *context, int ms)
{
    victim_start(victim, life, context);
    return victim_run_to(victim, path->places[at], path->times[at], ms);
}
