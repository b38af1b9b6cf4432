/* peek.c -- the messages of a queue, copied one by one out of a read-only map while others use them. */
#include <ptq/metrics.h>

#include <stdlib.h>
#include <string.h>

#include "local/view.h"
#include "ring/pack.h"
#include "ring/side.h"

static int compare_found(const void *a, const void *b)
{
    const struct pti_found *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->sub < y->sub ? -1 : x->sub > y->sub;
}

static bool is_visible(struct pti_ring *ring, uint32_t block, uint64_t word, uint64_t *ret_position)
{
    *ret_position = pti_word_position(word);
    switch (pti_word_state(word)) {
    case PTI_LEASED:
    case PTI_REDELIV:
    case PTI_DELAYED:
    case PTI_DEAD:
        return true;
    case PTI_COMMIT:
        return pti_block_stands(ring, block, word, ret_position);
    default:
        return false;
    }
}

static bool is_letter(struct pti_ring *ring, uint32_t block, uint64_t word)
{
    return pti_word_state(word) == PTI_DEAD || (pti_word_state(word) == PTI_LEASED && pti_block_is_letter(ring, block));
}

static size_t find_visible(struct pti_ring *ring, bool letters, struct pti_found *found)
{
    size_t count = 0;

    for (uint32_t block = 0; block < ring->geometry.blocks; block++) {
        uint64_t word, position;

        if (!pti_block_is_backed(ring, block))
            continue;
        word = pti_load_acquire(&pti_block_at(ring, block)->word); /* [L] */
        if (!is_visible(ring, block, word, &position) || (letters && !is_letter(ring, block, word)))
            continue;
        found[count].position = position;
        found[count].at = pti_diff(ring, position, found[0].position);
        found[count].sub = pti_load_relaxed(&pti_block_at(ring, block)->sub);
        found[count++].block = block;
    }
    return count;
}

static enum ptq_view_state state_of(uint64_t word)
{
    switch (pti_word_state(word)) {
    case PTI_LEASED:
        return PTQ_VIEW_LEASED;
    case PTI_REDELIV:
        return PTQ_VIEW_REDELIVERABLE;
    case PTI_DELAYED:
        return PTQ_VIEW_DELAYED;
    case PTI_DEAD:
        return PTQ_VIEW_DEAD;
    default:
        return PTQ_VIEW_READY;
    }
}

/* Each load acquires, so that a look at the word after it comes after it; a fence would do, but ThreadSanitizer sees none. */
static void copy_acquiring(void *to, const void *from, size_t size)
{
    const _Atomic uint64_t *words = from; /* a payload is aligned */
    const _Atomic uint8_t *bytes = from;
    size_t done = size / 8 * 8;

    for (size_t i = 0; i < done; i += 8) {
        uint64_t word = pti_load_acquire(&words[i / 8]); /* [G] */
        memcpy((char *)to + i, &word, sizeof word);
    }
    for (size_t i = done; i < size; i++)
        ((uint8_t *)to)[i] = pti_load_acquire(&bytes[i]); /* [G] */
}

static bool make_room(struct pti_copy *buffer, size_t size)
{
    void *more;

    if (buffer->bytes && size <= buffer->size)
        return true;
    more = realloc(buffer->bytes, size + 1);
    if (!more)
        return false;
    buffer->bytes = more;
    buffer->size = size;
    return true;
}

/* As far as its records reach: what is behind them may be written just now. */
static uint32_t bytes_of_pack(const struct pti_ring *ring, struct pti_block *b)
{
    uint32_t at = 0, length;
    struct pti_record *record;

    for (uint32_t n = pti_pack_count(ring, b); n > 0; n--)
        if (!pti_pack_next(ring, b, &at, &length, &record))
            break;
    return (uint32_t)sizeof(struct pti_pack) + at;
}

bool pti_view_copy(struct pti_ring *ring, const struct pti_found *found, struct pti_copy *buffer, struct ptq_msg *same,
                   struct ptq_view_msg *msg)
{
    uint64_t room = (uint64_t)ring->geometry.item_size + ring->geometry.header_size + 3, bytes;
    void *payload;
    struct pti_block *b = pti_block_at(ring, found->block);
    uint64_t word = pti_load_acquire(&b->word), position; /* [L] */
    uint8_t kind = pti_load_acquire(&b->kind); /* [G] once: as what it was copied it is shown */
    bool is_pack = kind & PTI_KIND_PACK;

