/* imap_send.c -- what goes out: units made of the input, submitted as there is room, items that are sent again. */
#include "pool/imap_own.h"

#include <stdlib.h>
#include <string.h>

#include "base/time.h"

/* -- units ---------------------------------------------------------------------------------------------------- */

void pti_imap_errand_init(ptq_imap *imap, struct pti_imap_errand *errand, struct pti_imap_unit *unit, uint32_t which)
{
    errand->claim.pool = imap->pool;
    errand->claim.sink = &imap->sink;
    errand->claim.event = -1;
    errand->unit = unit;
    errand->which = which;
}

struct pti_imap_unit *pti_imap_unit_new(ptq_imap *imap)
{
    struct pti_imap_unit *unit = calloc(1, sizeof *unit);
    if (unit != NULL)
        pti_imap_errand_init(imap, &unit->all, unit, PTI_IMAP_WHOLE);
    return unit;
}

void pti_imap_unit_append(ptq_imap *imap, struct pti_imap_unit *unit)
{
    *(imap->last != NULL ? &imap->last->next : &imap->first) = unit;
    imap->last = unit;
    imap->units++;
}

/* And what it is the first part of.  NULL is fine. */
static void release_errand(struct pti_imap_errand *errand)
{
    if (errand != NULL && errand->is_sent) {
        pti_claim_drop(&errand->claim);
        return;
    }
    if (errand != NULL)
        pti_claim_forget(&errand->claim);
    free(errand);
}

void pti_imap_unit_release(struct pti_imap_unit *unit)
{
    for (uint32_t i = 0; unit->parts != NULL && i < unit->count; i++)
        release_errand(unit->parts[i].again);
    free(unit->parts);
    free(unit->pieces);
    release_errand(&unit->all);
}

void pti_imap_unit_cancel(struct pti_imap_unit *unit)
{
    if (unit->all.is_sent && !pti_claim_is_done(&unit->all.claim))
        (void)pti_claim_cancel(&unit->all.claim);
    for (uint32_t i = 0; unit->parts != NULL && i < unit->count; i++) {
        struct pti_imap_errand *again = unit->parts[i].again;
        if (again != NULL && again->is_sent && !pti_claim_is_done(&again->claim))
            (void)pti_claim_cancel(&again->claim);
    }
}

/* -- input ---------------------------------------------------------------------------------------------------- */

void pti_imap_end_input(ptq_imap *imap, enum ptq_err why)
{
    imap->has_ended = true;
    imap->answer = why;
}

bool pti_imap_pull(ptq_imap *imap)
{
    if (imap->has_item)
        return true;
    if (imap->has_ended)
        return false;
    enum ptq_err err = imap->input(imap->user, &imap->item);
    if (err != PTQ_OK)
        pti_imap_end_input(imap, err);
    imap->has_item = err == PTQ_OK;
    return imap->has_item;
}

/* Adds the pulled item to the chunk, if there is room. */
static bool pack(ptq_imap *imap, struct pti_imap_unit *unit)
{
    size_t size = pti_piece_size(imap->item.size);
    if (unit->size + size > imap->pool->item_size)
        return false;
    unsigned char *grown = unit->pieces;
    if (unit->size + size > unit->room) {
        size_t room = 2 * (unit->size + size);
        grown = realloc(grown, room);
        if (grown == NULL)
            return false;
        unit->pieces = grown;
        unit->room = room;
    }
    struct pti_piece piece = {.size = imap->item.size};
    pti_piece_write_head(grown + unit->size, &piece);
    if (piece.size != 0)
        memcpy(grown + unit->size + PTI_PIECE_HEAD, imap->item.data, piece.size);
    unit->size += size;
    unit->count++;
    imap->has_item = false;
    return true;
}

void pti_imap_pace(ptq_imap *imap, uint32_t items)
{
    if (imap->interval_ns != 0)
        imap->next_ns = pti_submit_turn_after(imap->next_ns, pti_now_ns(), imap->interval_ns * items);
}

int64_t pti_imap_turn(const ptq_imap *imap)
{
    int64_t turn = pti_submit_turn(imap->pool);
    return imap->next_ns > turn ? imap->next_ns : turn;
}

static bool is_its_turn(const ptq_imap *imap)
{
    int64_t turn = pti_imap_turn(imap);
    return turn == 0 || pti_now_ns() >= turn;
}

/* The next items that go together; NULL: there are none, or no memory.  An item alone stays where its owner has it. */
static struct pti_imap_unit *make_unit(ptq_imap *imap)
{
    if (!pti_imap_pull(imap))
        return NULL;
    struct pti_imap_unit *unit = pti_imap_unit_new(imap);
    if (unit == NULL) {
        pti_imap_end_input(imap, PTQ_ENOMEM);
        return NULL;
    }
    unit->index = imap->index;
    if (imap->options.chunk > 1)
        while (unit->count < imap->options.chunk && pti_imap_pull(imap) && pack(imap, unit))
            ;
    if (unit->count == 0)
        unit->count = 1;
    imap->index += unit->count;
    return unit;
}

