/* pair.c -- has this processor a compare-and-swap of 16 bytes? */
#include "share/pair.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

bool pti_pair_works(void)
{
#if defined(__x86_64__)
    unsigned a, b, c = 0, d;

    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_CMPXCHG16B) != 0;
#else
    return true;
#endif
}
