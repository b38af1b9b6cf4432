/* attack.c -- a bridge that tells what it costs, and frames that no correct peer sends. */
#include "net/attack.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/time.h"
#include "remote/streams.h"
#include "base/bytes.h"
#include "wire/record.h"
#include "wire/share.h"

/* ---- the bridge ---- */

static _Atomic uint64_t frames_read;

static void note_frames(void *context, enum ptq_bridge_level level, const char *line)
{
    const char *at = strstr(line, "frames_in=");
    (void)context, (void)level;

    if (at != NULL)
        atomic_fetch_add(&frames_read, strtoull(at + strlen("frames_in="), NULL, 10));
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

struct serving {
    struct attacked *attacked;
    int ready, ask;
    ptq_bridge *bridge;
};

/* A byte asks; the answer is the costs.  Their end ends the bridge. */
static void *answer_asks(void *context)
{
    struct serving *serving = context;
    int fd = serving->ask;
    struct costs costs = {0};
    struct rusage usage;
    char byte;

    while (read(fd, &byte, 1) == 1) {
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        struct mallinfo2 heap = mallinfo2();
        costs.heap = heap.uordblks + heap.hblkhd;
#endif
        getrusage(RUSAGE_SELF, &usage);
        costs.cpu_s = seconds(usage.ru_utime) + seconds(usage.ru_stime);
        costs.resident = ptt_anonymous_kib(getpid()) * 1024;
        costs.frames = atomic_load(&frames_read);
        (void)!write(fd, &costs, sizeof costs);
    }
    ptq_bridge_stop(serving->bridge);
    return NULL;
}

static int serve(void *context)
{
    struct serving *serving = context;
    struct attacked *attacked = serving->attacked;
    const char *listen[] = {"tcp://127.0.0.1:0", attacked->ipc};
    struct ptq_bridge_options options = {.listen = listen, .listen_count = 2, .grace_ms = attacked->grace_ms,
                                         .limits = attacked->limits, .log = note_frames, .drain_ms = 100};
    struct ptq_error error = {0};
    ptq_bus *bus = ptt_scratch_open(&attacked->home);
    pthread_t thread;

    pti_stream_kept_ns = attacked->grace_ms * PTI_NS_PER_MS;
    options.error = &error;
    if (ptq_bridge_open(bus, &options, &serving->bridge) != PTQ_OK || pthread_create(&thread, NULL, answer_asks, serving) != 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    dprintf(serving->ready, "%s\n", ptq_bridge_url(serving->bridge, 0));
    close(serving->ready);
    enum ptq_err answer = ptq_bridge_run(serving->bridge);
    pthread_join(thread, NULL);
    ptq_bridge_close(serving->bridge);
    ptq_bus_close(bus);
    return answer == PTQ_OK ? 0 : 1;
}

void attacked_init(struct attacked *attacked)
{
    struct ptq_error error = {0};
    char peers[160];
    int ready[2], asks[2];

    ptt_scratch_init_dir(&attacked->home);
    ptt_scratch_init_dir(&attacked->far);
    snprintf(attacked->ipc, sizeof attacked->ipc, "ipc://%s/socket", attacked->home.dir);
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, asks), 0);
    struct serving serving = {attacked, ready[1], asks[1], NULL};
    attacked->bridge = ptt_fork(serve, &serving);
    attacked->ask = asks[0];
    close(ready[1]);
    close(asks[1]);
    net_read_line(ready[0], attacked->tcp, sizeof attacked->tcp);
    close(ready[0]);
    assert_true(attacked->tcp[0] != '\0');
    snprintf(peers, sizeof peers, "home=%s", attacked->tcp);
    struct ptq_bus_options options = {.dir = attacked->far.dir, .peers = peers, .node = "far", .error = &error};
    if (ptq_bus_open("test", &options, &attacked->there) != PTQ_OK)
        fail_msg("%s", error.text);
}

