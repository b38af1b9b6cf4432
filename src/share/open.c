/* open.c -- the segment of a share or a log: made or found, checked, entered; left; removed; listed.
 *
 * As a queue's (bus/attach.c): made without a name and linked when it is whole; who comes second opens the first one's; who opens
 * registers, and then looks that the name still leads here.  Law: whoever unlinks the name holds the segment's REMOVER byte.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/time.h"
#include "bus/access.h"
#include "os/life.h"
#include "ring/wait.h"
#include "share/away.h"

#define GRACE_NS PTI_NS_PER_S            /* how long somebody may have it in hand before an opener gives up */
#define RETRY_NS (2 * PTI_NS_PER_MS)
#define DEFAULT_ENDPOINTS 256u
#define ENDPOINTS_MOST 2047u

_Static_assert(PTI_SHARE_LAYOUT == 1, "the suffixes name the layout");

/* What the two kinds call things, and what they are if nobody says; head: bytes of each value that are not the user's. */
static const struct {
    const char *kind, *suffix, *cells, *size;
    uint32_t default_cells, default_size, head;
} words[] = {[PTI_SHARE_CELLS] = {"share", PTI_SHARE_SUFFIX, "cells", "value_size", 256, 1024, 0},
             [PTI_SHARE_LOG] = {"log", PTI_LOG_SUFFIX, "capacity", "item_size", 1000, 240 + PTI_LOG_HEAD, PTI_LOG_HEAD}};

/* As the user counts it. */
static uint32_t users_size(enum pti_share_kind kind, uint32_t size) { return size > words[kind].head ? size - words[kind].head : 0; }

/* ---- geometry */

static uint64_t align(uint64_t offset, uint64_t to) { return (offset + to - 1) / to * to; }

static void place_parts(struct pti_share_geometry *g)
{
    uint64_t at = PTI_HEADER_SIZE;

    g->off_users = at;
    at = align(at + 4 * (uint64_t)g->endpoints, PTI_LINE);
    g->off_buckets = at;
    at += 16 * (uint64_t)g->buckets;
    for (int kind = 0; kind < 3; kind++) {
        g->off_tags[kind] = align(at, PTI_LINE);
        at = g->off_tags[kind] + 8 * (uint64_t)g->blocks[kind];
    }
    for (int kind = 0; kind < 3; kind++) {
        g->off_blocks[kind] = align(at, 4096);
        at = g->off_blocks[kind] + (uint64_t)g->strides[kind] * g->blocks[kind];
    }
    g->file_size = align(at, 4096);
}

/* Of everything one for each endpoint besides: it may be killed or stand still with it in hand.  Users may take the spare entries for
 * cells; each entry has a value nevertheless. */
static void make_geometry(enum pti_share_kind kind, const struct ptq_share_options *ask, struct pti_share_geometry *g)
{
    *g = (struct pti_share_geometry){.kind = kind,
                                     .cells = ask->cells ? ask->cells : words[kind].default_cells,
                                     .value_size = ask->value_size ? ask->value_size : words[kind].default_size,
                                     .endpoints = ask->max_endpoints ? ask->max_endpoints : DEFAULT_ENDPOINTS};
    if (kind == PTI_SHARE_LOG) {
        g->buckets = g->cells;
        g->blocks[PTI_ENTRIES] = 1;
        g->blocks[PTI_VALUES] = g->cells + g->endpoints;
    } else {
        g->blocks[PTI_ENTRIES] = g->cells + g->endpoints;
        g->blocks[PTI_VALUES] = g->blocks[PTI_ENTRIES] + g->endpoints;
        g->buckets = 16;
        while (g->buckets < g->cells)
            g->buckets *= 2;
        g->blocks[PTI_LISTS] = g->buckets + g->endpoints;
    }
    g->strides[PTI_LISTS] = PTI_LIST_MOST * sizeof(uint32_t);
    g->strides[PTI_ENTRIES] = sizeof(struct pti_entry_of_share);
    g->strides[PTI_VALUES] = (uint32_t)align(g->value_size, PTI_LINE);
    place_parts(g);
}

static uint64_t checksum(const struct pti_share_header *header) { return pti_hash(header, offsetof(struct pti_share_header, checksum)); }

/* A header that we would have written is sound; its numbers are then used from our copy. */
static enum ptq_err check_header(const struct pti_segment *segment, enum pti_share_kind kind, struct pti_share_geometry *ret_geometry)
{
    struct pti_share_header header;
    struct pti_share_geometry again;

