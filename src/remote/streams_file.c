/* streams_file.c -- the streams' segment: made, opened by one bridge alone, and what a killed one left read back. */
#include "remote/streams_own.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/time.h"
#include "bus/note.h"
#include "os/clock.h"
#include "os/life.h"

#define MAGIC UINT64_C(0x31736d6165727473) /* the bytes "streams1" */
#define LOCK_BYTE 0
#define TRIES 16
#define ATTACH_EVERY_NS PTI_NS_PER_S
#define FILE_BYTES (PTI_STREAMS_HEAD_BYTES + PTI_STREAMS_INDEX_BYTES + (size_t)PTI_STREAMS_MOST * PTI_STREAMS_ROW_BYTES)

static bool is_ours(const struct pti_streams_head *head)
{
    return head->magic == MAGIC && head->rows == PTI_STREAMS_MOST && head->facts == PTI_STREAM_FACTS && head->id != 0 &&
           pti_load_relaxed(&head->rows_used) <= PTI_STREAMS_MOST;
}

static int make_segment(struct pti_streams *streams)
{
    struct pti_segment_temp temp;
    struct pti_streams_head *head;
    uint64_t random[2];

    int failed = pti_segment_create(streams->bus->dirfd, PTI_STREAMS_FILE, FILE_BYTES, 0600, &streams->segment, &temp);
    if (failed != 0)
        return failed;
    head = streams->segment.base;
    failed = pti_segment_reserve(&streams->segment, 0, PTI_STREAMS_HEAD_BYTES);
    if (failed == 0 && getrandom(random, sizeof random, 0) != sizeof random)
        failed = EIO;
    if (failed == 0) {
        *head = (struct pti_streams_head){.magic = MAGIC, .rows = PTI_STREAMS_MOST, .facts = PTI_STREAM_FACTS,
                              .id = (uint32_t)random[0] | 1, .last = random[1]};
        failed = pti_life_lock_write(streams->segment.fd, LOCK_BYTE);
    }
    if (failed == 0)
        failed = pti_segment_link(&streams->segment, &temp, streams->bus->dirfd, PTI_STREAMS_FILE);
    if (failed != 0)
        pti_segment_discard(&streams->segment, &temp, streams->bus->dirfd);
    return failed;
}

/* Locked, and still the one of this name: a bridge that ends takes its name away.  A damaged one is taken away, too. */
static int open_segment(struct pti_streams *streams)
{
    int dirfd = streams->bus->dirfd;
    int failed = pti_segment_open(dirfd, PTI_STREAMS_FILE, true, 1, &streams->segment);

    if (failed != 0)
        return failed;
    failed = pti_life_lock_write(streams->segment.fd, LOCK_BYTE);
    if (failed == 0)
        failed = pti_segment_is_named(&streams->segment, dirfd, PTI_STREAMS_FILE);
    if (failed == 0 && (streams->segment.size != FILE_BYTES || !is_ours(streams->segment.base))) {
        unlinkat(dirfd, PTI_STREAMS_FILE, 0);
        failed = ENOENT;
    }
    if (failed != 0)
        pti_segment_close(&streams->segment);
    return failed;
}

static const char *why_not(int failed)
{
    switch (failed) {
    case EAGAIN:
    case EACCES:
        return "another bridge serves this run";
    case ENOSPC:
        return pti_streams_no_space;
    case EPERM:
        return "the file " PTI_STREAMS_FILE " belongs to another user";
    default:
        return strerror(failed);
    }
}

static bool read_facts(struct pti_stream *stream)
{
    for (uint32_t i = 0; i < PTI_STREAM_FACTS; i++) {
        const struct pti_stream_fact *fact = &stream->row->facts[i];
        struct pti_stream_key key = {pti_load_relaxed(&fact->number), pti_load_relaxed(&fact->sub)};
        if (pti_load_relaxed(&fact->there) == 0)
            continue;
        stream->facts++;
        stream->used = i + 1;
        if (pti_stream_is_above(key, stream->highest))
            stream->highest = key;
    }
    return memchr(stream->row->queue, '\0', sizeof stream->row->queue) != NULL;
}

/* What cannot be read, or be remembered, is forgotten. */
static void read_row(struct pti_streams *streams, uint32_t number, int64_t now)
{
    struct pti_stream *stream = calloc(1, sizeof *stream);
    struct pti_stream probe = {.streams = streams};

    pti_stream_point_at(&probe, number);
    if (pti_load_relaxed(&probe.index->state) == PTI_ROW_USED && stream != NULL &&
        pti_streams_at(streams, probe.index->id) == NULL) {
        *stream = probe;
        if (read_facts(stream) && pti_stream_list(streams, stream)) {
            int64_t left = pti_load_relaxed(&stream->index->left);
            pti_stream_leave(stream, left == 0 || left > now ? now : left);
            return;
        }
    }
    free(stream);
    if (pti_load_relaxed(&probe.index->state) == PTI_ROW_FREE) {
        pti_streams_keep_free(streams, number);
        return;
    }
    pti_store_release(&probe.index->state, PTI_ROW_FREE);
    pti_streams_release_row(streams, number);
}

/* Of the rows just read: the one that the dead bridge's intent is about. */
static void read_back(struct pti_streams *streams)
{
    struct pti_streams_head *head = streams->head;
    uint64_t serial = pti_load_relaxed(&head->serial), position = 0;
    uint32_t row = pti_load_relaxed(&head->row);
    struct pti_stream_key key = {pti_load_relaxed(&head->number), pti_load_relaxed(&head->sub)};
    struct pti_stream *stream = streams->all;

    while (serial != 0 && stream != NULL && (stream->own != NULL || stream->number != row))
        stream = stream->hh.next;
    if (serial != 0 && stream != NULL) {
        enum pti_fate fate =
            pti_bus_fate(streams->bus, stream->row->queue, stream->row->queue_id, head->id, serial, &position);
        bool has_room = stream->facts < PTI_STREAM_FACTS || pti_stream_fact_at(stream, key) != NULL;
        if (fate == PTI_FATE_UNKNOWN || (fate == PTI_FATE_DONE && !has_room))
            pti_stream_close(stream);
        else if (fate == PTI_FATE_DONE && pti_stream_fact_at(stream, key) == NULL)
            pti_stream_add_fact(stream, key, position);
    }
    pti_store_release(&head->serial, 0);
}

void pti_streams_attach(struct pti_streams *streams, bool make)
{
    int failed = EEXIST, tries = TRIES;

    while (failed == EEXIST && tries-- > 0) {
        failed = open_segment(streams);
        if (failed == ENOENT && !make)
            return; /* nothing was left */
        if (failed == ENOENT)
            failed = make_segment(streams);
    }
    streams->attach_at = pti_now_ns() + ATTACH_EVERY_NS;
    streams->why = failed != 0 ? why_not(failed) : NULL;
    if (failed != 0)
        return;
    streams->head = streams->segment.base;
    uint32_t used = pti_load_relaxed(&streams->head->rows_used);
    int64_t now = pti_host_ns();
    for (uint32_t i = used; i-- > 0;) /* so that the first is the first to be used again */
        read_row(streams, i, now);
    read_back(streams);
}
