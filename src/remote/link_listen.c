/* link_listen.c -- where others may begin a link. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bus/bus.h"
#include "remote/access.h"
#include "remote/link_own.h"

#define ACCEPT_REST_MS 100

struct pti_listener {
    nng_stream_listener *listener;
    nng_aio *accept, *nap;
    bool tls;
    struct pti_shown *shown, *former; /* both held: nng's accept may still look at the one that it had */
    _Atomic bool renewed;             /* what is being accepted ends, to begin anew with what is shown now */
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

    if (error == NNG_ECANCELED && pti_exchange_seq(&listener->renewed, false)) {
        nng_stream_listener_accept(listener->listener, listener->accept);
        return;
    }
    if (error == NNG_ECLOSED || error == NNG_ECANCELED)
        return;
    if (error != 0) { /* no descriptors, say: look again in a moment */
        (void)listener->accepted(listener->context, NULL);
        rest(listener, ACCEPT_REST_MS);
        return;
    }
    nng_stream *stream = nng_aio_get_output(listener->accept, 0);
    struct pti_link *link = pti_link_new();
    if (link != NULL) {
        link->stream = stream;
        link->near = listener->near;
        link->tls = listener->tls;
        pti_link_set_options(stream);
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
    listener->near = ws && pti_link_is_loopback(&address);
}

static enum ptq_err show_first(struct pti_listener *listener, const char *folder, struct ptq_error *error)
{
    enum ptq_err answer = listener->tls ? pti_shown_load(folder, error, &listener->shown) : PTQ_OK;
    int result = answer == PTQ_OK && listener->tls ? pti_link_show(listener->listener, listener->shown) : 0;

    return result == 0 ? answer : pti_error(error, pti_link_err(result), "cannot show certificates: %s", nng_strerror(result));
}

static int begin(struct pti_listener *listener)
{
    int result = nng_aio_alloc(&listener->accept, on_accepted, listener);

    if (result == 0)
        result = nng_aio_alloc(&listener->nap, on_rested, listener);
    if (result != 0)
        return result;
    nng_stream_listener_set_bool(listener->listener, NNG_OPT_TCP_NODELAY, true);
    nng_stream_listener_set_int(listener->listener, NNG_OPT_IPC_PERMISSIONS, 0600); /* this user alone */
    return nng_stream_listener_listen(listener->listener);
}

enum ptq_err pti_listener_open(const char *url, const char *folder, int (*accepted)(void *context, struct pti_link *link), void *context,
                               struct ptq_error *error, struct pti_listener **ret_listener)
{
    enum ptq_err answer = pti_link_may_start();

    if (answer != PTQ_OK)
        return pti_error(error, answer, "cannot listen on '%s' in a forked child of a process that used nng", url);
    struct pti_listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        return pti_error(error, PTQ_ENOMEM, "no memory to listen on '%s'", url);
    listener->accepted = accepted;
    listener->context = context;
    listener->tls = pti_access_is_tls(url);
    int result = nng_stream_listener_alloc(&listener->listener, url);
    answer = result == 0 ? show_first(listener, folder, error) : PTQ_OK;
    if (result == 0 && answer == PTQ_OK)
        result = begin(listener);
    if (result != 0)
        answer = pti_error(error, pti_link_err(result), "cannot listen on '%s': %s", url, nng_strerror(result));
    if (answer != PTQ_OK) {
        pti_listener_close(listener);
        return answer;
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
    pti_aio_stop(listener->accept);
    pti_aio_stop(listener->nap);
    if (listener->listener != NULL)
        nng_stream_listener_free(listener->listener);
    pti_shown_drop(listener->shown);
    pti_shown_drop(listener->former);
    free(listener);
}

/* ---- other certificates ---- */

/* Behind a wss listener nng's server is accepting somebody already, with what was shown before: that is nobody, who leaves at once. */
static void knock(const struct pti_listener *listener)
{
    nng_sockaddr address = {0};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (nng_stream_listener_get_addr(listener->listener, NNG_OPT_LOCADDR, &address) != 0)
        return;
    bool is_v4 = address.s_family == NNG_AF_INET;
    if (is_v4) {
        v4.sin_port = address.s_in.sa_port;
        v4.sin_addr.s_addr = address.s_in.sa_addr;
    } else {
        v6.sin6_port = address.s_in6.sa_port;
        memcpy(&v6.sin6_addr, address.s_in6.sa_addr, sizeof v6.sin6_addr);
    }
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    (void)!connect(fd, is_v4 ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6, is_v4 ? sizeof v4 : sizeof v6);
    close(fd);
}

bool pti_listener_is_tls(const struct pti_listener *listener)
{
    return listener->tls;
}

enum ptq_err pti_listener_show(struct pti_listener *listener, struct pti_shown *shown)
{
    int result = pti_link_show(listener->listener, shown);

    if (result != 0)
        return pti_link_err(result);
    pti_shown_drop(listener->former);
    listener->former = listener->shown;
    listener->shown = pti_shown_hold(shown);
    if (strncmp(listener->url, "wss", 3) == 0) {
        knock(listener);
    } else {
        pti_store_seq(&listener->renewed, true);
        nng_aio_abort(listener->accept, NNG_ECANCELED);
    }
    return PTQ_OK;
}
