/* link.c -- a stream of frames to another process: the only file that sees nng.
 *
 * Built on nng_stream, which is the transports of nng without its protocols: those drop or double messages by design.
 * Laws.  No lock is held across a call into nng that can complete an operation, so that it does not matter whether nng
 * calls back at once or from another thread.  An operation under way is counted in `busy`, from its start to the end
 * of its event; a read stays counted until it is resumed.  The last operation to end after a close tells `down`.
 */
#include "remote/link.h"

#include <arpa/inet.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>

#include "base/atomic.h"
#include "base/fork.h"
#include "base/time.h"
#include "bus/bus.h"
#include "os/unsent.h"
#include "remote/access.h"
#include "wire/limits.h"

#define DIAL_MS 3000
#define ACCEPT_REST_MS 100
#define LIVELY_BYTES 1024u
#define OUT_FIRST (16u << 10)
#define OUT_MOST (256u << 10)
#define UNSENT_MOST (128u << 10)
#define SLOW_NS (40 * PTI_NS_PER_MS) /* what takes longer to be written is halved: others wait behind it */

struct pti_link {
    nng_stream *stream;
    nng_stream_dialer *dialer;
    nng_aio *dial, *receive, *send;
    struct pti_link_events events;
    void *context;
    struct pti_frame_reader reader; /* of who reads: the receive event, then the owner until resume */
    size_t partial;                 /* bytes of an incomplete frame, when it last was lively */
    bool framed;                    /* a frame was read since */
    uint8_t *out;                   /* of who sends */
    size_t out_room, out_size, out_at;
    size_t out_most; /* so much is written at once */
    int64_t out_since;

    pthread_mutex_t mutex; /* the rest */
    unsigned busy;
    _Atomic bool heard; /* anything at all came over it */
    bool standing, sending, wanted, closed, told, distrusted;
    char reason[160];
    bool tls;
    bool near; /* known otherwise than by the address of the other side, which a ws link does not tell */
};

/* ---- may nng run here? ---- */

static _Atomic uint32_t started; /* 1 + the fork generation in which it began; 0: not yet */

enum ptq_err pti_link_may_start(void)
{
    uint32_t now = pti_fork_generation() + 1, before = 0;

    return pti_cas(&started, &before, now) || before == now ? PTQ_OK : PTQ_EFORKED;
}

static enum ptq_err err_from_nng(int error)
{
    switch (error) {
    case 0:
        return PTQ_OK;
    case NNG_ENOMEM:
    case NNG_ENOFILES:
        return PTQ_ENOMEM;
    case NNG_EADDRINVAL:
    case NNG_EINVAL:
    case NNG_ENOTSUP:
        return PTQ_EINVAL;
    case NNG_EADDRINUSE:
        return PTQ_EBUSY;
    case NNG_EPERM:
        return PTQ_EPERM;
    default:
        return PTQ_EUNREACHABLE;
    }
}

/* ---- certificates ---- */

static bool is_tls(const char *url)
{
    return strncmp(url, "tls+tcp://", 10) == 0 || strncmp(url, "wss://", 6) == 0;
}

/* Both sides show a certificate, and both look whether it is of their authority.  Whom it names the dialler alone can look at, in
 * nng 1.5.2. */
static int load_tls(const char *folder, const char *name, nng_tls_mode mode, nng_tls_config **ret_config)
{
    nng_tls_config *config;
    char path[500];
    int error = nng_tls_config_alloc(&config, mode);

    if (error != 0)
        return error;
    error = nng_tls_config_version(config, NNG_TLS_1_2, NNG_TLS_1_3);
    if (error == NNG_ENOTSUP) /* mbedtls 2 has no 1.3 */
        error = nng_tls_config_version(config, NNG_TLS_1_2, NNG_TLS_1_2);
    if (error == 0)
        error = nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED);
    snprintf(path, sizeof path, "%s/ca.crt", folder);
    if (error == 0)
        error = nng_tls_config_ca_file(config, path);
    snprintf(path, sizeof path, "%s/node.pem", folder);
    if (error == 0)
        error = nng_tls_config_cert_key_file(config, path, NULL);
    if (error == 0 && name[0] != '\0')
        error = nng_tls_config_server_name(config, name);
    if (error != 0)
        nng_tls_config_free(config);
    else
        *ret_config = config;
    return error;
}

