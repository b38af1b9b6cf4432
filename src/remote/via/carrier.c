/* carrier.c -- the bridge's side of outboxes: a mover for each, and what becomes of what is refused.
 *
 * One thread looks for new outboxes, for letters of those that expired on the way, and for outboxes that nobody uses any more.
 * Law: only the bridge that serves the programs of its host carries, so that no two speak for one outbox.
 */
#include "remote/via/out.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/time.h"
#include "bus/directory.h"
#include "os/event.h"
#include "os/futex.h"
#include "queue/header.h"
#include "remote/mover.h"

#define LOOK_MS 500
#define SETTLED_MS 2000 /* what is being made is looked for again and again */
#define SEEN_NS (10 * PTI_NS_PER_S) /* and after that now and then: one that could not be served may be by now */
#define UNUSED_NS (60 * PTI_NS_PER_S) /* until an empty outbox goes */
#define REFUSED ".refused"
#define REFUSED_CAPACITY 10000
#define LETTERS_AT_ONCE 16

struct box {
    TAILQ_ENTRY(box) listed;
    struct pti_via_carrier *carrier;
    char key[PTI_OUT_KEY + 1];
    struct pti_out_map out;
    struct pti_mover *mover;
    struct pti_port *letters;
    pthread_mutex_t mutex;      /* of what follows */
    struct pti_port *refused;   /* NULL: nothing was refused yet */
    int64_t unused_since;
};

struct pti_via_carrier {
    ptq_bus *bus;
    pti_via_log *log;
    void *log_context;
    pthread_t thread;
    int event;
    _Atomic bool serving, stopping;
    TAILQ_HEAD(, box) boxes;
    struct timespec seen; /* of the directory, when it was looked for outboxes */
    int64_t seen_at;
};

static void say(struct box *box, const char *line)
{
    struct pti_via_carrier *carrier = box->carrier;
    char whole[800];

    snprintf(whole, sizeof whole, "component=outbox %s", line);
    if (carrier->log != NULL)
        carrier->log(carrier->log_context, whole);
}

/* ---- what the mover tells ---- */

static void tell_news(struct box *box)
{
    pti_fetch_add_seq(&box->out.page->words.news, 1);
    pti_futex_wake(&box->out.page->words.news, INT32_MAX);
}

static void on_settled(void *context, uint64_t position)
{
    struct box *box = context;

    pti_store_release(&box->out.page->words.settled, position);
    tell_news(box);
}

/* Of why an outbox waits the first byte is written by the mover's thread and by the carrier's, the others by the mover's only. */
static _Atomic char *first_of_why(struct box *box) { return (_Atomic char *)(void *)box->out.page->why; }

static void forget_why(struct box *box)
{
    if (pti_load_relaxed(first_of_why(box)) != '\0')
        pti_store_relaxed(first_of_why(box), '\0');
}

/* Without the quotes that a log needs. */
static void note_why(struct box *box, const char *why)
{
    char text[sizeof box->out.page->why] = "";
    int length = snprintf(text, sizeof text, "%s", why[0] == '"' ? why + 1 : why);

    if (why[0] == '"' && length > 0 && (size_t)length < sizeof text && text[length - 1] == '"')
        text[length - 1] = '\0';
    memcpy(box->out.page->why + 1, text + 1, sizeof text - 1);
    pti_store_release(first_of_why(box), text[0]);
}

static void on_said(void *context, const char *line)
{
    struct box *box = context;
    const char *why = strstr(line, "why=");

    note_why(box, why != NULL ? why + strlen("why=") : "");
    say(box, line);
}

/* ---- refused ---- */

static enum ptq_err open_refused(struct box *box)
{
    const struct pti_out_page *page = box->out.page;
    char name[PTQ_NAME_MAX + 1];
    struct pti_open open = {.options = {.capacity = REFUSED_CAPACITY,
                                        .item_size = page->target.item_size,
                                        .header_size = PTQ_HEADERS_MAX,
                                        .max_deliveries = PTQ_NEVER}};
    struct ptq_error error = {0};

    if (box->refused != NULL)
        return PTQ_OK;
    snprintf(name, sizeof name, "%.*s" REFUSED, (int)(PTQ_NAME_MAX - strlen(REFUSED)), page->name);
    enum ptq_err err = pti_carriers.open_local(box->carrier->bus, name, &open, NULL, &box->refused);
    if (err == PTQ_EMISMATCH) { /* it has it, and another geometry */
        open = (struct pti_open){.options = {.mode = PTQ_ATTACH}};
        err = pti_carriers.open_local(box->carrier->bus, name, &open, &error, &box->refused);
    }
    if (err != PTQ_OK)
        say(box, "event=cannot_keep_refused");
    return err;
}

static void write_reason(const struct box *box, enum ptq_err code, char *text, size_t size)
{
    if (code == PTQ_ELATE)
        snprintf(text, size, "PTQ_ELATE: its time to live ran out in the outbox of '%.120s'", box->out.page->where);
    else
        snprintf(text, size, "%s: %s: '%.120s'", ptq_err_name(code), ptq_strerror(code), box->out.page->where);
}

