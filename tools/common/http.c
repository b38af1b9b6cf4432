/* http.c -- answers GET: connections that are read, written, and waited for until the far side has closed. */
#include "common/http.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/listen.h"

#define CONNECTIONS 32
#define REQUEST_MS 5000
#define ANSWER_MS 10000 /* for all of it, however slowly it is read */
#define LINGER_MS 1000
#define LINGER_BYTES 65536
#define SPARED_MS 50   /* a new connection is not sent away before that, whoever waits */
#define STALLED_MS 500 /* nor one that is written to, unless it has not read for so long */
#define EXHAUSTED_MS 100

struct http_page {
    unsigned holders;
    int status;
    const char *type;
    char *text;
    size_t size;
};

/* LINGERING: all was said; what still comes is read and dropped, so that what was sent is not torn away by a reset. */
enum state { FREE = 0, READING, WRITING, LINGERING };

struct connection {
    int fd;
    enum state state;
    int64_t spared_until, until; /* ms: from then on it may be sent away where another waits; it ends in any case */
    char bytes[REQUEST_HEAD_MOST];
    size_t got, dropped;
    char head[400];
    size_t head_size, sent, body_size;
    struct http_page *page;
};

struct http {
    struct http_options options;
    struct listen listen;
    pthread_t thread;
    int stop_fd;
    int64_t accept_at; /* there were no descriptors */
    struct connection connections[CONNECTIONS];
};

/* ---- pages ---- */

struct http_page *http_page_new(int status, const char *type, char *text, size_t size)
{
    struct http_page *page = text != NULL ? malloc(sizeof *page) : NULL;

    if (page == NULL) {
        free(text);
        return NULL;
    }
    *page = (struct http_page){1, status, type, text, size};
    return page;
}

struct http_page *http_page_hold(struct http_page *page)
{
    page->holders++;
    return page;
}

void http_page_drop(struct http_page *page)
{
    if (page == NULL || --page->holders > 0)
        return;
    free(page->text);
    free(page);
}

static const char *phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {{200, "OK"}, {400, "Bad Request"}, {404, "Not Found"}, {405, "Method Not Allowed"}, {408, "Request Timeout"},
                   {414, "URI Too Long"}, {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
                   {503, "Service Unavailable"}, {505, "HTTP Version Not Supported"}};

    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        if (phrases[i].status == status)
            return phrases[i].phrase;
    }
    return "Unknown";
}

/* "why", and what there is. */
static struct http_page *make_excuse(const struct http *http, int status, const char *why)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    if (file == NULL)
        return NULL;
    fprintf(file, "%s: %s; ask by GET for\n", http->options.program, why);
    for (const struct http_route *route = http->options.routes; route->path != NULL; route++)
        fprintf(file, "%-12s%s\n", route->path, route->what);
    if (fclose(file) == 0)
        return http_page_new(status, HTTP_TEXT, text, size);
    free(text);
    return NULL;
}

static struct http_page *make_page(const struct http *http, const struct request *request)
{
    char why[REQUEST_PATH_MOST + 40];

    for (const struct http_route *route = http->options.routes; route->path != NULL; route++) {
        if (strcmp(route->path, request->path) == 0)
            return route->make(http->options.context, request);
    }
    snprintf(why, sizeof why, "there is no page %s", request->path);
    return make_excuse(http, 404, why);
}

/* ---- one connection ---- */

static void end_connection(struct connection *connection)
{
    close(connection->fd);
    http_page_drop(connection->page);
    connection->page = NULL;
    connection->state = FREE;
}

static void begin_answer(struct http *http, struct connection *connection, int status, const struct request *request, const char *why)
{
    struct http_page *page = status == 200 ? make_page(http, request) : make_excuse(http, status, why);

    if (page == NULL) { /* no memory: not even for saying so */
        end_connection(connection);
        return;
    }
    connection->page = page;
    connection->body_size = request->head_only ? 0 : page->size;
    connection->head_size =
        (size_t)snprintf(connection->head, sizeof connection->head,
                         "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%sVary: Accept\r\nCache-Control: no-store\r\n"
                         "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
                         page->status, phrase(page->status), page->type, page->size, page->status == 405 ? "Allow: GET, HEAD\r\n" : "");
    connection->sent = 0;
    connection->state = WRITING;
    connection->spared_until = tool_now_ms() + STALLED_MS;
    connection->until = tool_now_ms() + ANSWER_MS;
}

