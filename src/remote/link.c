/* link.c -- a stream of frames to another process: its operations, from the first to the last.
 *
 * Built on nng_stream, which is the transports of nng without its protocols: those drop or double messages by design.
 * The files that see nng are link.c and its siblings link_*.c, and no others.
 * Laws.  No lock is held across a call into nng that can complete an operation, so that it does not matter whether nng
 * calls back at once or from another thread.  An operation under way is counted in `busy`, from its start to the end
 * of its event; a read stays counted until it is resumed.  The last operation to end after a close tells `down`.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/fork.h"
#include "base/time.h"
#include "bus/bus.h"
#include "remote/link_own.h"
#include "wire/limits.h"

#define LIVELY_BYTES 1024u
#define OUT_FIRST (16u << 10)
#define OUT_MOST (256u << 10)
#define SLOW_NS (40 * PTI_NS_PER_MS) /* what takes longer to be written is halved: others wait behind it */

/* ---- may nng run here? ---- */

static _Atomic uint32_t started; /* 1 + the fork generation in which it began; 0: not yet */

enum ptq_err pti_link_may_start(void)
{
    uint32_t now = pti_fork_generation() + 1, before = 0;

    return pti_cas(&started, &before, now) || before == now ? PTQ_OK : PTQ_EFORKED;
}

bool pti_link_is_forked(void)
{
    uint32_t before = pti_load_seq(&started);

    return before != 0 && before != pti_fork_generation() + 1;
}

enum ptq_err pti_link_err(int error)
{
    switch (error) {
    case 0:
        return PTQ_OK;
    case NNG_ENOMEM:
    case NNG_ENOFILES:
        return PTQ_ENOMEM;
    case NNG_EADDRINVAL:
    case NNG_EINVAL:
    case NNG_ENOTSUP:
        return PTQ_EINVAL;
    case NNG_EADDRINUSE:
        return PTQ_EBUSY;
    case NNG_EPERM:
        return PTQ_EPERM;
    default:
        return PTQ_EUNREACHABLE;
    }
}

/* ---- the end of operations ---- */

static void keep_reason(struct pti_link *link, const char *reason)
{
    if (link->reason[0] == '\0')
        snprintf(link->reason, sizeof link->reason, "%s", reason);
}

void pti_link_end_operation(struct pti_link *link)
{
    pthread_mutex_lock(&link->mutex);
    bool tell = --link->busy == 0 && link->closed && !link->told;
    link->told |= tell;
    pthread_mutex_unlock(&link->mutex);
    if (tell)
        link->events.down(link->context, link);
}

/* False: it is closed, and nothing may begin. */
static bool begin_operation(struct pti_link *link)
{
    pthread_mutex_lock(&link->mutex);
    bool may = !link->closed;
    link->busy += may;
    pthread_mutex_unlock(&link->mutex);
    return may;
}

void pti_link_close(struct pti_link *link, const char *reason)
{
    pthread_mutex_lock(&link->mutex);
    bool first = !link->closed;
    link->closed = true;
    keep_reason(link, reason);
    nng_stream *stream = link->stream;
    pthread_mutex_unlock(&link->mutex);
    if (!first)
        return;
    if (stream != NULL)
        nng_stream_close(stream);
    if (link->dialer != NULL)
        nng_stream_dialer_close(link->dialer);
    if (link->dial != NULL)
        nng_aio_cancel(link->dial);
}

/* Scar: what is begun on a stream that was closed a moment before never ends, in nng 1.5.2: it is put into a list that
 * nobody looks at any more.  So whoever has begun looks once more, and calls it off; of tls the first of that list is called off by
 * what carries it, which has ended already: there a second close ends all that is in it. */
static void look_again(struct pti_link *link, nng_aio *aio)
{
    pthread_mutex_lock(&link->mutex);
    bool closed = link->closed;
    pthread_mutex_unlock(&link->mutex);
    if (closed && link->tls)
        nng_stream_close(link->stream);
    if (closed)
        nng_aio_cancel(aio);
}

/* ---- reading ---- */

static void receive(struct pti_link *link)
{
    nng_iov iov;

    iov.iov_buf = pti_frame_reader_space(&link->reader, &iov.iov_len);
    if (iov.iov_buf == NULL || nng_aio_set_iov(link->receive, 1, &iov) != 0) {
        pti_link_close(link, "no memory");
        pti_link_end_operation(link);
        return;
    }
    nng_stream_recv(link->stream, link->receive);
    look_again(link, link->receive);
}

static void on_received(void *context)
{
    struct pti_link *link = context;
    int error = nng_aio_result(link->receive);

    if (error != 0 || nng_aio_count(link->receive) == 0) {
        pti_link_close(link, pti_link_explain(link, error));
        pti_link_end_operation(link);
        return;
    }
    pti_store_relaxed(&link->heard, true);
    pti_frame_reader_filled(&link->reader, nng_aio_count(link->receive));
    link->events.readable(link->context, link); /* from here until resume the reader is the owner's */
}

enum ptq_err pti_link_next(struct pti_link *link, struct pti_frame *ret_frame, const char **ret_reason)
{
    enum ptq_err answer = pti_frame_reader_next(&link->reader, ret_frame, ret_reason);

    link->framed |= answer == PTQ_OK;
    return answer;
}

bool pti_link_is_lively(struct pti_link *link)
{
    size_t partial = link->reader.end - link->reader.begin;
    bool lively = link->framed || partial >= link->partial + LIVELY_BYTES;

    if (lively)
        link->partial = partial;
    link->framed = false;
    return lively;
}

void pti_link_set_cap(struct pti_link *link, uint32_t cap)
{
    pti_frame_reader_set_cap(&link->reader, cap);
}

