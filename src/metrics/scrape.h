/* scrape.h -- the queues of a bus as families of figures, for those who write more beside them. */
#ifndef PTQ_METRICS_SCRAPE_H
#define PTQ_METRICS_SCRAPE_H

#include "metrics/text.h"

/* Writes all families of the bus's queues.  PTQ_ENOMEM, or what listing answers. */
enum ptq_err pti_scrape_write(struct ptq_scrape *scrape, struct pti_text *text);

#endif
