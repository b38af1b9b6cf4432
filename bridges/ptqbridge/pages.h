/* pages.h -- what is told over --http: /healthz, /readyz, /metrics, /status. */
#ifndef PTQBRIDGE_PAGES_H
#define PTQBRIDGE_PAGES_H

#include <ptq/bridge.h>

#include "common/http.h"

struct pages;

/** The bridge stays open until pages_stop.  PTQ_EPERM: beyond the loopback; of all but PTQ_OK a sentence stands in `why`. */
enum ptq_err pages_start(ptq_bridge *bridge, const char *address, bool insecure, char *why, size_t why_size, struct pages **ret_pages);
const char *pages_url(const struct pages *pages);
void pages_stop(struct pages *pages); /**< NULL is fine */

#endif
