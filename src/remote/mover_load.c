/* mover_load.c -- what a mover takes from its source: by position, whole, in order; and what goes back. */
#include <stdlib.h>

#include "queue/header.h"
#include "remote/mover_own.h"
#include "remote/step.h"

#define TAKE_MOST 64
#define BYTES_MOST (UINT64_C(16) << 20) /* in flight */
#define LEFT_MOST 256

/* ---- loads ---- */

static void free_load(struct pti_load *load)
{
    pti_call_free(load->call);
    free(load->msgs);
    free(load->puts);
    free(load);
}

static bool grow(struct pti_load *load)
{
    size_t room = load->room > 0 ? 2 * load->room : 1;

    if (load->count < load->room)
        return true;
    struct ptq_msg **msgs = realloc(load->msgs, room * sizeof *msgs);
    if (msgs != NULL)
        load->msgs = msgs;
    struct pti_put *puts = msgs != NULL ? realloc(load->puts, room * sizeof *puts) : NULL;
    if (puts == NULL)
        return false;
    load->puts = puts;
    load->room = room;
    return true;
}

uint16_t pti_mover_ttl_left(struct pti_mover *mover, const struct ptq_msg *msg)
{
    return mover->source->ops->left != NULL ? mover->source->ops->left(mover->source, msg) : 0;
}

static struct pti_put put_of(struct pti_mover *mover, const struct ptq_msg *msg)
{
    return (struct pti_put){.data = msg->size > 0 ? msg->data : NULL,
                            .size = msg->size,
                            .kind = msg->kind,
                            .type = msg->type,
                            .ttl = pti_mover_ttl_left(mover, msg),
                            .headers = msg->headers,
                            .header_bytes = msg->headers > 0 ? pti_headers_of(msg) : NULL};
}

static void add_message(struct pti_mover *mover, struct pti_load *load, struct ptq_msg *msg, const struct pti_put *put)
{
    size_t bytes = put->size + 4u * put->headers + 32;

    load->msgs[load->count] = msg;
    load->puts[load->count++] = *put;
    load->bytes += bytes;
    mover->bytes += bytes;
    if (msg->redelivered)
        load->asked_at = 0; /* by a mover before this one, perhaps */
}

/* Back to its place: flagged, if it was asked, else as if it had not been taken. */
void pti_mover_give_back(struct pti_mover *mover, struct pti_load *load)
{
    const struct pti_port_ops *ops = mover->source->ops;

    while (load->count > 0) {
        struct ptq_msg *msg = load->msgs[--load->count];
        if (mover->move.left != NULL)
            mover->move.left(mover->move.context, msg);
        if (load->asked)
            (void)!ops->nack(mover->source, msg, 0);
        else
            (void)!ops->untake(mover->source, msg);
    }
}

void pti_mover_drop(struct pti_mover *mover, struct pti_load *load)
{
    TAILQ_REMOVE(&mover->flying, load, listed);
    mover->count--;
    mover->bytes -= load->bytes;
    pti_store_relaxed(&mover->in_flight, mover->count);
    if (mover->open == load)
        mover->open = NULL;
    free_load(load);
}

/* ---- from the source ---- */

static struct pti_load *new_load(struct pti_mover *mover, struct ptq_msg *msg, struct pti_put *put)
{
    struct pti_load *load = calloc(1, sizeof *load);

    if (load == NULL)
        return NULL;
    if (!grow(load)) {
        free_load(load);
        return NULL;
    }
    load->mover = mover;
    load->position = msg->position;
    load->asked_at = PTI_NEVER_ASKED;
    if (mover->move.look == NULL || mover->move.look(mover->move.context, msg, put) == PTI_MOVE_GO) {
        TAILQ_INSERT_TAIL(&mover->flying, load, listed);
        load->flies = true;
        pti_store_relaxed(&mover->in_flight, ++mover->count);
    } else {
        TAILQ_INSERT_TAIL(&mover->left, load, listed);
        mover->left_count++;
    }
    return load;
}

/* It is whole.  A batch that no link carries at once stays, as what is told to be left; into an outbox none is put. */
static void close_load(struct pti_mover *mover)
{
    struct pti_load *load = mover->open;

    mover->open = NULL;
    if (load == NULL || load->bytes <= PTI_WIRE_REQUEST_BYTES || !load->flies || mover->move.look == NULL)
        return;
    pti_mover_say(mover, "event=stays queue=%s why=\"a batch of %zu bytes: more than 64 MiB are not carried at once\"", mover->source_name,
                  load->bytes);
    load->flies = false;
    TAILQ_REMOVE(&mover->flying, load, listed);
    TAILQ_INSERT_TAIL(&mover->left, load, listed);
    mover->left_count++;
    pti_store_relaxed(&mover->in_flight, --mover->count);
}

