/* resident.h -- how much memory a process has in use. */
#ifndef PTQ_OS_RESIDENT_H
#define PTQ_OS_RESIDENT_H

#include <stdint.h>
#include <sys/types.h>

/* Resident bytes, also those it shares; 0: not to be had.  `pid` 0: this process. */
uint64_t pti_resident_bytes(pid_t pid);

#endif
