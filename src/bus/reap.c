/* reap.c -- removing queues: on request, and those that nobody has open and that hold nothing. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "bus/attach.h"
#include "os/life.h"
#include "ring/side.h"
#include "ring/tally.h"
#include "ring/wait.h"

/* Its side files go first: while the segment has its name, somebody will come who finishes this. */
static void unlink_sides(ptq_bus *bus, const char *name, const struct pti_segment *segment)
{
    const struct pti_header *header = segment->base;
    static const char *const kinds[] = {PTI_SIDE_ROSTER, PTI_SIDE_TRAIL};
    char file[PTI_SIDE_NAME_MAX + sizeof PTI_SIDE_ROSTER];
    uint8_t id[16];

    memcpy(id, header->id, sizeof id);
    if (pti_geometry_is_large(&header->geometry))
        pti_sides_unlink(bus->dirfd, bus->path, name, id);
    for (unsigned i = 0; header->geometry.window != 0 && i < sizeof kinds / sizeof *kinds; i++) { /* of a pool */
        pti_side_prefix(name, id, file);
        strcat(file, kinds[i]);
        unlinkat(bus->dirfd, file, 0);
    }
}

/* Law: whoever unlinks the name of a segment holds its REMOVER byte.  So when the name leads here under that lock, it still
 * does in the unlink, and nobody's new queue is hit.  A remover that is killed lets the byte go, and the next one goes on. */
bool pti_reap_finish(ptq_bus *bus, const char *name, const struct pti_segment *segment)
{
    char file[PTI_FILE_NAME_MAX];

    pti_segment_file(name, file, sizeof file);
    if (pti_segment_is_named(segment, bus->dirfd, file) != 0)
        return true;
    if (pti_life_lock_write(segment->fd, PTI_LIFE_REMOVER) != 0)
        return false;
    unlink_sides(bus, name, segment);
    if (pti_segment_is_named(segment, bus->dirfd, file) == 0)
        unlinkat(bus->dirfd, file, 0);
    unlink_sides(bus, name, segment); /* a roster made meanwhile by one who saw the name: its maker looks once more after it */
    return pti_segment_is_named(segment, bus->dirfd, file) != 0;
}

/* The mark first: from here on every call answers PTQ_EGONE, and whoever opens it helps. */
static bool remove_queue(ptq_bus *bus, const char *name, struct pti_ring *ring)
{
    pti_fetch_or_seq(&ring->hints->flags, PTI_FLAG_REMOVED); /* [F, W] */
    bool is_gone = pti_reap_finish(bus, name, &ring->segment);
    pti_wake_all(ring, &ring->hints->get_wait);
    pti_wake_all(ring, &ring->hints->put_wait);
    pti_wake_all(ring, &ring->hints->dead_wait);
    return is_gone;
}

/* Everybody is dead: the caller holds the whole range. */
static unsigned recover_everybody(struct pti_ring *ring)
{
    uint64_t dead[PTI_ENDPOINT_WORDS] = {0};
    unsigned found = 0;

    for (uint32_t x = 0; x < ring->geometry.endpoints; x++)
        if (pti_load_acquire(&ring->entries[x].state) != 0) { /* [S] */
            dead[x / 64] |= UINT64_C(1) << (x % 64);
            found++;
        }
    if (found)
        pti_ring_recover(ring, dead);
    pti_block_free_strays(ring);
    return found;
}

static enum ptq_err unlink_file(ptq_bus *bus, const char *file)
{
    if (unlinkat(bus->dirfd, file, 0) == 0 || errno == ENOENT)
        return PTQ_OK;
    return errno == EACCES || errno == EPERM ? PTQ_EPERM : PTQ_ESYS;
}

/* Under that lock the name still leads to what was opened: it is not another's, made since. */
static bool is_still_named(ptq_bus *bus, int fd, const char *file)
{
    struct stat opened, named;

    return fstat(fd, &opened) == 0 && fstatat(bus->dirfd, file, &named, AT_SYMLINK_NOFOLLOW) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
}

