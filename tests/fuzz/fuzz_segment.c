/* fuzz_segment.c -- foreign bytes in a segment: every call ends, with an answer, inside its memory.
 *
 * The input is a list of patches to a sound segment, so that the interesting words are reached:
 *
 *   flags:8     1: the header's checksum is made right after the patches; 2: the file is cut to `cut` first; 4: it is opened for
 *               watching only
 *   base:8      which sound segment (see bases)
 *   cut:32      with flag 2
 *   patches     offset:32 | size:8 (its low 4 bits, 1 to 16) | bytes; the lowest 2 bits of offset choose where: the header,
 *               hints to entries, the heads of blocks in use, anywhere
 *
 * The segment's makers had it open when it was copied, and live no more in the copy: opening it recovers them.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <ptq/metrics.h>
#include <ptq/ptq.h>

#include "bus/bus.h"
#include "fuzz/fuzz.h"
#include "ring/layout.h"

#define STEPS_S 20 /* one input takes well under a millisecond; so long is for ever */
#define BASES 7
#define OLD_BASES 4 /* the corpus was found with these */

struct base {
    unsigned char *bytes;
    size_t size;
    uint32_t used[64]; /* blocks that hold something, and a few more */
    uint32_t used_count;
};
static struct base bases[BASES];
static char dir[64];
static ptq_bus *bus;

static void check(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "fuzz_segment: %s\n", what);
        abort();
    }
}

static void remove_scratch(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (dir[0] && system(command) != 0)
        fprintf(stderr, "fuzz_segment: %s stays behind\n", dir);
}

/* ---- sound segments, with messages in every state */

static void fill_queue(ptq_queue *queue)
{
    struct ptq_bytes many[] = {{"a", 1}, {"bb", 2}, {"ccc", 3}};
    struct ptq_put_options later = {.delay_ms = 1000000}, headed = {.headers = &(struct ptq_header){"k", "v", 1}, .header_count = 1};
    ptq_msg *msg;

    for (int i = 0; i < 6; i++)
        check(ptq_put(queue, "message", 7, PTQ_NOWAIT) == PTQ_OK, "a put into a sound queue");
    check(ptq_put_many(queue, many, 3, PTQ_NOWAIT, NULL) == PTQ_OK, "a batch into a sound queue");
    if (ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK)
        check(ptq_ack(msg) == PTQ_OK, "an ack");
    if (ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK)
        check(ptq_nack(msg, 1000000) == PTQ_OK, "a nack with delay");
    for (int i = 0; i < 2; i++)
        if (ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK)
            check(ptq_nack(msg, 0) == PTQ_OK, "a nack");
    (void)!ptq_get(queue, PTQ_NOWAIT, &msg); /* stays leased */
    (void)!ptq_get(queue, PTQ_NOWAIT, &msg);
    (void)!ptq_put_with(queue, "later", 5, &later, PTQ_NOWAIT);
    (void)!ptq_put_with(queue, "headed", 6, &headed, PTQ_NOWAIT);
}

static void list_used(struct base *base)
{
    const struct pti_geometry *g = &((const struct pti_header *)(const void *)base->bytes)->geometry;
    unsigned empty = 0;

    for (uint32_t block = 0; block < g->blocks && base->used_count < 64; block++) {
        uint64_t word;

        memcpy(&word, base->bytes + g->off_blocks + (size_t)block * g->stride, sizeof word);
        if (word != 0 || empty++ < 4)
            base->used[base->used_count++] = block;
    }
}

static void copy_segment(const char *name, struct base *base)
{
    char file[PTI_FILE_NAME_MAX];
    struct stat status;
    int fd;

    pti_segment_file(name, file, sizeof file);
    fd = openat(bus->dirfd, file, O_RDONLY | O_CLOEXEC);
    check(fd >= 0 && fstat(fd, &status) == 0, "a sound segment is there");
    base->size = (size_t)status.st_size;
    base->bytes = malloc(base->size);
    check(base->bytes && read(fd, base->bytes, base->size) == status.st_size, "a sound segment can be read");
    close(fd);
    list_used(base);
}

