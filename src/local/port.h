/* port.h -- the local carrier, as the composition root plugs it in. */
#ifndef PTQ_LOCAL_PORT_H
#define PTQ_LOCAL_PORT_H

#include "bus/bus.h"
#include "queue/port.h"

enum ptq_err pti_local_open(ptq_bus *bus, const char *name, const struct pti_open *open, struct ptq_error *error,
                            struct pti_port **ret_port);

#endif
