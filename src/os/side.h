/* side.h -- a side file: large bytes that belong to a segment, in a file of their own beside it. */
#ifndef PTQ_OS_SIDE_H
#define PTQ_OS_SIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* The directory that side files lie in: this process's own descriptor of it.  `path` finds it again where the descriptor was
 * closed behind our back; device and inode tell that it is still the same. */
struct pti_side_dir {
    int fd;
    dev_t dev;
    ino_t ino;
    char *path;
};

/* All answer 0 or an errno. */
int pti_side_dir_init(struct pti_side_dir *dir, int dirfd, const char *path);
void pti_side_dir_fini(struct pti_side_dir *dir);

/* Opens `name` for the segment whose status is given.  Nothing is trusted: no link is followed; it must be a regular file on
 * the segment's file system, with one name, of this user, of the segment's or of root, or (a segment open to its group) of its
 * group.  ENOENT; EACCES; EPERM for one that is not to be trusted.
 * pti_side_make replaces what is not to be trusted, or makes a new one, empty, with the segment's owner, group and mode: only who
 * owns what it belongs to may call it.  *ret_made: it was made now. */
int pti_side_open(struct pti_side_dir *dir, const char *name, const struct stat *segment, bool writable, int *ret_fd,
                  struct stat *ret_status);
int pti_side_make(struct pti_side_dir *dir, const char *name, const struct stat *segment, int *ret_fd, struct stat *ret_status,
                  bool *ret_made);

/* Gives the bytes from `from` to `size` real memory; the file becomes as long.  On failure they have none
 * (`from` < `size`). */
int pti_side_reserve(int fd, uint64_t from, uint64_t size);

/* Takes the memory from it; its length stays. */
int pti_side_punch(int fd);

/* Maps `size` bytes of it, also beyond its end: not to be touched there.  Shared, and not for forked children. */
int pti_side_map(int fd, size_t size, bool writable, void **ret_base);
void pti_side_unmap(void *base, size_t size);

/* Unlinks every file of the directory whose name begins with `prefix`. */
int pti_side_unlink_all(struct pti_side_dir *dir, const char *prefix);

#endif
