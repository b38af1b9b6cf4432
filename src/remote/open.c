/* open.c -- how a queue of another host is opened, and what may be asked of a home without a queue. */
#define HASH_NONFATAL_OOM 1
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/time.h"
#include "os/futex.h"
#include "queue/address.h"
#include "remote/alike.h"
#include "remote/pipeline.h"
#include "remote/port.h"
#include "remote/remote.h"
#include "remote/share.h"
#include "remote/token.h"

#define FIRST_LOOK_MS 5 /* between looks for a queue that is not there yet; doubles */
#define MOST_LOOK_MS 200
#define FAREWELL_MS 500
#define WHY_BYTES (sizeof((struct pti_port *)0)->why)

static enum ptq_err new_remote(ptq_bus *bus, const char *url, struct ptq_error *error, struct pti_remote **ret_remote)
{
    struct pti_remote *remote = calloc(1, sizeof *remote);
    struct pti_conn *conn;

    if (remote == NULL)
        return pti_error(error, PTQ_ENOMEM, "no memory for a queue at '%s'", url);
    enum ptq_err answer = pti_conn_hold(bus, url, error, &conn);
    if (answer != PTQ_OK) {
        free(remote);
        return answer;
    }
    pti_remote_init(remote, conn);
    remote->port.ops = &pti_remote_ops;
    remote->port.remote = true;
    *ret_remote = remote;
    return PTQ_OK;
}

static enum ptq_err join(struct pti_remote *remote, struct ptq_error *error)
{
    struct pti_conn *conn = remote->conn;

    pthread_mutex_lock(&conn->mutex);
    enum ptq_err answer = pti_conn_join(conn, remote);
    pthread_mutex_unlock(&conn->mutex);
    pti_conn_kick(conn);
    pti_ticker_poke(conn->ticker);
    if (answer != PTQ_OK) {
        pti_remote_fini(remote);
        free(remote);
        (void)!pti_error(error, answer, "no memory for a queue at '%s'", conn->url);
        pti_conn_drop(conn, PTI_DEADLINE_NOW); /* perhaps its last user */
        return answer;
    }
    return PTQ_OK;
}

/* ---- waiting for the first answer ---- */

static enum ptq_err explain_silence(struct pti_conn *conn, struct ptq_error *error)
{
    enum ptq_err code = pti_conn_refusal(conn);

    if (code != PTQ_EUNREACHABLE)
        return pti_error(error, code, "the home at '%s' refuses: %s", conn->url, conn->reason);
    return pti_error(error, code, "the home at '%s' does not answer: %s; is ptqbridge running there?", conn->url,
                     conn->reason[0] != '\0' ? conn->reason : "nothing came for 3 s");
}

/* PTQ_OK: it is open.  PTQ_EMPTY: not yet, and nothing is decided. */
static enum ptq_err look(struct pti_remote *remote, unsigned attempts, int64_t until, struct ptq_error *error)
{
    struct pti_conn *conn = remote->conn;

    if (remote->state == PTI_REMOTE_OPEN)
        return PTQ_OK;
    if (remote->state == PTI_REMOTE_FAILED)
        return pti_error(error, remote->failure, "%s", remote->said_text);
    if ((conn->state == PTI_CONN_DOWN && conn->attempts != attempts) || pti_now_ns() >= until)
        return explain_silence(conn, error);
    return PTQ_EMPTY;
}

static unsigned count_attempts(struct pti_conn *conn)
{
    pthread_mutex_lock(&conn->mutex);
    unsigned attempts = conn->attempts;
    pthread_mutex_unlock(&conn->mutex);
    return attempts;
}

static enum ptq_err wait_until_open(struct pti_remote *remote, struct ptq_error *error)
{
    struct pti_conn *conn = remote->conn;
    struct pti_slot *slot = &remote->slots[0];
    int64_t until = pti_now_ns() + PTI_LINK_DEADLINE_MS * PTI_NS_PER_MS;
    enum ptq_err answer;

    unsigned attempts = count_attempts(conn);
    pti_fetch_add_seq(&slot->sleepers, 1);
    for (;;) {
        uint32_t seen = pti_load_seq(&slot->word);
        pthread_mutex_lock(&conn->mutex);
        answer = look(remote, attempts, until, error);
        pthread_mutex_unlock(&conn->mutex);
        if (answer != PTQ_EMPTY)
            break;
        pti_futex_wait(&slot->word, seen, until);
    }
    pti_fetch_add_seq(&slot->sleepers, -1u);
    return answer;
}

/* ---- opening ---- */

/* Whose numbers its puts bear, whatever session asks. */
static enum ptq_err draw_stream(struct pti_open_message *asked, const struct pti_open *open)
{
    asked->carrier = open->carrier;
    asked->first = open->has_put ? 1 : 0;
    if (open->stream != NULL)
        memcpy(asked->stream, open->stream, sizeof asked->stream);
    else if (getrandom(asked->stream, sizeof asked->stream, 0) != sizeof asked->stream)
        return PTQ_ESYS;
    return PTQ_OK;
}