static void begin_to_linger(struct connection *connection)
{
    http_page_drop(connection->page);
    connection->page = NULL;
    connection->state = LINGERING;
    connection->dropped = 0;
    connection->spared_until = 0;
    connection->until = tool_now_ms() + LINGER_MS;
    shutdown(connection->fd, SHUT_WR);
}

static bool would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* What is next of head and body. */
static void write_some(struct connection *connection)
{
    while (connection->sent < connection->head_size + connection->body_size) {
        bool in_head = connection->sent < connection->head_size;
        const char *at = in_head ? connection->head + connection->sent : connection->page->text + (connection->sent - connection->head_size);
        size_t size = in_head ? connection->head_size - connection->sent : connection->head_size + connection->body_size - connection->sent;
        bool more = in_head && connection->body_size > 0;
        ssize_t sent = send(connection->fd, at, size, MSG_NOSIGNAL | (more ? MSG_MORE : 0));

        if (sent < 0) {
            if (!would_block())
                end_connection(connection);
            return;
        }
        connection->sent += (size_t)sent;
        connection->spared_until = tool_now_ms() + STALLED_MS;
    }
    begin_to_linger(connection);
}

static void read_some(struct http *http, struct connection *connection)
{
    struct request request = {0};
    const char *why = "";
    ssize_t got = recv(connection->fd, connection->bytes + connection->got, sizeof connection->bytes - connection->got, 0);

    if (got <= 0) {
        if (got == 0 || !would_block())
            end_connection(connection);
        return;
    }
    connection->got += (size_t)got;
    int status = request_read(connection->bytes, connection->got, &request, &why);
    if (status == 0)
        return;
    begin_answer(http, connection, status, &request, why);
    if (connection->state == WRITING)
        write_some(connection);
}

static void drop_some(struct connection *connection)
{
    char bytes[4096];
    ssize_t got = recv(connection->fd, bytes, sizeof bytes, 0);

    if (got < 0 && would_block())
        return;
    connection->dropped += got > 0 ? (size_t)got : 0;
    if (got <= 0 || connection->dropped > LINGER_BYTES)
        end_connection(connection);
}

/* Its time is over. */
static void expire(struct http *http, struct connection *connection)
{
    const struct request nothing = {0};

    if (connection->state != READING || connection->got == 0) {
        end_connection(connection);
        return;
    }
    begin_answer(http, connection, 408, &nothing, "the request did not come within 5 s");
    if (connection->state == WRITING)
        write_some(connection);
}

static void go_on(struct http *http, struct connection *connection)
{
    if (connection->state == READING)
        read_some(http, connection);
    else if (connection->state == WRITING)
        write_some(connection);
    else if (connection->state == LINGERING)
        drop_some(connection);
}

/* ---- all of them ---- */

static struct connection *find_free(struct http *http)
{
    for (size_t i = 0; i < CONNECTIONS; i++) {
        if (http->connections[i].state == FREE)
            return &http->connections[i];
    }
    return NULL;
}

/* Law: they who open connections and say nothing, or do not read, do not keep out those who ask. */
static struct connection *find_silent(struct http *http)
{
    struct connection *silent = &http->connections[0];

    for (size_t i = 1; i < CONNECTIONS; i++) {
        if (http->connections[i].spared_until < silent->spared_until)
            silent = &http->connections[i];
    }
    return silent;
}

/* When one more can be taken; 0: now. */
static int64_t when_to_accept(struct http *http, int64_t now)
{
    int64_t when = http->accept_at > now ? http->accept_at : 0;

    if (find_free(http) == NULL && find_silent(http)->spared_until > when)
        when = find_silent(http)->spared_until;
    return when > now ? when : 0;
}

static bool accept_one(struct http *http, int64_t now)
{
    int fd = accept4(http->listen.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct connection *connection;

    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            http->accept_at = now + EXHAUSTED_MS;
        return false;
    }
    connection = find_free(http);
    if (connection == NULL) {
        connection = find_silent(http);
        end_connection(connection);
    }
    connection->fd = fd;
    connection->state = READING;
    connection->spared_until = now + SPARED_MS;
    connection->until = now + REQUEST_MS;
    connection->got = 0;
    read_some(http, connection); /* it is mostly there */
    return true;
}

