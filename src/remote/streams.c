/* streams.c -- the streams' segment: its rows, their facts, the one intent, and reading back what a killed bridge left.
 *
 *     4 KiB   head     what this is, the last serial, the intent
 *     4 MiB   index    64 bytes a row: whose, state, floor, since when nobody speaks for it
 *     512 MiB rows     8 KiB each: which queue, 320 facts
 *
 * Sparse: a row has memory while it is used.  Every word is stored with release, for program order is what the next bridge reads.
 */
#define HASH_NONFATAL_OOM 1
#include "remote/streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <uthash.h>

#include "base/atomic.h"
#include "base/time.h"
#include "bus/note.h"
#include "os/clock.h"
#include "os/life.h"
#include "os/segment.h"

#define MAGIC UINT64_C(0x31736d6165727473) /* the bytes "streams1" */
#define LOCK_BYTE 0
#define TRIES 16
#define ATTACH_EVERY_NS PTI_NS_PER_S

struct head {
    uint64_t magic;
    uint32_t rows, facts;
    uint32_t id; /* random, never 0 */
    uint32_t reserved;
    _Atomic uint64_t last;   /* serial; it begins anywhere, and 0 is left out */
    _Atomic uint64_t serial; /* of the intent; 0: none */
    _Atomic uint64_t number; /* what it is about */
    _Atomic uint32_t sub;
    _Atomic uint32_t row;
    _Atomic uint32_t rows_used; /* none from here on was ever used */
};

enum row_state { ROW_FREE = 0, ROW_USED = 1 };

struct index {
    uint8_t id[16];
    _Atomic uint32_t state;
    _Atomic uint32_t confirmed; /* all that was ever answered is here, or its sender knows that it is not */
    _Atomic uint64_t floor;     /* answers up to here were received */
    _Atomic int64_t left;       /* host time; 0: somebody speaks for it */
    _Atomic uint32_t keyed;     /* its puts are named by their sources */
    uint8_t reserved[20];
};

struct fact {
    _Atomic uint64_t number;
    _Atomic uint64_t position;
    _Atomic uint32_t sub;
    _Atomic uint32_t there; /* last to be written */
};

struct row {
    char queue[144];
    uint8_t queue_id[16];
    struct fact facts[PTI_STREAM_FACTS];
};

#define HEAD_BYTES 4096u
#define INDEX_BYTES (PTI_STREAMS_MOST * sizeof(struct index))
#define ROW_BYTES 8192u
#define FILE_BYTES (HEAD_BYTES + INDEX_BYTES + (size_t)PTI_STREAMS_MOST * ROW_BYTES)
_Static_assert(sizeof(struct head) <= HEAD_BYTES && sizeof(struct index) == 64 && sizeof(struct row) <= ROW_BYTES, "they fit");
_Static_assert(PTQ_NAME_MAX < 144, "a queue's name fits");

struct pti_stream {
    struct pti_streams *streams;
    struct index *index;
    struct row *row;
    struct own *own; /* not in the segment: what index and row point to */
    uint32_t number; /* of the row */
    uint32_t facts;  /* that are there */
    uint32_t used;   /* none from here on is */
    struct pti_stream_key highest;
    uint64_t overflow; /* up to here there may be puts without a fact; 0: none */
    void *owner;
    void (*ended)(void *payer);
    void *payer;
    UT_hash_handle hh;
};

struct own {
    struct index index;
    struct row row;
};

uint32_t pti_streams_most = PTI_STREAMS_MOST;
int64_t pti_stream_kept_ns = PTI_STREAM_KEPT_NS;

struct pti_streams {
    ptq_bus *bus;
    struct pti_segment segment;
    struct head *head; /* NULL: there is no segment */
    const char *why, *why_told;
    int64_t attach_at;
    int64_t expire_at; /* nothing expires before */
    struct pti_stream *all;
    uint32_t *free_rows, free_count, free_room;
};

/* ---- facts */

static bool is_above(struct pti_stream_key a, struct pti_stream_key b)
{
    return a.number != b.number ? a.number > b.number : a.sub > b.sub;
}

static bool is_fact(const struct fact *fact, struct pti_stream_key key)
{
    return pti_load_relaxed(&fact->there) == 1 && pti_load_relaxed(&fact->number) == key.number &&
           pti_load_relaxed(&fact->sub) == key.sub;
}

static struct fact *find_fact(struct pti_stream *stream, struct pti_stream_key key)
{
    if (is_above(key, stream->highest))
        return NULL;
    for (uint32_t i = 0; i < stream->used; i++)
        if (is_fact(&stream->row->facts[i], key))
            return &stream->row->facts[i];
    return NULL;
}

