/* line.h -- a pipeline as its own files see it: pools in a row, and relays that hand on between them.
 *
 *   pipeline.c   open, start, close          relay.c   from one level to the next
 *   flow.c       in and out, and both         line.c   what goes from stage to stage: entries, and groups of results
 *   report.c     figures, and advice          tune.c   more workers, or fewer        export.c, svg.c   who did what when
 *
 * Stages that stand beside each other are one level; all their pools get the same entries under the same tickets.  A group is what stands at
 * one ticket of all pools of a level.  Who holds the getter's claim of a level's first pool is the only one who submits to the next level.
 *
 * Laws of a relay, which hands on group by group:
 *   1. Before the first entry of a group is submitted to a pool, the note beside that pool says of which ticket the group is, and
 *      which ticket its first entry will get.  Tickets are drawn by nobody else: so whoever takes over knows how many of them are in.
 *   2. All entries of a group are in all pools of the next level before the first of its results is done.
 *   3. Its results are done in the order of the stages: so a result that is behind that of the first stage was handed on.
 */
#ifndef PTQ_POOL_LINE_H
#define PTQ_POOL_LINE_H

#include <pthread.h>

#include <ptq/pipeline.h>
#include <ptq/worker.h>

#include "base/atomic.h"
#include "pool/pool.h"

struct pti_line_stage {
    struct ptq_stage is; /* its texts are owned */
    struct ptq_spawn_options spawn;
    char *pool_name;
    ptq_pool *pool;
    unsigned level;
    struct pti_roster notes; /* of relays, beside its pool */
};

struct pti_level {
    unsigned first, count; /* of the stages */
};

/* What stands at one ticket of the pools of a level. */
struct pti_group {
    ptq_result *results[PTQ_BESIDE_MAX];
    unsigned count;  /* those that are there, from the first on */
    bool ends;       /* the first pool has ended */
};

/* One thing that goes on from a stage. */
struct pti_entry {
    enum ptq_result_kind kind;
    unsigned stage;        /* that gave it, or whose error it is */
    bool skip;             /* a place that is kept beside a marker: nothing */
    uint64_t input;
    const void *data;      /* of a job or a marker */
    size_t size;
    struct pti_result error;
};

/* Reads the entries of a group, one by one.  Begin with {0}. */
struct pti_reader {
    unsigned result;
    size_t offset;
};

struct pti_relay {
    struct ptq_pipeline *line;
    unsigned level;        /* hands on from here to the next */
    pthread_t thread;
    bool started;
    _Atomic uint32_t ended;
    bool knows;            /* what the next tickets are: */
    uint64_t next[PTQ_BESIDE_MAX];
    struct pti_group group;
    unsigned char *marker; /* room for one */
};

struct ptq_pipeline {
    ptq_bus *bus;
    char name[PTQ_NAME_MAX + 1];
    uint32_t generation;
    struct pti_line_stage *stages;
    unsigned stage_count;
    struct pti_level *levels;
    unsigned level_count;
    struct pti_relay *relays;      /* level_count - 1 */
    uint64_t record, total;      /* as opened */
    uint32_t marker_size;        /* bytes in the largest marker, with its head */
    struct pti_tuner *tuner;     /* NULL: the numbers of workers are fixed */
    bool started;
    _Atomic uint32_t closing, aborted;
    _Atomic uint32_t failed;     /* enum ptq_err: a relay cannot go on; */
    _Atomic uint32_t failed_stage;
    _Atomic uint32_t getting;    /* one thread at a time: what follows is its own */
    struct pti_group group;
    struct pti_reader reader;
    bool has_output;
};

/* pipeline.c: how workers of a stage are started. */
struct ptq_spawn_options pti_line_spawn_options(const ptq_pipeline *line, const struct pti_line_stage *stage);

/* tune.c */
enum ptq_err pti_tuner_start(ptq_pipeline *line);
void pti_tuner_stop(ptq_pipeline *line);

/* line.c */

/* Fills a group of `level`, as ptq_pool_get.  PTQ_END: all its pools have ended.  What is there stays for the next call. */
enum ptq_err pti_group_take(ptq_pipeline *line, unsigned level, struct pti_group *group, int64_t deadline);
/* All its results are done. */
enum ptq_err pti_group_done(struct pti_group *group);
uint64_t pti_group_ticket(const struct pti_group *group);
/* The next entry.  False: that was the last. */
bool pti_group_read(ptq_pipeline *line, unsigned level, const struct pti_group *group, struct pti_reader *reader,
                    struct pti_entry *ret_entry);
/* Writes a marker that carries an entry on; at most `room` bytes, which are PTI_LINE_MARKER_LEAST at least.  Returns how many. */
size_t pti_entry_write_marker(unsigned char *to, size_t room, const struct pti_entry *entry);
#define PTI_LINE_MARKER_HEAD 32u
#define PTI_LINE_MARKER_LEAST 1024u

/* report.c: by what an input costs each stage.  The slowest stage with so many workers each; how many each should have, of so many. */
unsigned pti_advice_slowest(const double *work_ns, unsigned count, const unsigned *workers);
void pti_advice_distribute(const double *work_ns, unsigned count, unsigned workers, unsigned *ret_workers);

/* relay.c */
enum ptq_err pti_relay_start(struct pti_relay *relay);
void pti_relay_stop(struct pti_relay *relay);
/* PTQ_OK, or why the pipeline cannot go on. */
enum ptq_err pti_line_failure(ptq_pipeline *line);
enum ptq_err pti_line_check(const ptq_pipeline *line);

/* describe.c: asks the stages, of which the names are right, and fills in sizes that they do not say.  `input`: the text form of a spec, or
 * NULL. */
#define PTI_LINE_SIZE_ROOM 48u /* of an item for where it comes from; of an output for its head, what it is padded with, and the head of the next */
#define PTI_LINE_SIZE_MAX (PTQ_POOL_ITEM_MAX - PTI_LINE_SIZE_ROOM)
enum ptq_err pti_line_describe(struct ptq_stage *stages, size_t count, const char *input, struct ptq_error *error);

#endif
