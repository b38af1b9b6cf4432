/* proxy.c -- a link with faults: one thread that forwards both ways, piece by piece, and never blocks in one of them. */
#include "net/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/time.h"
#include "support/ptt.h"
#include "base/bytes.h"
#include "wire/frame.h"

#define LINKS 64
#define ROOM 65536
#define LOOK_MS 2 /* how often what it is told is looked at */

/* One direction of a link; a piece is read only when the one before has gone on. */
struct way {
    uint8_t *bytes; /* 2 * ROOM: a piece may come twice */
    size_t at, size;
    int64_t due;
    size_t header_size; /* which frame the stream is in: of its header, so much was seen */
    uint8_t header[PTI_FRAME_HEADER];
    uint32_t body_left;
    bool ended; /* its source has */
    bool over;  /* what comes more is thrown away */
    bool shut;  /* and the target knows it */
    bool stuck; /* behind a header */
};

struct pipe_link {
    int ends[2]; /* way 0 reads ends[0] and writes ends[1]; -1: free */
    struct way ways[2];
};

struct proxy_thread {
    pthread_t thread;
    struct proxy *proxy;
    int fd;
    uint16_t port; /* of the target */
    _Atomic bool stop;
    struct pipe_link links[LINKS];
};

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* ---- links ---- */

static void end_link(struct pipe_link *link)
{
    for (int i = 0; i < 2; i++) {
        close(link->ends[i]);
        free(link->ways[i].bytes);
    }
    memset(link->ways, 0, sizeof link->ways);
    link->ends[0] = link->ends[1] = -1;
}