static int wait_ms(struct http *http, int64_t now, int64_t accept_when)
{
    int64_t until = accept_when > 0 ? accept_when : INT64_MAX;

    for (size_t i = 0; i < CONNECTIONS; i++) {
        if (http->connections[i].state != FREE && http->connections[i].until < until)
            until = http->connections[i].until;
    }
    return until == INT64_MAX ? -1 : until > now ? (int)(until - now) : 0;
}

/* What is polled: the stop, the listener where one more can be taken, connections that are there (more than the process may have
 * descriptors would be refused). */
static nfds_t fill_polls(struct http *http, bool accepts, struct pollfd polls[CONNECTIONS + 2], struct connection *whose[CONNECTIONS + 2])
{
    nfds_t count = 0;

    polls[count++] = (struct pollfd){.fd = http->stop_fd, .events = POLLIN};
    polls[count++] = (struct pollfd){.fd = accepts ? http->listen.fd : -1, .events = POLLIN};
    for (size_t i = 0; i < CONNECTIONS; i++) {
        struct connection *connection = &http->connections[i];
        if (connection->state == FREE)
            continue;
        whose[count] = connection;
        polls[count++] = (struct pollfd){.fd = connection->fd, .events = connection->state == WRITING ? POLLOUT : POLLIN};
    }
    return count;
}

static void run_round(struct http *http)
{
    const struct timespec a_while = {.tv_nsec = EXHAUSTED_MS * 1000000L};
    struct pollfd polls[CONNECTIONS + 2];
    struct connection *whose[CONNECTIONS + 2];
    int64_t now = tool_now_ms(), accept_when = when_to_accept(http, now);
    nfds_t count = fill_polls(http, accept_when == 0, polls, whose);

    if (poll(polls, count, wait_ms(http, now, accept_when)) < 0) {
        if (errno != EINTR)
            nanosleep(&a_while, NULL);
        return;
    }
    now = tool_now_ms();
    for (nfds_t i = 2; i < count; i++) {
        if (polls[i].revents != 0)
            go_on(http, whose[i]);
        if (whose[i]->state != FREE && now >= whose[i]->until)
            expire(http, whose[i]);
    }
    for (int i = 0; i < CONNECTIONS && polls[1].revents != 0 && when_to_accept(http, now) == 0 && accept_one(http, now); i++)
        ;
}

static void *serve(void *context)
{
    struct http *http = context;
    struct pollfd stop = {.fd = http->stop_fd, .events = POLLIN};

    while (poll(&stop, 1, 0) <= 0)
        run_round(http);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        if (http->connections[i].state != FREE)
            end_connection(&http->connections[i]);
    }
    return NULL;
}

/* ---- life ---- */

/* Signals are the program's. */
static bool begin_thread(struct http *http)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool begun = pthread_create(&http->thread, NULL, serve, http) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return begun;
}

enum ptq_err http_start(const struct http_options *options, char *why, size_t why_size, struct http **ret_http)
{
    struct http *http = calloc(1, sizeof *http);

    if (http == NULL) {
        snprintf(why, why_size, "no memory for pages");
        return PTQ_ENOMEM;
    }
    http->options = *options;
    http->stop_fd = -1;
    enum ptq_err answer = listen_open(options->address, options->insecure, why, why_size, &http->listen);
    if (answer != PTQ_OK) {
        free(http);
        return answer;
    }
    http->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (http->stop_fd < 0 || !begin_thread(http)) {
        snprintf(why, why_size, "no descriptor or thread for pages");
        listen_close(&http->listen);
        if (http->stop_fd >= 0)
            close(http->stop_fd);
        free(http);
        return PTQ_ESYS;
    }
    *ret_http = http;
    return PTQ_OK;
}

const char *http_url(const struct http *http)
{
    return http->listen.url;
}

void http_stop(struct http *http)
{
    const uint64_t one = 1;

    if (http == NULL)
        return;
    while (write(http->stop_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    pthread_join(http->thread, NULL);
    listen_close(&http->listen);
    close(http->stop_fd);
    free(http);
}
