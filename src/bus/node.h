/* node.h -- who this bus is to others, and the page by which they find out that they are here already: "~node".
 *
 * The page lies in the directory of the bus.  A bridge counts in a slot of it and tells the count in its HELLO; whoever
 * hears it looks into the page of its *own* bus.  Only one who has the same memory finds the count there: names of
 * hosts, equal paths and copied files prove nothing.
 */
#ifndef PTQ_BUS_NODE_H
#define PTQ_BUS_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/bus.h"

#define PTI_NODE_FILE "~node"
#define PTI_NODE_BYTES 16u
#define PTI_NODE_SLOTS 64u

struct pti_node;

/* What a bridge says of its page.  `value` 0: nothing. */
struct pti_token {
    uint8_t page[PTI_NODE_BYTES]; /* whose: the id of the node, too */
    uint32_t slot;
    uint64_t value;
};

/* The page of a bus, made where it is missing, and a slot of it that nobody else counts in for as long as this process
 * lives.  PTQ_EAGAIN: 64 bridges serve this bus already; PTQ_EPERM, PTQ_ENOSPC, PTQ_ESYS. */
enum ptq_err pti_node_open(ptq_bus *bus, struct ptq_error *error, struct pti_node **ret_node);
void pti_node_close(struct pti_node *node);
const uint8_t *pti_node_own_id(const struct pti_node *node);

/* The number of the slot, for names of files that one bridge alone writes. */
unsigned pti_node_slot(const struct pti_node *node);
/* Does a bridge that lives hold this slot? */
bool pti_node_slot_is_held(const struct pti_node *node, unsigned slot);

/* Counts, and says so. */
void pti_node_tell(struct pti_node *node, struct pti_token *ret_token);

/* The id of a bus; false: it was never served. */
bool pti_node_id(ptq_bus *bus, uint8_t ret_id[PTI_NODE_BYTES]);

/* What the page of our own bus says to a token. */
enum pti_seen { PTI_SEEN_HERE, PTI_SEEN_NO_TOKEN, PTI_SEEN_NO_PAGE, PTI_SEEN_OTHER_PAGE, PTI_SEEN_COPY };
enum pti_seen pti_node_sees(ptq_bus *bus, const struct pti_token *token);

#endif
