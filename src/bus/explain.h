/* explain.h -- why the file of a queue or a share could not be made or opened, in a sentence that says what to do. */
#ifndef PTQ_BUS_EXPLAIN_H
#define PTQ_BUS_EXPLAIN_H

#include "bus/bus.h"
#include "os/segment.h"

/* What it is about.  file: in the directory of the bus; not needed for reserve. */
struct pti_thing {
    const char *kind; /* "queue", "share" */
    const char *name;
    const char *file;
};

/* `number`: the errno; `size`: the bytes of the file that was to be made, 0 if it was to be opened. */
enum ptq_err pti_explain_file(struct ptq_error *error, ptq_bus *bus, const struct pti_thing *it, uint64_t size, int number);

/* Memory for `need` bytes of a segment could not be had. */
enum ptq_err pti_explain_reserve(struct ptq_error *error, const struct pti_thing *it, const struct pti_segment *segment,
                                 uint64_t need, int number);

/* The directory of the bus was removed under it: then nothing can be made or found there any more. */
bool pti_bus_is_gone(ptq_bus *bus);
enum ptq_err pti_explain_gone(struct ptq_error *error, ptq_bus *bus, const struct pti_thing *it);

#endif