/* Leases are over, are copied, and one copy is leased again; one stands half way: LEASED, QUAR and COPY lie there. */
static void overtake(ptq_queue *queue)
{
    ptq_msg *msg, *late;

    for (int i = 0; i < 4; i++)
        check(ptq_put(queue, "message", 7, PTQ_NOWAIT) == PTQ_OK, "a put into a sound queue");
    check(ptq_get(queue, PTQ_NOWAIT, &late) == PTQ_OK, "a get with a limit");
    for (int i = 0; i < 1000 && ptq_get(queue, 20, &msg) == PTQ_OK; i++)
        if (ptq_msg_position(msg) == ptq_msg_position(late))
            break; /* both are held from here on */
        else
            check(ptq_nack(msg, 0) != PTQ_ECORRUPT, "a nack");
}

static void half_way(struct base *base)
{
    const struct pti_geometry *g = &((const struct pti_header *)(const void *)base->bytes)->geometry;

    for (uint32_t block = 0; block < g->blocks; block++) {
        struct pti_block *b = (struct pti_block *)(void *)(base->bytes + g->off_blocks + (size_t)block * g->stride);
        uint64_t word = b->word, copy = pti_word_position(word) & PTI_END_BLOCK;
        struct pti_block *c = (struct pti_block *)(void *)(base->bytes + g->off_blocks + (size_t)copy * g->stride);

        if (pti_word_state(word) != PTI_QUAR || copy >= g->blocks)
            continue;
        c->word = pti_word(PTI_COPY, pti_word_owner(word), pti_word_position(word) >> PTI_BLOCK_BITS, 0);
        c->link = block + 1;
        return;
    }
    check(false, "a lease that ran out");
}

/* Opened as one that gathers, and left with a pack half taken. */
static void gather(ptq_queue *queue)
{
    ptq_msg *msg;

    for (int i = 0; i < 6; i++)
        check(ptq_put(queue, "record", 6, PTQ_NOWAIT) == PTQ_OK, "a put into a pack");
    check(ptq_flush(queue, PTQ_NOWAIT) == PTQ_OK, "a flush");
    for (int i = 0; i < 3; i++)
        check(ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK && (i != 0 || ptq_ack(msg) == PTQ_OK), "a get from a pack");
}

static void fill_large(ptq_queue *queue)
{
    static unsigned char bytes[1200000];

    check(ptq_put(queue, bytes, sizeof bytes, PTQ_NOWAIT) == PTQ_OK, "a put of a large message");
    check(ptq_put(queue, "small", 5, PTQ_NOWAIT) == PTQ_OK, "a put beside it");
}

static void make_other(unsigned number, const struct ptq_queue_options *options, void (*fill)(ptq_queue *))
{
    ptq_queue *queue;

    check(ptq_queue_open(bus, "base", options, &queue) == PTQ_OK, "a sound queue");
    fill(queue);
    copy_segment("base", &bases[number]);
    if (fill == overtake)
        half_way(&bases[number]);
    ptq_queue_close(queue);
    check(ptq_queue_unlink(bus, "base", true) == PTQ_OK, "it can be removed");
}

static void make_base(unsigned number, const struct ptq_queue_options *options, bool end)
{
    ptq_queue *queue;

    check(ptq_queue_open(bus, "base", options, &queue) == PTQ_OK, "a sound queue");
    fill_queue(queue);
    if (end)
        check(ptq_end(queue) == PTQ_OK, "an end");
    copy_segment("base", &bases[number]);
    ptq_queue_close(queue);
    check(ptq_queue_unlink(bus, "base", true) == PTQ_OK, "it can be removed");
}

static void on_alarm(int number)
{
    static const char text[] = "fuzz_segment: one input never ends\n";

    (void)number;
    (void)!write(2, text, sizeof text - 1);
    abort();
}

