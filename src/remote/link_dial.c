/* link_dial.c -- a link that this side begins. */
#include <string.h>

#include "remote/access.h"
#include "remote/link_own.h"

#define DIAL_MS 3000

static void on_dialled(void *context)
{
    struct pti_link *link = context;
    int error = nng_aio_result(link->dial);

    if (error == 0) {
        nng_stream *stream = nng_aio_get_output(link->dial, 0);
        pti_link_set_options(stream);
        pti_link_limit_unsent(stream);
        pthread_mutex_lock(&link->mutex);
        link->stream = stream;
        bool closed = link->closed;
        pthread_mutex_unlock(&link->mutex);
        if (closed) {
            nng_stream_close(stream);
        } else {
            link->events.up(link->context, link);
            pti_link_stand(link);
        }
    } else {
        pti_link_close(link, pti_link_explain(link, error));
    }
    pti_link_end_operation(link);
}

enum ptq_err pti_link_dial(const char *url, const struct pti_tls *tls, const struct pti_link_events *events, void *context,
                           struct pti_link **ret_link)
{
    enum ptq_err may = pti_link_may_start();

    if (may != PTQ_OK)
        return may;
    struct pti_link *link = pti_link_new();
    if (link == NULL)
        return PTQ_ENOMEM;
    int error = nng_stream_dialer_alloc(&link->dialer, url);
    link->tls = pti_access_is_tls(url);
    if (error == 0 && link->tls)
        error = tls != NULL ? pti_link_prepare_dialer(link->dialer, tls) : NNG_EPEERAUTH;
    if (error == 0)
        error = nng_aio_alloc(&link->dial, on_dialled, link);
    if (error != 0) {
        pti_link_free(link);
        return pti_link_err(error);
    }
    link->near = strncmp(url, "ws://", 5) == 0 && pti_access_is_near_ws(url);
    link->events = *events;
    link->context = context;
    link->busy = 1;
    *ret_link = link; /* before any event */
    if (!link->tls) /* Scar: it wedges a tls stream, in nng 1.5.2; who dials looks at his own clock */
        nng_aio_set_timeout(link->dial, DIAL_MS);
    nng_stream_dialer_dial(link->dialer, link->dial);
    return PTQ_OK;
}
