/* supervisor.h -- keeps a number of children running: starts, watches, starts again with back-off, gives up, ends them.
 *
 * It has no thread: somebody calls tend, at the latest when `fd` is readable.  One thread at a time.
 *
 * Life of a slot:  start -> RUNNING -> exit status 0: it has left, and stays so
 *                                   -> anything else: it died; started again at once if it had finished a piece of work
 *                                      since it was started (status.h), else after a pause that doubles; after
 *                                      crash_limit deaths in a row without work it is given up.
 */
#ifndef PTQ_PROCESS_SUPERVISOR_H
#define PTQ_PROCESS_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "process/child.h"
#include "process/status.h"

struct pti_supervisor;

struct pti_supervisor_options {
    const char *path;     /* as pti_spawn */
    char *const *argv;    /* copied; a child also gets slot=<n>, status=<descriptor> and tether=<descriptor> */
    unsigned count;
    unsigned crash_limit; /* 0: 10 */
    int pause_ms;         /* the first pause; 0: 20 */
    int pause_max_ms;     /* 0: 2000 */
    bool no_respawn;
};

/* What happened during a tend. */
struct pti_supervisor_news {
    unsigned died; /* ended otherwise than by leaving */
    unsigned left;
    unsigned started;
};

/* Starts all children.  0 or an errno; then nothing is left running. */
int pti_supervisor_new(const struct pti_supervisor_options *options, struct pti_supervisor **ret_supervisor);

/* Looks at every child, and starts those whose time has come. */
struct pti_supervisor_news pti_supervisor_tend(struct pti_supervisor *supervisor);

/* Readable when tend has something to do. */
int pti_supervisor_fd(const struct pti_supervisor *supervisor);

/* Children that run; that run or will run; has every one been given up or left, and at least one given up? */
unsigned pti_supervisor_running(const struct pti_supervisor *supervisor);
bool pti_supervisor_is_alive(const struct pti_supervisor *supervisor);
bool pti_supervisor_has_failed(const struct pti_supervisor *supervisor);
unsigned pti_supervisor_deaths(const struct pti_supervisor *supervisor);

/* Is this process the one that made it? In a forked copy nothing but free does anything. */
bool pti_supervisor_is_ours(const struct pti_supervisor *supervisor);

/* Slot by slot, for displays and explanations. */
unsigned pti_supervisor_count(const struct pti_supervisor *supervisor);
const struct pti_child *pti_supervisor_child(const struct pti_supervisor *supervisor, unsigned slot);
struct pti_status *pti_supervisor_status(const struct pti_supervisor *supervisor, unsigned slot);

/* Ends all: asks, sends SIGTERM when `polite_ms` have passed, and SIGKILL after as long again; waits for the end of each.
 * No child is started any more. */
void pti_supervisor_end(struct pti_supervisor *supervisor, int polite_ms);

/* Ends what still runs at once, and frees.  NULL is fine. */
void pti_supervisor_free(struct pti_supervisor *supervisor);

#endif
