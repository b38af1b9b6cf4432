/* atomic.h -- C11 atomics under short names, the order written out each time.
 *
 * The ring is written in these words only, so that a simulator can stand in for them.  No fences: ThreadSanitizer
 * cannot see them.  A 64-bit word that is not lock-free would be locked inside one process and silently wrong
 * between two, so such a machine is refused here.
 */
#ifndef PTQ_BASE_ATOMIC_H
#define PTQ_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && sizeof(_Atomic uint64_t) == 8, "ptq needs lock-free 64-bit atomics");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && sizeof(_Atomic uint32_t) == 4, "ptq needs lock-free 32-bit atomics");
_Static_assert(sizeof(void *) == 8, "ptq needs a 64-bit address space");

#define pti_load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define pti_load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define pti_load_seq(p) atomic_load_explicit((p), memory_order_seq_cst)
#define pti_store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define pti_store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define pti_store_seq(p, v) atomic_store_explicit((p), (v), memory_order_seq_cst)

/* Compare-and-swap, strong, seq_cst; on failure *expected is what was there (acquire). */
#define pti_cas(p, expected, desired)                                                                                  \
    atomic_compare_exchange_strong_explicit((p), (expected), (desired), memory_order_seq_cst, memory_order_acquire)

#define pti_exchange_seq(p, v) atomic_exchange_explicit((p), (v), memory_order_seq_cst)
#define pti_fetch_add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define pti_fetch_add_seq(p, v) atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define pti_fetch_or_seq(p, v) atomic_fetch_or_explicit((p), (v), memory_order_seq_cst)
#define pti_fetch_and_seq(p, v) atomic_fetch_and_explicit((p), (v), memory_order_seq_cst)

/* A look into a block that its owner may be filling anew, with plain stores: what it gives counts only if the block's word is the
 * same afterwards.  As an acquiring load; ThreadSanitizer, who cannot know about the word, is not shown it. */
#if defined(__SANITIZE_THREAD__)
static __attribute__((noinline, unused, no_sanitize("thread"))) uint64_t pti_guess_of(const volatile void *p, size_t size)
{
    return size == 8 ? *(const volatile uint64_t *)p : *(const volatile uint32_t *)p;
}
#define pti_load_guess(p) ((__typeof__(+*(p)))pti_guess_of((p), sizeof *(p)))
static __attribute__((noinline, unused, no_sanitize("thread"))) void pti_copy_guess(void *to, const volatile void *from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((volatile char *)to)[i] = ((const volatile char *)from)[i];
}
#else
#define pti_load_guess(p) pti_load_acquire(p)
static inline void pti_copy_guess(void *to, const void *from, size_t size)
{
    if (size > 0)
        memcpy(to, from, size);
}
#endif

/* Asks for a line that will be written soon.  By hand: compilers make a reading prefetch of it unless told the processor,
 * and then the line is fetched twice. */
static inline void pti_prefetch_to_write(const void *p)
{
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
    __builtin_prefetch(p, 1);
#endif
}

/* Tells the processor that this is a polling loop. */
static inline void pti_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

#endif
