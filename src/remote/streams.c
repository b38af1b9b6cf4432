/* streams.c -- the rows by the ids of their streams: found and made, left and expired, closed (streams_own.h has the map). */
#include "remote/streams_own.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "os/clock.h"

uint32_t pti_streams_most = PTI_STREAMS_MOST;
int64_t pti_stream_kept_ns = PTI_STREAM_KEPT_NS;

/* ---- rows */

static size_t row_offset(uint32_t number)
{
    return PTI_STREAMS_HEAD_BYTES + PTI_STREAMS_INDEX_BYTES + (size_t)number * PTI_STREAMS_ROW_BYTES;
}

static size_t index_offset(uint32_t number) { return PTI_STREAMS_HEAD_BYTES + (size_t)number * sizeof(struct pti_stream_index); }

void pti_streams_keep_free(struct pti_streams *streams, uint32_t number)
{
    if (streams->free_count == streams->free_room) {
        uint32_t room = streams->free_room > 0 ? 2 * streams->free_room : 64;
        uint32_t *grown = realloc(streams->free_rows, room * sizeof *grown);
        if (grown == NULL)
            return;
        streams->free_rows = grown;
        streams->free_room = room;
    }
    streams->free_rows[streams->free_count++] = number;
}

void pti_stream_point_at(struct pti_stream *stream, uint32_t number)
{
    char *base = stream->streams->segment.base;

    stream->number = number;
    stream->index = (struct pti_stream_index *)(void *)(base + index_offset(number));
    stream->row = (struct pti_stream_row *)(void *)(base + row_offset(number));
}

/* Its memory goes; its index line stays. */
void pti_streams_release_row(struct pti_streams *streams, uint32_t number)
{
    pti_segment_release(&streams->segment, row_offset(number), PTI_STREAMS_ROW_BYTES);
    pti_streams_keep_free(streams, number);
}

const char pti_streams_no_space[] = "no space is left on the file system of the bus";

/* A row of the segment with memory under it; false: there is none to be had. */
static bool take_row(struct pti_stream *stream)
{
    struct pti_streams *streams = stream->streams;
    uint32_t used = streams->head != NULL ? pti_load_relaxed(&streams->head->rows_used) : PTI_STREAMS_MOST;

    if (streams->head == NULL || (streams->free_count == 0 && used == PTI_STREAMS_MOST))
        return false;
    uint32_t number = streams->free_count > 0 ? streams->free_rows[streams->free_count - 1] : used;
    if (pti_segment_reserve(&streams->segment, index_offset(number), sizeof(struct pti_stream_index)) != 0 ||
        pti_segment_reserve(&streams->segment, row_offset(number), PTI_STREAMS_ROW_BYTES) != 0)
        return false;
    if (streams->free_count > 0)
        streams->free_count--;
    else
        pti_store_release(&streams->head->rows_used, used + 1);
    pti_stream_point_at(stream, number);
    streams->why = NULL;
    return true;
}

/* Law: the state last.  Who has put nothing yet has nothing that could be missing here. */
static void fill_row(struct pti_stream *stream, const struct pti_stream_asker *asker)
{
    memset(stream->row, 0, sizeof *stream->row);
    strncpy(stream->row->queue, asker->queue, sizeof stream->row->queue - 1);
    memcpy(stream->row->queue_id, asker->queue_id, sizeof stream->row->queue_id);
    memcpy(stream->index->id, asker->stream, sizeof stream->index->id);
    pti_store_release(&stream->index->confirmed, asker->has_put ? 0 : 1);
    pti_store_release(&stream->index->floor, 0);
    pti_store_release(&stream->index->left, 0);
    pti_store_release(&stream->index->keyed, 0);
    pti_store_release(&stream->index->state, PTI_ROW_USED);
}

struct pti_stream *pti_streams_at(const struct pti_streams *streams, const uint8_t id[16])
{
    struct pti_stream *stream;

    HASH_FIND(hh, streams->all, id, 16, stream);
    return stream;
}

bool pti_stream_list(struct pti_streams *streams, struct pti_stream *stream)
{
    unsigned before = HASH_COUNT(streams->all);

    HASH_ADD_KEYPTR(hh, streams->all, stream->index->id, sizeof stream->index->id, stream);
    return HASH_COUNT(streams->all) > before;
}

static struct pti_stream *new_stream(struct pti_streams *streams, const struct pti_stream_asker *asker)
{
    struct pti_stream *stream = calloc(1, sizeof *stream);

    if (stream == NULL)
        return NULL;
    stream->streams = streams;
    if (!take_row(stream)) {
        if (streams->why == NULL)
            streams->why = pti_streams_no_space;
        stream->own = calloc(1, sizeof *stream->own);
        if (stream->own == NULL) {
            free(stream);
            return NULL;
        }
        stream->index = &stream->own->index;
        stream->row = &stream->own->row;
    }
    fill_row(stream, asker);
    if (pti_stream_list(streams, stream))
        return stream;
    pti_store_release(&stream->index->state, PTI_ROW_FREE);
    if (stream->own == NULL)
        pti_streams_keep_free(streams, stream->number);
    free(stream->own);
    free(stream);
    return NULL;
}

void pti_stream_close(struct pti_stream *stream)
{
    struct pti_streams *streams = stream->streams;

    if (stream->ended != NULL)
        stream->ended(stream->payer);
    HASH_DELETE(hh, streams->all, stream);
    if (stream->own == NULL) {
        pti_store_release(&stream->index->state, PTI_ROW_FREE);
        pti_streams_release_row(streams, stream->number);
    }
    free(stream->own);
    free(stream);
}

