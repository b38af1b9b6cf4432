/* track.h -- the instructions of a script: where each stands, so that another victim can be brought there at full speed. */
#ifndef PTQ_TESTS_CRASH_TRACK_H
#define PTQ_TESTS_CRASH_TRACK_H

#include "crash/scene.h"

struct track {
    const struct script *script;
    int (*run)(void *);
    uint64_t blocks, count;
    uint64_t *places; /* of each instruction */
    uint32_t *times;  /* and how often it was there by then, this time included */
    bool *notable;    /* track_note: others could see something new there, or it stood before or behind a call of the kernel */
};

/* Steps once through it.  The scene is clear before and after. */
struct track track_follow(struct scene *scene, const struct script *script, int (*run)(void *));
struct track track_note(struct scene *scene, const struct script *script, int (*run)(void *));

/* Of who opens the queue, which recovers one who died at the end of `first`; noted as well. */
struct track track_note_recovery(struct scene *scene, const struct track *first);
void track_free(struct track *track);

/* Brings a victim that has been started to instruction `at`: by a breakpoint; where there are none, by steps.  Now and then its
 * way is another, as when somebody has just looked for the dead; then it may run to its end, and is dead. */
void track_bring(struct victim *victim, const struct track *track, uint64_t at, const struct ledger *ledger);

/* Dies at an instruction before the victim comes: for victims that recover. */
void track_die(struct scene *scene, const struct track *track, uint64_t at);

/* A victim that makes no calls of its own but an open, which recovers who died before. */
int track_recover(void *scene);

#endif
