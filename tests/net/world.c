/* world.c -- two hosts with a link of faults between them. */
#include "net/world.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

void world_init(struct world *world, const char *const *options)
{
    char peers[96];

    net_init(&world->net, options);
    proxy_start(&world->proxy, world->net.url);
    snprintf(peers, sizeof peers, "home=%s", world->proxy.url);
    world->bus = net_open_far(&world->net, peers);
}

void world_fini(struct world *world)
{
    ptq_bus_close(world->bus);
    proxy_stop(&world->proxy);
    net_fini(&world->net);
}

void world_put_through(struct world *world, uint64_t count, void (*spoil)(struct world *world, uint64_t *seed))
{
    ptq_queue *far = net_open(world->bus, "through@home", NULL), *here = net_open(world->net.here, "through", NULL);
    struct ledger *put = ledger_new(far, count), *got = ledger_new(here, count);
    pthread_t producer, consumer;
    uint64_t seed = ptt_seed();

    spoil(world, &seed); /* once at least, however late this thread comes again */
    pthread_create(&consumer, NULL, ledger_consume, got);
    pthread_create(&producer, NULL, ledger_produce, put);
    while (atomic_load(&put->done) < count) {
        spoil(world, &seed);
        uint64_t now = atomic_load(&put->done);
        ptt_wait_word(&put->done, now + 1 < count ? now + 1 : count, 1000);
    }
    pthread_join(producer, NULL);
    assert_ok(ptq_end(here));
    pthread_join(consumer, NULL);

    assert_int_equal(put->in_doubt, 0); /* the session lived through it all */
    assert_int_equal(put->refused, 0);
    ledger_assert(put, got);
    for (uint64_t number = 1; number <= count; number++)
        assert_int_equal(got->seen[number], 1);
    assert_true(world->proxy.faults > 0);
    free(put);
    free(got);
    ptq_queue_close(far);
    ptq_queue_close(here);
}
