/* conn.c -- one session with a home, shared by all handles of this process that lead there; it outlives its links. */
#define HASH_NONFATAL_OOM 1
#include "remote/conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/fork.h"
#include "base/time.h"
#include "bus/bus.h"
#include "os/futex.h"
#include "remote/access.h"
#include "remote/call.h"
#include "remote/redial.h"

#define DIAL_MOST_MS 3500
#define MUTE_MOST_MS 2500

/* All sessions of this process, by address.  A forked child has its own, and lets the parent's lie. */
static pthread_mutex_t list_mutex = PTHREAD_MUTEX_INITIALIZER;
static TAILQ_HEAD(, pti_conn) list = TAILQ_HEAD_INITIALIZER(list);

/* ---- the link ---- */

void pti_conn_kick(struct pti_conn *conn)
{
    pthread_mutex_lock(&conn->link_mutex);
    if (conn->link != NULL)
        pti_link_kick(conn->link);
    pthread_mutex_unlock(&conn->link_mutex);
}

void pti_conn_break(struct pti_conn *conn, const char *reason)
{
    pthread_mutex_lock(&conn->link_mutex);
    if (conn->link != NULL)
        pti_link_close(conn->link, reason);
    pthread_mutex_unlock(&conn->link_mutex);
}

static void on_up(void *context, struct pti_link *link)
{
    struct pti_conn *conn = context;

    if (!conn->insecure && !pti_access_is_tls(conn->url) && !conn->can_prove && !pti_link_is_near(link)) { /* the name led elsewhere than when it was checked */
        pti_link_close(link, "the address is beyond the loopback");
        return;
    }
    pthread_mutex_lock(&conn->mutex);
    conn->state = PTI_CONN_GREETING;
    conn->spoken = false;
    conn->heard = pti_now_ns();
    pti_conn_greet(conn); /* the link sends what waits as soon as it stands */
    pthread_mutex_unlock(&conn->mutex);
}

/* Whoever is woken wants the mutex next: it is free by then.  A word may be gone, with its handle; then nobody sleeps on it. */
static void unlock_and_wake(struct pti_conn *conn)
{
    _Atomic uint32_t *words[PTI_WAKES_MOST];
    unsigned count = conn->wakes.count;

    memcpy(words, conn->wakes.words, count * sizeof words[0]);
    conn->wakes.count = 0;
    conn->wakes.gather = conn->wakes.one = false;
    pthread_mutex_unlock(&conn->mutex);
    for (unsigned i = 0; i < count; i++)
        pti_futex_wake(words[i], INT32_MAX);
}

static void on_readable(void *context, struct pti_link *link)
{
    struct pti_conn *conn = context;
    struct pti_frame frame;
    const char *reason = "";
    enum ptq_err answer, read = PTQ_OK;

    pthread_mutex_lock(&conn->mutex);
    conn->wakes.gather = true;
    while ((answer = pti_link_next(link, &frame, &reason)) == PTQ_OK) {
        conn->spoken = true;
        if ((read = pti_conn_read(conn, link, &frame, &reason)) != PTQ_OK)
            break;
    }
    if (pti_link_is_lively(link))
        conn->heard = pti_now_ns();
    if (answer != PTQ_EMPTY) {
        conn->refusal = read == PTQ_EVERSION ? read : PTQ_EPROTO;
        snprintf(conn->reason, sizeof conn->reason, "%s", reason);
    }
    unlock_and_wake(conn);
    if (answer != PTQ_EMPTY)
        pti_link_close(link, reason);
    pti_conn_kick(conn);
    pti_link_resume(link);
}

static size_t on_fill(void *context, uint8_t *buffer, size_t room)
{
    struct pti_conn *conn = context;

    return pti_outbox_fill(&conn->outbox, buffer, room);
}

static void on_down(void *context, struct pti_link *link)
{
    struct pti_conn *conn = context;
    (void)link;

    pti_store_release(&conn->dropped, true);
    pti_ticker_poke(conn->ticker);
}

static const struct pti_link_events link_events = {on_up, on_readable, on_fill, on_down};

/* ---- channels ---- */

void pti_conn_open_channel(struct pti_conn *conn, struct pti_remote *remote)
{
    struct pti_open_message asked = remote->asked;
    uint8_t bytes[PTI_CONTROL_BYTES];

    pti_remote_ask_stream(remote, &asked);
    size_t size = pti_open_pack(&asked, bytes, sizeof bytes);
    remote->state = PTI_REMOTE_OPENING;
    remote->opens++;
    (void)!pti_outbox_push_copy(&conn->outbox, &remote->lane, PTI_FRAME_OPEN, 0, 0, bytes, size);
}

