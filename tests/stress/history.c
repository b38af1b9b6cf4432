/* history.c -- where calls are written down: one line each, in memory that all share, in runs that belong to one life. */
#include "stress/history.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define RUN 64 /* events that a life takes at once */

struct history {
    uint64_t size; /* events */
    _Atomic uint64_t used;
    _Atomic uint32_t actors;
    struct history_event spare; /* where those write for whom no room is left */
    struct history_event events[];
};

static size_t bytes_of(uint64_t events) { return sizeof(struct history) + events * sizeof(struct history_event); }

struct history *history_new(uint64_t events)
{
    void *memory = mmap(NULL, bytes_of(events), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    ((struct history *)memory)->size = events;
    return memory;
}

void history_free(struct history *history)
{
    if (history)
        munmap(history, bytes_of(history->size));
}

void history_reset(struct history *history)
{
    uint64_t size = history->size;

    if (madvise(history, bytes_of(size), MADV_REMOVE) != 0)
        memset(history, 0, bytes_of(history_count(history)));
    history->size = size;
}

bool history_is_filling(const struct history *history) { return history->used > history->size / 2; }

bool history_is_whole(const struct history *history) { return history->used <= history->size && history->actors <= UINT16_MAX; }

uint64_t history_count(const struct history *history) { return history_is_whole(history) ? history->used : history->size; }

const struct history_event *history_at(const struct history *history, uint64_t i) { return &history->events[i]; }

uint64_t history_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void history_live(struct history_writer *writer, struct history *history)
{
    *writer = (struct history_writer){.history = history, .actor = (uint16_t)(1 + history->actors++)};
}

static struct history_event *next_event(struct history_writer *writer)
{
    struct history *history = writer->history;

    if (writer->at == writer->end) {
        writer->at = atomic_fetch_add_explicit(&history->used, RUN, memory_order_relaxed);
        writer->end = writer->at + RUN;
    }
    if (writer->end > history->size) {
        writer->at = writer->end;
        return &history->spare; /* seen by HISTORY_WHOLE */
    }
    return &history->events[writer->at++];
}

static void write_begin(struct history_event *event, const struct history_writer *writer, uint64_t begin, unsigned what,
                        uint32_t value)
{
    event->begin = begin;
    event->value = value;
    event->actor = writer->actor;
    atomic_store_explicit(&event->what, (uint8_t)what, memory_order_release);
}

struct history_event *history_begin(struct history_writer *writer, enum history_op op, unsigned flags, uint32_t value)
{
    struct history_event *event = next_event(writer);

    write_begin(event, writer, history_now(), (unsigned)op | flags << 4, value);
    return event;
}

struct history_event *history_begin_more(struct history_writer *writer, const struct history_event *first, uint32_t value)
{
    struct history_event *event = next_event(writer);

    write_begin(event, writer, first->begin, first->what, value);
    return event;
}

void history_end(struct history_event *event, enum ptq_err answer)
{
    event->answer = (uint8_t)answer;
    atomic_store_explicit(&event->end, history_now(), memory_order_release);
}

static void note_take(struct history_event *event, uint32_t value, const ptq_msg *msg, unsigned flags)
{
    event->value = value;
    event->place = ptq_msg_position(msg) << 16 | ptq_msg_sub(msg);
    if (ptq_msg_redelivered(msg))
        flags |= HISTORY_REDELIVERED;
    event->what |= (uint8_t)(flags << 4);
}

void history_took(struct history_writer *writer, struct history_event *event, bool is_first, uint32_t value, const ptq_msg *msg,
                  unsigned flags)
{
    struct history_event *other;

    if (is_first) {
        note_take(event, value, msg, flags);
        return;
    }
    other = next_event(writer);
    write_begin(other, writer, event->begin, HISTORY_GET, value);
    note_take(other, value, msg, flags);
    history_end(other, PTQ_OK);
}
