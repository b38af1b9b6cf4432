/* attach.c -- a queue's segment: made or found, checked, and entered.
 *
 * There is no directory lock.  A segment is made without a name and linked when it is whole; who comes second opens the
 * first one's.  Who opens registers, and then looks that the name still leads here; else gc was faster, and it begins again.
 */
#include "bus/attach.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <ptq/version.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/time.h"
#include "bus/access.h"
#include "os/life.h"
#include "ring/side.h"

#define GRACE_NS (PTI_NS_PER_S)         /* how long gc may have a queue in hand before an opener gives up */
#define RETRY_NS (2 * PTI_NS_PER_MS)    /* between two looks for a queue that is not there yet */

/* Messages of one layout must not lie unseen beside a queue of the same name in another. */
static enum ptq_err refuse_other_layout(ptq_bus *bus, const char *name, struct ptq_error *error)
{
    char file[PTI_FILE_NAME_MAX];
    int layout = pti_segment_other_layout(bus, name, file, sizeof file);

    if (layout == 0)
        return PTQ_OK;
    return pti_error(error, PTQ_EVERSION,
                     "queue '%s' exists in memory layout %d (%s/%s), this library has layout %d: empty it with the ptq that "
                     "made it, then remove it with ptq rm",
                     name, layout, bus->path, file, PTQ_LAYOUT_VERSION);
}

static enum ptq_err describe_header(struct ptq_error *error, const char *name, enum ptq_err err)
{
    if (err == PTQ_EVERSION)
        return pti_error(error, err, "queue '%s' has another memory layout than this library's (%d); use the ptq that made "
                                     "it, or remove it with ptq rm",
                         name, PTQ_LAYOUT_VERSION);
    return pti_error(error, err, "queue '%s': its header is damaged; remove it with ptq rm --force", name);
}

/* ---- agreement with what is there */

static enum ptq_err mismatch(struct ptq_error *error, const char *name, const char *what, uint64_t has, uint64_t asked)
{
    return pti_error(error, PTQ_EMISMATCH,
                     "queue '%s' exists with %s %" PRIu64 ", %" PRIu64 " was asked; open it without %s, or choose another "
                     "name",
                     name, what, has, asked, what);
}

static enum ptq_err differs(struct ptq_error *error, const char *name, const char *what, const char *has, const char *asked)
{
    return pti_error(error, PTQ_EMISMATCH,
                     "queue '%s' exists with %s %s, %s was asked; open it without %s, or choose another name", name, what,
                     has, asked, what);
}

static const char *const full_names[] = {"block", "fail", "drop-oldest", "drop-newest"};
static const char *const stamp_names[] = {"sampled", "all", "off"};

/* A geometry that was read from a file has passed geometry_is_sound; what is asked was checked above. */
static enum ptq_err compare(const struct pti_geometry *has, const struct pti_geometry_request *asked, const char *name,
                            struct ptq_error *error)
{
    if (asked->capacity && asked->capacity != has->capacity)
        return mismatch(error, name, "capacity", has->capacity, asked->capacity);
    if (asked->item_size && asked->item_size != has->item_size)
        return mismatch(error, name, "item_size", has->item_size, asked->item_size);
    if (asked->max_deliveries && asked->max_deliveries != has->max_deliveries)
        return mismatch(error, name, "max_deliveries", has->max_deliveries, asked->max_deliveries);
    if (asked->endpoints && asked->endpoints != has->endpoints)
        return mismatch(error, name, "max_endpoints", has->endpoints, asked->endpoints);
    if (asked->pack_size && asked->pack_size != has->pack_size)
        return mismatch(error, name, "pack_size", has->pack_size, asked->pack_size);
    if (asked->window && asked->window != has->window)
        return mismatch(error, name, "window", has->window, asked->window);
    if (asked->bytes && asked->bytes != has->bytes)
        return mismatch(error, name, "bytes", has->bytes, asked->bytes);
    if (asked->ttl_ms && asked->ttl_ms != has->ttl_ms)
        return mismatch(error, name, "ttl_ms", has->ttl_ms, asked->ttl_ms);
    if (asked->lease_ms && asked->lease_ms != has->lease_ms)
        return mismatch(error, name, "lease_ms", has->lease_ms, asked->lease_ms);
    if (asked->full && asked->full != has->full)
        return differs(error, name, "full", full_names[has->full], full_names[asked->full]);
    if (asked->stamps && asked->stamps != has->stamps)
        return differs(error, name, "stamps", stamp_names[has->stamps], stamp_names[asked->stamps]);
    if ((asked->flags & PTI_GEO_EXPIRED_DEAD) && !(has->flags & PTI_GEO_EXPIRED_DEAD))
        return differs(error, name, "expired_to_dead", "false", "true");
    if (asked->max_dead && asked->max_dead != has->max_dead)
        return mismatch(error, name, "max_dead", has->max_dead, asked->max_dead);
    if ((asked->flags & PTI_GEO_LAST_ENDS) && !(has->flags & PTI_GEO_LAST_ENDS))
        return differs(error, name, "last_producer_ends", "false", "true");
    if ((asked->flags & PTI_GEO_PLACED) && !(has->flags & PTI_GEO_PLACED))
        return pti_error(error, PTQ_EMISMATCH, "queue '%s' exists and is not a pool's; choose another name", name);
    return PTQ_OK;
}

