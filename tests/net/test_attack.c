/* test_attack.c -- a bridge under attack: it does not fall, keeps no memory of it, and a good peer goes on.
 *
 *   net_attack                  the tests
 *   net_attack --frames N       so many fuzzed frames, then the same questions (tests/run long: ten million)
 *   net_attack --measure [S [NAME]]  what each attack costs, S seconds each: a table for docs/benchmarks.md
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <ptq/queue.h>

#include "base/time.h"
#include "net/attack.h"
#include "base/bytes.h"

#define MIB (1u << 20)
#ifdef __SANITIZE_ADDRESS__
#define FRAMES 8000u
#define HAS_MEMORY 0 /* freed memory is kept in quarantine */
#else
#define FRAMES 40000u
#define HAS_MEMORY 1
#endif

static struct attacked attacked;
static uint64_t asked_frames;

static void start(struct ptq_bridge_limits limits)
{
    attacked = (struct attacked){.limits = limits, .grace_ms = 100};
    attacked_init(&attacked);
}

static void pass_one(ptq_queue *queue)
{
    ptq_msg *msg;

    assert_ok(ptq_put(queue, "good", 4, PTT_LONG));
    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_ok(ptq_ack(msg));
}

/* Until the bridge has no more than `most` of it than before; sessions' grace and rows' time must pass first. */
static void assert_memory_as_before(ptq_queue *queue, struct costs before)
{
    int64_t end = pti_now_ns() + PTT_LONG * PTI_NS_PER_MS;
    struct timespec nap = {.tv_nsec = 20000000};
    struct costs now;

    do {
        pass_one(queue);
        nanosleep(&nap, NULL);
        now = attacked_costs(&attacked);
    } while (HAS_MEMORY && pti_now_ns() < end && (now.heap > before.heap + MIB || now.resident > before.resident + MIB));
    print_message("allocated %.2f MiB, before %.2f; resident %.2f, before %.2f\n", (double)now.heap / MIB, (double)before.heap / MIB,
                  (double)now.resident / MIB, (double)before.resident / MIB);
    if (HAS_MEMORY)
        assert_true(now.heap <= before.heap + MIB && now.resident <= before.resident + MIB);
}

/* ---- links */

static int dial_ipc(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PTT_LONG / 1000};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(name.sun_path, sizeof name.sun_path, "%s", attacked.ipc + strlen("ipc://"));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    int64_t end = pti_deadline(PTT_LONG);
    while (connect(fd, (struct sockaddr *)&name, sizeof name) != 0 && pti_now_ns() < end)
        usleep(1000);
    return fd;
}

static int dial_tcp(const char *address)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(address)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

    name.sin_port = htons((uint16_t)atoi(strrchr(attacked.tcp, ':') + 1));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    (void)!bind(fd, (struct sockaddr *)&own, sizeof own);
    (void)!connect(fd, (struct sockaddr *)&name, sizeof name);
    return fd;
}

/* ---- fuzzed frames */

enum { AT_ONCE = 50, FUZZERS = 8 };
#define LAST UINT64_C(0x7473616c)

/* Until the bridge closes it (false), or says PING back. */
static bool read_answers(int fd)
{
    struct pti_frame_reader reader;
    struct pti_frame frame;
    const char *reason;
    uint64_t stamp;
    bool up = false;
    size_t room;

    pti_frame_reader_init(&reader, PTI_WIRE_FRAME_BYTES);
    for (;;) {
        uint8_t *at = pti_frame_reader_space(&reader, &room);
        ssize_t part = recv(fd, at, room, 0);
        if (part <= 0)
            break;
        pti_frame_reader_filled(&reader, (size_t)part);
        bool ended = false;
        while (pti_frame_reader_next(&reader, &frame, &reason) == PTQ_OK) {
            ended |= frame.type == PTI_FRAME_ERROR && frame.channel == 0;
            up |= frame.type == PTI_FRAME_PING && frame.flags == PTI_FRAME_REPLY &&
                  pti_ping_unpack(frame.payload, frame.length, &stamp) == PTQ_OK && stamp == LAST;
        }
        if (up || ended)
            break;
    }
    pti_frame_reader_fini(&reader);
    return up;
}

/* One link, until it ends. */
static void fuzz_link(struct fuzz *fuzz, uint8_t *bytes)
{
    int fd = dial_ipc();
    bool up = true;

    for (size_t size = fuzz_begin(fuzz, bytes); up; size = 0) {
        for (unsigned i = 0; i < AT_ONCE; i++)
            size += fuzz_frame(fuzz, bytes + size);
        size += fuzz_ping(bytes + size, LAST);
        up = send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size && read_answers(fd);
    }
    close(fd);
}

