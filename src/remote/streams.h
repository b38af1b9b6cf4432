/* streams.h -- whose numbers were asked here, and which of them took effect: kept over links, sessions and bridges.
 *
 * A stream is a far handle, or an outbox, that numbers its puts.  For each the home keeps a row in "~streams~v1", a file of the
 * bus: up to which number the answers were received, and a fact for each put above it that took effect.  So a number that is
 * asked again, of the next session or the next bridge, is answered and not done twice.  Puts are made one at a time, so one
 * intent is enough for all rows; tests/model/stream.pml has the laws:
 *
 *     intent {serial, row, number}  ->  note in the queue's entry (ring/note.h)  ->  publish  ->  fact  ->  intent cleared
 *
 * A bridge that starts reads back the intent that a killed one left: the queue's note, once recovery has judged it, says
 * whether to write the fact.  What cannot be told is forgotten, row and all: then the stream is not known, and its sender flags what
 * was in doubt.  Serials never come again: a segment begins at a random one, and has a
 * random id besides, so no note is taken for another's.
 *
 * Only the serving process writes; it holds a lock on the file.  Where another bridge of the run has it, or there is no memory,
 * rows are this process's own, and are gone with it.  One thread, the server's, calls all of this.
 */
#ifndef PTQ_REMOTE_STREAMS_H
#define PTQ_REMOTE_STREAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/bus.h"

#define PTI_STREAMS_FILE "~streams~v1"
#define PTI_STREAMS_MOST 65536u                        /* rows; a new one beyond that is refused */
#define PTI_STREAM_FACTS 320u                          /* puts of one stream that took effect and are not known to be received */
#define PTI_STREAM_KEPT_NS (INT64_C(600) * 1000000000) /* after its session */

/* What they are called after; tests make them less. */
extern uint32_t pti_streams_most;
extern int64_t pti_stream_kept_ns;

struct pti_streams;

/* One row.  `owner` is the caller's. */
struct pti_stream;
struct pti_stream_key {
    uint64_t number; /* of the request; or the position at its source */
    uint32_t sub;    /* there; else 0 */
};

/* Reads back what a killed bridge left.  PTQ_ENOMEM. */
enum ptq_err pti_streams_open(ptq_bus *bus, struct pti_streams **ret_streams);
void pti_streams_close(struct pti_streams *streams); /* NULL: nothing */
/* NULL: rows outlive this process; else why not.  new: NULL also where that was told before. */
const char *pti_streams_why(const struct pti_streams *streams);
const char *pti_streams_why_new(struct pti_streams *streams);

/* Who asks for a row. */
struct pti_stream_asker {
    const uint8_t *stream;   /* 16 bytes */
    const char *queue;       /* as it is called here */
    const uint8_t *queue_id; /* 16 bytes */
    bool has_put;            /* it may have asked for something under one of the numbers */
};

/* The row of a stream, found or made.  *ret_known: whatever it answered is there, so what was asked may be asked again.
 * PTQ_EAGAIN: 65,536 streams are kept here.  PTQ_EBUSY: somebody speaks for it who has another queue open.  PTQ_ENOMEM. */
enum ptq_err pti_stream_find(struct pti_streams *streams, const struct pti_stream_asker *asker, struct pti_stream **ret_stream,
                             bool *ret_known);
void **pti_stream_owner(struct pti_stream *stream);
/* Is there a row of this id? */
bool pti_streams_has(const struct pti_streams *streams, const uint8_t id[16]);
/* Who is told when the row goes; not when all are closed. */
void pti_stream_set_payer(struct pti_stream *stream, void (*ended)(void *payer), void *payer);
bool pti_stream_is_paid(const struct pti_stream *stream);
uint64_t pti_stream_floor(const struct pti_stream *stream);
/* Its puts bear keys of their sources: what was received is told by these, and not by the numbers of requests. */
bool pti_stream_is_keyed(const struct pti_stream *stream);
void pti_stream_set_keyed(struct pti_stream *stream);

/* Did it take effect?  Whoever asks this has the answer to his OPEN. */
bool pti_stream_done(struct pti_stream *stream, struct pti_stream_key key, uint64_t *ret_position);
/* It is about to be tried; the note to be made of it, zeroes: none.  Where 320 facts are kept already the row is not to be believed
 * by the next bridge until this, too, was received. */
void pti_stream_intend(struct pti_stream *stream, struct pti_stream_key key, uint32_t *ret_stream, uint64_t *ret_serial);
/* What came of it: it took effect; it did not. */
void pti_stream_fact(struct pti_stream *stream, struct pti_stream_key key, uint64_t position);
void pti_stream_undone(struct pti_stream *stream);

/* The answers of all up to `number` were received; of this one. */
void pti_stream_received(struct pti_stream *stream, uint64_t number);
void pti_stream_forget(struct pti_stream *stream, struct pti_stream_key key);

/* Nobody speaks for it any more: it is kept for 10 minutes.  close: it came to a proper end. */
void pti_stream_leave(struct pti_stream *stream, int64_t host_ns);
void pti_stream_close(struct pti_stream *stream);
void pti_streams_expire(struct pti_streams *streams, int64_t host_ns);
uint32_t pti_streams_count(const struct pti_streams *streams);

#endif
