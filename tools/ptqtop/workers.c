/* workers.c -- the workers of the pools that are seen: one row and one lane each, from frame to frame. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/report.h"
#include "common/text.h"
#include "common/worker.h"
#include "top.h"

enum { COLUMNS_OF_WORKERS = 13 };

static const struct tool_column columns[COLUMNS_OF_WORKERS] = {
    {"WORKER", true}, {"POOL", true},  {"PID", false},    {"STATE", true}, {"FOR", false},   {"TASK", true}, {"TICKET", false},
    {"DONE", false},  {"FAILED", false}, {"DONE/s", false}, {"BUSY", false}, {"RSS", false}, {"LANE", true}};

void workers_fini(struct workers *workers)
{
    free(workers->rows);
    free(workers->before);
    free(workers->read);
    *workers = (struct workers){0};
}

void workers_begin(struct workers *workers)
{
    struct worker_row *rows = workers->before;
    size_t room = workers->before_room;

    workers->before = workers->rows;
    workers->before_count = workers->count;
    workers->before_room = workers->room;
    workers->rows = rows;
    workers->room = room;
    workers->count = 0;
}

/* -- from frame to frame -------------------------------------------------------------------------------------- */

/* The same process in the same place. */
static const struct worker_row *find_before(const struct workers *workers, const struct worker_row *row)
{
    for (size_t i = 0; i < workers->before_count; i++) {
        const struct worker_row *one = &workers->before[i];
        if (one->now.pid == row->now.pid && one->now.started_unix_ms == row->now.started_unix_ms &&
            strcmp(one->now.name, row->now.name) == 0 && strcmp(one->pool, row->pool) == 0)
            return one;
    }
    return NULL;
}

/* What most of the time since the frame before was: # work, o results that nobody got yet, . nothing to do. */
static char mark_of(const struct worker_row *row, const struct worker_row *before, double seconds)
{
    double busy = (double)(row->now.busy_ns - before->now.busy_ns) / 1e9 / seconds;
    double room = (double)(row->now.wait_room_ns - before->now.wait_room_ns) / 1e9 / seconds;

    if (busy >= 0.75)
        return '#';
    if (room > busy && room >= 0.25)
        return 'o';
    return busy >= 0.25 ? '=' : busy >= 0.01 ? '-' : '.';
}

static void compare(struct workers *workers, struct worker_row *row)
{
    const struct worker_row *before = find_before(workers, row);
    double seconds = before != NULL ? (double)(row->at - before->at) / 1e9 : 0;

    if (before == NULL || !(seconds > 0))
        return;
    row->known = true;
    row->rate = row->now.jobs_done >= before->now.jobs_done ? (double)(row->now.jobs_done - before->now.jobs_done) / seconds : 0;
    memcpy(row->lane, before->lane, sizeof row->lane);
    size_t length = strlen(row->lane);
    if (length == LANE) {
        memmove(row->lane, row->lane + 1, LANE);
        length--;
    }
    row->lane[length] = mark_of(row, before, seconds);
    row->lane[length + 1] = '\0';
}

static struct worker_row *add_row(struct workers *workers)
{
    if (workers->count == workers->room) {
        size_t room = workers->room == 0 ? 16 : 2 * workers->room;
        struct worker_row *rows = realloc(workers->rows, room * sizeof *rows);
        if (rows == NULL)
            return NULL;
        workers->rows = rows;
        workers->room = room;
    }
    struct worker_row *row = &workers->rows[workers->count++];
    *row = (struct worker_row){.at = 0};
    return row;
}

void workers_look(struct workers *workers, ptq_bus *bus, const char *pool, const struct ptq_view_info *jobs, int64_t now_ns)
{
    size_t count = 0;

    if (workers->read == NULL)
        workers->read = calloc(PTQ_WORKERS_MAX, sizeof *workers->read);
    if (workers->read == NULL || ptq_view_workers(bus, jobs, workers->read, PTQ_WORKERS_MAX, &count) != PTQ_OK)
        return;
    for (size_t i = 0; i < count && i < PTQ_WORKERS_MAX; i++) {
        struct worker_row *row = add_row(workers);
        if (row == NULL)
            return;
        snprintf(row->pool, sizeof row->pool, "%s", pool);
        row->now = workers->read[i];
        row->at = now_ns;
        compare(workers, row);
    }
}

