/* link_own.h -- what the files of a link (link.c, link_*.c) share: the only ones that see nng. */
#ifndef PTQ_REMOTE_LINK_OWN_H
#define PTQ_REMOTE_LINK_OWN_H

#include <pthread.h>

#include <nng/nng.h>

#include "base/atomic.h"
#include "remote/link.h"

struct pti_link {
    nng_stream *stream;
    nng_stream_dialer *dialer;
    nng_aio *dial, *receive, *send;
    struct pti_link_events events;
    void *context;
    struct pti_frame_reader reader; /* of who reads: the receive event, then the owner until resume */
    size_t partial;                 /* bytes of an incomplete frame, when it last was lively */
    bool framed;                    /* a frame was read since */
    uint8_t *out;                   /* of who sends */
    size_t out_room, out_size, out_at;
    size_t out_most; /* so much is written at once */
    int64_t out_since;

    pthread_mutex_t mutex; /* the rest */
    unsigned busy;
    _Atomic bool heard; /* anything at all came over it */
    bool standing, sending, wanted, closed, told, distrusted;
    char reason[160];
    bool tls;
    bool near; /* known otherwise than by the address of the other side, which a ws link does not tell */
};

/* ---- link.c */
enum ptq_err pti_link_err(int nng_error);
/* NULL: no memory. */
struct pti_link *pti_link_new(void);
/* Stands from now on: reading begins, and what was kicked before is sent. */
void pti_link_stand(struct pti_link *link);
/* One that was counted in `busy` has ended; it may have been the last of a closed link. */
void pti_link_end_operation(struct pti_link *link);
/* Waits for its event, frees it.  NULL is fine. */
void pti_aio_stop(nng_aio *aio);

/* ---- link_options.c */
/* Small frames must not wait for each other's acknowledgement. */
void pti_link_set_options(nng_stream *stream);
/* ... nor behind what the kernel has taken and not sent. */
void pti_link_limit_unsent(nng_stream *stream);

/* ---- link_address.c */
bool pti_link_is_loopback(const nng_sockaddr *address);

/* ---- link_tls.c: 0, or an error of nng's */
int pti_link_prepare_dialer(nng_stream_dialer *dialer, const struct pti_tls *tls);
struct pti_shown *pti_shown_hold(struct pti_shown *shown);
/* Those who come from now on are shown it. */
int pti_link_show(nng_stream_listener *listener, struct pti_shown *shown);
/* What went wrong, for people; nng's own words for certificates help nobody. */
const char *pti_link_explain(struct pti_link *link, int error);

#endif