static int prepare_dialer(nng_stream_dialer *dialer, const struct pti_tls *tls)
{
    nng_tls_config *config;
    int error = load_tls(tls->folder, tls->name, NNG_TLS_MODE_CLIENT, &config);

    if (error != 0)
        return error;
    error = nng_stream_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, config);
    nng_tls_config_free(config); /* the dialer holds it */
    return error;
}

static int prepare_listener(nng_stream_listener *listener, const char *folder)
{
    nng_tls_config *config;
    int error = load_tls(folder, "", NNG_TLS_MODE_SERVER, &config);

    if (error != 0)
        return error;
    error = nng_stream_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, config);
    nng_tls_config_free(config);
    return error;
}

/* What went wrong, for people; nng's own words for certificates help nobody. */
static const char *explain(struct pti_link *link, int error)
{
    if (link->tls && (error == NNG_EPEERAUTH || error == NNG_ECRYPTO)) {
        pthread_mutex_lock(&link->mutex);
        link->distrusted |= !link->closed;
        pthread_mutex_unlock(&link->mutex);
    }
    if (link->tls && (error == NNG_EPEERAUTH || error == NNG_ECRYPTO))
        return "no tls: the certificate of one of both is of another authority, of another name, out of its time, or missing; or it is no tls";
    if (link->tls && !pti_load_relaxed(&link->heard) && (error == 0 || error == NNG_ECONNRESET || error == NNG_ECONNSHUT))
        return "the link ended before tls was agreed on: perhaps the certificate of this side is refused there, and the log there says why";
    return error == 0 ? "the other side closed the link" : nng_strerror(error);
}

/* ---- the end of operations ---- */

static void keep_reason(struct pti_link *link, const char *reason)
{
    if (link->reason[0] == '\0')
        snprintf(link->reason, sizeof link->reason, "%s", reason);
}

static void end_operation(struct pti_link *link)
{
    pthread_mutex_lock(&link->mutex);
    bool tell = --link->busy == 0 && link->closed && !link->told;
    link->told |= tell;
    pthread_mutex_unlock(&link->mutex);
    if (tell)
        link->events.down(link->context, link);
}

/* False: it is closed, and nothing may begin. */
static bool begin_operation(struct pti_link *link)
{
    pthread_mutex_lock(&link->mutex);
    bool may = !link->closed;
    link->busy += may;
    pthread_mutex_unlock(&link->mutex);
    return may;
}

void pti_link_close(struct pti_link *link, const char *reason)
{
    pthread_mutex_lock(&link->mutex);
    bool first = !link->closed;
    link->closed = true;
    keep_reason(link, reason);
    nng_stream *stream = link->stream;
    pthread_mutex_unlock(&link->mutex);
    if (!first)
        return;
    if (stream != NULL)
        nng_stream_close(stream);
    if (link->dialer != NULL)
        nng_stream_dialer_close(link->dialer);
    if (link->dial != NULL)
        nng_aio_cancel(link->dial);
}

/* Scar: what is begun on a stream that was closed a moment before never ends, in nng 1.5.2: it is put into a list that
 * nobody looks at any more.  So whoever has begun looks once more, and calls it off. */
static void look_again(struct pti_link *link, nng_aio *aio)
{
    pthread_mutex_lock(&link->mutex);
    bool closed = link->closed;
    pthread_mutex_unlock(&link->mutex);
    if (closed)
        nng_aio_cancel(aio);
}

/* ---- reading ---- */

