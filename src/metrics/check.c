/* check.c -- what a check of one queue found, as families of figures. */
#include "metrics/families.h"

static void write_messages(struct pti_text *text, const char *name, const struct ptq_queue_stats *stats)
{
    const struct {
        const char *word;
        uint64_t count;
    } states[] = {{"ready", stats->ready}, {"leased", stats->leased}, {"delayed", stats->delayed}, {"dead", stats->dead}};

    pti_family_begin(text, PTI_FAMILY_QUEUE_MESSAGES);
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        pti_text_count(text, "", &(struct pti_labels){{{"queue", name}, {"state", states[i].word}}}, states[i].count);
}

enum ptq_err ptq_check_text(const char *name, const struct ptq_queue_stats *stats, unsigned state, enum ptq_metrics_format format,
                            char **ret_text, size_t *ret_size)
{
    struct pti_labels labels = {{{"queue", name}}};
    struct pti_text text;

    if (name == NULL || ret_text == NULL || ret_size == NULL || (unsigned)format > PTQ_METRICS_PROMETHEUS)
        return PTQ_EINVAL;
    pti_text_init(&text, format);
    if (stats != NULL) {
        write_messages(&text, name, stats);
        pti_family_begin(&text, PTI_FAMILY_QUEUE_OLDEST);
        pti_text_sample(&text, "", &labels, (double)stats->oldest_ms / 1000);
    }
    pti_family_begin(&text, PTI_FAMILY_CHECK_STATE);
    pti_text_count(&text, "", &labels, state);
    return pti_text_end(&text, ret_text, ret_size);
}
