/* address.h -- the full name of a queue, taken apart. */
#ifndef PTQ_QUEUE_ADDRESS_H
#define PTQ_QUEUE_ADDRESS_H

#include "bus/bus.h"
#include "queue/port.h"

struct pti_address {
    char name[PTQ_NAME_MAX + sizeof PTQ_DEAD_SUFFIX];
    char node[64];              /* after '@'; "" */
    char url[256];              /* "tcp://host:port", "ipc:///path", "ws://host:port/path"; "" */
    char run[PTQ_NAME_MAX + 1]; /* with url */
    bool letters;               /* the name had "!dead" behind it */
};

/* How the full name of a queue begins that is reached by `url`: "ptq://" for "tcp://", "ptq+ipc://", "ptq+ws://"; what of
 * the url comes behind it in *ret_rest.  NULL: by no such url. */
const char *pti_address_scheme(const char *url, const char **ret_rest);

enum ptq_err pti_address_read(const char *text, struct ptq_error *error, struct pti_address *address);

#endif
