/* guard.c -- SIGBUS in guarded memory. */
#include "os/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Guards are never given back to the allocator, for a handler may be looking at them: a free one has no base. */
struct pti_guard {
    struct pti_guard *next;
    _Atomic uintptr_t base; /* stored last, cleared first */
    size_t size;
    _Atomic uint32_t *state;
    uint32_t mark;
};

static struct pti_guard *_Atomic guards;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before;
static uintptr_t page_size;
static __thread bool passing __attribute__((tls_model("initial-exec"))); /* a fault, to whom it concerns */

/* Only loads, stores and mmap: this runs in whatever the thread was doing. */
static bool repair(uintptr_t address)
{
    for (struct pti_guard *g = pti_load_acquire(&guards); g != NULL; g = g->next) {
        uintptr_t base = pti_load_acquire(&g->base), page = address & ~(page_size - 1);
        void *zeroes;

        if (base == 0 || address < base || address - base >= g->size)
            continue;
        pti_store_seq(g->state, g->mark);
        /* Everything from here on is lost with it: one fault, not one a page. */
        zeroes = mmap((void *)page, base + g->size - page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
        return zeroes != MAP_FAILED;
    }
    return false;
}

static void pass_on(int number, siginfo_t *info, void *context)
{
    if (passing) { /* that one had been before us, and passes on to us */
        signal(SIGBUS, SIG_DFL);
        return;
    }
    passing = true;
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(number, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(number);
    } else {
        signal(SIGBUS, SIG_DFL); /* the instruction runs again, and ends the process as it would have */
        if (info->si_code <= 0)
            raise(SIGBUS); /* it was sent: nothing runs again */
    }
    passing = false;
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    int saved = errno;

    if (info->si_code <= 0 || !repair((uintptr_t)info->si_addr))
        pass_on(number, info, context);
    errno = saved;
}

/* Under the mutex.  Also where somebody took it from us since. */
static int take_signal(void)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK}, now;

    page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, NULL, &now) != 0)
        return errno;
    if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_bus_error)
        return 0;
    before = now;
    return sigaction(SIGBUS, &action, NULL) == 0 ? 0 : errno;
}

static struct pti_guard *free_guard(void)
{
    struct pti_guard *g = pti_load_relaxed(&guards);

    while (g != NULL && pti_load_relaxed(&g->base) != 0)
        g = g->next;
    if (g == NULL && (g = calloc(1, sizeof *g)) != NULL) {
        g->next = pti_load_relaxed(&guards);
        pti_store_release(&guards, g);
    }
    return g;
}

int pti_guard_new(void *base, size_t size, _Atomic uint32_t *state, uint32_t mark, struct pti_guard **ret_guard)
{
    struct pti_guard *g;
    int error;

    pthread_mutex_lock(&mutex);
    error = take_signal();
    g = error == 0 ? free_guard() : NULL;
    if (g != NULL) {
        g->size = size;
        g->state = state;
        g->mark = mark;
        pti_store_release(&g->base, (uintptr_t)base);
        *ret_guard = g;
    } else if (error == 0) {
        error = ENOMEM;
    }
    pthread_mutex_unlock(&mutex);
    return error;
}

void pti_guard_free(struct pti_guard *guard)
{
    if (guard != NULL)
        pti_store_release(&guard->base, 0);
}
