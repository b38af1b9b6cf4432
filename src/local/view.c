/* view.c -- <ptq/metrics.h>: looking at a queue's segment through a read-only map. */
#include <ptq/metrics.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/attach.h"
#include "bus/out.h"
#include "local/stats.h"
#include "local/view.h"
#include "os/guard.h"
#include "ring/side.h"
#include "ring/pack.h"
#include "ring/waits.h"

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
