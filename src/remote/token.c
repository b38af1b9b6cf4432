/* token.c -- is the home here?  What a home says of its memory, and what is seen of that in our own. */
#include "remote/token.h"

#include <stdio.h>
#include <string.h>

#include "bus/node.h"
#include "remote/server.h"

void pti_token_tell(struct pti_server *server, struct pti_hello *hello)
{
    struct pti_token token;

    pti_node_tell(server->node, &token);
    memcpy(hello->token, token.page, sizeof hello->token);
    memcpy(hello->node_id, pti_node_own_id(server->node), sizeof hello->node_id);
    hello->token_slot = token.slot;
    hello->token_value = pti_routes_renames(&server->routes) ? 0 : token.value; /* whose names lead elsewhere in that memory */
}

/* The page is that of one run: the one that the home serves where none is named. */
bool pti_token_is_here(ptq_bus *bus, const struct pti_hello *home, const char *url, const char *run, char *why,
                       size_t size)
{
    static const char *const reasons[] = {
        [PTI_SEEN_HERE] = "it counts in the very " PTI_NODE_FILE " that is seen here: one memory, which is used without a link",
        [PTI_SEEN_NO_TOKEN] = "it tells nothing of its memory, as older ones do, so it is reached over the network",
        [PTI_SEEN_NO_PAGE] = "its memory is not that of this bus, whose directory has no " PTI_NODE_FILE ", so it is reached over the network",
        [PTI_SEEN_OTHER_PAGE] = "its memory is not that of this bus (the " PTI_NODE_FILE " there is another), so it is reached over the network",
        [PTI_SEEN_COPY] = "its memory is not that of this bus, whose " PTI_NODE_FILE " is a copy of the one there, so it is reached over the network",
    };
    struct pti_token token = {.slot = home->token_slot, .value = home->token_value};

    memcpy(token.page, home->token, sizeof token.page);
    enum pti_seen seen = pti_node_sees(bus, &token);
    bool same_run = run[0] == '\0' || strcmp(run, home->run) == 0;
    if (seen == PTI_SEEN_HERE && !same_run)
        snprintf(why, size, "the home at %.100s is here, but run '%.60s' is not that of this bus", url, run);
    else
        snprintf(why, size, "of the home at %.120s: %s", url, reasons[seen]);
    return seen == PTI_SEEN_HERE && same_run;
}
