/* side.c -- a side file: large bytes that belong to a segment, in a file of their own beside it. */
#include "os/side.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fork.h"
#include "os/segment.h"

#define MAKE_TRIES 8

/* ---- the directory ---- */

int pti_side_dir_init(struct pti_side_dir *dir, int dirfd, const char *path)
{
    struct stat status;
    int error = 0;

    *dir = (struct pti_side_dir){.fd = -1};
    if (fstat(dirfd, &status) != 0)
        return errno;
    dir->path = strdup(path);
    if (dir->path == NULL)
        return ENOMEM;
    pti_fork_block();
    dir->fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
    error = dir->fd < 0 ? errno : pti_fork_close_fd_add(dir->fd);
    pti_fork_allow();
    if (error != 0) {
        if (dir->fd >= 0)
            close(dir->fd);
        free(dir->path);
        *dir = (struct pti_side_dir){.fd = -1};
        return error;
    }
    dir->dev = status.st_dev;
    dir->ino = status.st_ino;
    return 0;
}

static bool is_same(const struct pti_side_dir *dir, int fd)
{
    struct stat status;

    return fd >= 0 && fstat(fd, &status) == 0 && status.st_dev == dir->dev && status.st_ino == dir->ino;
}

void pti_side_dir_fini(struct pti_side_dir *dir)
{
    if (dir->path == NULL)
        return;
    if (is_same(dir, dir->fd))
        pti_fork_close(dir->fd);
    else
        pti_fork_close_fd_remove(dir->fd);
    free(dir->path);
    *dir = (struct pti_side_dir){.fd = -1};
}

/* A descriptor of the directory, for as long as a call takes: drop_dir closes what had to be opened. */
static int hold_dir(const struct pti_side_dir *dir)
{
    int fd;

    if (is_same(dir, dir->fd))
        return dir->fd;
    fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || is_same(dir, fd))
        return fd;
    close(fd);
    errno = ENOENT;
    return -1;
}

static void drop_dir(const struct pti_side_dir *dir, int fd)
{
    if (fd >= 0 && fd != dir->fd)
        close(fd);
}

/* ---- opening and making ---- */

static bool is_trusted(const struct stat *status, const struct stat *segment)
{
    bool ours = status->st_uid == geteuid() || status->st_uid == segment->st_uid || status->st_uid == 0;
    bool group = (segment->st_mode & 0060) == 0060 && status->st_gid == segment->st_gid;

    return S_ISREG(status->st_mode) && status->st_nlink == 1 && status->st_dev == segment->st_dev && (ours || group);
}

/* O_NONBLOCK: a FIFO put in its place must not hold us up. */
static int open_checked(int dirfd, const char *name, const struct stat *segment, bool writable, int *ret_fd,
                        struct stat *ret_status)
{
    struct stat status;
    int error;
    int fd = openat(dirfd, name, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return errno == ELOOP || errno == EISDIR || errno == ENXIO ? EPERM : errno;
    error = fstat(fd, &status) != 0 ? errno : is_trusted(&status, segment) ? 0 : EPERM;
    if (error != 0) {
        close(fd);
        return error;
    }
    *ret_fd = fd;
    *ret_status = status;
    return 0;
}

int pti_side_open(struct pti_side_dir *dir, const char *name, const struct stat *segment, bool writable, int *ret_fd,
                  struct stat *ret_status)
{
    int dirfd = hold_dir(dir);
    int error = dirfd < 0 ? errno : open_checked(dirfd, name, segment, writable, ret_fd, ret_status);

    drop_dir(dir, dirfd);
    return error;
}

/* As the segment: who may use the one must be able to use the other. */
static int shape(int fd, const struct stat *segment, struct stat *ret_status)
{
    if (fstat(fd, ret_status) != 0)
        return errno;
    if (geteuid() == 0 && ret_status->st_uid != segment->st_uid && fchown(fd, segment->st_uid, (gid_t)-1) != 0)
        return errno;
    if (ret_status->st_gid != segment->st_gid && fchown(fd, (uid_t)-1, segment->st_gid) != 0 &&
        (segment->st_mode & 0070) != 0)
        return errno;
    if (fchmod(fd, segment->st_mode & 0666) != 0 || fstat(fd, ret_status) != 0)
        return errno;
    return 0;
}

static int make_one(int dirfd, const char *name, const struct stat *segment, int *ret_fd, struct stat *ret_status)
{
    int fd = openat(dirfd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    int error;

    if (fd < 0)
        return errno;
    error = shape(fd, segment, ret_status);
    if (error != 0) {
        unlinkat(dirfd, name, 0);
        close(fd);
        return error;
    }
    *ret_fd = fd;
    return 0;
}

/* What is there was made by an earlier owner, perhaps one who died before it was whole, or put there by somebody else. */
static int open_or_make(int dirfd, const char *name, const struct stat *segment, int *ret_fd, struct stat *ret_status,
                        bool *ret_made)
{
    int error = EAGAIN;

    for (int i = 0; i < MAKE_TRIES; i++) {
        *ret_made = false;
        error = open_checked(dirfd, name, segment, true, ret_fd, ret_status);
        if ((error == EPERM || error == EACCES) && unlinkat(dirfd, name, 0) != 0 && errno != ENOENT)
            return EPERM;
        if (error != EPERM && error != EACCES && error != ENOENT)
            return error;
        *ret_made = true;
        error = make_one(dirfd, name, segment, ret_fd, ret_status);
        if (error != EEXIST)
            return error;
    }
    return error;
}

int pti_side_make(struct pti_side_dir *dir, const char *name, const struct stat *segment, int *ret_fd, struct stat *ret_status,
                  bool *ret_made)
{
    int dirfd = hold_dir(dir);
    int error = dirfd < 0 ? errno : open_or_make(dirfd, name, segment, ret_fd, ret_status, ret_made);

    drop_dir(dir, dirfd);
    return error;
}

/* ---- memory ---- */

int pti_side_reserve(int fd, uint64_t from, uint64_t size)
{
    int error = pti_file_reserve(fd, from, size);

    /* It is not made shorter again: somebody may have seen how long it was. */
    if (error != 0)
        (void)!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(size - from));
    return error;
}

int pti_side_punch(int fd)
{
    struct stat status;

    if (fstat(fd, &status) != 0)
        return errno;
    if (status.st_size == 0 || fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, status.st_size) == 0)
        return 0;
    return errno;
}

int pti_side_map(int fd, size_t size, bool writable, void **ret_base)
{
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *base = mmap(NULL, size, protection, MAP_SHARED | MAP_NORESERVE, fd, 0);

    if (base == MAP_FAILED)
        return errno;
    if (madvise(base, size, MADV_DONTFORK) != 0) {
        int error = errno;

        munmap(base, size);
        return error;
    }
    *ret_base = base;
    return 0;
}

void pti_side_unmap(void *base, size_t size)
{
    if (base != NULL)
        munmap(base, size);
}

/* ---- away ---- */

int pti_side_unlink_all(struct pti_side_dir *dir, const char *prefix)
{
    int dirfd = hold_dir(dir), error = 0;
    int list = dirfd < 0 ? -1 : openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *names = list < 0 ? NULL : fdopendir(list);
    struct dirent *entry;

    if (names == NULL) {
        error = errno;
        if (list >= 0)
            close(list);
        drop_dir(dir, dirfd);
        return error;
    }
    while ((entry = readdir(names)) != NULL)
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && unlinkat(dirfd, entry->d_name, 0) != 0 && errno != ENOENT)
            error = errno;
    closedir(names);
    drop_dir(dir, dirfd);
    return error;
}
