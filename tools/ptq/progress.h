/* progress.h -- how far long work is, on a terminal and only there. */
#ifndef PTQ_PROGRESS_H
#define PTQ_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *verb; /* "recorded" */
    bool on;
    int64_t began_ms, next_ms;
};

/* busy: standard output is a terminal and the work writes there: then nothing is shown. */
void progress_begin(struct progress *progress, const char *verb, bool busy);
/* At most five times a second.  bytes, of: 0 where they are not known. */
void progress_show(struct progress *progress, uint64_t messages, uint64_t bytes, uint64_t of);
/* Takes the line away: before anything else is said. */
void progress_end(struct progress *progress);

#endif
