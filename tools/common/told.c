/* told.c -- figures of a bus over HTTP, and pages that are kept a little. */
#include "common/told.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define KEPT_MS 200
#define TIMES 10

struct http_page *told_short(bool good, const char *word, const char *why)
{
    char text[700];
    int size = snprintf(text, sizeof text, "%s%s%s\n", word, good ? "" : ": ", good ? "" : why);

    return http_page_new(good ? 200 : 503, HTTP_TEXT, strdup(text), (size_t)size);
}

struct http_page *told_make(struct told *told, const char *type, told_write *write, void *context)
{
    int64_t begun = tool_now_ms();
    char *text = NULL;
    size_t size = 0;

    if (told->page != NULL && begun < told->until)
        return http_page_hold(told->page);
    enum ptq_err answer = write(context, &text, &size);
    if (answer != PTQ_OK)
        return told_short(false, "cannot tell", ptq_strerror(answer));
    struct http_page *page = http_page_new(200, type, text, size);
    int64_t now = tool_now_ms();
    http_page_drop(told->page);
    told->page = page != NULL ? http_page_hold(page) : NULL;
    told->until = now + (TIMES * (now - begun) > KEPT_MS ? TIMES * (now - begun) : KEPT_MS);
    return page;
}

void told_fini(struct told *told)
{
    http_page_drop(told->page);
    told->page = NULL;
}

/* ---- figures ---- */

static enum ptq_err write_open(void *context, char **ret_text, size_t *ret_size)
{
    const struct told_figures *figures = context;

    return figures->write(figures->context, PTQ_METRICS_OPENMETRICS, ret_text, ret_size);
}

static enum ptq_err write_plain(void *context, char **ret_text, size_t *ret_size)
{
    const struct told_figures *figures = context;

    return figures->write(figures->context, PTQ_METRICS_PROMETHEUS, ret_text, ret_size);
}

struct http_page *told_figures(struct told_figures *figures, const struct request *request)
{
    int open = request_wants(request->accept, "application/openmetrics-text"), plain = request_wants(request->accept, "text/plain");

    if (plain > open)
        return told_make(&figures->told[PTQ_METRICS_PROMETHEUS], "text/plain; version=0.0.4; charset=utf-8", write_plain, figures);
    return told_make(&figures->told[PTQ_METRICS_OPENMETRICS], "application/openmetrics-text; version=1.0.0; charset=utf-8", write_open, figures);
}

void told_figures_fini(struct told_figures *figures)
{
    told_fini(&figures->told[PTQ_METRICS_OPENMETRICS]);
    told_fini(&figures->told[PTQ_METRICS_PROMETHEUS]);
}
