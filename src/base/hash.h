/* hash.h -- FNV-1a, 64 bits: for tables and against accidents, not against an attacker. */
#ifndef PTQ_BASE_HASH_H
#define PTQ_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t pti_hash(const void *data, size_t size)
{
    const unsigned char *byte = data;
    uint64_t hash = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ byte[i]) * UINT64_C(1099511628211);
    return hash;
}

#endif
