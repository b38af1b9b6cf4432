/* json.c -- a frame as JSON: one object, or one a row; and rows that are known as objects as CSV. */
#include <inttypes.h>
#include <string.h>

#include "columns.h"
#include "common/report.h"
#include "common/say.h"
#include "common/worker.h"
#include "views.h"

void set_rate(json_t *object, const char *key, bool known, double value)
{
    json_object_set_new(object, key, known ? json_real(value) : json_null());
}

static void set_rates(json_t *object, const struct rates *rates)
{
    set_rate(object, "in_per_second", rates->known, rates->in);
    set_rate(object, "out_per_second", rates->known, rates->out);
    set_rate(object, "bytes_per_second", rates->known, rates->bytes);
    set_rate(object, "dropped_per_second", rates->known, rates->dropped);
}

static void set_waits(json_t *object, const struct row *row)
{
    bool some = row->wait_count > 0;

    tool_set_number(object, "waits_measured", row->wait_count);
    json_object_set_new(object, "wait_p50_us", some ? json_integer((json_int_t)row->p50_us) : json_null());
    json_object_set_new(object, "wait_p99_us", some ? json_integer((json_int_t)row->p99_us) : json_null());
}

static void set_pool(json_t *object, const struct row *row)
{
    json_object_del(object, "path");
    json_object_set_new(object, "unordered", json_boolean(row->unordered));
    json_object_set_new(object, "sequence", row->unordered ? json_null() : json_integer((json_int_t)row->sequence));
    tool_set_number(object, "held", row->held);
    json_object_set_new(object, "head_pid", row->holder_pid != 0 ? json_integer(row->holder_pid) : json_null());
    if (row->holder_pid == 0)
        return;
    json_object_set_new(object, "head_alive", json_boolean(row->holder_alive));
    json_object_set_new(object, "head_command", tool_text_json(row->holder_command));
    tool_set_number(object, "head_ms", (uint64_t)row->holder_ns / 1000000);
}

static json_t *row_json(const struct row *row)
{
    json_t *object = tool_queue_json(row->name, row->stats.remote || row->unread ? NULL : &row->info, &row->stats);
    char flags[16];

    if (strcmp(row->kind, "queue") != 0)
        json_object_set_new(object, "kind", json_string(row->kind));
    if (row->note[0] != '\0')
        json_object_set_new(object, "note", tool_text_json(row->note));
    set_rates(object, &row->rates);
    set_rate(object, "redelivered_per_second", row->rates.known, row->rates.redelivered);
    set_waits(object, row);
    tool_set_number(object, "overdue", row->overdue);
    json_object_set_new(object, "get_waits", json_boolean(row->get_waits && row->stats.consumers > 0));
    json_object_set_new(object, "put_waits", json_boolean(row->put_waits && row->stats.producers > 0));
    json_object_set_new(object, "flags", json_string(top_flags(row, flags)));
    if (row->is_pool)
        set_pool(object, row);
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

/* -- the rows of a view ------------------------------------------------------------------------------------------- */

static bool shows_workers(void)
{
    return top_options.view == VIEW_POOLS && top_options.workers;
}

static size_t count_rows(const struct frame *frame)
{
    switch ((enum view)top_options.view) {
    case VIEW_PROCESSES:
        return frame->processes.count;
    case VIEW_LINKS:
        return frame->links.count;
    case VIEW_EVENTS:
        return (size_t)(frame->events.count - frame->events.first_of_frame);
    case VIEW_POOLS:
        if (shows_workers())
            return frame->workers.count;
        break;
    default:
        break;
    }
    return frame->count;
}

/* NULL: it is not of this view. */
static json_t *view_row_json(const struct frame *frame, size_t i)
{
    switch ((enum view)top_options.view) {
    case VIEW_PROCESSES:
        return processes_row_json(&frame->processes.rows[i]);
    case VIEW_LINKS:
        return links_row_json(&frame->links.rows[i]);
    case VIEW_EVENTS:
        return events_row_json(&frame->events.list[(frame->events.first_of_frame + i) % EVENTS]);
    case VIEW_POOLS:
        if (shows_workers())
            return workers_row_json(&frame->workers.rows[i]);
        return frame->rows[i]->is_pool ? row_json(frame->rows[i]) : NULL;
    default:
        return row_json(frame->rows[i]);
    }
}

static void set_view(json_t *object, const struct frame *frame)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < count_rows(frame); i++)
        json_array_append_new(rows, view_row_json(frame, i));
    json_object_set_new(object, ((const char *const[]){"queues", "processes", "links", "pools", "events"})[top_options.view], rows);
}

static void set_workers(json_t *object, const struct frame *frame)
{
    json_t *list = json_array();

    for (size_t i = 0; i < frame->workers.count; i++)
        json_array_append_new(list, workers_row_json(&frame->workers.rows[i]));
    json_object_set_new(object, "workers", list);
}

int render_json(const struct frame *frame, FILE *out)
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
    tool_set_number(object, "links_up", frame->links.up);
    tool_set_number(object, "links_down", frame->links.down);
    tool_set_number(object, "dropped", frame->dropped);
    tool_set_number(object, "recovered", frame->recovered);
    set_rates(object, &frame->total);
    for (size_t i = 0; i < frame->count; i++)
        json_array_append_new(frame->rows[i]->is_pool ? pools : queues, row_json(frame->rows[i]));
    json_object_set_new(object, "queues", queues);
    json_object_set_new(object, "pools", pools);
    if (top_options.view == VIEW_POOLS)
        set_workers(object, frame);
    else if (top_options.view != VIEW_QUEUES)
        set_view(object, frame);
    int failed = json_dumpf(object, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) != 0 || fputc('\n', out) < 0;
    json_decref(object);
    return failed ? TOOL_ERROR : TOOL_OK;
}

/* A line a row; each line tells its moment, so that lines may be cut from their frame. */
int render_ndjson(const struct frame *frame, FILE *out)
{
    int code = TOOL_OK;

    for (size_t i = 0; i < count_rows(frame) && code == TOOL_OK; i++) {
        json_t *row = view_row_json(frame, i);
        if (row == NULL)
            continue;
        json_t *object = frame_json(frame);
        json_object_update(object, row);
        json_decref(row);
        code = tool_print_json(object, out);
    }
    return code;
}

/* -- as CSV ------------------------------------------------------------------------------------------------------- */

static void print_value(const json_t *value, FILE *out)
{
    if (json_is_integer(value))
        fprintf(out, ",%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        fprintf(out, ",%.3f", json_real_value(value));
    else if (json_is_boolean(value))
        fprintf(out, ",%d", json_is_true(value));
    else
        fputc(',', out);
    if (json_is_string(value))
        print_csv_text(json_string_value(value), out);
}

/* The keys of the first row are the heads; all rows of a view have the same. */
int render_rows_csv(const struct frame *frame, FILE *out)
{
    static bool has_heads;
    const char *key;
    json_t *value;

    for (size_t i = 0; i < count_rows(frame); i++) {
        json_t *row = view_row_json(frame, i);
        if (row == NULL)
            continue;
        if (!has_heads) {
            fputs("unix_ms,bus", out);
            json_object_foreach(row, key, value)
                fprintf(out, ",%s", key);
            fputc('\n', out);
        }
        has_heads = true;
        fprintf(out, "%" PRId64 ",", frame->unix_ms);
        print_csv_text(frame->run, out);
        json_object_foreach(row, key, value)
            print_value(value, out);
        fputc('\n', out);
        json_decref(row);
    }
    return TOOL_OK;
}
