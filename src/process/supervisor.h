/* supervisor.h -- keeps a number of children running: starts, watches, starts again with back-off, gives up, ends them.
 *
 * It has no thread: somebody calls tend, at the latest when `fd` is readable.  One thread at a time.
 *
 * Life of a slot:  start -> RUNNING -> exit status 0, or that is not to be had and it said that it leaves (status.h): it has left, and
 *                                      stays so; or wants a successor, which is started at once
 *                                   -> anything else: it died; started again at once if it had finished a piece of work
 *                                      since it was started (status.h), else after a pause that doubles; after
 *                                      crash_limit deaths in a row without work, or with no_respawn, it is given up.
 * Where there is a `judge`, he says which of these it was.
 */
#ifndef PTQ_PROCESS_SUPERVISOR_H
#define PTQ_PROCESS_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "process/child.h"
#include "process/status.h"

struct pti_supervisor;

/* What the end of a child means. */
enum pti_exited {
    PTI_EXITED_LEFT,   /* it has left, and stays so */
    PTI_EXITED_DIED,   /* start it again as below, or give it up */
    PTI_EXITED_AGAIN,  /* start another at once: nothing went wrong */
    PTI_EXITED_GIVE_UP
};

struct pti_supervisor_options {
    const char *path;     /* as pti_spawn */
    char *const *argv;    /* copied; a child also gets slot=<n>, status=<descriptor> and tether=<descriptor> */
    unsigned count;
    unsigned crash_limit; /* 0: 10 */
    int pause_ms;         /* the first pause; 0: 20 */
    int pause_max_ms;     /* 0: 2000 */
    bool no_respawn;
    /* Of a child that is about to be killed for its time is over, or that has died, before it is started again.  May be NULL. */
    void (*mourn)(void *context, struct pti_supervisor *supervisor, unsigned slot, bool overdue);
    void *mourner;
    const int *keep;      /* descriptors that its children inherit besides, at most 4; copied */
    unsigned keep_count;
    /* Called in tend, end and free for each child that has ended; NULL: as told above. */
    enum pti_exited (*judge)(void *context, unsigned slot, const struct pti_exit *how);
    void *context;
    bool limits;          /* its children use watchdog.h: each also gets alarm=<descriptor>, and one that is stopped, or too ill to end
                           * itself, is killed when its time is over */
};

/* What happened during a tend. */
struct pti_supervisor_news {
    unsigned died; /* ended otherwise than by leaving */
    unsigned left;
    unsigned started;
    unsigned overdue; /* killed by us, for the time of their section was over */
};

/* Starts all children.  0 or an errno; then nothing is left running. */
int pti_supervisor_new(const struct pti_supervisor_options *options, struct pti_supervisor **ret_supervisor);

/* Looks at every child, and starts those whose time has come. */
struct pti_supervisor_news pti_supervisor_tend(struct pti_supervisor *supervisor);

/* Readable when tend has something to do. */
int pti_supervisor_fd(const struct pti_supervisor *supervisor);

/* Nobody will tend it any more: from now on the descriptor is readable, for whoever sleeps on it, until tend or end. */
void pti_supervisor_rouse(struct pti_supervisor *supervisor);

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
bool pti_supervisor_was_overdue(const struct pti_supervisor *supervisor, unsigned slot); /* its last child was killed for that */
struct pti_status *pti_supervisor_status(const struct pti_supervisor *supervisor, unsigned slot);

/* Asks those that run to leave; those that pause are started now, and not later: what started them tells them to leave. */
void pti_supervisor_ask(struct pti_supervisor *supervisor);

/* Sends a signal to all that run, or to one of them, if it runs.  No child is started any more after an `end_all`. */
void pti_supervisor_end_all(struct pti_supervisor *supervisor, int signal);
void pti_supervisor_signal(struct pti_supervisor *supervisor, unsigned slot, int signal);

/* Ends all: asks, sends SIGTERM when `polite_ms` have passed, and SIGKILL after as long again; waits for the end of each.
 * No child is started any more. */
void pti_supervisor_end(struct pti_supervisor *supervisor, int polite_ms);

/* Ends what still runs at once, and frees.  NULL is fine. */
void pti_supervisor_free(struct pti_supervisor *supervisor);

#endif
