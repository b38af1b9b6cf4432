/* received.c -- answers that came out of turn. */
#include "remote/received.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

void pti_received_add(struct pti_received *received, uint64_t number)
{
    if (received->count == received->room) {
        size_t room = received->room == 0 ? 2 * PTI_RECEIVED_DUE : 2 * received->room;
        struct pti_received_one *grown = realloc(received->ones, room * sizeof *grown);
        if (grown == NULL)
            return;
        received->ones = grown;
        received->room = room;
    }
    received->ones[received->count++] = (struct pti_received_one){.number = number};
}

static void drop_first(struct pti_received *received, size_t count)
{
    received->count -= count;
    received->said -= count;
    memmove(received->ones, received->ones + count, received->count * sizeof *received->ones);
}

void pti_received_confirm(struct pti_received *received, uint64_t number)
{
    size_t read = 0;

    while (read < received->said && received->ones[read].said_before <= number)
        read++;
    if (read > 0)
        drop_first(received, read);
}

void pti_received_unsay(struct pti_received *received)
{
    received->said = 0;
}

/* What `ack` has passed since needs no word. */
static void forget_passed(struct pti_received *received, uint64_t ack)
{
    size_t kept = received->said;

    for (size_t i = received->said; i < received->count; i++) {
        if (received->ones[i].number > ack)
            received->ones[kept++] = received->ones[i];
    }
    received->count = kept;
}

size_t pti_received_say(struct pti_received *received, uint64_t ack, uint64_t next, size_t least, uint8_t *bytes)
{
    size_t size = 0;

    if (received->count - received->said < least)
        return 0;
    forget_passed(received, ack);
    while (received->said < received->count && size < 8 * PTI_RECEIVED_MOST) {
        struct pti_received_one *one = &received->ones[received->said++];
        one->said_before = next;
        pti_store64(bytes + size, one->number);
        size += 8;
    }
    return size;
}

void pti_received_fini(struct pti_received *received)
{
    free(received->ones);
    *received = (struct pti_received){0};
}
