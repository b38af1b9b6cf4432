/* side.c -- side files: found, made, grown and mapped, one a block, when a large message first needs one. */
#include "ring/side.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ptq/version.h>

#include "base/error.h"
#include "os/guard.h"
#include "os/side.h"

_Static_assert(PTQ_LAYOUT_VERSION == 2, "PTI_SIDE_MARK names the layout");
_Static_assert(sizeof(struct pti_side_note) == 16, "the note stands at the end of a block");

#define PAGE 4096u

/* A side file in this process.  `known`: it is at least so long; only grows. */
struct mapping {
    struct mapping *older; /* another file had this name before; may still be looked at */
    void *base;
    struct pti_guard *guard;
    uint64_t ino;
    _Atomic uint64_t known;
};

struct pti_sides {
    struct pti_side_dir dir;
    struct stat segment;
    size_t map_size;
    struct mapping *_Atomic *maps; /* by block */
    pthread_mutex_t mutex;         /* who changes `maps` */
    _Atomic uint32_t *guard_state; /* NULL: not guarded */
    uint32_t guard_mark;
    _Atomic uint64_t asked;        /* for explain: what the last reservation was for, */
    _Atomic uint32_t troubled;     /* and 1 + the block whose file was refused */
    char prefix[PTI_SIDE_NAME_MAX];
};

void pti_side_prefix(const char *queue, const uint8_t *id, char prefix[PTI_SIDE_NAME_MAX])
{
    uint64_t half = 0;

    for (unsigned i = 0; id && i < 8; i++)
        half = half << 8 | id[i];
    if (id)
        snprintf(prefix, PTI_SIDE_NAME_MAX, "%.*s" PTI_SIDE_MARK "%016" PRIx64 ".", PTQ_NAME_MAX, queue, half);
    else
        snprintf(prefix, PTI_SIDE_NAME_MAX, "%.*s" PTI_SIDE_MARK, PTQ_NAME_MAX, queue);
}

static void name_file(const struct pti_sides *sides, uint32_t block, char name[PTI_SIDE_NAME_MAX + 16])
{
    snprintf(name, PTI_SIDE_NAME_MAX + 16, "%s%" PRIu32, sides->prefix, block);
}

/* The largest message with its headers. */
static uint64_t most_bytes(const struct pti_ring *ring)
{
    return ((uint64_t)ring->geometry.item_size + ring->geometry.header_size + 3) & ~UINT64_C(3);
}

enum ptq_err pti_sides_init(struct pti_ring *ring, int dirfd, const char *path, const char *queue)
{
    struct pti_sides *sides;
    int error;

    if (!pti_geometry_is_large(&ring->geometry))
        return PTQ_OK;
    sides = calloc(1, sizeof *sides);
    if (!sides)
        return PTQ_ENOMEM;
    sides->maps = calloc(ring->geometry.blocks, sizeof *sides->maps);
    error = sides->maps ? pti_side_dir_init(&sides->dir, dirfd, path) : ENOMEM;
    if (error == 0 && fstat(ring->segment.fd, &sides->segment) != 0)
        error = errno;
    if (error == 0)
        error = pthread_mutex_init(&sides->mutex, NULL);
    if (error != 0) {
        pti_side_dir_fini(&sides->dir);
        free(sides->maps);
        free(sides);
        return pti_err_from_errno(error);
    }
    sides->map_size = (most_bytes(ring) + PAGE - 1) / PAGE * PAGE;
    pti_side_prefix(queue, ring->id, sides->prefix);
    ring->sides = sides;
    return PTQ_OK;
}

void pti_sides_guard(struct pti_ring *ring, _Atomic uint32_t *state, uint32_t mark)
{
    if (!ring->sides)
        return;
    ring->sides->guard_state = state;
    ring->sides->guard_mark = mark;
}

static void drop_mapping(const struct pti_sides *sides, struct mapping *map)
{
    if (!map)
        return;
    pti_side_unmap(map->base, sides->map_size);
    pti_guard_free(map->guard);
    free(map);
}

void pti_sides_fini(struct pti_ring *ring)
{
    struct pti_sides *sides = ring->sides;

    if (!sides)
        return;
    for (uint32_t block = 0; block < ring->geometry.blocks; block++)
        for (struct mapping *map = pti_load_relaxed(&sides->maps[block]), *older; map; map = older) {
            older = map->older;
            drop_mapping(sides, map);
        }
    pthread_mutex_destroy(&sides->mutex);
    pti_side_dir_fini(&sides->dir);
    free(sides->maps);
    free(sides);
    ring->sides = NULL;
}

void pti_sides_unlink(int dirfd, const char *path, const char *queue, const uint8_t *id)
{
    struct pti_side_dir dir;
    char prefix[PTI_SIDE_NAME_MAX];

    if (pti_side_dir_init(&dir, dirfd, path) != 0)
        return; /* gc finds what stays */
    pti_side_prefix(queue, id, prefix);
    pti_side_unlink_all(&dir, prefix);
    pti_side_dir_fini(&dir);
}

/* ---- mapping */

