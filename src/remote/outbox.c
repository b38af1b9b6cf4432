/* outbox.c -- what waits to be said on one link: control first, then channels in turn, long things in pieces. */
#include "remote/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"
#include "wire/record.h"

#define PIECE_LEAST 1024u /* less room than this is left for the next buffer */

void pti_outbox_init(struct pti_outbox *outbox, uint8_t version, uint32_t piece_bytes)
{
    pthread_mutex_init(&outbox->mutex, NULL);
    outbox->version = version;
    outbox->piece_bytes = piece_bytes;
    TAILQ_INIT(&outbox->active);
    pti_lane_init(&outbox->control, 0, UINT64_MAX);
}

void pti_outbox_fini(struct pti_outbox *outbox)
{
    pti_lane_fini(outbox, &outbox->control);
    pthread_mutex_destroy(&outbox->mutex);
}

void pti_lane_init(struct pti_lane *lane, uint32_t channel, uint64_t credit)
{
    *lane = (struct pti_lane){.channel = channel, .credit = credit};
    TAILQ_INIT(&lane->puts);
    TAILQ_INIT(&lane->others);
}

/* ---- which lanes have something to say ---- */

/* One put may always go: else one that is larger than the credit would never go. */
static bool may_put(const struct pti_lane *lane)
{
    const struct pti_out *first = TAILQ_FIRST(&lane->puts);

    return first != NULL && (lane->spent == 0 || lane->spent + first->cost <= lane->credit);
}

static bool has_something(const struct pti_lane *lane)
{
    return lane->current != NULL || lane->results_size > 0 || !TAILQ_EMPTY(&lane->others) || may_put(lane);
}

static void look_at(struct pti_outbox *outbox, struct pti_lane *lane)
{
    bool active = has_something(lane);

    if (lane == &outbox->control || active == lane->active)
        return;
    lane->active = active;
    if (active)
        TAILQ_INSERT_TAIL(&outbox->active, lane, link);
    else
        TAILQ_REMOVE(&outbox->active, lane, link);
}

/* ---- in ---- */

static void free_out(struct pti_out *out)
{
    free(out);
}

static uint64_t copy_size(const struct pti_out *out)
{
    return out->written == free_out ? sizeof *out + out->size : 0;
}

static struct pti_outs *list_of(struct pti_lane *lane, const struct pti_out *out)
{
    return out->cost > 0 ? &lane->puts : &lane->others;
}

void pti_outbox_push(struct pti_outbox *outbox, struct pti_lane *lane, struct pti_out *out)
{
    out->done = out->index = out->part_done = 0;
    out->begun = false;
    out->queued = true;
    pthread_mutex_lock(&outbox->mutex);
    TAILQ_INSERT_TAIL(list_of(lane, out), out, link);
    outbox->copies += copy_size(out);
    look_at(outbox, lane);
    pthread_mutex_unlock(&outbox->mutex);
}


static struct pti_out *copy_out(uint8_t type, uint16_t flags, uint64_t number, const void *bytes, size_t size)
{
    struct pti_out *out = malloc(sizeof *out + size);

    if (out == NULL)
        return NULL;
    *out = (struct pti_out){.written = free_out, .bytes = (const uint8_t *)(out + 1), .size = size, .number = number,
                            .flags = flags, .type = type};
    if (size > 0)
        memcpy(out + 1, bytes, size);
    return out;
}

bool pti_outbox_push_copy(struct pti_outbox *outbox, struct pti_lane *lane, uint8_t type, uint16_t flags,
                          uint64_t number, const void *bytes, size_t size)
{
    struct pti_out *out = copy_out(type, flags, number, bytes, size);

    if (out != NULL)
        pti_outbox_push(outbox, lane, out);
    return out != NULL;
}

bool pti_outbox_push_answer(struct pti_outbox *outbox, uint32_t channel, uint8_t type, uint64_t number,
                            const void *bytes, size_t size)
{
    struct pti_out *out = copy_out(type, PTI_FRAME_REPLY, number, bytes, size);

    if (out == NULL)
        return false;
    out->channel = channel;
    pti_outbox_push(outbox, &outbox->control, out);
    return true;
}

bool pti_outbox_push_empty(struct pti_outbox *outbox, uint32_t channel, uint8_t type)
{
    struct pti_out *out = copy_out(type, 0, 0, NULL, 0);

    if (out == NULL)
        return false;
    out->channel = channel;
    pti_outbox_push(outbox, &outbox->control, out);
    return true;
}

bool pti_outbox_push_result(struct pti_outbox *outbox, struct pti_lane *lane, uint64_t number, uint32_t code,
                            uint64_t value)
{
    struct pti_result result = {number, code, value};
    bool kept = true;

    pthread_mutex_lock(&outbox->mutex);
    if (lane->results_size + PTI_RESULT_RECORD > lane->results_room) {
        size_t wanted = lane->results_room == 0 ? 16 * PTI_RESULT_RECORD : lane->results_room * 2;
        uint8_t *grown = realloc(lane->results, wanted);
        kept = grown != NULL;
        lane->results = kept ? grown : lane->results;
        lane->results_room = kept ? wanted : lane->results_room;
    }
    if (kept) {
        pti_write_result(lane->results + lane->results_size, &result);
        lane->results_size += PTI_RESULT_RECORD;
        look_at(outbox, lane);
    }
    pthread_mutex_unlock(&outbox->mutex);
    return kept;
}

