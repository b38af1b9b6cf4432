/* named.c -- puts whose names are given by another process: a program whose ptqbridge this is.  The home knows them in the stream of
 * that program's handle, by its own count of puts, so that the next bridge may ask again for what this one was asked.
 */
#include "base/time.h"
#include "remote/call.h"
#include "base/bytes.h"

#define TELL_AFTER 32u /* settled keys that the home has not heard of */

bool pti_remote_is_streamed(struct pti_port *port)
{
    struct pti_remote *remote = pti_remote_of(port);

    pthread_mutex_lock(&remote->conn->mutex);
    bool streamed = remote->streamed;
    pthread_mutex_unlock(&remote->conn->mutex);
    return streamed;
}

/* With conn->mutex held.  Of keys a home that has forgotten the stream does not want to hear before it has got one. */
static void tell_settled(struct pti_remote *remote, uint64_t settled)
{
    struct pti_conn *conn = remote->conn;
    uint8_t bytes[8];

    if (settled < remote->settled_told + TELL_AFTER || conn->state != PTI_CONN_UP || remote->state != PTI_REMOTE_OPEN ||
        remote->keyed_at != 1 + remote->forgotten)
        return;
    pti_store64(bytes, settled);
    if (pti_outbox_push_copy(&conn->outbox, &remote->lane, PTI_FRAME_RECEIVED, PTI_FRAME_KEYED, 0, bytes, sizeof bytes))
        remote->settled_told = settled;
}

static struct pti_call *new_call(struct pti_remote *remote, const struct pti_named *named, int64_t deadline)
{
    if (!named->placed)
        return pti_call_for_put(remote, named->puts, named->count, deadline);
    struct pti_call *call = pti_call_new(remote, PTI_FRAME_PLACE);
    if (call == NULL)
        return NULL;
    pti_write_place_head(call->head, named->position, 0);
    pti_call_set_head(call, PTI_PLACE_HEAD, 8);
    pti_call_set_puts(call, named->puts, 1);
    return call;
}

/* Law: what the home has forgotten may be there already, and comes out flagged. */
static void name_call(struct pti_call *call, const struct pti_named *named, bool has_forgotten)
{
    pti_call_set_key(call, named->key, 0);
    if (!named->placed && named->puts[0].packs)
        call->out.flags |= PTI_FRAME_PACKS;
    if (!named->again)
        return;
    call->sent = true;
    call->flagged = has_forgotten && call->type == PTI_FRAME_PUT;
    call->out.flags |= PTI_FRAME_RETRY;
}

enum ptq_err pti_remote_put_named(struct pti_port *port, const struct pti_named *named, int64_t deadline, uint64_t *ret_position)
{
    struct pti_remote *remote = pti_remote_of(port);
    struct pti_call *call = new_call(remote, named, deadline);

    if (call == NULL)
        return PTQ_ENOMEM;
    pthread_mutex_lock(&remote->conn->mutex);
    bool streamed = remote->streamed, has_forgotten = remote->forgotten > 0;
    if (streamed)
        tell_settled(remote, named->settled);
    pthread_mutex_unlock(&remote->conn->mutex);
    if (streamed)
        name_call(call, named, has_forgotten);
    enum ptq_err answer = !streamed && named->again ? PTQ_EVERSION : !pti_call_fits(call) ? PTQ_ETOOBIG : PTQ_OK;
    if (answer == PTQ_OK)
        answer = pti_call_run(&call, deadline, deadline != PTI_DEADLINE_NOW);
    if (answer == PTQ_OK && ret_position != NULL)
        *ret_position = call->value;
    pti_call_free(call);
    return answer;
}
