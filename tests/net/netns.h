/* netns.h -- two network namespaces with a cable between them: a home and a far host as the kernel has them.
 *
 * A scene runs in a child of its own, so that nothing of it is left when it ends: it is in the far namespace, with the
 * far host's bus open (net.there); the bridge is in the home's.  The directories of both are this host's, so that the
 * scene can look into the home's bus (net.here) while the cable is cut.  The home's grace is a second.
 */
#ifndef PTQ_TESTS_NET_NETNS_H
#define PTQ_TESTS_NET_NETNS_H

#include "net/kit.h"

enum netns_side { NETNS_HOME = 0, NETNS_FAR = 1 };

struct netns {
    struct net net;
    struct net near; /* the far host's own bridge, where there is one */
    int fds[2];      /* of the namespaces */
};

/* As the body of a case: forks, makes all of it, runs the scene, takes all of it away.  Fails the case if the scene failed
 * an assert, skips it and says why where namespaces, `ip` or `tc` are missing. */
void netns_case(void (*scene)(struct netns *ns));

/* In a scene, first: the far host's bus goes through a bridge of that host from now on. */
void netns_go_through_bridge(struct netns *ns);

/* In a scene: ends it, skipped, unless there is such a program. */
void netns_need(const char *program);

/* In a scene: a command of the shell in that namespace, whose end of the cable is called "cable"; fails the test if it fails.
 */
void netns_run(struct netns *ns, enum netns_side side, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* What comes to that side from now on: `verdict` of nft for packets that are matched by `match`; "" matches all.  In place of
 * what was said before.  nothing: as at first. */
void netns_filter(struct netns *ns, enum netns_side side, const char *match, const char *verdict);
void netns_filter_nothing(struct netns *ns, enum netns_side side);

#endif
