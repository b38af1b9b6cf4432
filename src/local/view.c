/* view.c -- <ptq/metrics.h>: looking at a queue's segment through a read-only map. */
#include <ptq/metrics.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bus/attach.h"
#include "bus/out.h"
#include "local/stats.h"
#include "local/view.h"
#include "os/guard.h"
#include "ring/side.h"
#include "ring/pack.h"
#include "ring/waits.h"
#include "ring/tally.h"

/* The name of the queue: what stands before "!dead". */
static bool read_name(const char *text, char name[PTQ_NAME_MAX + 1], bool *ret_letters)
{
    const char *suffix = strchr(text, PTQ_DEAD_SUFFIX[0]);
    size_t length = suffix ? (size_t)(suffix - text) : strlen(text);

    if (length > PTQ_NAME_MAX || (suffix && strcmp(suffix, PTQ_DEAD_SUFFIX) != 0))
        return false;
    memcpy(name, text, length);
    name[length] = 0;
    *ret_letters = suffix != NULL;
    return pti_name_is_valid(name) || pti_out_is_queue(name);
}

enum ptq_err ptq_view_open(ptq_bus *bus, const char *text, struct ptq_error *error, ptq_view **ret_view)
{
    char file[PTI_FILE_NAME_MAX], name[PTQ_NAME_MAX + 1];
    ptq_view *view;
    bool letters;
    enum ptq_err err;

    if (!bus || !text || !ret_view)
        return pti_error(error, PTQ_EINVAL, "a view needs a bus and a name");
    if (!read_name(text, name, &letters))
        return pti_error(error, PTQ_EINVAL, "'%s' is no name of a queue: use A-Z a-z 0-9 . _ -, at most %d bytes", text,
                         PTQ_NAME_MAX);
    view = calloc(1, sizeof *view);
    if (!view)
        return pti_error(error, PTQ_ENOMEM, "queue '%s': out of memory", name);
    err = pti_attach_view(bus, name, false, error, &view->header, &view->ring);
    if (err != PTQ_OK) {
        free(view);
        return err;
    }
    if (bus->guard &&
        pti_guard_new(view->ring.base, view->ring.segment.size, &view->damaged, 1, &view->guard) != 0) {
        ptq_view_close(view);
        return pti_error(error, PTQ_ENOMEM, "queue '%s': cannot guard its memory (PTQ_GUARD)", name);
    }
    if (view->guard)
        pti_sides_guard(&view->ring, &view->damaged, 1);
    view->letters = letters;
    pti_segment_file(name, file, sizeof file);
    snprintf(view->path, sizeof view->path, "%s/%s", bus->path, file);
    *ret_view = view;
    return PTQ_OK;
}

void ptq_view_close(ptq_view *view)
{
    if (!view)
        return;
    pti_ring_fini(&view->ring);
    pti_guard_free(view->guard);
    free(view);
}

enum ptq_err pti_view_check(const ptq_view *view)
{
    bool is_gone = pti_load_acquire(&view->ring.hints->flags) & PTI_FLAG_REMOVED; /* [F] */

    if (pti_load_relaxed(&view->damaged))
        return PTQ_ECORRUPT;
    return is_gone ? PTQ_EGONE : PTQ_OK;
}

enum ptq_err ptq_view_stats(ptq_view *view, struct ptq_queue_stats *ret_stats)
{
    if (!view || !ret_stats)
        return PTQ_EINVAL;
    if (pti_view_check(view) != PTQ_OK)
        return pti_view_check(view);
    pti_stats_make(&view->ring, ret_stats);
    return pti_view_check(view) == PTQ_ECORRUPT ? PTQ_ECORRUPT : PTQ_OK;
}

enum ptq_err ptq_view_waits(ptq_view *view, struct ptq_view_waits *ret_waits)
{
    struct ptq_view_waits waits = {0};
    struct pti_waits read;

    _Static_assert(sizeof waits.buckets == sizeof read.count, "the same buckets");
    if (!view || !ret_waits)
        return PTQ_EINVAL;
    if (pti_view_check(view) != PTQ_OK)
        return pti_view_check(view);
    pti_waits_read(&view->ring, &read);
    memcpy(waits.buckets, read.count, sizeof waits.buckets);
    waits.sum_us = read.sum_us;
    for (unsigned i = 0; i < PTQ_WAIT_BUCKETS; i++)
        waits.count += waits.buckets[i];
    if (pti_view_check(view) == PTQ_ECORRUPT)
        return PTQ_ECORRUPT;
    *ret_waits = waits;
    return PTQ_OK;
}

enum ptq_err ptq_view_info(ptq_view *view, struct ptq_view_info *ret_info)
{
    const struct pti_geometry *g;
    struct ptq_view_info info;
    struct stat status;

