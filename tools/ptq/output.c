/* output.c -- messages on their way to standard output.
 *
 * Not stdio: a message is acknowledged only when write(2) has taken its last byte, and a write that a signal ends must
 * be told from one that failed.
 */
#include "output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/report.h"
#include "common/say.h"
#include "common/text.h"
#include "pattern.h"
#include "signals.h"

static bool reserve(struct output *output, size_t more)
{
    size_t room = output->room == 0 ? 4096 : output->room;

    while (room - output->used < more)
        room *= 2;
    if (room == output->room)
        return true;
    char *bytes = realloc(output->bytes, room);
    if (bytes == NULL)
        return false;
    output->bytes = bytes;
    output->room = room;
    return true;
}

static bool append(struct output *output, const void *data, size_t size)
{
    if (!reserve(output, size))
        return false;
    if (size > 0)
        memcpy(output->bytes + output->used, data, size);
    output->used += size;
    return true;
}

static bool append_escaped(struct output *output, const struct shown *shown)
{
    if (!reserve(output, 4 * shown->size + 1))
        return false;
    char *at = output->bytes + output->used;
    output->used += strlen(tool_escape(shown->data, shown->size, at, 4 * shown->size + 1));
    return true;
}

/* As a C string literal: every byte outside printable ASCII and valid UTF-8 is escaped, and so are \ and ". */
bool output_quoted(struct output *output, const struct shown *shown)
{
    const char *data = shown->data;
    bool good = append(output, "\"", 1);

    for (size_t i = 0; i < shown->size && good;) {
        size_t plain = i;
        while (plain < shown->size && data[plain] != '"' && data[plain] != '\\')
            plain++;
        const struct shown piece = {.data = data + i, .size = plain - i};
        good = append_escaped(output, &piece);
        if (good && plain < shown->size)
            good = append(output, "\\", 1) && append(output, data + plain, 1);
        i = plain + 1;
    }
    return good && append(output, "\"", 1);
}

bool output_hex(struct output *output, const struct shown *shown)
{
    const unsigned char *data = shown->data;

    if (!reserve(output, 2 * shown->size + 1))
        return false;
    for (size_t i = 0; i < shown->size; i++) {
        output->bytes[output->used++] = "0123456789abcdef"[data[i] >> 4];
        output->bytes[output->used++] = "0123456789abcdef"[data[i] & 15];
    }
    return true;
}

bool output_length(struct output *output, const struct shown *shown)
{
    unsigned char bytes[4];

    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(shown->size >> (24 - 8 * i));
    return append(output, bytes, sizeof bytes);
}

/* -- what a message bears ------------------------------------------------------------------------------------- */

bool shown_header(const struct shown *shown, size_t i, size_t *at, char *name, const void **ret_value, size_t *ret_size)
{
    return shown->msg != NULL ? ptq_msg_header_at(shown->msg, i, name, ret_value, ret_size)
                              : record_header_next(shown->recorded, at, name, ret_value, ret_size);
}

bool shown_trace(const struct shown *shown, struct ptq_trace *ret_trace)
{
    if (shown->msg != NULL)
        return ptq_msg_trace(shown->msg, ret_trace);
    *ret_trace = shown->recorded->trace;
    return shown->recorded->has_trace;
}

uint32_t shown_type(const struct shown *shown)
{
    return shown->msg != NULL ? ptq_msg_type(shown->msg) : shown->recorded->type;
}

/* -- JSON ----------------------------------------------------------------------------------------------------- */

/* A name that stands there twice shows its first value, as ptq_msg_header gives it.  What is not UTF-8 is {"base64": ...}. */
static void set_header(json_t *object, const char *name, const void *value, size_t size)
{
    char shown[4 * PTQ_HEADER_NAME_MAX + 1];
    json_t *text = json_stringn(size > 0 ? value : "", size);

    if (text == NULL) {
        char *base64 = tool_base64(value, size);
        text = json_pack("{s:s?}", "base64", base64);
        free(base64);
    }
    tool_escape(name, strlen(name), shown, sizeof shown);
    if (json_object_get(object, shown) == NULL)
        json_object_set_new(object, shown, text);
    else
        json_decref(text);
}

static json_t *headers_json(const struct shown *shown)
{
    char name[PTQ_HEADER_NAME_MAX + 1];
    json_t *object = json_object();
    const void *value;
    size_t size, at = 0;

    for (size_t i = 0; shown_header(shown, i, &at, name, &value, &size); i++)
        set_header(object, name, value, size);
    return object;
}

