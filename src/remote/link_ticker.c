/* link_ticker.c -- a clock on nng's threads: each tick says when the next is wanted. */
#include <limits.h>
#include <stdlib.h>

#include "remote/link_own.h"

struct pti_ticker {
    nng_aio *sleep;
    int (*tick)(void *context);
    void *context;
    pthread_mutex_t mutex;
    bool again, stopped;
};

/* Law: the sleep begins under the mutex, and a poke takes it: no poke falls between the look at `again` and the sleep. */
static void on_tick(void *context)
{
    struct pti_ticker *ticker = context;

    for (;;) {
        pthread_mutex_lock(&ticker->mutex);
        ticker->again = false;
        bool stopped = ticker->stopped;
        pthread_mutex_unlock(&ticker->mutex);
        if (stopped)
            return;
        int wait_ms = ticker->tick(ticker->context);
        pthread_mutex_lock(&ticker->mutex);
        bool again = ticker->again;
        if (!again && !ticker->stopped)
            nng_sleep_aio(wait_ms < 0 ? INT_MAX : wait_ms, ticker->sleep);
        pthread_mutex_unlock(&ticker->mutex);
        if (!again)
            return;
    }
}

enum ptq_err pti_ticker_start(int (*tick)(void *context), void *context, struct pti_ticker **ret_ticker)
{
    enum ptq_err may = pti_link_may_start();

    if (may != PTQ_OK)
        return may;
    struct pti_ticker *ticker = calloc(1, sizeof *ticker);
    if (ticker == NULL || nng_aio_alloc(&ticker->sleep, on_tick, ticker) != 0) {
        free(ticker);
        return PTQ_ENOMEM;
    }
    ticker->tick = tick;
    ticker->context = context;
    pthread_mutex_init(&ticker->mutex, NULL);
    *ret_ticker = ticker;
    nng_sleep_aio(0, ticker->sleep);
    return PTQ_OK;
}

void pti_ticker_poke(struct pti_ticker *ticker)
{
    pthread_mutex_lock(&ticker->mutex);
    ticker->again = true;
    nng_aio_cancel(ticker->sleep);
    pthread_mutex_unlock(&ticker->mutex);
}

void pti_ticker_stop(struct pti_ticker *ticker)
{
    if (ticker == NULL)
        return;
    pthread_mutex_lock(&ticker->mutex);
    ticker->stopped = true;
    pthread_mutex_unlock(&ticker->mutex);
    nng_aio_stop(ticker->sleep);
}

void pti_ticker_free(struct pti_ticker *ticker)
{
    if (ticker == NULL)
        return;
    pti_ticker_stop(ticker);
    nng_aio_free(ticker->sleep);
    pthread_mutex_destroy(&ticker->mutex);
    free(ticker);
}