    if (!view || !ret_info)
        return PTQ_EINVAL;
    g = &view->ring.geometry;
    memset(&info, 0, sizeof info);
    snprintf(info.name, sizeof info.name, "%.*s", (int)sizeof info.name - 1, view->header.name);
    snprintf(info.path, sizeof info.path, "%.*s", (int)sizeof info.path - 1, view->path);
    info.capacity = g->capacity;
    info.item_size = g->item_size;
    info.slots = g->slots;
    info.blocks = g->blocks;
    info.block_stride = g->stride;
    info.file_bytes = g->file_size;
    info.max_deliveries = g->max_deliveries;
    info.max_endpoints = g->endpoints;
    info.layout = view->header.layout;
    info.window = g->window;
    info.limit = pti_load_relaxed(&view->ring.hints->limit);
    info.placed = g->flags & PTI_GEO_PLACED;
    info.bytes = g->bytes;
    info.header_size = g->header_size;
    info.ttl_ms = g->ttl_ms;
    info.lease_ms = g->lease_ms;
    info.max_dead = g->max_dead;
    info.full = (enum ptq_full)g->full;
    info.stamps = (enum ptq_stamps)g->stamps;
    info.expired_to_dead = g->flags & PTI_GEO_EXPIRED_DEAD;
    info.last_producer_ends = g->flags & PTI_GEO_LAST_ENDS;
    info.ephemeral = g->flags & PTI_GEO_EPHEMERAL;
    info.creator_pid = view->header.creator_pid;
    info.created_unix_ms = view->header.created_unix_ms;
    memcpy(info.id, view->header.id, sizeof info.id);
    if (fstat(view->ring.segment.fd, &status) == 0) {
        info.mode = status.st_mode & 07777;
        info.uid = status.st_uid;
        info.gid = status.st_gid;
    }
    *ret_info = info;
    return PTQ_OK;
}

const char *ptq_view_spec(const ptq_view *view) { return view ? view->header.spec : ""; }

/* ---- who is attached */

static void count_leases(struct pti_ring *ring, struct ptq_view_endpoint *endpoint)
{
    for (uint32_t block = 0; block < ring->geometry.blocks; block++) {
        uint64_t word;

        if (!pti_block_is_backed(ring, block))
            continue;
        word = pti_load_acquire(&pti_block_at(ring, block)->word); /* [L] */
        if (pti_word_state(word) != PTI_LEASED || pti_word_owner(word) != endpoint->index)
            continue;
        if (endpoint->leased == 0 || pti_diff(ring, pti_word_position(word), endpoint->oldest_position) < 0)
            endpoint->oldest_position = pti_word_position(word);
        endpoint->leased += pti_block_count(ring, block);
    }
}

static void describe(struct pti_ring *ring, uint32_t x, struct ptq_view_endpoint *endpoint)
{
    const struct pti_entry *entry = &ring->entries[x];

    memset(endpoint, 0, sizeof *endpoint);
    endpoint->index = x;
    endpoint->alive = pti_stats_is_alive(ring, x);
    endpoint->pid = pti_load_relaxed(&entry->pid);
    memcpy(endpoint->command, entry->command, sizeof endpoint->command - 1);
    endpoint->since_unix_ms = pti_load_relaxed(&entry->since_unix_ms);
    endpoint->put = pti_load_relaxed(&entry->put) + pti_load_relaxed(&entry->appended);
    endpoint->taken = pti_load_relaxed(&entry->taken) + pti_load_relaxed(&entry->admitted);
    endpoint->acked = pti_load_relaxed(&entry->acked);
    endpoint->nacked = pti_load_relaxed(&entry->nacked);
    count_leases(ring, endpoint);
}

enum ptq_err ptq_view_endpoints(ptq_view *view, struct ptq_view_endpoint *endpoints, size_t max, size_t *ret_count)
{
    uint32_t used;
    size_t count = 0;

    if (!view || (max > 0 && !endpoints) || !ret_count)
        return PTQ_EINVAL;
    if (pti_view_check(view) != PTQ_OK)
        return pti_view_check(view);
    used = pti_load_acquire(&view->ring.hints->entries_used); /* [S] */
    for (uint32_t x = 0; x < used && x < view->ring.geometry.endpoints; x++) {
        if (pti_load_acquire(&view->ring.entries[x].state) == 0) /* [S] */
            continue;
        if (count < max)
            describe(&view->ring, x, &endpoints[count]);
        count++;
    }
    *ret_count = count;
    return pti_view_check(view) == PTQ_ECORRUPT ? PTQ_ECORRUPT : PTQ_OK;
}

/* ---- peek */

static const struct pti_ring *sorting; /* qsort has no context; views are used by one thread at a time */
static pthread_mutex_t sorting_mutex = PTHREAD_MUTEX_INITIALIZER;

static int compare_found(const void *a, const void *b)
{
    const struct pti_found *x = a, *y = b;
    int64_t diff = pti_diff(sorting, x->position, y->position);

    if (diff != 0)
        return diff < 0 ? -1 : 1;
    return x->sub < y->sub ? -1 : x->sub > y->sub;
}

