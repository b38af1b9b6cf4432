/* dying.c -- a process that kills itself at the n-th time that it comes by a step. */
#include "net/dying.h"

#include <signal.h>
#include <stdatomic.h>

#include "base/atomic.h"

static enum pti_step last_step;
static _Atomic unsigned times_left; /* 0: never */

static void die_at(enum pti_step step)
{
    if (step == last_step && atomic_load(&times_left) > 0 && atomic_fetch_sub(&times_left, 1) == 1)
        raise(SIGKILL);
}

void dying_at(enum pti_step step, unsigned nth)
{
    last_step = step;
    atomic_store(&times_left, nth);
}

void dying_begin(void)
{
    pti_store_relaxed(&pti_step_hook, die_at);
}
