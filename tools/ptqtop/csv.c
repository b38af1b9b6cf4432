/* csv.c -- a frame as CSV: a line a queue or pool. */
#include <inttypes.h>
#include <string.h>

#include "columns.h"
#include "common/report.h"
#include "common/say.h"
#include "common/text.h"
#include "views.h"

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

static void print_rate(const struct rates *rates, double value, FILE *out)
{
    if (rates->known)
        fprintf(out, ",%.3f", value);
    else
        fputc(',', out);
}

static void print_heads(FILE *out)
{
    fputs("unix_ms,bus,queue,kind,path,depth,queue_size,queue_capacity,queue_utilization_percent,queue_item_size_bytes,"
          "ready,leased,delayed,dead,put,acked,redelivered,dropped,in_per_second,out_per_second,bytes_per_second,"
          "redelivered_per_second,oldest_ms,producers,consumers,flags,sequence,window,head_pid,dropped_per_second,wait_p50_us,"
          "wait_p99_us,overdue\n",
          out);
}

static void print_row(const struct frame *frame, const struct row *row, FILE *out)
{
    const struct ptq_queue_stats *stats = &row->stats;
    const uint64_t figures[] = {stats->ready, stats->leased, stats->delayed,     stats->dead,
                                stats->put,   stats->acked,  stats->redelivered, stats->dropped};
    char flags[16];

    fprintf(out, "%" PRId64 ",", frame->unix_ms);
    print_csv_text(frame->run, out);
    fputc(',', out);
    print_csv_text(row->name, out);
    fprintf(out, ",%s,%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%.3f,%" PRIu64, row->kind, stats->remote ? "link" : row->path,
            tool_queue_depth(stats), stats->ready, stats->capacity, tool_queue_fill(stats), stats->item_size);
    for (size_t j = 0; j < sizeof figures / sizeof figures[0]; j++)
        fprintf(out, ",%" PRIu64, figures[j]);
    print_rate(&row->rates, row->rates.in, out);
    print_rate(&row->rates, row->rates.out, out);
    print_rate(&row->rates, row->rates.bytes, out);
    print_rate(&row->rates, row->rates.redelivered, out);
    fprintf(out, ",%" PRIu64 ",%u,%u,%s", stats->oldest_ms, stats->producers, stats->consumers, top_flags(row, flags));
    if (row->is_pool)
        fprintf(out, ",%" PRIu64 ",%" PRIu64 ",%d", row->sequence, row->info.window, row->holder_pid);
    else
        fputs(",,,", out);
    print_rate(&row->rates, row->rates.dropped, out);
    if (row->wait_count > 0)
        fprintf(out, ",%" PRIu64 ",%" PRIu64, row->p50_us, row->p99_us);
    else
        fputs(",,", out);
    fprintf(out, ",%" PRIu64 "\n", row->overdue);
}

int render_csv(const struct frame *frame, bool later, FILE *out)
{
    if (top_options.view == VIEW_POOLS && top_options.workers) {
        workers_csv(frame, later, out);
        return TOOL_OK;
    }
    if (top_options.view != VIEW_QUEUES && top_options.view != VIEW_POOLS)
        return render_rows_csv(frame, out);
    if (!later)
        print_heads(out);
    for (size_t i = 0; i < frame->count; i++)
        if (top_options.view == VIEW_QUEUES || frame->rows[i]->is_pool)
            print_row(frame, frame->rows[i], out);
    return TOOL_OK;
}
