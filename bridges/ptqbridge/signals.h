/* signals.h -- a thread that waits for signals, for what the log still has to tell, and for systemd's clock. */
#ifndef PTQBRIDGE_SIGNALS_H
#define PTQBRIDGE_SIGNALS_H

#include <stdbool.h>

/* All on the thread. */
struct signals_events {
    void (*end)(void *context, int number, unsigned times); /* SIGTERM or SIGINT, for the how manieth time */
    void (*reload)(void *context);                          /* SIGHUP */
    void (*report)(void *context);                          /* SIGUSR1 */
    bool (*alive)(void *context);                           /* is systemd to be told so? */
    void *context;
};

/* Before any other thread is begun: from here on they wait. */
void signals_block(void);
bool signals_start(const struct signals_events *events);
void signals_stop(void); /* fine if it was not started */

#endif