enum ptq_err pti_conn_join(struct pti_conn *conn, struct pti_remote *remote)
{
    remote->channel = ++conn->last_channel;
    remote->lane.channel = remote->channel;
    unsigned before = HASH_COUNT(conn->remotes);
    HASH_ADD(hh, conn->remotes, channel, sizeof remote->channel, remote);
    if (HASH_COUNT(conn->remotes) == before)
        return PTQ_ENOMEM;
    if (conn->state == PTI_CONN_UP && remote->bare)
        remote->state = PTI_REMOTE_OPEN;
    else if (conn->state == PTI_CONN_UP)
        pti_conn_open_channel(conn, remote);
    else if (conn->state == PTI_CONN_DOWN)
        conn->redial_at = 0;
    return PTQ_OK;
}

static void note_orphan(struct pti_conn *conn, uint32_t channel)
{
    uint32_t *grown = realloc(conn->orphans, (conn->orphan_count + 1) * sizeof *grown);

    if (grown == NULL)
        return; /* the home keeps it until the session ends */
    conn->orphans = grown;
    conn->orphans[conn->orphan_count++] = channel;
}

void pti_conn_leave(struct pti_conn *conn, struct pti_remote *remote, bool home_knows)
{
    HASH_DELETE(hh, conn->remotes, remote);
    if (!home_knows && !remote->bare && conn->home.incarnation != 0)
        note_orphan(conn, remote->channel);
}

/* ---- the ticker: dials, pings, listens for silence, frees ---- */

static int64_t pause_before_dial(const struct pti_conn *conn)
{
    uint32_t random = 0;

    (void)!getrandom(&random, sizeof random, GRND_NONBLOCK);
    return pti_redial_pause_ns(conn->failures, random);
}

static void suspend_all(struct pti_conn *conn)
{
    struct pti_remote *remote, *next;

    pti_outbox_clear(&conn->outbox, &conn->outbox.control);
    for (remote = conn->remotes; remote != NULL; remote = next) {
        next = remote->hh.next;
        if (remote->state == PTI_REMOTE_OPENING)
            remote->state = PTI_REMOTE_SHUT;
        pti_remote_suspend(remote);
    }
}

/* It took the link and ended it at once, without a word: so does a home to which too many links are begun (--max-peer-dials).  It is there,
 * so who waits for it waits on for a while, and dials again soon. */
static bool is_worth_a_wait(struct pti_conn *conn, struct pti_link *link, int64_t now)
{
    bool mute = conn->state == PTI_CONN_GREETING && !conn->spoken && conn->refusal == PTQ_OK && !pti_link_is_tls(link) &&
                now - conn->heard < PTI_NS_PER_S;

    if (!mute)
        conn->mute_since = 0;
    else if (conn->mute_since == 0)
        conn->mute_since = now;
    return mute && now - conn->mute_since < MUTE_MOST_MS * PTI_NS_PER_MS;
}

/* The link has ended: nothing will come or go over it any more. */
static void note_down(struct pti_conn *conn, struct pti_link *link)
{
    int64_t now = pti_now_ns();
    bool was_up = conn->state == PTI_CONN_UP;

    if (was_up)
        conn->down_since = now;
    bool waits = is_worth_a_wait(conn, link, now);
    conn->failures = pti_redial_count(conn->failures, was_up || waits, waits ? 0 : now - conn->up_since);
    conn->attempts += !waits;
    if (pti_link_is_distrusted(link) && conn->home.incarnation == 0) /* of one that was spoken to it says that bytes were spoilt */
        conn->refusal = PTQ_EPERM;
    if ((conn->refusal == PTQ_OK || pti_link_is_distrusted(link)) && !conn->leaving)
        pti_link_reason(link, conn->reason, sizeof conn->reason);
    if (conn->mute_since != 0)
        snprintf(conn->reason, sizeof conn->reason, "it takes links and ends them without a word: too many are begun from here (its log says "
                                                    "so, and --max-peer-dials), or it is no ptqbridge");
    conn->state = PTI_CONN_DOWN;
    conn->leaving = false;
    conn->redial_at = now + pause_before_dial(conn);
    suspend_all(conn);
}

static void drop_link(struct pti_conn *conn)
{
    pthread_mutex_lock(&conn->link_mutex);
    struct pti_link *link = conn->link;
    conn->link = NULL;
    pthread_mutex_unlock(&conn->link_mutex);
    pthread_mutex_lock(&conn->mutex);
    if (link != NULL) /* its last event came, so that no fill is under way */
        note_down(conn, link);
    pthread_mutex_unlock(&conn->mutex);
    pti_link_free(link);
}