static _Atomic bool enough;
static _Atomic uint64_t links;

static void *run_fuzzer(void *context)
{
    struct fuzz fuzz = *(struct fuzz *)context;
    uint8_t *bytes = malloc((AT_ONCE + 5) * FUZZ_FRAME);

    while (bytes != NULL && !atomic_load(&enough)) {
        fuzz_link(&fuzz, bytes);
        atomic_fetch_add(&links, 1);
    }
    free(bytes);
    return NULL;
}

/* Several at once, so that the bridge never waits for them; a good peer beside them. */
static void fuzz_much(ptq_queue *queue, uint64_t *seed, uint64_t frames)
{
    uint64_t until = attacked_costs(&attacked).frames + frames;
    struct fuzz fuzzes[FUZZERS];
    pthread_t threads[FUZZERS];
    struct timespec nap = {.tv_nsec = 5000000};

    atomic_store(&enough, false);
    atomic_store(&links, 0);
    for (int i = 0; i < FUZZERS; i++) {
        fuzzes[i] = (struct fuzz){.seed = ptt_random(seed) | 1, .spoil = 100, .channels = 1};
        assert_int_equal(pthread_create(&threads[i], NULL, run_fuzzer, &fuzzes[i]), 0);
    }
    int64_t stuck = pti_deadline(PTT_LONG);
    for (uint64_t before = 0, now; (now = attacked_costs(&attacked).frames) < until; before = now) {
        if (now > before)
            stuck = pti_deadline(PTT_LONG);
        assert_true(pti_now_ns() < stuck);
        pass_one(queue);
        nanosleep(&nap, NULL);
    }
    atomic_store(&enough, true);
    for (int i = 0; i < FUZZERS; i++)
        pthread_join(threads[i], NULL);
    print_message("%llu fuzzed frames were read, over %llu links\n",
                  (unsigned long long)(attacked_costs(&attacked).frames + frames - until), (unsigned long long)atomic_load(&links));
}

static const struct ptq_bridge_limits lifted = {.dials = UINT64_MAX, .peer_dials = UINT64_MAX, .vain = UINT64_MAX, .peer_vain = UINT64_MAX};

static void fuzzed_frames_end_their_links_and_leave_no_memory_behind(void **state)
{
    uint64_t seed = ptt_seed(), frames = asked_frames > 0 ? asked_frames : FRAMES;
    (void)state;

    start(lifted);
    ptq_queue *queue = net_open(attacked.there, "good@home", NULL);
    fuzz_much(queue, &seed, frames / 2 < 200000 ? frames / 2 : 200000); /* what is made once: threads, buffers */
    struct costs before = attacked_costs(&attacked);
    fuzz_much(queue, &seed, frames);
    assert_memory_as_before(queue, before);
    ptq_queue_close(queue);
    attacked_fini(&attacked);
}

/* ---- those that say nothing */

enum { SILENT = 500 };

static void five_hundred_that_dribble_are_closed_in_time_and_cost_nobody_anything(void **state)
{
    uint8_t hello[PTI_FRAME_HEADER + PTI_CONTROL_BYTES];
    static int fds[SILENT];
    struct fuzz fuzz = {.seed = 1, .spoil = 1000000, .channels = 3};
    int64_t begun = pti_now_ns();
    char address[32];
    unsigned open = SILENT;
    (void)state;

    start((struct ptq_bridge_limits){0});
    ptq_queue *queue = net_open(attacked.there, "good@home", NULL);
    pass_one(queue);
    struct costs before = attacked_costs(&attacked);
    static uint8_t bytes[8 * FUZZ_FRAME];
    (void)fuzz_begin(&fuzz, bytes);
    memcpy(hello, bytes, sizeof hello);
    for (unsigned i = 0; i < SILENT; i++) {
        snprintf(address, sizeof address, "127.0.1.%u", 1 + i % 5);
        fds[i] = dial_tcp(address);
    }
    for (unsigned tick = 0; open > 0; tick++) { /* a byte of HELLO at a time */
        struct timespec nap = {.tv_nsec = 50000000};
        nanosleep(&nap, NULL);
        pass_one(queue);
        for (unsigned i = 0; i < SILENT; i++) {
            char rest[600];
            if (fds[i] < 0)
                continue;
            ssize_t got = recv(fds[i], rest, sizeof rest, MSG_DONTWAIT);
            if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINPROGRESS)) {
                close(fds[i]);
                fds[i] = -1;
                open--;
            } else if (tick < 60) {
                (void)!send(fds[i], hello + tick, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
            }
        }
        assert_true(pti_now_ns() - begun < PTT_LONG * PTI_NS_PER_MS);
    }
    assert_true(pti_now_ns() - begun >= 4 * PTI_NS_PER_S);
    assert_memory_as_before(queue, before);
    ptq_queue_close(queue);
    attacked_fini(&attacked);
}

