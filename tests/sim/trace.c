/* trace.c -- a run in words: who did what to which word.  The last lines are kept, and shown when it has failed. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ring/layout.h"
#include "sim/main.h"
#include "sim/sim.h"

static char lines[SIM_TRACE_MOST][180];
static uint64_t written;

void sim_trace_clear(void) { written = 0; }

void sim_trace_show(unsigned most)
{
    uint64_t from = written > most ? written - most : 0;

    if (written - from > SIM_TRACE_MOST)
        from = written - SIM_TRACE_MOST;
    for (; from < written; from++)
        puts(lines[from % SIM_TRACE_MOST]);
}

static void write_line(const char *format, va_list arguments)
{
    char *line = lines[written++ % SIM_TRACE_MOST];
    int used = snprintf(line, 24, "%8lld ", (long long)(sim.step - sim.race_begin));

    vsnprintf(line + used, sizeof lines[0] - (size_t)used, format, arguments);
}

static void add_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void add_line(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_line(format, arguments);
    va_end(arguments);
}

void sim_trace_note(const char *format, ...)
{
    va_list arguments;

    if (!sim.tracing)
        return;
    va_start(arguments, format);
    write_line(format, arguments);
    va_end(arguments);
}

/* ---- names of words */

static const char *const states[] = {"FREE", "OWNED", "COMMIT", "LEASED", "REDELIV", "COMMITH", "LEASEDH", "QUAR",
                                     "DELAYED", "DEAD", "COPY", "ACKED", "NACKED", "13", "14", "15"};

struct named {
    uint32_t offset;
    const char *name;
};
#define HINT(field) {offsetof(struct pti_hints, field), #field}
#define ENTRY(field) {offsetof(struct pti_entry, field), #field}
#define BLOCK(field) {offsetof(struct pti_block, field), #field}
static const struct named hint_names[] = {HINT(flags), HINT(head), HINT(tail), HINT(get_wait), HINT(put_wait), HINT(dead_wait),
                                          HINT(redelivery), HINT(next_due), HINT(limit), HINT(largest_batch), HINT(probed_ms),
                                          HINT(recovered), HINT(entries_used), {0, NULL}};
static const struct named entry_names[] = {ENTRY(journal), ENTRY(journal_word), ENTRY(journal_count), ENTRY(put), ENTRY(taken),
                                           ENTRY(acked), ENTRY(nacked), ENTRY(bytes_put), ENTRY(bytes_acked), ENTRY(redelivered),
                                           ENTRY(dropped), ENTRY(taking), ENTRY(suspect), ENTRY(copies), ENTRY(copy_position), ENTRY(state),
                                           ENTRY(used), ENTRY(pid), ENTRY(tid), ENTRY(roles), {0, NULL}};
static const struct named block_names[] = {BLOCK(word), BLOCK(length), BLOCK(sub), BLOCK(link), BLOCK(home), BLOCK(deliveries),
                                           BLOCK(stamp), BLOCK(due_us), BLOCK(kind), BLOCK(headers), BLOCK(leased_at),
                                           BLOCK(type), {0, NULL}};

static const char *name_of(const struct named *names, uint64_t offset)
{
    static char text[24];

    for (; names->name != NULL; names++)
        if (names->offset == offset)
            return names->name;
    snprintf(text, sizeof text, "+%llu", (unsigned long long)offset);
    return text;
}

static void describe_place(uint64_t at, const struct pti_geometry *g, char *text, size_t size)
{
    if (at >= g->off_blocks)
        snprintf(text, size, "block %llu %s", (unsigned long long)((at - g->off_blocks) / g->stride),
                 name_of(block_names, (at - g->off_blocks) % g->stride));
    else if (at >= g->off_entries)
        snprintf(text, size, "entry %llu %s", (unsigned long long)((at - g->off_entries) / sizeof(struct pti_entry)),
                 name_of(entry_names, (at - g->off_entries) % sizeof(struct pti_entry)));
    else if (at >= g->off_slots)
        snprintf(text, size, "slot %llu", (unsigned long long)((at - g->off_slots) / 8));
    else if (at >= g->off_extents)
        snprintf(text, size, "extent %llu", (unsigned long long)((at - g->off_extents) / 4));
    else if (at >= g->off_special)
        snprintf(text, size, "marks special %llu", (unsigned long long)((at - g->off_special) / 8));
    else if (at >= g->off_used)
        snprintf(text, size, "marks used %llu", (unsigned long long)((at - g->off_used) / 8));
    else if (at >= g->off_stretch)
        snprintf(text, size, "stretch %llu", (unsigned long long)((at - g->off_stretch) / 8));
    else if (at >= g->off_hints)
        snprintf(text, size, "%s", name_of(hint_names, at - g->off_hints));
    else
        snprintf(text, size, "header +%llu", (unsigned long long)at);
}

static void describe_value(uint64_t at, const struct pti_geometry *g, uint64_t value, char *text, size_t size)
{
    static const char *const status[] = {"closed", "open", "done", "undone"};

    if (at >= g->off_blocks && (at - g->off_blocks) % g->stride == 0)
        snprintf(text, size, "%s(%u, %llu%s)", states[value & 15], pti_word_owner(value),
                 (unsigned long long)pti_word_position(value), pti_word_redelivered(value) ? ", again" : "");
    else if (at >= g->off_entries && at < g->off_blocks && (at - g->off_entries) % sizeof(struct pti_entry) == 0)
        snprintf(text, size, "%s: operation %u, block %u, %u before", status[pti_journal_status(value) & 3],
                 pti_journal_operation(value), pti_journal_block(value), pti_journal_low(value));
    else if (at >= g->off_slots && at < g->off_entries)
        snprintf(text, size, "lap %llu, block %u", (unsigned long long)pti_slot_lap(value), pti_slot_block(value));
    else
        snprintf(text, size, "%#llx", (unsigned long long)value);
}

void sim_trace_access(const char *what, const volatile void *p, unsigned size, uint64_t value)
{
    const unsigned char *base = sim_segment();
    char place[64] = "?", text[96] = "";

    if (base != NULL && (const unsigned char *)(uintptr_t)p >= base) {
        const struct pti_geometry *g = &((const struct pti_header *)(const void *)base)->geometry;
        uint64_t at = (uint64_t)((uintptr_t)p - (uintptr_t)base);
        if (g->stride != 0) {
            describe_place(at, g, place, sizeof place);
            describe_value(at, g, value, text, sizeof text);
        }
    }
    add_line("  %u %s %s %s%s", sim_me->number, what, place, text, size == 0 ? " (empty)" : "");
}
