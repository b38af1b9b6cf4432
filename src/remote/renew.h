/* renew.h -- certificates that are renewed while a bridge runs. */
#ifndef PTQ_REMOTE_RENEW_H
#define PTQ_REMOTE_RENEW_H

#include <ptq/bridge.h>

#include "remote/certs.h"
#include "remote/link.h"

struct pti_server;

/* What a bridge shows, and until when. */
struct pti_renewal {
    struct pti_certs_mark mark;
    int64_t until;           /* 0: there is none */
    struct pti_shown *shown; /* to be shown from now on; NULL: as before */
    bool fresh;              /* the files are others than before */
};

/* When it begins: what is there is noted, and told if it ends soon. */
void pti_renewal_begin(struct pti_server *server);
/* Are other certificates there, and are they good?  Drop it, whatever becomes of it. */
enum ptq_err pti_renewal_prepare(struct pti_server *server, const struct ptq_bridge_options *options, struct pti_renewal *ret_renewal);
/* By the serving thread: all its listeners show them, and the log says so. */
void pti_renewal_take(struct pti_server *server, const struct pti_renewal *renewal);
void pti_renewal_drop(struct pti_renewal *renewal);

#endif