/* ---- what each attack costs */

struct attack {
    const char *name;
    void (*begin)(void);
    void (*step)(unsigned turn); /* again and again, by a process of its own */
    unsigned gap_us;             /* between two; 0: as fast as it can */
};

static void begin_nothing(void)
{
}

static void sleep_on(unsigned turn)
{
    (void)turn;
    usleep(100000);
}

static int quiet_fds[SILENT];

/* They come again when they are closed. */
static void keep_silent(unsigned turn)
{
    char address[32], byte;

    for (unsigned i = 0; i < SILENT; i++) {
        bool gone = quiet_fds[i] > 0 && recv(quiet_fds[i], &byte, 1, MSG_DONTWAIT) >= 0;
        if (turn > 0 && !gone)
            continue;
        if (quiet_fds[i] > 0)
            close(quiet_fds[i]);
        snprintf(address, sizeof address, "127.0.1.%u", 1 + i % 5);
        quiet_fds[i] = dial_tcp(address);
    }
    usleep(20000);
}

static void wait_connected(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    struct linger at_once = {.l_onoff = 1};

    (void)!poll(&one, 1, 100);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once); /* no port is kept */
}

static void dial_and_close(unsigned turn)
{
    char address[32];

    snprintf(address, sizeof address, "127.0.1.%u", 1 + turn % 4);
    int fd = dial_tcp(address);
    wait_connected(fd);
    close(fd);
}

