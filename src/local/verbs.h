/* verbs.h -- the local carrier's operations, as queue/port.h tells them. */
#ifndef PTQ_LOCAL_VERBS_H
#define PTQ_LOCAL_VERBS_H

#include "local/lane.h"
#include "queue/port.h"

static inline struct pti_local *pti_local_of(struct pti_port *port) { return (struct pti_local *)(void *)port; }

/* The answer of a call of a guarded handle: what was done in memory that is not there any more did not happen (local/guard.c). */
static inline enum ptq_err pti_local_judge(struct pti_port *port, enum ptq_err answer)
{
    return pti_load_relaxed(&pti_local_of(port)->closing) == PTI_LOCAL_DAMAGED ? PTQ_ECORRUPT : answer;
}

/* local/lane.c */
bool pti_local_stay(struct pti_port *port);
void pti_local_go(struct pti_port *port);

/* local/put.c */
enum ptq_err pti_local_put(struct pti_port *port, const struct pti_put *put, int64_t deadline, uint64_t *ret_position);
enum ptq_err pti_local_loan(struct pti_port *port, uint32_t size, int64_t deadline, struct ptq_msg **ret_loan);
enum ptq_err pti_local_publish(struct pti_port *port, struct ptq_msg *loan, const struct pti_put *put, int64_t deadline,
                               uint64_t *ret_position);
void pti_local_abort(struct pti_port *port, struct ptq_msg *loan);
enum ptq_err pti_local_place(struct pti_port *port, uint64_t position, const struct pti_put *put, int64_t deadline);
enum ptq_err pti_local_place_loan(struct pti_port *port, struct ptq_msg *loan, uint64_t position, const struct pti_put *put);
enum ptq_err pti_local_end(struct pti_port *port);
/* What a put does when it found no room.  PTQ_OK: try again. */
enum ptq_err pti_local_no_room(struct pti_local *local, struct pti_place *place, uint64_t need, int64_t deadline,
                               struct pti_sleep *sleep);
/* PTQ_FULL_DROP_NEWEST: `count` messages were dropped instead of put. */
bool pti_local_is_refused(struct pti_local *local, struct pti_place *place, const struct pti_put *put, uint64_t count,
                          uint64_t *ret_position);

/* local/batch.c: put_many; `packs`: small messages behind each other share blocks, where the queue lets them. */
enum ptq_err pti_local_put_batch(struct pti_port *port, const struct pti_put *puts, size_t count, bool packs, int64_t deadline,
                                 uint64_t *ret_position);
enum ptq_err pti_local_put_many(struct pti_port *port, const struct pti_put *puts, size_t count, int64_t deadline,
                                uint64_t *ret_position);

/* local/fast.c: where nothing is special */
bool pti_fast_put(struct pti_port *port, const void *data, uint32_t size, uint64_t *ret_position);
bool pti_fast_take(struct pti_port *port, struct ptq_msg **ret_msg);
bool pti_fast_put_many(struct pti_port *port, const struct ptq_bytes *items, size_t count, uint64_t *ret_position);
bool pti_fast_take_many(struct pti_port *port, size_t max, struct ptq_msg **msgs, size_t *ret_count);
bool pti_fast_recv(struct pti_port *port, void *buffer, size_t room, size_t *ret_size);
bool pti_fast_settle(struct pti_port *port, struct ptq_msg *msg);
size_t pti_fast_settle_many(struct pti_port *port, struct ptq_msg *const *msgs, size_t count);
extern bool pti_fast_is_off; /* of handles that are opened from now on: for tests */

/* local/pack.c: of handles with PTQ_PIPELINE */
enum ptq_err pti_pipe_put(struct pti_port *port, const struct pti_put *put, int64_t deadline, uint64_t *ret_position);
enum ptq_err pti_pipe_put_many(struct pti_port *port, const struct pti_put *puts, size_t count, int64_t deadline,
                               uint64_t *ret_position);
enum ptq_err pti_pipe_publish(struct pti_port *port, struct ptq_msg *loan, const struct pti_put *put, int64_t deadline,
                              uint64_t *ret_position);
enum ptq_err pti_pipe_flush(struct pti_port *port, int64_t deadline);
enum ptq_err pti_pipe_end(struct pti_port *port);

/* local/append.c: of handles with PTQ_EXCLUSIVE, where the queue suits */
bool pti_append_suits(const struct pti_geometry *g);
enum ptq_err pti_append_put(struct pti_port *port, const struct pti_put *put, int64_t deadline, uint64_t *ret_position);

/* local/packed.c: packs among a batch.  suits: a queue that lets messages share a lease.  run: how many of the first go into one pack,
 * 1: the first goes alone.  fill: into a block of ours, the first as number `sub` of its position. */
bool pti_packed_suits(const struct pti_geometry *g);
size_t pti_packed_run(const struct pti_local *local, const struct pti_put *puts, size_t count);
void pti_packed_fill(struct pti_local *local, struct pti_place *place, uint32_t block, const struct pti_put *puts, size_t count,
                     uint32_t sub);

/* local/packed.c: of the same, the straight ways.  False: nothing was done, ask put or put_many. */
bool pti_pipe_fast_put(struct pti_port *port, const void *data, uint32_t size, uint64_t *ret_position);
bool pti_pipe_put_items(struct pti_port *port, const struct ptq_bytes *items, size_t count, int64_t deadline,
                        uint64_t *ret_position, enum ptq_err *ret_err);

/* The table (local/port.c); and that of a guarded handle, where what was done in truncated memory answers PTQ_ECORRUPT
 * (local/guard.c). */
extern const struct pti_port_ops pti_local_ops;
/* Another, where a handle's options or its queue allow something faster, or gather. */
const struct pti_port_ops *pti_local_ops_of(const struct pti_local *local, const struct pti_open *open);
const struct pti_port_ops *pti_local_guarded(void);

/* local/take.c */
enum ptq_err pti_local_take(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count);
enum ptq_err pti_local_take_more(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count);
enum ptq_err pti_local_recv(struct pti_port *port, void *buffer, size_t size, int64_t deadline, size_t *ret_size);
enum ptq_err pti_local_ack(struct pti_port *port, struct ptq_msg *msg);
enum ptq_err pti_local_nack(struct pti_port *port, struct ptq_msg *msg, int delay_ms);
enum ptq_err pti_local_untake(struct pti_port *port, struct ptq_msg *msg);

/* Inside a call: leases up to max now. */
enum ptq_err pti_local_take_now(struct pti_local *local, struct pti_place *place, size_t max, struct ptq_msg **msgs,
                                size_t *ret_count);
/* A consumer took one: if there is more, the next sleeper is woken. */
void pti_local_pass_baton(struct pti_local *local, struct pti_place *place);

enum ptq_err pti_local_show(struct pti_local *local, struct pti_place *place, struct ptq_msg *msg, uint32_t block,
                            uint64_t word);
/* Enters to settle a lease; a lease of another thread becomes ours first.  Where that fails msg is taken. */
enum ptq_err pti_local_enter_with(struct pti_local *local, struct ptq_msg *msg, struct pti_place **ret_place);

/* local/many.c */
enum ptq_err pti_local_ack_many(struct pti_port *port, struct ptq_msg *const *msgs, size_t count, size_t *ret_count);

/* local/letters.c */
enum ptq_err pti_local_kick(struct pti_port *port, uint64_t max, uint64_t *ret_count);
const struct pti_port_ops *pti_local_letters(bool guarded); /* the table of the view of dead letters */

#endif
