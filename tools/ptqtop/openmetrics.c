/* openmetrics.c -- the bus as OpenMetrics: printed, written into a file again and again, or given to who asks over HTTP.
 *
 * Names, types and words of the figures are the library's (src/metrics/families.def).  A file whose name ends in .prom has Prometheus'
 * older form: that is what node_exporter's textfile collector reads, and it reads no other name.
 */
#include "openmetrics.h"

#include <errno.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <ptq/metrics.h>

#include "common/clock.h"
#include "common/http.h"
#include "common/option.h"
#include "common/say.h"
#include "common/told.h"
#include "common/whole.h"
#include "top.h"

/* ---- one who tells ---- */

struct teller {
    ptq_bus *bus;
    ptq_scrape *scrape;
    dev_t device; /* of the bus's directory */
    ino_t inode;
};

static bool wants(const char *name, void *context)
{
    const char *filter = context;

    return strstr(name, filter) != NULL || fnmatch(filter, name, 0) == 0;
}

static void teller_close(struct teller *teller)
{
    ptq_scrape_close(teller->scrape);
    ptq_bus_close(teller->bus);
    *teller = (struct teller){0};
}

static enum ptq_err teller_open(struct teller *teller, struct ptq_error *error)
{
    struct ptq_bus_options options = {.dir = top_options.dir, .error = error};
    struct stat stat_of;

    *teller = (struct teller){0};
    enum ptq_err answer = ptq_bus_open(top_options.run, &options, &teller->bus);
    if (answer == PTQ_OK)
        answer = ptq_scrape_open(teller->bus, &teller->scrape);
    if (answer != PTQ_OK) {
        teller_close(teller);
        return answer;
    }
    if (stat(ptq_bus_path(teller->bus), &stat_of) == 0) {
        teller->device = stat_of.st_dev;
        teller->inode = stat_of.st_ino;
    }
    bool all = top_options.filter == NULL || top_options.filter[0] == '\0';
    ptq_scrape_choose(teller->scrape, top_options.max_queues, all ? NULL : wants, (void *)(uintptr_t)top_options.filter);
    return PTQ_OK;
}

/* Where the directory was removed, and perhaps made again, the bus is the new one. */
static enum ptq_err follow(struct teller *teller)
{
    struct ptq_error error = {0};
    struct stat now;

    if (teller->bus != NULL && stat(ptq_bus_path(teller->bus), &now) == 0 && now.st_dev == teller->device && now.st_ino == teller->inode)
        return PTQ_OK;
    teller_close(teller);
    return teller_open(teller, &error);
}

static enum ptq_err teller_write(void *context, enum ptq_metrics_format format, char **ret_text, size_t *ret_size)
{
    struct teller *teller = context;
    enum ptq_err answer = follow(teller);

    return answer == PTQ_OK ? ptq_scrape_text(teller->scrape, format, ret_text, ret_size) : answer;
}

static int begin(struct teller *teller)
{
    struct ptq_error error = {0};
    enum ptq_err answer = teller_open(teller, &error);

    if (answer == PTQ_OK)
        return TOOL_OK;
    return tool_fail(answer, NULL, "cannot open the bus: %s", error.text[0] != '\0' ? error.text : ptq_strerror(answer));
}

/* ---- pages ---- */

struct site {
    struct teller teller; /* of the thread of http */
    struct told_figures figures;
    struct http *http;
};

static bool stop_listing(const char *name, void *context)
{
    (void)name, (void)context;
    return false;
}

static struct http_page *make_healthz(void *context, const struct request *request)
{
    struct site *site = context;
    (void)request;

    enum ptq_err answer = follow(&site->teller);
    if (answer == PTQ_OK)
        answer = ptq_bus_list(site->teller.bus, stop_listing, NULL);
    return told_short(answer == PTQ_OK, answer == PTQ_OK ? "ok" : "cannot list queues", ptq_strerror(answer));
}

static struct http_page *make_metrics(void *context, const struct request *request)
{
    struct site *site = context;

    return told_figures(&site->figures, request);
}

static const struct http_route routes[] = {{"/metrics", "figures of queues and pools: OpenMetrics, or Prometheus' text if Accept wants it", make_metrics},
                                           {"/healthz", "200: the bus can be listed; else 503 and why", make_healthz},
                                           {0}};

static bool is_insecure(void)
{
    const char *word = getenv("PTQ_INSECURE");

    return top_options.insecure || (word != NULL && strcmp(word, "1") == 0);
}

