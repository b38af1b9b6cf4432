/* output.h -- messages on their way to standard output, or to a command's standard input. */
#ifndef PTQ_OUTPUT_H
#define PTQ_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <ptq/metrics.h>
#include <ptq/queue.h>

#include "common/option.h"
#include "common/recording.h"

#define FORMAT_WORDS "raw|line|null|quoted|hex|json|length|FORMAT"

enum format {
    FORMAT_DEFAULT = -1, /* line; on a terminal what it might obey is escaped */
    FORMAT_RAW,
    FORMAT_LINE,
    FORMAT_NULL,
    FORMAT_QUOTED,
    FORMAT_HEX,
    FORMAT_JSON,
    FORMAT_LENGTH, /* four bytes before each, the highest first, as ptq put --length reads */
    FORMAT_OWN     /* a pattern: pattern.h */
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
    const char *advice; /* what to do where it cannot be written; NULL: as elsewhere.  Borrowed */
};

/* Appends a message; false: no memory. */
bool output_message(struct output *output, const struct tool_format *format, const struct shown *shown);

/* The parts of which formats are made: false: no memory. */
bool output_quoted(struct output *output, const struct shown *shown); /* as a C string */
bool output_hex(struct output *output, const struct shown *shown);
bool output_length(struct output *output, const struct shown *shown); /* as four bytes, the highest first */

/* What a message bears beside its bytes, wherever it comes from.  shown_header: its header number i, from 0 on, with *at 0 before the first;
 * `name` has room for PTQ_HEADER_NAME_MAX + 1.  false: no more, or none. */
bool shown_header(const struct shown *shown, size_t i, size_t *at, char *name, const void **ret_value, size_t *ret_size);
bool shown_trace(const struct shown *shown, struct ptq_trace *ret_trace);
uint32_t shown_type(const struct shown *shown); /* 0: none */

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
