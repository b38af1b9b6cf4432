/* stopwatch.c -- times of the program's own, with laps and pauses. */
#include "base/time.h"
#include "process/timer.h"

static enum ptq_err check(const struct ptq_stopwatch *stopwatch)
{
    return stopwatch == NULL ? PTQ_EINVAL : stopwatch->started_ns == 0 ? PTQ_ENOTSTARTED : PTQ_OK;
}

enum ptq_err ptq_stopwatch_start(struct ptq_stopwatch *stopwatch)
{
    enum ptq_err err = check(stopwatch);
    if (err != PTQ_ENOTSTARTED)
        return err == PTQ_OK ? PTQ_EALREADY : err;
    *stopwatch = (struct ptq_stopwatch){.started_ns = pti_now_ns()};
    return PTQ_OK;
}

enum ptq_err ptq_stopwatch_pause(struct ptq_stopwatch *stopwatch)
{
    enum ptq_err err = check(stopwatch);
    if (err != PTQ_OK)
        return err;
    if (stopwatch->paused_ns != 0)
        return PTQ_EALREADY;
    stopwatch->paused_ns = pti_now_ns();
    return PTQ_OK;
}

enum ptq_err ptq_stopwatch_resume(struct ptq_stopwatch *stopwatch)
{
    enum ptq_err err = check(stopwatch);
    if (err != PTQ_OK)
        return err;
    if (stopwatch->paused_ns == 0)
        return PTQ_EALREADY;
    stopwatch->started_ns += pti_now_ns() - stopwatch->paused_ns; /* as if it had begun so much later */
    stopwatch->paused_ns = 0;
    return PTQ_OK;
}

enum ptq_err ptq_stopwatch_lap(struct ptq_stopwatch *stopwatch, struct ptq_timer *timer, uint64_t *ret_ns)
{
    enum ptq_err err = check(stopwatch);
    if (err != PTQ_OK)
        return err;
    int64_t now = stopwatch->paused_ns != 0 ? stopwatch->paused_ns : pti_now_ns();
    uint64_t took = (uint64_t)(now - stopwatch->started_ns);
    stopwatch->started_ns = now;
    if (timer != NULL)
        ptq_timer_add(timer, took);
    if (ret_ns != NULL)
        *ret_ns = took;
    return PTQ_OK;
}

enum ptq_err ptq_stopwatch_stop(struct ptq_stopwatch *stopwatch, struct ptq_timer *timer, uint64_t *ret_ns)
{
    enum ptq_err err = ptq_stopwatch_lap(stopwatch, timer, ret_ns);
    if (err == PTQ_OK)
        *stopwatch = (struct ptq_stopwatch){.started_ns = 0};
    return err;
}