/* The message as it was, with why. */
static enum ptq_err put_refused(struct box *box, const struct ptq_msg *msg, enum ptq_err code)
{
    uint8_t bytes[PTQ_HEADERS_MAX], units = msg->headers;
    char text[200];
    uint64_t position;

    write_reason(box, code, text, sizeof text);
    struct ptq_header header = {"ptq.refused", text, strlen(text)};
    enum ptq_err err = open_refused(box);
    if (err != PTQ_OK)
        return err;
    if (msg->size > box->refused->item_size)
        return PTQ_EMSGSIZE;
    if (units > 0)
        memcpy(bytes, pti_headers_of(msg), 4 * (size_t)units);
    (void)pti_headers_append(&header, bytes, pti_headers_room(box->refused, msg->size), &units);
    struct pti_put put = {.data = msg->size > 0 ? msg->data : NULL,
                          .size = msg->size,
                          .kind = (uint8_t)(msg->kind | (msg->redelivered ? PTI_KIND_AGAIN : 0)),
                          .type = msg->type,
                          .headers = pti_headers_fit(box->refused, msg->size, units) ? units : 0};
    put.header_bytes = put.headers > 0 ? bytes : NULL;
    return box->refused->ops->put(box->refused, &put, PTI_DEADLINE_NOW, &position);
}

static bool keep_refused(struct box *box, const struct ptq_msg *msg, enum ptq_err code)
{
    pthread_mutex_lock(&box->mutex);
    enum ptq_err err = put_refused(box, msg, code);
    if (err == PTQ_EGONE && box->refused != NULL) { /* somebody has read it and taken it away */
        box->refused->ops->close(box->refused, PTI_DEADLINE_NOW);
        box->refused = NULL;
        err = put_refused(box, msg, code);
    }
    pthread_mutex_unlock(&box->mutex);
    if (err != PTQ_OK) {
        char line[300];
        snprintf(line, sizeof line, "event=waiting why=\"the queue '%.128s" REFUSED "' of what was refused takes no more (%s): read it\"",
                 box->out.page->name, ptq_err_name(err));
        on_said(box, line);
        return false;
    }
    pti_store_relaxed(&box->out.page->words.refusal, (uint32_t)code);
    pti_fetch_add_seq(&box->out.page->words.refused, 1);
    tell_news(box);
    return true;
}

static enum pti_moved on_moved(void *context, const struct ptq_msg *msg, enum ptq_err code, uint64_t position)
{
    struct box *box = context;
    (void)position;

    if (code == PTQ_OK) {
        pti_store_relaxed(&box->out.page->words.state, PTI_OUT_CARRIED);
        forget_why(box);
        pti_fetch_add_seq(&box->out.page->words.moved, 1);
        return PTI_MOVED_ACK;
    }
    return keep_refused(box, msg, code) ? PTI_MOVED_ACK : PTI_MOVED_AGAIN;
}

/* What outlived its time became a letter. */
static void read_letters(struct box *box)
{
    struct ptq_msg *msgs[LETTERS_AT_ONCE];
    size_t count = 0;

    if (box->letters->ops->take(box->letters, LETTERS_AT_ONCE, PTI_DEADLINE_NOW, msgs, &count) != PTQ_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        if (keep_refused(box, msgs[i], PTQ_ELATE))
            (void)!box->letters->ops->ack(box->letters, msgs[i]);
        else
            (void)!box->letters->ops->nack(box->letters, msgs[i], 0);
    }
}

/* ---- outboxes ---- */

static void free_box(struct box *box)
{
    pti_mover_stop(box->mover);
    if (box->letters != NULL)
        box->letters->ops->close(box->letters, PTI_DEADLINE_NOW);
    if (box->refused != NULL)
        box->refused->ops->close(box->refused, PTI_DEADLINE_NOW);
    if (box->out.page != NULL)
        pti_store_relaxed(&box->out.page->words.state, PTI_OUT_LYING);
    pti_out_close(&box->out);
    pthread_mutex_destroy(&box->mutex);
    free(box);
}

static enum ptq_err start_mover(struct box *box)
{
    struct pti_out_page *page = box->out.page;
    struct pti_open letters = {.options = {.mode = PTQ_ATTACH}, .letters = true};
    char name[PTI_OUT_NAME];
    struct pti_move move = {.bus = box->carrier->bus,
                            .source = name,
                            .url = page->url,
                            .run = page->has_run ? page->run : NULL,
                            .name = page->name,
                            .open = {.options = {.mode = PTQ_ATTACH}, .carrier = 1},
                            .claims = true,
                            .moved = on_moved,
                            .settled = on_settled,
                            .said = on_said,
                            .context = box};

    pti_out_queue(box->key, name);
    enum ptq_err err = pti_carriers.open_local(move.bus, name, &letters, NULL, &box->letters);
    return err == PTQ_OK ? pti_mover_start(&move, NULL, &box->mover) : err;
}