    memcpy(&header, segment->base, sizeof header);
    if (header.magic != PTI_SHARE_MAGIC || header.byte_order != 1)
        return PTQ_ECORRUPT;
    if (header.layout != PTI_SHARE_LAYOUT)
        return PTQ_EVERSION;
    const struct pti_share_geometry *g = &header.geometry;
    if (header.checksum != checksum(&header) || g->cells == 0 || g->cells > PTQ_SHARE_CELLS_MAX || g->value_size == 0 ||
        g->value_size > PTQ_SHARE_VALUE_MAX || g->endpoints == 0 || g->endpoints > ENDPOINTS_MOST)
        return PTQ_ECORRUPT;
    make_geometry(kind, &(struct ptq_share_options){.cells = g->cells, .value_size = g->value_size, .max_endpoints = g->endpoints}, &again);
    if (memcmp(&again, g, sizeof again) != 0 || again.file_size > segment->size)
        return PTQ_ECORRUPT;
    *ret_geometry = again;
    return PTQ_OK;
}

/* ---- what is asked */

static enum ptq_err check_ask(enum pti_share_kind kind, const char *name, const struct ptq_share_options *ask)
{
    if (!pti_name_is_valid(name))
        return pti_error(ask->error, PTQ_EINVAL, "%s '%.100s': a name is 1 to %d of A-Z a-z 0-9 . _ -, not beginning with a dot",
                         words[kind].kind, name, PTQ_NAME_MAX);
    if (ask->cells > PTQ_SHARE_CELLS_MAX || ask->value_size > PTQ_SHARE_VALUE_MAX || ask->max_endpoints > ENDPOINTS_MOST)
        return pti_error(ask->error, PTQ_EINVAL,
                         "%s '%s': %s %" PRIu32 ", %s %" PRIu32 " or max_endpoints %" PRIu32
                         " is beyond what one can be (%u, %u, %u)",
                         words[kind].kind, name, words[kind].cells, ask->cells, words[kind].size, users_size(kind, ask->value_size),
                         ask->max_endpoints, PTQ_SHARE_CELLS_MAX, PTQ_SHARE_VALUE_MAX - words[kind].head, ENDPOINTS_MOST);
    if (!pti_pair_works())
        return pti_error(ask->error, PTQ_ESYS, "%s '%s': this processor has no 16-byte compare-and-swap (cmpxchg16b)", words[kind].kind, name);
    return PTQ_OK;
}

static enum ptq_err differs(enum pti_share_kind kind, const char *name, const char *what, uint32_t has, uint32_t asked,
                            struct ptq_error *error)
{
    return pti_error(error, PTQ_EMISMATCH,
                     "%s '%s' exists with %s %" PRIu32 ", %" PRIu32 " was asked; open it without %s, or choose another name",
                     words[kind].kind, name, what, has, asked, what);
}

static enum ptq_err compare(const struct pti_share_geometry *g, const struct ptq_share_options *ask, const char *name)
{
    enum pti_share_kind kind = (enum pti_share_kind)g->kind;

    if (ask->cells != 0 && ask->cells != g->cells)
        return differs(kind, name, words[kind].cells, g->cells, ask->cells, ask->error);
    if (ask->value_size != 0 && ask->value_size != g->value_size)
        return differs(kind, name, words[kind].size, users_size(kind, g->value_size), users_size(kind, ask->value_size),
                       ask->error);
    if (ask->max_endpoints != 0 && ask->max_endpoints != g->endpoints)
        return differs(kind, name, "max_endpoints", g->endpoints, ask->max_endpoints, ask->error);
    return PTQ_OK;
}

/* ---- making one */

static void name_file(enum pti_share_kind kind, const char *name, char file[static PTI_FILE_NAME_MAX])
{
    snprintf(file, PTI_FILE_NAME_MAX, "%s%s", name, words[kind].suffix);
}

static void write_header(const struct pti_segment *segment, const struct pti_share_geometry *geometry)
{
    struct pti_share_header *header = segment->base;

    header->magic = PTI_SHARE_MAGIC;
    header->layout = PTI_SHARE_LAYOUT;
    header->byte_order = 1;
    header->geometry = *geometry;
    header->checksum = checksum(header);
}

static struct pti_access access_of(const struct ptq_share_options *ask) { return (struct pti_access){ask->file_mode, ask->group}; }

