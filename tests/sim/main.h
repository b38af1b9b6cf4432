/* main.h -- the trace, as the program shows it. */
#ifndef PTQ_TESTS_SIM_MAIN_H
#define PTQ_TESTS_SIM_MAIN_H

#define SIM_TRACE_MOST 20000

void sim_trace_clear(void);
void sim_trace_show(unsigned most);

#endif
