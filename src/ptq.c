/* ptq.c -- the composition root: the one file that knows every room, and plugs the carriers into the bus. */
#include "bus/bus.h"
#include "local/port.h"
#include "share/far.h"
#if PTQ_WITH_REMOTE
#include "remote/remote.h"
#include "remote/share.h"
#include "remote/via/via.h"
#endif

const struct pti_carriers pti_carriers = {
    .open_local = pti_local_open,
#if PTQ_WITH_REMOTE
    .open_remote = pti_far_open,
    .ask_remote = pti_far_ask,
    .look_remote = pti_remote_look,
#endif
};

const struct pti_far_carrier pti_far_carrier = {
#if PTQ_WITH_REMOTE
    .open = pti_remote_share_open,
#else
    .open = NULL,
#endif
};