void attacked_fini(struct attacked *attacked)
{
    ptq_bus_close(attacked->there);
    (void)attacked_costs(attacked); /* it is there */
    shutdown(attacked->ask, SHUT_WR);
    ptt_assert_exit(attacked->bridge, 0, PTT_LONG);
    close(attacked->ask);
    ptt_scratch_fini(&attacked->far);
    ptt_scratch_fini(&attacked->home);
}

struct costs attacked_costs(const struct attacked *attacked)
{
    struct costs costs = {0};

    if (send(attacked->ask, "?", 1, MSG_NOSIGNAL) != 1 || recv(attacked->ask, &costs, sizeof costs, MSG_WAITALL) != sizeof costs)
        fail_msg("the bridge has ended");
    return costs;
}

/* ---- fuzzed frames ---- */

static uint64_t draw(struct fuzz *fuzz, uint64_t most)
{
    return ptt_random(&fuzz->seed) % most;
}

static size_t seal(uint8_t *at, struct pti_frame frame, size_t size)
{
    frame.length = (uint32_t)size;
    pti_frame_seal(at, &frame);
    return PTI_FRAME_HEADER + size;
}

/* Length-delimited fields in each other: as deep as there is room. */
static size_t write_deep(uint8_t *at, size_t room)
{
    size_t size = 0;

    for (size_t left = room; left > 4 && size + 3 <= room; left -= 3) {
        at[size++] = 0x0a; /* field 1, a message */
        at[size++] = (uint8_t)(0x80 | ((left - 3) & 0x7f));
        at[size++] = (uint8_t)((left - 3) >> 7);
    }
    return size;
}

/* One field again and again: a number, a text, bytes. */
static size_t write_repeated(struct fuzz *fuzz, uint8_t *at, size_t room)
{
    uint8_t field = (uint8_t)(1 + draw(fuzz, 15)), kind = draw(fuzz, 2) == 0 ? 0 : 2;
    size_t size = 0;

    while (size + 4 <= room) {
        at[size++] = (uint8_t)(field << 3 | kind);
        at[size++] = kind == 0 ? 0x7f : 2;
        if (kind == 2) {
            at[size++] = 'x';
            at[size++] = 'y';
        }
    }
    return size;
}

/* A length of many gigabytes, or one that does not end. */
static size_t write_long(struct fuzz *fuzz, uint8_t *at)
{
    size_t size = 0;

    at[size++] = (uint8_t)((1 + draw(fuzz, 15)) << 3 | 2);
    for (uint64_t n = 4 + draw(fuzz, 8); n > 0; n--)
        at[size++] = 0xff;
    at[size++] = (uint8_t)draw(fuzz, 128);
    return size;
}

static size_t spoil_payload(struct fuzz *fuzz, uint8_t *at, size_t size, size_t room)
{
    switch (draw(fuzz, 9)) {
    case 0:
        return draw(fuzz, size + 1);
    case 1:
        while (draw(fuzz, 8) != 0 && size < room)
            at[size++] = (uint8_t)draw(fuzz, 256);
        return size;
    case 2: /* all of it twice: repeated fields */
        memcpy(at + size, at, size < room - size ? size : room - size);
        return size < room - size ? 2 * size : room;
    case 3:
        return write_deep(at, 3 + draw(fuzz, room - 3));
    case 4:
        return write_repeated(fuzz, at, draw(fuzz, room));
    case 5:
        return write_long(fuzz, at);
    case 6:
        if (size >= 4)
            pti_store32(at + draw(fuzz, size - 3), (uint32_t)(draw(fuzz, 2) == 0 ? UINT32_MAX : draw(fuzz, UINT32_MAX)));
        return size;
    default:
        for (uint64_t n = 1 + draw(fuzz, 4); n > 0 && size > 0; n--)
            at[draw(fuzz, size)] ^= (uint8_t)(1u << draw(fuzz, 8));
        return size;
    }
}