static void prepare(void)
{
    struct ptq_bus_options options = {.dir = dir, .guard = true};

    snprintf(dir, sizeof dir, "/dev/shm/ptq-test.fuzz.%d", (int)getpid());
    check(mkdir(dir, 0700) == 0, "a scratch directory");
    atexit(remove_scratch);
    check(ptq_bus_open("fuzz", &options, &bus) == PTQ_OK, "a bus");
    make_base(0, &(struct ptq_queue_options){.capacity = 16, .item_size = 64, .max_endpoints = 4}, false);
    make_base(1, &(struct ptq_queue_options){.capacity = 16, .item_size = 64, .max_endpoints = 4, .max_deliveries = 1,
                                             .spec = "label:i32 score:f64"}, true);
    make_base(2, &(struct ptq_queue_options){.capacity = 12, .item_size = 3000, .max_endpoints = 2, .full = PTQ_FULL_DROP_OLDEST,
                                             .ttl_ms = 100000}, false);
    make_base(3, &(struct ptq_queue_options){.capacity = 16, .item_size = 64, .max_endpoints = 4, .lease_ms = 1}, false);
    make_other(4, &(struct ptq_queue_options){.capacity = 16, .item_size = 64, .max_endpoints = 4, .lease_ms = 10}, overtake);
    make_other(5, &(struct ptq_queue_options){.capacity = 16, .item_size = 64, .max_endpoints = 4, .max_deliveries = 1,
                                              .pack_size = 512, .flags = PTQ_PIPELINE}, gather);
    make_other(6, &(struct ptq_queue_options){.capacity = 2, .item_size = 2u << 20, .max_endpoints = 4}, fill_large);
    signal(SIGALRM, on_alarm);
}

/* ---- one input */

static uint32_t read32(const uint8_t *at) { return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24; }

/* Where a patch goes: mostly to words that somebody believes in. */
static size_t place(const struct base *base, uint32_t offset)
{
    const struct pti_geometry *g = &((const struct pti_header *)(const void *)base->bytes)->geometry;
    uint32_t kind = offset & 3;

    offset >>= 2;
    switch (kind) {
    case 0:
        return offset % sizeof(struct pti_header);
    case 1:
        return g->off_hints + offset % (g->off_blocks - g->off_hints);
    case 2:
        return g->off_blocks + (size_t)base->used[offset % base->used_count] * g->stride + (offset >> 8) % 96;
    default:
        return offset % base->size;
    }
}

static void patch(const struct base *base, unsigned char *bytes, const uint8_t *data, size_t left)
{
    size_t size = base->size;

    while (left > 5) {
        size_t offset = place(base, read32(data));
        size_t count = (data[4] & 15u) + 1;

        data += 5;
        left -= 5;
        if (count > left)
            count = left;
        if (count > size - offset)
            count = size - offset;
        memcpy(bytes + offset, data, count);
        data += count;
        left -= count;
    }
}

/* As layout.c does it. */
static void seal(unsigned char *bytes)
{
    struct pti_header *header = (void *)bytes;
    uint64_t hash = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < offsetof(struct pti_header, checksum); i++)
        hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    header->checksum = hash;
}

