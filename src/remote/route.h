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
/* What is under way goes back into its place.  NULL is fine. */
void pti_routes_stop(struct pti_route_keeper *keeper);

#endif