static void spoil_header(struct fuzz *fuzz, struct pti_frame *frame)
{
    static const uint64_t numbers[] = {0, 1, 63, 1024, UINT32_MAX, UINT64_MAX, UINT64_C(1) << 63};
    uint64_t number = numbers[draw(fuzz, sizeof numbers / sizeof numbers[0])];

    switch (draw(fuzz, 6)) {
    case 0:
        frame->channel = (uint32_t)(draw(fuzz, 2) == 0 ? draw(fuzz, 9) : draw(fuzz, UINT32_MAX));
        return;
    case 1:
        frame->number = number;
        return;
    case 2:
        frame->ack = number;
        return;
    case 3:
        frame->credit = (uint32_t)number;
        return;
    case 4:
        frame->flags = (uint16_t)draw(fuzz, 65536);
        return;
    default:
        frame->type = (uint8_t)draw(fuzz, 256);
    }
}

/* After it was sealed: nothing fits any more. */
static void spoil_bytes(struct fuzz *fuzz, uint8_t *at)
{
    switch (draw(fuzz, 4)) {
    case 0:
        pti_store32(at + 8, UINT32_MAX - (uint32_t)draw(fuzz, 100)); /* 4 GiB */
        return;
    case 1:
        pti_store32(at + 8, (uint32_t)draw(fuzz, 1u << 20));
        return;
    case 2:
        at[36] ^= 1;
        return;
    default:
        at[draw(fuzz, PTI_FRAME_HEADER)] ^= (uint8_t)(1 + draw(fuzz, 255));
    }
}

static size_t write_puts(struct fuzz *fuzz, uint8_t *at, struct pti_frame *frame)
{
    uint32_t count = (uint32_t)(1 + draw(fuzz, 3));
    size_t size = PTI_PUT_HEAD;

    if (frame->type == PTI_FRAME_PLACE) {
        pti_write_place_head(at, draw(fuzz, 100), (uint32_t)draw(fuzz, 3));
        size = PTI_PLACE_HEAD;
        count = 1;
    } else {
        pti_write_put_head(at, count, (uint32_t)draw(fuzz, 3));
    }
    for (uint32_t i = 0; i < count; i++) {
        struct pti_record record = {.size = (uint32_t)draw(fuzz, 100), .type = (uint32_t)draw(fuzz, 100000)};
        size += pti_write_put_record(at + size, &record);
        memset(at + size, 'f', record.size);
        size += record.size;
    }
    return size;
}

static size_t write_open(struct fuzz *fuzz, uint8_t *at)
{
    struct pti_open_message open = {.capacity = 16, .item_size = 128};

    snprintf(open.name, sizeof open.name, "fuzz-%u", (unsigned)draw(fuzz, 4));
    open.thing = fuzz->shares ? (uint32_t)(1 + draw(fuzz, 2)) : 0;
    bool puts = draw(fuzz, 4) == 0; /* with numbers that are kept in a row of their own */
    for (size_t i = 0; puts && i < sizeof open.stream; i++)
        open.stream[i] = (uint8_t)draw(fuzz, 256);
    return pti_open_pack(&open, at, PTI_CONTROL_BYTES);
}