/* PTQ_EEXIST without a word if somebody else's came first. */
static enum ptq_err create(ptq_bus *bus, enum pti_share_kind kind, const char *name, const char *file,
                           const struct ptq_share_options *ask)
{
    struct pti_share_geometry geometry;
    struct pti_segment segment;
    struct pti_segment_temp temp;
    struct pti_thing it = {words[kind].kind, name, file};
    enum ptq_err err = PTQ_OK;
    int number;

    make_geometry(kind, ask, &geometry);
    number = pti_segment_create(bus->dirfd, name, geometry.file_size, pti_access_mode(access_of(ask)), &segment, &temp);
    if (number != 0)
        return pti_explain_file(ask->error, bus, &it, geometry.file_size, number);
    err = pti_access_give(&segment, &it, access_of(ask), ask->error);
    number = err == PTQ_OK ? pti_segment_reserve(&segment, 0, geometry.file_size) : 0;
    if (number != 0) {
        err = pti_explain_reserve(ask->error, &it, &segment, geometry.file_size, number);
    } else if (err == PTQ_OK) {
        write_header(&segment, &geometry);
        number = pti_segment_link(&segment, &temp, bus->dirfd, file);
        if (number != 0)
            err = number == EEXIST ? PTQ_EEXIST : pti_explain_file(ask->error, bus, &it, geometry.file_size, number);
    }
    pti_segment_discard(&segment, &temp, bus->dirfd);
    return err;
}

/* ---- entering one */

static void map_parts(ptq_share *share)
{
    const struct pti_share_geometry *g = &share->geometry;
    char *base = share->segment.base;

    share->header = share->segment.base;
    share->users = (void *)(base + g->off_users);
    share->buckets = (void *)(base + g->off_buckets);
    for (int kind = 0; kind < 3; kind++) {
        share->kinds[kind].tags = (void *)(base + g->off_tags[kind]);
        share->kinds[kind].blocks = base + g->off_blocks[kind];
    }
}

/* Somebody has the byte, but does not live by it: he looks after one who died, or has the whole range in hand, each for a moment. */
static bool is_held_for_a_moment(const ptq_share *share, uint32_t endpoint)
{
    if (pti_load_relaxed(&share->users[endpoint]) == 0 || pti_life_is_locked(share->segment.fd, PTI_LIFE_GETTER) == 1)
        return true; /* nobody's; or, of a share, nobody's either */
    if (pti_life_lock_read(share->segment.fd, endpoint) != 0)
        return false;
    pti_life_unlock(share->segment.fd, endpoint); /* held for reading: he looks after a dead one */
    return true;
}

/* An endpoint of its own.  PTQ_EAGAIN: all are taken; PTQ_EBUSY: not all will be in a moment. */
static enum ptq_err enroll(ptq_share *share)
{
    uint32_t endpoints = share->geometry.endpoints;
    bool is_free = false;

    for (uint32_t x = 0; x < endpoints; x++) {
        int number = pti_life_lock_write(share->segment.fd, x);

        if (number == EAGAIN) {
            is_free = is_free || is_held_for_a_moment(share, x);
            continue;
        }
        if (number != 0)
            return pti_err_from_errno(number);
        share->me = x;
        if (pti_load_acquire(&share->users[x]) != 0)
            pti_share_settle(share, x); /* it was not let go, but left by a death */
        pti_store_release(&share->users[x], (uint32_t)getpid());
        /* Endpoints begin their searches apart from each other. */
        for (int kind = 0; kind < 3; kind++)
            pti_store_relaxed(&share->kinds[kind].next, (uint32_t)((uint64_t)share->geometry.blocks[kind] * x / endpoints));
        return PTQ_OK;
    }
    return is_free ? PTQ_EBUSY : PTQ_EAGAIN;
}

/* Whoever marked it was killed, or stands still, before he unlinked it.  PTQ_EBUSY: somebody else is at it; else why it cannot be. */
static enum ptq_err finish_removal(ptq_bus *bus, const char *file, const struct pti_segment *segment)
{
    if (pti_segment_is_named(segment, bus->dirfd, file) != 0)
        return PTQ_OK;
    if (pti_life_lock_write(segment->fd, PTI_LIFE_REMOVER) != 0)
        return PTQ_EBUSY;
    if (pti_segment_is_named(segment, bus->dirfd, file) == 0 && unlinkat(bus->dirfd, file, 0) != 0 && errno != ENOENT)
        return pti_err_from_errno(errno);
    return PTQ_OK;
}

/* PTQ_EGONE: it was on its way out; look again. */
static enum ptq_err enter(ptq_bus *bus, const char *file, const struct ptq_share_options *ask, ptq_share *share)
{
    const struct pti_thing it = {words[share->kind].kind, share->name, file};
    int number = pti_segment_open(bus->dirfd, file, true, PTI_HEADER_SIZE, &share->segment);
    enum ptq_err err;

