/* names.h -- the names of a bus's local queues, kept: so that a command may change the bus while it walks over them. */
#ifndef PTQ_NAMES_H
#define PTQ_NAMES_H

#include <ptq/bus.h>

struct names {
    char **items; /* owned */
    size_t count, room;
    bool failed;
};

/* TOOL_OK, or it has said why and gives the exit code; `names` may be given to names_fini in any case. */
int names_read(struct names *names, ptq_bus *bus);
void names_fini(struct names *names);

#endif