/* Law 3: a mapping reaches as far as a message may ever, so it need not move when the file grows. */
static int map_file(struct pti_ring *ring, uint32_t block, int fd, const struct stat *status, uint64_t known, void **ret_base)
{
    struct pti_sides *sides = ring->sides;
    struct mapping *map, *older;
    int error = 0;

    pthread_mutex_lock(&sides->mutex);
    map = older = pti_load_relaxed(&sides->maps[block]);
    if (!map || map->ino != status->st_ino) {
        map = calloc(1, sizeof *map);
        error = map ? pti_side_map(fd, sides->map_size, ring->segment.writable, &map->base) : ENOMEM;
        if (error == 0 && sides->guard_state)
            error = pti_guard_new(map->base, sides->map_size, sides->guard_state, sides->guard_mark, &map->guard);
        if (error != 0) {
            drop_mapping(sides, map);
            map = NULL;
        } else {
            map->ino = status->st_ino;
            map->older = older;
            pti_store_release(&sides->maps[block], map); /* [Z] */
        }
    }
    if (map) {
        if (pti_load_relaxed(&map->known) < known)
            pti_store_release(&map->known, known); /* [Z] */
        *ret_base = map->base;
    }
    pthread_mutex_unlock(&sides->mutex);
    return error;
}

static inline bool find_mapped(const struct pti_ring *ring, uint32_t block, uint64_t bytes, void **ret_base)
{
    const struct mapping *map = pti_load_acquire(&ring->sides->maps[block]); /* [Z] */

    /* [Z] */
    if (!map || map->ino != pti_load_relaxed(&pti_side_note(ring, block)->ino) || pti_load_acquire(&map->known) < bytes)
        return false;
    *ret_base = map->base;
    return true;
}

static enum ptq_err trouble(struct pti_ring *ring, uint32_t block, enum ptq_err err)
{
    pti_store_relaxed(&ring->sides->troubled, block + 1);
    return err;
}

/* ---- reading */

enum ptq_err pti_side_payload(struct pti_ring *ring, uint32_t block, uint64_t bytes, void **ret_payload)
{
    struct pti_sides *sides = ring->sides;
    char name[PTI_SIDE_NAME_MAX + 16];
    struct stat status;
    int fd, error;

    if (!sides || bytes > most_bytes(ring))
        return PTQ_ECORRUPT;
    if (find_mapped(ring, block, bytes, ret_payload))
        return PTQ_OK;
    name_file(sides, block, name);
    error = pti_side_open(&sides->dir, name, &sides->segment, ring->segment.writable, &fd, &status);
    if (error != 0)
        return trouble(ring, block, error == ENOENT || error == EPERM ? PTQ_ECORRUPT : pti_err_from_errno(error));
    if (status.st_ino != pti_load_relaxed(&pti_side_note(ring, block)->ino) || (uint64_t)status.st_size < bytes)
        error = EUCLEAN;
    else
        error = map_file(ring, block, fd, &status, (uint64_t)status.st_size, ret_payload);
    close(fd);
    if (error == EUCLEAN)
        return trouble(ring, block, PTQ_ECORRUPT);
    return pti_err_from_errno(error);
}

/* ---- writing */

/* Sizes grow in steps of an eighth: so few messages of a mixture make a file grow, and little is reserved in vain. */
static uint64_t class_of(const struct pti_ring *ring, uint64_t bytes)
{
    uint64_t unit = PTI_SIDE_UNIT, most = (most_bytes(ring) + PAGE - 1) / PAGE * PAGE, size;

    while (unit * 16 <= bytes)
        unit *= 2;
    size = (bytes + unit - 1) / unit * unit;
    return size < most ? size : most;
}

/* Memory for the file: in its class, or where that is too much, just enough; if need be from files that lie idle. */
static int reserve(struct pti_lane *lane, int fd, struct pti_side_note *note, uint64_t bytes)
{
    uint64_t from = pti_load_relaxed(&note->bytes), size = class_of(lane->ring, bytes);
    int error = pti_side_reserve(fd, from, size);

    if (error == ENOSPC && pti_sides_reclaim(lane, size - from) > 0)
        error = pti_side_reserve(fd, from, size);
    if (error == ENOSPC) {
        size = (bytes + PAGE - 1) / PAGE * PAGE;
        error = pti_side_reserve(fd, from, size);
    }
    if (error == 0)
        pti_store_relaxed(&note->bytes, size);
    return error;
}

/* The file, made and noted. */
static int make_file(struct pti_ring *ring, uint32_t block, int *ret_fd, struct stat *ret_status)
{
    struct pti_sides *sides = ring->sides;
    struct pti_side_note *note = pti_side_note(ring, block);
    char name[PTI_SIDE_NAME_MAX + 16];
    bool made;
    int error;

    name_file(sides, block, name);
    error = pti_side_make(&sides->dir, name, &sides->segment, ret_fd, ret_status, &made);
    if (error != 0)
        return error;
    /* A remover marks the queue, then looks for its files: it sees this one, or we see the mark. */
    if (made && pti_load_seq(&ring->hints->flags) & PTI_FLAG_REMOVED) { /* [F, W] */
        pti_side_unlink_all(&sides->dir, sides->prefix);
        close(*ret_fd);
        return ESTALE;
    }
    if (pti_load_relaxed(&note->ino) != ret_status->st_ino || (uint64_t)ret_status->st_size < pti_load_relaxed(&note->bytes))
        pti_store_relaxed(&note->bytes, 0);
    pti_store_relaxed(&note->ino, ret_status->st_ino);
    return 0;
}