static void receive(struct pti_link *link)
{
    nng_iov iov;

    iov.iov_buf = pti_frame_reader_space(&link->reader, &iov.iov_len);
    if (iov.iov_buf == NULL || nng_aio_set_iov(link->receive, 1, &iov) != 0) {
        pti_link_close(link, "no memory");
        end_operation(link);
        return;
    }
    nng_stream_recv(link->stream, link->receive);
    look_again(link, link->receive);
}

static void on_received(void *context)
{
    struct pti_link *link = context;
    int error = nng_aio_result(link->receive);

    if (error != 0 || nng_aio_count(link->receive) == 0) {
        pti_link_close(link, explain(link, error));
        end_operation(link);
        return;
    }
    pti_store_relaxed(&link->heard, true);
    pti_frame_reader_filled(&link->reader, nng_aio_count(link->receive));
    link->events.readable(link->context, link); /* from here until resume the reader is the owner's */
}

enum ptq_err pti_link_next(struct pti_link *link, struct pti_frame *ret_frame, const char **ret_reason)
{
    enum ptq_err answer = pti_frame_reader_next(&link->reader, ret_frame, ret_reason);

    link->framed |= answer == PTQ_OK;
    return answer;
}

bool pti_link_is_lively(struct pti_link *link)
{
    size_t partial = link->reader.end - link->reader.begin;
    bool lively = link->framed || partial >= link->partial + LIVELY_BYTES;

    if (lively)
        link->partial = partial;
    link->framed = false;
    return lively;
}

void pti_link_set_cap(struct pti_link *link, uint32_t cap)
{
    pti_frame_reader_set_cap(&link->reader, cap);
}

void pti_link_resume(struct pti_link *link)
{
    pthread_mutex_lock(&link->mutex);
    bool closed = link->closed;
    pthread_mutex_unlock(&link->mutex);
    if (closed)
        end_operation(link);
    else
        receive(link);
}

/* ---- writing ---- */

static void send_rest(struct pti_link *link)
{
    nng_iov iov = {.iov_buf = link->out + link->out_at, .iov_len = link->out_size - link->out_at};

    if (nng_aio_set_iov(link->send, 1, &iov) != 0) {
        pti_link_close(link, "no memory");
        end_operation(link);
        return;
    }
    nng_stream_send(link->stream, link->send);
    look_again(link, link->send);
}

/* A buffer that was nearly filled doubles; what does not come stays small. */
static bool make_room(struct pti_link *link)
{
    size_t wanted = link->out_room == 0                              ? OUT_FIRST
                    : link->out_size * 4 > link->out_room * 3 ? link->out_room * 2
                                                                     : link->out_room;

    wanted = wanted < OUT_MOST ? wanted : OUT_MOST;
    if (wanted == link->out_room)
        return true;
    uint8_t *grown = realloc(link->out, wanted);
    if (grown == NULL)
        return link->out != NULL;
    link->out = grown;
    link->out_room = wanted;
    return true;
}

/* As much at once as the link takes in a moment: what has haste comes with the next. */
static void pace(struct pti_link *link)
{
    int64_t took = pti_now_ns() - link->out_since;

    if (took > SLOW_NS && link->out_most > OUT_FIRST)
        link->out_most /= 2;
    else if (took < SLOW_NS / 4 && link->out_most < OUT_MOST)
        link->out_most *= 2;
}

static size_t fill(struct pti_link *link)
{
    if (link->out_size >= OUT_FIRST)
        pace(link);
    link->out_since = pti_now_ns();
    return link->events.fill(link->context, link->out, link->out_room < link->out_most ? link->out_room : link->out_most);
}

