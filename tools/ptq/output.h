/* output.h -- messages on their way to standard output, or to a command's standard input. */
#ifndef PTQ_OUTPUT_H
#define PTQ_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <ptq/metrics.h>
#include <ptq/queue.h>

#include "common/recording.h"

#define FORMAT_WORDS "raw|line|null|quoted|hex|json"

enum format {
    FORMAT_DEFAULT = -1, /* line; on a terminal what it might obey is escaped */
    FORMAT_RAW,
    FORMAT_LINE,
    FORMAT_NULL,
    FORMAT_QUOTED,
    FORMAT_HEX,
    FORMAT_JSON
};

struct shown {
    const char *queue;
    const void *data;
    size_t size;
    uint64_t position;
    uint32_t sub, deliveries;
    bool redelivered;
    const char *state;       /* NULL: not told */
    int32_t holder_pid;      /* 0: not told */
    const ptq_msg *msg;      /* its headers, trace and type; NULL: those of `recorded` */
    const struct record_message *recorded;
};

/* Bytes that grow.  Zero is an empty one. */
struct output {
    char *bytes; /* owned */
    size_t used, room;
};

/* Appends a message; false: no memory. */
bool output_message(struct output *output, enum format format, const struct shown *shown);

/* Appends `size` bytes as they are. */
bool output_bytes(struct output *output, const void *data, size_t size);

/* Appends a line of JSON, and drops the object; false: no memory, also if it is NULL. */
bool output_json(struct output *output, json_t *object);

/* What `state` of struct shown says of a message that is seen by a view. */
const char *output_state(enum ptq_view_state state);

/* Writes all of it to standard output and empties it.  TOOL_OK only if the system took every byte; else it has said why,
 * but for a signal, which speaks for itself. */
int output_flush(struct output *output);

void output_fini(struct output *output);

#endif