static int site_start(struct site *site)
{
    struct http_options options = {.address = top_options.serve,
                                   .insecure = is_insecure(),
                                   .program = tool_program.name,
                                   .routes = routes,
                                   .context = site};
    char why[600] = "";
    int code = begin(&site->teller);

    if (code != TOOL_OK)
        return code;
    site->figures = (struct told_figures){.write = teller_write, .context = &site->teller};
    enum ptq_err answer = http_start(&options, why, sizeof why, &site->http);
    if (answer != PTQ_OK)
        return tool_fail(answer, NULL, "cannot serve figures: %s", why);
    fprintf(stderr, "%s: figures on %s/metrics\n", tool_program.name, http_url(site->http));
    return TOOL_OK;
}

static void site_stop(struct site *site)
{
    http_stop(site->http);
    told_figures_fini(&site->figures);
    teller_close(&site->teller);
}

/* ---- a file ---- */

static enum ptq_metrics_format format_of(const char *path)
{
    size_t length = strlen(path);

    return length > 5 && strcmp(path + length - 5, ".prom") == 0 ? PTQ_METRICS_PROMETHEUS : PTQ_METRICS_OPENMETRICS;
}

/* Said once, until it is well again: it may be so for hours. */
static int complain(const char *why, bool *said)
{
    if (!*said)
        tool_error(top_options.out, "cannot write figures: %s", why);
    *said = true;
    return TOOL_ERROR;
}

static int write_once(struct teller *teller, bool *said)
{
    const char *path = top_options.out;
    struct stat there;
    char *text;
    size_t size;

    if (lstat(path, &there) == 0 && !S_ISREG(there.st_mode))
        return complain("it is there, and no regular file - name another", said);
    enum ptq_err answer = teller_write(teller, format_of(path), &text, &size);
    if (answer != PTQ_OK)
        return complain(ptq_strerror(answer), said);
    int failed = whole_write(path, text, size, "", 0644);
    free(text);
    if (failed != 0)
        return complain(strerror(failed), said);
    *said = false;
    return TOOL_OK;
}

/* False: somebody wants it to end. */
static bool sleep_until(const sigset_t *ends, int64_t due_ms)
{
    int64_t left;

    while ((left = due_ms - tool_now_ms()) > 0) {
        struct timespec time = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
        if (sigtimedwait(ends, NULL, &time) > 0)
            return false;
        if (errno == EAGAIN)
            break;
    }
    return true;
}

/* The code of the last one. */
static int write_often(const sigset_t *ends)
{
    uint64_t count = top_options.once ? 1 : top_options.count > 0 ? top_options.count : UINT64_MAX;
    struct teller teller;
    bool said = false;
    int code = begin(&teller);

    if (code != TOOL_OK)
        return code;
    for (uint64_t i = 0; i < count; i++) {
        int64_t due = tool_now_ms() + (int64_t)(top_options.delay * 1000);
        code = write_once(&teller, &said);
        if (i + 1 < count && !sleep_until(ends, due))
            break;
    }
    teller_close(&teller);
    return code;
}

/* ---- what is wanted ---- */

bool openmetrics_wanted(void)
{
    return top_options.serve != NULL || top_options.out != NULL || top_options.output == OUTPUT_OPENMETRICS;
}

static int print_once(void)
{
    struct teller teller;
    char *text;
    size_t size;
    int code = begin(&teller);

    if (code != TOOL_OK)
        return code;
    enum ptq_err answer = teller_write(&teller, PTQ_METRICS_OPENMETRICS, &text, &size);
    teller_close(&teller);
    if (answer != PTQ_OK)
        return tool_fail(answer, NULL, "cannot list queues: %s", ptq_strerror(answer));
    fwrite(text, 1, size, stdout);
    free(text);
    return tool_finish();
}

/* Until SIGTERM or SIGINT, or until the file was written often enough. */
static int tell_on(void)
{
    struct site site = {0};
    sigset_t ends;
    int code = TOOL_OK, number;

    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (top_options.serve != NULL)
        code = site_start(&site);
    if (code == TOOL_OK && top_options.out != NULL)
        code = write_often(&ends);
    else if (code == TOOL_OK)
        sigwait(&ends, &number);
    site_stop(&site);
    return code;
}

int openmetrics_run(void)
{
    bool told_on = top_options.serve != NULL || top_options.out != NULL;

    if (told_on && top_options.output >= 0 && top_options.output != OUTPUT_OPENMETRICS)
        return tool_misuse(NULL, "--serve and --out tell OpenMetrics, nothing else");
    if (top_options.serve != NULL && top_options.out == NULL && (top_options.once || top_options.count > 0))
        return tool_misuse(NULL, "--serve goes on until it is ended: leave --once and --iterations out");
    if (!told_on && top_options.count > 1)
        return tool_misuse(NULL, "--output openmetrics is one text, which has an end: use --out FILE or --serve ADDRESS for more");
    return told_on ? tell_on() : print_once();
}
