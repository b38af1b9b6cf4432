/* layout.c -- computing, writing and checking a segment's geometry. */
#include "ring/layout.h"

#include <string.h>
#include <unistd.h>

#include <ptq/queue.h>
#include <ptq/version.h>

#include "base/hash.h"
#include "base/time.h"

#define DEFAULT_CAPACITY 1000u
#define DEFAULT_ITEM_SIZE 4096u
#define DEFAULT_DELIVERIES 20u
#define DEFAULT_ENDPOINTS 256u
#define DEFAULT_DEAD 1000u
#define CAPACITY_MAX (UINT64_C(1) << 22)
#define ITEM_MAX (PTQ_ITEM_MAX + 4096u) /* a pool puts its own heads before an item */
#define STRIDE_MIN 128u /* room for a batch header with a few runs */
#define EXTENTS_MAX 32u
#define STRETCHES_MAX 4096u
#define STRETCH_SHIFT 16

static uint64_t round_up(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* No more than may wait. */
static uint32_t few_own(uint64_t capacity, uint32_t most, uint32_t least)
{
    return capacity >= most ? most : capacity > least ? (uint32_t)capacity : least;
}

/* Blocks that a producer has of its own: many small ones, few large ones.  Of small ones as many as may wait, within reason: a
 * producer that is ahead of its consumers and finds none of its own takes shared ones, which cost both sides twice as much. */
static uint32_t extent_blocks(uint32_t stride, uint64_t capacity)
{
    if (stride <= 256)
        return (uint32_t)(capacity + 64 < 512 ? 512 : capacity + 64 > 4608 ? 4608 : capacity + 64);
    if (stride <= 1024)
        return 128;
    if (stride <= 5120 && capacity > 128) /* the default among them */
        return 128;
    if (stride <= 8192)
        return 16;
    if (stride <= 65536) /* messages of 16 KiB */
        return few_own(capacity, stride <= 32768 ? 16 : 8, 4);
    return few_own(capacity, stride <= 131072 ? 32 : 1, 1); /* of 64 KiB; docs/decisions/large-copies.md */
}

/* Room for headers where nothing was said: large messages get as much as may ever be, small ones what is left in their last
 * line, for a third line would cost more than headers are worth. */
static uint32_t header_room(const struct pti_geometry_request *request, uint32_t item_size)
{
    uint64_t used = PTI_BLOCK_HEAD + (uint64_t)item_size;
    uint32_t slack = (uint32_t)(larger(STRIDE_MIN, round_up(used, PTI_LINE)) - used);

    if (request->header_size == UINT32_MAX)
        return 0;
    if (request->header_size != 0)
        return request->header_size;
    if (item_size >= 1024)
        return item_size / 8 < PTQ_HEADERS_MAX ? item_size / 8 : PTQ_HEADERS_MAX;
    return slack;
}

static void place_regions(struct pti_geometry *g)
{
    uint64_t at = PTI_HEADER_SIZE;

    g->off_hints = at;
    at += round_up(sizeof(struct pti_hints), PTI_LINE);
    g->off_stretch = at;
    at += STRETCHES_MAX / 8;
    g->off_used = at;
    at += round_up(((uint64_t)g->shared_blocks + 63) / 64 * 8, PTI_LINE);
    g->off_special = at;
    at += round_up(((uint64_t)g->blocks + 63) / 64 * 8, PTI_LINE);
    g->off_extents = at;
    at += round_up((uint64_t)g->extents * 4, PTI_LINE);
    g->off_slots = at;
    at += round_up(g->slots * 8, PTI_LINE);
    g->off_entries = at;
    at += (uint64_t)g->endpoints * sizeof(struct pti_entry);
    at = round_up(at, 4096);
    g->off_blocks = at;
    at += (uint64_t)g->blocks * g->stride;
    g->file_size = round_up(at, 4096);
    g->stretch_shift = STRETCH_SHIFT;
    while (g->file_size >> g->stretch_shift >= STRETCHES_MAX)
        g->stretch_shift++;
}

enum ptq_err pti_geometry_make(const struct pti_geometry_request *request, struct pti_geometry *ret_geometry)
{
    struct pti_geometry g;
    uint64_t shared, least;

    memset(&g, 0, sizeof g); /* padding too: geometries are compared byte by byte */
    g.capacity = request->capacity ? request->capacity : DEFAULT_CAPACITY;
    g.window = request->window;
    g.item_size = request->item_size ? request->item_size : DEFAULT_ITEM_SIZE;
    g.max_deliveries = request->max_deliveries ? request->max_deliveries : DEFAULT_DELIVERIES;
    g.endpoints = request->endpoints ? request->endpoints : DEFAULT_ENDPOINTS;
    g.flags = request->flags;
    g.bytes = request->bytes;
    g.full = request->full;
    g.stamps = request->stamps;
    g.ttl_ms = request->ttl_ms;
    g.lease_ms = request->lease_ms;
    g.pack_size = request->pack_size ? request->pack_size : request->packs ? PTI_PACK_SIZE : 0;
    g.header_size = header_room(request, g.item_size);
    g.max_dead = request->max_dead ? request->max_dead : (uint32_t)(g.capacity < DEFAULT_DEAD ? g.capacity : DEFAULT_DEAD);
    if (g.bytes != 0 && g.bytes < g.item_size)
        return PTQ_EINVAL; /* a message of item_size could never be put */
    if (g.header_size > PTQ_HEADERS_MAX || g.full > PTQ_FULL_DROP_NEWEST || g.stamps > PTQ_STAMPS_OFF)
        return PTQ_EINVAL;
    if (g.capacity > CAPACITY_MAX || g.window > CAPACITY_MAX || g.max_dead > CAPACITY_MAX || g.item_size > ITEM_MAX ||
        g.endpoints > PTI_ENDPOINT_MAX)
        return PTQ_EINVAL;

    least = larger(g.capacity, g.window);
    for (g.slot_bits = 6; (UINT64_C(1) << g.slot_bits) <= least; g.slot_bits++)
        ;
    g.slots = UINT64_C(1) << g.slot_bits;
    g.position_bits = PTI_LAP_BITS + g.slot_bits;
    if (g.position_bits > PTI_POSITION_BITS)
        g.position_bits = PTI_POSITION_BITS;
    g.start = (request->start_laps ? request->start_laps : 1) << g.slot_bits;
    g.start &= (UINT64_C(1) << g.position_bits) - 1;

    g.inline_size = pti_geometry_is_large(&g) ? PTI_LARGE_STRIDE - PTI_BLOCK_HEAD - (uint32_t)sizeof(struct pti_side_note)
                                              : g.item_size + g.header_size;
    if (pti_geometry_is_large(&g))
        g.stride = PTI_LARGE_STRIDE;
    else
        g.stride = (uint32_t)larger(STRIDE_MIN, round_up(PTI_BLOCK_HEAD + (uint64_t)g.inline_size, PTI_LINE));
    if (g.pack_size > PTI_PACK_SIZE_MAX)
        return PTQ_EINVAL;
    if (g.pack_size != 0)
        g.stride = (uint32_t)larger(g.stride, round_up(PTI_BLOCK_HEAD + sizeof(struct pti_pack) + g.pack_size, PTI_LINE));
    /* What may be ready at once (in a placed ring: all of the window); and as much again leased, within reason, or half as
     * much for the headers of batches of two. */
    shared = larger(g.capacity, g.window);
    shared += 64 + larger(larger(shared / 2, shared < 4096 ? shared : 4096), g.max_dead); /* letters take no room from puts */
    g.extent_blocks = extent_blocks(g.stride, g.capacity);
    g.extents = g.endpoints < EXTENTS_MAX ? g.endpoints : EXTENTS_MAX;
    if (pti_geometry_is_large(&g))
        g.extents = 0; /* the fewer blocks are in turn, the fewer side files */
    if (shared + (uint64_t)g.extents * g.extent_blocks > PTI_BLOCK_MAX)
        return PTQ_EINVAL;
    g.shared_blocks = (uint32_t)shared;
    g.blocks = g.shared_blocks + g.extents * g.extent_blocks;
    place_regions(&g);
    *ret_geometry = g;
    return PTQ_OK;
}

void pti_header_write(void *base, const struct pti_geometry *geometry, const char *name, const char *spec,
                      const uint8_t id[16])
{
    struct pti_header *header = base;
    struct pti_hints *hints = (void *)((char *)base + geometry->off_hints);
    _Atomic uint64_t *slots = (void *)((char *)base + geometry->off_slots);
    uint64_t mask = (UINT64_C(1) << geometry->position_bits) - 1;
    uint64_t before = pti_slot(((geometry->start - geometry->slots) & mask) >> geometry->slot_bits, 0);

    header->magic = PTI_MAGIC;
    header->layout = PTQ_LAYOUT_VERSION;
    header->byte_order = PTI_BYTE_ORDER;
    memcpy(&header->geometry, geometry, sizeof *geometry);
    memcpy(header->id, id, sizeof header->id);
    header->created_unix_ms = pti_unix_ms();
    header->creator_pid = getpid();
    header->creator_uid = geteuid();
    strncpy(header->name, name, sizeof header->name - 1);
    if (spec)
        strncpy(header->spec, spec, sizeof header->spec - 1);
    header->checksum = pti_hash(header, offsetof(struct pti_header, checksum));

    pti_store_relaxed(&hints->head, geometry->start);
    pti_store_relaxed(&hints->tail, geometry->start);
    for (uint64_t i = 0; before != 0 && i < geometry->slots; i++)
        pti_store_relaxed(&slots[i], before);
    if (geometry->bytes != 0)
        pti_store_relaxed(&hints->flags, PTI_FLAG_BATCHED);
    if (geometry->window != 0 && !(geometry->flags & PTI_GEO_PLACED)) {
        pti_store_relaxed(&hints->limit, (geometry->start + geometry->window) & mask);
        pti_store_relaxed(&hints->flags, PTI_FLAG_LIMITED);
    }
}

/* Every derived figure must be the one that this layout derives: then no offset can lead outside the file. */
static bool geometry_is_sound(const struct pti_geometry *g)
{
    struct pti_geometry_request request = {0};
    struct pti_geometry made;

    if (!g->capacity || !g->item_size || !g->endpoints || !g->max_deliveries)
        return false;
    request.capacity = g->capacity;
    request.window = g->window;
    request.item_size = g->item_size;
    request.max_deliveries = g->max_deliveries;
    request.endpoints = g->endpoints;
    request.flags = g->flags;
    request.bytes = g->bytes;
    request.header_size = g->header_size ? g->header_size : UINT32_MAX;
    request.full = g->full;
    request.stamps = g->stamps;
    request.ttl_ms = g->ttl_ms;
    request.lease_ms = g->lease_ms;
    request.max_dead = g->max_dead;
    request.pack_size = g->pack_size;
    if (!g->max_dead || pti_geometry_make(&request, &made) != PTQ_OK)
        return false;
    made.start = g->start;
    if (memcmp(&made, g, sizeof made) != 0)
        return false;
    return (g->start & (g->slots - 1)) == 0 && g->start >> g->position_bits == 0;
}

/* Each is printed some day: nothing that a terminal obeys comes in. */
static bool text_is_sound(const char *text, size_t room)
{
    size_t length = strnlen(text, room);

    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~')
            return false;
    return length < room;
}

enum ptq_err pti_header_read(const void *base, size_t size, struct pti_header *ret_header)
{
    struct pti_header header;

    if (size < PTI_HEADER_SIZE)
        return PTQ_ECORRUPT;
    memcpy(&header, base, sizeof header); /* once: what is checked is what is used */
    if (header.magic != PTI_MAGIC)
        return PTQ_ECORRUPT;
    if (header.layout != PTQ_LAYOUT_VERSION || header.byte_order != PTI_BYTE_ORDER)
        return PTQ_EVERSION;
    if (header.checksum != pti_hash(&header, offsetof(struct pti_header, checksum)))
        return PTQ_ECORRUPT;
    if (!text_is_sound(header.name, sizeof header.name) || !text_is_sound(header.spec, sizeof header.spec) ||
        !geometry_is_sound(&header.geometry))
        return PTQ_ECORRUPT;
    if (size < header.geometry.file_size)
        return PTQ_ECORRUPT;
    *ret_header = header;
    return PTQ_OK;
}
