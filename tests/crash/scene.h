/* scene.h -- a place for a crash: a live queue that the victim works on, and a bus of its own for images of it. */
#ifndef PTQ_TESTS_CRASH_SCENE_H
#define PTQ_TESTS_CRASH_SCENE_H

#include "support/ptt.h"

#include "crash/audit.h"
#include "crash/ledger.h"
#include "crash/step.h"

struct scene;

/* One row of a table: what was before, what the victim does unseen, and the calls at each instruction of which it dies. */
struct script {
    const char *name;
    struct ptq_queue_options options;
    void (*setup)(struct ledger_actor *actor);   /* in this process; its handle is closed after it */
    void (*prepare)(struct ledger_actor *actor); /* in the victim, before its mark; NULL: nothing */
    void (*act)(struct ledger_actor *actor);     /* in the victim: the calls of interest */
    bool opens;                                  /* act opens the queue itself: actor->queue is NULL before */
    bool alone;                                  /* what it is answered hangs on who else is there: no peer beside it */
};
extern const struct script scripts[], scripts_more[], scripts_units[];
extern const size_t script_count, scripts_more_count, scripts_units_count;
const struct script *script_at(size_t index); /* of all; NULL behind the last */
/* May several of its messages have one lease? */
static inline bool script_has_packs(const struct script *script)
{
    return script->options.pack_size != 0 && script->options.flags & (PTQ_PIPELINE | PTQ_EXCLUSIVE);
}

extern ptq_bus *script_bus; /* in the victim: for scripts that open */
extern char script_path[128]; /* and where the queue's file is */

/* In the victim: what it holds as number `which` it has held for longer than the queue allows. */
void scene_make_overdue(const struct ledger_actor *actor, size_t which);

/* As if nobody had looked for the dead for long: so all victims' ways are the same, slow ones' and fast ones'. */
void scene_forget_looks(void);

#define SCENE_QUEUE "q"

struct scene {
    struct ptt_scratch scratch; /* its bus is where the queue lives */
    ptq_bus *image_bus;         /* another run, in which nobody holds a lock */
    const struct script *script, *second;
    struct ledger *ledger;
    uint64_t blocks;
    const unsigned char *live;  /* the queue's file, mapped read-only */
    unsigned char *last;        /* as it was at the last look */
    struct ledger last_ledger;
    size_t size;
    int image_fd;
    char image_path[128];
    /* images seen, by hash */
    uint64_t *seen;
    size_t seen_count, seen_room;
    uint64_t steps, images, violations;
    char text[400];             /* the last violation */
};

void scene_init(struct scene *scene);
void scene_fini(struct scene *scene);

/* Makes the script's queue, sets it up, and measures a sound one; scene_clear removes it. */
void scene_set(struct scene *scene, const struct script *script);
void scene_clear(struct scene *scene);

/* The victim's life: opens, prepares, marks, acts.  The second victim's is that of scene->second, on the same queue. */
int scene_run_victim(void *scene);
int scene_run_second(void *scene);

/* Has the segment or the ledger changed since the last look, to what was not seen before? */
bool scene_is_new(struct scene *scene);
void scene_forget(struct scene *scene); /* everything is new again */

/* Copies segment bytes into the run of images, where nobody holds a lock: everybody in it is dead. */
void scene_put_image(struct scene *scene, const unsigned char *bytes);
void scene_put_live(struct scene *scene, const unsigned char *bytes); /* over the live queue itself */

/* Audits the image that stands there; false: scene->text says what is wrong. */
bool scene_audit_image(struct scene *scene, const struct ledger *ledger);

#endif
