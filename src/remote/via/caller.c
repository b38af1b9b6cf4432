/* caller.c -- a call through the bridge: asked in one queue, awaited in another, by whichever thread leads.
 *
 * Laws.
 * 1. The mutex is held for lists alone: nobody calls into a queue with it.
 * 2. Whoever goes, and led, wakes the others: one of them leads from then on.
 * 3. A call that ends without its answer leaves the list, and what the answer brings is given back by whoever reads it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/time.h"
#include "os/futex.h"
#include "remote/share.h"
#include "remote/via/via.h"

#define ASK_NS (3 * PTI_NS_PER_S)       /* until the bridge has taken a request, or is away */
#define PATIENCE_NS (10 * PTI_NS_PER_S) /* a bridge that lives answers: after silence, and a dial, and silence */
#define CANCEL_NS (2 * PTI_NS_PER_S)
#define FAR_NS (365 * INT64_C(86400) * PTI_NS_PER_S)
#define NAP_NS (PTI_NS_PER_MS / 2)
#define RETRY_NS (20 * PTI_NS_PER_MS)
#define AT_ONCE 8

enum wait_end { ANSWERED, INTERRUPTED, TOO_LATE };

void pti_via_wake(struct pti_via *via)
{
    pti_fetch_add_seq(&via->word, 1);
    pti_futex_wake(&via->word, INT32_MAX);
}

static void nap(int64_t ns)
{
    struct timespec a_little = {.tv_nsec = ns};

    nanosleep(&a_little, NULL);
}

/* ---- asking ---- */

static size_t body_size(const struct pti_via_call *call)
{
    size_t size = 0;

    if (call->puts == NULL)
        return call->body_size;
    for (uint32_t i = 0; i < call->ask.count; i++)
        size += pti_ask_record_bytes(call->puts[i].size, call->puts[i].headers);
    return size;
}

static void write_put(uint8_t *at, const struct pti_put *put)
{
    struct pti_ask_record record = {.due_us = put->due_us,
                                    .size = put->size,
                                    .type = put->type,
                                    .ttl = put->ttl,
                                    .kind = put->kind,
                                    .headers = put->headers};

    memcpy(at, &record, sizeof record);
    at += sizeof record;
    if (put->headers > 0)
        memcpy(at, put->header_bytes, 4 * (size_t)put->headers);
    if (put->size > 0)
        memcpy(at + 4 * (size_t)put->headers, put->data, put->size);
}

static void write_request(uint8_t *at, const struct pti_via_call *call)
{
    memcpy(at, &call->ask, sizeof call->ask);
    at += sizeof call->ask;
    if (call->puts == NULL && call->body_size > 0)
        memcpy(at, call->body, call->body_size);
    for (uint32_t i = 0; call->puts != NULL && i < call->ask.count; i++) {
        write_put(at, &call->puts[i]);
        at += pti_ask_record_bytes(call->puts[i].size, call->puts[i].headers);
    }
}

/* A bridge that is stopped, or has too much to do, lets requests lie until there is no room for more. */
static enum ptq_err explain_ask(enum ptq_err err)
{
    return err == PTQ_FULL || err == PTQ_TIMEDOUT || err == PTQ_EGONE || err == PTQ_EAGAIN ? PTQ_EUNREACHABLE : err;
}

/* A handle that closes still says good-bye. */
static bool is_due(const struct pti_via *via, const struct pti_via_call *call)
{
    return !pti_load_seq(&via->closing) || call->ask.verb == PTI_ASK_CLOSE;
}

static enum ptq_err send_request(struct pti_via *via, const struct pti_via_call *call)
{
    size_t size = body_size(call);
    int64_t until = pti_now_ns() + ASK_NS;
    struct ptq_msg *loan;
    uint64_t position;
    enum ptq_err err;

    if (size > PTI_VIA_BODY)
        return PTQ_ETOOBIG;
    do
        err = via->ask->ops->loan(via->ask, (uint32_t)(sizeof call->ask + size), until, &loan);
    while (err == PTQ_EINTR && is_due(via, call));
    if (err != PTQ_OK)
        return explain_ask(err);
    write_request(loan->data, call);
    struct pti_put put = {.size = (uint32_t)(sizeof call->ask + size)};
    do
        err = via->ask->ops->publish(via->ask, loan, &put, until, &position);
    while (err == PTQ_EINTR && is_due(via, call));
    if (err != PTQ_OK)
        via->ask->ops->abort(via->ask, loan);
    return explain_ask(err);
}