/* The sender asks for more until there is none; who kicks meanwhile only leaves word. */
static void pump(struct pti_link *link)
{
    for (;;) {
        pthread_mutex_lock(&link->mutex);
        link->wanted = false;
        bool closed = link->closed;
        pthread_mutex_unlock(&link->mutex);
        if (!closed && !make_room(link))
            pti_link_close(link, "no memory");
        link->out_at = 0;
        link->out_size = closed || link->out == NULL ? 0 : fill(link);
        if (link->out_size > 0) {
            send_rest(link);
            return;
        }
        pthread_mutex_lock(&link->mutex);
        bool done = link->closed || !link->wanted;
        link->sending = !done;
        pthread_mutex_unlock(&link->mutex);
        if (done) {
            end_operation(link);
            return;
        }
    }
}

static void on_sent(void *context)
{
    struct pti_link *link = context;
    int error = nng_aio_result(link->send);

    if (error != 0) {
        pti_link_close(link, explain(link, error));
        end_operation(link); /* `sending` stays: nobody begins again */
        return;
    }
    link->out_at += nng_aio_count(link->send);
    if (link->out_at < link->out_size)
        send_rest(link);
    else
        pump(link);
}

void pti_link_kick(struct pti_link *link)
{
    pthread_mutex_lock(&link->mutex);
    link->wanted = true;
    bool begin = link->standing && !link->sending && !link->closed;
    link->sending |= begin;
    link->busy += begin;
    pthread_mutex_unlock(&link->mutex);
    if (begin)
        pump(link);
}

bool pti_link_is_drained(struct pti_link *link)
{
    pthread_mutex_lock(&link->mutex);
    bool drained = link->closed || (!link->sending && !link->wanted);
    pthread_mutex_unlock(&link->mutex);
    return drained;
}

/* ---- life ---- */

static struct pti_link *new_link(void)
{
    struct pti_link *link = calloc(1, sizeof *link);

    if (link == NULL)
        return NULL;
    pthread_mutex_init(&link->mutex, NULL);
    link->out_most = OUT_MOST;
    pti_frame_reader_init(&link->reader, PTI_WIRE_FRAME_FIRST);
    if (nng_aio_alloc(&link->receive, on_received, link) != 0 || nng_aio_alloc(&link->send, on_sent, link) != 0) {
        pti_link_free(link);
        return NULL;
    }
    return link;
}

static void stop_aio(nng_aio *aio)
{
    if (aio == NULL)
        return;
    nng_aio_stop(aio);
    nng_aio_free(aio);
}

void pti_link_free(struct pti_link *link)
{
    if (link == NULL)
        return;
    pti_link_close(link, "freed");
    stop_aio(link->dial);
    stop_aio(link->receive);
    stop_aio(link->send);
    if (link->stream != NULL)
        nng_stream_free(link->stream);
    if (link->dialer != NULL)
        nng_stream_dialer_free(link->dialer);
    pti_frame_reader_fini(&link->reader);
    pthread_mutex_destroy(&link->mutex);
    free(link->out);
    free(link);
}

static bool read_address(nng_stream *stream, const char *which, struct sockaddr_storage *ret_address)
{
    nng_sockaddr address = {0};
    struct sockaddr_in *in = (void *)ret_address;
    struct sockaddr_in6 *in6 = (void *)ret_address;

    memset(ret_address, 0, sizeof *ret_address);
    if (nng_stream_get_addr(stream, which, &address) != 0)
        return false;
    if (address.s_family == NNG_AF_INET) {
        *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = address.s_in.sa_port};
        in->sin_addr.s_addr = address.s_in.sa_addr;
    } else if (address.s_family == NNG_AF_INET6) {
        *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = address.s_in6.sa_port};
        memcpy(&in6->sin6_addr, address.s_in6.sa_addr, sizeof in6->sin6_addr);
    }
    return ret_address->ss_family != AF_UNSPEC;
}

/* Small frames must not wait for each other's acknowledgement. */
static void set_options(nng_stream *stream)
{
    nng_stream_set_bool(stream, NNG_OPT_TCP_NODELAY, true);
    nng_stream_set_bool(stream, NNG_OPT_TCP_KEEPALIVE, true);
}