static void describe(struct pti_open_message *asked, const char *run, const char *name, const struct pti_open *open)
{
    const struct ptq_queue_options *options = &open->options;

    *asked = (struct pti_open_message){.mode = (uint32_t)options->mode,
                                       .capacity = options->capacity,
                                       .window = open->window,
                                       .start = open->start,
                                       .item_size = options->item_size,
                                       .max_deliveries = options->max_deliveries,
                                       .max_endpoints = options->max_endpoints,
                                       .file_mode = options->file_mode,
                                       .prefault = options->prefault,
                                       .ephemeral = options->ephemeral,
                                       .bytes = options->bytes,
                                       .header_size = options->header_size,
                                       .full = (uint32_t)options->full,
                                       .stamps = (uint32_t)options->stamps,
                                       .ttl_ms = options->ttl_ms,
                                       .expired_to_dead = options->expired_to_dead,
                                       .lease_ms = options->lease_ms,
                                       .max_dead = options->max_dead,
                                       .last_producer_ends = options->last_producer_ends,
                                       .letters = open->letters,
                                       .roles = options->flags & (PTQ_PRODUCER | PTQ_CONSUMER),
                                       .placed = open->placed,
                                       .thing = open->thing};
    snprintf(asked->run, sizeof asked->run, "%s", run != NULL ? run : "");
    snprintf(asked->name, sizeof asked->name, "%s", name);
    snprintf(asked->spec, sizeof asked->spec, "%s", options->spec != NULL ? options->spec : "");
}

/* ptq://host:port/run/name, ptq+ipc:///path/run/name, ptq+ws://host:port/path/run/name */
static void name_place(struct pti_remote *remote)
{
    const char *url = remote->conn->url;
    const char *where = url, *scheme = pti_address_scheme(url, &where);
    char text[sizeof remote->conn->url + 2 * sizeof remote->asked.name + 16];

    snprintf(text, sizeof text, "%s%s/%s/%s", scheme != NULL ? scheme : "", where, remote->where_run, remote->asked.name);
    snprintf(remote->port.where, sizeof remote->port.where, "%.255s", text);
}

/* Says HELLO, if nobody has: what the home tells of itself is known then. */
static enum ptq_err meet_home(ptq_bus *bus, const char *url, struct ptq_error *error, struct pti_remote **ret_remote)
{
    struct pti_remote *remote = NULL;
    enum ptq_err answer = new_remote(bus, url, error, &remote);

    if (answer == PTQ_OK) {
        remote->bare = true;
        answer = join(remote, error);
    }
    if (answer != PTQ_OK)
        return answer;
    answer = wait_until_open(remote, error);
    if (answer != PTQ_OK)
        pti_remote_close(remote, pti_deadline(FAREWELL_MS));
    else
        *ret_remote = remote;
    return answer;
}

/* From now on there is a queue behind it. */
static enum ptq_err ask_for_queue(struct pti_remote *remote, const struct pti_open_message *asked, struct ptq_error *error)
{
    struct pti_conn *conn = remote->conn;

    pthread_mutex_lock(&conn->mutex);
    remote->bare = false;
    remote->asked = *asked;
    remote->state = PTI_REMOTE_SHUT;
    if (conn->state == PTI_CONN_UP)
        pti_conn_open_channel(conn, remote);
    pthread_mutex_unlock(&conn->mutex);
    pti_conn_kick(conn);
    return wait_until_open(remote, error);
}

static bool home_is_here(ptq_bus *bus, struct pti_conn *conn, const char *run, char *why, size_t size)
{
    pthread_mutex_lock(&conn->mutex);
    struct pti_hello home = conn->home;
    pthread_mutex_unlock(&conn->mutex);
    return pti_token_is_here(bus, &home, conn->url, run, why, size);
}

/* An older home would open a queue of that name. */
static enum ptq_err check_version(struct pti_remote *remote, const struct pti_open_message *asked, struct ptq_error *error)
{
    struct pti_conn *conn = remote->conn;

    pthread_mutex_lock(&conn->mutex);
    unsigned version = conn->outbox.version;
    pthread_mutex_unlock(&conn->mutex);
    if (version >= 3)
        return PTQ_OK;
    return pti_error(error, PTQ_EVERSION, "'%s': the home at '%s' speaks wire version %u, and shares and logs need 3; update ptq there", asked->name,
                     conn->url, version);
}

/* An exclusive create that was asked and not answered may have made it, and its maker is the last to be told that it exists.  A home
 * of version 1 does not know who made what. */
