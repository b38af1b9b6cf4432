/* detail.c -- what is told of one queue. */
#include <inttypes.h>
#include <string.h>

#include "common/report.h"
#include "common/text.h"
#include "pane.h"

typedef unsigned long long ull;

static attr_t head_look(const struct screen *screen)
{
    return A_BOLD | paint(screen, PAINT_HEAD, A_NORMAL);
}

/* -- figures ------------------------------------------------------------------------------------------------------- */

static void add_limits(const struct row *row, int width, struct pane *pane)
{
    const struct ptq_view_info *info = &row->info;
    char deliveries[32] = "no limit of deliveries", lease[48] = "leases last as long as their holder", ttl[32] = "";

    if (row->stats.remote || row->unread)
        return;
    if (info->max_deliveries != PTQ_NEVER)
        snprintf(deliveries, sizeof deliveries, "at most %u deliveries", info->max_deliveries);
    if (info->lease_ms != 0)
        snprintf(lease, sizeof lease, "leases last %u ms", info->lease_ms);
    if (info->ttl_ms != 0)
        snprintf(ttl, sizeof ttl, "  messages live %u ms", info->ttl_ms);
    pane_add_parts(pane, A_NORMAL, width, "when full %s  %s  %s%s", tool_full_words[info->full], deliveries, lease, ttl);
}

static void add_pool(const struct screen *screen, const struct row *row, int width, struct pane *pane)
{
    char age[16];

    if (!row->is_pool)
        return;
    pane_add_parts(pane, row->holder_pid != 0 && !row->holder_alive ? paint(screen, PAINT_ALARM, A_BOLD) : A_NORMAL, width,
             "next ticket out %llu  window %llu  %llu results wait", (ull)row->sequence, (ull)row->info.window, (ull)row->held);
    if (row->holder_pid != 0)
        pane_add(pane, A_NORMAL, "head held by %d %s%s for %s", row->holder_pid, row->holder_command, row->holder_alive ? "" : " (dead)",
                 tool_age((uint64_t)row->holder_ns / 1000000, age));
    else
        pane_add(pane, A_NORMAL, "head held by nobody");
}

void detail_facts(const struct screen *screen, const struct row *row, int width, struct pane *pane)
{
    const struct ptq_queue_stats *stats = &row->stats;
    char age[16], flags[16], bytes[16];

    pane_add_parts(pane, A_BOLD, width, "%s  (%s)  %s", row->name, row->kind, row->note[0] != '\0' ? row->note : row->is_pool ? "" : row->info.path);
    if (row->unread)
        return;
    pane_add_parts(pane, A_NORMAL, width, "%llu messages of at most %llu bytes  %s of memory", (ull)stats->capacity, (ull)stats->item_size,
             tool_human(stats->bytes, 1024, bytes));
    pane_add_parts(pane, A_NORMAL, width, "%llu ready (%.0f%%)  %llu leased  %llu delayed  %llu dead%s", (ull)stats->ready, tool_queue_fill(stats),
             (ull)stats->leased, (ull)stats->delayed, (ull)stats->dead, row->overdue > 0 ? "  with overdue leases" : "");
    pane_add_parts(pane, A_NORMAL, width, "%llu put  %llu taken  %llu acked  %llu given back  %llu redelivered  %llu dropped", (ull)stats->put,
             (ull)stats->taken, (ull)stats->acked, (ull)stats->nacked, (ull)stats->redelivered, (ull)stats->dropped);
    if (stats->dropped > 0)
        pane_add_parts(pane, A_NORMAL, width, "dropped: %llu oldest  %llu newest  %llu expired  %llu purged  %llu dead letters", (ull)stats->dropped_by[0],
                 (ull)stats->dropped_by[1], (ull)stats->dropped_by[2], (ull)stats->dropped_by[3], (ull)stats->dropped_by[4]);
    pane_add_parts(pane, A_NORMAL, width, "oldest %s  recoveries %llu  flags %s%s%s", stats->oldest_ms > 0 ? tool_age(stats->oldest_ms, age) : "-",
             (ull)stats->recovered, top_flags(row, flags)[0] != '\0' ? flags : "-", stats->ended ? "  ended" : "", stats->paused ? "  paused" : "");
    add_limits(row, width, pane);
    add_pool(screen, row, width, pane);
}