enum ptq_err pti_side_room(struct pti_lane *lane, uint32_t block, uint64_t bytes, void **ret_room)
{
    struct pti_ring *ring = lane->ring;
    struct pti_side_note *note = pti_side_note(ring, block);
    struct stat status;
    int fd, error;

    if (!ring->sides || bytes > most_bytes(ring))
        return PTQ_EMSGSIZE;
    if (pti_load_relaxed(&note->bytes) >= bytes && find_mapped(ring, block, bytes, ret_room))
        return PTQ_OK;
    error = make_file(ring, block, &fd, &status);
    if (error != 0)
        return trouble(ring, block, error == ESTALE ? PTQ_EGONE : pti_err_from_errno(error));
    if (pti_load_relaxed(&note->bytes) < bytes)
        error = reserve(lane, fd, note, bytes);
    /* What is known of its length is what the kernel says, not the note. */
    if (error == 0 && (fstat(fd, &status) != 0 || (uint64_t)status.st_size < bytes))
        error = EIO;
    if (error == 0)
        error = map_file(ring, block, fd, &status, (uint64_t)status.st_size, ret_room);
    close(fd);
    if (error == ENOSPC)
        pti_store_relaxed(&ring->sides->asked, class_of(ring, bytes));
    return error == EFBIG ? PTQ_ENOSPC : pti_err_from_errno(error);
}

/* ---- memory */

uint64_t pti_side_memory(const struct pti_ring *ring, uint32_t block)
{
    uint64_t bytes, most = (most_bytes(ring) + PAGE - 1) / PAGE * PAGE;

    if (!pti_geometry_is_large(&ring->geometry))
        return 0;
    bytes = pti_load_relaxed(&pti_side_note(ring, block)->bytes);
    return bytes < most ? bytes : most;
}

/* The note first: who comes after a killed reclaimer reserves again. */
static void punch(struct pti_ring *ring, uint32_t block)
{
    struct pti_sides *sides = ring->sides;
    struct pti_side_note *note = pti_side_note(ring, block);
    char name[PTI_SIDE_NAME_MAX + 16];
    struct stat status;
    int fd;

    pti_store_relaxed(&note->bytes, 0);
    name_file(sides, block, name);
    if (pti_side_open(&sides->dir, name, &sides->segment, true, &fd, &status) != 0)
        return;
    pti_side_punch(fd);
    close(fd);
}

uint64_t pti_sides_reclaim(struct pti_lane *lane, uint64_t bytes)
{
    struct pti_ring *ring = lane->ring;
    uint64_t freed = 0;

    for (uint32_t block = 0; ring->sides && block < ring->geometry.blocks && freed < bytes; block++) {
        uint64_t word, position, has;

        if (!pti_block_is_backed(ring, block) || (has = pti_side_memory(ring, block)) == 0)
            continue;
        word = pti_load_acquire(&pti_block_at(ring, block)->word); /* [A] */
        position = pti_word_position(word);
        if (pti_word_state(word) != PTI_FREE ||
            !pti_cas(&pti_block_at(ring, block)->word, &word, pti_word(PTI_OWNED, lane->index, position, 0))) /* [A] */
            continue;
        punch(ring, block);
        freed += has;
        pti_store_release(&pti_block_at(ring, block)->word, pti_word(PTI_FREE, 0, position, 0)); /* [A] */
        pti_used_clear(ring, block);
    }
    return freed;
}

/* ---- for people */

bool pti_side_explain(const struct pti_ring *ring, enum ptq_err err, char *buffer, size_t size)
{
    const struct pti_sides *sides = ring->sides;
    char name[PTI_SIDE_NAME_MAX + 16];
    uint32_t block = sides ? pti_load_relaxed(&sides->troubled) : 0;
    uint64_t asked = sides ? pti_load_relaxed(&sides->asked) : 0, space = 0;
    char mount[200] = "";

    if (block != 0 && (err == PTQ_ECORRUPT || err == PTQ_EPERM)) {
        name_file(sides, block - 1, name);
        snprintf(buffer, size, "%s: side file '%s' is missing, was changed, or is not to be trusted%s", ptq_strerror(err), name,
                 err == PTQ_EPERM ? "; look at its owner and mode" : "; its message can not be read any more");
        return true;
    }
    if (asked != 0 && err == PTQ_ENOSPC) {
        pti_segment_space(&ring->segment, &space, mount, sizeof mount);
        snprintf(buffer, size, "needs %" PRIu64 " more bytes, %" PRIu64 " are free on %s; free some, or enlarge it", asked, space,
                 mount[0] ? mount : "its file system");
        return true;
    }
    return false;
}