/* ... nor behind what the kernel has taken and not sent. */
static void limit_unsent(nng_stream *stream)
{
    struct sockaddr_storage here, there;

    if (read_address(stream, NNG_OPT_LOCADDR, &here) && read_address(stream, NNG_OPT_REMADDR, &there))
        pti_unsent_limit((struct sockaddr *)&here, (struct sockaddr *)&there, UNSENT_MOST);
}

/* Scar: the descriptor is looked for among all, which a stranger's link is not worth: with 1,000 open, half a millisecond. */
void pti_link_settle(struct pti_link *link)
{
    if (link->stream != NULL)
        limit_unsent(link->stream);
}

/* Stands from now on: reading begins, and what was kicked before is sent. */
static void stand(struct pti_link *link)
{
    pthread_mutex_lock(&link->mutex);
    link->standing = true;
    pthread_mutex_unlock(&link->mutex);
    if (begin_operation(link))
        receive(link);
    pti_link_kick(link);
}

static void on_dialled(void *context)
{
    struct pti_link *link = context;
    int error = nng_aio_result(link->dial);

    if (error == 0) {
        nng_stream *stream = nng_aio_get_output(link->dial, 0);
        set_options(stream);
        limit_unsent(stream);
        pthread_mutex_lock(&link->mutex);
        link->stream = stream;
        bool closed = link->closed;
        pthread_mutex_unlock(&link->mutex);
        if (closed) {
            nng_stream_close(stream);
        } else {
            link->events.up(link->context, link);
            stand(link);
        }
    } else {
        pti_link_close(link, explain(link, error));
    }
    end_operation(link);
}

enum ptq_err pti_link_dial(const char *url, const struct pti_tls *tls, const struct pti_link_events *events, void *context,
                           struct pti_link **ret_link)
{
    enum ptq_err may = pti_link_may_start();

    if (may != PTQ_OK)
        return may;
    struct pti_link *link = new_link();
    if (link == NULL)
        return PTQ_ENOMEM;
    int error = nng_stream_dialer_alloc(&link->dialer, url);
    link->tls = is_tls(url);
    if (error == 0 && link->tls)
        error = tls != NULL ? prepare_dialer(link->dialer, tls) : NNG_EPEERAUTH;
    if (error == 0)
        error = nng_aio_alloc(&link->dial, on_dialled, link);
    if (error != 0) {
        pti_link_free(link);
        return err_from_nng(error);
    }
    link->near = strncmp(url, "ws://", 5) == 0 && pti_access_is_near_ws(url);
    link->events = *events;
    link->context = context;
    link->busy = 1;
    *ret_link = link; /* before any event */
    if (!link->tls) /* Scar: it wedges a tls stream, in nng 1.5.2; who dials looks at his own clock */
        nng_aio_set_timeout(link->dial, DIAL_MS);
    nng_stream_dialer_dial(link->dialer, link->dial);
    return PTQ_OK;
}

void pti_link_start(struct pti_link *link, const struct pti_link_events *events, void *context)
{
    link->events = *events;
    link->context = context;
    stand(link);
}

void pti_link_reason(struct pti_link *link, char *buffer, size_t size)
{
    pthread_mutex_lock(&link->mutex);
    snprintf(buffer, size, "%s", link->reason);
    pthread_mutex_unlock(&link->mutex);
}

/* ---- addresses ---- */