    if (number != 0)
        return pti_explain_file(ask->error, bus, &it, 0, number);
    err = check_header(&share->segment, share->kind, &share->geometry);
    if (err == PTQ_OK) {
        map_parts(share);
        err = compare(&share->geometry, ask, share->name);
        if (err == PTQ_OK)
            err = pti_access_compare(&share->segment, &it, access_of(ask), ask->error);
    } else {
        pti_error(ask->error, err,
                  err == PTQ_EVERSION ? "%s '%s' has another memory layout than this library's; use the ptq that made it"
                                      : "%s '%s': its header is damaged; unlink it with force",
                  words[share->kind].kind, share->name);
    }
    if (err == PTQ_OK && pti_load_acquire(&share->header->flags) & PTI_SHARE_REMOVED) {
        (void)!finish_removal(bus, file, &share->segment);
        err = PTQ_EGONE;
    }
    if (err == PTQ_OK && (err = enroll(share)) == PTQ_EAGAIN)
        pti_error(ask->error, err, "%s '%s' has its %" PRIu32 " endpoints attached; close some, or make it with more max_endpoints",
                  words[share->kind].kind, share->name, share->geometry.endpoints);
    if (err == PTQ_OK && pti_segment_is_named(&share->segment, bus->dirfd, file) != 0)
        err = PTQ_EGONE;
    if (err != PTQ_OK)
        pti_segment_close(&share->segment);
    return err;
}

static void rest(void)
{
    const struct timespec a_little = {0, RETRY_NS};

    nanosleep(&a_little, NULL);
}

static enum ptq_err attach(ptq_bus *bus, const struct ptq_share_options *ask, ptq_share *share)
{
    char file[PTI_FILE_NAME_MAX];
    int64_t deadline = pti_deadline(ask->wait_ms), grace = pti_now_ns() + GRACE_NS;

    name_file(share->kind, share->name, file);
    for (bool may_enter = ask->mode != PTQ_CREATE;;) {
        int64_t now = pti_now_ns(); /* before the try: who was away between it and here tries once more */
        enum ptq_err err = may_enter ? enter(bus, file, ask, share) : PTQ_ENOENT;

        if (err == PTQ_ENOENT && pti_bus_is_gone(bus))
            return pti_explain_gone(ask->error, bus, &(struct pti_thing){words[share->kind].kind, share->name, file});
        if (err == PTQ_ENOENT && ask->mode != PTQ_ATTACH) {
            err = create(bus, share->kind, share->name, file, ask);
            if (err == PTQ_EEXIST && !may_enter)
                return pti_error(ask->error, err, "%s '%s' exists; remove it, or open it without exclusive create", words[share->kind].kind,
                                 share->name);
            if (err != PTQ_OK && err != PTQ_EEXIST)
                return err;
            may_enter = true;
            continue;
        }
        if (err == PTQ_ENOENT && now < deadline) {
            rest();
            continue;
        }
        if (err != PTQ_EGONE && err != PTQ_EBUSY)
            return err;
        if (now >= grace && now >= deadline)
            return pti_error(ask->error, PTQ_EBUSY, "%s '%s' is being removed; try again", words[share->kind].kind, share->name);
        rest();
    }
}

enum ptq_err pti_share_open(ptq_bus *bus, enum pti_share_kind kind, const char *name, const struct ptq_share_options *options,
                            ptq_share **ret_share)
{
    struct ptq_share_options ask = options != NULL ? *options : (struct ptq_share_options){0};
    ptq_share *share;
    enum ptq_err err;

    if (bus == NULL || name == NULL || ret_share == NULL)
        return PTQ_EINVAL;
    if (pti_far_is_named(name))
        return pti_far_open_share(bus, kind, name, &ask, ret_share);
    err = check_ask(kind, name, &ask);
    if (err != PTQ_OK)
        return err;
    share = calloc(1, sizeof *share);
    if (share == NULL)
        return pti_error(ask.error, PTQ_ENOMEM, "%s '%s': out of memory", words[kind].kind, name);
    share->kind = kind;
    snprintf(share->name, sizeof share->name, "%s", name);
    share->generation = pti_fork_generation();
    pthread_mutex_init(&share->dead_mutex, NULL);
    err = attach(bus, &ask, share);
    if (err != PTQ_OK) {
        pthread_mutex_destroy(&share->dead_mutex);
        free(share);
        return err;
    }
    share->bus = pti_bus_hold(bus);
    *ret_share = share;
    return PTQ_OK;
}

