/* openmetrics.h -- the bus as OpenMetrics: printed, written into a file again and again, or given to who asks over HTTP. */
#ifndef PTQTOP_OPENMETRICS_H
#define PTQTOP_OPENMETRICS_H

#include <stdbool.h>

/* Is it asked for: by --serve, --out, or --output openmetrics? */
bool openmetrics_wanted(void);
/* What the options want.  An exit code. */
int openmetrics_run(void);

#endif
