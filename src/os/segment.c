/* segment.c -- a file that is mapped shared: made without a name, linked when whole, opened with checks. */
#include "os/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fork.h"
#include "os/life.h"

#define TEMP_TRIES 16
#define PIECE (UINT64_C(2) << 20) /* reserved at once */
#define WRITTEN_BYTES 4096 /* in a segment by write(2), not through the map: its first page */

static void proc_path(int fd, char path[static 32])
{
    snprintf(path, 32, "/proc/self/fd/%d", fd);
}

/* ---- mapping ---- */

static void clear_segment(struct pti_segment *segment)
{
    *segment = (struct pti_segment){.fd = -1};
}

/* Maps fd, whose status is given, and notes which file it is.  Takes nothing on failure. */
static int map_segment(int fd, const struct stat *status, bool writable, struct pti_segment *segment)
{
    size_t size = (size_t)status->st_size;
    void *base = mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);

    int error = 0;

    if (base == MAP_FAILED)
        return errno;
    if (madvise(base, size, MADV_DONTFORK) != 0)
        error = errno;
    if (error == 0)
        error = pti_fork_close_fd_add(fd); /* a child's copy would keep our locks alive */
    if (error != 0) {
        munmap(base, size);
        return error;
    }
    *segment = (struct pti_segment){.fd = fd,
                                    .base = base,
                                    .size = size,
                                    .dev = status->st_dev,
                                    .ino = status->st_ino,
                                    .writable = writable};
    return 0;
}

/* To a high number.  The kernel closes what a dead process had open from the highest number down, and stands still where that is
 * an inotify instance with watches: for 50 ms, on a busy machine for seconds (measured: 0.4 ms from the kill to the free lock with the
 * segment above it, 45 ms and up to 775 ms below).  So the segment, whose locks say who lives and whose close wakes the others, is
 * to stand above the instance (os/watch.c), which takes the lowest number.  Where there is no such number it stays as it is. */
#define HIGH 240

static int lift(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH);

    if (high < 0)
        return fd;
    close(fd);
    return high;
}

/* ---- making one ---- */

/* With O_TMPFILE the kernel frees what a dead creator leaves.  The file gets its name through /proc. */
static int create_unnamed(int dirfd)
{
    char path[32];
    int fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0)
        return -1;
    proc_path(fd, path);
    if (access(path, F_OK) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Without it: a temporary name, whose creator holds a lock so that gc knows it from one that was left.
 * gc may have come between open and lock: then the name is gone, and another is tried. */
static int create_named(int dirfd, const char *name, char *temp_name, size_t size, int *ret_fd)
{
    for (int i = 0; i < TEMP_TRIES; i++) {
        uint64_t random = 0;
        struct stat held, named;

        if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
            random = (uint64_t)getpid() << 32 | (uint64_t)i;
        if (snprintf(temp_name, size, "%s~new.%016llx", name, (unsigned long long)random) >= (int)size)
            return ENAMETOOLONG;
        int fd = openat(dirfd, temp_name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 && errno != EEXIST)
            return errno;
        if (fd < 0)
            continue;
        if (pti_life_lock_write(fd, PTI_LIFE_CREATOR) == 0 && fstat(fd, &held) == 0 &&
            fstatat(dirfd, temp_name, &named, AT_SYMLINK_NOFOLLOW) == 0 && held.st_ino == named.st_ino) {
            *ret_fd = fd;
            return 0;
        }
        close(fd);
    }
    return EAGAIN;
}

/* The kernel would answer a size beyond the limit with SIGXFSZ, which ends a process: asked before. */
static bool is_beyond_limit(size_t size)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < size;
}

static int shape_file(int fd, size_t size, mode_t mode, struct stat *ret_status)
{
    if (ftruncate(fd, (off_t)size) != 0 || fchmod(fd, mode) != 0 || fstat(fd, ret_status) != 0)
        return errno;
    return 0;
}