static void say_garbage(unsigned turn)
{
    static uint8_t bytes[20000];
    char address[32], rest[600];

    snprintf(address, sizeof address, "127.0.1.%u", 1 + turn % 4);
    int fd = dial_tcp(address);
    wait_connected(fd);
    memset(bytes, (int)(turn & 255), sizeof bytes);
    (void)!send(fd, bytes, sizeof bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    struct pollfd one = {.fd = fd, .events = POLLIN};
    (void)!poll(&one, 1, 100);
    (void)!recv(fd, rest, sizeof rest, MSG_DONTWAIT);
    close(fd);
}

static void fuzz_after_hello(unsigned turn)
{
    static struct fuzz fuzz = {.seed = 99, .spoil = 20, .channels = 3};
    static uint8_t bytes[60 * FUZZ_FRAME];
    char address[32], rest[6000];

    snprintf(address, sizeof address, "127.0.1.%u", 1 + turn % 4);
    int fd = dial_tcp(address);
    wait_connected(fd);
    size_t size = fuzz_begin(&fuzz, bytes);
    for (int i = 0; i < 50; i++)
        size += fuzz_frame(&fuzz, bytes + size);
    (void)!send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    struct pollfd one = {.fd = fd, .events = POLLIN};
    while (poll(&one, 1, 100) == 1 && recv(fd, rest, sizeof rest, MSG_DONTWAIT) > 0)
        ;
    close(fd);
}

static int flood_fd;
static uint8_t flood_bytes[16 * FUZZ_FRAME];
static size_t flood_size;

static void begin_flood(void)
{
    struct fuzz fuzz = {.seed = 5, .spoil = 1000000, .channels = 3};

    flood_fd = dial_tcp("127.0.1.1");
    wait_connected(flood_fd);
    size_t size = fuzz_begin(&fuzz, flood_bytes);
    (void)!send(flood_fd, flood_bytes, size, MSG_NOSIGNAL);
    for (flood_size = 0; flood_size < 8000;) {
        struct pti_frame frame = {.version = 2, .type = PTI_FRAME_DIRECTORY, .channel = 9, .number = 1};
        frame.length = (uint32_t)pti_directory_ask_pack(&(struct pti_directory_ask){0}, flood_bytes + flood_size + PTI_FRAME_HEADER, 64);
        pti_frame_seal(flood_bytes + flood_size, &frame);
        flood_size += PTI_FRAME_HEADER + frame.length;
        flood_size += fuzz_ping(flood_bytes + flood_size, 7);
    }
}

static void ask_listings(unsigned turn)
{
    static size_t at;
    char rest[65536];
    struct pollfd one = {.fd = flood_fd, .events = POLLIN | POLLOUT};
    (void)turn;

    (void)!poll(&one, 1, 100);
    while (recv(flood_fd, rest, sizeof rest, MSG_DONTWAIT) > 0)
        ;
    ssize_t part = send(flood_fd, flood_bytes + at, flood_size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
    at = part > 0 ? at + (size_t)part : at;
    at = at == flood_size ? 0 : at;
    if (part <= 0)
        usleep(1000);
}

static const struct attack attacks[] = {{"none", begin_nothing, sleep_on, 0},
                                        {"500 silent links", begin_nothing, keep_silent, 0},
                                        {"links, opened and closed", begin_nothing, dial_and_close, 0},
                                        {"garbage, a link each", begin_nothing, say_garbage, 0},
                                        {"fuzzed frames after HELLO", begin_nothing, fuzz_after_hello, 0},
                                        {"listings and pings without end", begin_flood, ask_listings, 0}};

static int run_attack(void *context)
{
    const struct attack *attack = context;

    attack->begin();
    for (unsigned turn = 0;; turn++)
        attack->step(turn);
    return 0;
}

static double own_cpu(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

struct measuring {
    double seconds, calm_us;
    const struct attack *attack;
    int ends[2];
};

/* A good peer puts a message, takes it and acks it, at a fixed pace. */
static int measure(void *context)
{
    struct measuring *measuring = context;
    const struct attack *attack = measuring->attack;
    double seconds = measuring->seconds, *calm_us = &measuring->calm_us;
    struct timespec nap = {.tv_nsec = 500000};

    start((struct ptq_bridge_limits){0});
    ptq_queue *queue = net_open(attacked.there, "good@home", NULL);
    pass_one(queue);
    pid_t attacker = ptt_fork(run_attack, (void *)(uintptr_t)attack);
    int64_t end = pti_now_ns() + 4 * PTI_NS_PER_S; /* what may come at once has come */
    while (pti_now_ns() < end)
        pass_one(queue);
    struct costs before = attacked_costs(&attacked);
    double own = own_cpu();
    int64_t begun = pti_now_ns();
    uint64_t passed = 0;
    end = begun + (int64_t)(seconds * 1e9);
    for (; pti_now_ns() < end; passed++) {
        pass_one(queue);
        nanosleep(&nap, NULL);
    }
    double took = (double)(pti_now_ns() - begun) / 1e9;
    struct costs after = attacked_costs(&attacked);
    double bridge = after.cpu_s - before.cpu_s, each = bridge / (double)passed * 1e6;
    if (*calm_us == 0)
        *calm_us = each;
    printf("| %-30s | %8.0f | %6.1f | %6.1f | %5.1f %% |\n", attack->name, (double)passed / took, (own_cpu() - own) / (double)passed * 1e6,
           each, (bridge - (double)passed * *calm_us / 1e6) / took * 100);
    fflush(stdout);
    (void)!write(measuring->ends[1], calm_us, sizeof *calm_us);
    ptt_kill(attacker);
    ptq_queue_close(queue);
    attacked_fini(&attacked);
    return 0;
}

static int measure_all(double seconds, const char *only)
{
    double calm_us = 0;

    printf("| attack                         | messages/s | peer, us a message | bridge, us a message | of a core, beyond calm |\n");
    printf("|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
        struct measuring measuring = {seconds, calm_us, &attacks[i], {-1, -1}};
        if (only != NULL && strstr(attacks[i].name, only) == NULL)
            continue;
        assert_int_equal(pipe(measuring.ends), 0);
        int status = ptt_reap(ptt_fork(measure, &measuring), 60000); /* nng may run once in each */
        if (status != 0 || read(measuring.ends[0], &calm_us, sizeof calm_us) != sizeof calm_us)
            return 1;
        close(measuring.ends[0]);
        close(measuring.ends[1]);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fuzzed_frames_end_their_links_and_leave_no_memory_behind),
        cmocka_unit_test(five_hundred_that_dribble_are_closed_in_time_and_cost_nobody_anything),
    };
    struct rlimit most;

    getrlimit(RLIMIT_NOFILE, &most);
    most.rlim_cur = most.rlim_max < 8192 ? most.rlim_max : 8192;
    setrlimit(RLIMIT_NOFILE, &most);
    if (argc > 1 && strcmp(argv[1], "--measure") == 0)
        return measure_all(argc > 2 ? atof(argv[2]) : 4, argc > 3 ? argv[3] : NULL);
    if (argc > 2 && strcmp(argv[1], "--frames") == 0)
        asked_frames = strtoull(argv[2], NULL, 10);
    int failed = ptt_run_beside(tests, 1, 1); /* nng may run once in each process */
    if (asked_frames == 0)
        failed += ptt_run_beside(tests + 1, 1, 1);
    return failed;
}
