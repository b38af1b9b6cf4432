/* watch.c -- descriptors, waiting on one of many queues, and interrupts, over a link. */
#include "os/event.h"
#include "remote/call.h"
#include "remote/port.h"

/* With conn->mutex held. */
static enum ptq_err find_event(struct pti_remote *remote, enum ptq_side side, int *ret_fd)
{
    int fd = pti_load_relaxed(&remote->fds[side]);

    if (fd < 0 && pti_event_new(true, &fd) != 0) /* readable until a call has found nothing */
        return PTQ_ENOMEM;
    pti_store_release(&remote->fds[side], fd);
    *ret_fd = fd;
    return PTQ_OK;
}

enum ptq_err pti_remote_fd(struct pti_port *port, enum ptq_side side, int *ret_fd)
{
    struct pti_remote *remote = pti_remote_of(port);

    pthread_mutex_lock(&remote->conn->mutex);
    enum ptq_err answer = find_event(remote, side, ret_fd);
    pthread_mutex_unlock(&remote->conn->mutex);
    return answer;
}

/* ---- one of many (queue/select.c): what the event of that side says ---- */

enum ptq_err pti_remote_watch_begin(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_remote *remote = pti_remote_of(port);

    pthread_mutex_lock(&remote->conn->mutex);
    enum ptq_err answer = pti_load_seq(&remote->closing) ? PTQ_EINTR
                          : remote->state == PTI_REMOTE_FAILED
                              ? remote->failure == PTQ_ENOENT ? PTQ_EGONE : remote->failure
                              : find_event(remote, watcher->side, &watcher->fd);
    if (answer == PTQ_OK)
        pti_remote_enter(remote);
    pthread_mutex_unlock(&remote->conn->mutex);
    watcher->interrupts_seen = pti_load_seq(&remote->interrupts_seen);
    return answer;
}

void pti_remote_watch_arm_fd(struct pti_port *port, struct pti_watcher *watcher)
{
    (void)port;
    watcher->armed = true; /* the home was asked to tell when a call found nothing */
}

void pti_remote_watch_arm_word(struct pti_port *port, struct pti_watcher *watcher)
{
    (void)port; /* there is none */
    (void)watcher;
}

static bool is_interrupted(struct pti_remote *remote, const struct pti_watcher *watcher)
{
    return pti_load_seq(&remote->interrupts) != watcher->interrupts_seen || pti_load_seq(&remote->closing);
}

/* An interrupt sets the events, too: where the home is still to tell, that is all that they say. */
enum ptq_err pti_remote_watch_look(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_remote *remote = pti_remote_of(port);

    pthread_mutex_lock(&remote->conn->mutex);
    bool is_ready = pti_event_is_set(watcher->fd) &&
                    !(remote->watching[watcher->side] && is_interrupted(remote, watcher));
    pthread_mutex_unlock(&remote->conn->mutex);
    return is_ready ? PTQ_OK : PTQ_EMPTY;
}

void pti_remote_set_events(struct pti_remote *remote)
{
    for (int side = 0; side < 2; side++) {
        int fd = pti_load_acquire(&remote->fds[side]);
        if (fd >= 0)
            pti_event_set(fd);
    }
}

enum ptq_err pti_remote_watch_interrupted(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_remote *remote = pti_remote_of(port);
    uint32_t interrupts = pti_load_seq(&remote->interrupts);

    if (!is_interrupted(remote, watcher))
        return PTQ_OK;
    pti_store_seq(&remote->interrupts_seen, interrupts);
    return PTQ_EINTR;
}

void pti_remote_watch_pass(struct pti_port *port, struct pti_watcher *watcher)
{
    (void)port; /* the home told every handle */
    (void)watcher;
}

void pti_remote_watch_end(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_remote *remote = pti_remote_of(port);
    (void)watcher;

    pti_remote_leave(remote);
}

void pti_remote_interrupt(struct pti_port *port)
{
    struct pti_remote *remote = pti_remote_of(port);

    pti_fetch_add_seq(&remote->interrupts, 1);
    pti_remote_wake(remote); /* atomics, futexes and write: fit for a signal handler */
    pti_remote_set_events(remote);
}
