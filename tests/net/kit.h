/* kit.h -- two buses that share nothing stand for two hosts: a home with a ptqbridge in front, and one far away. */
#ifndef PTQ_TESTS_NET_KIT_H
#define PTQ_TESTS_NET_KIT_H

#include "support/ptt.h"

#include <ptq/queue.h>

#include "queue/queue.h"

struct net {
    struct ptt_scratch home, far; /* directories; the buses are below */
    ptq_bus *here;                /* the home's bus, as a process of that host opens it */
    ptq_bus *there;               /* the far host's bus, whose peer "home" is the bridge */
    pid_t bridge;
    char url[128];                /* of the bridge; after a restart the same */
    char peers[160];
};

/* Starts all of it; `options` of ptqbridge end with NULL (may be NULL).  Fails the test if the bridge does not come up.
 */
void net_init(struct net *net, const char *const *options);
void net_fini(struct net *net);

/* The bridge alone.  Its log is "bridge.log" in the home's directory. */
void net_bridge_start(struct net *net, const char *const *options);
void net_bridge_kill(struct net *net);
int net_bridge_end(struct net *net); /* SIGTERM; its exit code */

/* A bus of the far host with `peers` in place of the usual ones. */
ptq_bus *net_open_far(const struct net *net, const char *peers);

/* Starts `program` with these arguments (NULL at the end); its standard output is readable at *ret_fd. */
pid_t net_spawn(const char *program, const char *const *arguments, int *ret_fd);

/* Runs a program with words, as a shell reads them, for 20 s at most: its exit code, and what it said, on both of its outputs. */
int net_run(char *text, size_t size, const char *program, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Opens or fails the test, saying why. */
ptq_queue *net_open(ptq_bus *bus, const char *name, const struct ptq_queue_options *options);
ptq_queue *net_open_pool(ptq_bus *bus, const char *name, bool placed, uint64_t window);

/* A line of `fd`, without its newline, within PTT_LONG. */
void net_read_line(int fd, char *line, size_t size);

#endif
