/* processes.c -- who is there: every process that has a queue open, every worker of a pool, and every supervised one, each once. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "columns.h"
#include "common/report.h"
#include "common/text.h"
#include "common/worker.h"
#include "views.h"
#include "watch.h"

void processes_fini(struct processes *processes)
{
    free(processes->rows);
    free(processes->before);
    *processes = (struct processes){0};
}

/* -- gathering --------------------------------------------------------------------------------------------------- */

static void begin(struct processes *processes, int64_t now)
{
    struct process_row *rows = processes->before;
    size_t room = processes->before_room;

    processes->before = processes->rows;
    processes->before_count = processes->count;
    processes->before_room = processes->room;
    processes->rows = rows;
    processes->room = room;
    processes->count = 0;
    processes->at_before = processes->at;
    processes->at = now;
}

static struct process_row *add_row(struct processes *processes)
{
    if (processes->count == processes->room) {
        size_t room = processes->room == 0 ? 32 : 2 * processes->room;
        struct process_row *rows = realloc(processes->rows, room * sizeof *rows);
        if (rows == NULL)
            return NULL;
        processes->rows = rows;
        processes->room = room;
    }
    struct process_row *row = &processes->rows[processes->count++];
    *row = (struct process_row){.kind = "attached"};
    return row;
}

/* The row of a handle of the same process; NULL: there is none from this one on. */
static struct process_row *find_same(struct processes *processes, size_t from, const struct ptq_view_endpoint *one)
{
    for (size_t i = from; i < processes->count; i++)
        if (processes->rows[i].pid == one->pid && processes->rows[i].alive == one->alive)
            return &processes->rows[i];
    return NULL;
}

/* A process that has a queue open by several handles has it open once. */
static void add_people(struct processes *processes, const struct watched *queue)
{
    size_t from = processes->count;
    char target[400];

    for (size_t i = 0; i < queue->people_count; i++) {
        const struct ptq_view_endpoint *one = &queue->people[i];
        struct process_row *row = find_same(processes, from, one);
        if (row == NULL && (row = add_row(processes)) == NULL)
            return;
        row->pid = one->pid;
        row->alive = one->alive;
        row->queues = 1;
        if (row->since_unix_ms == 0 || one->since_unix_ms < row->since_unix_ms)
            row->since_unix_ms = one->since_unix_ms;
        row->put += one->put;
        row->taken += one->taken;
        row->acked += one->acked;
        row->leased += one->leased;
        snprintf(row->command, sizeof row->command, "%.*s", (int)sizeof row->command - 1, one->command);
        bool outbox = strcmp(queue->row.kind, "outbox") == 0;
        snprintf(row->what, sizeof row->what, "%.100s", outbox ? outbox_name(queue->row.note, target, sizeof target) : queue->row.name);
    }
}

static void add_workers(struct processes *processes, const struct workers *workers)
{
    for (size_t i = 0; i < workers->count; i++) {
        const struct worker_row *one = &workers->rows[i];
        struct process_row *row = add_row(processes);
        if (row == NULL)
            return;
        row->kind = "worker";
        row->pid = (int32_t)one->now.pid;
        row->alive = true;
        row->since_unix_ms = one->now.started_unix_ms;
        snprintf(row->what, sizeof row->what, "%.40s %.30s %s%s%.24s", one->pool, one->now.name, tool_worker_states[one->now.state],
                 one->now.task[0] != '\0' ? " " : "", one->now.task);
    }
}

static bool add_supervised(const struct ptq_process_seen *seen, void *context)
{
    struct process_row *row = add_row(context);
    char since[16];

    if (row == NULL)
        return false;
    row->kind = "supervised";
    row->pid = (int32_t)seen->pid;
    row->alive = true;
    row->parent = (int32_t)seen->parent;
    snprintf(row->what, sizeof row->what, "%.40s %s%s%s run %" PRIu64 ", %u %s left%s", seen->name, ptq_section_name(seen->section),
             seen->section_ns > 0 ? " for " : "", seen->section_ns > 0 ? tool_short_time(seen->section_ns / 1000, since) : "", seen->runs + 1,
             seen->lives, seen->lives == 1 ? "life" : "lives", seen->stopping ? ", stopping" : "");
    return true;
}