/* What messages are: the same, to the letter. */
static enum ptq_err compare_spec(const char *has, const char *asked, const char *name, struct ptq_error *error)
{
    if (asked[0] == '\0' || strcmp(has, asked) == 0)
        return PTQ_OK;
    if (has[0] == '\0')
        return pti_error(error, PTQ_EMISMATCH,
                         "queue '%s' exists without a spec, '%.250s' was asked; open it without a spec, or choose another name",
                         name, asked);
    return pti_error(error, PTQ_EMISMATCH,
                     "queue '%s' exists with spec '%.120s', '%.120s' was asked; open it without a spec, or choose another name",
                     name, has, asked);
}

/* ---- making one */

static struct pti_access access_of(const struct pti_attach *ask) { return (struct pti_access){ask->file_mode, ask->group}; }

/* Everything before the blocks has memory from the start, and the first stretch of blocks: no later read can fault. */
static enum ptq_err reserve_first(const struct pti_segment *segment, const struct pti_geometry *g, bool all,
                                  const char *name, struct ptq_error *error)
{
    _Atomic uint64_t *stretches = (void *)((char *)segment->base + g->off_stretch);
    uint64_t stretch = UINT64_C(1) << g->stretch_shift;
    uint64_t size = all ? g->file_size : (g->off_blocks + stretch - 1) / stretch * stretch;
    int number;

    if (size > g->file_size)
        size = g->file_size;
    number = pti_segment_reserve(segment, 0, size);
    if (number)
        return pti_explain_reserve(error, &(struct pti_thing){"queue", name, NULL}, segment, size, number);
    for (uint64_t i = 0; i << g->stretch_shift < size; i++)
        pti_fetch_or_seq(&stretches[i / 64], UINT64_C(1) << (i % 64)); /* [B] */
    return PTQ_OK;
}

static uint64_t least_bytes(const struct pti_geometry_request *asked) { return asked->item_size ? asked->item_size : 4096; }

/* What the maker's half of an id is: it does not tell his name. */
static void sign(const uint8_t maker[static 16], uint8_t mark[static 8])
{
    for (int i = 0; i < 8; i++)
        mark[i] = maker[i] ^ maker[8 + i];
}

/* Random, or half of it, where somebody may ask again whether it is his. */
static void draw_id(const struct pti_attach *ask, uint8_t id[static 16])
{
    if (getrandom(id, 16, 0) != 16)
        memset(id, 0, 16); /* for display and files only */
    if (ask->maker != NULL)
        sign(ask->maker, id + 8);
}

/* Answers PTQ_EEXIST without a word if somebody else's came first. */
static enum ptq_err create(ptq_bus *bus, const char *name, const char *file, const struct pti_attach *ask,
                           struct ptq_error *error)
{
    struct pti_segment segment;
    struct pti_segment_temp temp;
    struct pti_geometry geometry;
    uint8_t id[16];
    struct pti_geometry_request request = ask->geometry;
    enum ptq_err err;
    int number;