static enum ptq_err judge_create(struct pti_remote *remote, const struct pti_open_message *asked, enum ptq_err answer,
                                 struct ptq_error *error, unsigned *asks)
{
    struct pti_conn *conn = remote->conn;

    pthread_mutex_lock(&conn->mutex);
    *asks += remote->opens;
    bool is_old = conn->outbox.version < 2;
    pthread_mutex_unlock(&conn->mutex);
    if (asked->mode != PTQ_CREATE || answer != PTQ_EEXIST || *asks < 2 || !is_old)
        return answer;
    return pti_error(error, PTQ_EINDOUBT,
                     "%s '%s' at '%s' exists: perhaps made by this call, whose first answer was lost; open it without exclusive "
                     "create, or look who made it", pti_thing_word(asked->thing), asked->name, conn->url);
}

/* *ret_remote NULL: its home has the memory of this bus, and the queue is opened there.  *asks grows with each time that it was asked
 * for. */
static enum ptq_err try_open(ptq_bus *bus, const char *url, const struct pti_open_message *asked, unsigned flags,
                             char why[WHY_BYTES], struct ptq_error *error, unsigned *asks, struct pti_remote **ret_remote)
{
    struct pti_remote *remote = NULL;
    enum ptq_err answer = meet_home(bus, url, error, &remote);

    if (answer != PTQ_OK)
        return answer;
    if (home_is_here(bus, remote->conn, asked->run, why, WHY_BYTES)) {
        pti_remote_close(remote, pti_deadline(FAREWELL_MS));
        *ret_remote = NULL;
        return PTQ_OK;
    }
    answer = asked->thing != 0 ? check_version(remote, asked, error) : pti_check_far_flags(url, asked->name, flags, error);
    if (answer == PTQ_OK) {
        answer = ask_for_queue(remote, asked, error);
        answer = judge_create(remote, asked, answer, error, asks);
    }
    if (answer != PTQ_OK) {
        pti_remote_close(remote, pti_deadline(FAREWELL_MS));
        return answer;
    }
    remote->asked.mode = PTQ_ATTACH; /* whoever opens it again must not make it anew */
    remote->asked.prefault = remote->asked.ephemeral = false;
    if ((flags & PTQ_PIPELINE) != 0 && pti_pipeline_new(remote) != PTQ_OK) {
        pti_remote_close(remote, pti_deadline(FAREWELL_MS));
        return pti_error(error, PTQ_ENOMEM, "no memory to gather puts to '%s'", asked->name);
    }
    name_place(remote);
    *ret_remote = remote;
    return PTQ_OK;
}

/* What may change while one waits: the queue comes into being, its home comes up, gc lets it go. */
static bool may_pass(enum ptq_err answer, const struct ptq_queue_options *options)
{
    return answer == PTQ_EBUSY || answer == PTQ_EUNREACHABLE || (answer == PTQ_ENOENT && options->mode == PTQ_ATTACH);
}

static enum ptq_err give_up(const struct pti_open_message *asked, const char *url, unsigned asks, enum ptq_err answer,
                            struct ptq_error *error)
{
    if (asked->mode != PTQ_CREATE || answer != PTQ_EUNREACHABLE || asks == 0)
        return answer;
    return pti_error(error, PTQ_EINDOUBT,
                     "%s '%s': the home at '%s' was asked to make it and did not answer: it may be there; open it without "
                     "exclusive create, or create with wait_ms, which asks again", pti_thing_word(asked->thing), asked->name, url);
}

enum ptq_err pti_remote_open(ptq_bus *bus, const char *url, const char *run, const char *name,
                             const struct pti_open *open, struct ptq_error *error, struct pti_port **ret_port)
{
    struct pti_open_message asked;
    struct pti_remote *remote = NULL;
    unsigned asks = 0;
    int64_t until = open->options.wait_ms != 0 ? pti_deadline(open->options.wait_ms) : 0;
    struct timespec nap = {.tv_nsec = FIRST_LOOK_MS * PTI_NS_PER_MS};
    enum ptq_err answer;

    char why[WHY_BYTES];

    describe(&asked, run, name, open);
    if (draw_stream(&asked, open) != PTQ_OK)
        return pti_error(error, PTQ_ESYS, "no random numbers for %s '%s' at '%s'", pti_thing_word(open->thing), name, url);
    while ((answer = try_open(bus, url, &asked, open->options.flags, why, error, &asks, &remote)) != PTQ_OK) {
        if (!may_pass(answer, &open->options) || pti_now_ns() >= until)
            return give_up(&asked, url, asks, answer, error);
        nanosleep(&nap, NULL);
        if (nap.tv_nsec < MOST_LOOK_MS * PTI_NS_PER_MS)
            nap.tv_nsec *= 2;
    }
    if (remote == NULL && open->thing != 0) {
        *ret_port = NULL; /* the caller's, to open here */
        return PTQ_OK;
    }
    if (remote == NULL) {
        answer = pti_carriers.open_local(bus, name, open, error, ret_port);
    } else {
        remote->port.letters = open->letters;
        *ret_port = &remote->port;
    }
    if (answer == PTQ_OK)
        snprintf((*ret_port)->why, sizeof (*ret_port)->why, "%s", why);
    return answer;
}

