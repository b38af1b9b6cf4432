/* share.c -- shares and logs through the bridge: looks and waits, as a program asks for them and as they are done for it.
 *
 * A change is a put like any other, with its key.  Law: what a program asks is read here before it goes over the link, which the home ends,
 * for all who share it, over one word that makes no sense.
 */
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "remote/share.h"
#include "remote/via/service.h"
#include "remote/via/verbs.h"

/* ---- the program's side */

/* *call has the answer, and bytes to be freed in any case. */
static enum ptq_err ask_about(struct pti_port *port, uint8_t verb, const struct pti_share_ask *ask, int64_t deadline, struct pti_via_call *call)
{
    size_t size = pti_share_ask_size(ask);
    uint8_t *body = malloc(size);

    *call = (struct pti_via_call){.ask = {.verb = verb}, .body = body, .body_size = size};
    if (body == NULL)
        return PTQ_ENOMEM;
    pti_write_share_ask(body, ask);
    enum ptq_err err = pti_via_call(pti_via_of(port), call, deadline, PTI_VIA_ASK_AGAIN);
    free(body);
    return err;
}

enum ptq_err pti_via_share_look(struct pti_port *port, const struct pti_share_ask *ask, uint8_t **ret_bytes, size_t *ret_size)
{
    struct pti_via_call call;
    enum ptq_err err = ask_about(port, PTI_ASK_SHARE_LOOK, ask, PTI_DEADLINE_NOW, &call);

    if (err != PTQ_OK) {
        free(call.bytes);
        return err;
    }
    *ret_bytes = call.bytes;
    *ret_size = call.size;
    return PTQ_OK;
}

enum ptq_err pti_via_share_await(struct pti_port *port, const struct pti_share_ask *ask, int64_t deadline, uint64_t *ret_value)
{
    struct pti_via_call call;
    enum ptq_err err = ask_about(port, PTI_ASK_SHARE_AWAIT, ask, deadline, &call);

    if (err == PTQ_OK)
        *ret_value = call.value;
    free(call.bytes);
    return err;
}

/* ---- the bridge's side */

bool pti_via_share_takes(const struct pti_proxy *proxy, uint8_t verb)
{
    if (verb == PTI_ASK_SHARE_LOOK || verb == PTI_ASK_SHARE_AWAIT)
        return proxy->thing != 0;
    return proxy->thing == 0 || verb == PTI_ASK_PUT || verb == PTI_ASK_CLOSE || verb == PTI_ASK_CANCEL;
}

bool pti_via_share_puts(const struct pti_put *puts, size_t count)
{
    struct pti_share_ask ask;

    return count == 1 && puts->kind == PTI_KIND_DATA && puts->type == 0 && puts->ttl == 0 && puts->headers == 0 && puts->due_us == 0 &&
           !puts->packs && pti_read_share_ask(puts->data, puts->size, &ask) == PTQ_OK && pti_share_is_change(ask.verb);
}

static void look(struct pti_via_job *job, const struct pti_share_ask *ask)
{
    uint8_t *said = NULL;
    size_t size = 0;
    enum ptq_err err = pti_share_link_look(job->proxy->port, ask, &said, &size);

    if (err != PTQ_OK) {
        pti_via_answer_code(job, err, 0);
        return;
    }
    uint8_t *answer = pti_via_new_answer(job, PTQ_OK, 0, size);
    if (answer != NULL)
        memcpy(answer + sizeof(struct pti_answer), said, size);
    free(said);
    pti_via_post(job->proxy->service, job, answer, sizeof(struct pti_answer) + size, false);
}

static void await(struct pti_via_job *job, const struct pti_share_ask *ask)
{
    uint64_t value = 0;
    enum ptq_err err;

    do
        err = pti_via_is_given_up(job) ? PTQ_EINTR : pti_share_link_await(job->proxy->port, ask, job->deadline, &value);
    while (err == PTQ_EINTR && !pti_via_is_given_up(job));
    if (err == PTQ_TIMEDOUT && job->is_short)
        pti_via_answer(job->proxy->service, job, PTI_ANSWER_AGAIN, 0);
    else
        pti_via_answer_code(job, err, value);
}

void pti_via_share_do(struct pti_via_job *job)
{
    bool waits = job->ask.verb == PTI_ASK_SHARE_AWAIT;
    struct pti_share_ask ask;

    if (pti_read_share_ask(job->body, job->size, &ask) != PTQ_OK || !(waits ? pti_share_is_wait(ask.verb) : pti_share_is_look(ask.verb)))
        pti_via_answer(job->proxy->service, job, PTQ_EPROTO, 0);
    else if (waits)
        await(job, &ask);
    else
        look(job, &ask);
}
