/* render.c -- a frame as a table, as JSON, as CSV. */
#include <inttypes.h>
#include <string.h>

#include "common/report.h"
#include "common/say.h"
#include "common/text.h"
#include "top.h"

/* -- for people ----------------------------------------------------------------------------------------------- */

static int print_rate(char *buffer, size_t room, const char *label, const struct rates *rates, double value)
{
    char text[16];

    return snprintf(buffer, room, "%s%s", rates->known ? tool_human((uint64_t)(value + 0.5), 1000, text) : "-", label);
}

char *top_header(const struct frame *frame, int line, char *buffer, size_t room)
{
    char used[16], left[16], when[32], in[32], out[32], bytes[32];

    if (line == 0) {
        snprintf(buffer, room, "ptqtop  %s  bus %s  %s  %s", frame->host, frame->run, frame->dir,
                 tool_when(frame->unix_ms, when));
        return buffer;
    }
    if (line == 1) {
        int length = snprintf(buffer, room, "%u queue%s  %u process%s alive, %u dead  shared memory %s used, %s free",
                              frame->queues, frame->queues == 1 ? "" : "s", frame->processes_alive,
                              frame->processes_alive == 1 ? "" : "es", frame->processes_dead,
                              tool_human(frame->memory_used, 1024, used), tool_human(frame->memory_free, 1024, left));
        if (frame->unreadable > 0 && length > 0 && (size_t)length < room)
            snprintf(buffer + length, room - (size_t)length, "  %u cannot be read", frame->unreadable);
        return buffer;
    }
    print_rate(in, sizeof in, " in/s", &frame->total, frame->total.in);
    print_rate(out, sizeof out, " out/s", &frame->total, frame->total.out);
    print_rate(bytes, sizeof bytes, " B/s", &frame->total, frame->total.bytes);
    snprintf(buffer, room, "%s  %s  %s  %" PRIu64 " dropped  %" PRIu64 " recoveries", in, out, bytes, frame->dropped,
             frame->recovered);
    return buffer;
}

static int render_table(const struct frame *frame, bool later, FILE *out)
{
    struct tool_table table;
    char line[1024];
    char safe[2048];

    if (later)
        fputc('\n', out);
    for (int i = 0; i < HEADER_LINES; i++) {
        top_header(frame, i, line, sizeof line);
        fprintf(out, "%s\n", tool_escape(line, strlen(line), safe, sizeof safe));
    }
    fputc('\n', out);
    if (top_options.workers)
        workers_fill_table(&frame->workers, &table);
    else
        top_fill_table(frame, LOOK_PLAIN, &table);
    tool_table_print(&table, out);
    tool_table_fini(&table);
    return TOOL_OK;
}

/* -- for machines --------------------------------------------------------------------------------------------- */

static void set_rate(json_t *object, const char *key, const struct rates *rates, double value)
{
    json_object_set_new(object, key, rates->known ? json_real(value) : json_null());
}

static void set_rates(json_t *object, const struct rates *rates)
{
    set_rate(object, "in_per_second", rates, rates->in);
    set_rate(object, "out_per_second", rates, rates->out);
    set_rate(object, "bytes_per_second", rates, rates->bytes);
}

static json_t *row_json(const struct row *row)
{
    json_t *object = tool_queue_json(row->name, &row->info, &row->stats);
    char flags[16];

    set_rates(object, &row->rates);
    set_rate(object, "redelivered_per_second", &row->rates, row->rates.redelivered);
    json_object_set_new(object, "flags", json_string(top_flags(row, flags)));
    if (!row->is_pool)
        return object;
    json_object_set_new(object, "kind", json_string("pool"));
    json_object_del(object, "path");
    json_object_set_new(object, "unordered", json_boolean(row->unordered));
    json_object_set_new(object, "sequence", row->unordered ? json_null() : json_integer((json_int_t)row->sequence));
    tool_set_number(object, "held", row->held);
    json_object_set_new(object, "head_pid", row->holder_pid != 0 ? json_integer(row->holder_pid) : json_null());
    if (row->holder_pid != 0) {
        json_object_set_new(object, "head_alive", json_boolean(row->holder_alive));
        json_object_set_new(object, "head_command", tool_text_json(row->holder_command));
    }
    return object;
}

static json_t *frame_json(const struct frame *frame)
{
    json_t *object = json_object();

    tool_set_number(object, "v", 1);
    json_object_set_new(object, "unix_ms", json_integer(frame->unix_ms));
    json_object_set_new(object, "host", tool_text_json(frame->host));
    json_object_set_new(object, "bus", tool_text_json(frame->run));
    json_object_set_new(object, "dir", tool_text_json(frame->dir));
    return object;
}