/* What is asked of shares: nearly always something that makes sense. */
static size_t write_share(struct fuzz *fuzz, uint8_t *at, const struct pti_frame *frame)
{
    static const uint8_t looks[] = {PTI_SHARE_FIND, PTI_SHARE_GET, PTI_SHARE_READ, PTI_SHARE_LIST, PTI_SHARE_BOUNDS, PTI_SHARE_RECORD};
    static const uint8_t waits[] = {PTI_SHARE_CHANGED, PTI_SHARE_APPENDED};
    char name[8];
    uint8_t data[100];
    struct pti_share_ask ask = {.op = (uint8_t)draw(fuzz, 11), .type = (uint8_t)(1 + draw(fuzz, 4)), .wants = draw(fuzz, 2) == 0,
                                .value = draw(fuzz, 8) == 0 ? UINT64_MAX : draw(fuzz, 300), .other = draw(fuzz, 200), .name = name,
                                .name_size = draw(fuzz, sizeof name), .data = data, .size = draw(fuzz, sizeof data)};

    memset(name, 'n', sizeof name);
    name[1] = draw(fuzz, 4) == 0 ? '\0' : 'm';
    memset(data, 'd', sizeof data);
    if (frame->type == PTI_FRAME_PUT) {
        ask.verb = (uint8_t)(PTI_SHARE_MAKE + draw(fuzz, 1 + PTI_SHARE_APPEND - PTI_SHARE_MAKE));
        struct pti_record record = {.size = (uint32_t)pti_share_ask_size(&ask)};
        pti_write_put_head(at, 1, (uint32_t)draw(fuzz, 3));
        size_t size = PTI_PUT_HEAD + pti_write_put_record(at + PTI_PUT_HEAD, &record);
        pti_write_share_ask(at + size, &ask);
        return size + record.size;
    }
    ask.verb = frame->type == PTI_FRAME_LOOK ? looks[draw(fuzz, sizeof looks)] : waits[draw(fuzz, sizeof waits)];
    pti_store32(at, 0);
    pti_store32(at + 4, (uint32_t)draw(fuzz, 3));
    pti_write_share_ask(at + PTI_SHARE_WAIT_HEAD, &ask);
    return PTI_SHARE_WAIT_HEAD + pti_share_ask_size(&ask);
}

static size_t write_right(struct fuzz *fuzz, uint8_t *at, struct pti_frame *frame)
{
    struct pti_take take = {.max = (uint32_t)(1 + draw(fuzz, 4)), .timeout = (uint32_t)draw(fuzz, 2)};
    struct pti_settle settle = {.verb = (uint32_t)(1 + draw(fuzz, 3)), .position = draw(fuzz, 50), .deliveries = 1};
    static const uint32_t verbs[] = {PTI_CALL_HEAD, PTI_CALL_CENSUS, PTI_CALL_CLAIM, PTI_CALL_PURGE, PTI_CALL_KICK};
    struct pti_call_message call = {.verb = verbs[draw(fuzz, 5)], .value = draw(fuzz, 100)};

    if (fuzz->shares && (frame->type == PTI_FRAME_PUT || frame->type == PTI_FRAME_LOOK || frame->type == PTI_FRAME_AWAIT))
        return write_share(fuzz, at, frame);
    switch (frame->type) {
    case PTI_FRAME_PUT:
    case PTI_FRAME_PLACE:
        return write_puts(fuzz, at, frame);
    case PTI_FRAME_TAKE:
        pti_write_take(at, &take);
        return PTI_TAKE_BYTES;
    case PTI_FRAME_SETTLE:
        pti_write_settle(at, &settle);
        return PTI_SETTLE_BYTES;
    case PTI_FRAME_CALL:
        pti_write_call(at, &call);
        return PTI_CALL_BYTES;
    case PTI_FRAME_WATCH:
        pti_write_side(at, (uint32_t)draw(fuzz, 2));
        return PTI_WATCH_BYTES;
    case PTI_FRAME_OPEN:
        return write_open(fuzz, at);
    case PTI_FRAME_DIRECTORY:
        return pti_directory_ask_pack(&(struct pti_directory_ask){0}, at, PTI_CONTROL_BYTES);
    case PTI_FRAME_PING:
        return pti_ping_pack(draw(fuzz, UINT32_MAX), at, 64);
    case PTI_FRAME_RECEIVED:
        pti_store64(at, draw(fuzz, 50));
        return 8;
    default:
        return 0;
    }
}

static bool is_request(uint8_t type)
{
    return type == PTI_FRAME_PUT || type == PTI_FRAME_PLACE || type == PTI_FRAME_TAKE || type == PTI_FRAME_SETTLE ||
           type == PTI_FRAME_CALL || type == PTI_FRAME_AWAIT;
}

