/* trace.c -- frames by glibc's backtrace. */
#include "os/trace.h"

#include <errno.h>
#include <execinfo.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the kernel keeps the names while they are written: there is no function that writes to memory.  Which file it was is remembered:
 * after closefrom() the number may stand for another. */
static int scratch = -1;
static struct stat scratch_status;

static bool is_scratch(void)
{
    struct stat status;
    return scratch >= 0 && fstat(scratch, &status) == 0 && status.st_dev == scratch_status.st_dev &&
           status.st_ino == scratch_status.st_ino;
}

int pti_trace_prepare(void)
{
    struct pti_frames first;
    pti_frames_take(&first, 0); /* loads the unwinder */
    if (!is_scratch())
        scratch = memfd_create("ptq-trace", MFD_CLOEXEC);
    return scratch >= 0 && fstat(scratch, &scratch_status) == 0 ? 0 : errno;
}

void pti_frames_take(struct pti_frames *frames, unsigned skip)
{
    void *all[PTI_FRAMES_MAX + 8];
    int count = backtrace(all, PTI_FRAMES_MAX + 8);
    unsigned first = skip + 1;
    frames->count = 0;
    for (unsigned i = first; count > 0 && i < (unsigned)count && frames->count < PTI_FRAMES_MAX; i++)
        frames->frame[frames->count++] = all[i];
}

/* No half line at the end. */
static void cut(char *buffer)
{
    char *end = strrchr(buffer, '\n');
    if (end != NULL)
        *end = 0;
}

void pti_frames_text(const struct pti_frames *frames, char *buffer, size_t size)
{
    size_t used = 0;
    char **names = frames->count != 0 ? backtrace_symbols(frames->frame, (int)frames->count) : NULL;
    buffer[0] = 0;
    for (unsigned i = 0; names != NULL && i < frames->count; i++) {
        size_t length = strlen(names[i]);
        if (used + length + 2 > size)
            break;
        memcpy(buffer + used, names[i], length);
        used += length;
        buffer[used++] = '\n';
        buffer[used] = 0;
    }
    cut(buffer);
    free(names);
}

void pti_frames_text_in_signal(const struct pti_frames *frames, char *buffer, size_t size)
{
    int fd = is_scratch() ? scratch : memfd_create("ptq-trace", MFD_CLOEXEC);
    buffer[0] = 0;
    if (fd >= 0 && ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0) {
        backtrace_symbols_fd(frames->frame, (int)frames->count, fd);
        ssize_t count = pread(fd, buffer, size - 1, 0);
        buffer[count > 0 ? count : 0] = 0;
        cut(buffer);
    }
    if (fd >= 0 && fd != scratch)
        (void)close(fd);
}