void ptq_share_close(ptq_share *share)
{
    if (share == NULL)
        return;
    if (share->far != NULL && share->generation == pti_fork_generation()) {
        share->far->ops->close(share->far);
        pti_bus_drop(share->bus);
    } else if (share->generation == pti_fork_generation()) {
        pti_store_release(&share->users[share->me], 0); /* nothing is held between two calls */
        pti_segment_close(&share->segment);
        pti_bus_drop(share->bus);
    }
    pthread_mutex_destroy(&share->dead_mutex);
    free(share);
}

/* ---- removing */

static void wake_everybody(const struct pti_segment *segment, const struct pti_share_geometry *geometry)
{
    struct pti_entry_of_share *entries = (void *)((char *)segment->base + geometry->off_blocks[PTI_ENTRIES]);

    for (uint32_t i = 0; i < geometry->blocks[PTI_ENTRIES]; i++) {
        uint32_t seen = pti_load_seq(&entries[i].wait);

        if (seen & PTI_WAIT_BITS)
            pti_wait_tell(segment->fd, &entries[i].wait, seen, true);
    }
}

enum ptq_err pti_share_unlink(ptq_bus *bus, enum pti_share_kind kind, const char *name, bool force)
{
    char file[PTI_FILE_NAME_MAX];
    struct pti_segment segment;
    struct pti_share_geometry geometry;
    int64_t deadline = pti_now_ns() + GRACE_NS;
    enum ptq_err err;

    if (bus == NULL || name == NULL || !pti_name_is_valid(name))
        return PTQ_EINVAL;
    name_file(kind, name, file);
    int number = pti_segment_open(bus->dirfd, file, true, 1, &segment);
    if (number == ENOENT)
        return PTQ_OK;
    if (number != 0 && !(force && number == EIO)) /* EIO: an empty file */
        return pti_err_from_errno(number);
    if (number != 0)
        return unlinkat(bus->dirfd, file, 0) == 0 || errno == ENOENT ? PTQ_OK : pti_err_from_errno(errno);
    if (pti_segment_may_unlink(&segment, bus->dirfd) != 0) {
        pti_segment_close(&segment);
        return PTQ_EPERM; /* the mark would end a share whose name stays */
    }
    bool is_sound = segment.size >= PTI_HEADER_SIZE && check_header(&segment, kind, &geometry) == PTQ_OK;
    if (!force && (!is_sound || pti_life_lock_all(segment.fd) != 0)) {
        pti_segment_close(&segment);
        return is_sound ? PTQ_EBUSY : PTQ_ECORRUPT;
    }
    if (is_sound)
        pti_fetch_or_seq(&((struct pti_share_header *)segment.base)->flags, PTI_SHARE_REMOVED);
    while ((err = finish_removal(bus, file, &segment)) == PTQ_EBUSY && pti_now_ns() < deadline)
        rest();
    if (is_sound)
        wake_everybody(&segment, &geometry);
    pti_segment_close(&segment);
    return err;
}

/* ---- listing */

enum ptq_err pti_share_list(ptq_bus *bus, enum pti_share_kind kind, bool (*each)(const char *name, void *context), void *context)
{
    struct dirent *entry;
    bool go_on = true;

    if (bus == NULL || each == NULL)
        return PTQ_EINVAL;
    int fd = openat(bus->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        enum ptq_err err = pti_err_from_errno(errno);

        if (fd >= 0)
            close(fd);
        return err;
    }
    while (go_on && (entry = readdir(dir)) != NULL) {
        size_t length = strlen(entry->d_name), suffix = strlen(words[kind].suffix);

        if (length <= suffix || strcmp(entry->d_name + length - suffix, words[kind].suffix) != 0)
            continue;
        entry->d_name[length - suffix] = '\0';
        if (pti_name_is_valid(entry->d_name))
            go_on = each(entry->d_name, context);
    }
    closedir(dir);
    return PTQ_OK;
}

/* ---- as a user calls it */

enum ptq_err ptq_share_open(ptq_bus *bus, const char *name, const struct ptq_share_options *options, ptq_share **ret_share)
{
    return pti_share_open(bus, PTI_SHARE_CELLS, name, options, ret_share);
}

enum ptq_err ptq_share_unlink(ptq_bus *bus, const char *name, bool force) { return pti_share_unlink(bus, PTI_SHARE_CELLS, name, force); }

enum ptq_err ptq_share_list(ptq_bus *bus, bool (*each)(const char *name, void *context), void *context)
{
    return pti_share_list(bus, PTI_SHARE_CELLS, each, context);
}
