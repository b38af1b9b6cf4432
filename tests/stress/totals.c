/* totals.c -- a sheet of counters that the programs of a soak share. */
#include "stress/totals.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic uint64_t own[TOTALS], *sheet;

static _Atomic uint64_t *map(const char *path, int flags)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
    void *memory = MAP_FAILED;

    if (fd < 0)
        return NULL;
    if (ftruncate(fd, sizeof own) == 0)
        memory = mmap(NULL, sizeof own, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return memory == MAP_FAILED ? NULL : memory;
}

_Atomic uint64_t *totals_make(const char *path) { return sheet = map(path, O_CREAT | O_EXCL); }

static _Atomic uint64_t *join(void)
{
    const char *path = getenv(TOTALS_ENVIRONMENT);

    if (!sheet && path)
        sheet = map(path, 0);
    return sheet ? sheet : own;
}

void totals_add(unsigned total, uint64_t count) { join()[total] += count; }

uint64_t totals_get(unsigned total) { return join()[total]; }

void totals_add_history(const struct history_report *report)
{
    totals_add(TOTAL_TAKEN, report->takes);
    totals_add(TOTAL_FLAGGED, report->again);
    totals_add(TOTAL_ACKED, report->acks);
    totals_add(TOTAL_LOST, report->lost);
    totals_add(TOTAL_DOUBLED, report->doubled);
    totals_add(TOTAL_EVENTS, report->events);
    totals_add(TOTAL_NOTHING, report->empties);
    totals_add(TOTAL_NO_ROOM, report->fulls);
    totals_add(TOTAL_BREACHES, report->violations);
}