/* Workers and supervised ones before those who are attached alone; the dead behind. */
static int compare_rows(const void *a, const void *b)
{
    const struct process_row *x = a;
    const struct process_row *y = b;

    if (x->pid != y->pid)
        return x->pid < y->pid ? -1 : 1;
    if (x->alive != y->alive)
        return x->alive ? -1 : 1;
    return strcmp(y->kind, x->kind);
}

static void join(struct process_row *row, const struct process_row *other)
{
    row->queues += other->queues;
    row->put += other->put;
    row->taken += other->taken;
    row->acked += other->acked;
    row->leased += other->leased;
    if (row->since_unix_ms == 0 || (other->since_unix_ms != 0 && other->since_unix_ms < row->since_unix_ms))
        row->since_unix_ms = other->since_unix_ms;
    if (row->command[0] == '\0')
        memcpy(row->command, other->command, sizeof row->command);
    size_t length = strlen(row->what), more = strlen(other->what);
    if (strcmp(row->kind, "attached") != 0 || length + 3 >= sizeof row->what)
        return;
    more = more < sizeof row->what - length - 3 ? more : sizeof row->what - length - 3;
    memcpy(row->what + length, ", ", 2);
    memcpy(row->what + length + 2, other->what, more);
    row->what[length + 2 + more] = '\0';
}

static void join_same(struct processes *processes)
{
    size_t kept = 0;

    if (processes->count > 1)
        qsort(processes->rows, processes->count, sizeof *processes->rows, compare_rows);
    for (size_t i = 0; i < processes->count; i++) {
        struct process_row *last = kept > 0 ? &processes->rows[kept - 1] : NULL;
        if (last != NULL && last->pid == processes->rows[i].pid && last->alive == processes->rows[i].alive)
            join(last, &processes->rows[i]);
        else
            processes->rows[kept++] = processes->rows[i];
    }
    processes->count = kept;
}

/* -- what the kernel says ------------------------------------------------------------------------------------------ */

/* When the host was started, in ms since 1970. */
static int64_t boot_unix_ms(void)
{
    return (clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME)) / 1000000;
}

/* Its processor time, memory, parent, and where it is not known yet since when it lives; of processes in another pid namespace nothing is known, or of another that has the same number:
 * then the name is another. */
static void ask_kernel(struct process_row *row)
{
    char path[64], text[1024], command[64];
    unsigned long long user, system, began;
    long long pages;
    int parent;

    snprintf(path, sizeof path, "/proc/%d/stat", row->pid);
    FILE *file = fopen(path, "re");
    size_t size = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file != NULL)
        fclose(file);
    text[size] = '\0';
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    if (open == NULL || close == NULL || close < open)
        return;
    snprintf(command, sizeof command, "%.*s", (int)(close - open - 1), open + 1);
    if (row->command[0] != '\0' && strncmp(command, row->command, sizeof row->command - 1) != 0)
        return;
    if (sscanf(close + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu %*u %lld", &parent, &user,
               &system, &began, &pages) != 5)
        return;
    row->parent = parent;
    if (row->since_unix_ms == 0)
        row->since_unix_ms = boot_unix_ms() + (int64_t)(began * 1000 / (uint64_t)sysconf(_SC_CLK_TCK));
    row->cpu_ms = (user + system) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
    row->rss_bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
    snprintf(row->command, sizeof row->command, "%.15s", command);
}

static int compare_places(const void *a, const void *b)
{
    const struct process_row *x = a;
    const struct process_row *y = b;

    return x->pid != y->pid ? (x->pid < y->pid ? -1 : 1) : (int)y->alive - (int)x->alive;
}

static void compare_with_before(struct processes *processes, struct process_row *row)
{
    double seconds = (double)(processes->at - processes->at_before) / 1e9;
    const struct process_row *one = processes->at_before == 0 || processes->before_count == 0 || !(seconds > 0)
                                        ? NULL
                                        : bsearch(row, processes->before, processes->before_count, sizeof *row, compare_places);

    if (one == NULL || strcmp(one->command, row->command) != 0)
        return;
    row->known = true;
    row->put_rate = rate_of(row->put, one->put, seconds);
    row->ack_rate = rate_of(row->acked, one->acked, seconds);
    row->cpu = rate_of(row->cpu_ms, one->cpu_ms, seconds) / 10;
}

