/* dying.h -- a process that kills itself at the n-th time that it comes by a step. */
#ifndef PTQ_TESTS_NET_DYING_H
#define PTQ_TESTS_NET_DYING_H

#include "remote/step.h"

/* Said before the fork; nth 0: never. */
void dying_at(enum pti_step step, unsigned nth);
/* In the child. */
void dying_begin(void);

#endif
