/* resync.c -- numbers beyond a session: what was sent to a home that died is asked of its next life, or sent as new. */
#include <string.h>

#include "remote/call.h"

uint64_t pti_remote_received_to(const struct pti_remote *remote)
{
    const struct pti_call *first = TAILQ_FIRST(&remote->calls);
    uint64_t ack = first != NULL ? first->number - 1 : remote->last_number;
    const struct pti_doubt *doubt;

    TAILQ_FOREACH(doubt, &remote->doubts, listed) {
        if (doubt->number != 0 && doubt->number <= ack)
            ack = doubt->number - 1;
    }
    return ack;
}

void pti_remote_ask_stream(struct pti_remote *remote, struct pti_open_message *asked)
{
    if (remote->conn->outbox.version < 2) {
        memset(asked->stream, 0, sizeof asked->stream);
        asked->carrier = 0;
        asked->first = 0;
    } else if (remote->last_number > 0) {
        asked->first = pti_remote_received_to(remote) + 1;
    }
}

/* Law: what the home forgot may come twice, never in silence. */
void pti_remote_note_stream(struct pti_remote *remote, const struct pti_opened *opened)
{
    struct pti_call *call = TAILQ_FIRST(&remote->calls), *next;
    bool known = opened->streams && opened->stream_known;

    remote->streamed = remote->conn->outbox.version >= 2 && opened->streams;
    if (known)
        return;
    remote->forgotten++;
    for (; call != NULL; call = next) {
        next = TAILQ_NEXT(call, listed);
        if (call->type != PTI_FRAME_PUT || (!call->sent && !call->flagged))
            continue;
        if (remote->streamed)
            call->flagged = true;
        else
            pti_call_finish(call, PTQ_EINDOUBT, 0);
    }
}
