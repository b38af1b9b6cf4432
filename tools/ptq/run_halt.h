/* run_halt.h -- when ptq pool run gives up: --halt, and the figures that decide. */
#ifndef PTQ_TOOL_RUN_HALT_H
#define PTQ_TOOL_RUN_HALT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum run_halt_when { RUN_HALT_NEVER = 0, RUN_HALT_SOON = 1 /* begin no more */, RUN_HALT_NOW = 2 /* and end those that run */ };
enum run_halt_why { RUN_HALT_FAIL, RUN_HALT_SUCCESS, RUN_HALT_DONE };

struct run_halt {
    enum run_halt_when when;
    enum run_halt_why why;
    uint32_t count;
    bool percent; /* of what is done, once RUN_HALT_LEAST are */
};

enum { RUN_HALT_LEAST = 3 };

/* Reads "never", or "soon" or "now", ",fail=" or ",success=" or ",done=", and a number or a percentage.  false: it is none of these. */
bool run_halt_read(const char *text, struct run_halt *ret_halt);

/* Shared by the run and its workers: figures of the jobs that have ended, in any order. */
struct run_figures {
    struct run_halt halt; /* written before workers begin */
    atomic_uint_fast64_t done, failed;
    atomic_int halted;    /* enum run_halt_when */
    atomic_int halt_code; /* the exit status of the job that decided */
};

/* Counts a job that ended with `code` (0: well).  Returns what it has decided, once; else RUN_HALT_NEVER. */
enum run_halt_when run_figures_count(struct run_figures *figures, int code);

#endif
