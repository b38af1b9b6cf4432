/* directory.h -- the directory that is a bus: made, checked, listed. */
#ifndef PTQ_BUS_DIRECTORY_H
#define PTQ_BUS_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include <ptq/err.h>

struct pti_segment;

/* Opens <dir>/<run>, making both where they are missing (0700).  `chosen`: a person chose dir, who may have opened it to
 * a group; the default directory is one user's alone.  `path` gets its absolute path (`size` bytes). */
enum ptq_err pti_directory_open(const char *dir, const char *run, bool chosen, struct ptq_error *error, char *path,
                                size_t size, int *ret_dirfd);

/* A page in the bus: who may come into the directory may use it.  0 or an errno; who is not of that group keeps it for himself. */
int pti_directory_share(int dirfd, const struct pti_segment *segment);

/* Was nothing made, renamed or removed in it since *seen was told?  A change counts as old after `settled_ms`: the clock of files stands
 * still for some milliseconds at a time.  false: *seen is told anew, for what is read now.  All zero: it was never told. */
bool pti_directory_is_same(int dirfd, int settled_ms, struct timespec *seen);

#endif
