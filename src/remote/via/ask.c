/* ask.c -- the queues between a program and its ptqbridge: their names, and how they are made. */
#include "remote/via/ask.h"

#include <stdio.h>

void pti_via_name(char name[static PTI_VIA_NAME], const char *prefix, const uint8_t client[PTI_CLIENT_BYTES], int side)
{
    char digits[2 * PTI_CLIENT_BYTES + 1];

    for (size_t i = 0; i < PTI_CLIENT_BYTES; i++)
        snprintf(digits + 2 * i, 3, "%02x", client[i]);
    if (side < 0)
        snprintf(name, PTI_VIA_NAME, "%s%s", prefix, digits);
    else
        snprintf(name, PTI_VIA_NAME, "%s%s.%d", prefix, digits, side);
}

struct pti_open pti_via_ask_open(void)
{
    return (struct pti_open){.options = {.capacity = 1000,
                                         .item_size = PTI_VIA_ITEM,
                                         .max_endpoints = 2047, .max_dead = 1,
                                         .max_deliveries = PTQ_NEVER,
                                         .header_size = PTQ_NEVER}};
}

struct pti_open pti_via_answer_open(void)
{
    return (struct pti_open){
        .options = {.capacity = 256, .item_size = PTI_VIA_ITEM, .max_deliveries = PTQ_NEVER, .header_size = PTQ_NEVER, .max_dead = 1}};
}

struct pti_open pti_via_bell_open(void)
{
    return (struct pti_open){
        .options = {.capacity = 4, .item_size = 8, .max_deliveries = PTQ_NEVER, .header_size = PTQ_NEVER, .full = PTQ_FULL_FAIL}};
}
