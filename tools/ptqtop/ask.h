/* ask.h -- peers are asked by a thread, so that one that does not answer keeps no screen waiting. */
#ifndef PTQTOP_ASK_H
#define PTQTOP_ASK_H

#include "top.h"

struct asker;

/* NULL: no memory, or no thread.  All others take NULL. */
struct asker *asker_new(ptq_bus *bus);
void asker_free(struct asker *asker);
bool asker_is_busy(struct asker *asker); /* a question is out: to end it takes seconds */
void asker_want(struct asker *asker, bool wanted); /* only then it asks, every few seconds */
/* Adds to a peer's row what it said last; where nothing was asked yet, nothing. */
void asker_look_up(struct asker *asker, struct link_row *row);

#endif
