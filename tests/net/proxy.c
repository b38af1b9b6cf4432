/* proxy.c -- a link with faults: one thread that forwards both ways, piece by piece. */
#include "net/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "support/ptt.h"

#define LINKS 64
#define ROOM 65536

struct pipe_link {
    int ends[2]; /* -1: free */
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

/* With a reset, as a link that breaks. */
static void cut(struct proxy_thread *thread, struct pipe_link *link)
{
    struct linger linger = {.l_onoff = 1};

    for (int i = 0; i < 2; i++) {
        setsockopt(link->ends[i], SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        close(link->ends[i]);
        link->ends[i] = -1;
    }
    atomic_fetch_add(&thread->proxy->faults, 1);
}

static void accept_link(struct proxy_thread *thread)
{
    struct sockaddr_in name = loopback(thread->port);
    int near = accept4(thread->fd, NULL, NULL, SOCK_CLOEXEC);
    int far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    for (size_t i = 0; i < LINKS && near >= 0 && far >= 0; i++) {
        struct pipe_link *link = &thread->links[i];
        if (link->ends[0] >= 0)
            continue;
        if (connect(far, (struct sockaddr *)&name, sizeof name) != 0)
            break;
        link->ends[0] = near;
        link->ends[1] = far;
        atomic_fetch_add(&thread->proxy->links, 1);
        return;
    }
    close(near);
    close(far);
}

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

static bool write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t part = send(fd, bytes, size, MSG_NOSIGNAL);
        if (part <= 0)
            return false;
        bytes += part;
        size -= (size_t)part;
    }
    return true;
}

static void forward(struct proxy_thread *thread, struct pipe_link *link, int from)
{
    struct proxy *proxy = thread->proxy;
    static _Thread_local char bytes[ROOM];
    int piece = atomic_load(&proxy->piece), delay = atomic_load(&proxy->delay_ms);
    ssize_t got = recv(link->ends[from], bytes, piece > 0 && piece < ROOM ? (size_t)piece : ROOM, 0);
    size_t at;

    if (got <= 0) {
        close(link->ends[0]);
        close(link->ends[1]);
        link->ends[0] = link->ends[1] = -1;
        return;
    }
    if (delay > 0)
        nanosleep(&(struct timespec){.tv_nsec = delay * 1000000L}, NULL);
    if (is_due(&proxy->corrupt, (size_t)got, &at)) {
        bytes[at] ^= 0x10;
        atomic_fetch_add(&proxy->faults, 1);
    }
    bool break_it = is_due(&proxy->cut_after, (size_t)got, &at);
    atomic_fetch_add(&proxy->bytes, (uint64_t)got);
    if (!write_all(link->ends[1 - from], bytes, break_it ? at : (size_t)got) || break_it)
        cut(thread, link);
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
        bool stall = atomic_load(&thread->proxy->stall);
        polls[0] = (struct pollfd){.fd = thread->fd, .events = POLLIN};
        for (size_t i = 0; i < 2 * LINKS; i++)
            polls[1 + i] = (struct pollfd){.fd = stall ? -1 : thread->links[i / 2].ends[i % 2], .events = POLLIN};
        poll(polls, 1 + 2 * LINKS, 2);
        if (atomic_load(&thread->proxy->cut) > 0)
            cut_as_told(thread);
        for (size_t i = 0; i < 2 * LINKS; i++) {
            struct pipe_link *link = &thread->links[i / 2];
            if (polls[1 + i].revents != 0 && polls[1 + i].fd == link->ends[i % 2])
                forward(thread, link, (int)(i % 2));
        }
        if (polls[0].revents != 0)
            accept_link(thread);
    }
    return NULL;
}

void proxy_start(struct proxy *proxy, const char *url)
{
    struct proxy_thread *thread = calloc(1, sizeof *thread);
    struct sockaddr_in name = loopback(0);
    socklen_t length = sizeof name;

    memset(proxy, 0, sizeof *proxy);
    proxy->thread = thread;
    thread->proxy = proxy;
    thread->port = (uint16_t)atoi(strrchr(url, ':') + 1);
    memset(thread->links, 0xff, sizeof thread->links);
    thread->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(thread->fd, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(thread->fd, 16), 0);
    getsockname(thread->fd, (struct sockaddr *)&name, &length);
    snprintf(proxy->url, sizeof proxy->url, "tcp://127.0.0.1:%u", ntohs(name.sin_port));
    assert_int_equal(pthread_create(&thread->thread, NULL, run, thread), 0);
}

void proxy_stop(struct proxy *proxy)
{
    struct proxy_thread *thread = proxy->thread;

    atomic_store(&thread->stop, true);
    pthread_join(thread->thread, NULL);
    for (size_t i = 0; i < LINKS; i++) {
        for (int end = 0; end < 2 && thread->links[i].ends[end] >= 0; end++)
            close(thread->links[i].ends[end]);
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
