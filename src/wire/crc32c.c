/* crc32c.c -- the checksum of frames: CRC-32C (Castagnoli), by the processor where it can. */
#include "wire/crc32c.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */

/* table[k][b]: byte b followed by k zero bytes. */
static uint32_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_table(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
        table[0][byte] = crc;
    }
    for (int k = 1; k < 8; k++) {
        for (int byte = 0; byte < 256; byte++)
            table[k][byte] = table[k - 1][byte] >> 8 ^ table[0][table[k - 1][byte] & 0xff];
    }
}

uint32_t pti_crc32c_portable(uint32_t crc, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    pthread_once(&once, fill_table);
    crc = ~crc;
    for (; size >= 8; size -= 8, at += 8) {
        uint32_t low = crc ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24);
        crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^ table[4][low >> 24] ^
              table[3][at[4]] ^ table[2][at[5]] ^ table[1][at[6]] ^ table[0][at[7]];
    }
    for (; size > 0; size--, at++)
        crc = crc >> 8 ^ table[0][(crc ^ *at) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

#define STRETCH 1024u /* bytes of each of three streams */

/* behind[k][b]: what STRETCH zero bytes make of a sum whose byte k is b and whose others are 0. */
static uint32_t behind[4][256];
static pthread_once_t behind_once = PTHREAD_ONCE_INIT;

__attribute__((target("sse4.2"))) static uint32_t sum_stretch(uint32_t sum, const uint8_t *at, size_t size)
{
    uint64_t wide = sum;

    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    sum = (uint32_t)wide;
    for (; size > 0; size--, at++)
        sum = _mm_crc32_u8(sum, *at);
    return sum;
}

static void fill_behind(void)
{
    static const uint8_t zeroes[STRETCH];

    for (unsigned k = 0; k < 4; k++) {
        for (unsigned byte = 1; byte < 256; byte++) { /* the sum is linear: each bit by itself, then their mixtures */
            unsigned rest = byte & (byte - 1);
            behind[k][byte] = rest != 0 ? behind[k][rest] ^ behind[k][byte ^ rest]
                                        : sum_stretch((uint32_t)byte << 8 * k, zeroes, STRETCH);
        }
    }
}

static inline uint32_t put_behind(uint32_t sum)
{
    return behind[0][sum & 0xff] ^ behind[1][sum >> 8 & 0xff] ^ behind[2][sum >> 16 & 0xff] ^ behind[3][sum >> 24];
}

/* The instruction takes 3 cycles and may begin each cycle: three streams side by side hide that. */
__attribute__((target("sse4.2"))) static uint32_t sum_three(uint32_t sum, const uint8_t *at)
{
    uint64_t first = sum, second = 0, third = 0, word;

    for (size_t i = 0; i < STRETCH; i += 8) {
        memcpy(&word, at + i, sizeof word);
        first = _mm_crc32_u64(first, word);
        memcpy(&word, at + STRETCH + i, sizeof word);
        second = _mm_crc32_u64(second, word);
        memcpy(&word, at + (size_t)2 * STRETCH + i, sizeof word);
        third = _mm_crc32_u64(third, word);
    }
    return put_behind(put_behind((uint32_t)first) ^ (uint32_t)second) ^ (uint32_t)third;
}

static uint32_t hardware(uint32_t crc, const uint8_t *at, size_t size)
{
    uint32_t sum = ~crc;

    if (size >= (size_t)3 * STRETCH)
        pthread_once(&behind_once, fill_behind);
    for (; size >= (size_t)3 * STRETCH; size -= (size_t)3 * STRETCH, at += (size_t)3 * STRETCH)
        sum = sum_three(sum, at);
    return ~sum_stretch(sum, at, size);
}

uint32_t pti_crc32c(uint32_t crc, const void *bytes, size_t size)
{
    return __builtin_cpu_supports("sse4.2") ? hardware(crc, bytes, size) : pti_crc32c_portable(crc, bytes, size);
}

#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>

uint32_t pti_crc32c(uint32_t crc, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    crc = ~crc;
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        crc = __crc32cd(crc, word);
    }
    for (; size > 0; size--, at++)
        crc = __crc32cb(crc, *at);
    return ~crc;
}

#else

uint32_t pti_crc32c(uint32_t crc, const void *bytes, size_t size)
{
    return pti_crc32c_portable(crc, bytes, size);
}

#endif