void pti_link_peer(struct pti_link *link, char *buffer, size_t size)
{
    nng_sockaddr address;
    char text[INET6_ADDRSTRLEN] = "?";
    const char *scheme = link->tls ? "tls+tcp" : "tcp";

    if (link->stream == NULL || nng_stream_get_addr(link->stream, NNG_OPT_REMADDR, &address) != 0) {
        snprintf(buffer, size, "?");
    } else if (address.s_family == NNG_AF_INET) {
        inet_ntop(AF_INET, &address.s_in.sa_addr, text, sizeof text);
        snprintf(buffer, size, "%s://%s:%u", scheme, text, ntohs(address.s_in.sa_port));
    } else if (address.s_family == NNG_AF_INET6) {
        inet_ntop(AF_INET6, address.s_in6.sa_addr, text, sizeof text);
        snprintf(buffer, size, "%s://[%s]:%u", scheme, text, ntohs(address.s_in6.sa_port));
    } else if (address.s_family == NNG_AF_IPC) {
        uint64_t pid = 0;
        (void)nng_stream_get_uint64(link->stream, NNG_OPT_IPC_PEER_PID, &pid);
        snprintf(buffer, size, "ipc:pid=%llu", (unsigned long long)pid);
    } else {
        snprintf(buffer, size, "%s:%s", link->tls ? "wss" : "ws", link->near ? "loopback" : "?");
    }
}

void pti_link_origin(struct pti_link *link, char *buffer, size_t size)
{
    nng_sockaddr address = {0};
    char text[INET6_ADDRSTRLEN] = "?";

    if (link->stream == NULL || nng_stream_get_addr(link->stream, NNG_OPT_REMADDR, &address) != 0) {
        snprintf(buffer, size, "?");
    } else if (address.s_family == NNG_AF_INET) {
        inet_ntop(AF_INET, &address.s_in.sa_addr, text, sizeof text);
        snprintf(buffer, size, "%s", text);
    } else if (address.s_family == NNG_AF_INET6) {
        uint8_t net[16] = {0};
        memcpy(net, &address.s_in6.sa_addr, 8);
        inet_ntop(AF_INET6, net, text, sizeof text);
        snprintf(buffer, size, "%s/64", text);
    } else if (address.s_family == NNG_AF_IPC) {
        uint64_t uid = 0;
        (void)nng_stream_get_uint64(link->stream, NNG_OPT_IPC_PEER_UID, &uid);
        snprintf(buffer, size, "uid:%llu", (unsigned long long)uid);
    } else {
        snprintf(buffer, size, "ws"); /* nng 1.5.2 does not tell */
    }
}

static bool is_loopback(const nng_sockaddr *address)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const uint8_t *at = (const uint8_t *)address->s_in6.sa_addr;

    if (address->s_family == NNG_AF_INET)
        return ntohl(address->s_in.sa_addr) >> 24 == 127;
    return address->s_family == NNG_AF_INET6 &&
           (memcmp(at, &in6addr_loopback, 16) == 0 || (memcmp(at, mapped, 12) == 0 && at[12] == 127));
}

bool pti_link_is_near(struct pti_link *link)
{
    nng_sockaddr address = {0};

    if (link->near)
        return true;
    if (link->stream == NULL || nng_stream_get_addr(link->stream, NNG_OPT_REMADDR, &address) != 0)
        return false;
    return is_loopback(&address) || address.s_family == NNG_AF_IPC;
}

bool pti_link_is_tls(const struct pti_link *link)
{
    return link->tls;
}

bool pti_link_is_distrusted(struct pti_link *link)
{
    pthread_mutex_lock(&link->mutex);
    bool distrusted = link->distrusted;
    pthread_mutex_unlock(&link->mutex);
    return distrusted;
}

bool pti_link_is_verified(struct pti_link *link)
{
    bool verified = false;

    return link->tls && nng_stream_get_bool(link->stream, NNG_OPT_TLS_VERIFIED, &verified) == 0 && verified;
}

bool pti_link_uid(struct pti_link *link, uint64_t *ret_uid)
{
    nng_sockaddr address = {0};

    return link->stream != NULL && nng_stream_get_addr(link->stream, NNG_OPT_REMADDR, &address) == 0 && address.s_family == NNG_AF_IPC &&
           nng_stream_get_uint64(link->stream, NNG_OPT_IPC_PEER_UID, ret_uid) == 0;
}