/* False: no memory. */
static bool take_in(struct pti_mover *mover, struct ptq_msg *msg)
{
    struct pti_put put = put_of(mover, msg);
    struct pti_load *load = mover->open;

    if (load != NULL && load->position == msg->position) {
        if (!grow(load))
            return false;
        if (mover->move.look != NULL)
            (void)mover->move.look(mover->move.context, msg, &put);
    } else {
        close_load(mover);
        if ((load = mover->open = new_load(mover, msg, &put)) == NULL)
            return false;
    }
    add_message(mover, load, msg, &put);
    return true;
}

/* Law 6: another mover would take what stands behind it. */
static void begin_turn(struct pti_mover *mover)
{
    if (mover->move.turn == NULL || mover->has_turn)
        return;
    pthread_mutex_lock(mover->move.turn);
    mover->has_turn = true;
}

static void end_turn(struct pti_mover *mover)
{
    if (mover->has_turn && TAILQ_EMPTY(&mover->left)) {
        mover->has_turn = false;
        pthread_mutex_unlock(mover->move.turn);
    }
}

/* What is left where it is goes back, the last first, and is not looked at for a while. */
static void return_left(struct pti_mover *mover)
{
    struct pti_load *load;

    if (TAILQ_EMPTY(&mover->left))
        return;
    while ((load = TAILQ_LAST(&mover->left, pti_loads)) != NULL) {
        TAILQ_REMOVE(&mover->left, load, listed);
        mover->bytes -= load->bytes;
        pti_mover_give_back(mover, load);
        free_load(load);
    }
    mover->left_count = 0;
    mover->take_at = pti_now_ns() + PTI_MOVER_REST_NS;
    end_turn(mover);
}

void pti_mover_return_left(struct pti_mover *mover)
{
    if (mover->open != NULL && !mover->open->flies)
        mover->open = NULL;
    return_left(mover);
}

/* So many more may be taken: a good part of all, or none. */
unsigned pti_mover_room(const struct pti_mover *mover)
{
    unsigned room = mover->move.in_flight - mover->count;

    if (mover->count >= mover->move.in_flight || mover->bytes >= BYTES_MOST || mover->left_count >= LEFT_MOST)
        return 0;
    return 4 * room < mover->move.in_flight ? 0 : room < TAKE_MOST ? room : TAKE_MOST;
}

/* There is no room, and the last that was taken may have more of its batch behind it. */
static bool is_whole(struct pti_mover *mover, struct ptq_msg *msg)
{
    if (msg->position == mover->open->position)
        return false;
    (void)!mover->source->ops->untake(mover->source, msg);
    return true;
}

/* A batch comes into being as a whole: where less was taken than was asked for, what was taken is whole. */
void pti_mover_end_taking(struct pti_mover *mover)
{
    close_load(mover);
    return_left(mover);
}

/* True: something was taken. */
bool pti_mover_take_some(struct pti_mover *mover)
{
    struct pti_port *source = mover->source;
    struct ptq_msg *msgs[TAKE_MOST];
    size_t count = 0, done = 0, room = pti_mover_room(mover), most = room > 0 ? room : 1;

    if (mover->stalled || (mover->open == NULL && room == 0) || pti_now_ns() < mover->take_at || !pti_load_relaxed(&mover->connected)) {
        pti_mover_return_left(mover);
        return false;
    }
    begin_turn(mover);
    enum ptq_err err = source->ops->take(source, most, PTI_DEADLINE_NOW, msgs, &count);
    mover->dry = err != PTQ_OK;
    if (err == PTQ_OK && room == 0 && is_whole(mover, msgs[0])) {
        pti_mover_end_taking(mover);
        end_turn(mover);
        return true;
    }
    if (err == PTQ_OK)
        pti_step(PTI_STEP_MOVE_LEASED);
    else if (err != PTQ_EMPTY && err != PTQ_END)
        mover->take_at = pti_now_ns() + PTI_MOVER_REST_NS;
    while (done < count && take_in(mover, msgs[done]))
        done++;
    for (size_t i = count; i > done; i--)
        (void)!source->ops->untake(source, msgs[i - 1]);
    if (done < count)
        mover->take_at = pti_now_ns() + PTI_MOVER_REST_NS; /* no memory */
    if (done < most)
        pti_mover_end_taking(mover);
    end_turn(mover);
    if (done > 0)
        mover->idle_said = false;
    return done > 0;
}
