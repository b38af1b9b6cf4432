/* segment.h -- a file that is mapped shared: made without a name, linked when whole, opened with checks. */
#ifndef PTQ_OS_SEGMENT_H
#define PTQ_OS_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* A mapped segment.  fd is the one open() of this handle: it carries its locks. */
struct pti_segment {
    int fd;
    void *base;
    size_t size;
    dev_t dev;
    ino_t ino;
    bool writable;
};

/* All answer 0 or an errno.
 *
 * create: an unnamed file in `dirfd` (O_TMPFILE; where that or /proc is missing: O_EXCL "<name>~new.<random>", whose
 * name is in `temp_name`), `size` bytes sparse, `mode` by fchmod, mapped shared and MADV_DONTFORK, fd close-on-exec.
 * link: gives it its name; EEXIST leaves an existing one alone.  Then temp_name is removed.
 * discard: unlinks temp_name, unmaps, closes.  For a segment that was never linked. */
struct pti_segment_temp {
    char temp_name[200]; /* "" with O_TMPFILE */
};
int pti_segment_create(int dirfd, const char *name, size_t size, mode_t mode, struct pti_segment *ret_segment,
                       struct pti_segment_temp *ret_temp);
int pti_segment_link(const struct pti_segment *segment, struct pti_segment_temp *temp, int dirfd, const char *name);
/* Gives the file to a group, with these permission bits.  EPERM: not a group of this process. */
int pti_segment_share(const struct pti_segment *segment, gid_t group, mode_t mode);
void pti_segment_discard(struct pti_segment *segment, const struct pti_segment_temp *temp, int dirfd);

/* open: O_NOFOLLOW, a regular file, owned by this user or root (or the caller may read/write it by its mode), at least
 * `min_size` bytes; maps the whole of it, MADV_DONTFORK.  read-only: PROT_READ and O_RDONLY.
 * ENOENT; EPERM for a file that is not ours to trust; EIO if shorter than min_size; EFBIG where RLIMIT_FSIZE would turn a
 * signal to other processes (ring/wait.c) into SIGXFSZ. */
int pti_segment_open(int dirfd, const char *name, bool writable, size_t min_size, struct pti_segment *ret_segment);

/* Unmaps, then closes (which lets go every lock).  Idempotent. */
void pti_segment_close(struct pti_segment *segment);

/* Does `name` in dirfd still lead to this inode?  0 yes, ENOENT no (removed or replaced), else errno. */
int pti_segment_is_named(const struct pti_segment *segment, int dirfd, const char *name);

/* May this user take its name in dirfd away?  0, EACCES or EPERM; to be asked before anything is done that only that ends. */
int pti_segment_may_unlink(const struct pti_segment *segment, int dirfd);

/* Has it lost its last name?  It never gets one again. */
bool pti_segment_is_unlinked(const struct pti_segment *segment);

/* Is fd still this inode (closefrom, daemon may have given its number away)? */
bool pti_segment_is_open(const struct pti_segment *segment);

/* Gives the bytes from `from` to `to` of a file real memory; the file becomes as long.  0 or an errno; what it got until then stays. */
int pti_file_reserve(int fd, uint64_t from, uint64_t to);
/* Gives the range real memory; ENOSPC instead of a later SIGBUS.  Bytes that have memory already are left alone. */
int pti_segment_reserve(const struct pti_segment *segment, size_t offset, size_t length);
/* Takes the memory back: it reads as zeroes, until it is reserved again.  Where that cannot be, it stays as it is. */
void pti_segment_release(const struct pti_segment *segment, size_t offset, size_t length);

/* Free bytes of the file system that holds it, and the path of its mount point (best effort: "" if unknown). */
int pti_segment_space(const struct pti_segment *segment, uint64_t *ret_free, char *ret_mount, size_t mount_size);

#endif