/* ---- listening ---- */

struct pti_listener {
    nng_stream_listener *listener;
    nng_aio *accept, *nap;
    bool tls;
    bool near;    /* whoever comes over ws is of this host: no other can reach where it listens */
    int (*accepted)(void *context, struct pti_link *link);
    void *context;
    char url[256];
};

/* Meanwhile who comes waits in the kernel.  Scar: until it wakes a sleeper nng 1.5.2 may spin for the last millisecond, so rests
 * are to be long and few. */
static void rest(struct pti_listener *listener, int ms)
{
    nng_sleep_aio(ms, listener->nap);
}

static void on_rested(void *context)
{
    struct pti_listener *listener = context;

    if (nng_aio_result(listener->nap) == 0)
        nng_stream_listener_accept(listener->listener, listener->accept);
}

static void on_accepted(void *context)
{
    struct pti_listener *listener = context;
    int error = nng_aio_result(listener->accept), rest_ms = 0;

    if (error == NNG_ECLOSED || error == NNG_ECANCELED)
        return;
    if (error != 0) { /* no descriptors, say: look again in a moment */
        (void)listener->accepted(listener->context, NULL);
        rest(listener, ACCEPT_REST_MS);
        return;
    }
    nng_stream *stream = nng_aio_get_output(listener->accept, 0);
    struct pti_link *link = new_link();
    if (link != NULL) {
        link->stream = stream;
        link->near = listener->near;
        link->tls = listener->tls;
        set_options(stream);
        rest_ms = listener->accepted(listener->context, link);
    } else {
        nng_stream_free(stream);
    }
    if (rest_ms > 0) /* meanwhile who comes waits in the kernel */
        rest(listener, rest_ms);
    else
        nng_stream_listener_accept(listener->listener, listener->accept);
}

static int port_of(const nng_sockaddr *address)
{
    if (address->s_family == NNG_AF_INET)
        return ntohs(address->s_in.sa_port);
    return address->s_family == NNG_AF_INET6 ? ntohs(address->s_in6.sa_port) : 0;
}

/* The real port in place of 0. */
static void name_listener(struct pti_listener *listener, const char *url)
{
    bool ws = strncmp(url, "ws", 2) == 0;
    size_t host = (size_t)(strstr(url, "://") + 3 - url);
    size_t where = ws ? host + strcspn(url + host, "/") : strlen(url), colon = where;
    nng_sockaddr address = {0};

    snprintf(listener->url, sizeof listener->url, "%s", url);
    if (strncmp(url, "ipc", 3) == 0 ||
        nng_stream_listener_get_addr(listener->listener, NNG_OPT_LOCADDR, &address) != 0)
        return;
    while (colon > 0 && url[colon] != ':')
        colon--;
    if (port_of(&address) > 0)
        snprintf(listener->url, sizeof listener->url, "%.*s:%d%s", (int)colon, url, port_of(&address), url + where);
    listener->near = ws && is_loopback(&address);
}

enum ptq_err pti_listener_open(const char *url, const char *folder, int (*accepted)(void *context, struct pti_link *link), void *context,
                               struct ptq_error *error, struct pti_listener **ret_listener)
{
    enum ptq_err may = pti_link_may_start();

