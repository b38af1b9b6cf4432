/* pages.c -- /healthz, /readyz, /metrics and /status of a bridge.
 *
 * Law: whoever asks often costs no more than a tenth of a processor: a page that took long to make is given again for ten times as
 * long.
 */
#include "pages.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define KEPT_MS 200
#define TIMES 10

#define OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum page { METRICS_OPEN, METRICS_PLAIN, STATUS, PAGES };

struct pages {
    ptq_bridge *bridge;
    struct http *http;
    struct kept {
        struct http_page *page; /* NULL: none */
        int64_t until;          /* ms */
    } kept[PAGES];
};

/* ---- short ones ---- */

static struct http_page *make_short(bool good, const char *word, const char *why)
{
    char text[700];
    int size = snprintf(text, sizeof text, "%s%s%s\n", word, good ? "" : ": ", good ? "" : why);

    return http_page_new(good ? 200 : 503, HTTP_TEXT, strdup(text), (size_t)size);
}

static struct http_page *make_healthz(void *context, const struct request *request)
{
    const struct pages *pages = context;
    char why[600] = "";
    (void)request;

    bool good = ptq_bridge_alive(pages->bridge, why, sizeof why) == PTQ_OK;
    return make_short(good, good ? "ok" : "not well", why);
}

static struct http_page *make_readyz(void *context, const struct request *request)
{
    const struct pages *pages = context;
    char why[600] = "";
    (void)request;

    bool good = ptq_bridge_ready(pages->bridge, why, sizeof why) == PTQ_OK;
    return make_short(good, good ? "ready" : "not ready", why);
}

/* ---- long ones ---- */

static enum ptq_err write_page(const struct pages *pages, enum page which, char **ret_text, size_t *ret_size)
{
    if (which == STATUS)
        return ptq_bridge_status(pages->bridge, ret_text, ret_size);
    return ptq_bridge_metrics(pages->bridge, which == METRICS_OPEN ? PTQ_METRICS_OPENMETRICS : PTQ_METRICS_PROMETHEUS, ret_text, ret_size);
}

static struct http_page *make_long(struct pages *pages, enum page which, const char *type)
{
    struct kept *kept = &pages->kept[which];
    int64_t begun = tool_now_ms();
    char *text = NULL;
    size_t size = 0;

    if (kept->page != NULL && begun < kept->until)
        return http_page_hold(kept->page);
    enum ptq_err answer = write_page(pages, which, &text, &size);
    if (answer != PTQ_OK)
        return make_short(false, "cannot tell", ptq_strerror(answer));
    struct http_page *page = http_page_new(200, type, text, size);
    int64_t now = tool_now_ms();
    http_page_drop(kept->page);
    kept->page = page != NULL ? http_page_hold(page) : NULL;
    kept->until = now + (TIMES * (now - begun) > KEPT_MS ? TIMES * (now - begun) : KEPT_MS);
    return page;
}

/* OpenMetrics, unless the other is wanted more. */
static struct http_page *make_metrics(void *context, const struct request *request)
{
    int open = request_wants(request->accept, "application/openmetrics-text"), plain = request_wants(request->accept, "text/plain");

    return plain > open ? make_long(context, METRICS_PLAIN, PROMETHEUS_TYPE) : make_long(context, METRICS_OPEN, OPENMETRICS_TYPE);
}

static struct http_page *make_status(void *context, const struct request *request)
{
    (void)request;
    return make_long(context, STATUS, HTTP_JSON);
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
    for (size_t i = 0; i < PAGES; i++)
        http_page_drop(pages->kept[i].page);
    free(pages);
}
