/* ptq.c -- the composition root: the one file that knows every room, and plugs the carriers into the bus. */
#include "bus/bus.h"
#include "local/port.h"

const struct pti_carriers pti_carriers = {
    .open_local = pti_local_open,
    .open_remote = NULL,
    .ask_remote = NULL,
};