static int render_json(const struct frame *frame, FILE *out)
{
    json_t *object = frame_json(frame);
    json_t *queues = json_array();
    json_t *pools = json_array();

    tool_set_number(object, "memory_used_bytes", frame->memory_used);
    tool_set_number(object, "memory_free_bytes", frame->memory_free);
    tool_set_number(object, "queue_count", frame->queues);
    tool_set_number(object, "unreadable", frame->unreadable);
    tool_set_number(object, "processes_alive", frame->processes_alive);
    tool_set_number(object, "processes_dead", frame->processes_dead);
    tool_set_number(object, "dropped", frame->dropped);
    tool_set_number(object, "recovered", frame->recovered);
    set_rates(object, &frame->total);
    for (size_t i = 0; i < frame->count; i++)
        json_array_append_new(frame->rows[i].is_pool ? pools : queues, row_json(&frame->rows[i]));
    json_object_set_new(object, "queues", queues);
    json_object_set_new(object, "pools", pools);
    if (top_options.workers)
        json_object_set_new(object, "workers", workers_json(&frame->workers));
    int failed = json_dumpf(object, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) != 0 || fputc('\n', out) < 0;
    json_decref(object);
    return failed ? TOOL_ERROR : TOOL_OK;
}

/* A line a row; each line tells its moment, so that lines may be cut from their frame. */
static int render_ndjson(const struct frame *frame, FILE *out)
{
    size_t count = top_options.workers ? frame->workers.count : frame->count;
    int code = TOOL_OK;

    for (size_t i = 0; i < count && code == TOOL_OK; i++) {
        json_t *object = frame_json(frame);
        json_t *row = top_options.workers ? workers_row_json(&frame->workers.rows[i]) : row_json(&frame->rows[i]);
        json_object_update(object, row);
        json_decref(row);
        code = tool_print_json(object, out);
    }
    return code;
}

void print_csv_text(const char *text, FILE *out)
{
    char safe[1024];

    tool_escape(text, strlen(text), safe, sizeof safe);
    if (strpbrk(safe, ",\"") == NULL) {
        fputs(safe, out);
        return;
    }
    fputc('"', out);
    for (const char *c = safe; *c != '\0'; c++)
        fprintf(out, "%s%c", *c == '"' ? "\"" : "", *c);
    fputc('"', out);
}

static void print_csv_rate(const struct rates *rates, double value, FILE *out)
{
    if (rates->known)
        fprintf(out, ",%.3f", value);
    else
        fputc(',', out);
}

static int render_csv(const struct frame *frame, bool later, FILE *out)
{
    if (!later)
        fputs("unix_ms,bus,queue,kind,path,depth,queue_size,queue_capacity,queue_utilization_percent,queue_item_size_bytes,"
              "ready,leased,delayed,dead,put,acked,redelivered,dropped,in_per_second,out_per_second,bytes_per_second,"
              "redelivered_per_second,oldest_ms,producers,consumers,flags,sequence,window,head_pid\n",
              out);
    for (size_t i = 0; i < frame->count; i++) {
        const struct row *row = &frame->rows[i];
        const struct ptq_queue_stats *stats = &row->stats;
        char flags[16];
        const uint64_t figures[] = {stats->ready, stats->leased, stats->delayed, stats->dead,
                                    stats->put,   stats->acked,  stats->redelivered, stats->dropped};

        fprintf(out, "%" PRId64 ",", frame->unix_ms);
        print_csv_text(frame->run, out);
        fputc(',', out);
        print_csv_text(row->name, out);
        fprintf(out, ",%s,%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%.3f,%" PRIu64, row->kind, stats->remote ? "link" : "shm",
                tool_queue_depth(stats), stats->ready, stats->capacity, tool_queue_fill(stats), stats->item_size);
        for (size_t j = 0; j < sizeof figures / sizeof figures[0]; j++)
            fprintf(out, ",%" PRIu64, figures[j]);
        print_csv_rate(&row->rates, row->rates.in, out);
        print_csv_rate(&row->rates, row->rates.out, out);
        print_csv_rate(&row->rates, row->rates.bytes, out);
        print_csv_rate(&row->rates, row->rates.redelivered, out);
        fprintf(out, ",%" PRIu64 ",%u,%u,%s", stats->oldest_ms, stats->producers, stats->consumers, top_flags(row, flags));
        if (row->is_pool)
            fprintf(out, ",%" PRIu64 ",%" PRIu64 ",%d\n", row->sequence, row->info.window, row->holder_pid);
        else
            fputs(",,,\n", out);
    }
    return TOOL_OK;
}

int top_render(const struct frame *frame, enum top_output output, bool later, FILE *out)
{
    switch (output) {
    case OUTPUT_JSON:
        return render_json(frame, out);
    case OUTPUT_NDJSON:
        return render_ndjson(frame, out);
    case OUTPUT_CSV:
        if (!top_options.workers)
            return render_csv(frame, later, out);
        workers_csv(frame, later, out);
        return TOOL_OK;
    case OUTPUT_OPENMETRICS: /* openmetrics.c */
    case OUTPUT_TABLE:
        break;
    }
    return render_table(frame, later, out);
}
