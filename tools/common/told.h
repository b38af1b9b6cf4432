/* told.h -- figures of a bus over HTTP, in the form that whoever asks wants.
 *
 * Law: whoever asks often costs no more than a tenth of a processor: a page that took long to make is given again for ten times as
 * long.
 */
#ifndef PTQ_TOOLS_TOLD_H
#define PTQ_TOOLS_TOLD_H

#include <stdint.h>

#include <ptq/metrics.h>

#include "common/http.h"

/* A page that is given again.  Zero: none. */
struct told {
    struct http_page *page;
    int64_t until; /* ms */
};

typedef enum ptq_err told_write(void *context, char **ret_text, size_t *ret_size);
/* The last one, while it is fresh; else a new one, 503 where it cannot be written.  `type` is constant. */
struct http_page *told_make(struct told *told, const char *type, told_write *write, void *context);
void told_fini(struct told *told);

/* "ok" with 200; or 503 with the word and why. */
struct http_page *told_short(bool good, const char *word, const char *why);

/* Figures in both forms. */
struct told_figures {
    struct told told[2]; /* by enum ptq_metrics_format */
    enum ptq_err (*write)(void *context, enum ptq_metrics_format format, char **ret_text, size_t *ret_size);
    void *context;
};
/* OpenMetrics, unless the other is wanted more. */
struct http_page *told_figures(struct told_figures *figures, const struct request *request);
void told_figures_fini(struct told_figures *figures);

#endif