int pti_segment_create(int dirfd, const char *name, size_t size, mode_t mode, struct pti_segment *ret_segment,
                       struct pti_segment_temp *ret_temp)
{
    struct pti_segment_temp temp = {.temp_name = ""};
    struct stat status;
    int error = 0;
    int fd;

    if (is_beyond_limit(size))
        return EFBIG;
    pti_fork_block();
    fd = create_unnamed(dirfd);
    if (fd < 0)
        error = create_named(dirfd, name, temp.temp_name, sizeof temp.temp_name, &fd);
    if (error != 0) {
        pti_fork_allow();
        return error;
    }
    fd = lift(fd);
    error = shape_file(fd, size, mode, &status);
    if (error == 0)
        error = map_segment(fd, &status, true, ret_segment);
    if (error != 0) {
        if (temp.temp_name[0] != '\0')
            unlinkat(dirfd, temp.temp_name, 0);
        close(fd);
        pti_fork_allow();
        return error;
    }
    pti_fork_allow();
    *ret_temp = temp;
    return 0;
}

/* The mode last: a change of the owner may take bits away. */
int pti_segment_share(const struct pti_segment *segment, gid_t group, mode_t mode)
{
    return fchown(segment->fd, (uid_t)-1, group) == 0 && fchmod(segment->fd, mode) == 0 ? 0 : errno;
}

