/* scenario.h -- one process's day with a queue, for tests that make one thing in it fail. */
#ifndef PTT_FAULTS_SCENARIO_H
#define PTT_FAULTS_SCENARIO_H

#include <stdatomic.h>
#include <stdint.h>

#define SCENARIO_VALUES 32

enum scenario_put { NOT_PUT = 0, PUT_OK = 1, PUT_REFUSED = 2, PUT_BEGUN = 3 };

/* On a page shared with the test. */
struct scenario {
    _Atomic uint32_t put[SCENARIO_VALUES];   /* enum scenario_put */
    _Atomic uint32_t acked[SCENARIO_VALUES]; /* how often ack answered PTQ_OK */
    _Atomic uint32_t errors;                 /* calls that answered an error */
    _Atomic uint32_t mute;                   /* errors without a text where one was promised */
    _Atomic uint32_t done;
    _Atomic uint32_t stuck; /* a call that failed and, tried again, failed again: its number */
};

/* Runs it to the end whatever fails: what fails is tried once more, and one failure must not stick. */
void scenario_run(const char *dir, struct scenario *s);

/* Afterwards, by a stranger: drains the queue and checks that what was promised holds.  NULL, or what is wrong. */
const char *scenario_audit(const char *dir, struct scenario *s);

#endif
