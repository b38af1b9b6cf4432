/* trace.c -- ptq trace export: the traces that recorded messages bear, as spans of the time that they were in their queue. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "common/recording.h"
#include "common/report.h"
#include "output.h"
#include "signals.h"

enum { FORM_OTLP, FORM_CHROME };

struct trace_options {
    int format;
};

static const struct tool_option trace_options[] = {
    {'F', "format", TOOL_CHOICE, offsetof(struct trace_options, format), "otlp|chrome",
     "otlp, the default: a request of OTLP/JSON a line, for the file receiver of a collector; chrome: for chrome://tracing and Perfetto"},
    {0}};

const struct tool_usage trace_usages[] = {
    {.name = "trace export",
     .operands = "FILE|-",
     .summary = "show the traces of recorded messages as spans",
     .text = "Reads a recording (ptq record) and writes a span for each message that bears a trace: from its put, as far as its time is known, to its "
             "recording; child of the span that the put named.  A message whose put is not known has a span without length.  Queues made with "
             "--stamps all know all of them.  Exits 4 where no message bears a trace.",
     .examples = "ptq record tasks - --tap | ptq trace export - >> /var/lib/otelcol/spans.json\n"
                 "ptq trace export day.ptqr -F chrome > trace.json",
     .options = trace_options},
    {0}};

struct tracing {
    const struct trace_options *options;
    const char *path;
    struct record_reader reader;
    struct output output;
    uint64_t spans;
};

static const char *hex(const uint8_t *bytes, size_t size, char text[33])
{
    for (size_t i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return text;
}

/* Of this file and this message alone, and never 0. */
static const char *span_id(const struct tracing *tracing, const struct record_message *message, char text[33])
{
    uint64_t id = (tracing->reader.id ^ message->number * UINT64_C(0x9e3779b97f4a7c15)) | 1;
    uint8_t bytes[8];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(id >> (56 - 8 * i));
    return hex(bytes, sizeof bytes, text);
}

static json_t *number_attribute(const char *key, uint64_t value)
{
    char digits[24]; /* OTLP writes whole numbers of 64 bits as text */

    snprintf(digits, sizeof digits, "%" PRIu64, value);
    return json_pack("{s:s, s:{s:s}}", "key", key, "value", "intValue", digits);
}

static json_t *otlp_span(const struct tracing *tracing, const struct record_message *message, int64_t begin_ns)
{
    const struct record_about *about = &tracing->reader.about;
    char trace[33], parent[33], own[33], begin[24], end[24];

    snprintf(begin, sizeof begin, "%" PRId64, begin_ns);
    snprintf(end, sizeof end, "%" PRId64, message->time_ns);
    json_t *span = json_pack("{s:s, s:s, s:s, s:o?, s:i, s:s, s:s, s:[o, o, o, o]}", "traceId", hex(message->trace.trace_id, 16, trace), "spanId",
                             span_id(tracing, message, own), "parentSpanId", hex(message->trace.parent_id, 8, parent), "name",
                             tool_text_json(about->queue), "kind", 5, "startTimeUnixNano", begin, "endTimeUnixNano", end, "attributes",
                             number_attribute("ptq.position", message->position), number_attribute("ptq.deliveries", message->deliveries),
                             number_attribute("messaging.message.body.size", message->size),
                             json_pack("{s:s, s:{s:s}}", "key", "messaging.system", "value", "stringValue", "ptq"));
    if (span == NULL)
        return NULL;
    return json_pack("{s:i, s:[{s:{s:[{s:s, s:{s:s}}, {s:s, s:{s:o?}}]}, s:[{s:{s:s}, s:[o]}]}]}", "v", 1, "resourceSpans", "resource",
                     "attributes", "key", "service.name", "value", "stringValue", "ptq", "key", "host.name", "value", "stringValue",
                     tool_text_json(about->host), "scopeSpans", "scope", "name", "ptq", "spans", span);
}