    if (refuse_other_layout(bus, name, error) != PTQ_OK)
        return PTQ_EVERSION;
    if (request.item_size == 0)
        request.item_size = ask->spec_size;
    if (request.item_size < ask->spec_size)
        return pti_error(error, PTQ_EINVAL,
                         "queue '%s': messages of its spec have %" PRIu32 " bytes, item_size is %" PRIu32
                         "; ask for no item_size, or for a larger one",
                         name, ask->spec_size, request.item_size);
    err = pti_geometry_make(&request, &geometry);
    if (err != PTQ_OK && ask->geometry.bytes != 0 && ask->geometry.bytes < least_bytes(&request))
        return pti_error(error, err,
                         "queue '%s': bytes %" PRIu64 " is less than one message of item_size %" PRIu64
                         ", which could never be put; give more bytes or a smaller item_size",
                         name, ask->geometry.bytes, least_bytes(&request));
    if (err != PTQ_OK)
        return pti_error(error, err,
                         "queue '%s': capacity %" PRIu64 ", item_size %" PRIu32 " or max_endpoints %" PRIu32
                         " is beyond what a queue can be (4194304, %u, 2047)",
                         name, ask->geometry.capacity, ask->geometry.item_size, ask->geometry.endpoints, PTQ_ITEM_MAX);
    number = pti_segment_create(bus->dirfd, name, geometry.file_size, pti_access_mode(access_of(ask)), &segment, &temp);
    if (number)
        return pti_explain_file(error, bus, &(struct pti_thing){"queue", name, file}, geometry.file_size, number);
    err = pti_access_give(&segment, &(struct pti_thing){"queue", name, file}, access_of(ask), error);
    if (err == PTQ_OK)
        err = reserve_first(&segment, &geometry, ask->prefault, name, error);
    if (err == PTQ_OK) {
        draw_id(ask, id);
        pti_header_write(segment.base, &geometry, name, ask->spec, id);
        number = pti_segment_link(&segment, &temp, bus->dirfd, file);
        if (number == EEXIST)
            err = PTQ_EEXIST;
        else if (number)
            err = pti_explain_file(error, bus, &(struct pti_thing){"queue", name, file}, geometry.file_size, number);
    }
    pti_segment_discard(&segment, &temp, bus->dirfd);
    return err;
}

/* ---- finding one */

enum ptq_err pti_attach_view(ptq_bus *bus, const char *name, bool writable, struct ptq_error *error,
                             struct pti_header *ret_header, struct pti_ring *ring)
{
    char file[PTI_FILE_NAME_MAX];
    struct pti_segment segment;
    struct pti_header header;
    enum ptq_err err;
    int number;

    pti_segment_file(name, file, sizeof file);
    number = pti_segment_open(bus->dirfd, file, writable, PTI_HEADER_SIZE, &segment);
    if (number == ENOENT && refuse_other_layout(bus, name, error) != PTQ_OK)
        return PTQ_EVERSION;
    if (number)
        return pti_explain_file(error, bus, &(struct pti_thing){"queue", name, file}, 0, number);
    err = pti_header_read(segment.base, segment.size, &header);
    if (err != PTQ_OK) {
        pti_segment_close(&segment);
        return describe_header(error, name, err);
    }
    err = pti_ring_init(ring, &segment, &header);
    if (err != PTQ_OK) {
        pti_segment_close(&segment);
        return pti_error(error, err, "queue '%s': out of memory", name);
    }
    err = pti_sides_init(ring, bus->dirfd, bus->path, name);
    if (err != PTQ_OK) {
        pti_ring_fini(ring);
        return pti_error(error, err, "queue '%s': cannot hold its directory: %s", name, ptq_strerror(err));
    }
    *ret_header = header;
    return PTQ_OK;
}

/* Every byte was locked when we looked: by as many endpoints, or by gc, which takes the whole range for a moment and may have
 * let it go since.  It is a crowd only if every entry belongs to somebody. */
static enum ptq_err describe_crowd(struct ptq_error *error, const char *name, const struct pti_ring *ring)
{
    for (uint32_t x = 0; x < ring->geometry.endpoints; x++) {
        if (pti_load_acquire(&ring->entries[x].state) == 0) /* [S] */
            return pti_error(error, PTQ_EBUSY, "queue '%s' is being collected by gc; try again", name);
    }
    return pti_error(error, PTQ_EAGAIN,
                     "queue '%s' has its %" PRIu32 " endpoints attached; close some, or create it with more max_endpoints",
                     name, ring->geometry.endpoints);
}

/* One try to enter what the name leads to.  PTQ_EGONE: it was on its way out; look again. */
static enum ptq_err enter(ptq_bus *bus, const char *name, const struct pti_attach *ask, struct ptq_error *error,
                          struct pti_ring *ring, struct pti_lane *lane)
{
    char file[PTI_FILE_NAME_MAX];
    struct pti_header header;
    enum ptq_err err = pti_attach_view(bus, name, true, error, &header, ring);

