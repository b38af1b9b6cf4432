/* inbox.c -- what nng's threads leave for the one that serves: links that came, bytes that came, links that ended. */
#include "base/time.h"
#include "os/event.h"
#include "remote/server.h"

#define DESCRIPTORS_TELL_NS (60 * PTI_NS_PER_S)
#define GUESTS_SPARE 64 /* accepted beyond the cap, to be told so */

int pti_inbox_accepted(void *context, struct pti_link *link)
{
    struct pti_server *server = context;

    pthread_mutex_lock(&server->inbox_mutex);
    int rest = link != NULL ? pti_caps_rest(&server->caps, pti_now_ns()) : 0;
    server->no_descriptors |= link == NULL;
    pthread_mutex_unlock(&server->inbox_mutex);
    if (link == NULL) {
        pti_event_set(server->wake_fd);
        return 0;
    }
    if (pti_fetch_add_seq(&server->guest_count, 1) < server->caps.most[PTI_CAP_LINKS][PTI_ALL] + GUESTS_SPARE &&
        pti_guest_new(server, link) != NULL)
        return rest;
    pti_fetch_add_seq(&server->guest_count, -1u);
    pti_fetch_add_seq(&server->turned_away, 1);
    pti_link_free(link);
    return rest;
}

/* Once a minute: as each is closed another finds room, and the next none. */
static void tell_descriptors(struct pti_server *server)
{
    int64_t now = pti_now_ns();

    if (server->descriptors_told != 0 && now - server->descriptors_told < DESCRIPTORS_TELL_NS)
        return;
    server->descriptors_told = now;
    pti_server_log(server, PTQ_BRIDGE_ERROR,
                   "component=listener event=no_descriptors links=%llu effect=\"new links wait until some are closed; those that are "
                   "here go on\" help=\"raise the limit of descriptors (LimitNOFILE=, ulimit -n), or lower --max-links\"",
                   (unsigned long long)server->caps.used[PTI_CAP_LINKS]);
}

/* He who has said nothing for the longest goes first: an honest one says HELLO at once. */
static void end_oldest_stranger(struct pti_server *server, const struct pti_party *peer, const char *why)
{
    struct pti_guest *guest;

    TAILQ_FOREACH(guest, &server->guests, listed) {
        if (!guest->stranger || guest->farewell || guest->doomed || (peer != NULL && guest->peer != peer))
            continue;
        pti_guest_greeted(guest);
        pti_guest_send_off(guest, why);
        return;
    }
}

static void count_stranger(struct pti_guest *guest)
{
    struct pti_server *server = guest->server;
    bool own = guest->peer->used[PTI_CAP_STRANGERS] >= server->caps.most[PTI_CAP_STRANGERS][PTI_PEER];
    char why[160];

    guest->stranger = pti_caps_take(server, guest->peer, PTI_CAP_STRANGERS, 1, why, sizeof why);
    if (guest->stranger)
        return;
    end_oldest_stranger(server, own ? guest->peer : NULL, why);
    server->caps.used[PTI_CAP_STRANGERS]++; /* one has gone for it, or will with the round */
    guest->peer->used[PTI_CAP_STRANGERS]++;
    guest->stranger = true;
}

static bool may_come_in(struct pti_guest *guest)
{
    struct pti_server *server = guest->server;
    char why[160];

    if (!pti_guest_may_come(guest))
        return false;
    guest->counted = pti_caps_take(server, guest->peer, PTI_CAP_LINKS, 1, why, sizeof why);
    if (!guest->counted) {
        pti_guest_send_off(guest, why);
        return false;
    }
    count_stranger(guest);
    return true;
}

/* Who comes too often is closed without a word: each word would cost more than his link cost him. */
static void receive_guest(struct pti_guest *guest)
{
    struct pti_server *server = guest->server;

    TAILQ_INSERT_TAIL(&server->guests, guest, listed);
    guest->peer = pti_caps_hold(server, guest->origin);
    if (guest->peer == NULL || !pti_caps_dial(server, guest->peer, guest->accepted)) {
        pti_guest_doom(guest, "it came too soon after others of its address");
        return;
    }
    pti_guest_start(guest);
    (void)!may_come_in(guest);
}

static void heed(struct pti_guest *guest, unsigned words)
{
    if ((words & PTI_WORD_ACCEPTED) != 0)
        receive_guest(guest);
    if ((words & PTI_WORD_READABLE) != 0)
        pti_guest_read(guest);
    if ((words & PTI_WORD_READ_BY_IT) != 0)
        pti_guest_read_on(guest, pti_now_ns());
    if ((words & PTI_WORD_DOWN) != 0) {
        char why[160];
        pti_link_reason(guest->link, why, sizeof why);
        if (guest->frames == 0 && pti_link_is_distrusted(guest->link))
            pti_guest_note_refusal(guest, "", "certificate", why);
        pti_guest_doom(guest, why);
    }
}

void pti_inbox_empty(struct pti_server *server)
{
    pti_event_clear(server->wake_fd);
    for (;;) {
        pthread_mutex_lock(&server->inbox_mutex);
        struct pti_guest *guest = TAILQ_FIRST(&server->inbox);
        unsigned words = guest != NULL ? guest->words : 0;
        bool no_descriptors = server->no_descriptors;
        server->no_descriptors = false;
        if (guest != NULL) {
            TAILQ_REMOVE(&server->inbox, guest, posted);
            guest->words = 0;
        }
        pthread_mutex_unlock(&server->inbox_mutex);
        if (no_descriptors)
            tell_descriptors(server);
        if (guest == NULL)
            return;
        heed(guest, words);
    }
}
