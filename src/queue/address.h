/* address.h -- the full name of a queue, taken apart. */
#ifndef PTQ_QUEUE_ADDRESS_H
#define PTQ_QUEUE_ADDRESS_H

#include "bus/bus.h"
#include "queue/port.h"

struct pti_address {
    char name[PTQ_NAME_MAX + sizeof PTQ_DEAD_SUFFIX];
    char node[64];              /* after '@'; "" */
    char url[256];              /* "tcp://host:port", "ipc:///path"; "" */
    char run[PTQ_NAME_MAX + 1]; /* with url */
    bool letters;               /* the name had "!dead" behind it */
};

enum ptq_err pti_address_read(const char *text, struct ptq_error *error, struct pti_address *address);

#endif
