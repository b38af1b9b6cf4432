/* renew.c -- certificates that are renewed while a bridge runs: reload takes them over for those who come then.  If they are bad the old ones
 * stay.
 *
 * Keys need none of this: they are read at each greeting.  Nor does who dials: it reads its certificate each time.
 */
#include "remote/renew.h"

#include <time.h>

#include "remote/access.h"
#include "remote/server.h"

#define SOON_DAYS 30
#define DAY_S 86400

static void tell_when_it_ends(struct pti_server *server)
{
    char when[40];
    int64_t left = server->certs.until - (int64_t)time(NULL);

    if (server->certs.until == 0 || left >= (int64_t)SOON_DAYS * DAY_S)
        return;
    pti_certs_time(server->certs.until, when);
    if (left < 0)
        pti_server_log(server, PTQ_BRIDGE_ERROR, "component=keys event=certificate_ended until=\"%s\" effect=\"nobody believes it\" "
                                                 "do=\"bring another, then SIGHUP\"", when);
    else
        pti_server_log(server, PTQ_BRIDGE_WARNING, "component=keys event=certificate_ends until=\"%s\" days=%lld do=\"bring another, then SIGHUP\"",
                       when, (long long)(left / DAY_S));
}

void pti_renewal_begin(struct pti_server *server)
{
    struct ptq_error error;
    int64_t since, until = 0;

    pti_certs_mark(server->bus->keys, &server->certs.mark);
    if (!pti_certs_same(&server->certs.mark, &(struct pti_certs_mark){{0}}) &&
        pti_certs_read(server->bus->keys, &error, &since, &until) == PTQ_OK)
        server->certs.until = until;
    tell_when_it_ends(server);
}

static bool any_tls(const struct ptq_bridge_options *options)
{
    bool found = false;

    for (size_t i = 0; i < options->listen_count; i++)
        found |= pti_access_is_tls(options->listen[i]);
    return found;
}

enum ptq_err pti_renewal_prepare(struct pti_server *server, const struct ptq_bridge_options *options, struct pti_renewal *ret_renewal)
{
    const char *keys = server->bus->keys;
    struct pti_renewal renewal = {.until = server->certs.until};
    bool needed = any_tls(options);

    pti_certs_mark(keys, &renewal.mark); /* first: what changes from now on is seen by the next reload */
    renewal.fresh = !pti_certs_same(&renewal.mark, &server->certs.mark);
    if (renewal.fresh && !needed) {
        if (pti_certs_check(keys, NULL, &renewal.until) != PTQ_OK)
            renewal.until = 0; /* they went or are bad, and nobody misses them: as at a start */
    } else if (renewal.fresh) {
        enum ptq_err answer = pti_certs_check(keys, options->error, &renewal.until);
        if (answer == PTQ_OK)
            answer = pti_shown_load(keys, options->error, &renewal.shown);
        if (answer != PTQ_OK)
            return answer;
    }
    *ret_renewal = renewal;
    return PTQ_OK;
}

void pti_renewal_take(struct pti_server *server, const struct pti_renewal *renewal)
{
    char when[40];

    for (size_t i = 0; i < server->listeners.count && renewal->shown != NULL; i++) {
        struct pti_listener *listener = server->listeners.items[i];
        if (pti_listener_is_tls(listener) && pti_listener_show(listener, renewal->shown) != PTQ_OK)
            pti_server_log(server, PTQ_BRIDGE_ERROR, "component=keys event=not_renewed url=%s do=\"restart: this nng shows others only then\"",
                           pti_listener_url(listener));
    }
    server->certs.mark = renewal->mark;
    server->certs.until = renewal->until;
    if (renewal->fresh && renewal->until != 0)
        pti_server_log(server, PTQ_BRIDGE_INFO, "component=keys event=certificates_renewed until=\"%s\"", pti_certs_time(renewal->until, when));
    tell_when_it_ends(server);
}

void pti_renewal_drop(struct pti_renewal *renewal)
{
    if (renewal->shown != NULL)
        pti_shown_drop(renewal->shown);
    renewal->shown = NULL;
}