static struct pti_ask fill_ask(const struct pti_via *via, const struct pti_ask *ask, uint64_t number)
{
    struct pti_ask filled = *ask;

    filled.layout = PTI_ASK_LAYOUT;
    filled.number = number;
    memcpy(filled.client, via->client, sizeof filled.client);
    return filled;
}

void pti_via_tell(struct pti_via *via, const struct pti_ask *ask, const void *body, size_t size)
{
    struct pti_via_call call = {.ask = fill_ask(via, ask, 0), .body = body, .body_size = size};

    call.ask.flags |= PTI_ASK_NO_ANSWER;
    (void)!send_request(via, &call); /* a bridge that does not hear of it is about to be gone */
}

/* ---- answers ---- */

/* Leases that nobody will see go back. */
static void give_back(struct pti_via *via, const uint8_t *at, size_t size, uint32_t count)
{
    uint64_t *leases = malloc(count * sizeof *leases);
    struct pti_ask ask = {.verb = PTI_ASK_UNTAKE};

    for (uint32_t i = 0; leases != NULL && i < count; i++) {
        struct pti_answer_record record;
        if (size < sizeof record)
            break;
        memcpy(&record, at, sizeof record);
        size_t whole = pti_answer_record_bytes(record.size, record.headers);
        leases[ask.count++] = record.lease;
        at += whole < size ? whole : size;
        size -= whole < size ? whole : size;
    }
    if (ask.count > 0)
        pti_via_tell(via, &ask, leases, ask.count * sizeof *leases);
    free(leases);
}

static struct pti_via_call *find_call(struct pti_via *via, uint64_t number)
{
    struct pti_via_call *call;

    TAILQ_FOREACH(call, &via->calls, listed) {
        if (call->ask.number == number && !call->done)
            return call;
    }
    return NULL;
}

static void end_call(struct pti_via_call *call, const struct pti_answer *answer, uint8_t *bytes, size_t size)
{
    call->code = answer->code;
    call->value = answer->value;
    call->count = answer->count;
    call->bytes = bytes;
    call->size = size;
    call->unknown = answer->code == PTI_ANSWER_UNKNOWN;
    call->lost = call->unknown || answer->code == PTI_ANSWER_LOST;
    call->done = true;
}

static void take_in(struct pti_via *via, const struct ptq_msg *msg)
{
    struct pti_answer answer;
    size_t size = msg->size - sizeof answer;
    const uint8_t *behind = (const uint8_t *)msg->data + sizeof answer;

    if (msg->size < sizeof answer)
        return;
    memcpy(&answer, msg->data, sizeof answer);
    if (answer.layout != PTI_ASK_LAYOUT || answer.text > size)
        return;
    uint8_t *bytes = size > 0 ? malloc(size) : NULL;
    if (bytes != NULL)
        memcpy(bytes, behind, size);
    else if (size > 0)
        answer.code = PTQ_ENOMEM;
    pthread_mutex_lock(&via->mutex);
    struct pti_via_call *call = find_call(via, answer.number);
    bool wanted = call != NULL;
    if (wanted) {
        if (answer.text > 0 && bytes != NULL)
            snprintf(via->reason, sizeof via->reason, "%.*s", (int)answer.text, (const char *)bytes);
        end_call(call, &answer, bytes, size);
        if (call->lost && call->ask.verb != PTI_ASK_OPEN)
            via->connected = false;
    }
    pthread_mutex_unlock(&via->mutex);
    if (wanted && (answer.code != PTQ_ENOMEM || bytes != NULL))
        return;
    if (answer.count > 0)
        give_back(via, behind, size, answer.count);
    if (!wanted)
        free(bytes);
}

