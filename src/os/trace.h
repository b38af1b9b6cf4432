/* trace.h -- where a thread is: its frames, and their names. */
#ifndef PTQ_OS_TRACE_H
#define PTQ_OS_TRACE_H

#include <stddef.h>

#define PTI_FRAMES_MAX 24

struct pti_frames {
    void *frame[PTI_FRAMES_MAX];
    unsigned count;
};

/* Loads what a signal handler may not, and makes the file that pti_frames_text_in_signal needs.  0 or an errno. */
int pti_trace_prepare(void);

/* The frames of the caller, without the innermost `skip`.  Async-signal-safe after pti_trace_prepare, but where the thread was
 * interrupted in the loader itself: who calls it from a handler sets itself an alarm. */
void pti_frames_take(struct pti_frames *frames, unsigned skip);

/* A line a frame, "program(function+0x12) [0x55...]" as far as it is known; cut at a line's end to fit. */
void pti_frames_text(const struct pti_frames *frames, char *buffer, size_t size);
/* The same from a signal handler: allocates nothing. */
void pti_frames_text_in_signal(const struct pti_frames *frames, char *buffer, size_t size);

#endif
