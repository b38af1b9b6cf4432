/* alive.h -- an image in which somebody lives: the locks that the victim holds on the live queue, held on the image of it.
 *
 * What others can see of a stopped process is the segment's bytes and its locks.  So what they do beside it can be tried on as
 * many copies as one likes, of each instruction; and letting go of the locks is its death.
 */
#ifndef PTQ_TESTS_CRASH_ALIVE_H
#define PTQ_TESTS_CRASH_ALIVE_H

#include <fcntl.h>

#include "crash/scene.h"

#define ALIVE_MOST 32u

struct alive {
    struct flock locks[ALIVE_MOST];
    size_t count;
    int fd; /* on the image; -1: dead */
};

/* Whoever holds a lock on the scene's live queue now. */
void alive_look(struct alive *alive, const struct scene *scene);

/* They live in the image; they are dead. */
void alive_raise(struct alive *alive, const struct scene *scene);
void alive_kill(struct alive *alive);

#endif
