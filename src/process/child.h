/* child.h -- one child process: started with a tether, asked to leave, signalled, reaped, its end kept.
 *
 * The tether is a socket pair.  The child's end is watched by a thread of the child (tether.h): a byte asks it to leave when
 * it has finished what it does; end of file says that the parent is gone, and the child ends at once.
 */
#ifndef PTQ_PROCESS_CHILD_H
#define PTQ_PROCESS_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "os/spawn.h"

enum pti_child_state {
    PTI_CHILD_NONE = 0, /* never started */
    PTI_CHILD_RUNNING,
    PTI_CHILD_ENDED
};

/* All zero is a child that was never started. */
struct pti_child {
    enum pti_child_state state;
    pid_t pid;
    int pidfd;          /* while RUNNING */
    int tether;         /* our end, while RUNNING */
    bool asked;
    int64_t started_ns;
    struct pti_exit how; /* when ENDED */
};

/* Starts `path` with `argv` and one argument more, "tether=<descriptor>".  `keep` descriptors stay open.  0 or an errno. */
int pti_child_start(struct pti_child *child, const char *path, char *const *argv, const int *keep, unsigned keep_count);

/* Asks it to finish what it does and leave.  Idempotent. */
void pti_child_ask(struct pti_child *child);

void pti_child_signal(struct pti_child *child, int signal);

/* Looks whether it has ended; true when it just did: state is ENDED, its descriptors are closed. */
bool pti_child_look(struct pti_child *child);

#endif
