/* names.h -- names of what is on a bus, kept: so that a command may change the bus while it walks over them. */
#ifndef PTQ_NAMES_H
#define PTQ_NAMES_H

#include <ptq/bus.h>

struct names {
    char **items; /* owned */
    size_t count, room;
    bool failed;
};

/* TOOL_OK, or it has said why and gives the exit code; `names` may be given to names_fini in any case. */
int names_read(struct names *names, ptq_bus *bus); /* of queues */
/* By ptq_bus_list, ptq_share_list, ptq_log_list; what: "queues", ... */
int names_read_by(struct names *names, ptq_bus *bus, const char *what,
                  enum ptq_err (*list)(ptq_bus *bus, bool (*each)(const char *name, void *context), void *context));
void names_fini(struct names *names);

#endif
