/* path.h -- the instructions of a victim's way, each as "here, for the n-th time": so that another victim can be brought there at full
 * speed, and dies or stands still there.
 *
 * For victims that are not scripts of a scene (track.h): of pools, pipelines, pipes, mail.
 */
#ifndef PTQ_TESTS_CRASH_PATH_H
#define PTQ_TESTS_CRASH_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "crash/step.h"

#define PATH_MOST 60000u

struct path {
    uint64_t count, places[PATH_MOST];
    uint32_t times[PATH_MOST];
};

/* By main: a test that is called with "all" goes to every instruction, with a number to every so many.  True: it is. */
bool path_arguments(int argc, char **argv);

/* Of so many instructions every n-th, so that there are about `some`; or as the arguments say. */
uint64_t path_stride(const struct path *path, uint64_t some);

/* Steps once through `life`, up to its end or a sleep of `ms`, and kills it.  Of a loop the first four turns. */
void path_follow(struct path *path, int (*life)(void *), void *context, int ms);

/* The same of a victim that stands at its mark, and is not killed; where `until` is not NULL, only until that word is not 0. */
void path_step(struct path *path, struct victim *victim, int ms, const _Atomic uint64_t *until);

/* Starts another one and brings it there.  False: its way was another this time, and it is over, or asleep for `ms` (then it was killed). */
bool path_bring(const struct path *path, uint64_t at, struct victim *victim, int (*life)(void *), void *context, int ms);

#endif
