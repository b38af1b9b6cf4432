/* path.h -- which nodes a message has left on its way: the header "ptq.path", 8 bytes of each one's id, the first one first. */
#ifndef PTQ_REMOTE_PATH_H
#define PTQ_REMOTE_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/port.h"

#define PTI_PATH_HEADER "ptq.path"
#define PTI_PATH_NODE 8u
#define PTI_PATH_ROOM 80u /* of headers, that a route asks for beside what its source has: eight nodes */

/* Has it been at `node`? */
bool pti_path_holds(const struct ptq_msg *msg, const uint8_t node[PTI_PATH_NODE]);

/* Its headers, with `node` at the end of its path, into `buffer` of PTQ_HEADERS_MAX bytes.  False: they do not fit `most` units. */
bool pti_path_extend(const struct ptq_msg *msg, const uint8_t node[PTI_PATH_NODE], unsigned most, uint8_t *buffer,
                     uint8_t *ret_units);

#endif