void pti_stream_leave(struct pti_stream *stream, int64_t host_ns)
{
    struct pti_streams *streams = stream->streams;

    stream->owner = NULL;
    pti_store_release(&stream->index->left, host_ns != 0 ? host_ns : 1);
    if (streams->expire_at > host_ns + pti_stream_kept_ns)
        streams->expire_at = host_ns + pti_stream_kept_ns;
}

void pti_streams_expire(struct pti_streams *streams, int64_t host_ns)
{
    struct pti_stream *stream, *next;

    if (host_ns < streams->expire_at)
        return;
    streams->expire_at = INT64_MAX;
    for (stream = streams->all; stream != NULL; stream = next) {
        int64_t left = pti_load_relaxed(&stream->index->left);
        next = stream->hh.next;
        if (left == 0)
            continue;
        if (host_ns - left >= pti_stream_kept_ns)
            pti_stream_close(stream);
        else if (left + pti_stream_kept_ns < streams->expire_at)
            streams->expire_at = left + pti_stream_kept_ns;
    }
}

/* ---- life */

enum ptq_err pti_streams_open(ptq_bus *bus, struct pti_streams **ret_streams)
{
    struct pti_streams *streams = calloc(1, sizeof *streams);

    if (streams == NULL)
        return PTQ_ENOMEM;
    streams->bus = bus;
    streams->segment.fd = -1;
    streams->expire_at = INT64_MAX;
    pti_streams_attach(streams, false);
    *ret_streams = streams;
    return PTQ_OK;
}

/* The file goes with its last row. */
void pti_streams_close(struct pti_streams *streams)
{
    struct pti_stream *stream, *next;
    bool empty = true;

    if (streams == NULL)
        return;
    int64_t now = pti_host_ns();
    pti_streams_expire(streams, now);
    for (stream = streams->all; stream != NULL; stream = next) {
        next = stream->hh.next;
        if (pti_load_relaxed(&stream->index->left) == 0)
            pti_stream_leave(stream, now);
        empty = empty && stream->own != NULL;
        HASH_DELETE(hh, streams->all, stream);
        free(stream->own);
        free(stream);
    }
    if (streams->head != NULL && empty)
        unlinkat(streams->bus->dirfd, PTI_STREAMS_FILE, 0);
    pti_segment_close(&streams->segment);
    free(streams->free_rows);
    free(streams);
}

const char *pti_streams_why(const struct pti_streams *streams) { return streams->why; }

const char *pti_streams_why_new(struct pti_streams *streams)
{
    const char *why = streams->why != streams->why_told ? streams->why : NULL;

    streams->why_told = streams->why;
    return why;
}

uint32_t pti_streams_count(const struct pti_streams *streams) { return HASH_COUNT(streams->all); }

/* ---- by id */

/* It is made with the first stream.  Where that failed it is looked for once a second: the other bridge may have ended. */
static void attach_late(struct pti_streams *streams)
{
    if (streams->head == NULL && pti_now_ns() >= streams->attach_at)
        pti_streams_attach(streams, true);
}

static bool is_of(const struct pti_stream *stream, const struct pti_stream_asker *asker)
{
    return strcmp(stream->row->queue, asker->queue) == 0 && memcmp(stream->row->queue_id, asker->queue_id, 16) == 0;
}

enum ptq_err pti_stream_find(struct pti_streams *streams, const struct pti_stream_asker *asker, struct pti_stream **ret_stream,
                             bool *ret_known)
{
    int64_t now = pti_host_ns();

    attach_late(streams);
    pti_streams_expire(streams, now);
    struct pti_stream *stream = pti_streams_at(streams, asker->stream);
    if (stream != NULL && stream->owner != NULL && !is_of(stream, asker))
        return PTQ_EBUSY;
    if (stream != NULL && !is_of(stream, asker)) {
        pti_stream_close(stream); /* of a queue that is gone, or was another */
        stream = NULL;
    }
    if (stream == NULL && HASH_COUNT(streams->all) >= pti_streams_most)
        return PTQ_EAGAIN;
    if (stream == NULL)
        stream = new_stream(streams, asker);
    if (stream == NULL)
        return PTQ_ENOMEM;
    bool known = pti_load_relaxed(&stream->index->confirmed) != 0;
    pti_store_release(&stream->index->left, 0);
    *ret_stream = stream;
    *ret_known = known;
    return PTQ_OK;
}

void **pti_stream_owner(struct pti_stream *stream) { return &stream->owner; }
bool pti_streams_has(const struct pti_streams *streams, const uint8_t id[16]) { return pti_streams_at(streams, id) != NULL; }

void pti_stream_set_payer(struct pti_stream *stream, void (*ended)(void *payer), void *payer)
{
    stream->ended = ended;
    stream->payer = payer;
}

bool pti_stream_is_paid(const struct pti_stream *stream) { return stream->ended != NULL; }
uint64_t pti_stream_floor(const struct pti_stream *stream) { return pti_load_relaxed(&stream->index->floor); }
bool pti_stream_is_keyed(const struct pti_stream *stream) { return pti_load_relaxed(&stream->index->keyed) != 0; }
void pti_stream_set_keyed(struct pti_stream *stream) { pti_store_release(&stream->index->keyed, 1); }
