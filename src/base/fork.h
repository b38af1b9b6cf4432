/* fork.h -- what must not pass into a forked child: descriptors whose copies would keep a lock alive.
 *
 * An OFD lock lives as long as any copy of its descriptor.  A child that inherits one would make a dead parent look
 * alive, so each such descriptor is listed here, and a handler closes the child's copies before any of its code runs.
 * A raw clone() passes by the handlers: a limit that is documented.
 *
 *     pti_fork_block();                     no fork between open and add
 *     fd = open(...);
 *     error = pti_fork_close_fd_add(fd);
 *     pti_fork_allow();
 *     ...
 *     pti_fork_close(fd);                   no fork between remove and close
 */
#ifndef PTQ_BASE_FORK_H
#define PTQ_BASE_FORK_H

#include <stdint.h>

/* Between the two no other thread of this process forks (it waits), nor may this one.  They nest, and they exclude one
 * another: one mutex for all.  Keep it short.  Other mutexes may be taken inside, if they are never held around a call of
 * this file or of os/watch.h. */
void pti_fork_block(void);
void pti_fork_allow(void);

/* Lists fd, to be closed in a forked child.  0, ENOMEM, or EBADF. */
int pti_fork_close_fd_add(int fd);

/* Takes it from the list; one that is not listed is fine. */
void pti_fork_close_fd_remove(int fd);

/* Takes it from the list and closes it, as one step for whoever forks.  -1 is fine. */
void pti_fork_close(int fd);

/* How often this process has been forked off since the library was loaded: grows in the child.  A handle that remembers
 * another number was inherited.  One load; async-signal-safe. */
uint32_t pti_fork_generation(void);

#endif
