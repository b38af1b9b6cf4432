/* access.h -- which addresses may be used: plain links beyond this host only by request. */
#ifndef PTQ_REMOTE_ACCESS_H
#define PTQ_REMOTE_ACCESS_H

#include <stdbool.h>

#include <ptq/err.h>

#include "bus/bus.h"
#include "remote/keys.h"

/* May this bus be reached, and reach others, beyond the loopback without tls?  With keys, for then each proves who he is; or because
 * somebody says so. */
static inline bool pti_access_far(const ptq_bus *bus)
{
    return bus->insecure || pti_keys_can_prove(bus->keys);
}

/* Is it encrypted? */
bool pti_access_is_tls(const char *url);

/* May a link to or on `url` be made?  `what` begins the sentence: "listen on", "dial".  PTQ_EINVAL: not an address that
 * ptq speaks to; PTQ_EPERM: beyond the loopback, unless `far` or with tls. */
enum ptq_err pti_access_check(const char *what, const char *url, bool far, struct ptq_error *error);

/* Does this ws:// url say an address of the loopback, and no name for one? */
bool pti_access_is_near_ws(const char *url);

#endif