size_t fuzz_frame(struct fuzz *fuzz, uint8_t *at)
{
    static const uint8_t types[] = {PTI_FRAME_PUT,    PTI_FRAME_PUT,   PTI_FRAME_PUT,      PTI_FRAME_TAKE,     PTI_FRAME_TAKE,
                                    PTI_FRAME_SETTLE, PTI_FRAME_CALL,  PTI_FRAME_PLACE,    PTI_FRAME_WATCH,    PTI_FRAME_PING,
                                    PTI_FRAME_CANCEL, PTI_FRAME_STATS, PTI_FRAME_RECEIVED, PTI_FRAME_PUT,      PTI_FRAME_SETTLE,
                                    PTI_FRAME_TAKE,   PTI_FRAME_TAKE,  PTI_FRAME_SETTLE,   PTI_FRAME_CANCEL};
    static const uint8_t of_shares[] = {PTI_FRAME_PUT, PTI_FRAME_PUT, PTI_FRAME_LOOK, PTI_FRAME_LOOK, PTI_FRAME_AWAIT, PTI_FRAME_AWAIT, PTI_FRAME_PING,
                                        PTI_FRAME_CANCEL, PTI_FRAME_RECEIVED};
    uint8_t usual = fuzz->shares ? of_shares[draw(fuzz, sizeof of_shares)] : types[draw(fuzz, sizeof types)];
    uint8_t type = draw(fuzz, 100) == 0 ? (draw(fuzz, 2) == 0 ? PTI_FRAME_OPEN : PTI_FRAME_DIRECTORY) : usual;
    struct pti_frame frame = {.version = 3, .type = type, .channel = (uint32_t)(1 + draw(fuzz, fuzz->channels))};
    bool bad = draw(fuzz, fuzz->spoil) == 0;
    uint64_t how = draw(fuzz, 8);

    if (frame.type == PTI_FRAME_OPEN || frame.type == PTI_FRAME_DIRECTORY)
        frame.channel = (uint32_t)(4 + draw(fuzz, 40));
    frame.channel = frame.type == PTI_FRAME_PING ? 0 : frame.channel;
    if (is_request(frame.type))
        frame.number = ++fuzz->numbers[frame.channel];
    frame.ack = frame.channel < 4 && fuzz->numbers[frame.channel] > 40 ? fuzz->numbers[frame.channel] - 40 : 0;
    size_t size = write_right(fuzz, at + PTI_FRAME_HEADER, &frame);
    if (bad && how < 5)
        size = spoil_payload(fuzz, at + PTI_FRAME_HEADER, size, 4000);
    if (bad && how >= 4 && how < 7)
        spoil_header(fuzz, &frame);
    size = seal(at, frame, size);
    if (bad && how == 7)
        spoil_bytes(fuzz, at);
    return size;
}

size_t fuzz_begin(struct fuzz *fuzz, uint8_t *at)
{
    struct pti_hello hello = {.version_min = 1, .version_max = 3, .limits = pti_limits_own(), .node = "fuzz", .attempt = 1};
    size_t size;

    memset(fuzz->numbers, 0, sizeof fuzz->numbers);
    fuzz->shares = draw(fuzz, 3) == 0;
    for (size_t i = 0; i < sizeof hello.session; i++)
        hello.session[i] = (uint8_t)draw(fuzz, 256);
    size = pti_hello_pack(&hello, at + PTI_FRAME_HEADER, PTI_CONTROL_BYTES);
    if (draw(fuzz, 4 * fuzz->spoil) == 0)
        size = spoil_payload(fuzz, at + PTI_FRAME_HEADER, size, 5000);
    size = seal(at, (struct pti_frame){.version = 1, .type = PTI_FRAME_HELLO}, size);
    for (uint32_t channel = 1; channel <= fuzz->channels; channel++)
        size += seal(at + size, (struct pti_frame){.version = 3, .type = PTI_FRAME_OPEN, .channel = channel},
                     write_open(fuzz, at + size + PTI_FRAME_HEADER));
    return size;
}

size_t fuzz_ping(uint8_t *at, uint64_t stamp)
{
    return seal(at, (struct pti_frame){.version = 3, .type = PTI_FRAME_PING}, pti_ping_pack(stamp, at + PTI_FRAME_HEADER, 64));
}
