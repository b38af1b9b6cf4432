/* link.h -- a stream of frames to another process; link.c and link_*.c behind it are the only files that see nng.
 *
 * Events come on threads of nng's; they must not block.  A link has at most one read and one write under way, so of its
 * events readable never runs twice at once, nor does fill, and down is the last.  In a forked child nothing here may be
 * called: nng would abort the process (pti_link_may_start says so first).
 */
#ifndef PTQ_REMOTE_LINK_H
#define PTQ_REMOTE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/err.h>

#include "wire/frame.h"

struct pti_link;
struct pti_listener;
struct pti_ticker;

struct pti_link_events {
    /* A dialled link stands; reading has not begun yet. */
    void (*up)(void *context, struct pti_link *link);
    /* Bytes came: pti_link_next until it says PTQ_EMPTY, then pti_link_resume; here, or later from any thread. */
    void (*readable)(void *context, struct pti_link *link);
    /* The wire is free: write frames at `buffer`, how many bytes?  0: nothing to say; then pti_link_kick begins anew.
     */
    size_t (*fill)(void *context, uint8_t *buffer, size_t room);
    /* It has ended, or never began: nothing more will come.  It wants to be freed, but not from here. */
    void (*down)(void *context, struct pti_link *link);
};

/* Is this a process in which nng may run: PTQ_OK, or PTQ_EFORKED in a child of one that had started it.  The first call
 * that says PTQ_OK counts as the start. */
enum ptq_err pti_link_may_start(void);
/* The latter, without counting as anything: for those who would go another way. */
bool pti_link_is_forked(void);

/* For tls+tcp:// and wss://: a folder with ca.crt and node.pem, and whose certificate the home's is to be ("": any that
 * our authority has signed). */
struct pti_tls {
    const char *folder, *name;
};

/* Begins to dial `url`.  Free it, whatever becomes of it. */
enum ptq_err pti_link_dial(const char *url, const struct pti_tls *tls, const struct pti_link_events *events, void *context,
                           struct pti_link **ret_link);

/* An accepted link is silent until it is started. */
void pti_link_start(struct pti_link *link, const struct pti_link_events *events, void *context);

/* The longest payload that is let in; at first PTI_WIRE_FRAME_FIRST.  Where the reader is: in readable, or before
 * resume. */
void pti_link_set_cap(struct pti_link *link, uint32_t cap);

/* As pti_frame_reader_next; the payload is borrowed until resume. */
enum ptq_err pti_link_next(struct pti_link *link, struct pti_frame *ret_frame, const char **ret_reason);
void pti_link_resume(struct pti_link *link);

/* Before resume, after pti_link_next said PTQ_EMPTY: is the other side alive by what has come since the last time?  A
 * whole frame says so, or a good part of one: a trickle does not, for a damaged length may wait for ever for what is
 * not a frame's rest. */
bool pti_link_is_lively(struct pti_link *link);

/* There is something to say.  Calls fill, from here, if the wire is free: hold no lock that fill takes. */
void pti_link_kick(struct pti_link *link);

/* Has nothing been said that the kernel has not taken yet? */
bool pti_link_is_drained(struct pti_link *link);

/* Ends it; down follows, perhaps before this returns.  `reason` is kept if it is the first. */
void pti_link_close(struct pti_link *link, const char *reason);

/* Closes, waits for events under way, frees.  NULL is fine.  Not from one of its own events. */
void pti_link_free(struct pti_link *link);

/* Why it ended; "" while it stands. */
void pti_link_reason(struct pti_link *link, char *buffer, size_t size);

/* The address of the other side, for people. */
void pti_link_peer(struct pti_link *link, char *buffer, size_t size);

/* Whom its cost is counted to: the address without the port (of IPv6 its /64), or over ipc the user. */
void pti_link_origin(struct pti_link *link, char *buffer, size_t size);

/* Who it is has been heard: what is only worth while for a link that stays. */
void pti_link_settle(struct pti_link *link);

/* Is the other side on this host, by its address? */
bool pti_link_is_near(struct pti_link *link);

bool pti_link_is_tls(const struct pti_link *link);
/* Has it ended because of certificates? */
bool pti_link_is_distrusted(struct pti_link *link);

/* Is it encrypted, and has the other side a certificate of our authority?  Of a tls link, where a frame was read already: before that
 * nng says yes to anything. */
bool pti_link_is_verified(struct pti_link *link);

/* Whose certificate the other side has (its CN).  False: nng does not tell, as before 1.6, or there is none.  Of a verified link. */
bool pti_link_certificate_name(struct pti_link *link, char *buffer, size_t size);

/* Who dialled over ipc, as the kernel says.  False: it did not come so. */
bool pti_link_uid(struct pti_link *link, uint64_t *ret_uid);

/* ---- listening ---- */

/* `folder`: as of struct pti_tls.  `accepted` gets each new link, to be started or freed, and answers for how many milliseconds no other is
 * to be accepted; NULL: there are no descriptors, or no memory, for one; it is tried again in a moment. */
enum ptq_err pti_listener_open(const char *url, const char *folder, int (*accepted)(void *context, struct pti_link *link), void *context,
                               struct ptq_error *error, struct pti_listener **ret_listener);
/* Where it listens, the real port in place of 0: borrowed. */
const char *pti_listener_url(const struct pti_listener *listener);
/* Accepts nothing more; waits for `accepted` under way.  NULL is fine. */
void pti_listener_close(struct pti_listener *listener);

/* What a tls listener shows of itself, and asks of others: ca.crt and node.pem, as they were when it was loaded. */
struct pti_shown;
enum ptq_err pti_shown_load(const char *folder, struct ptq_error *error, struct pti_shown **ret_shown);
void pti_shown_drop(struct pti_shown *shown); /* NULL is fine */
bool pti_listener_is_tls(const struct pti_listener *listener);
/* Those who come from now on see that; links that stand stay.  Not twice at once. */
enum ptq_err pti_listener_show(struct pti_listener *listener, struct pti_shown *shown);

/* ---- time ---- */

/* Calls tick, never twice at once, each time after as many milliseconds as it answered (at first at once); less than 0:
 * not until it is poked. */
enum ptq_err pti_ticker_start(int (*tick)(void *context), void *context, struct pti_ticker **ret_ticker);
/* Now; any thread, also in tick. */
void pti_ticker_poke(struct pti_ticker *ticker);
/* Waits for tick under way; there will be no other.  It may still be poked until it is freed.  NULL is fine. */
void pti_ticker_stop(struct pti_ticker *ticker);
void pti_ticker_free(struct pti_ticker *ticker);

#endif