static void dial(struct pti_conn *conn)
{
    struct pti_link *link = NULL;

    pti_store_release(&conn->dropped, false);
    struct pti_tls tls = {conn->keys, conn->expected};
    enum ptq_err answer = pti_link_dial(conn->url, &tls, &link_events, conn, &link);
    if (answer != PTQ_OK) {
        pthread_mutex_lock(&conn->mutex);
        conn->state = PTI_CONN_DOWN;
        conn->failures++;
        conn->attempts++;
        conn->redial_at = pti_now_ns() + pause_before_dial(conn);
        snprintf(conn->reason, sizeof conn->reason, "%s", ptq_strerror(answer));
        suspend_all(conn);
        pthread_mutex_unlock(&conn->mutex);
        return;
    }
    pthread_mutex_lock(&conn->link_mutex);
    conn->link = link;
    pthread_mutex_unlock(&conn->link_mutex);
    pti_conn_kick(conn); /* what was pushed before the link was known here */
}

static void ping(struct pti_conn *conn, int64_t now)
{
    uint8_t bytes[32];
    size_t size = pti_ping_pack((uint64_t)now, bytes, sizeof bytes);

    conn->pinged = now;
    (void)!pti_outbox_push_copy(&conn->outbox, &conn->outbox.control, PTI_FRAME_PING, 0, 0, bytes, size);
}

static void reopen_shut(struct pti_conn *conn)
{
    for (struct pti_remote *remote = conn->remotes; remote != NULL; remote = remote->hh.next) {
        if (remote->state == PTI_REMOTE_SHUT)
            pti_conn_open_channel(conn, remote);
    }
}

enum chore { NOTHING, DIAL, SILENT, SAY };

/* What is to be done now, and when to look again. */
static enum chore next_chore(struct pti_conn *conn, int *ret_wait_ms)
{
    int64_t now = pti_now_ns();

    *ret_wait_ms = PTI_PING_MS;
    if (conn->state == PTI_CONN_DIALLING) /* link.c looks to that itself, but not with tls */
        return now - conn->heard >= DIAL_MOST_MS * PTI_NS_PER_MS ? SILENT : NOTHING;
    if (conn->state == PTI_CONN_DOWN) {
        if (now < conn->redial_at) {
            *ret_wait_ms = (int)((conn->redial_at - now) / PTI_NS_PER_MS) + 1;
            return NOTHING;
        }
        conn->state = PTI_CONN_DIALLING;
        conn->heard = now;
        return DIAL;
    }
    if (now - conn->heard >= PTI_LINK_DEADLINE_MS * PTI_NS_PER_MS)
        return SILENT;
    if (conn->state == PTI_CONN_UP) {
        reopen_shut(conn);
        if (now - conn->pinged >= PTI_PING_MS * PTI_NS_PER_MS)
            ping(conn, now);
    }
    return SAY;
}

static int on_tick(void *context)
{
    struct pti_conn *conn = context;
    int wait_ms;

    if (pti_load_acquire(&conn->dropped)) {
        pti_store_release(&conn->dropped, false);
        drop_link(conn);
    }
    pthread_mutex_lock(&conn->mutex);
    enum chore chore = next_chore(conn, &wait_ms);
    pthread_mutex_unlock(&conn->mutex);
    if (chore == DIAL)
        dial(conn);
    else if (chore == SILENT)
        pti_conn_break(conn, "the home was silent for 3 s");
    else if (chore == SAY)
        pti_conn_kick(conn);
    return wait_ms;
}

/* ---- life ---- */

/* Where its name leads, and who has to be there, is judged by one word for all who share it: the strict and the lenient share none. */
static struct pti_conn *find(const ptq_bus *bus, const char *url, const char *expected)
{
    struct pti_conn *conn;

    TAILQ_FOREACH(conn, &list, listed) {
        if (strcmp(conn->url, url) == 0 && conn->insecure == bus->insecure && strcmp(conn->keys, bus->keys) == 0 &&
            strcmp(conn->expected, expected) == 0)
            return conn;
    }
    return NULL;
}

static void free_conn(struct pti_conn *conn)
{
    pti_ticker_free(conn->ticker);
    pti_outbox_fini(&conn->outbox);
    pthread_mutex_destroy(&conn->mutex);
    pthread_mutex_destroy(&conn->link_mutex);
    free(conn->orphans);
    free(conn);
}

static enum ptq_err new_conn(const ptq_bus *bus, const char *url, const char *expected, struct ptq_error *error, struct pti_conn **ret_conn)
{
    struct pti_conn *conn = calloc(1, sizeof *conn);

