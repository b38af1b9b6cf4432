/* explain.h -- why a queue's file could not be made or opened, in a sentence that says what to do. */
#ifndef PTQ_BUS_EXPLAIN_H
#define PTQ_BUS_EXPLAIN_H

#include "bus/bus.h"
#include "os/segment.h"

/* `number`: the errno; `size`: the bytes of the file that was to be made, 0 if it was to be opened. */
enum ptq_err pti_explain_file(struct ptq_error *error, ptq_bus *bus, const char *name, uint64_t size, int number);

/* Memory for `need` bytes of a segment could not be had. */
enum ptq_err pti_explain_reserve(struct ptq_error *error, const char *name, const struct pti_segment *segment,
                                 uint64_t need, int number);

/* The directory of the bus was removed under it: then nothing can be made or found there any more. */
bool pti_bus_is_gone(ptq_bus *bus);
enum ptq_err pti_explain_gone(struct ptq_error *error, ptq_bus *bus, const char *name);

#endif