/* The bridge is gone: what it was asked will not be answered. */
static void lose_all(struct pti_via *via)
{
    struct pti_via_call *call;

    pthread_mutex_lock(&via->mutex);
    via->connected = false;
    snprintf(via->reason, sizeof via->reason, "the ptqbridge of this host went away");
    TAILQ_FOREACH(call, &via->calls, listed) {
        if (!call->done && call->ask.verb != PTI_ASK_OPEN)
            call->done = call->lost = true;
    }
    pthread_mutex_unlock(&via->mutex);
    for (int side = 0; side < 2; side++) { /* what it would have rung for, nobody knows */
        struct pti_port *bell = pti_load_acquire(&via->bells[side]);
        if (bell != NULL)
            pti_via_ring(bell);
    }
}

/* ---- waiting ---- */

static bool is_interrupted(const struct pti_via *via, const struct pti_via_call *call)
{
    return pti_load_seq(&via->interrupts) != call->interrupts_seen || pti_load_seq(&via->closing);
}

/* The queue of answers remembers an interrupt for each thread that ever waited there; a handle remembers one, once.  True: it
 * was a signal handler. */
static bool was_handler(struct pti_via *via)
{
    static __thread struct {
        const struct pti_via *via;
        uint32_t interrupts;
    } seen;
    uint32_t now = pti_load_seq(&via->interrupts);
    bool is_news = seen.via == via ? seen.interrupts != now : now != 0;

    seen.via = via;
    seen.interrupts = now;
    return !is_news && !pti_load_seq(&via->closing);
}

/* Takes answers for all, until the queue answers otherwise than with some.  True: a signal handler ran. */
static bool lead(struct pti_via *via, int64_t until, bool is_opening)
{
    struct ptq_msg *msgs[AT_ONCE];
    size_t count = 0;
    enum ptq_err err = via->answer->ops->take(via->answer, AT_ONCE, until, msgs, &count);

    if (err == PTQ_OK) {
        for (size_t i = 0; i < count; i++) {
            take_in(via, msgs[i]);
            (void)!via->answer->ops->ack(via->answer, msgs[i]);
        }
        return false;
    }
    if (err == PTQ_EINTR)
        return was_handler(via);
    if (err == PTQ_ENOPEERS && is_opening)
        nap(NAP_NS); /* it has not attached yet */
    else if (err != PTQ_TIMEDOUT && err != PTQ_EMPTY)
        lose_all(via);
    return false;
}

/* Law 2, without a call of the kernel where nobody else is inside: whoever found that he is not to lead came in before this looks. */
void pti_via_poll(struct pti_via *via)
{
    pthread_mutex_lock(&via->mutex);
    bool leads = !via->is_led;
    via->is_led = true;
    pthread_mutex_unlock(&via->mutex);
    if (!leads)
        return;
    (void)lead(via, PTI_DEADLINE_NOW, false);
    pthread_mutex_lock(&via->mutex);
    via->is_led = false;
    pthread_mutex_unlock(&via->mutex);
    if (pti_load_seq(&via->inside) > 1)
        pti_via_wake(via);
}

static bool is_served(struct pti_via *via)
{
    struct ptq_queue_stats stats = {0};

    via->ask->ops->sweep(via->ask);
    return via->ask->ops->stats(via->ask, &stats) == PTQ_OK && stats.consumers > 0;
}

static enum wait_end wait_for_answer(struct pti_via *via, struct pti_via_call *call, int64_t until, bool may_interrupt)
{
    bool is_opening = call->ask.verb == PTI_ASK_OPEN || call->ask.verb == PTI_ASK_LOOK;
    bool handled = false;

    for (;;) {
        uint32_t seen = pti_load_seq(&via->word);
        pthread_mutex_lock(&via->mutex);
        bool done = call->done, leads = !done && !via->is_led;
        via->is_led |= leads;
        pthread_mutex_unlock(&via->mutex);
        if (done)
            return ANSWERED;
        enum wait_end end = ANSWERED;
        if (may_interrupt && (handled || is_interrupted(via, call)))
            end = INTERRUPTED;
        else if (pti_now_ns() >= until || (is_opening && !is_served(via)))
            end = TOO_LATE;
        else if (leads)
            handled = lead(via, until, is_opening);
        else
            handled = pti_futex_wait(&via->word, seen, until) == EINTR;
        if (leads) {
            pthread_mutex_lock(&via->mutex);
            via->is_led = false;
            pthread_mutex_unlock(&via->mutex);
            pti_via_wake(via);
        }
        if (end != ANSWERED)
            return end;
    }
}