    if (conn == NULL)
        return pti_error(error, PTQ_ENOMEM, "no memory for a link to '%s'", url);
    snprintf(conn->url, sizeof conn->url, "%s", url);
    snprintf(conn->node, sizeof conn->node, "%s", bus->node);
    conn->insecure = bus->insecure;
    conn->can_prove = pti_keys_can_prove(bus->keys);
    snprintf(conn->keys, sizeof conn->keys, "%s", bus->keys);
    snprintf(conn->expected, sizeof conn->expected, "%s", expected);
    conn->down_since = pti_now_ns();
    pthread_mutex_init(&conn->mutex, NULL);
    pthread_mutex_init(&conn->link_mutex, NULL);
    pti_outbox_init(&conn->outbox, PTQ_WIRE_VERSION, PTI_WIRE_PIECE_BYTES);
    if (getrandom(conn->session, sizeof conn->session, 0) != sizeof conn->session) {
        free_conn(conn);
        return pti_error(error, PTQ_ESYS, "no random numbers for a link to '%s'", url);
    }
    enum ptq_err answer = pti_ticker_start(on_tick, conn, &conn->ticker);
    if (answer != PTQ_OK) {
        free_conn(conn);
        return pti_error(error, answer, "no link to '%s': %s", url, ptq_strerror(answer));
    }
    *ret_conn = conn;
    return PTQ_OK;
}

/* What would be refused later is refused now, with a sentence. */
static enum ptq_err check_keys(ptq_bus *bus, const char *url, struct ptq_error *error, char expected[PTI_KEY_NAME])
{
    char own[PTI_KEY_NAME];

    expected[0] = '\0';
    if (bus->keys[0] == '\0')
        return pti_access_is_tls(url) ? pti_keys_check_tls(bus->keys, url, error) : PTQ_OK;
    pti_bus_name_home(bus, url, expected);
    enum ptq_err answer = pti_keys_name(bus->keys, error, own);
    return answer == PTQ_OK && pti_access_is_tls(url) ? pti_keys_check_tls(bus->keys, url, error) : answer;
}

enum ptq_err pti_conn_hold(ptq_bus *bus, const char *url, struct ptq_error *error, struct pti_conn **ret_conn)
{
    enum ptq_err answer = pti_link_may_start();
    char expected[PTI_KEY_NAME];

    if (answer != PTQ_OK)
        return pti_error(
            error, answer,
            "no link to '%s': this process was forked from one that had links to other hosts; open them after the "
            "fork only, or exec",
            url);
    if (strlen(url) >= sizeof((struct pti_conn *)0)->url)
        return pti_error(error, PTQ_EINVAL, "address '%.60s...' is too long", url);
    answer = pti_access_check("dial", url, pti_access_far(bus), error);
    if (answer == PTQ_OK)
        answer = check_keys(bus, url, error, expected);
    if (answer != PTQ_OK)
        return answer;
    pthread_mutex_lock(&list_mutex);
    struct pti_conn *conn = find(bus, url, expected);
    if (conn == NULL)
        answer = new_conn(bus, url, expected, error, &conn);
    if (answer == PTQ_OK) {
        if (conn->users++ == 0)
            TAILQ_INSERT_TAIL(&list, conn, listed);
        *ret_conn = conn;
    }
    pthread_mutex_unlock(&list_mutex);
    return answer;
}

/* Good-bye, so that the home need not wait for the grace to pass. */
static void say_goodbye(struct pti_conn *conn, int64_t deadline)
{
    struct pti_goaway goaway = {.reason = "closed"};
    uint8_t bytes[PTI_CONTROL_BYTES];
    struct timespec nap = {.tv_nsec = 200000};
    int64_t most = pti_now_ns() + PTI_NS_PER_S / 2;

    pthread_mutex_lock(&conn->mutex);
    bool up = conn->state == PTI_CONN_UP;
    if (up)
        (void)!pti_outbox_push_copy(&conn->outbox, &conn->outbox.control, PTI_FRAME_GOAWAY, 0, 0, bytes,
                                    pti_goaway_pack(&goaway, bytes, sizeof bytes));
    pthread_mutex_unlock(&conn->mutex);
    pti_conn_kick(conn);
    while (up && pti_now_ns() < (deadline < most ? deadline : most)) {
        pthread_mutex_lock(&conn->link_mutex);
        up = conn->link != NULL && !pti_link_is_drained(conn->link);
        pthread_mutex_unlock(&conn->link_mutex);
        if (up)
            nanosleep(&nap, NULL);
    }
}

uint64_t pti_conn_rtt(struct pti_conn *conn)
{
    pthread_mutex_lock(&conn->mutex);
    uint64_t rtt_ns = conn->state == PTI_CONN_UP ? conn->rtt_ns : 0;
    pthread_mutex_unlock(&conn->mutex);
    return rtt_ns;
}

void pti_conn_drop(struct pti_conn *conn, int64_t deadline)
{
    pthread_mutex_lock(&list_mutex);
    bool last = --conn->users == 0;
    if (last)
        TAILQ_REMOVE(&list, conn, listed);
    pthread_mutex_unlock(&list_mutex);
    if (!last)
        return;
    say_goodbye(conn, deadline);
    pti_ticker_stop(conn->ticker);
    pti_link_free(conn->link); /* its last event pokes the ticker, which only sleeps on */
    free_conn(conn);
}