int pti_segment_link(const struct pti_segment *segment, struct pti_segment_temp *temp, int dirfd, const char *name)
{
    char path[32];

    if (temp->temp_name[0] == '\0') {
        proc_path(segment->fd, path);
        return linkat(AT_FDCWD, path, dirfd, name, AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
    }
    if (linkat(dirfd, temp->temp_name, dirfd, name, 0) != 0)
        return errno;
    unlinkat(dirfd, temp->temp_name, 0);
    temp->temp_name[0] = '\0';
    pti_life_unlock(segment->fd, PTI_LIFE_CREATOR);
    return 0;
}

void pti_segment_discard(struct pti_segment *segment, const struct pti_segment_temp *temp, int dirfd)
{
    if (temp != NULL && temp->temp_name[0] != '\0')
        unlinkat(dirfd, temp->temp_name, 0);
    pti_segment_close(segment);
}

/* ---- opening one ---- */

/* A regular file.  Two names at most: a creator without O_TMPFILE has two for a moment; more, and somebody has
 * hung a foreign file in here. */
static int check_file(const struct stat *status, size_t min_size)
{
    if (!S_ISREG(status->st_mode) || status->st_nlink > 2)
        return EPERM;
    if (status->st_nlink == 0)
        return ENOENT;
    if (status->st_size <= 0 || (uint64_t)status->st_size < min_size)
        return EIO;
    return 0;
}

/* O_NONBLOCK: a FIFO put in its place must not hold us up. */
int pti_segment_open(int dirfd, const char *name, bool writable, size_t min_size, struct pti_segment *ret_segment)
{
    struct stat status;
    int flags = (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    int fd, error;

    if (writable && is_beyond_limit(WRITTEN_BYTES))
        return EFBIG;
    pti_fork_block();
    fd = openat(dirfd, name, flags);
    if (fd < 0)
        error = errno == ELOOP || errno == EACCES || errno == EISDIR || errno == ENXIO ? EPERM : errno;
    else
        error = fstat(fd, &status) == 0 ? check_file(&status, min_size) : errno;
    if (error == 0 && writable)
        fd = lift(fd);
    if (error == 0)
        error = map_segment(fd, &status, writable, ret_segment);
    if (error != 0 && fd >= 0)
        close(fd);
    pti_fork_allow();
    return error;
}

void pti_segment_close(struct pti_segment *segment)
{
    if (segment == NULL || segment->fd < 0)
        return;
    if (segment->base != NULL)
        munmap(segment->base, segment->size);
    if (pti_segment_is_open(segment))
        pti_fork_close(segment->fd);
    else
        pti_fork_close_fd_remove(segment->fd);
    clear_segment(segment);
}

/* ---- asking about one ---- */

int pti_segment_is_named(const struct pti_segment *segment, int dirfd, const char *name)
{
    struct stat status;

    if (fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno;
    return status.st_dev == segment->dev && status.st_ino == segment->ino ? 0 : ENOENT;
}

/* In a directory with the sticky bit only its owner, the file's and root may. */
int pti_segment_may_unlink(const struct pti_segment *segment, int dirfd)
{
    struct stat directory, file;

    if (faccessat(dirfd, ".", W_OK | X_OK, AT_EACCESS) != 0)
        return errno;
    if (fstat(dirfd, &directory) != 0 || fstat(segment->fd, &file) != 0)
        return errno;
    bool owns = geteuid() == 0 || geteuid() == directory.st_uid || geteuid() == file.st_uid;
    return (directory.st_mode & S_ISVTX) != 0 && !owns ? EPERM : 0;
}

bool pti_segment_is_unlinked(const struct pti_segment *segment)
{
    struct stat status;

    return fstat(segment->fd, &status) == 0 && status.st_dev == segment->dev && status.st_ino == segment->ino &&
           status.st_nlink == 0;
}

bool pti_segment_is_open(const struct pti_segment *segment)
{
    struct stat status;

    return fstat(segment->fd, &status) == 0 && status.st_dev == segment->dev && status.st_ino == segment->ino;
}

/* Mode 0 leaves bytes that have memory alone.  In pieces, a millisecond each: before 6.17 a signal interrupts the kernel at it, which gives
 * back what it had got, so that a program with a timer would never come to the end of a large one. */
int pti_file_reserve(int fd, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to;) {
        uint64_t length = to - at < PIECE ? to - at : PIECE;

        if (fallocate(fd, 0, (off_t)at, (off_t)length) == 0)
            at += length;
        else if (errno != EINTR)
            return errno;
    }
    return 0;
}

/* The file does not grow: the range is inside. */
int pti_segment_reserve(const struct pti_segment *segment, size_t offset, size_t length)
{
    if (length > 0 && (offset > segment->size || length > segment->size - offset))
        return EINVAL;
    return pti_file_reserve(segment->fd, offset, offset + length);
}

void pti_segment_release(const struct pti_segment *segment, size_t offset, size_t length)
{
    (void)!fallocate(segment->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length);
}

/* ---- where it lives ---- */

/* Lines of mountinfo: id parent major:minor root mount-point ...; spaces in it are written \040. */
static void unescape_mount(char *text)
{
    char *to = text;

    for (char *from = text; *from != '\0'; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] != '\0' && from[3] != '\0') {
            *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

static void find_mount(dev_t dev, char *ret_mount, size_t mount_size)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t room = 0;

    ret_mount[0] = '\0';
    if (file == NULL)
        return;
    while (getline(&line, &room, file) > 0) {
        unsigned major_number, minor_number;
        int begin = 0, end = 0;

        if (sscanf(line, "%*d %*d %u:%u %*s %n%*s%n", &major_number, &minor_number, &begin, &end) != 2 || end <= begin)
            continue;
        if (makedev(major_number, minor_number) != dev)
            continue;
        line[end] = '\0';
        unescape_mount(line + begin);
        snprintf(ret_mount, mount_size, "%s", line + begin);
        break;
    }
    free(line);
    fclose(file);
}

int pti_segment_space(const struct pti_segment *segment, uint64_t *ret_free, char *ret_mount, size_t mount_size)
{
    struct statvfs space;

    if (fstatvfs(segment->fd, &space) != 0)
        return errno;
    *ret_free = (uint64_t)space.f_bavail * space.f_frsize;
    if (mount_size > 0)
        find_mount(segment->dev, ret_mount, mount_size);
    return 0;
}
