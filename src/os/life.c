/* life.c -- who is alive, by the kernel's word: OFD locks on bytes of the segment's inode. */
#include "os/life.h"

#include <errno.h>
#include <fcntl.h>

static int set_lock(int fd, short type, int64_t start, int64_t length)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};

    while (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        if (errno != EINTR)
            return errno == EACCES ? EAGAIN : errno;
    }
    return 0;
}

int pti_life_lock_write(int fd, uint32_t byte)
{
    return set_lock(fd, F_WRLCK, PTI_LIFE_BASE + byte, 1);
}

int pti_life_lock_read(int fd, uint32_t byte)
{
    return set_lock(fd, F_RDLCK, PTI_LIFE_BASE + byte, 1);
}

int pti_life_unlock(int fd, uint32_t byte)
{
    return set_lock(fd, F_UNLCK, PTI_LIFE_BASE + byte, 1);
}

int pti_life_lock_all(int fd)
{
    return set_lock(fd, F_WRLCK, PTI_LIFE_BASE, PTI_LIFE_BYTES);
}

int pti_life_unlock_all(int fd)
{
    return set_lock(fd, F_UNLCK, PTI_LIFE_BASE, PTI_LIFE_BYTES);
}

int pti_life_is_locked(int fd, uint32_t byte)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = PTI_LIFE_BASE + byte, .l_len = 1};

    if (fcntl(fd, F_OFD_GETLK, &lock) != 0)
        return -1;
    return lock.l_type != F_UNLCK;
}
