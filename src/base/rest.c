/* rest.c -- a short rest of a polling thread. */
#include "base/rest.h"

#include "base/atomic.h"
#include "base/time.h"

#define REST_NS 1500
#define SAMPLE 64

/* Measured once in a process: a pause is 10 ns on one machine and 40 on the next. */
static unsigned measure(void)
{
    int64_t begin = pti_now_ns(), took;
    unsigned pauses;

    for (unsigned i = 0; i < SAMPLE; i++)
        pti_pause();
    took = pti_now_ns() - begin;
    pauses = (unsigned)(SAMPLE * REST_NS / (took > SAMPLE ? took : SAMPLE)); /* at least a nanosecond each */
    return pauses < 8 ? 8 : pauses;
}

void pti_rest(void)
{
    static _Atomic unsigned known;
    unsigned pauses = pti_load_relaxed(&known);

    if (pauses == 0) {
        pauses = measure();
        pti_store_relaxed(&known, pauses);
    }
    while (pauses-- > 0)
        pti_pause();
}