static void drop_fact(struct pti_stream *stream, struct fact *fact)
{
    pti_store_release(&fact->there, 0);
    stream->facts--;
    while (stream->used > 0 && pti_load_relaxed(&stream->row->facts[stream->used - 1].there) == 0)
        stream->used--;
}

static void add_fact(struct pti_stream *stream, struct pti_stream_key key, uint64_t position)
{
    uint32_t i = 0;

    while (i < PTI_STREAM_FACTS && pti_load_relaxed(&stream->row->facts[i].there) != 0)
        i++;
    if (i == PTI_STREAM_FACTS)
        return; /* it overflows: pti_stream_intend has noted that */
    struct fact *fact = &stream->row->facts[i];
    pti_store_release(&fact->number, key.number);
    pti_store_release(&fact->position, position);
    pti_store_release(&fact->sub, key.sub);
    pti_store_release(&fact->there, 1);
    stream->facts++;
    if (i >= stream->used)
        stream->used = i + 1;
    if (is_above(key, stream->highest))
        stream->highest = key;
}

bool pti_stream_done(struct pti_stream *stream, struct pti_stream_key key, uint64_t *ret_position)
{
    if (pti_load_relaxed(&stream->index->confirmed) == 0 && stream->overflow <= pti_load_relaxed(&stream->index->floor))
        pti_store_release(&stream->index->confirmed, 1);
    const struct fact *fact = find_fact(stream, key);
    if (fact == NULL)
        return false;
    *ret_position = pti_load_relaxed(&fact->position);
    return true;
}

/* ---- the intent */

/* There is no room for another fact: from now on, until all this was received, the next bridge is not to believe the row. */
static void overflow(struct pti_stream *stream, struct pti_stream_key key)
{
    if (key.number > stream->overflow)
        stream->overflow = key.number;
    pti_store_release(&stream->index->confirmed, 0);
}

/* Law: the serial last, and first to go. */
void pti_stream_intend(struct pti_stream *stream, struct pti_stream_key key, uint32_t *ret_stream, uint64_t *ret_serial)
{
    struct head *head = stream->streams->head;

    *ret_stream = 0;
    *ret_serial = 0;
    if (stream->facts == PTI_STREAM_FACTS)
        overflow(stream, key);
    if (stream->own != NULL || stream->facts == PTI_STREAM_FACTS)
        return;
    pti_store_release(&head->serial, 0);
    uint64_t serial = pti_load_relaxed(&head->last) + 1 != 0 ? pti_load_relaxed(&head->last) + 1 : 1;
    pti_store_release(&head->last, serial);
    pti_store_release(&head->number, key.number);
    pti_store_release(&head->sub, key.sub);
    pti_store_release(&head->row, stream->number);
    pti_store_release(&head->serial, serial);
    *ret_stream = head->id;
    *ret_serial = serial;
}

void pti_stream_undone(struct pti_stream *stream)
{
    if (stream->own == NULL)
        pti_store_release(&stream->streams->head->serial, 0);
}

void pti_stream_fact(struct pti_stream *stream, struct pti_stream_key key, uint64_t position)
{
    add_fact(stream, key, position);
    pti_stream_undone(stream);
}

/* ---- what was received */

void pti_stream_received(struct pti_stream *stream, uint64_t number)
{
    if (number <= pti_load_relaxed(&stream->index->floor))
        return;
    pti_store_release(&stream->index->floor, number);
    for (uint32_t i = stream->used; i-- > 0;) {
        struct fact *fact = &stream->row->facts[i];
        if (pti_load_relaxed(&fact->there) != 0 && pti_load_relaxed(&fact->number) <= number)
            drop_fact(stream, fact);
    }
}

void pti_stream_forget(struct pti_stream *stream, struct pti_stream_key key)
{
    struct fact *fact = find_fact(stream, key);

    if (fact != NULL)
        drop_fact(stream, fact);
}

/* ---- rows */

static size_t row_offset(uint32_t number) { return HEAD_BYTES + INDEX_BYTES + (size_t)number * ROW_BYTES; }
static size_t index_offset(uint32_t number) { return HEAD_BYTES + (size_t)number * sizeof(struct index); }

static bool keep_free(struct pti_streams *streams, uint32_t number)
{
    if (streams->free_count == streams->free_room) {
        uint32_t room = streams->free_room > 0 ? 2 * streams->free_room : 64;
        uint32_t *grown = realloc(streams->free_rows, room * sizeof *grown);
        if (grown == NULL)
            return false; /* it is free, and not used again in this life */
        streams->free_rows = grown;
        streams->free_room = room;
    }
    streams->free_rows[streams->free_count++] = number;
    return true;
}

