/* trail.c -- trails of workers: joined, read. */
#include "pool/trail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fork.h"
#include "os/clock.h"
#include "os/life.h"
#include "os/side.h"
#include "pool/side.h"
#include "ring/side.h"

#define MAGIC UINT64_C(0x316c696172747470) /* "pttrail1" */
#define HEAD 4096u

struct file_head {
    _Atomic uint64_t magic, spans;
};

static uint64_t trail_size(uint64_t spans)
{
    return sizeof(struct pti_trail_head) + spans * sizeof(struct pti_span);
}

/* -- a trail of one's own -------------------------------------------------------------------------------------- */

/* Who makes the file says how many spans a trail has; 0 or an errno. */
static int agree(int fd, uint64_t spans, uint64_t *ret_spans)
{
    struct file_head *head;
    void *base;
    uint64_t none = 0;
    int error = pti_side_reserve(fd, 0, HEAD);
    if (error == 0)
        error = pti_side_map(fd, HEAD, true, &base);
    if (error != 0)
        return error;
    head = base;
    (void)pti_cas(&head->spans, &none, spans);
    *ret_spans = pti_load_acquire(&head->spans);
    pti_store_seq(&head->magic, MAGIC);
    pti_side_unmap(base, HEAD);
    return *ret_spans == 0 || *ret_spans > PTI_TRAIL_SPANS_MAX ? EINVAL : 0;
}

static bool read_head(int fd, uint64_t spans, unsigned index, struct pti_trail_head *head)
{
    off_t at = (off_t)(HEAD + index * trail_size(spans));
    if (pread(fd, head, sizeof *head, at) != (ssize_t)sizeof *head)
        return false;
    head->name[sizeof head->name - 1] = head->host[sizeof head->host - 1] = 0;
    return head->name[0] != 0;
}

/* That of its name, if nobody has it; else one that nobody had.  Two that are alike at the same moment lock different ones. */
static int lock_one(int fd, uint64_t spans, const char *name, unsigned *ret_index)
{
    struct pti_trail_head head;
    for (unsigned turn = 0; turn < 2; turn++)
        for (unsigned i = 0; i < PTI_TRAILS; i++) {
            bool used = read_head(fd, spans, i, &head);
            if (turn == 0 && !used)
                break;
            if (turn == 0 ? strcmp(head.name, name) != 0 : used)
                continue;
            int error = pti_life_lock_write(fd, i);
            if (error == 0)
                *ret_index = i;
            if (error != EAGAIN)
                return error;
        }
    return EAGAIN;
}

static void begin(struct pti_trail *trail, const ptq_bus *bus, const char *name)
{
    struct pti_trail_head *head = trail->head;
    (void)snprintf(head->host, sizeof head->host, "%.63s", bus->node);
    pti_store_relaxed(&head->pid, getpid()); /* for people */
    if (head->name[0] == 0)
        pti_store_relaxed(&head->began_ns, pti_host_ns());
    (void)snprintf(head->name, sizeof head->name, "%s", name);
}

int pti_trail_join(struct pti_trail *trail, ptq_bus *bus, const char *jobs, const uint8_t id[16], const char *name, uint64_t spans)
{
    unsigned index = 0;
    *trail = PTI_TRAIL_NONE;
    int error = pti_pool_side_join(bus, jobs, id, PTI_SIDE_TRAIL, &trail->fd);
    if (error == 0)
        error = agree(trail->fd, spans, &trail->most);
    if (error == 0)
        error = lock_one(trail->fd, trail->most, name, &index);
    uint64_t from = HEAD + index * trail_size(trail->most);
    trail->size = from + trail_size(trail->most);
    if (error == 0)
        error = pti_side_reserve(trail->fd, from, trail->size);
    if (error == 0)
        error = pti_side_map(trail->fd, trail->size, true, &trail->base);
    if (error == 0 && bus->guard)
        error = pti_guard_new(trail->base, trail->size, &trail->damaged, 1, &trail->guard);
    if (error != 0) {
        pti_trail_leave(trail);
        return error;
    }
    trail->head = (struct pti_trail_head *)(void *)((char *)trail->base + from);
    trail->spans = (struct pti_span *)(void *)(trail->head + 1);
    begin(trail, bus, name);
    return 0;
}

