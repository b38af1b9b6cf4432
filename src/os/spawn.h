/* spawn.h -- starting another program and learning of its end: by descriptor, never by a bare pid.
 *
 * Not posix_spawn, for one reason: it cannot make the child die with its parent (PR_SET_PDEATHSIG), and a program that
 * knows nothing of ptq cannot do it for itself.
 */
#ifndef PTQ_OS_SPAWN_H
#define PTQ_OS_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* What the child is.  Descriptors it does not name are closed by their own O_CLOEXEC. */
struct pti_spawn {
    const char *path;        /* absolute; "/proc/self/exe" is this program, even when its file was replaced */
    char *const *argv;       /* ends with NULL */
    char *const *envp;       /* ends with NULL; NULL: this process's */
    int in, out;             /* become descriptors 0 and 1; -1: this process's */
    int err;                 /* becomes descriptor 2; 0 or -1: this process's */
    const int *keep;         /* stay open under their numbers */
    unsigned keep_count;
    bool own_group;          /* it leads a process group of its own: its pid is that of the group */
    int death_signal;        /* sent to the child when the *thread* that calls this ends; 0: none */
};

/* How a process ended. */
struct pti_exit {
    bool known;       /* false: somebody else reaped it, or SIGCHLD is ignored */
    bool signaled;
    bool core;
    int code;         /* exit status, or the signal's number */
    struct rusage usage;
};

/* Starts it, with default signal actions and an empty mask.  0, or an errno: also when exec failed.  On success
 * *ret_pidfd is open-on-success, close-on-exec, readable when the process has ended. */
int pti_spawn(const struct pti_spawn *spawn, pid_t *ret_pid, int *ret_pidfd);

/* Has it ended?  Reaps it if so: true once, with *ret_exit.  Does not wait. */
bool pti_spawn_reap(int pidfd, struct pti_exit *ret_exit);

/* Waits for its end and reaps it. EINTR is not an answer. */
void pti_spawn_wait(int pidfd, struct pti_exit *ret_exit);

/* Sends a signal to that very process. 0 or an errno (ESRCH: it has ended). */
int pti_spawn_signal(int pidfd, int signal);

/* Is this the thread that ends last?  A death signal is of no use to children of any other. */
bool pti_is_main_thread(void);

/* What ps shows, up to 15 bytes: a program started as /proc/self/exe would be called "exe". */
void pti_name_process(const char *name);

/* "exit status 3" or "signal 11 (Segmentation fault), core dumped". */
void pti_exit_text(const struct pti_exit *how, char *buffer, size_t size);

#endif