static void point_at(struct pti_stream *stream, uint32_t number)
{
    char *base = stream->streams->segment.base;

    stream->number = number;
    stream->index = (struct index *)(void *)(base + index_offset(number));
    stream->row = (struct row *)(void *)(base + row_offset(number));
}

static const char no_space[] = "no space is left on the file system of the bus";

/* A row of the segment with memory under it; false: there is none to be had. */
static bool take_row(struct pti_stream *stream)
{
    struct pti_streams *streams = stream->streams;
    uint32_t used = streams->head != NULL ? pti_load_relaxed(&streams->head->rows_used) : PTI_STREAMS_MOST;

    if (streams->head == NULL || (streams->free_count == 0 && used == PTI_STREAMS_MOST))
        return false;
    uint32_t number = streams->free_count > 0 ? streams->free_rows[streams->free_count - 1] : used;
    if (pti_segment_reserve(&streams->segment, index_offset(number), sizeof(struct index)) != 0 ||
        pti_segment_reserve(&streams->segment, row_offset(number), ROW_BYTES) != 0)
        return false;
    if (streams->free_count > 0)
        streams->free_count--;
    else
        pti_store_release(&streams->head->rows_used, used + 1);
    point_at(stream, number);
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
    pti_store_release(&stream->index->state, ROW_USED);
}

static struct pti_stream *list_stream(struct pti_streams *streams, struct pti_stream *stream)
{
    unsigned before = HASH_COUNT(streams->all);

    HASH_ADD_KEYPTR(hh, streams->all, stream->index->id, sizeof stream->index->id, stream);
    return HASH_COUNT(streams->all) > before ? stream : NULL;
}

static struct pti_stream *new_stream(struct pti_streams *streams, const struct pti_stream_asker *asker)
{
    struct pti_stream *stream = calloc(1, sizeof *stream);

    if (stream == NULL)
        return NULL;
    stream->streams = streams;
    if (!take_row(stream)) {
        if (streams->why == NULL)
            streams->why = no_space;
        stream->own = calloc(1, sizeof *stream->own);
        if (stream->own == NULL) {
            free(stream);
            return NULL;
        }
        stream->index = &stream->own->index;
        stream->row = &stream->own->row;
    }
    fill_row(stream, asker);
    if (list_stream(streams, stream) != NULL)
        return stream;
    pti_store_release(&stream->index->state, ROW_FREE);
    if (stream->own == NULL)
        keep_free(streams, stream->number);
    free(stream->own);
    free(stream);
    return NULL;
}

static void free_stream(struct pti_stream *stream)
{
    struct pti_streams *streams = stream->streams;

    if (stream->ended != NULL)
        stream->ended(stream->payer);
    HASH_DELETE(hh, streams->all, stream);
    if (stream->own == NULL) {
        pti_store_release(&stream->index->state, ROW_FREE);
        pti_segment_release(&streams->segment, row_offset(stream->number), ROW_BYTES);
        keep_free(streams, stream->number);
    }
    free(stream->own);
    free(stream);
}

void pti_stream_close(struct pti_stream *stream) { free_stream(stream); }

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
            free_stream(stream);
        else if (left + pti_stream_kept_ns < streams->expire_at)
            streams->expire_at = left + pti_stream_kept_ns;
    }
}

/* ---- the segment */

static bool is_ours(const struct head *head)
{
    return head->magic == MAGIC && head->rows == PTI_STREAMS_MOST && head->facts == PTI_STREAM_FACTS && head->id != 0 &&
           pti_load_relaxed(&head->rows_used) <= PTI_STREAMS_MOST;
}