/* A share or a log (share/open.c): values, which only force takes; under the lock of the whole range, so that who opens it looks again. */
static void collect_share(ptq_bus *bus, const char *file, bool force, struct ptq_gc_report *report)
{
    int fd = openat(bus->dirfd, file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    report->queues++;
    if (fd >= 0 && pti_life_lock_all(fd) != 0)
        report->live++;
    else if (fd >= 0 && force && is_still_named(bus, fd, file) && unlinkat(bus->dirfd, file, 0) == 0)
        report->removed++;
    else
        report->kept++;
    if (fd >= 0)
        close(fd);
}

/* Has somebody this file open as a queue?  Every layout locks bytes of it for as long as it lives. */
static bool has_living_users(ptq_bus *bus, const char *file)
{
    int fd = openat(bus->dirfd, file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    bool lives = fd >= 0 && pti_life_lock_all(fd) != 0;

    if (fd >= 0)
        close(fd);
    return lives;
}

/* A file that is no queue, or of another layout, goes by its name alone.  Its users notice that it was unlinked. */
static enum ptq_err unlink_unreadable(ptq_bus *bus, const char *name, enum ptq_err why, bool force)
{
    char file[PTI_FILE_NAME_MAX];
    bool other = false;

    pti_segment_file(name, file, sizeof file);
    if (faccessat(bus->dirfd, file, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        other = pti_segment_other_layout(bus, name, file, sizeof file) != 0;
    if (!force && !other)
        return why;
    if (!force && has_living_users(bus, file))
        return PTQ_EBUSY;
    return unlink_file(bus, file);
}

/* gc may have the range for a moment; one that stays held is a process that stands still. */
static enum ptq_err remove_by_name(ptq_bus *bus, const char *name, struct pti_ring *ring)
{
    const struct timespec pause = {.tv_nsec = PTI_NS_PER_MS};
    int64_t now = pti_now_ns(), deadline = now + PTI_NS_PER_S;

    for (; !remove_queue(bus, name, ring); now = pti_now_ns()) {
        if (now > deadline) /* as it was before the try: who was away meanwhile tries once more */
            return PTQ_EBUSY;
        nanosleep(&pause, NULL);
    }
    return PTQ_OK;
}

enum ptq_err pti_reap_unlink(ptq_bus *bus, const char *name, bool force)
{
    struct pti_ring ring;
    struct pti_header header;
    enum ptq_err err = pti_attach_view(bus, name, true, NULL, &header, &ring);

    if (err == PTQ_ENOENT)
        return PTQ_OK;
    if (err == PTQ_ECORRUPT || err == PTQ_EVERSION)
        return unlink_unreadable(bus, name, err, force);
    if (err != PTQ_OK)
        return err;
    if (pti_segment_may_unlink(&ring.segment, bus->dirfd) != 0)
        err = PTQ_EPERM; /* the mark would end a queue whose name stays */
    else if (!force && pti_life_lock_all(ring.segment.fd) != 0)
        err = PTQ_EBUSY;
    else
        err = remove_by_name(bus, name, &ring);
    pti_ring_fini(&ring);
    return err;
}

/* ---- gc */

static bool holds_nothing(struct pti_ring *ring)
{
    struct pti_tally tally;

    pti_tally_make(ring, &tally);
    return tally.ready + tally.leased + tally.redeliverable + tally.delayed + tally.dead == 0;
}

enum ptq_err pti_reap_empty(ptq_bus *bus, const char *name)
{
    struct pti_ring ring;
    struct pti_header header;
    enum ptq_err err = pti_attach_view(bus, name, true, NULL, &header, &ring);

    if (err != PTQ_OK)
        return err == PTQ_ENOENT ? PTQ_OK : err;
    if (pti_segment_may_unlink(&ring.segment, bus->dirfd) != 0) {
        err = PTQ_EPERM;
    } else if (pti_life_lock_all(ring.segment.fd) != 0) {
        err = PTQ_EBUSY;
    } else {
        recover_everybody(&ring);
        err = !holds_nothing(&ring) ? PTQ_EEXIST : remove_queue(bus, name, &ring) ? PTQ_OK : PTQ_EBUSY;
    }
    pti_ring_fini(&ring);
    return err;
}

static void collect(ptq_bus *bus, const char *name, bool force, struct ptq_gc_report *report)
{
    struct pti_ring ring;
    struct pti_header header;

    report->queues++;
    if (pti_attach_view(bus, name, true, NULL, &header, &ring) != PTQ_OK) {
        report->kept++;
        return;
    }
    if (pti_life_lock_all(ring.segment.fd) != 0) {
        report->live++;
        report->recovered += pti_ring_sweep(&ring, true);
        pti_ring_fini(&ring);
        return;
    }
    report->recovered += recover_everybody(&ring);
    if (force || header.geometry.flags & PTI_GEO_EPHEMERAL ||
        pti_load_acquire(&ring.hints->flags) & PTI_FLAG_REMOVED || /* [F] its remover was killed half way */
        holds_nothing(&ring)) {
        if (pti_segment_may_unlink(&ring.segment, bus->dirfd) != 0)
            report->kept++;
        else if (remove_queue(bus, name, &ring))
            report->removed++;
        else
            report->live++; /* somebody else is at it */
    } else {
        report->kept++;
    }
    pti_ring_fini(&ring);
}

/* A side file whose queue is gone: its maker was killed while the queue was removed.  A file that is there belongs to a queue
 * whose name was linked before; no queue comes twice.  `last` spares us to look at a queue for each of its files. */
struct last_side {
    char prefix[PTI_SIDE_NAME_MAX];
    bool is_stale;
};

static bool is_stale_side(ptq_bus *bus, const char *file, struct last_side *last)
{
    const char *mark = strstr(file, PTI_SIDE_MARK), *dot = mark ? strchr(mark + strlen(PTI_SIDE_MARK), '.') : NULL;
    char queue[PTQ_NAME_MAX + 1], prefix[PTI_SIDE_NAME_MAX];
    struct pti_header header;
    struct pti_ring ring;
    enum ptq_err err;

    if (!dot || mark - file > PTQ_NAME_MAX)
        return false;
    snprintf(queue, sizeof queue, "%.*s", (int)(mark - file), file);
    if (!pti_name_is_valid(queue))
        return false;
    if (last->prefix[0] != 0 && strncmp(last->prefix, file, strlen(last->prefix)) == 0)
        return last->is_stale;
    err = pti_attach_view(bus, queue, false, NULL, &header, &ring);
    if (err == PTQ_OK) {
        pti_side_prefix(queue, header.id, prefix);
        pti_ring_fini(&ring);
    }
    snprintf(last->prefix, sizeof last->prefix, "%.*s", (int)(dot + 1 - file), file);
    last->is_stale = err == PTQ_ENOENT || (err == PTQ_OK && strcmp(prefix, last->prefix) != 0);
    return last->is_stale;
}

static bool is_share(const char *file)
{
    size_t length = strlen(file);

    return length > 3 && (strcmp(file + length - 3, PTI_SHARE_SUFFIX) == 0 || strcmp(file + length - 3, PTI_LOG_SUFFIX) == 0);
}

/* What is no queue: shares; what a killed creator left, "<name>~new.*" whose creator lives no more; side files without a queue. */
static void collect_others(ptq_bus *bus, bool force, struct ptq_gc_report *report)
{
    int fd = openat(bus->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct last_side last = {0};
    struct dirent *entry;

    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        int file;

        if (is_share(entry->d_name)) {
            collect_share(bus, entry->d_name, force, report);
            continue;
        }
        if (is_stale_side(bus, entry->d_name, &last) && unlinkat(bus->dirfd, entry->d_name, 0) == 0)
            continue;
        if (!strstr(entry->d_name, "~new."))
            continue;
        file = openat(bus->dirfd, entry->d_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (file < 0)
            continue;
        if (pti_life_lock_all(file) == 0 && unlinkat(bus->dirfd, entry->d_name, 0) == 0)
            report->removed++;
        close(file);
    }
    closedir(dir);
}

struct names {
    char (*name)[PTQ_NAME_MAX + 1];
    size_t count, room;
    bool failed;
};

static bool note_name(const char *name, void *context)
{
    struct names *names = context;

    if (names->count == names->room) {
        size_t room = names->room ? 2 * names->room : 64;
        void *more = realloc(names->name, room * sizeof *names->name);

        names->failed = more == NULL;
        if (names->failed)
            return false;
        names->name = more;
        names->room = room;
    }
    snprintf(names->name[names->count++], sizeof *names->name, "%s", name);
    return true;
}

struct others {
    ptq_bus *bus;
    bool force;
    struct ptq_gc_report *report;
};

/* What is in a queue of another layout cannot be seen: only force removes it. */
static bool count_other(const char *name, int layout, void *context)
{
    const struct others *others = context;
    char file[PTI_FILE_NAME_MAX];

    snprintf(file, sizeof file, "%s~v%d", name, layout);
    others->report->queues++;
    if (has_living_users(others->bus, file))
        others->report->live++;
    else if (others->force && unlink_file(others->bus, file) == PTQ_OK)
        others->report->removed++;
    else
        others->report->kept++;
    return true;
}

enum ptq_err ptq_bus_gc(ptq_bus *bus, bool force, struct ptq_gc_report *ret_report)
{
    struct ptq_gc_report report = {0};
    struct names names = {0};
    enum ptq_err err;

    if (!bus || !ret_report)
        return PTQ_EINVAL;
    err = ptq_bus_list(bus, note_name, &names);
    if (err == PTQ_OK && names.failed)
        err = PTQ_ENOMEM;
    for (size_t i = 0; err == PTQ_OK && i < names.count; i++)
        collect(bus, names.name[i], force, &report);
    if (err == PTQ_OK)
        err = ptq_bus_list_other(bus, count_other, &(struct others){bus, force, &report});
    free(names.name);
    if (err != PTQ_OK)
        return err;
    collect_others(bus, force, &report);
    *ret_report = report;
    return PTQ_OK;
}
