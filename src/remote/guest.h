/* guest.h -- a link of somebody else's, at the home. */
#ifndef PTQ_REMOTE_GUEST_H
#define PTQ_REMOTE_GUEST_H

#include <sys/queue.h>

#include <ptq/err.h>

#include "remote/grants.h"
#include "remote/link.h"
#include "remote/outbox.h"

struct pti_party;
struct pti_server;
struct pti_session;

/* What waits for the one thread. */
enum pti_word { PTI_WORD_ACCEPTED = 1, PTI_WORD_READABLE = 2, PTI_WORD_DOWN = 4, PTI_WORD_READ_BY_IT = 8 };

/* A link of somebody else's. */
struct pti_guest {
    struct pti_server *server;
    struct pti_link *link;
    struct pti_session *session; /* NULL before HELLO */
    struct pti_proving *proving; /* HELLO was said, and a proof is to come; else NULL */
    char identity[PTI_IDENTITY_BYTES]; /* who it is, as it has proven or as the kernel says; "": nobody in particular */
    bool known_refusal;          /* it is refused as others were before: the log knows of it */
    struct pti_outbox outbox;
    char name[96], origin[80]; /* for people; whom it is counted to before it has said who it is */
    int64_t accepted, heard, pinged;
    uint64_t frames, bytes; /* that came */
    uint64_t rtt_ns;        /* of the last PING that came back; 0: none did */
    struct pti_party *peer;
    bool counted;     /* among his links; not so where it came too soon */
    bool stranger;    /* ... and among those without HELLO */
    bool touched;     /* in the server's list: it has something to say since the last kick, or is doomed */
    bool held;        /* not read until then, nor while it is stuffed */
    _Atomic bool stuffed; /* it was told more than it reads */
    int64_t held_until, stuffed_until;
    uint64_t unread;  /* when it was looked at last */
    bool doomed;      /* to be freed at the end of the round */
    char why[200];    /* then */
    bool farewell;    /* ... after its last words have gone */
    int64_t farewell_until;
    TAILQ_ENTRY(pti_guest) listed, touched_listed;
    /* under the server's inbox mutex */
    unsigned words;
    TAILQ_ENTRY(pti_guest) posted;
};

struct pti_guest *pti_guest_new(struct pti_server *server, struct pti_link *link);
void pti_guest_start(struct pti_guest *guest);
void pti_guest_read(struct pti_guest *guest);
void pti_guest_ping(struct pti_guest *guest, int64_t now);
int64_t pti_guest_ping_due(const struct pti_guest *guest);
/* Says why, closes, and lets the session wait for the next link; freed at the end of the round. */
void pti_guest_refuse(struct pti_guest *guest, enum ptq_err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void pti_guest_doom(struct pti_guest *guest, const char *why);
/* A channel's ERROR; number: of the request that it answers, 0: OPEN. */
void pti_guest_answer_error(struct pti_guest *guest, uint32_t channel, uint64_t number, enum ptq_err code, const char *text);
/* It has something to say: the link is kicked at the end of the round. */
void pti_guest_touch(struct pti_guest *guest);
/* Nothing more is read from it until then: what it says waits in the kernel, and it is not taken for silent. */
void pti_guest_hold(struct pti_guest *guest, int64_t until);
/* Reads on what was held, if it may. */
void pti_guest_read_on(struct pti_guest *guest, int64_t now);
/* When it is to be looked at, unless it is to end. */
int64_t pti_guest_due(const struct pti_guest *guest);
/* No stranger any more. */
void pti_guest_greeted(struct pti_guest *guest);
/* Says why, and closes: a cap was met, which has been logged. */
void pti_guest_send_off(struct pti_guest *guest, const char *why);
void pti_guest_free(struct pti_guest *guest);
/* Pushes a control message to channel 0 or to a lane. */
void pti_guest_push(struct pti_guest *guest, struct pti_lane *lane, uint8_t type, uint16_t flags, uint64_t number,
                   const void *bytes, size_t size);

/* The same of one who may not come in: counted, and logged once of all who come from there as `who`. */
void pti_guest_turn_away(struct pti_guest *guest, const char *who, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Counts and logs it alone; `kind`: the same word for all that are refused likewise. */
void pti_guest_note_refusal(struct pti_guest *guest, const char *who, const char *kind, const char *text);

/* greet.c: the first frames of a link; refused, or answered and part of a session from then on. */
void pti_guest_greet(struct pti_guest *guest, const struct pti_frame *frame);
/* Who it says that it is, while it is to prove it, and the mark of the key it is to prove it by; NULL: nobody. */
const char *pti_guest_claim(const struct pti_guest *guest, const uint8_t **ret_mark);
/* Over such a link nobody may come in, whoever it is. */
bool pti_guest_may_come(struct pti_guest *guest);
/* listing.c: answers a DIRECTORY. */
void pti_guest_list(struct pti_guest *guest, const struct pti_frame *frame);

#endif