void processes_look(struct watcher *watcher)
{
    struct processes *processes = &watcher->frame.processes;
    size_t kept = 0;

    begin(processes, clock_ns(CLOCK_MONOTONIC));
    for (size_t i = 0; i < watcher->count; i++)
        add_people(processes, watcher->queues[i]);
    add_workers(processes, &watcher->frame.workers);
    if (watcher->away == NULL && ptq_bus_list_processes(watcher->bus, add_supervised, processes) != PTQ_OK)
        event_add(watcher, EVENT_WARN, "/proc", "supervised processes cannot be listed");
    join_same(processes);
    for (size_t i = 0; i < processes->count; i++) {
        struct process_row *row = &processes->rows[i];
        if (row->alive)
            ask_kernel(row);
        if (!passes_filter(row->what) && !passes_filter(row->command))
            continue;
        compare_with_before(processes, row);
        processes->rows[kept++] = *row;
    }
    processes->count = kept;
}

/* -- as a table, and for machines ------------------------------------------------------------------------------------ */

void processes_fill_table(const struct frame *frame, struct tool_table *table)
{
    const struct processes *processes = &frame->processes;
    static const struct tool_column columns[] = {
        {"PID", false},   {"COMMAND", true}, {"STATE", true}, {"KIND", true},   {"QUEUES", false}, {"PUT/s", false}, {"ACK/s", false},
        {"LEASED", false}, {"CPU", false},   {"RSS", false},  {"SINCE", false}, {"DOES", true}};
    char text[32];

    tool_table_init(table, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < processes->count; i++) {
        const struct process_row *row = &processes->rows[i];
        const double rates[] = {row->put_rate, row->ack_rate};
        tool_table_cell(table, "%d", row->pid);
        tool_table_cell(table, "%s", row->command[0] != '\0' ? row->command : "-");
        tool_table_cell(table, "%s", row->alive ? "alive" : "dead");
        tool_table_cell(table, "%s", row->kind);
        tool_table_cell(table, "%u", row->queues);
        for (size_t j = 0; j < 2; j++) {
            if (!row->known || row->queues == 0)
                tool_table_cell(table, "-");
            else
                tool_table_cell(table, rates[j] > 0 && rates[j] < 10 ? "%.1f" : "%.0f", rates[j]);
        }
        tool_table_cell(table, "%" PRIu64, row->leased);
        if (row->known && row->rss_bytes > 0)
            tool_table_cell(table, "%.0f%%", row->cpu);
        else
            tool_table_cell(table, "-");
        tool_table_cell(table, "%s", row->rss_bytes > 0 ? tool_human(row->rss_bytes, 1024, text) : "-");
        int64_t age = frame->unix_ms - row->since_unix_ms;
        tool_table_cell(table, "%s", row->since_unix_ms > 0 ? tool_age(age > 0 ? (uint64_t)age : 0, text) : "-");
        tool_table_cell(table, "%s", row->what);
    }
}

json_t *processes_row_json(const struct process_row *row)
{
    json_t *object = json_object();

    json_object_set_new(object, "kind", json_string("process"));
    tool_set_number(object, "pid", (uint64_t)row->pid);
    json_object_set_new(object, "command", tool_text_json(row->command));
    json_object_set_new(object, "alive", json_boolean(row->alive));
    json_object_set_new(object, "role", json_string(row->kind));
    json_object_set_new(object, "does", tool_text_json(row->what));
    tool_set_number(object, "queues", row->queues);
    tool_set_number(object, "put", row->put);
    tool_set_number(object, "taken", row->taken);
    tool_set_number(object, "acked", row->acked);
    tool_set_number(object, "leased", row->leased);
    set_rate(object, "put_per_second", row->known, row->put_rate);
    set_rate(object, "acked_per_second", row->known, row->ack_rate);
    set_rate(object, "cpu_percent", row->known && row->rss_bytes > 0, row->cpu);
    json_object_set_new(object, "rss_bytes", row->rss_bytes > 0 ? json_integer((json_int_t)row->rss_bytes) : json_null());
    json_object_set_new(object, "parent_pid", row->parent > 0 ? json_integer(row->parent) : json_null());
    json_object_set_new(object, "since_unix_ms", json_integer(row->since_unix_ms));
    return object;
}