    if (err != PTQ_OK)
        return err;
    pti_segment_file(name, file, sizeof file);
    err = compare(&header.geometry, &ask->geometry, name, error);
    if (err == PTQ_OK)
        err = compare_spec(header.spec, ask->spec, name, error);
    if (err == PTQ_OK)
        err = pti_access_compare(&ring->segment, &(struct pti_thing){"queue", name, file}, access_of(ask), error);
    if (pti_load_acquire(&ring->hints->flags) & PTI_FLAG_REMOVED) { /* [F] */
        pti_reap_finish(bus, name, &ring->segment);
        err = PTQ_EGONE;
    }
    if (err == PTQ_OK) {
        err = pti_lane_register(lane, ring);
        if (err == PTQ_EAGAIN)
            err = describe_crowd(error, name, ring);
        else if (err != PTQ_OK)
            pti_error(error, err, "queue '%s': cannot attach: %s", name, ptq_strerror(err));
    }
    if (err != PTQ_OK) {
        pti_ring_fini(ring);
        return err;
    }
    if (pti_segment_is_named(&ring->segment, bus->dirfd, file) == 0)
        return PTQ_OK;
    pti_lane_unregister(lane);
    pti_ring_fini(ring);
    return PTQ_EGONE;
}

/* Exclusive create met a queue: was it on its way out?  Then it is gone now. */
static bool was_removed(ptq_bus *bus, const char *name)
{
    struct pti_ring ring;
    struct pti_header header;

    if (pti_attach_view(bus, name, true, NULL, &header, &ring) != PTQ_OK)
        return false;
    bool removed = pti_load_acquire(&ring.hints->flags) & PTI_FLAG_REMOVED; /* [F] */
    if (removed)
        pti_reap_finish(bus, name, &ring.segment);
    pti_ring_fini(&ring);
    return removed;
}

/* Exclusive create met a queue: he made it himself, and did not live to hear of it, or his answer was lost. */
static bool is_own(ptq_bus *bus, const char *name, const struct pti_attach *ask)
{
    struct pti_ring ring;
    struct pti_header header;
    uint8_t mark[8];

    if (ask->maker == NULL || pti_attach_view(bus, name, false, NULL, &header, &ring) != PTQ_OK)
        return false;
    pti_ring_fini(&ring);
    sign(ask->maker, mark);
    return memcmp(header.id + 8, mark, sizeof mark) == 0;
}

static void rest(void)
{
    struct timespec a_little = {0, RETRY_NS};

    nanosleep(&a_little, NULL);
}

enum ptq_err pti_attach(ptq_bus *bus, const char *name, const struct pti_attach *ask, struct ptq_error *error,
                        struct pti_ring *ring, struct pti_lane *lane)
{
    char file[PTI_FILE_NAME_MAX];
    int64_t deadline = pti_deadline(ask->wait_ms), grace = pti_now_ns() + GRACE_NS;
    enum ptq_err err;

    pti_segment_file(name, file, sizeof file);
    for (bool may_enter = ask->mode != PTQ_CREATE;;) {
        int64_t now = pti_now_ns(); /* before the try: who was away between it and here tries once more */
        err = PTQ_ENOENT;
        if (may_enter)
            err = enter(bus, name, ask, error, ring, lane);
        if ((err == PTQ_ENOENT || err == PTQ_EGONE) && pti_bus_is_gone(bus))
            return pti_explain_gone(error, bus, &(struct pti_thing){"queue", name, file});
        if (err == PTQ_ENOENT && ask->mode != PTQ_ATTACH) {
            err = create(bus, name, file, ask, error);
            may_enter |= err == PTQ_OK || (err == PTQ_EEXIST && is_own(bus, name, ask));
            if (!may_enter && err == PTQ_EEXIST && !was_removed(bus, name))
                return pti_error(error, err, "queue '%s' exists; remove it, or open it without exclusive create", name);
            if (err != PTQ_OK && err != PTQ_EEXIST)
                return err;
            continue;
        }
        if (err == PTQ_ENOENT && now < deadline) {
            rest();
            continue;
        }
        if (err == PTQ_EGONE || err == PTQ_EBUSY) {
            if (now >= grace && now >= deadline)
                return pti_error(error, PTQ_EBUSY, "queue '%s' is being removed; try again", name);
            rest();
            continue;
        }
        return err;
    }
}
