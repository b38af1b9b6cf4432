/* away.h -- another host's bus, looked at through the ptqbridge that serves it.
 *
 * A thread of ours asks: which queues there are, and each for its figures; the frames take what it brought last.  So a host that does not
 * answer keeps no screen waiting.  Nothing is taken there, and no more than the right to peek is needed.
 */
#ifndef PTQTOP_AWAY_H
#define PTQTOP_AWAY_H

#include "top.h"

#define AWAY_NODE "peer" /* as it is called in --peer where no name is given */

struct away;

struct away *away_new(ptq_bus *bus); /* the bus has one peer; NULL: no memory, or no thread */
void away_free(struct away *away);   /* NULL is fine */
bool away_is_busy(struct away *away); /* a question is out: to end it takes seconds */

/* A frame that prints waits for what is asked after this; on a screen it does not. */
void away_wait(struct away *away, bool waits);
/* Names in order.  An error: why there are none, where frames wait. */
enum ptq_err away_list(struct away *away, bool (*each)(const char *name, void *context), void *context);
bool away_stats(struct away *away, const char *name, struct ptq_queue_stats *ret_stats);
void away_link(struct away *away, struct link_row *row);

#endif