static int make_segment(struct pti_streams *streams)
{
    struct pti_segment_temp temp;
    struct head *head;
    uint64_t random[2];

    int failed = pti_segment_create(streams->bus->dirfd, PTI_STREAMS_FILE, FILE_BYTES, 0600, &streams->segment, &temp);
    if (failed != 0)
        return failed;
    head = streams->segment.base;
    failed = pti_segment_reserve(&streams->segment, 0, HEAD_BYTES);
    if (failed == 0 && getrandom(random, sizeof random, 0) != sizeof random)
        failed = EIO;
    if (failed == 0) {
        *head = (struct head){.magic = MAGIC, .rows = PTI_STREAMS_MOST, .facts = PTI_STREAM_FACTS,
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
        return no_space;
    case EPERM:
        return "the file " PTI_STREAMS_FILE " belongs to another user";
    default:
        return strerror(failed);
    }
}

static bool read_facts(struct pti_stream *stream)
{
    for (uint32_t i = 0; i < PTI_STREAM_FACTS; i++) {
        const struct fact *fact = &stream->row->facts[i];
        struct pti_stream_key key = {pti_load_relaxed(&fact->number), pti_load_relaxed(&fact->sub)};
        if (pti_load_relaxed(&fact->there) == 0)
            continue;
        stream->facts++;
        stream->used = i + 1;
        if (is_above(key, stream->highest))
            stream->highest = key;
    }
    return memchr(stream->row->queue, '\0', sizeof stream->row->queue) != NULL;
}

static struct pti_stream *find_stream(const struct pti_streams *streams, const uint8_t id[16])
{
    struct pti_stream *stream;

    HASH_FIND(hh, streams->all, id, 16, stream);
    return stream;
}

/* What cannot be read, or be remembered, is forgotten. */
static void read_row(struct pti_streams *streams, uint32_t number, int64_t now)
{
    struct pti_stream *stream = calloc(1, sizeof *stream);
    struct pti_stream probe = {.streams = streams};

    point_at(&probe, number);
    if (pti_load_relaxed(&probe.index->state) == ROW_USED && stream != NULL &&
        find_stream(streams, probe.index->id) == NULL) {
        *stream = probe;
        if (read_facts(stream) && list_stream(streams, stream) != NULL) {
            int64_t left = pti_load_relaxed(&stream->index->left);
            pti_stream_leave(stream, left == 0 || left > now ? now : left);
            return;
        }
    }
    free(stream);
    if (pti_load_relaxed(&probe.index->state) != ROW_FREE)
        pti_segment_release(&streams->segment, row_offset(number), ROW_BYTES);
    pti_store_release(&probe.index->state, ROW_FREE);
    keep_free(streams, number);
}

/* Of the rows just read: the one that the dead bridge's intent is about. */
static void read_back(struct pti_streams *streams)
{
    struct head *head = streams->head;
    uint64_t serial = pti_load_relaxed(&head->serial), position = 0;
    uint32_t row = pti_load_relaxed(&head->row);
    struct pti_stream_key key = {pti_load_relaxed(&head->number), pti_load_relaxed(&head->sub)};
    struct pti_stream *stream = streams->all;

    while (serial != 0 && stream != NULL && (stream->own != NULL || stream->number != row))
        stream = stream->hh.next;
    if (serial != 0 && stream != NULL) {
        enum pti_fate fate =
            pti_bus_fate(streams->bus, stream->row->queue, stream->row->queue_id, head->id, serial, &position);
        bool has_room = stream->facts < PTI_STREAM_FACTS || find_fact(stream, key) != NULL;
        if (fate == PTI_FATE_UNKNOWN || (fate == PTI_FATE_DONE && !has_room))
            free_stream(stream);
        else if (fate == PTI_FATE_DONE && find_fact(stream, key) == NULL)
            add_fact(stream, key, position);
    }
    pti_store_release(&head->serial, 0);
}

/* Law: what was left is read back before anything is served, for notes are written over by the bridge that serves. */
static void attach(struct pti_streams *streams, bool make)
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

enum ptq_err pti_streams_open(ptq_bus *bus, struct pti_streams **ret_streams)
{
    struct pti_streams *streams = calloc(1, sizeof *streams);

    if (streams == NULL)
        return PTQ_ENOMEM;
    streams->bus = bus;
    streams->segment.fd = -1;
    streams->expire_at = INT64_MAX;
    attach(streams, false);
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
        attach(streams, true);
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
    struct pti_stream *stream = find_stream(streams, asker->stream);
    if (stream != NULL && stream->owner != NULL && !is_of(stream, asker))
        return PTQ_EBUSY;
    if (stream != NULL && !is_of(stream, asker)) {
        free_stream(stream); /* of a queue that is gone, or was another */
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
bool pti_streams_has(const struct pti_streams *streams, const uint8_t id[16]) { return find_stream(streams, id) != NULL; }

void pti_stream_set_payer(struct pti_stream *stream, void (*ended)(void *payer), void *payer)
{
    stream->ended = ended;
    stream->payer = payer;
}

bool pti_stream_is_paid(const struct pti_stream *stream) { return stream->ended != NULL; }
uint64_t pti_stream_floor(const struct pti_stream *stream) { return pti_load_relaxed(&stream->index->floor); }
bool pti_stream_is_keyed(const struct pti_stream *stream) { return pti_load_relaxed(&stream->index->keyed) != 0; }
void pti_stream_set_keyed(struct pti_stream *stream) { pti_store_release(&stream->index->keyed, 1); }
