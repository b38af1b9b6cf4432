/* status.c -- the page that children show themselves on. */
#include "process/status.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int pti_status_new(unsigned count, int *ret_fd, struct pti_status **ret_slots)
{
    size_t size = count * sizeof(struct pti_status);
    int fd = memfd_create("ptq-status", MFD_CLOEXEC);
    if (fd < 0)
        return errno;
    void *slots = ftruncate(fd, (off_t)size) == 0 ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (slots == MAP_FAILED) {
        int error = errno;
        (void)close(fd);
        return error;
    }
    *ret_fd = fd;
    *ret_slots = slots;
    return 0;
}

void pti_status_free(int fd, struct pti_status *slots, unsigned count)
{
    if (slots == NULL)
        return;
    (void)munmap(slots, count * sizeof *slots);
    (void)close(fd);
}

int pti_status_join(int fd, unsigned slot, struct pti_status **ret_slot)
{
    struct stat facts;
    size_t size = ((size_t)slot + 1) * sizeof(struct pti_status);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fstat(fd, &facts) != 0)
        return errno;
    if (facts.st_size < (off_t)size)
        return EINVAL;
    struct pti_status *slots = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (slots == MAP_FAILED)
        return errno;
    *ret_slot = slots + slot;
    return 0;
}
