/* log.h -- what a bridge of kit.h has said in its log, "bridge.log" in its home's directory. */
#ifndef PTQ_TESTS_NET_LOG_H
#define PTQ_TESTS_NET_LOG_H

#include "net/kit.h"

/* All of it, to be freed; "" if there is none yet. */
char *net_log_read(const struct net *net);
/* How often it says this. */
unsigned net_log_count(const struct net *net, const char *text);
/* Until it says this; so often, at least.  Fails the test if it does not within PTT_LONG. */
void net_log_wait(const struct net *net, const char *text);
void net_log_wait_times(const struct net *net, const char *text, unsigned times);
/* What its last line counts under this name, as in " frames_in=12"; the bridge has ended. */
uint64_t net_log_total(const struct net *net, const char *name);

#endif
