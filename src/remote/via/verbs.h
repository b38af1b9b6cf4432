/* verbs.h -- the program's side of the bridge, between the files that do what queue/port.h asks. */
#ifndef PTQ_REMOTE_VIA_VERBS_H
#define PTQ_REMOTE_VIA_VERBS_H

#include "remote/via/via.h"

/* ---- run.c */
/* Between these two the handle is not closed.  enter: false: it is being closed; leave all the same.  They nest: what a verb does with the
 * handle after its call, it does inside, too. */
bool pti_via_enter(struct pti_via *via);
void pti_via_leave(struct pti_via *via);

/* What becomes of a call whose bridge went away in the middle. */
enum pti_via_fate {
    PTI_VIA_ASK_AGAIN, /* nothing comes of asking twice */
    PTI_VIA_IN_DOUBT,
    PTI_VIA_BY_KEY, /* asked again under its key, if the home keeps them; else in doubt */
    PTI_VIA_LEASE_LOST
};

/* The answer; on PTQ_OK the call's value and bytes are there: free(call->bytes) in any case. */
enum ptq_err pti_via_call(struct pti_via *via, struct pti_via_call *call, int64_t deadline, enum pti_via_fate fate);
enum ptq_err pti_via_ask_value(struct pti_via *via, struct pti_ask ask, int64_t deadline, enum pti_via_fate fate, uint64_t *ret_value);
bool pti_via_has_streams(struct pti_via *via);

/* ---- bell.c: around a call on that side: what is rung from hush on is heard after it; and what it was answered. */
void pti_via_hush(struct pti_via *via, enum ptq_side side);
void pti_via_hear(struct pti_via *via, enum ptq_side side, enum ptq_err answer);
enum ptq_err pti_via_fd(struct pti_port *port, enum ptq_side side, int *ret_fd);
enum ptq_err pti_via_watch_begin(struct pti_port *port, struct pti_watcher *watcher);
void pti_via_watch_arm_word(struct pti_port *port, struct pti_watcher *watcher);
void pti_via_watch_arm_fd(struct pti_port *port, struct pti_watcher *watcher);
enum ptq_err pti_via_watch_look(struct pti_port *port, struct pti_watcher *watcher);
enum ptq_err pti_via_watch_interrupted(struct pti_port *port, struct pti_watcher *watcher);
void pti_via_watch_pass(struct pti_port *port, struct pti_watcher *watcher);
void pti_via_watch_end(struct pti_port *port, struct pti_watcher *watcher);

/* ---- take.c */
enum ptq_err pti_via_claim(struct pti_port *port, int64_t deadline); /* port.c */
enum ptq_err pti_via_take(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count);
enum ptq_err pti_via_take_more(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count);
enum ptq_err pti_via_ack(struct pti_port *port, struct ptq_msg *msg);
enum ptq_err pti_via_ack_many(struct pti_port *port, struct ptq_msg *const *msgs, size_t count, size_t *ret_count);
enum ptq_err pti_via_nack(struct pti_port *port, struct ptq_msg *msg, int delay_ms);
enum ptq_err pti_via_untake(struct pti_port *port, struct ptq_msg *msg);

/* ---- share.c: of the handle of a share or a log.  What was said, as it stands on the wire: *ret_bytes is to be freed. */
struct pti_share_ask;
enum ptq_err pti_via_share_look(struct pti_port *port, const struct pti_share_ask *ask, uint8_t **ret_bytes, size_t *ret_size);
enum ptq_err pti_via_share_await(struct pti_port *port, const struct pti_share_ask *ask, int64_t deadline, uint64_t *ret_value);

/* ---- pipe.c: PTQ_PIPELINE: small puts are copied and asked for in batches, one under way while the next is filled.  On other handles
 * there is nothing to it. */
enum ptq_err pti_via_pipe_new(struct pti_via *via);
void pti_via_pipe_free(struct pti_via *via);
/* Does this put belong into a batch? */
bool pti_via_pipe_takes(const struct pti_via *via, const struct pti_put *put);
/* Copies it; waits for room.  Or tells what became of those before: then it is not taken. */
enum ptq_err pti_via_pipe_put(struct pti_via *via, const struct pti_put *put, int64_t deadline);
/* All of them are in.  PTQ_FULL, PTQ_TIMEDOUT, PTQ_EUNREACHABLE: nothing is lost. */
enum ptq_err pti_via_pipe_flush(struct pti_via *via, int64_t deadline);
bool pti_via_pipe_is_empty(struct pti_via *via);

#endif