static int64_t patience(int64_t deadline)
{
    if (deadline == PTI_DEADLINE_NEVER)
        return pti_now_ns() + FAR_NS;
    return (deadline == PTI_DEADLINE_NOW ? pti_now_ns() : deadline) + PATIENCE_NS;
}

/* Asks the bridge to give it up, and waits for its last word. */
static enum wait_end end_early(struct pti_via *via, struct pti_via_call *call)
{
    uint32_t interrupts = pti_load_seq(&via->interrupts);
    struct pti_ask cancel = {.verb = PTI_ASK_CANCEL, .value = call->ask.number};

    pti_via_tell(via, &cancel, NULL, 0);
    enum wait_end end = wait_for_answer(via, call, pti_now_ns() + CANCEL_NS, false);
    if (end != ANSWERED || call->lost || call->code == PTQ_EINTR)
        pti_store_seq(&via->interrupts_seen, interrupts);
    return end;
}

static enum ptq_err await_answer(struct pti_via *via, struct pti_via_call *call, int64_t deadline, bool may_interrupt)
{
    enum wait_end end = wait_for_answer(via, call, patience(deadline), may_interrupt);
    if (end == ANSWERED)
        return PTQ_OK;
    if (end == INTERRUPTED && end_early(via, call) == ANSWERED)
        return PTQ_OK;
    pthread_mutex_lock(&via->mutex);
    bool done = call->done;
    if (!done && end == TOO_LATE)
        snprintf(via->reason, sizeof via->reason, "the ptqbridge of this host does not answer");
    pthread_mutex_unlock(&via->mutex);
    return done ? PTQ_OK : end == INTERRUPTED ? PTQ_EINTR : PTQ_EUNREACHABLE;
}

static int64_t timeout_of(int64_t deadline)
{
    int64_t left;

    if (deadline == PTI_DEADLINE_NOW)
        return 0;
    if (deadline == PTI_DEADLINE_NEVER)
        return -1;
    left = deadline - pti_now_ns();
    return left > 0 ? left : 1;
}

void pti_via_end(struct pti_via *via, struct pti_via_call *call)
{
    pthread_mutex_lock(&via->mutex);
    TAILQ_REMOVE(&via->calls, call, listed);
    pthread_mutex_unlock(&via->mutex);
}

enum ptq_err pti_via_begin(struct pti_via *via, struct pti_via_call *call, int64_t deadline)
{
    call->done = call->lost = call->unknown = false;
    call->interrupts_seen = pti_load_seq(&via->interrupts_seen);
    call->ask.timeout_ns = timeout_of(deadline);
    pthread_mutex_lock(&via->mutex);
    call->ask = fill_ask(via, &call->ask, ++via->last_number);
    call->ask.settled = pti_via_settled(via);
    TAILQ_INSERT_TAIL(&via->calls, call, listed);
    pthread_mutex_unlock(&via->mutex);
    enum ptq_err err = send_request(via, call);
    call->sent = err == PTQ_OK;
    if (err != PTQ_OK)
        pti_via_end(via, call);
    return err;
}

enum ptq_err pti_via_wait(struct pti_via *via, struct pti_via_call *call, int64_t until)
{
    call->interrupts_seen = pti_load_seq(&via->interrupts_seen);
    uint32_t interrupts = pti_load_seq(&via->interrupts);
    enum wait_end end = wait_for_answer(via, call, until, true);

    if (end == INTERRUPTED)
        pti_store_seq(&via->interrupts_seen, interrupts);
    return end == ANSWERED ? PTQ_OK : end == INTERRUPTED ? PTQ_EINTR : PTQ_TIMEDOUT;
}

enum ptq_err pti_via_run(struct pti_via *via, struct pti_via_call *call, int64_t deadline, bool may_interrupt)
{
    enum ptq_err err = pti_via_begin(via, call, deadline);

    if (err != PTQ_OK)
        return err;
    err = await_answer(via, call, deadline, may_interrupt);
    pti_via_end(via, call);
    return err;
}

/* ---- the bridge knows this handle ---- */