static void leave_segment(const struct base *base, const unsigned char *bytes, size_t size)
{
    static const unsigned char zeroes[4096];
    char file[PTI_FILE_NAME_MAX];
    int fd;

    pti_segment_file("q", file, sizeof file);
    unlinkat(bus->dirfd, file, 0);
    fd = openat(bus->dirfd, file, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    check(fd >= 0 && ftruncate(fd, (off_t)size) == 0, "the segment can be left");
    for (size_t at = 0; at < size; at += 4096) {
        size_t count = size - at < 4096 ? size - at : 4096;

        if (memcmp(bytes + at, zeroes, count) != 0)
            check(pwrite(fd, bytes + at, count, (off_t)at) == (ssize_t)count, "the segment can be left");
    }
    (void)base;
    close(fd);
}

static volatile unsigned char sink;

static bool touch(const struct ptq_view_msg *msg, void *context)
{
    (void)context;
    for (size_t i = 0; i < msg->size; i++)
        sink ^= ((const unsigned char *)msg->data)[i];
    return true;
}

static void ignore(const char *finding, void *context)
{
    (void)context;
    sink ^= (unsigned char)finding[0];
}

static void watch(void)
{
    struct ptq_view_endpoint endpoints[8];
    struct ptq_verify_report report;
    struct ptq_queue_stats stats;
    struct ptq_view_info info;
    ptq_view *view;
    size_t count;

    if (ptq_view_open(bus, "q", NULL, &view) != PTQ_OK)
        return;
    (void)!ptq_view_stats(view, &stats);
    (void)!ptq_view_info(view, &info);
    (void)!ptq_view_endpoints(view, endpoints, 8, &count);
    (void)!ptq_view_peek(view, touch, NULL);
    (void)!ptq_view_verify(view, ignore, NULL, &report);
    ptq_view_close(view);
}

static void read_message(ptq_msg *msg)
{
    const unsigned char *bytes = ptq_msg_data(msg);

    for (size_t i = 0; i < ptq_msg_size(msg); i++)
        sink ^= bytes[i];
    size_t size;
    const unsigned char *value = ptq_msg_header(msg, "k", &size);
    for (size_t i = 0; value && i < size; i++)
        sink ^= value[i];
}

static void use_letters(ptq_queue *queue)
{
    uint64_t count;
    ptq_queue *dead;
    ptq_msg *msg;

    if (ptq_queue_open(bus, "q" PTQ_DEAD_SUFFIX, NULL, &dead) == PTQ_OK) {
        for (int i = 0; i < 3 && ptq_get(dead, PTQ_NOWAIT, &msg) == PTQ_OK; i++) {
            read_message(msg);
            if (i == 1)
                (void)ptq_ack(msg);
            else
                (void)ptq_nack(msg, 0);
        }
        ptq_queue_close(dead);
    }
    (void)!ptq_queue_kick(queue, 0, &count);
}

static void use(void)
{
    struct ptq_bytes many[] = {{"a", 1}, {"bb", 2}};
    struct ptq_put_options later = {.delay_ms = 1, .ttl_ms = 1};
    struct ptq_queue_stats stats;
    uint64_t purged;
    char buffer[64];
    ptq_queue *queue;
    ptq_msg *msg;
    size_t size;

    if (ptq_queue_open(bus, "q", NULL, &queue) != PTQ_OK)
        return;
    for (int i = 0; i < 4; i++) {
        (void)!ptq_put(queue, "new", 3, PTQ_NOWAIT);
        (void)!ptq_put_many(queue, many, 2, PTQ_NOWAIT, NULL);
        (void)!ptq_put_with(queue, "x", 1, &later, PTQ_NOWAIT);
        if (ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK) {
            read_message(msg);
            (void)ptq_ack(msg);
        }
        if (ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK) {
            read_message(msg);
            (void)ptq_nack(msg, i & 1);
        }
        (void)!ptq_recv(queue, buffer, sizeof buffer, PTQ_NOWAIT, &size);
    }
    (void)!ptq_queue_stats(queue, &stats);
    use_letters(queue);
    for (int i = 0; i < 40 && ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK; i++) {
        read_message(msg);
        (void)ptq_ack(msg);
    }
    (void)!ptq_put(queue, "new", 3, PTQ_NOWAIT);
    (void)!ptq_queue_purge(queue, &purged);
    (void)!ptq_end(queue);
    ptq_queue_close(queue);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct base *base;
    unsigned char *bytes;
    size_t length;

    if (!bus)
        prepare();
    if (size < 6)
        return 0;
    base = &bases[data[1] < 192 ? data[1] % OLD_BASES : OLD_BASES + data[1] % (BASES - OLD_BASES)];
    bytes = malloc(base->size);
    check(bytes != NULL, "memory");
    memcpy(bytes, base->bytes, base->size);
    patch(base, bytes, data + 6, size - 6);
    if (data[0] & 1)
        seal(bytes);
    length = data[0] & 2 ? read32(data + 2) % base->size : base->size;
    leave_segment(base, bytes, length);
    free(bytes);
    alarm(STEPS_S);
    watch();
    if (!(data[0] & 4))
        use();
    alarm(0);
    return 0;
}
