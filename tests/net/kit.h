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
 * at: its address is `url`, as below. */
void net_init(struct net *net, const char *const *options);
void net_init_at(struct net *net, const char *url, const char *const *options);
void net_fini(struct net *net);

/* The bridge alone, at net->url, where port 0 is any that stays its own; "" is TCP on the loopback.  Its log is "bridge.log" in
 * the home's directory. */
void net_bridge_start(struct net *net, const char *const *options);
void net_bridge_kill(struct net *net); /* if there is one */
int net_bridge_end(struct net *net); /* SIGTERM; its exit code */

/* The far host's own bridge, as node "far": in `near`, which is nothing else; net_bridge_start and _kill are for it too. */
void net_near_start(struct net *near, const struct net *net, const char *const *options);

/* An address like those of bridges, where nobody is. */
void net_find_url(char *url, size_t size);

/* A bus of the far host with `peers` in place of the usual ones; that goes this way: NULL, "bridge". */
ptq_bus *net_open_far(const struct net *net, const char *peers);
ptq_bus *net_open_way(const struct net *net, const char *peers, const char *via);

/* Starts `program` with these arguments (NULL at the end); its standard output is readable at *ret_fd. */
pid_t net_spawn(const char *program, const char *const *arguments, int *ret_fd);

/* Runs a program with words, as a shell reads them, for 20 s at most: its exit code, and what it said, on both of its outputs. */
int net_run(char *text, size_t size, const char *program, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Opens or fails the test, saying why. */
ptq_queue *net_open(ptq_bus *bus, const char *name, const struct ptq_queue_options *options);
/* Opens and closes: the answer. */
enum ptq_err net_try_open(ptq_bus *bus, const char *name, enum ptq_open_mode mode, struct ptq_error *error);
ptq_queue *net_open_pipe(ptq_bus *bus, const char *name); /* of one that is there, with PTQ_PIPELINE */
ptq_queue *net_open_pool(ptq_bus *bus, const char *name, bool placed, uint64_t window);

/* Ends it, though links or bridges go down meanwhile: fails the test if it has not ended within PTT_LONG. */
void net_end(ptq_queue *queue);

/* Takes this number, a uint64_t, or fails the test. */
void net_assert_number(ptq_queue *queue, uint64_t number);

/* Fails the test unless a far process can open a queue at home, put and get. */
void net_assert_serves(const struct net *net);

/* A line of `fd`, without its newline, within PTT_LONG. */
void net_read_line(int fd, char *line, size_t size);

#endif
