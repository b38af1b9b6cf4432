/* homes.c -- two homes for a whole test program; and two who make one queue at once. */
#include "net/homes.h"

#include <stdio.h>

struct net east, west;

int homes_start(void **state)
{
    (void)state;
    net_init(&east, NULL);
    net_init(&west, NULL);
    return 0;
}

int homes_end(void **state)
{
    (void)state;
    net_fini(&west);
    net_fini(&east);
    return 0;
}

static void *make(void *context)
{
    struct maker *maker = context;
    struct ptq_queue_options options = {.capacity = 4, .item_size = 16, .error = &maker->error};

    pthread_barrier_wait(maker->barrier);
    maker->answer = ptq_queue_open(maker->bus, maker->name, &options, &maker->queue);
    return NULL;
}

void makers_start(struct makers *makers, ptq_bus *one, ptq_bus *other, const char *name)
{
    ptq_bus *buses[2] = {one, other};

    *makers = (struct makers){.name = ""};
    snprintf(makers->name, sizeof makers->name, "%s", name);
    pthread_barrier_init(&makers->barrier, NULL, 3);
    for (int i = 0; i < 2; i++) {
        makers->each[i] = (struct maker){.bus = buses[i], .name = makers->name, .barrier = &makers->barrier};
        assert_int_equal(pthread_create(&makers->each[i].thread, NULL, make, &makers->each[i]), 0);
    }
    pthread_barrier_wait(&makers->barrier);
}

void makers_join(struct makers *makers)
{
    for (int i = 0; i < 2; i++)
        pthread_join(makers->each[i].thread, NULL);
    pthread_barrier_destroy(&makers->barrier);
}

void makers_close(struct makers *makers)
{
    for (int i = 0; i < 2; i++)
        ptq_queue_close(makers->each[i].queue);
}
