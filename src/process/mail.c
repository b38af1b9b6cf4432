/* mail.c -- a mailbox each way: two ordinary queues of the bus, made by the parent, opened by the child when it needs them. */
#include <errno.h>

#include "base/time.h"
#include "bus/bus.h"
#include "process/life.h"

#define SLICE_MS 20 /* how long a tell that finds no room sleeps between two looks whether anybody lives to make some */

/* -- the child ------------------------------------------------------------------------------------------------ */

static void tell(const ptq_bus *bus, const char *name, enum ptq_err err, const char *what, size_t size)
{
    if (err == PTQ_OK && bus->tells)
        pti_bus_tell("process", name, "%s %zu bytes", what, size);
}

static enum ptq_err open_bus(ptq_self *self)
{
    struct ptq_bus_options options = {.dir = self->dir};
    if (self->mail.bus != NULL)
        return PTQ_OK;
    return ptq_bus_open(self->run_name, &options, &self->mail.bus);
}

static enum ptq_err open_box(ptq_self *self, ptq_queue *_Atomic *box, const char *name, ptq_queue **ret_queue)
{
    struct pti_mail *mail = &self->mail;
    ptq_queue *queue = NULL;
    if (name[0] == '\0')
        return PTQ_ENOENT;
    (void)pthread_mutex_lock(&mail->mutex);
    enum ptq_err err = open_bus(self);
    queue = pti_load_relaxed(box);
    if (err == PTQ_OK && queue == NULL) {
        err = ptq_queue_open(mail->bus, name, &(struct ptq_queue_options){.mode = PTQ_ATTACH}, &queue);
        if (err == PTQ_OK)
            pti_store_seq(box, queue);
    }
    (void)pthread_mutex_unlock(&mail->mutex);
    if (err == PTQ_OK)
        *ret_queue = queue;
    return err;
}

/* The box, opened once. */
static enum ptq_err box_of(ptq_self *self, ptq_queue *_Atomic *box, const char *name, ptq_queue **ret_queue)
{
    ptq_queue *queue = pti_load_acquire(box);
    if (queue == NULL)
        return open_box(self, box, name, ret_queue);
    *ret_queue = queue;
    return PTQ_OK;
}

enum ptq_err ptq_self_tell(ptq_self *self, const void *data, size_t size, int timeout_ms)
{
    ptq_queue *out;
    enum ptq_err err = box_of(self, &self->mail.out, self->mail.name_out, &out);
    if (err != PTQ_OK)
        return err;
    err = ptq_put(out, data, size, timeout_ms);
    tell(self->mail.bus, self->hooks->name, err, "tells its parent", size);
    return err;
}

enum ptq_err ptq_self_listen(ptq_self *self, void *buffer, size_t size, int timeout_ms, size_t *ret_size)
{
    ptq_queue *in;
    enum ptq_err err = box_of(self, &self->mail.in, self->mail.name_in, &in);
    if (err != PTQ_OK)
        return err;
    /* Asked once, this thread has its place in the box: whoever asks for the stop after the look finds the box, and its interrupt waits
     * for us. */
    err = ptq_recv(in, buffer, size, PTQ_NOWAIT, ret_size);
    if (err == PTQ_EMPTY && timeout_ms != PTQ_NOWAIT)
        err = ptq_self_stopping(self) ? PTQ_EINTR : ptq_recv(in, buffer, size, timeout_ms, ret_size);
    tell(self->mail.bus, self->hooks->name, err, "hears its parent say", err == PTQ_OK ? *ret_size : 0);
    return err;
}

/* Also in a signal handler. */
void pti_mail_interrupt(struct pti_mail *mail)
{
    ptq_queue *in = pti_load_seq(&mail->in);
    if (in != NULL)
        ptq_interrupt(in);
}

/* -- the parent ----------------------------------------------------------------------------------------------- */

/* The earlier of a deadline and one slice from now, as a timeout. */
static int slice_of(int64_t deadline)
{
    int64_t left = deadline - pti_now_ns();
    if (deadline == PTI_DEADLINE_NEVER || left > SLICE_MS * PTI_NS_PER_MS)
        return SLICE_MS;
    return left <= 0 ? PTQ_NOWAIT : (int)((left + PTI_NS_PER_MS - 1) / PTI_NS_PER_MS);
}

static enum ptq_err check(ptq_process *process, const char *box)
{
    enum ptq_err err = pti_process_check(process);
    return err != PTQ_OK ? err : box[0] == '\0' ? PTQ_ENOENT : PTQ_OK;
}

enum ptq_err ptq_process_tell(ptq_process *process, const void *data, size_t size, int timeout_ms)
{
    enum ptq_err err = check(process, process != NULL ? process->mail.name_in : "");
    if (err != PTQ_OK)
        return err;
    int64_t deadline = pti_deadline(timeout_ms);
    for (;;) {
        if (pti_process_tend(process))
            return PTQ_EENDED;
        err = ptq_put(process->mail.in, data, size, timeout_ms == PTQ_NOWAIT ? PTQ_NOWAIT : slice_of(deadline));
        tell(process->mail.bus, process->hooks->name, err, "is told", size);
        if (timeout_ms == PTQ_NOWAIT || (err != PTQ_TIMEDOUT && err != PTQ_FULL))
            return err;
        if (pti_now_ns() >= deadline)
            return PTQ_TIMEDOUT;
    }
}

enum ptq_err ptq_process_listen(ptq_process *process, void *buffer, size_t size, int timeout_ms, size_t *ret_size)
{
    enum ptq_err err = check(process, process != NULL ? process->mail.name_out : "");
    if (err == PTQ_OK)
        err = pti_process_make_fd(process);
    if (err != PTQ_OK)
        return err;
    int64_t deadline = pti_deadline(timeout_ms);
    for (;;) {
        bool over = pti_process_tend(process); /* before the look: what it sent before its end is there */
        err = ptq_recv(process->mail.out, buffer, size, PTQ_NOWAIT, ret_size);
        tell(process->mail.bus, process->hooks->name, err, "is heard to say", err == PTQ_OK ? *ret_size : 0);
        if (err != PTQ_EMPTY)
            return err;
        if (over)
            return PTQ_END;
        if (timeout_ms == PTQ_NOWAIT)
            return PTQ_EMPTY;
        if (pti_now_ns() >= deadline)
            return PTQ_TIMEDOUT;
        if (pti_gather_sleep(&process->all, deadline, NULL) == EINTR)
            return PTQ_EINTR;
    }
}