static json_t *chrome_event(const struct tracing *tracing, const struct record_message *message, int64_t begin_ns)
{
    const struct ptq_trace *trace = &message->trace;
    int lane = (trace->trace_id[13] & 0x7f) << 16 | trace->trace_id[14] << 8 | trace->trace_id[15];
    char id[33], parent[33];

    return json_pack("{s:o?, s:s, s:s, s:f, s:f, s:i, s:i, s:{s:s, s:s, s:I, s:I, s:I}}", "name", tool_text_json(tracing->reader.about.queue), "cat",
                     "queue", "ph", "X", "ts", (double)begin_ns / 1000, "dur", (double)(message->time_ns - begin_ns) / 1000, "pid", 1, "tid",
                     lane, "args", "trace", hex(trace->trace_id, 16, id), "parent", hex(trace->parent_id, 8, parent), "number",
                     (json_int_t)message->number, "position", (json_int_t)message->position, "size", (json_int_t)message->size);
}

static int write_span(struct tracing *tracing, const struct record_message *message)
{
    int64_t begin_ns = message->age_ms > 0 ? message->time_ns - message->age_ms * 1000000 : message->time_ns;
    bool chrome = tracing->options->format == FORM_CHROME, good = true;

    if (!message->has_trace)
        return TOOL_OK;
    if (chrome)
        good = output_bytes(&tracing->output, tracing->spans == 0 ? "" : ",", tracing->spans == 0 ? 0 : 1);
    good = good && output_json(&tracing->output, chrome ? chrome_event(tracing, message, begin_ns) : otlp_span(tracing, message, begin_ns));
    tracing->spans++;
    if (!good)
        tool_error(tracing->path, "out of memory - end other programs, or raise the limit: ulimit -v");
    return !good ? TOOL_ERROR : tracing->output.used > 65536 ? output_flush(&tracing->output) : TOOL_OK;
}

static int export_all(struct tracing *tracing)
{
    bool chrome = tracing->options->format == FORM_CHROME, damaged = false;
    struct record_message message;
    int code = TOOL_OK;

    if (chrome)
        output_bytes(&tracing->output, "{\"traceEvents\":[\n", 17);
    while (code == TOOL_OK && !was_signalled()) {
        enum record_answer answer = record_next(&tracing->reader, &message);
        if (answer == RECORD_END)
            break;
        if (answer == RECORD_FAILED)
            return tool_fail(PTQ_ESYS, tracing->path, "cannot read: %s - give a file that ptq record wrote", strerror(tracing->reader.error));
        damaged = damaged || answer == RECORD_DAMAGE || answer == RECORD_CUT;
        if (answer == RECORD_MESSAGE)
            code = write_span(tracing, &message);
    }
    if (chrome)
        output_bytes(&tracing->output, "]}\n", 3);
    if (code == TOOL_OK)
        code = output_flush(&tracing->output);
    if (code != TOOL_OK)
        return code;
    if (damaged)
        return tool_fail(PTQ_ESYS, tracing->path, "it is cut or damaged: some messages are lost - see: ptq replay %s --info", tracing->path);
    return tracing->spans > 0 ? TOOL_OK : tool_fail(PTQ_EMPTY, tracing->path, "no message bears a trace - put them with ptq put --trace");
}

static int trace_export(int argc, char **argv)
{
    struct trace_options options = {0};
    int first = tool_read_operands(trace_usages, argc, argv, &options, 1, 1);
    struct tracing tracing = {.options = &options, .path = argv[first]};
    int error = record_open(&tracing.reader, tracing.path);

    if (error != 0)
        return tool_fail(PTQ_ESYS, tracing.path, "cannot read: %s - give a file that ptq record wrote", error == EPROTO ? "it is no recording" : strerror(error));
    catch_signals(NULL);
    int code = export_all(&tracing);
    output_fini(&tracing.output);
    record_reader_fini(&tracing.reader);
    return end_by_signal(code);
}

int cmd_trace(int argc, char **argv)
{
    static int (*const subcommands[])(int argc, char **argv) = {trace_export};

    return run_subcommand("trace", trace_usages, subcommands, argc, argv);
}