    if (may != PTQ_OK)
        return pti_error(error, may, "cannot listen on '%s' in a forked child of a process that used nng", url);
    struct pti_listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        return pti_error(error, PTQ_ENOMEM, "no memory to listen on '%s'", url);
    listener->accepted = accepted;
    listener->context = context;
    int result = nng_stream_listener_alloc(&listener->listener, url);
    listener->tls = is_tls(url);
    if (result == 0 && listener->tls)
        result = prepare_listener(listener->listener, folder);
    if (result == 0)
        result = nng_aio_alloc(&listener->accept, on_accepted, listener);
    if (result == 0)
        result = nng_aio_alloc(&listener->nap, on_rested, listener);
    if (result == 0) {
        nng_stream_listener_set_bool(listener->listener, NNG_OPT_TCP_NODELAY, true);
        nng_stream_listener_set_int(listener->listener, NNG_OPT_IPC_PERMISSIONS, 0600); /* this user alone */
        result = nng_stream_listener_listen(listener->listener);
    }
    if (result != 0) {
        pti_listener_close(listener);
        return pti_error(error, err_from_nng(result), "cannot listen on '%s': %s", url, nng_strerror(result));
    }
    name_listener(listener, url);
    *ret_listener = listener;
    nng_stream_listener_accept(listener->listener, listener->accept);
    return PTQ_OK;
}

const char *pti_listener_url(const struct pti_listener *listener)
{
    return listener->url;
}

void pti_listener_close(struct pti_listener *listener)
{
    if (listener == NULL)
        return;
    if (listener->listener != NULL)
        nng_stream_listener_close(listener->listener);
    if (listener->nap != NULL)
        nng_aio_stop(listener->nap); /* accepts nothing more; nor does what is being accepted rest */
    stop_aio(listener->accept);
    stop_aio(listener->nap);
    if (listener->listener != NULL)
        nng_stream_listener_free(listener->listener);
    free(listener);
}

/* ---- time ---- */

struct pti_ticker {
    nng_aio *sleep;
    int (*tick)(void *context);
    void *context;
    pthread_mutex_t mutex;
    bool again, stopped;
};

/* Law: the sleep begins under the mutex, and a poke takes it: no poke falls between the look at `again` and the sleep.
 */
static void on_tick(void *context)
{
    struct pti_ticker *ticker = context;

    for (;;) {
        pthread_mutex_lock(&ticker->mutex);
        ticker->again = false;
        bool stopped = ticker->stopped;
        pthread_mutex_unlock(&ticker->mutex);
        if (stopped)
            return;
        int wait_ms = ticker->tick(ticker->context);
        pthread_mutex_lock(&ticker->mutex);
        bool again = ticker->again;
        if (!again && !ticker->stopped)
            nng_sleep_aio(wait_ms < 0 ? INT_MAX : wait_ms, ticker->sleep);
        pthread_mutex_unlock(&ticker->mutex);
        if (!again)
            return;
    }
}

enum ptq_err pti_ticker_start(int (*tick)(void *context), void *context, struct pti_ticker **ret_ticker)
{
    enum ptq_err may = pti_link_may_start();

    if (may != PTQ_OK)
        return may;
    struct pti_ticker *ticker = calloc(1, sizeof *ticker);
    if (ticker == NULL || nng_aio_alloc(&ticker->sleep, on_tick, ticker) != 0) {
        free(ticker);
        return PTQ_ENOMEM;
    }
    ticker->tick = tick;
    ticker->context = context;
    pthread_mutex_init(&ticker->mutex, NULL);
    *ret_ticker = ticker;
    nng_sleep_aio(0, ticker->sleep);
    return PTQ_OK;
}

void pti_ticker_poke(struct pti_ticker *ticker)
{
    pthread_mutex_lock(&ticker->mutex);
    ticker->again = true;
    nng_aio_cancel(ticker->sleep);
    pthread_mutex_unlock(&ticker->mutex);
}

void pti_ticker_stop(struct pti_ticker *ticker)
{
    if (ticker == NULL)
        return;
    pthread_mutex_lock(&ticker->mutex);
    ticker->stopped = true;
    pthread_mutex_unlock(&ticker->mutex);
    nng_aio_stop(ticker->sleep);
}

void pti_ticker_free(struct pti_ticker *ticker)
{
    if (ticker == NULL)
        return;
    pti_ticker_stop(ticker);
    nng_aio_free(ticker->sleep);
    pthread_mutex_destroy(&ticker->mutex);
    free(ticker);
}