bool pti_outbox_cancel(struct pti_outbox *outbox, struct pti_lane *lane, struct pti_out *out)
{
    pthread_mutex_lock(&outbox->mutex);
    bool gone = !out->queued || !out->begun;
    if (out->queued && gone) {
        TAILQ_REMOVE(list_of(lane, out), out, link);
        out->queued = false;
        look_at(outbox, lane);
    }
    pthread_mutex_unlock(&outbox->mutex);
    return gone;
}

bool pti_outbox_has_begun(struct pti_outbox *outbox, const struct pti_out *out)
{
    pthread_mutex_lock(&outbox->mutex);
    bool begun = out->begun;
    pthread_mutex_unlock(&outbox->mutex);
    return begun;
}

bool pti_outbox_holds(struct pti_outbox *outbox, const struct pti_out *out)
{
    pthread_mutex_lock(&outbox->mutex);
    bool queued = out->queued;
    pthread_mutex_unlock(&outbox->mutex);
    return queued;
}

uint64_t pti_outbox_written(struct pti_outbox *outbox, const struct pti_lane *lane)
{
    pthread_mutex_lock(&outbox->mutex);
    uint64_t written = lane->written;
    pthread_mutex_unlock(&outbox->mutex);
    return written;
}

void pti_outbox_drop(struct pti_outbox *outbox, struct pti_lane *lane, struct pti_out *out)
{
    pthread_mutex_lock(&outbox->mutex);
    if (out->queued) {
        TAILQ_REMOVE(list_of(lane, out), out, link);
        out->queued = false;
        if (lane->current == out)
            lane->current = NULL;
        look_at(outbox, lane);
    }
    pthread_mutex_unlock(&outbox->mutex);
}

/* ---- acknowledgement and credit ---- */

void pti_outbox_set_ack(struct pti_outbox *outbox, struct pti_lane *lane, uint64_t ack)
{
    pthread_mutex_lock(&outbox->mutex);
    lane->ack = ack;
    pthread_mutex_unlock(&outbox->mutex);
}

void pti_outbox_set_credit(struct pti_outbox *outbox, struct pti_lane *lane, uint64_t credit)
{
    pthread_mutex_lock(&outbox->mutex);
    lane->credit = credit;
    look_at(outbox, lane);
    pthread_mutex_unlock(&outbox->mutex);
}

void pti_outbox_credit_back(struct pti_outbox *outbox, struct pti_lane *lane, uint32_t cost)
{
    pthread_mutex_lock(&outbox->mutex);
    lane->spent -= cost < lane->spent ? cost : lane->spent;
    look_at(outbox, lane);
    pthread_mutex_unlock(&outbox->mutex);
}

/* ---- forgetting ---- */

static void forget(struct pti_outbox *outbox, struct pti_outs *outs)
{
    struct pti_out *out;

    while ((out = TAILQ_FIRST(outs)) != NULL) {
        TAILQ_REMOVE(outs, out, link);
        outbox->copies -= copy_size(out);
        out->queued = out->begun = false;
        if (out->written == free_out)
            free_out(out);
    }
}

static void clear_lane(struct pti_outbox *outbox, struct pti_lane *lane)
{
    forget(outbox, &lane->puts);
    forget(outbox, &lane->others);
    lane->current = NULL;
    lane->results_size = 0;
    lane->spent = 0;
    look_at(outbox, lane);
}

void pti_outbox_clear(struct pti_outbox *outbox, struct pti_lane *lane)
{
    pthread_mutex_lock(&outbox->mutex);
    clear_lane(outbox, lane);
    pthread_mutex_unlock(&outbox->mutex);
}

void pti_lane_fini(struct pti_outbox *outbox, struct pti_lane *lane)
{
    pthread_mutex_lock(&outbox->mutex);
    clear_lane(outbox, lane);
    pthread_mutex_unlock(&outbox->mutex);
    free(lane->results);
    lane->results = NULL;
    lane->results_room = 0;
}

uint64_t pti_outbox_unread(struct pti_outbox *outbox)
{
    pthread_mutex_lock(&outbox->mutex);
    uint64_t copies = outbox->copies;
    pthread_mutex_unlock(&outbox->mutex);
    return copies;
}

void pti_outbox_traffic(struct pti_outbox *outbox, uint64_t *ret_frames, uint64_t *ret_bytes)
{
    pthread_mutex_lock(&outbox->mutex);
    *ret_frames = outbox->frames;
    *ret_bytes = outbox->bytes;
    pthread_mutex_unlock(&outbox->mutex);
}