static bool is_visible(struct pti_ring *ring, uint32_t block, uint64_t word, uint64_t *ret_position)
{
    uint32_t batch;

    *ret_position = pti_word_position(word);
    switch (pti_word_state(word)) {
    case PTI_LEASED:
    case PTI_REDELIV:
    case PTI_DELAYED:
    case PTI_DEAD:
        return true;
    case PTI_COMMIT:
        if (pti_slot_names(ring, pti_word_position(word), block))
            return true;
        batch = pti_load_acquire(&pti_block_at(ring, block)->link); /* [G] */
        if (batch == 0 || !pti_batch_lists(ring, batch - 1, block, pti_word_position(word)))
            return false;
        *ret_position = pti_word_position(pti_load_acquire(&pti_block_at(ring, batch - 1)->word));
        return true;
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
    uint32_t room = (uint32_t)msg->size - (uint32_t)sizeof(struct pti_pack), at = 0, length, deliveries = msg->deliveries, word_size = sizeof(uint64_t),
             sub = msg->sub;
    struct pti_pack_ctl ctl;
    uint64_t n, word;

    memcpy(&n, payload, word_size);
    memcpy(&word, payload + word_size, word_size);
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
    pthread_mutex_lock(&sorting_mutex);
    sorting = &view->ring;
    qsort(found, count, sizeof *found, compare_found);
    pthread_mutex_unlock(&sorting_mutex);
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

/* ---- verify */

static bool same(const struct pti_tally *a, const struct pti_tally *b)
{
    return a->put == b->put && a->taken == b->taken && a->acked == b->acked && a->nacked == b->nacked &&
           a->redelivered == b->redelivered && a->open_lines == 0 && b->open_lines == 0 && a->leased == b->leased &&
           a->dropped == b->dropped && a->ready == b->ready && a->redeliverable == b->redeliverable && a->delayed == b->delayed &&
           a->dead == b->dead && a->owned == b->owned && a->ring_bytes == b->ring_bytes && a->bytes_put == b->bytes_put &&
           a->bytes_taken == b->bytes_taken;
}

static void tell_imbalance(const struct ptq_verify_report *report, void (*each)(const char *finding, void *context),
                           void *context)
{
    char text[200];

    snprintf(text, sizeof text,
             "put %llu is not ready %llu + leased %llu + delayed %llu + dead %llu + acked %llu + dropped %llu: %+lld",
             (unsigned long long)report->put, (unsigned long long)report->ready, (unsigned long long)report->leased,
             (unsigned long long)report->delayed, (unsigned long long)report->dead, (unsigned long long)report->acked,
             (unsigned long long)report->dropped, (long long)report->imbalance);
    if (each)
        each(text, context);
}

/* With a byte budget it must be known at any time how much of it is spent. */
static void tell_bytes(const struct pti_tally *tally, void (*each)(const char *finding, void *context), void *context)
{
    char text[200];

    snprintf(text, sizeof text, "bytes put %llu - bytes taken %llu is not what is ready, %llu",
             (unsigned long long)tally->bytes_put, (unsigned long long)tally->bytes_taken,
             (unsigned long long)tally->ring_bytes);
    if (each)
        each(text, context);
}

/* Findings are kept until it is known whether anything moved while they were made. */
struct kept {
    uint32_t count;
    char text[20][200];
};

static void keep(const char *text, void *context)
{
    struct kept *kept = context;

    if (kept->count < 20)
        snprintf(kept->text[kept->count++], sizeof kept->text[0], "%s", text);
}

enum ptq_err ptq_view_verify(ptq_view *view, void (*each)(const char *finding, void *context), void *context,
                             struct ptq_verify_report *ret_report)
{
    const struct timespec a_little = {0, 5000000};
    struct ptq_verify_report report;
    struct pti_tally tally, again;
    struct kept kept;

    if (!view || !ret_report)
        return PTQ_EINVAL;
    if (pti_view_check(view) != PTQ_OK)
        return pti_view_check(view);
    memset(&report, 0, sizeof report);
    for (unsigned tries = 0; tries < 10 && !report.quiet; tries++) {
        if (tries > 0)
            nanosleep(&a_little, NULL);
        kept.count = 0;
        pti_tally_make(&view->ring, &tally);
        report.findings = pti_tally_check(&view->ring, keep, &kept);
        pti_tally_make(&view->ring, &again);
        report.quiet = same(&tally, &again);
    }
    if (pti_view_check(view) == PTQ_ECORRUPT) {
        if (each)
            each("its file was truncated", context);
        return PTQ_ECORRUPT;
    }
    report.put = again.put;
    report.acked = again.acked;
    report.dropped = again.dropped;
    report.ready = again.ready + again.redeliverable;
    report.leased = again.leased;
    report.delayed = again.delayed;
    report.dead = again.dead;
    report.in_transit = again.owned + again.unpublished;
    report.imbalance = (int64_t)(report.put - report.ready - report.leased - report.delayed - report.dead -
                                 report.acked - report.dropped);
    for (uint32_t i = 0; each && i < kept.count; i++)
        each(kept.text[i], context);
    if (report.quiet && view->ring.geometry.bytes != 0 && again.bytes_put - again.bytes_taken != again.ring_bytes) {
        report.findings++;
        tell_bytes(&again, each, context);
    }
    if (report.quiet && report.imbalance != 0) {
        report.findings++;
        tell_imbalance(&report, each, context);
    }
    *ret_report = report;
    return report.findings == 0 ? PTQ_OK : PTQ_ECORRUPT;
}
