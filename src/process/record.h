/* record.h -- what a supervised process and its parent know of it: one piece of memory, an unnamed file that both map.
 *
 *   struct pti_record | input | checkpoint, twice | result, twice
 *
 * The parent makes it and the processes of the handle, one after the other, inherit it; so it outlives each of them.
 * Every field is written by one side at a time: the parent before it starts a child and after that has ended, the child
 * in between, but for `stop`.  A child may be killed at any instruction.  Law: what is more than a word is written
 * beside what counts, and a word makes it count.  The parent believes no size and no number in it unchecked, and no
 * place at all: it has its own copy of those (struct pti_places).
 */
#ifndef PTQ_PROCESS_RECORD_H
#define PTQ_PROCESS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/process.h>

#include "base/atomic.h"
#include "process/timer.h"

/* Bytes that are replaced as a whole: two places, and which of them counts. */
struct pti_twin {
    _Atomic uint64_t turn; /* 0: never written; the place is turn % 2 */
    _Atomic uint64_t size[2];
};

/* Where they are. */
struct pti_place {
    uint64_t offset; /* of the first; the second follows */
    uint64_t room;   /* of each */
};

struct pti_places {
    uint64_t size, input; /* of all; where the input begins */
    struct pti_place checkpoint, result;
};

struct pti_failure {
    uint32_t code, section, cause;
    int32_t timeout_ms;
    uint64_t run;
    char text[500];
};

/* The same for a failure. */
struct pti_failures {
    _Atomic uint64_t turn;
    struct pti_failure place[2];
};

enum pti_phase {
    PTI_PHASE_RUNNING = 0,
    PTI_PHASE_FINISHING = 1, /* onfinish is next, or has begun */
    PTI_PHASE_ERROR = 2      /* the error hook is next, or has begun */
};

enum pti_outcome {
    PTI_OUTCOME_NONE = 0,
    PTI_OUTCOME_RESULT = 1,
    PTI_OUTCOME_ERROR = 2
};

#define PTI_CPU_LIST_MAX 256

struct pti_record {
    /* The parent, once. */
    struct pti_places places; /* for the child */
    uint64_t input_size;
    uint64_t runs, recycle_runs, recycle_bytes;
    int64_t join_in_ns; /* 0: none */
    int64_t grace_ns;
    int32_t timeout_ms[PTQ_SECTIONS];
    uint32_t slot;
    char cpus[PTI_CPU_LIST_MAX]; /* "": any */
    /* Both. */
    _Atomic uint32_t stop;
    _Atomic uint32_t phase, outcome;
    _Atomic uint32_t lives;
    _Atomic uint32_t restarts;
    /* The child. */
    _Atomic int64_t started_ns;   /* when the first of its processes began, by the host's clock */
    _Atomic uint32_t section;
    _Atomic uint32_t recycle;     /* it leaves to be started again */
    _Atomic uint32_t overdue;     /* it is about to kill itself: the limit of this section has passed */
    _Atomic int64_t since_ns;     /* of the section, by the host's clock */
    _Atomic uint64_t runs_done;
    struct pti_twin checkpoint, result;
    struct pti_failures failure, second; /* second: of the error hook */
    struct pti_times times[PTQ_SECTIONS];
};

/* 0 or an errno; all memory is there.  *ret_fd is close-on-exec. */
int pti_record_new(size_t input_size, size_t checkpoint_size, size_t result_size, struct pti_places *ret_places, int *ret_fd,
                   struct pti_record **ret_record);
void pti_record_free(const struct pti_places *places, int fd, struct pti_record *record); /* `record` NULL: nothing */
/* The child's side: maps the inherited one, and makes `fd` close-on-exec. */
int pti_record_join(int fd, struct pti_record **ret_record);

/* False: too large.  read: NULL if never written (or nonsense stands there). */
bool pti_twin_write(struct pti_record *record, struct pti_twin *twin, const struct pti_place *place, const void *data, size_t size);
const void *pti_twin_read(const struct pti_record *record, const struct pti_twin *twin, const struct pti_place *place,
                          size_t *ret_size);

void pti_failure_note(struct pti_failures *failures, const struct pti_failure *failure);
/* False: none.  May be called while the other side notes one. */
bool pti_failure_get(const struct pti_failures *failures, struct pti_failure *ret_failure);

#endif