/* ---- asking ---- */

/* A question under way. */
struct pti_asking {
    struct pti_remote *remote;
    struct pti_call *call;
    struct pti_directory *directory;
    unsigned attempts;
    int64_t until;
    uint8_t bytes[PTI_CONTROL_BYTES];
};

/* Who waits for it looks at the call. */
static void wake_asker(struct pti_call *call, void *context)
{
    (void)call;
    pti_remote_wake(context);
}

/* What the call was answered, perhaps in the last moment; PTQ_EINTR if it was not. */
static enum ptq_err end_asking(struct pti_asking *asking)
{
    enum ptq_err answer = asking->call != NULL ? pti_call_stop(&asking->call) : PTQ_ENOMEM;

    pti_call_free(asking->call);
    pti_remote_close(asking->remote, pti_deadline(FAREWELL_MS));
    free(asking);
    return answer;
}

enum ptq_err pti_remote_ask_begin(ptq_bus *bus, const char *url, const struct pti_directory_ask *ask,
                                  struct ptq_error *error, struct pti_directory *ret_directory,
                                  struct pti_asking **ret_asking)
{
    struct pti_asking *asking = calloc(1, sizeof *asking);

    if (asking == NULL)
        return pti_error(error, PTQ_ENOMEM, "no memory to ask '%s'", url);
    enum ptq_err answer = new_remote(bus, url, error, &asking->remote);
    if (answer != PTQ_OK) {
        free(asking);
        return answer;
    }
    asking->remote->bare = true;
    answer = join(asking->remote, error);
    if (answer != PTQ_OK) {
        free(asking);
        return answer;
    }
    asking->attempts = count_attempts(asking->remote->conn);
    asking->until = pti_now_ns() + PTI_LINK_DEADLINE_MS * PTI_NS_PER_MS;
    asking->call = pti_call_new(asking->remote, PTI_FRAME_DIRECTORY);
    answer = asking->call != NULL ? PTQ_OK : PTQ_ENOMEM;
    if (answer == PTQ_OK) {
        asking->call->out.bytes = asking->bytes;
        asking->call->out.size = pti_directory_ask_pack(ask, asking->bytes, sizeof asking->bytes);
        asking->call->directory = ret_directory;
        answer = pti_call_start(asking->call, wake_asker, asking->remote);
    }
    if (answer != PTQ_OK) {
        pti_call_free(asking->call);
        asking->call = NULL;
        (void)!end_asking(asking);
        return pti_error(error, answer, "cannot ask '%s': %s", url, ptq_strerror(answer));
    }
    *ret_asking = asking;
    return PTQ_OK;
}

/* PTQ_EMPTY: there is no answer yet, and there may be one. */
static enum ptq_err look_for_answer(struct pti_asking *asking, struct ptq_error *error)
{
    struct pti_call *call = asking->call;

    if (pti_load_acquire(&call->done) && call->code != PTQ_OK && asking->remote->said == call->code)
        return pti_error(error, call->code, "the home at '%s' says: %s", asking->remote->conn->url, asking->remote->said_text);
    if (pti_load_acquire(&call->done))
        return call->code == PTQ_OK ? PTQ_OK
                                    : pti_error(error, call->code, "the home at '%s' does not answer: %s",
                                                asking->remote->conn->url, ptq_strerror(call->code));
    enum ptq_err opened = look(asking->remote, asking->attempts, asking->until, error);
    if (opened != PTQ_OK || pti_now_ns() < asking->until)
        return opened == PTQ_OK ? PTQ_EMPTY : opened;
    return explain_silence(asking->remote->conn, error);
}

enum ptq_err pti_remote_ask_end(struct pti_asking *asking, struct ptq_error *error)
{
    struct pti_conn *conn = asking->remote->conn;
    struct pti_slot *slot = &asking->remote->slots[0];
    enum ptq_err answer;

    pti_fetch_add_seq(&slot->sleepers, 1);
    for (;;) {
        uint32_t seen = pti_load_seq(&slot->word);
        pthread_mutex_lock(&conn->mutex);
        answer = look_for_answer(asking, error);
        pthread_mutex_unlock(&conn->mutex);
        if (answer != PTQ_EMPTY)
            break;
        pti_futex_wait(&slot->word, seen, asking->until);
    }
    pti_fetch_add_seq(&slot->sleepers, -1u);
    return end_asking(asking) == PTQ_OK ? PTQ_OK : answer;
}
