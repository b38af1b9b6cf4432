/* unsent.h -- how much of what a tcp connection was given may wait in the kernel before it is sent. */
#ifndef PTQ_OS_UNSENT_H
#define PTQ_OS_UNSENT_H

#include <stdint.h>
#include <sys/socket.h>

/* For this process's connection between these two addresses, whoever made it; none: nothing happens. */
void pti_unsent_limit(const struct sockaddr *here, const struct sockaddr *there, uint32_t bytes);

#endif
