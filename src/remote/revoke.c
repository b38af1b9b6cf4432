/* revoke.c -- keys that were taken back: who came in by one goes when the options are read again, whatever he holds. */
#include <stdio.h>
#include <string.h>

#include "remote/proof.h"
#include "remote/server.h"

/* The key that was read last: many sessions are of one peer. */
struct last {
    char identity[PTI_IDENTITY_BYTES];
    uint8_t mark[PTI_PROOF_BYTES];
    bool is_there;
};

/* Law: a key that cannot be used is taken back. */
static void read_key(const struct pti_server *server, const char *identity, struct last *last)
{
    struct pti_key key;

    snprintf(last->identity, sizeof last->identity, "%s", identity);
    last->is_there = pti_keys_peer(server->bus->keys, identity, server->key_name, NULL, &key) == PTQ_OK;
    if (!last->is_there)
        return;
    last->is_there = pti_proof_mark(key.secret, last->mark);
    pti_wipe(&key, sizeof key);
}

static bool is_good(const struct pti_server *server, const char *identity, const uint8_t mark[PTI_PROOF_BYTES], struct last *last)
{
    if (strcmp(last->identity, identity) != 0)
        read_key(server, identity, last);
    return last->is_there && pti_proof_equal(last->mark, mark);
}

/* Of users of this host the kernel speaks, and of nobody in particular there is no key. */
static bool has_key(const struct pti_session *session)
{
    return session->identity[0] != '\0' && strncmp(session->identity, "uid:", 4) != 0;
}

static void send_off(struct pti_guest *guest, const char *identity)
{
    pti_guest_turn_away(guest, identity, "the key of '%s' was taken back at '%s'", identity, guest->server->key_name);
}

void pti_server_revoke(struct pti_server *server)
{
    struct pti_session *session, *next;
    struct pti_guest *guest;
    struct last last = {0};
    const uint8_t *mark;

    if (server->key_name[0] == '\0')
        return;
    for (session = server->sessions; session != NULL; session = next) {
        next = session->hh.next;
        if (!has_key(session) || is_good(server, session->identity, session->key_mark, &last))
            continue;
        if (session->guest != NULL)
            send_off(session->guest, session->identity);
        pti_session_free(session, "its key was taken back");
    }
    TAILQ_FOREACH(guest, &server->guests, listed) {
        const char *identity = pti_guest_claim(guest, &mark);
        if (identity != NULL && !is_good(server, identity, mark, &last))
            send_off(guest, identity);
    }
}