void pti_link_resume(struct pti_link *link)
{
    pthread_mutex_lock(&link->mutex);
    bool closed = link->closed;
    pthread_mutex_unlock(&link->mutex);
    if (closed)
        pti_link_end_operation(link);
    else
        receive(link);
}

/* ---- writing ---- */

static void send_rest(struct pti_link *link)
{
    nng_iov iov = {.iov_buf = link->out + link->out_at, .iov_len = link->out_size - link->out_at};

    if (nng_aio_set_iov(link->send, 1, &iov) != 0) {
        pti_link_close(link, "no memory");
        pti_link_end_operation(link);
        return;
    }
    nng_stream_send(link->stream, link->send);
    look_again(link, link->send);
}

/* A buffer that was nearly filled doubles; what does not come stays small. */
static bool make_room(struct pti_link *link)
{
    size_t wanted = link->out_room == 0                              ? OUT_FIRST
                    : link->out_size * 4 > link->out_room * 3 ? link->out_room * 2
                                                                     : link->out_room;

    wanted = wanted < OUT_MOST ? wanted : OUT_MOST;
    if (wanted == link->out_room)
        return true;
    uint8_t *grown = realloc(link->out, wanted);
    if (grown == NULL)
        return link->out != NULL;
    link->out = grown;
    link->out_room = wanted;
    return true;
}

/* As much at once as the link takes in a moment: what has haste comes with the next. */
static void pace(struct pti_link *link)
{
    int64_t took = pti_now_ns() - link->out_since;

    if (took > SLOW_NS && link->out_most > OUT_FIRST)
        link->out_most /= 2;
    else if (took < SLOW_NS / 4 && link->out_most < OUT_MOST)
        link->out_most *= 2;
}

static size_t fill(struct pti_link *link)
{
    if (link->out_size >= OUT_FIRST)
        pace(link);
    link->out_since = pti_now_ns();
    return link->events.fill(link->context, link->out, link->out_room < link->out_most ? link->out_room : link->out_most);
}

/* The sender asks for more until there is none; who kicks meanwhile only leaves word. */
static void pump(struct pti_link *link)
{
    for (;;) {
        pthread_mutex_lock(&link->mutex);
        link->wanted = false;
        bool closed = link->closed;
        pthread_mutex_unlock(&link->mutex);
        if (!closed && !make_room(link))
            pti_link_close(link, "no memory");
        link->out_at = 0;
        link->out_size = closed || link->out == NULL ? 0 : fill(link);
        if (link->out_size > 0) {
            send_rest(link);
            return;
        }
        pthread_mutex_lock(&link->mutex);
        bool done = link->closed || !link->wanted;
        link->sending = !done;
        pthread_mutex_unlock(&link->mutex);
        if (done) {
            pti_link_end_operation(link);
            return;
        }
    }
}

static void on_sent(void *context)
{
    struct pti_link *link = context;
    int error = nng_aio_result(link->send);

    if (error != 0) {
        pti_link_close(link, pti_link_explain(link, error));
        pti_link_end_operation(link); /* `sending` stays: nobody begins again */
        return;
    }
    link->out_at += nng_aio_count(link->send);
    if (link->out_at < link->out_size)
        send_rest(link);
    else
        pump(link);
}

void pti_link_kick(struct pti_link *link)
{
    pthread_mutex_lock(&link->mutex);
    link->wanted = true;
    bool begin = link->standing && !link->sending && !link->closed;
    link->sending |= begin;
    link->busy += begin;
    pthread_mutex_unlock(&link->mutex);
    if (begin)
        pump(link);
}

bool pti_link_is_drained(struct pti_link *link)
{
    pthread_mutex_lock(&link->mutex);
    bool drained = link->closed || (!link->sending && !link->wanted);
    pthread_mutex_unlock(&link->mutex);
    return drained;
}

/* ---- life ---- */

struct pti_link *pti_link_new(void)
{
    struct pti_link *link = calloc(1, sizeof *link);

    if (link == NULL)
        return NULL;
    pthread_mutex_init(&link->mutex, NULL);
    link->out_most = OUT_MOST;
    pti_frame_reader_init(&link->reader, PTI_WIRE_FRAME_FIRST);
    if (nng_aio_alloc(&link->receive, on_received, link) != 0 || nng_aio_alloc(&link->send, on_sent, link) != 0) {
        pti_link_free(link);
        return NULL;
    }
    return link;
}

void pti_aio_stop(nng_aio *aio)
{
    if (aio == NULL)
        return;
    nng_aio_stop(aio);
    nng_aio_free(aio);
}

void pti_link_free(struct pti_link *link)
{
    if (link == NULL)
        return;
    pti_link_close(link, "freed");
    pti_aio_stop(link->dial);
    pti_aio_stop(link->receive);
    pti_aio_stop(link->send);
    if (link->stream != NULL)
        nng_stream_free(link->stream);
    if (link->dialer != NULL)
        nng_stream_dialer_free(link->dialer);
    pti_frame_reader_fini(&link->reader);
    pthread_mutex_destroy(&link->mutex);
    free(link->out);
    free(link);
}

void pti_link_stand(struct pti_link *link)
{
    pthread_mutex_lock(&link->mutex);
    link->standing = true;
    pthread_mutex_unlock(&link->mutex);
    if (begin_operation(link))
        receive(link);
    pti_link_kick(link);
}

void pti_link_start(struct pti_link *link, const struct pti_link_events *events, void *context)
{
    link->events = *events;
    link->context = context;
    pti_link_stand(link);
}

void pti_link_reason(struct pti_link *link, char *buffer, size_t size)
{
    pthread_mutex_lock(&link->mutex);
    snprintf(buffer, size, "%s", link->reason);
    pthread_mutex_unlock(&link->mutex);
}
