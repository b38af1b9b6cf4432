/* life.h -- who is alive, by the kernel's word: OFD locks on bytes of the segment's inode.
 *
 * Laws: trying the lock IS the probe; act only while holding it.  Never probe a byte through the descriptor that holds
 * it (it looks free).  An OFD lock belongs to the open file description: it is released when the last descriptor of it
 * is closed, by exit or SIGKILL, even while the zombie is unreaped, and kept while the process is stopped.
 */
#ifndef PTQ_OS_LIFE_H
#define PTQ_OS_LIFE_H

#include <stdbool.h>
#include <stdint.h>

#define PTI_LIFE_BASE (INT64_C(1) << 40) /* first lock byte: beyond any segment's size */
#define PTI_LIFE_BYTES 4096              /* endpoints 0..2047, then the bytes below */
#define PTI_LIFE_PRODUCER 2060u /* the handle with PTQ_EXCLUSIVE */
#define PTI_LIFE_GETTER 2048u            /* the exclusive getter of a placed queue */
#define PTI_LIFE_REMOVER 4094u           /* who takes away the name of a removed segment */
#define PTI_LIFE_CREATOR 4095u           /* who makes a segment under a temporary name, until it has its own */

/* 0: done; EAGAIN: somebody else has it (write) or its owner lives (read); else an errno. Never blocks. */
int pti_life_lock_write(int fd, uint32_t byte);
int pti_life_lock_read(int fd, uint32_t byte);
int pti_life_unlock(int fd, uint32_t byte);

/* The whole live range at once, for gc: success means nobody lives. */
int pti_life_lock_all(int fd);
int pti_life_unlock_all(int fd);

/* For watchers with a read-only descriptor: would a write lock conflict now?  A guess for display, never to act on.
 * -1: cannot tell. */
int pti_life_is_locked(int fd, uint32_t byte);

#endif