/* One whose queue is not there yet is found again. */
static bool find_box(const char *key, void *context)
{
    struct pti_via_carrier *carrier = context;
    struct box *box;

    TAILQ_FOREACH(box, &carrier->boxes, listed) {
        if (strcmp(box->key, key) == 0)
            return true;
    }
    box = calloc(1, sizeof *box);
    if (box == NULL)
        return false;
    box->carrier = carrier;
    pthread_mutex_init(&box->mutex, NULL);
    snprintf(box->key, sizeof box->key, "%s", key);
    if (pti_out_open(carrier->bus, key, &box->out) != PTQ_OK || start_mover(box) != PTQ_OK) {
        free_box(box);
        return true;
    }
    TAILQ_INSERT_TAIL(&carrier->boxes, box, listed);
    return true;
}

static void note_state(struct box *box)
{
    struct pti_mover_state state;

    pti_mover_look(box->mover, &state);
    pti_store_relaxed(&box->out.page->words.state, state.connected ? PTI_OUT_CARRIED : PTI_OUT_WAITING);
    if (state.connected && state.in_flight == 0)
        forget_why(box);
}

/* The mover and the view of letters are the only ones that have it open. */
static bool is_unused(struct box *box)
{
    struct pti_port *source = pti_mover_source(box->mover);
    struct ptq_queue_stats stats;

    source->ops->sweep(source);
    return source->ops->stats(source, &stats) == PTQ_OK && stats.producers == 0 &&
           stats.ready + stats.leased + stats.delayed + stats.dead == 0;
}

/* True: it is not there any more. */
static bool end_box(struct box *box, int64_t now)
{
    if (!is_unused(box))
        box->unused_since = 0;
    else if (box->unused_since == 0)
        box->unused_since = now;
    if (box->unused_since == 0 || now - box->unused_since < UNUSED_NS)
        return false;
    pti_mover_stop(box->mover);
    box->mover = NULL;
    box->letters->ops->close(box->letters, PTI_DEADLINE_NOW);
    box->letters = NULL;
    (void)pti_out_remove(box->carrier->bus, box->key, &box->out); /* somebody came: it is found again */
    return true;
}

static void look(struct pti_via_carrier *carrier)
{
    struct box *box, *next;

    if (!pti_directory_is_same(carrier->bus->dirfd, SETTLED_MS, &carrier->seen) || pti_now_ns() - carrier->seen_at >= SEEN_NS) {
        pti_out_list(carrier->bus, find_box, carrier);
        carrier->seen_at = pti_now_ns();
    }
    for (box = TAILQ_FIRST(&carrier->boxes); box != NULL; box = next) {
        next = TAILQ_NEXT(box, listed);
        note_state(box);
        read_letters(box);
        if (end_box(box, pti_now_ns())) {
            TAILQ_REMOVE(&carrier->boxes, box, listed);
            free_box(box);
        }
    }
}

static void *carry(void *context)
{
    struct pti_via_carrier *carrier = context;
    struct pollfd fd = {.fd = carrier->event, .events = POLLIN};
    struct box *box;

    while (!pti_load_seq(&carrier->stopping)) {
        if (pti_load_seq(&carrier->serving))
            look(carrier);
        (void)!poll(&fd, 1, LOOK_MS);
        pti_event_clear(carrier->event);
    }
    while ((box = TAILQ_FIRST(&carrier->boxes)) != NULL) {
        TAILQ_REMOVE(&carrier->boxes, box, listed);
        free_box(box);
    }
    return NULL;
}

enum ptq_err pti_carrier_start(ptq_bus *bus, pti_via_log *log, void *log_context, struct pti_via_carrier **ret_carrier)
{
    struct pti_via_carrier *carrier = calloc(1, sizeof *carrier);

    if (carrier == NULL)
        return PTQ_ENOMEM;
    *carrier = (struct pti_via_carrier){.bus = bus, .log = log, .log_context = log_context, .event = -1};
    TAILQ_INIT(&carrier->boxes);
    if (pti_event_new(false, &carrier->event) != 0 || pthread_create(&carrier->thread, NULL, carry, carrier) != 0) {
        if (carrier->event >= 0)
            close(carrier->event);
        free(carrier);
        return PTQ_ENOMEM;
    }
    *ret_carrier = carrier;
    return PTQ_OK;
}

void pti_carrier_serve(struct pti_via_carrier *carrier)
{
    pti_store_seq(&carrier->serving, true);
    pti_event_set(carrier->event);
}

void pti_carrier_poke(struct pti_via_carrier *carrier) { pti_event_set(carrier->event); }

void pti_carrier_stop(struct pti_via_carrier *carrier)
{
    if (carrier == NULL)
        return;
    pti_store_seq(&carrier->stopping, true);
    pti_event_set(carrier->event);
    pthread_join(carrier->thread, NULL);
    close(carrier->event);
    free(carrier);
}