/* -- trends -------------------------------------------------------------------------------------------------------- */

static void add_trend(const struct screen *screen, const char *name, const struct history *history, const float *line, bool level, int width,
                      struct pane *pane)
{
    float values[HISTORY];
    char text[HISTORY * 3 + 4], most[16], last[16];
    size_t room = width > 40 ? (size_t)width - 32 : 8;
    size_t count = history_last(history, line, level, screen->frame->number, room < HISTORY ? room : HISTORY, values);
    float top = 0;

    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        top = values[i] > top ? values[i] : top;
    pane_add(pane, A_NORMAL, "%-6s %-*s now %s  most %s", name, 0, history_spark(values, count, screen->look != LOOK_BARS, text, sizeof text),
             tool_human((uint64_t)(values[count - 1] + 0.5f), 1000, last), tool_human((uint64_t)(top + 0.5f), 1000, most));
}

void detail_trends(const struct screen *screen, const struct row *row, int width, struct pane *pane)
{
    const struct history *history = row->history;

    if (history == NULL)
        return;
    pane_add(pane, A_NORMAL, "%s", "");
    add_trend(screen, "DEPTH", history, history->depth, true, width, pane);
    add_trend(screen, "IN/s", history, history->in, false, width, pane);
    add_trend(screen, "OUT/s", history, history->out, false, width, pane);
}

/* -- how long they waited -------------------------------------------------------------------------------------------- */

enum { STEPS = 20 }; /* 1 us, 4 us, 16 us, ...: each four times the one before */

static unsigned sum_up(const struct ptq_view_waits *waits, uint64_t counts[STEPS], unsigned *ret_first)
{
    unsigned last = 0, step = 0;

    *ret_first = STEPS;
    for (unsigned i = 0; i < PTQ_WAIT_BUCKETS; i++) {
        while (step + 1 < STEPS && ptq_wait_bucket_us(i) > (UINT64_C(1) << (2 * step)))
            step++;
        counts[step] += waits->buckets[i];
        if (waits->buckets[i] == 0)
            continue;
        if (*ret_first == STEPS)
            *ret_first = step;
        last = step;
    }
    return last;
}

static void add_bar(const struct screen *screen, const char *label, uint64_t count, uint64_t most, uint64_t all, int width, struct pane *pane)
{
    enum { ROOM = 60 };
    char bar[ROOM * 3 + 1] = "";
    int room = width - 34 > ROOM ? ROOM : width - 34 < 8 ? 8 : width - 34;
    int length = most > 0 ? (int)((double)count / (double)most * room + 0.5) : 0;

    if (count > 0 && length == 0)
        length = 1;
    for (int i = 0; i < length; i++)
        strcat(bar, screen->look == LOOK_BARS ? "\u2588" : "#");
    pane_add(pane, A_NORMAL, "%8s %s%*s %5.1f%%  %" PRIu64, label, bar, room - length, "", 100.0 * (double)count / (double)all, count);
}

void detail_waits(const struct screen *screen, const struct watched *queue, int width, struct pane *pane)
{
    struct ptq_view_waits waits;
    uint64_t counts[STEPS] = {0}, most = 0;
    char half[16], nearly[16], all[16], label[16];
    unsigned first;

    if (queue->view == NULL || ptq_view_waits(queue->view, &waits) != PTQ_OK)
        return;
    for (unsigned i = 0; i < PTQ_WAIT_BUCKETS && queue->base_waits != NULL; i++)
        waits.buckets[i] -= queue->base_waits->buckets[i];
    waits.count -= queue->base_waits != NULL ? queue->base_waits->count : 0;
    pane_add(pane, A_NORMAL, "%s", "");
    if (waits.count == 0) {
        pane_add(pane, head_look(screen), "WAITED  nothing that was taken bore a stamp");
        return;
    }
    pane_add(pane, head_look(screen), "WAITED  half %s  99%% %s  all %s  (%" PRIu64 " measured%s)",
             tool_short_time(ptq_waits_quantile_us(&waits, 0.5), half), tool_short_time(ptq_waits_quantile_us(&waits, 0.99), nearly),
             tool_short_time(ptq_waits_quantile_us(&waits, 1), all), waits.count, queue->base_waits != NULL ? " since the baseline" : "");
    unsigned last = sum_up(&waits, counts, &first);
    for (unsigned i = first; i <= last; i++)
        most = counts[i] > most ? counts[i] : most;
    for (unsigned i = first; i <= last; i++) {
        char to[16];
        snprintf(label, sizeof label, "<=%s", tool_short_time(UINT64_C(1) << (2 * i), to));
        add_bar(screen, i + 1 < STEPS ? label : "longer", counts[i], most, waits.count, width, pane);
    }
}

