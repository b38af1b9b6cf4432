/* workers.c -- the workers of the pools that are seen: one row and one lane each, from frame to frame. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/report.h"
#include "common/text.h"
#include "common/worker.h"
#include "views.h"
#include "watch.h"

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

static bool has_job(const struct worker_row *row)
{
    return row->now.state == PTQ_WORKER_WORKS || row->now.state == PTQ_WORKER_HANDS_IN;
}

/* A timing diagram: high while it works, low while it waits, and where a job began or ended an edge. */
static char wave_of(const struct worker_row *row, const struct worker_row *before)
{
    uint64_t done = row->now.jobs_done - before->now.jobs_done;

    if (done > 1)
        return 'M';
    if (done == 1 || has_job(row) != has_job(before) || (has_job(row) && row->now.ticket != before->now.ticket))
        return 'E';
    return has_job(row) ? 'H' : row->now.state == PTQ_WORKER_WAITS_FOR_ROOM ? 'O' : 'L';
}

static void find_rate(const struct workers *workers, struct worker_row *row, const struct worker_row *before)
{
    double seconds = (double)(row->at - before->base_at) / 1e9;

    row->known = before->known;
    row->rate = before->rate;
    row->base_at = before->base_at;
    row->base_done = before->base_done;
    if (row->at - row->base_at < workers->rate_window_ns || !(seconds > 0))
        return;
    row->known = true;
    row->rate = rate_of(row->now.jobs_done, row->base_done, seconds);
    row->base_at = row->at;
    row->base_done = row->now.jobs_done;
}

/* A lane has a letter a look, the newest last. */
static void compare(struct workers *workers, struct worker_row *row)
{
    const struct worker_row *before = find_before(workers, row);
    double seconds = before != NULL ? (double)(row->at - before->at) / 1e9 : 0;

    if (before == NULL || !(seconds > 0))
        return;
    find_rate(workers, row, before);
    memcpy(row->lane, before->lane, sizeof row->lane);
    size_t length = strlen(row->lane);
    if (length == LANE) {
        memmove(row->lane, row->lane + 1, LANE);
        length--;
    }
    row->lane[length] = workers->wave ? wave_of(row, before) : mark_of(row, before, seconds);
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

static size_t read_workers(struct workers *workers, ptq_bus *bus, const struct ptq_view_info *jobs)
{
    size_t count = 0;

    if (workers->read == NULL)
        workers->read = calloc(PTQ_WORKERS_MAX, sizeof *workers->read);
    if (workers->read == NULL || ptq_view_workers(bus, jobs, workers->read, PTQ_WORKERS_MAX, &count) != PTQ_OK)
        return 0;
    return count < PTQ_WORKERS_MAX ? count : PTQ_WORKERS_MAX;
}

bool workers_have(struct workers *workers, ptq_bus *bus, const struct ptq_view_info *jobs, uint64_t ticket, int64_t *ret_ns)
{
    size_t count = read_workers(workers, bus, jobs);

    for (size_t i = 0; i < count; i++)
        if (workers->read[i].has_job && workers->read[i].ticket == ticket) {
            *ret_ns = workers->read[i].since_ns;
            return true;
        }
    return false;
}

void workers_look(struct workers *workers, ptq_bus *bus, const char *pool, const struct ptq_view_info *jobs, int64_t now_ns)
{
    size_t count = read_workers(workers, bus, jobs);

    for (size_t i = 0; i < count; i++) {
        struct worker_row *row = add_row(workers);
        if (row == NULL)
            return;
        snprintf(row->pool, sizeof row->pool, "%s", pool);
        row->now = workers->read[i];
        row->at = row->base_at = now_ns;
        row->base_done = row->now.jobs_done;
        compare(workers, row);
    }
}

/* -- as a table ----------------------------------------------------------------------------------------------- */

/* The newest `width` letters, as they are drawn. */
static const char *draw_lane(const struct worker_row *row, enum lane_style style, size_t width, char buffer[LANE * 3 + 1])
{
    static const char *const glyphs[][2] = {['E'] = {"\u2502", "|"}, ['H'] = {"\u2594", "-"}, ['L'] = {"\u2581", "_"},
                                            ['M'] = {"\u2551", "#"}, ['O'] = {"\u25cb", "o"}};
    size_t length = strlen(row->lane);
    size_t used = 0;

    for (const char *at = row->lane + (length > width ? length - width : 0); *at != '\0'; at++) {
        bool letter = style == LANE_LETTERS || *at < 'E' || *at > 'O' || glyphs[(int)*at][0] == NULL;
        int written = letter ? snprintf(buffer + used, 5, "%c", *at)
                             : snprintf(buffer + used, 5, "%s", glyphs[(int)*at][style == LANE_WAVE_ASCII]);
        used += (size_t)written;
    }
    buffer[used] = '\0';
    return used > 0 ? buffer : "-";
}

static void add_wide_cells(struct tool_table *table, const struct worker_row *row)
{
    const struct ptq_worker_status *now = &row->now;
    char text[16];

    tool_table_cell(table, "%" PRIu64, now->jobs_done);
    tool_table_cell(table, "%" PRIu64, now->jobs_failed);
    if (row->known)
        tool_table_cell(table, row->rate > 0 && row->rate < 10 ? "%.1f" : "%.0f", row->rate);
    else
        tool_table_cell(table, "-");
    tool_table_cell(table, "%.0f%%", 100 * ptq_worker_efficiency(now));
    tool_table_cell(table, "%s", now->rss_bytes != 0 ? tool_human(now->rss_bytes, 1024, text) : "-");
}

static void add_cells(struct tool_table *table, const struct worker_row *row, bool narrow)
{
    const struct ptq_worker_status *now = &row->now;
    char text[16];

    tool_table_cell(table, "%s", now->name);
    tool_table_cell(table, "%s", row->pool);
    if (!narrow)
        tool_table_cell(table, "%" PRId64, now->pid);
    tool_table_cell(table, "%s", tool_worker_states[now->state]);
    tool_table_cell(table, "%s", tool_short_time((uint64_t)now->since_ns / 1000, text));
    if (!narrow)
        tool_table_cell(table, "%s", now->task[0] != '\0' ? now->task : "-");
    if (now->has_job)
        tool_table_cell(table, "%" PRIu64, now->ticket);
    else
        tool_table_cell(table, "-");
    if (!narrow)
        add_wide_cells(table, row);
}

void workers_fill_table(const struct workers *workers, enum lane_style style, size_t width, bool narrow, struct tool_table *table)
{
    static const struct tool_column columns[] = {
        {"WORKER", true}, {"POOL", true},    {"PID", false},    {"STATE", true}, {"FOR", false},  {"TASK", true}, {"TICKET", false},
        {"DONE", false},  {"FAILED", false}, {"DONE/s", false}, {"BUSY", false}, {"RSS", false}, {"LANE", true}};
    static const struct tool_column few[] = {{"WORKER", true}, {"POOL", true},    {"STATE", true},
                                             {"FOR", false},   {"TICKET", false}, {"LANE", true}};
    char lane[LANE * 3 + 1];

    if (narrow)
        tool_table_init(table, few, sizeof few / sizeof few[0]);
    else
        tool_table_init(table, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < workers->count; i++) {
        add_cells(table, &workers->rows[i], narrow);
        tool_table_cell(table, "%s", draw_lane(&workers->rows[i], style, width, lane));
    }
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