bool pti_outbox_is_empty(struct pti_outbox *outbox)
{
    pthread_mutex_lock(&outbox->mutex);
    bool empty = TAILQ_EMPTY(&outbox->active) && !has_something(&outbox->control);
    pthread_mutex_unlock(&outbox->mutex);
    return empty;
}

/* ---- out ---- */

/* The header in front of frame->length bytes of payload; how long both are. */
static size_t seal(const struct pti_outbox *outbox, const struct pti_lane *lane, uint8_t *buffer,
                   struct pti_frame *frame)
{
    frame->version = pti_frame_is_greeting(frame->type) ? PTI_HELLO_VERSION : outbox->version;
    frame->ack = lane->ack;
    if (frame->channel == 0)
        frame->channel = lane->channel;
    pti_frame_seal(buffer, frame);
    return PTI_FRAME_HEADER + frame->length;
}

static size_t write_results(struct pti_outbox *outbox, struct pti_lane *lane, uint8_t *buffer, size_t most)
{
    size_t size = lane->results_size < most ? lane->results_size : most - most % PTI_RESULT_RECORD;

    memcpy(buffer + PTI_FRAME_HEADER, lane->results, size);
    lane->results_size -= size;
    if (lane->results_size > 0)
        memmove(lane->results, lane->results + size, lane->results_size);
    return seal(outbox, lane, buffer, &(struct pti_frame){.type = PTI_FRAME_RESULT, .length = (uint32_t)size});
}

static struct pti_out *choose(struct pti_lane *lane)
{
    if (lane->current != NULL)
        return lane->current;
    if (!TAILQ_EMPTY(&lane->others))
        return TAILQ_FIRST(&lane->others);
    return may_put(lane) ? TAILQ_FIRST(&lane->puts) : NULL;
}

static void write_parts(struct pti_out *out, uint8_t *buffer, size_t size)
{
    while (size > 0) {
        size_t part_size;
        const uint8_t *part = out->part(out, out->index, &part_size);
        size_t now = part_size - out->part_done < size ? part_size - out->part_done : size;
        if (now > 0)
            memcpy(buffer, part + out->part_done, now);
        buffer += now;
        size -= now;
        out->part_done += now;
        if (out->part_done == part_size) {
            out->index++;
            out->part_done = 0;
        }
    }
}

static void write_payload(struct pti_out *out, uint8_t *buffer, size_t size)
{
    if (out->part != NULL)
        write_parts(out, buffer, size);
    else if (size > 0)
        memcpy(buffer, out->bytes + out->done, size);
}

/* The next piece of `out`, which is all of it if it fits. */
static size_t write_piece(struct pti_outbox *outbox, struct pti_lane *lane, struct pti_out *out, uint8_t *buffer,
                          size_t most)
{
    size_t left = out->size - out->done, size = left < most ? left : most;
    struct pti_frame frame = {.type = out->type, .flags = out->flags, .length = (uint32_t)size, .channel = out->channel,
                              .number = out->number};

    if (size < left)
        frame.flags |= PTI_FRAME_MORE;
    if (!out->begun)
        lane->spent += out->cost;
    write_payload(out, buffer + PTI_FRAME_HEADER, size);
    out->begun = true;
    out->done += size;
    lane->written += size;
    lane->current = size < left ? out : NULL;
    size_t length = seal(outbox, lane, buffer, &frame);
    if (lane->current == NULL) {
        TAILQ_REMOVE(list_of(lane, out), out, link);
        out->queued = false;
        outbox->copies -= copy_size(out);
        if (out->written != NULL)
            out->written(out);
    }
    return length;
}

/* One turn; 0: nothing fits, or nothing is there. */
static size_t write_turn(struct pti_outbox *outbox, struct pti_lane *lane, uint8_t *buffer, size_t room)
{
    if (room < PTI_FRAME_HEADER + PIECE_LEAST)
        return 0;
    size_t most = room - PTI_FRAME_HEADER < outbox->piece_bytes ? room - PTI_FRAME_HEADER : outbox->piece_bytes;
    if (lane->current == NULL && lane->results_size > 0)
        return write_results(outbox, lane, buffer, most);
    struct pti_out *out = choose(lane);
    return out != NULL ? write_piece(outbox, lane, out, buffer, most) : 0;
}

size_t pti_outbox_fill(struct pti_outbox *outbox, uint8_t *buffer, size_t room)
{
    size_t size = 0, part;

    pthread_mutex_lock(&outbox->mutex);
    for (;;) {
        struct pti_lane *lane = has_something(&outbox->control) ? &outbox->control : TAILQ_FIRST(&outbox->active);
        if (lane == NULL || (part = write_turn(outbox, lane, buffer + size, room - size)) == 0)
            break;
        size += part;
        outbox->frames++;
        if (lane->active) { /* to the end of the line */
            TAILQ_REMOVE(&outbox->active, lane, link);
            lane->active = false;
        }
        look_at(outbox, lane);
    }
    outbox->bytes += size;
    pthread_mutex_unlock(&outbox->mutex);
    return size;
}