/* -- who ------------------------------------------------------------------------------------------------------------- */

void detail_people(const struct screen *screen, const struct watched *queue, int width, struct pane *pane)
{
    static const struct tool_column columns[] = {
        {"PID", false}, {"COMMAND", true}, {"STATE", true}, {"LEASED", false}, {"PUT", false}, {"ACKED", false},
        {"SINCE", false}, {"TAKEN", false}, {"NACKED", false}, {"OLDEST", false}};
    int fit = width >= 78 ? 10 : width >= 50 ? 7 : 4; /* the later ones go first */
    struct tool_table table;
    char text[16], line[1024];

    tool_table_init(&table, columns, (size_t)fit);
    for (size_t i = 0; i < queue->people_count; i++) {
        const struct ptq_view_endpoint *one = &queue->people[i];
        int64_t age = screen->frame->unix_ms - one->since_unix_ms;
        const uint64_t figures[] = {one->leased, one->put, one->acked, 0, one->taken, one->nacked, one->oldest_position};
        tool_table_cell(&table, "%d", one->pid);
        tool_table_cell(&table, "%.16s", one->command);
        tool_table_cell(&table, "%s", one->alive ? "alive" : "dead");
        for (int j = 3; j < fit; j++) {
            if (j == 6)
                tool_table_cell(&table, "%s", tool_age(age > 0 ? (uint64_t)age : 0, text));
            else if (j == 9 && one->leased == 0)
                tool_table_cell(&table, "-");
            else
                tool_table_cell(&table, "%" PRIu64, figures[j - 3]);
        }
    }
    pane_add(pane, A_NORMAL, "%s", "");
    pane_add(pane, head_look(screen), "%s", queue->people_count > 0 ? tool_table_line(&table, SIZE_MAX, line, sizeof line) : "ATTACHED  nobody");
    for (size_t i = 0; i < tool_table_rows(&table); i++)
        pane_add(pane, queue->people[i].alive ? A_NORMAL : paint(screen, PAINT_ALARM, A_BOLD), "%s", tool_table_line(&table, i, line, sizeof line));
    tool_table_fini(&table);
}

/* -- what is in it --------------------------------------------------------------------------------------------------- */

struct peeking {
    struct pane *pane;
    attr_t head;
    unsigned shown;
};

static bool add_message(const struct ptq_view_msg *msg, void *context)
{
    enum { SHOWN = 50, BYTES = 160 };
    static const char *const states[] = {"ready", "leased", "again", "delayed", "dead"};
    struct peeking *peeking = context;
    char safe[4 * BYTES + 1];

    if (peeking->shown == SHOWN) {
        pane_add(peeking->pane, A_NORMAL, "... the first %d; see ptq peek", SHOWN);
        return false;
    }
    if (peeking->shown++ == 0)
        pane_add(peeking->pane, peeking->head, "%10s  %-7s  %5s  %8s  MESSAGE", "POSITION", "STATE", "TRIES", "BYTES");
    tool_escape(msg->data, msg->size < BYTES ? msg->size : BYTES, safe, sizeof safe);
    pane_add(peeking->pane, A_NORMAL, "%10" PRIu64 "  %-7s  %5u  %8zu  %s", msg->position, states[msg->state], msg->deliveries, msg->size, safe);
    return true;
}

/* Looked at, not taken. */
void detail_messages(const struct screen *screen, const struct watched *queue, struct pane *pane)
{
    struct peeking peeking = {.pane = pane, .head = head_look(screen)};

    if (queue->view == NULL)
        return;
    pane_add(pane, A_NORMAL, "%s", "");
    if (ptq_view_peek(queue->view, add_message, &peeking) != PTQ_OK)
        pane_add(pane, A_NORMAL, "its messages cannot be looked at");
    else if (peeking.shown == 0)
        pane_add(pane, head_look(screen), "MESSAGES  none");
}
