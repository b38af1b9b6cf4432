/* route.h -- queues of this bus that are carried to other homes: which, where to, and that none goes round. */
#ifndef PTQ_REMOTE_ROUTE_H
#define PTQ_REMOTE_ROUTE_H

#include <ptq/bridge.h>

struct pti_server;
struct pti_route_keeper;

/* Are the moves right?  PTQ_EINVAL, PTQ_EPERM with a sentence. */
enum ptq_err pti_moves_check(const struct ptq_bridge_options *options, bool far);
/* Checks the rules and begins.  PTQ_EINVAL with a sentence, PTQ_EPERM, PTQ_ENOMEM. */
enum ptq_err pti_routes_start(struct pti_server *server, const struct ptq_bridge_options *options,
                              struct pti_route_keeper **ret_keeper);
/* What is carried, and how; from any thread.  Borrowed until `each` returns, which may not wait. */
struct pti_carried_figures {
    const char *queue, *as, *url; /* here, there, where */
    bool is_up;
    uint64_t moved;
    unsigned in_flight;
};
void pti_routes_look(struct pti_route_keeper *keeper, void (*each)(const struct pti_carried_figures *carried, void *context),
                     void *context);
/* The messages that were ever carried to each address. */
void pti_routes_moved(struct pti_route_keeper *keeper, void (*each)(const char *url, uint64_t moved, void *context), void *context);
/* What is under way goes back into its place.  NULL is fine. */
void pti_routes_stop(struct pti_route_keeper *keeper);

#endif