static bool is_same_queue(const struct pti_via *via, const struct pti_ask_opened *opened)
{
    static const uint8_t unknown[sizeof opened->id];

    return via->epoch == 0 || memcmp(via->opened.id, opened->id, sizeof opened->id) == 0 ||
           memcmp(opened->id, unknown, sizeof unknown) == 0;
}

/* Another process's words: they end within their room. */
static void end_texts(struct pti_ask_opened *opened)
{
    opened->run[sizeof opened->run - 1] = opened->node[sizeof opened->node - 1] = '\0';
    opened->where[sizeof opened->where - 1] = opened->url[sizeof opened->url - 1] = '\0';
    opened->spec[sizeof opened->spec - 1] = '\0';
}

static enum ptq_err try_to_connect(struct pti_via *via, struct ptq_error *error)
{
    struct pti_via_call call = {.ask = {.verb = PTI_ASK_OPEN}, .body = &via->asked, .body_size = sizeof via->asked};
    struct pti_ask_opened opened;

    if (!is_served(via))
        return pti_error(error, PTQ_EUNREACHABLE,
                         "%s '%s' is reached through the ptqbridge of this host, and none serves run '%s': start one",
                         pti_thing_word(via->asked.open.thing), via->asked.name, via->bus->run);
    for (int side = 0; side < 2; side++)
        via->asked.bells[side] = pti_load_acquire(&via->bells[side]) != NULL;
    pthread_mutex_lock(&via->mutex);
    via->asked.has_put = via->last_key > 0;
    pthread_mutex_unlock(&via->mutex);
    int wait_ms = via->asked.open.options.wait_ms;
    enum ptq_err err = pti_via_run(via, &call, wait_ms > 0 ? pti_deadline(wait_ms) : PTI_DEADLINE_NOW, false);
    if (err == PTQ_OK && call.code != PTQ_OK) {
        err = pti_error(error, call.code < PTI_ANSWER_UNKNOWN ? (enum ptq_err)call.code : PTQ_EUNREACHABLE, "%.*s",
                        (int)call.size, call.size > 0 ? (const char *)call.bytes : "");
    } else if (err == PTQ_OK && call.size != sizeof opened) {
        err = pti_error(error, PTQ_EVERSION, "the ptqbridge of this host is of another version");
    } else if (err == PTQ_OK) {
        memcpy(&opened, call.bytes, sizeof opened);
        end_texts(&opened);
        if (!is_same_queue(via, &opened))
            err = pti_error(error, PTQ_EGONE, "%s '%s' was removed; another one has its name", pti_thing_word(via->asked.open.thing),
                            via->asked.name);
    } else {
        if (call.sent && via->asked.open.options.mode == PTQ_CREATE && err == PTQ_EUNREACHABLE)
            err = PTQ_EINDOUBT; /* it may be made: who asks again is known by his handle */
        (void)!pti_error(error, err, "the ptqbridge of this host does not answer: %s", ptq_strerror(err));
    }
    if (err == PTQ_OK) {
        pthread_mutex_lock(&via->mutex);
        via->opened = opened;
        via->claim_lost = via->claimed;
        via->connected = true;
        via->epoch++;
        pthread_mutex_unlock(&via->mutex);
    }
    free(call.bytes);
    return err;
}

static bool is_connected(struct pti_via *via)
{
    pthread_mutex_lock(&via->mutex);
    bool connected = via->connected;
    pthread_mutex_unlock(&via->mutex);
    return connected;
}

enum ptq_err pti_via_connect(struct pti_via *via, int64_t patience_ns, struct ptq_error *error)
{
    int64_t until = pti_now_ns() + patience_ns;
    enum ptq_err err = PTQ_OK;

    if (is_connected(via))
        return PTQ_OK;
    pthread_mutex_lock(&via->opening);
    while (!is_connected(via) && (err = try_to_connect(via, error)) != PTQ_OK) {
        if (error == NULL && err == PTQ_EPROTO)
            err = PTQ_EUNREACHABLE; /* it was open before: what one link carried wrongly says nothing of its home */
        if ((err != PTQ_EUNREACHABLE && err != PTQ_EINDOUBT) || pti_now_ns() >= until || pti_load_seq(&via->closing))
            break;
        nap(RETRY_NS);
    }
    pthread_mutex_unlock(&via->opening);
    return err;
}