/* With a reset, as a link that breaks. */
static void cut(struct proxy_thread *thread, struct pipe_link *link)
{
    struct linger linger = {.l_onoff = 1};

    for (int i = 0; i < 2; i++)
        setsockopt(link->ends[i], SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    end_link(link);
    atomic_fetch_add(&thread->proxy->faults, 1);
}

static struct pipe_link *free_link(struct proxy_thread *thread)
{
    for (size_t i = 0; i < LINKS; i++) {
        if (thread->links[i].ends[0] < 0)
            return &thread->links[i];
    }
    return NULL;
}

/* The target may be slow to answer: it is dialled without waiting. */
static void accept_link(struct proxy_thread *thread)
{
    struct sockaddr_in name = loopback(thread->port);
    struct pipe_link *link = free_link(thread);
    int near = accept4(thread->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (link == NULL || near < 0 || far < 0 ||
        (connect(far, (struct sockaddr *)&name, sizeof name) != 0 && errno != EINPROGRESS)) {
        close(near);
        close(far);
        return;
    }
    link->ends[0] = near;
    link->ends[1] = far;
    for (int i = 0; i < 2; i++)
        link->ways[i].bytes = malloc(2 * ROOM);
    atomic_fetch_add(&thread->proxy->links, 1);
}

/* ---- what is told ---- */

/* Counts down to a fault; true when it is due within the next `size` bytes, *ret_at of them before it. */
static bool is_due(_Atomic int64_t *counter, size_t size, size_t *ret_at)
{
    int64_t left = atomic_load(counter);

    if (left <= 0)
        return false;
    if (left > (int64_t)size) {
        atomic_fetch_sub(counter, (int64_t)size);
        return false;
    }
    atomic_store(counter, 0);
    *ret_at = (size_t)left - 1;
    return true;
}

/* Goes on along the frames of the stream; how many of the bytes may go on: all, or up to the header that is to be the last. */
static size_t follow(struct way *way, _Atomic int *headers_left, const uint8_t *bytes, size_t size)
{
    size_t done = 0;

    while (done < size) {
        bool in_header = way->header_size < PTI_FRAME_HEADER;
        size_t left = in_header ? PTI_FRAME_HEADER - way->header_size : way->body_left;
        size_t now = left < size - done ? left : size - done;
        if (in_header) {
            memcpy(way->header + way->header_size, bytes + done, now);
            way->header_size += now;
        } else {
            way->body_left -= (uint32_t)now;
        }
        done += now;
        if (in_header && way->header_size == PTI_FRAME_HEADER) {
            way->body_left = pti_fetch32(way->header + 8);
            if (atomic_load(headers_left) > 0 && atomic_fetch_sub(headers_left, 1) == 1) {
                way->stuck = true;
                return done;
            }
        }
        if (way->header_size == PTI_FRAME_HEADER && way->body_left == 0)
            way->header_size = 0;
    }
    return size;
}

/* What becomes of the piece that was read; false: the link is cut behind it. */
static bool spoil(struct proxy *proxy, struct way *way, struct proxy_way *told)
{
    uint64_t faults = 0;
    size_t at, size = follow(way, &told->stall_after_header, way->bytes, way->size);

    faults += size < way->size || way->stuck;
    if (is_due(&told->truncate, size, &at)) {
        size = at;
        faults++;
    }
    if (is_due(&proxy->corrupt, size, &at)) {
        way->bytes[at] ^= 0x10;
        faults++;
    }
    if (is_due(&told->duplicate, size, &at)) {
        memcpy(way->bytes + size, way->bytes + at, size - at);
        size += size - at;
        faults++;
    }
    if (is_due(&told->half_close, size, &at)) {
        size = at;
        way->over = true;
        faults++;
    }
    bool whole = !is_due(&proxy->cut_after, size, &at);
    way->size = whole ? size : at;
    atomic_fetch_add(&proxy->faults, faults);
    return whole;
}

/* ---- forwarding ---- */

/* The end of a direction goes on behind its last byte; with both, the link has ended. */
static void pass_end(struct pipe_link *link, int from)
{
    struct way *way = &link->ways[from];

    if (!way->over || way->shut || way->size > 0)
        return;
    shutdown(link->ends[1 - from], SHUT_WR);
    way->shut = true;
    if (link->ways[1 - from].shut)
        end_link(link);
}

static void write_piece(struct proxy_thread *thread, struct pipe_link *link, int from)
{
    struct way *way = &link->ways[from];
    ssize_t sent = send(link->ends[1 - from], way->bytes + way->at, way->size, MSG_NOSIGNAL);

    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (sent < 0) {
        end_link(link);
        return;
    }
    way->at += (size_t)sent;
    way->size -= (size_t)sent;
    atomic_fetch_add(&thread->proxy->bytes, (uint64_t)sent);
    pass_end(link, from);
}

static void read_piece(struct proxy_thread *thread, struct pipe_link *link, int from)
{
    struct proxy *proxy = thread->proxy;
    struct way *way = &link->ways[from];
    int piece = atomic_load(&proxy->piece);
    ssize_t got = recv(link->ends[from], way->bytes, piece > 0 && piece < ROOM ? (size_t)piece : ROOM, 0);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got < 0) {
        end_link(link);
        return;
    }
    way->ended = got == 0;
    if (way->over)
        return;
    way->over = way->ended;
    way->at = 0;
    way->size = (size_t)got;
    way->due = pti_now_ns() + atomic_load(&proxy->delay_ms) * PTI_NS_PER_MS;
    if (got > 0 && !spoil(proxy, way, &proxy->way[from])) {
        (void)!send(link->ends[1 - from], way->bytes, way->size, MSG_NOSIGNAL);
        cut(thread, link);
    } else if (way->size == 0) {
        pass_end(link, from);
    }
}

static bool may_go(const struct proxy_thread *thread, const struct pipe_link *link, int from)
{
    return link->ends[0] >= 0 && !atomic_load(&thread->proxy->stall) && !atomic_load(&thread->proxy->way[from].stall);
}

/* What a direction waits for: of its source to read, of its target to write. */
static bool wants_to_read(const struct way *way)
{
    return way->size == 0 && !way->stuck && !way->ended;
}

static bool wants_to_write(const struct way *way, int64_t now)
{
    return way->size > 0 && now >= way->due;
}

static void look_for(const struct proxy_thread *thread, const struct pipe_link *link, int64_t now, struct pollfd *polls)
{
    for (int end = 0; end < 2; end++)
        polls[end] = (struct pollfd){.fd = -1};
    for (int from = 0; from < 2; from++) {
        if (!may_go(thread, link, from))
            continue;
        polls[from].events |= wants_to_read(&link->ways[from]) ? POLLIN : 0;
        polls[1 - from].events |= wants_to_write(&link->ways[from], now) ? POLLOUT : 0;
    }
    for (int end = 0; end < 2; end++)
        polls[end].fd = polls[end].events != 0 ? link->ends[end] : -1;
}

static void forward(struct proxy_thread *thread, struct pipe_link *link, const struct pollfd *polls)
{
    int64_t now = pti_now_ns();

    for (int from = 0; from < 2; from++) {
        int in = polls[from].revents, out = polls[1 - from].revents;
        if (may_go(thread, link, from) && in != 0 && wants_to_read(&link->ways[from]))
            read_piece(thread, link, from);
        if (may_go(thread, link, from) && (in | out) != 0 && wants_to_write(&link->ways[from], now))
            write_piece(thread, link, from);
    }
}

static void cut_as_told(struct proxy_thread *thread)
{
    for (size_t i = 0; i < LINKS && atomic_load(&thread->proxy->cut) > 0; i++) {
        if (thread->links[i].ends[0] >= 0) {
            cut(thread, &thread->links[i]);
            atomic_fetch_sub(&thread->proxy->cut, 1);
        }
    }
    atomic_store(&thread->proxy->cut, 0);
}

static void *run(void *context)
{
    struct proxy_thread *thread = context;
    struct pollfd polls[1 + 2 * LINKS];

    while (!atomic_load(&thread->stop)) {
        int64_t now = pti_now_ns();
        polls[0] = (struct pollfd){.fd = thread->fd, .events = POLLIN};
        for (size_t i = 0; i < LINKS; i++)
            look_for(thread, &thread->links[i], now, &polls[1 + 2 * i]);
        poll(polls, 1 + 2 * LINKS, LOOK_MS);
        if (atomic_load(&thread->proxy->cut) > 0)
            cut_as_told(thread);
        for (size_t i = 0; i < LINKS; i++) {
            if (thread->links[i].ends[0] >= 0)
                forward(thread, &thread->links[i], &polls[1 + 2 * i]);
        }
        if (polls[0].revents != 0)
            accept_link(thread);
    }
    return NULL;
}

/* ---- life ---- */

void proxy_start(struct proxy *proxy, const char *url)
{
    struct proxy_thread *thread = calloc(1, sizeof *thread);
    struct sockaddr_in name = loopback(0);
    socklen_t length = sizeof name;

    memset(proxy, 0, sizeof *proxy);
    proxy->thread = thread;
    thread->proxy = proxy;
    thread->port = (uint16_t)atoi(strrchr(url, ':') + 1);
    for (size_t i = 0; i < LINKS; i++)
        thread->links[i].ends[0] = thread->links[i].ends[1] = -1;
    thread->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(thread->fd, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(thread->fd, 16), 0);
    getsockname(thread->fd, (struct sockaddr *)&name, &length);
    snprintf(proxy->url, sizeof proxy->url, "%.*s127.0.0.1:%u", (int)(strstr(url, "://") + 3 - url), url,
             ntohs(name.sin_port));
    assert_int_equal(pthread_create(&thread->thread, NULL, run, thread), 0);
}

void proxy_stop(struct proxy *proxy)
{
    struct proxy_thread *thread = proxy->thread;

    atomic_store(&thread->stop, true);
    pthread_join(thread->thread, NULL);
    for (size_t i = 0; i < LINKS; i++) {
        if (thread->links[i].ends[0] >= 0)
            end_link(&thread->links[i]);
    }
    close(thread->fd);
    free(thread);
    proxy->thread = NULL;
}

static bool none_left_to_cut(void *context)
{
    return atomic_load((_Atomic int *)context) == 0;
}

void proxy_cut_all(struct proxy *proxy)
{
    atomic_store(&proxy->cut, LINKS);
    assert_true(ptt_wait_until(none_left_to_cut, &proxy->cut, PTT_LONG));
}