static void set_headers(json_t *object, const struct shown *shown)
{
    uint32_t type = shown_type(shown);
    char text[PTQ_TRACE_TEXT_SIZE];
    struct ptq_trace trace;

    if (type != 0)
        json_object_set_new(object, "type", json_integer(type));
    if (shown_trace(shown, &trace))
        json_object_set_new(object, "trace", json_string(ptq_trace_text(&trace, text)));
    if (shown->msg != NULL ? ptq_msg_header_count(shown->msg) > 0 : shown->recorded->header_bytes > 0)
        json_object_set_new(object, "headers", headers_json(shown));
}

bool output_json(struct output *output, json_t *object)
{
    char *line = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    bool good = line != NULL && append(output, line, strlen(line)) && append(output, "\n", 1);

    free(line);
    json_decref(object);
    return good;
}

static bool append_json(struct output *output, const struct shown *shown)
{
    json_t *object = json_pack("{s:i, s:o, s:I, s:I, s:I, s:b}", "v", 1, "queue", tool_text_json(shown->queue), "position",
                               (json_int_t)shown->position, "sub", (json_int_t)shown->sub, "deliveries",
                               (json_int_t)shown->deliveries, "redelivered", (int)shown->redelivered);
    if (shown->state != NULL)
        json_object_set_new(object, "state", json_string(shown->state));
    if (shown->holder_pid != 0)
        json_object_set_new(object, "holder_pid", json_integer(shown->holder_pid));
    if (shown->recorded != NULL) {
        json_object_set_new(object, "number", json_integer((json_int_t)shown->recorded->number));
        json_object_set_new(object, "time_ns", json_integer((json_int_t)shown->recorded->time_ns));
    }
    set_headers(object, shown);
    tool_set_data(object, shown->data, shown->size);
    return output_json(output, object);
}

bool output_message(struct output *output, const struct tool_format *format, const struct shown *shown)
{
    switch ((enum format)format->word) {
    case FORMAT_DEFAULT:
        if (isatty(STDOUT_FILENO))
            return append_escaped(output, shown) && append(output, "\n", 1);
        return append(output, shown->data, shown->size) && append(output, "\n", 1);
    case FORMAT_RAW:
        return append(output, shown->data, shown->size);
    case FORMAT_LINE:
        return append(output, shown->data, shown->size) && append(output, "\n", 1);
    case FORMAT_NULL:
        return append(output, shown->data, shown->size) && append(output, "", 1);
    case FORMAT_QUOTED:
        return output_quoted(output, shown) && append(output, "\n", 1);
    case FORMAT_HEX:
        return output_hex(output, shown) && append(output, "\n", 1);
    case FORMAT_JSON:
        return append_json(output, shown);
    case FORMAT_LENGTH:
        return output_length(output, shown) && append(output, shown->data, shown->size);
    case FORMAT_OWN:
        return pattern_write(output, format->text, shown);
    }
    return false;
}

bool output_bytes(struct output *output, const void *data, size_t size)
{
    return append(output, data, size);
}

const char *output_state(enum ptq_view_state state)
{
    switch (state) {
    case PTQ_VIEW_READY:
        return "ready";
    case PTQ_VIEW_LEASED:
        return "leased";
    case PTQ_VIEW_REDELIVERABLE:
        return "redeliverable";
    case PTQ_VIEW_DELAYED:
        return "delayed";
    case PTQ_VIEW_DEAD:
        return "dead";
    }
    return "unknown";
}

int output_flush(struct output *output)
{
    size_t done = 0;

    while (done < output->used) {
        if (!wait_fd(STDOUT_FILENO, true))
            return TOOL_ERROR;
        ssize_t size = write(STDOUT_FILENO, output->bytes + done, output->used - done);
        if (size > 0)
            done += (size_t)size;
        else if (size < 0 && errno != EINTR && errno != EAGAIN) {
            int error = errno;
            tool_error(NULL, "cannot write to standard output: %s - %s", strerror(error),
                       output->advice != NULL ? output->advice : error == EPIPE ? "who read it has gone" : "mend it, and call again");
            return TOOL_ERROR;
        }
    }
    output->used = 0;
    return TOOL_OK;
}

void output_fini(struct output *output)
{
    free(output->bytes);
    *output = (struct output){0};
}
