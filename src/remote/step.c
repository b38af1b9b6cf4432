/* step.c -- where a bridge may be killed: each step says its name, to a test that asks for it. */
#include "remote/step.h"

void (*_Atomic pti_step_hook)(enum pti_step step);
