/* pair.h -- the word of a share: {value, meta} in 16 bytes, changed by one compare-and-swap.
 *
 * Law 1 of the ring (a fact lives in one word and changes by one CAS) with a word of twice the size, so that a number of 64 bits and
 * the version that tells of its change cannot come apart when somebody is killed (docs/decisions/shares-are-pairs.md).
 *
 *   meta   version:56 | type:7 | dead:1      every change makes the version one greater; it is never set back
 */
#ifndef PTQ_SHARE_PAIR_H
#define PTQ_SHARE_PAIR_H

#include "base/atomic.h"

/* In shared memory. */
struct pti_pair {
    _Alignas(16) _Atomic uint64_t value;
    _Atomic uint64_t meta;
};
_Static_assert(sizeof(struct pti_pair) == 16, "one word for the processor");

/* What was seen of one, or is to be in one. */
struct pti_pair_is {
    uint64_t value, meta;
};

#define PTI_PAIR_DEAD 1u
#define PTI_PAIR_VERSION 256u

static inline bool pti_pair_is_dead(struct pti_pair_is is) { return is.meta & PTI_PAIR_DEAD; }
static inline unsigned pti_pair_type(struct pti_pair_is is) { return (unsigned)(is.meta >> 1) & 127u; }
static inline uint64_t pti_pair_version(struct pti_pair_is is) { return is.meta / PTI_PAIR_VERSION; }
static inline uint64_t pti_pair_meta(uint64_t version, unsigned type, bool dead)
{
    return version * PTI_PAIR_VERSION + type * 2u + (dead ? PTI_PAIR_DEAD : 0);
}
/* The meta of the next change. */
static inline uint64_t pti_pair_next(struct pti_pair_is is, unsigned type, bool dead)
{
    return pti_pair_meta(pti_pair_version(is) + 1, type, dead);
}

/* Two loads that belong together: the value, and the meta that it had.  False: it changed all the while; try again. */
static inline bool pti_pair_read(const struct pti_pair *pair, struct pti_pair_is *ret_is)
{
    for (int tries = 0; tries < 1000; tries++) {
        ret_is->meta = pti_load_acquire(&pair->meta);
        ret_is->value = pti_load_acquire(&pair->value);
        if (__builtin_expect(pti_load_acquire(&pair->meta) == ret_is->meta, 1))
            return true;
        pti_pause();
    }
    return false;
}

/* seq_cst, a full barrier whether it succeeds or not.  By hand: the compiler would call a library that may take a lock of this
 * process for it, and that is none between two. */
static inline bool pti_pair_cas(struct pti_pair *pair, struct pti_pair_is is, struct pti_pair_is then)
{
#if defined(__x86_64__)
    bool done;

    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(done), "+m"(*pair), "+a"(is.value), "+d"(is.meta)
                     : "b"(then.value), "c"(then.meta)
                     : "memory");
    return done;
#elif defined(__aarch64__)
    uint64_t value, meta;
    uint32_t failed = 1;

    __asm__ volatile("1: ldaxp %0, %1, %3\n"
                     "   cmp %0, %4\n"
                     "   ccmp %1, %5, #0, eq\n"
                     "   b.ne 2f\n"
                     "   stlxp %w2, %6, %7, %3\n"
                     "   cbnz %w2, 1b\n"
                     "2: dmb ish\n"
                     : "=&r"(value), "=&r"(meta), "+&r"(failed), "+Q"(*pair)
                     : "r"(is.value), "r"(is.meta), "r"(then.value), "r"(then.meta)
                     : "cc", "memory");
    return failed == 0;
#else
#error "a compare-and-swap of 16 bytes is needed here"
#endif
}

/* Has this processor one?  All of arm64 have; x86-64 since 2006. */
bool pti_pair_works(void);

#endif
