/* imap_arrive.c -- what comes back: results, chunks taken apart, items shown in their order. */
#include "pool/imap_own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- results -------------------------------------------------------------------------------------------------- */

static bool do_again(ptq_imap *imap, struct pti_imap_unit *unit, uint32_t which)
{
    struct pti_imap_errand *errand = calloc(1, sizeof *errand);
    if (errand == NULL)
        return false;
    pti_imap_errand_init(imap, errand, unit, which);
    unit->parts[which].again = errand;
    *(imap->again != NULL ? &imap->again_last->next : &imap->again) = errand;
    imap->again_last = errand;
    unit->missing++;
    imap->apart++;
    return true;
}

/* Somebody died over it, or took it: nobody knows over which of its items. */
static bool is_to_be_parted(const struct ptq_result *result)
{
    enum ptq_err code = ptq_result_code(result);
    return code == PTQ_EDIED || code == PTQ_ELOST || code == PTQ_TIMEDOUT || code == PTQ_EMSGSIZE;
}

void pti_imap_unit_fail(struct pti_imap_unit *unit, enum ptq_err code, const char *text)
{
    unit->failed = code;
    unit->text = text;
    unit->is_ready = true;
}

/* Out of the pool, into this process's memory.  Where there is none it stays, and PTQ_EAGAIN may follow. */
static void move_apart(ptq_imap *imap, struct ptq_result *result)
{
    enum ptq_err ignored = result != NULL ? pti_order_detach(imap->pool, result) : PTQ_OK;
    (void)ignored;
}

/* Finds the pieces of a chunk's result; false: not all of them are there. */
static bool find_pieces(struct pti_imap_unit *unit, const struct ptq_result *result)
{
    size_t offset = 0;
    bool all = true;
    for (uint32_t i = 0; i < unit->count; i++)
        if (unit->parts[i].again == NULL)
            all &= pti_piece_read(ptq_result_data(result), ptq_result_size(result), &offset, &unit->parts[i].piece);
    return all;
}

/* What is missing is done again, item by item. */
static bool part(ptq_imap *imap, struct pti_imap_unit *unit, struct ptq_result *result)
{
    size_t offset = 0;
    bool good = true;
    move_apart(imap, result);
    for (uint32_t i = 0; good && i < unit->count; i++)
        good = pti_piece_read(ptq_result_data(result), ptq_result_size(result), &offset, &unit->parts[i].piece) ||
               do_again(imap, unit, i);
    return good;
}

static void open_chunk(ptq_imap *imap, struct pti_imap_unit *unit, struct ptq_result *result)
{
    if (ptq_result_code(result) != PTQ_OK && !is_to_be_parted(result)) {
        pti_imap_unit_fail(unit, ptq_result_code(result), ptq_result_text(result));
        return;
    }
    unit->parts = calloc(unit->count, sizeof *unit->parts);
    if (unit->parts == NULL || (!find_pieces(unit, result) && !part(imap, unit, result)))
        pti_imap_unit_fail(unit, PTQ_ENOMEM, "no memory to open a chunk");
    else
        unit->is_ready = unit->missing == 0;
}

/* While items are done again, what is behind them must not fill the window in which they are to run. */
static void move_all_apart(ptq_imap *imap)
{
    for (struct pti_imap_unit *unit = imap->first; unit != NULL; unit = unit->next) {
        struct ptq_result *result = pti_claim_is_done(&unit->all.claim) ? unit->all.claim.result : NULL;
        if (result == NULL || result->msg == NULL)
            continue;
        move_apart(imap, result);
        if (unit->parts != NULL)
            (void)find_pieces(unit, result);
        else if (unit->failed != PTQ_OK)
            unit->text = ptq_result_text(result);
    }
}

static void arrive(ptq_imap *imap, struct pti_imap_errand *errand)
{
    struct pti_imap_unit *unit = errand->unit;
    if (errand->claim.result == NULL) /* it was cancelled */
        return;
    if (errand->which != PTI_IMAP_WHOLE) {
        move_apart(imap, errand->claim.result);
        unit->missing--;
        imap->apart--;
        unit->is_ready = unit->missing == 0;
        return;
    }
    if (unit->pieces != NULL)
        open_chunk(imap, unit, errand->claim.result);
    else
        unit->is_ready = true;
    if (imap->apart != 0)
        move_all_apart(imap);
}

void pti_imap_take_in(ptq_imap *imap)
{
    struct pti_claim *claim;
    while ((claim = pti_sink_take(imap->pool, &imap->sink)) != NULL)
        arrive(imap, (struct pti_imap_errand *)(void *)claim);
}

static void show_result(const struct ptq_result *result, struct ptq_map_item *item)
{
    item->code = ptq_result_code(result);
    item->tries = ptq_result_tries(result);
    item->text = ptq_result_text(result);
    item->data = ptq_result_data(result);
    item->size = ptq_result_size(result);
}

static void show_piece(ptq_imap *imap, const struct pti_piece *piece, struct ptq_map_item *item)
{
    item->code = piece->code;
    item->tries = piece->tries;
    if (piece->code == PTQ_OK) {
        item->data = piece->data;
        item->size = piece->size;
        return;
    }
    (void)snprintf(imap->text, sizeof imap->text, "%.*s", (int)piece->size, (const char *)piece->data);
    item->text = imap->text;
}

void pti_imap_show(ptq_imap *imap, struct ptq_map_item *item)
{
    struct pti_imap_unit *unit = imap->first;
    const struct pti_imap_part *part = unit->parts != NULL ? &unit->parts[unit->shown] : NULL;
    *item = (struct ptq_map_item){.index = unit->index + unit->shown, .text = "", .data = ""};
    if (unit->failed != PTQ_OK) {
        item->code = unit->failed;
        item->text = unit->text;
    } else if (part == NULL) {
        show_result(unit->all.claim.result, item);
    } else if (part->again != NULL) {
        show_result(part->again->claim.result, item);
    } else {
        show_piece(imap, &part->piece, item);
    }
    if (++unit->shown < unit->count)
        return;
    imap->first = unit->next;
    if (imap->first == NULL)
        imap->last = NULL;
    imap->units--;
    imap->over = unit;
}
