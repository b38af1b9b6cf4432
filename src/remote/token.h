/* token.h -- is the home here?  What a home says of its memory, and what is seen of that in our own. */
#ifndef PTQ_REMOTE_TOKEN_H
#define PTQ_REMOTE_TOKEN_H

#include "bus/bus.h"
#include "wire/envelope.h"

struct pti_server;

/* The home: fills what is told. */
void pti_token_tell(struct pti_server *server, struct pti_hello *hello);

/* The far side: is the run that is asked for ("": the usual one) of this home the bus that we have open ourselves?
 * Writes the sentence that says why, or why not. */
bool pti_token_is_here(ptq_bus *bus, const struct pti_hello *home, const char *url, const char *run, char *why,
                       size_t size);

#endif
