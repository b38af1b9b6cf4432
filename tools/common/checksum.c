/* checksum.c -- CRC-32C, eight bytes at a step by tables. */
#include "checksum.h"

#include <pthread.h>

static uint32_t table[8][256]; /* table[k][b]: byte b, and k zero bytes behind it */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_table(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        table[0][byte] = byte;
        for (int bit = 0; bit < 8; bit++)
            table[0][byte] = table[0][byte] >> 1 ^ ((table[0][byte] & 1) != 0 ? 0x82f63b78u : 0);
    }
    for (int k = 1; k < 8; k++)
        for (int byte = 0; byte < 256; byte++)
            table[k][byte] = table[k - 1][byte] >> 8 ^ table[0][table[k - 1][byte] & 0xff];
}

uint32_t tool_crc32c(uint32_t sum, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;

    pthread_once(&once, fill_table);
    sum = ~sum;
    for (; size >= 8; size -= 8, at += 8)
        sum = table[7][at[0] ^ (sum & 0xff)] ^ table[6][at[1] ^ (sum >> 8 & 0xff)] ^ table[5][at[2] ^ (sum >> 16 & 0xff)] ^
              table[4][at[3] ^ sum >> 24] ^ table[3][at[4]] ^ table[2][at[5]] ^ table[1][at[6]] ^ table[0][at[7]];
    for (; size > 0; size--)
        sum = sum >> 8 ^ table[0][(sum ^ *at++) & 0xff];
    return ~sum;
}
