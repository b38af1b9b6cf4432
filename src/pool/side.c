/* side.c -- the side files of a pool: beside its queue of jobs, and gone with it. */
#include "pool/side.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fork.h"
#include "os/side.h"
#include "ring/side.h"

/* The queue's own file says who may use what stands beside it. */
static int look_at_segment(ptq_bus *bus, const char *jobs, struct stat *ret_status)
{
    char file[PTI_FILE_NAME_MAX], path[sizeof bus->path + PTI_FILE_NAME_MAX + 1];
    pti_segment_file(jobs, file, sizeof file);
    (void)snprintf(path, sizeof path, "%s/%s", bus->path, file);
    return lstat(path, ret_status) == 0 ? 0 : errno;
}

int pti_pool_side_open(ptq_bus *bus, const char *jobs, const uint8_t id[16], const char *kind, bool make, int *ret_fd)
{
    char prefix[PTI_SIDE_NAME_MAX], file[PTI_SIDE_NAME_MAX + 8];
    struct pti_side_dir dir;
    struct stat segment, status;
    bool made = false;
    int fd;
    int error = look_at_segment(bus, jobs, &segment);
    if (error == 0)
        error = pti_side_dir_init(&dir, bus->dirfd, bus->path);
    if (error != 0)
        return error;
    pti_side_prefix(jobs, id, prefix);
    (void)snprintf(file, sizeof file, "%s%s", prefix, kind);
    error = make ? pti_side_make(&dir, file, &segment, &fd, &status, &made)
                 : pti_side_open(&dir, file, &segment, false, &fd, &status);
    if (error == 0 && made && look_at_segment(bus, jobs, &segment) != 0) { /* it was removed meanwhile, with its side files */
        (void)unlinkat(dir.fd, file, 0);
        (void)close(fd);
        error = ENOENT;
    }
    pti_side_dir_fini(&dir);
    if (error == 0)
        *ret_fd = fd;
    return error;
}

int pti_pool_side_join(ptq_bus *bus, const char *jobs, const uint8_t id[16], const char *kind, int *ret_fd)
{
    int fd;
    pti_fork_block();
    int error = pti_pool_side_open(bus, jobs, id, kind, true, &fd);
    if (error == 0) {
        error = pti_fork_close_fd_add(fd);
        if (error != 0)
            (void)close(fd);
    }
    pti_fork_allow();
    if (error == 0)
        *ret_fd = fd;
    return error;
}
