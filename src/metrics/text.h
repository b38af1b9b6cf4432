/* text.h -- figures as text: OpenMetrics 1.0 and the text form of Prometheus from one set of calls; and strings of JSON.
 *
 *      pti_text_init(&text, PTQ_METRICS_OPENMETRICS);
 *      pti_family_begin(&text, PTI_FAMILY_MESSAGES);                  (families.h)
 *      pti_text_sample(&text, "", (struct pti_labels){{"queue", name}, {"op", "put"}}, 7);
 *      answer = pti_text_end(&text, &bytes, &size);
 *
 * A family stands together, and has its name without "_total"; both are seen to here, the first by the caller.
 */
#ifndef PTQ_METRICS_TEXT_H
#define PTQ_METRICS_TEXT_H

#include <stdint.h>
#include <stdio.h>

#include <ptq/err.h>
#include <ptq/metrics.h>

enum pti_family_type { PTI_GAUGE, PTI_COUNTER, PTI_HISTOGRAM, PTI_INFO };

struct pti_family {
    enum pti_family_type type;
    const char *name; /* without the suffix of its type */
    const char *unit; /* "seconds", "bytes", with which the name ends; "": none */
    const char *help;
};

struct pti_text {
    enum ptq_metrics_format format;
    FILE *file; /* NULL: no memory */
    char *bytes;
    size_t size;
    const struct pti_family *family; /* borrowed */
};

#define PTI_LABELS_MOST 5
struct pti_label {
    const char *name, *value;
};
struct pti_labels {
    struct pti_label list[PTI_LABELS_MOST]; /* the first without a name ends it */
};

void pti_text_init(struct pti_text *text, enum ptq_metrics_format format);
/* What follows is of this family, which outlives it. */
void pti_text_family(struct pti_text *text, const struct pti_family *family);
/* suffix: "" (of a counter that is _total by itself), "_bucket", "_sum", "_count". */
void pti_text_sample(struct pti_text *text, const char *suffix, const struct pti_labels *labels, double value);
void pti_text_seconds(struct pti_text *text, const char *suffix, const struct pti_labels *labels, int64_t ms); /* to the millisecond */
void pti_text_count(struct pti_text *text, const char *suffix, const struct pti_labels *labels, uint64_t value);
/* Given to you, free(); PTQ_ENOMEM. */
PTQ_MUST_CHECK enum ptq_err pti_text_end(struct pti_text *text, char **ret_bytes, size_t *ret_size);
void pti_text_drop(struct pti_text *text);

/* "text", with its quotes; whatever its bytes are, the result is JSON. */
void pti_json_text(FILE *file, const char *text);

#endif
