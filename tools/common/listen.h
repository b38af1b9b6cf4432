/* listen.h -- a socket to listen on, by its address: "127.0.0.1:9417", "[::1]:0", "unix:/run/x.sock". */
#ifndef PTQ_TOOLS_LISTEN_H
#define PTQ_TOOLS_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <ptq/err.h>

struct listen {
    int fd;
    char url[160]; /* with the real port */
    char path[112]; /* of a unix socket; "" */
    dev_t device;   /* ... whose file is ours as long as it is this one */
    ino_t inode;
};

/* Non-blocking.  Beyond the loopback only if `insecure`, else PTQ_EPERM.  PTQ_EINVAL: it is no address; PTQ_ESYS: it cannot be had.
 * Of all but PTQ_OK a sentence stands in `why`. */
enum ptq_err listen_open(const char *address, bool insecure, char *why, size_t why_size, struct listen *ret_listen);
/* Is it one that may be listened on?  Nothing is touched. */
enum ptq_err listen_check(const char *address, bool insecure, char *why, size_t why_size);
void listen_close(struct listen *listen);

#endif