/* -- submitting ----------------------------------------------------------------------------------------------- */

/* Law: what is in doubt is asked about again, as a retry, before anything else is sent: that would give the question up. */
static enum ptq_err send(ptq_imap *imap, struct pti_imap_errand *errand, const struct pti_submit *job)
{
    static const struct ptq_submit_options again = {.flags = PTQ_RETRY};
    struct pti_submit own = *job;
    uint64_t ticket;
    own.task = imap->task[0] != 0 ? imap->task : NULL;
    own.claim = &errand->claim;
    own.options = errand->claim.in_doubt ? &again : NULL;
    enum ptq_err err = pti_submit(imap->pool, &own, PTI_DEADLINE_NOW, &ticket);
    errand->is_sent = err == PTQ_OK;
    return err;
}

/* Not sent, and may be at the next attempt. */
static bool stays(const struct pti_imap_errand *errand, enum ptq_err err)
{
    return err == PTQ_FULL || err == PTQ_EINTR || err == PTQ_EINDOUBT || (err == PTQ_EUNREACHABLE && errand->claim.in_doubt);
}

/* A chunk costs one life, and then each of its items has its own. */
static enum ptq_err send_unit(ptq_imap *imap, struct pti_imap_unit *unit)
{
    struct pti_job_call call = imap->call;
    struct pti_submit job = {.call = &call, .data = imap->item.data, .size = imap->item.size};
    if (unit->pieces != NULL) {
        call.lives = 1;
        job.data = unit->pieces;
        job.size = unit->size;
        job.form = PTI_JOB_CHUNK;
    }
    enum ptq_err err = send(imap, &unit->all, &job);
    if (stays(&unit->all, err)) {
        imap->unsent = unit;
        return err;
    }
    imap->unsent = NULL;
    if (unit->pieces == NULL)
        imap->has_item = false;
    if (err == PTQ_EMSGSIZE) {
        unit->failed = err;
        unit->text = "the item is larger than the pool's item_size";
        unit->is_ready = true;
        pti_imap_unit_append(imap, unit);
        return PTQ_OK;
    }
    if (err == PTQ_OK) {
        pti_imap_unit_append(imap, unit);
        pti_imap_pace(imap, unit->count);
    } else {
        pti_imap_unit_release(unit);
    }
    return err;
}

/* It cannot even be sent. */
static void lose(ptq_imap *imap, struct pti_imap_errand *errand, enum ptq_err err)
{
    struct pti_imap_unit *unit = errand->unit;
    const char *text = ptq_strerror(err);
    unit->parts[errand->which] = (struct pti_imap_part){.piece = {.code = err, .data = text, .size = strlen(text)}};
    unit->is_ready = --unit->missing == 0;
    imap->apart--;
    release_errand(errand);
}

static enum ptq_err send_again(ptq_imap *imap)
{
    while (imap->again != NULL && is_its_turn(imap)) {
        struct pti_imap_errand *errand = imap->again;
        size_t offset = 0;
        struct pti_piece piece = {.size = 0};
        for (uint32_t i = 0; i <= errand->which; i++)
            (void)pti_piece_read(errand->unit->pieces, errand->unit->size, &offset, &piece);
        struct pti_submit job = {.call = &imap->call, .data = piece.data, .size = piece.size};
        struct pti_imap_errand *next = errand->next;
        enum ptq_err err = send(imap, errand, &job);
        if (stays(errand, err))
            return err;
        imap->again = next;
        if (err == PTQ_OK)
            pti_imap_pace(imap, 1);
        else
            lose(imap, errand, err);
    }
    return PTQ_OK;
}

bool pti_imap_has_more(const ptq_imap *imap)
{
    return imap->again != NULL || imap->unsent != NULL || (imap->units < imap->most && (imap->has_item || !imap->has_ended));
}

static bool is_in_doubt(const ptq_imap *imap)
{
    return (imap->unsent != NULL && imap->unsent->all.claim.in_doubt) || (imap->again != NULL && imap->again->claim.in_doubt);
}

void pti_imap_fill(ptq_imap *imap)
{
    bool unsent_first = imap->unsent != NULL && imap->unsent->all.claim.in_doubt;
    enum ptq_err err = unsent_first ? PTQ_OK : send_again(imap);
    while (err == PTQ_OK && (imap->unsent != NULL || imap->units < imap->most) && is_its_turn(imap)) {
        struct pti_imap_unit *unit = imap->unsent != NULL ? imap->unsent : make_unit(imap);
        if (unit == NULL)
            break;
        err = send_unit(imap, unit);
    }
    imap->is_in_doubt = is_in_doubt(imap);
    imap->stays_full = err == PTQ_FULL || imap->is_in_doubt;
    if (err != PTQ_OK && !imap->stays_full && err != PTQ_EINTR)
        pti_imap_end_input(imap, err);
}
