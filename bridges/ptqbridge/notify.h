/* notify.h -- what ptqbridge tells systemd: sd_notify, by hand. */
#ifndef PTQBRIDGE_NOTIFY_H
#define PTQBRIDGE_NOTIFY_H

#include <stdbool.h>

/* Sends "KEY=value\n..." to $NOTIFY_SOCKET; false: nobody waits for it, or it could not be sent. */
bool notify(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* RELOADING=1 with the time that it wants beside it. */
bool notify_reloading(void);
/* How often a sign of life is to be sent: half of what is allowed; -1: never. */
int notify_watchdog_ms(void);

#endif
