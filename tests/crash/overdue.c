/* overdue.c -- makes it late without waiting: when a lease began, when somebody is to look or has looked, is set back in the file.
 *
 * So the limit of a queue can be an hour, and no lease but these runs out, however long a victim takes step by step.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crash/scene.h"
#include "ring/layout.h"

#define LONG_AGO 400 /* units of a 256th of the limit */

static void set_back(unsigned char *bytes, uint64_t position)
{
    const struct pti_geometry *g = &((const struct pti_header *)(const void *)bytes)->geometry;
    struct pti_hints *hints = (struct pti_hints *)(void *)(bytes + g->off_hints);

    for (uint32_t i = 0; i < g->blocks; i++) {
        struct pti_block *b = (struct pti_block *)(void *)(bytes + g->off_blocks + (uint64_t)i * g->stride);
        if (pti_word_state(b->word) == PTI_LEASED && pti_word_position(b->word) == position)
            b->leased_at = (uint16_t)(b->leased_at - LONG_AGO);
    }
    hints->next_due = ((hints->next_due >> 48) + 1) << 48 | 1;
}

static unsigned char *map_queue(size_t *ret_size)
{
    struct stat status;
    int fd = open(script_path, O_RDWR | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &status) != 0)
        abort();
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (bytes == MAP_FAILED)
        abort();
    *ret_size = (size_t)status.st_size;
    return bytes;
}

void scene_forget_looks(void)
{
    size_t size;
    unsigned char *bytes = map_queue(&size);
    const struct pti_geometry *g = &((const struct pti_header *)(const void *)bytes)->geometry;

    ((struct pti_hints *)(void *)(bytes + g->off_hints))->probed_ms = 0;
    munmap(bytes, size);
}

void scene_make_overdue(const struct ledger_actor *actor, size_t which)
{
    size_t size;

    if (which >= actor->held_count)
        return; /* its get came too late */
    unsigned char *bytes = map_queue(&size);
    set_back(bytes, ptq_msg_position(actor->held[which]));
    munmap(bytes, size);
}