void pti_trail_leave(struct pti_trail *trail)
{
    if (trail->base != NULL)
        pti_side_unmap(trail->base, trail->size);
    pti_guard_free(trail->guard);
    pti_fork_close(trail->fd);
    *trail = PTI_TRAIL_NONE;
}

/* -- reading --------------------------------------------------------------------------------------------------- */

/* Copies the ring, then counts again.  0 or an errno. */
static int copy_spans(int fd, uint64_t at, uint64_t most, uint64_t count, struct pti_trail_copy *copy)
{
    uint64_t first = count > most ? count - most : 0, after;
    struct pti_span *ring = malloc(most * sizeof *ring);
    copy->spans = malloc((count - first + 1) * sizeof *copy->spans);
    if (ring == NULL || copy->spans == NULL) {
        free(ring);
        return ENOMEM;
    }
    memset(ring, 0, most * sizeof *ring);
    (void)!pread(fd, ring, most * sizeof *ring, (off_t)(at + sizeof(struct pti_trail_head)));
    if (pread(fd, &after, sizeof after, (off_t)at) != (ssize_t)sizeof after)
        after = count;
    if (after + 1 > most && after + 1 - most > first) /* and one may just be being written */
        first = count > most || after > count ? after + 1 - most : first;
    for (uint64_t i = first; i < count; i++)
        memcpy(&copy->spans[copy->count++], &ring[i % most], sizeof *ring);
    copy->dropped = first < count ? first : count;
    free(ring);
    return 0;
}

static int read_trail(int fd, uint64_t spans, unsigned index, struct pti_trail_copy *copy)
{
    struct pti_trail_head head;
    if (!read_head(fd, spans, index, &head))
        return ENOENT;
    memcpy(copy->name, head.name, sizeof copy->name);
    memcpy(copy->host, head.host, sizeof copy->host);
    copy->pid = pti_load_relaxed(&head.pid); /* a copy */
    copy->began_ns = pti_load_relaxed(&head.began_ns);
    return copy_spans(fd, HEAD + index * trail_size(spans), spans, pti_load_relaxed(&head.count), copy);
}

static int by_name(const void *a, const void *b)
{
    const struct pti_trail_copy *left = a, *right = b;
    int order = strverscmp(left->name, right->name);
    return order != 0 ? order : left->began_ns < right->began_ns ? -1 : left->began_ns > right->began_ns;
}

static int read_all(int fd, uint64_t spans, struct pti_trail_copy *copies, size_t *ret_count)
{
    int error = 0;
    for (unsigned i = 0; i < PTI_TRAILS && error == 0; i++) {
        error = read_trail(fd, spans, i, &copies[*ret_count]);
        *ret_count += error == 0;
    }
    qsort(copies, *ret_count, sizeof *copies, by_name);
    return error == ENOENT ? 0 : error;
}

int pti_trail_read(ptq_bus *bus, const char *jobs, const uint8_t id[16], struct pti_trail_copy **ret_copies, size_t *ret_count)
{
    uint64_t head[2];
    int fd;
    *ret_copies = NULL;
    *ret_count = 0;
    int error = pti_pool_side_open(bus, jobs, id, PTI_SIDE_TRAIL, false, &fd);
    if (error != 0)
        return error == ENOENT ? 0 : error;
    if (pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head && head[0] == MAGIC && head[1] != 0 && head[1] <= PTI_TRAIL_SPANS_MAX) {
        *ret_copies = calloc(PTI_TRAILS + 1, sizeof **ret_copies);
        error = *ret_copies != NULL ? read_all(fd, head[1], *ret_copies, ret_count) : ENOMEM;
    }
    (void)close(fd);
    return error;
}

void pti_trail_free(struct pti_trail_copy *copies, size_t count)
{
    for (size_t i = 0; copies != NULL && i <= count; i++)
        free(copies[i].spans);
    free(copies);
}
