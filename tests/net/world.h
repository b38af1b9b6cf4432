/* world.h -- two hosts with a link of faults between them. */
#ifndef PTQ_TESTS_NET_WORLD_H
#define PTQ_TESTS_NET_WORLD_H

#include "net/ledger.h"
#include "net/proxy.h"

struct world {
    struct net net;
    struct proxy proxy;
    ptq_bus *bus; /* the far host's, through the proxy */
};

void world_init(struct world *world, const char *const *options);
void world_fini(struct world *world);

/* Puts so many messages from afar, one by one, and spoils before each; the home's own process takes them.  Fails the test
 * unless each arrived once, without doubt, and something was spoiled. */
void world_put_through(struct world *world, uint64_t count, void (*spoil)(struct world *world, uint64_t *seed));

#endif
