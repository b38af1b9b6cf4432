/* pages.c -- /healthz, /readyz, /metrics and /status of a bridge. */
#include "pages.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/told.h"

struct pages {
    ptq_bridge *bridge;
    struct http *http;
    struct told status;
    struct told_figures figures;
};

/* ---- short ones ---- */

static struct http_page *make_healthz(void *context, const struct request *request)
{
    const struct pages *pages = context;
    char why[600] = "";
    (void)request;

    bool good = ptq_bridge_alive(pages->bridge, why, sizeof why) == PTQ_OK;
    return told_short(good, good ? "ok" : "not well", why);
}

static struct http_page *make_readyz(void *context, const struct request *request)
{
    const struct pages *pages = context;
    char why[600] = "";
    (void)request;

    bool good = ptq_bridge_ready(pages->bridge, why, sizeof why) == PTQ_OK;
    return told_short(good, good ? "ready" : "not ready", why);
}

/* ---- long ones ---- */

static enum ptq_err write_status(void *context, char **ret_text, size_t *ret_size)
{
    const struct pages *pages = context;

    return ptq_bridge_status(pages->bridge, ret_text, ret_size);
}

static enum ptq_err write_figures(void *context, enum ptq_metrics_format format, char **ret_text, size_t *ret_size)
{
    const struct pages *pages = context;

    return ptq_bridge_metrics(pages->bridge, format, ret_text, ret_size);
}

static struct http_page *make_metrics(void *context, const struct request *request)
{
    struct pages *pages = context;

    return told_figures(&pages->figures, request);
}

static struct http_page *make_status(void *context, const struct request *request)
{
    struct pages *pages = context;
    (void)request;

    return told_make(&pages->status, HTTP_JSON, write_status, pages);
}

static const struct http_route routes[] = {{"/healthz", "200: the bridge lives and its threads get on; else 503 and why", make_healthz},
                                           {"/readyz", "200: it listens, and does not drain; else 503 and why", make_readyz},
                                           {"/metrics", "figures of queues and links: OpenMetrics, or Prometheus' text if Accept wants it",
                                            make_metrics},
                                           {"/status", "sessions, peers, moves, outboxes, queues, limits as JSON", make_status},
                                           {0}};

/* ---- life ---- */

enum ptq_err pages_start(ptq_bridge *bridge, const char *address, bool insecure, char *why, size_t why_size, struct pages **ret_pages)
{
    struct pages *pages = calloc(1, sizeof *pages);

    if (pages == NULL) {
        snprintf(why, why_size, "no memory for pages");
        return PTQ_ENOMEM;
    }
    pages->bridge = bridge;
    pages->figures = (struct told_figures){.write = write_figures, .context = pages};
    struct http_options options = {.address = address, .insecure = insecure, .program = "ptqbridge", .routes = routes, .context = pages};
    enum ptq_err answer = http_start(&options, why, why_size, &pages->http);
    if (answer != PTQ_OK) {
        free(pages);
        return answer;
    }
    *ret_pages = pages;
    return PTQ_OK;
}

const char *pages_url(const struct pages *pages)
{
    return http_url(pages->http);
}

void pages_stop(struct pages *pages)
{
    if (pages == NULL)
        return;
    http_stop(pages->http);
    told_fini(&pages->status);
    told_figures_fini(&pages->figures);
    free(pages);
}
