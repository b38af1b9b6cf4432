/* streams_own.h -- the streams' segment, for the files that write it: what its bytes are, and what this process knows of a row.
 *
 *     4 KiB   head     what this is, the last serial, the intent
 *     4 MiB   index    64 bytes a row: whose, state, floor, since when nobody speaks for it
 *     512 MiB rows     8 KiB each: which queue, 320 facts
 *
 * Sparse: a row has memory while it is used.  Every word is stored with release, for program order is what the next bridge reads.
 *
 *     streams.c        rows by the ids of their streams: found, made, left, closed, expired
 *     streams_fact.c   what is known of one: facts, the intent, what was received
 *     streams_file.c   the file: made, opened, and what a killed bridge left read back
 */
#ifndef PTQ_REMOTE_STREAMS_OWN_H
#define PTQ_REMOTE_STREAMS_OWN_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/atomic.h"
#include "os/segment.h"
#include "remote/streams.h"

struct pti_streams_head {
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

enum pti_stream_state { PTI_ROW_FREE = 0, PTI_ROW_USED = 1 };

struct pti_stream_index {
    uint8_t id[16];
    _Atomic uint32_t state;
    _Atomic uint32_t confirmed; /* all that was ever answered is here, or its sender knows that it is not */
    _Atomic uint64_t floor;     /* answers up to here were received */
    _Atomic int64_t left;       /* host time; 0: somebody speaks for it */
    _Atomic uint32_t keyed;     /* its puts are named by their sources */
    uint8_t reserved[20];
};

struct pti_stream_fact {
    _Atomic uint64_t number;
    _Atomic uint64_t position;
    _Atomic uint32_t sub;
    _Atomic uint32_t there; /* last to be written */
};

struct pti_stream_row {
    char queue[144];
    uint8_t queue_id[16];
    struct pti_stream_fact facts[PTI_STREAM_FACTS];
};

#define PTI_STREAMS_HEAD_BYTES 4096u
#define PTI_STREAMS_INDEX_BYTES (PTI_STREAMS_MOST * sizeof(struct pti_stream_index))
#define PTI_STREAMS_ROW_BYTES 8192u
_Static_assert(sizeof(struct pti_streams_head) <= PTI_STREAMS_HEAD_BYTES && sizeof(struct pti_stream_index) == 64 &&
                   sizeof(struct pti_stream_row) <= PTI_STREAMS_ROW_BYTES,
               "they fit");
_Static_assert(PTQ_NAME_MAX < 144, "a queue's name fits");

struct pti_stream_own {
    struct pti_stream_index index;
    struct pti_stream_row row;
};

struct pti_stream {
    struct pti_streams *streams;
    struct pti_stream_index *index;
    struct pti_stream_row *row;
    struct pti_stream_own *own; /* not in the segment: what index and row point to */
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

struct pti_streams {
    ptq_bus *bus;
    struct pti_segment segment;
    struct pti_streams_head *head; /* NULL: there is no segment */
    const char *why, *why_told;
    int64_t attach_at;
    int64_t expire_at; /* nothing expires before */
    struct pti_stream *all;
    uint32_t *free_rows, free_count, free_room;
};

/* streams_fact.c */
bool pti_stream_is_above(struct pti_stream_key a, struct pti_stream_key b);
struct pti_stream_fact *pti_stream_fact_at(struct pti_stream *stream, struct pti_stream_key key); /* NULL: it has none */
void pti_stream_add_fact(struct pti_stream *stream, struct pti_stream_key key, uint64_t position);

/* streams.c */
extern const char pti_streams_no_space[];
void pti_stream_point_at(struct pti_stream *stream, uint32_t number);
void pti_streams_release_row(struct pti_streams *streams, uint32_t number);
struct pti_stream *pti_streams_at(const struct pti_streams *streams, const uint8_t id[16]); /* NULL: there is none */
bool pti_stream_list(struct pti_streams *streams, struct pti_stream *stream);               /* false: no memory */
/* It is used next.  Without memory it is free, and not used again in this life. */
void pti_streams_keep_free(struct pti_streams *streams, uint32_t number);

/* streams_file.c: the file that is there, or a new one with `make`; streams->head is NULL still where neither can be had (streams->why).  Law:
 * what was left is read back before anything is served, for notes are written over by the bridge that serves. */
void pti_streams_attach(struct pti_streams *streams, bool make);

#endif
