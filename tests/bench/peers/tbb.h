/* tbb.h -- TBB's pipeline for C; see tbb.c. */
#ifndef PTQ_BENCH_TBB_H
#define PTQ_BENCH_TBB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C"
#endif
/* pull fills `size` bytes, give looks at them; either ends it by false.  How many came out. */
uint64_t bench_tbb_run(size_t size, size_t tokens, bool (*pull)(void *context, uint64_t *words),
                       bool (*give)(void *context, const uint64_t *words), void *context);

#endif
