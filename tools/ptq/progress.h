/* progress.h -- how far long work is, on a terminal and only there. */
#ifndef PTQ_PROGRESS_H
#define PTQ_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *verb; /* "recorded" */
    uint64_t count;   /* of messages there will be; 0: not known */
    bool on;
    int64_t began_ms, next_ms;
};

/* Is what goes to standard output seen on a terminal, or may it be, behind a pipe? */
bool progress_is_seen(void);
/* busy: the work itself writes where it would be shown: then nothing is. */
void progress_begin(struct progress *progress, const char *verb, bool busy);
/* At most five times a second.  bytes, of: 0 where they are not known. */
void progress_show(struct progress *progress, uint64_t messages, uint64_t bytes, uint64_t of);
/* Takes the line away, until it is shown again: before anything else is said. */
void progress_hide(const struct progress *progress);
/* The same for good. */
void progress_end(struct progress *progress);

#endif