/* -- as a table ----------------------------------------------------------------------------------------------- */

static void add_cells(struct tool_table *table, const struct worker_row *row)
{
    const struct ptq_worker_status *now = &row->now;
    char text[16];

    tool_table_cell(table, "%s", now->name);
    tool_table_cell(table, "%s", row->pool);
    tool_table_cell(table, "%" PRId64, now->pid);
    tool_table_cell(table, "%s", tool_worker_states[now->state]);
    tool_table_cell(table, "%s", tool_short_time((uint64_t)now->since_ns / 1000, text));
    tool_table_cell(table, "%s", now->task[0] != '\0' ? now->task : "-");
    if (now->has_job)
        tool_table_cell(table, "%" PRIu64, now->ticket);
    else
        tool_table_cell(table, "-");
    tool_table_cell(table, "%" PRIu64, now->jobs_done);
    tool_table_cell(table, "%" PRIu64, now->jobs_failed);
    if (row->known)
        tool_table_cell(table, row->rate > 0 && row->rate < 10 ? "%.1f" : "%.0f", row->rate);
    else
        tool_table_cell(table, "-");
    tool_table_cell(table, "%.0f%%", 100 * ptq_worker_efficiency(now));
    tool_table_cell(table, "%s", now->rss_bytes != 0 ? tool_human(now->rss_bytes, 1024, text) : "-");
    tool_table_cell(table, "%s", row->lane[0] != '\0' ? row->lane : "-");
}

void workers_fill_table(const struct workers *workers, struct tool_table *table)
{
    tool_table_init(table, columns, COLUMNS_OF_WORKERS);
    for (size_t i = 0; i < workers->count; i++)
        add_cells(table, &workers->rows[i]);
}

/* -- for machines --------------------------------------------------------------------------------------------- */

json_t *workers_row_json(const struct worker_row *row)
{
    json_t *object = tool_worker_json(&row->now);

    json_object_set_new(object, "kind", json_string("worker"));
    json_object_set_new(object, "pool", tool_text_json(row->pool));
    json_object_set_new(object, "done_per_second", row->known ? json_real(row->rate) : json_null());
    return object;
}

json_t *workers_json(const struct workers *workers)
{
    json_t *list = json_array();

    for (size_t i = 0; i < workers->count; i++)
        json_array_append_new(list, workers_row_json(&workers->rows[i]));
    return list;
}

void workers_csv(const struct frame *frame, bool later, FILE *out)
{
    if (!later)
        fputs("unix_ms,bus,pool,worker,pid,state,state_ms,task,ticket,tries,done,failed,done_per_second,efficiency,busy_ms,wait_job_ms,"
              "wait_room_ms,rss_bytes,deaths\n",
              out);
    for (size_t i = 0; i < frame->workers.count; i++) {
        const struct worker_row *row = &frame->workers.rows[i];
        const struct ptq_worker_status *now = &row->now;

        fprintf(out, "%" PRId64 ",", frame->unix_ms);
        print_csv_text(frame->run, out);
        fputc(',', out);
        print_csv_text(row->pool, out);
        fputc(',', out);
        print_csv_text(now->name, out);
        fprintf(out, ",%" PRId64 ",%s,%" PRId64 ",", now->pid, tool_worker_states[now->state], now->since_ns / 1000000);
        print_csv_text(now->task, out);
        if (now->has_job)
            fprintf(out, ",%" PRIu64 ",%u", now->ticket, now->tries);
        else
            fputs(",,", out);
        fprintf(out, ",%" PRIu64 ",%" PRIu64 ",", now->jobs_done, now->jobs_failed);
        if (row->known)
            fprintf(out, "%.3f", row->rate);
        fprintf(out, ",%.4f,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%u\n", ptq_worker_efficiency(now), now->busy_ns / 1000000,
                now->wait_job_ns / 1000000, now->wait_room_ns / 1000000, now->rss_bytes, now->deaths);
    }
}