    if (!is_visible(ring, found->block, word, &position) || position != found->position)
        return false;
    memset(msg, 0, sizeof *msg);
    msg->size = pti_load_relaxed(&b->length);
    if (!is_pack && msg->size > ring->geometry.item_size)
        return false;
    *same = (struct ptq_msg){.size = (uint32_t)msg->size, .headers = pti_load_acquire(&b->headers)};
    if (pti_message_bytes(same->size, same->headers) > room)
        same->headers = 0;
    bytes = is_pack ? bytes_of_pack(ring, b) : pti_message_bytes(same->size, same->headers); /* see pti_view_records */
    payload = b->payload;
    if (!make_room(buffer, bytes) ||
        (!is_pack && pti_block_payload(ring, found->block, (uint32_t)bytes, &payload) != PTQ_OK))
        return false;
    copy_acquiring(buffer->bytes, payload, bytes);
    if (is_pack)
        msg->size = bytes;
    msg->data = same->data = buffer->bytes;
    same->type = pti_load_acquire(&b->type); /* [G] */
    msg->msg = same;
    msg->position = found->position;
    msg->sub = found->sub;
    msg->deliveries = pti_load_acquire(&b->deliveries); /* [G] */
    msg->kind = kind & (PTI_KIND_MASK | PTI_KIND_PACK);
    msg->redelivered = pti_word_redelivered(word) || kind & PTI_KIND_TWICE;
    msg->state = state_of(word);
    if (msg->state == PTQ_VIEW_READY && pti_load_acquire(&b->due_us) > pti_now_us()) /* [G] */
        msg->state = PTQ_VIEW_DELAYED;
    msg->holder = msg->state == PTQ_VIEW_LEASED ? pti_word_owner(word) : 0;
    return pti_load_relaxed(&b->word) == word;
}

bool pti_view_records(struct ptq_view_msg *msg, struct ptq_msg *same, bool all,
                      bool (*each)(const struct ptq_view_msg *msg, void *context), void *context)
{
    char *payload = same->data;
    uint32_t room = (uint32_t)msg->size - (uint32_t)sizeof(struct pti_pack), at = 0, length, deliveries = msg->deliveries, sub = msg->sub;
    struct pti_pack_ctl ctl;
    uint64_t n, word;

    memcpy(&n, payload, sizeof n);
    memcpy(&word, payload + sizeof n, sizeof word);
    ctl = pti_pack_unword(word);
    n &= PTI_PACK_MASK;
    msg->kind = 0;
    payload += sizeof(struct pti_pack);
    for (uint32_t i = 0; i < n && at + sizeof(struct pti_record) <= room; i++, at += pti_record_size(length)) {
        memcpy(&length, payload + at, sizeof length);
        if (length > room - at - sizeof(struct pti_record))
            return true;
        if (i < ctl.progress && !all)
            continue;
        msg->data = same->data = payload + at + sizeof(struct pti_record);
        msg->size = same->size = length;
        memcpy(&same->type, payload + at + sizeof length, sizeof same->type);
        msg->sub = sub + i;
        msg->redelivered = msg->state != PTQ_VIEW_LEASED && i < ctl.given;
        msg->deliveries = i == ctl.progress ? deliveries : i < ctl.given;
        if (!each(msg, context))
            return false;
    }
    return true;
}

enum ptq_err ptq_view_peek(ptq_view *view, bool (*each)(const struct ptq_view_msg *msg, void *context), void *context)
{
    struct pti_copy buffer = {0};
    struct pti_found *found;
    size_t count;

    if (!view || !each)
        return PTQ_EINVAL;
    if (pti_view_check(view) != PTQ_OK)
        return pti_view_check(view);
    found = malloc(view->ring.geometry.blocks * sizeof *found);
    if (!found)
        return PTQ_ENOMEM;
    count = find_visible(&view->ring, view->letters, found);
    qsort(found, count, sizeof *found, compare_found);
    for (size_t i = 0; i < count; i++) {
        struct ptq_view_msg msg;
        struct ptq_msg same;

        if (!pti_view_copy(&view->ring, &found[i], &buffer, &same, &msg))
            continue;
        if (msg.kind & PTI_KIND_PACK ? !pti_view_records(&msg, &same, false, each, context) : !each(&msg, context))
            break;
    }
    free(found);
    free(buffer.bytes);
    return pti_view_check(view) == PTQ_ECORRUPT ? PTQ_ECORRUPT : PTQ_OK;
}
