/* bare.c -- a bare name: here, or at the one peer that has it; made here only where nobody else has made it.
 *
 * Laws.  A queue is made here by its bare name only when every peer has said that it has none, so that nobody makes a
 * second one because the home of the first was silent.  Two who ask and make at once are both told no: so whoever made
 * one asks again.  Where both have it then, the one with the greater id takes his away, if it is empty and nobody has
 * it open, and so does the other if he has waited in vain (the greater one may have looked before his was there).  Where a peer
 * has fallen silent meanwhile he takes it away, too.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "bus/attach.h"
#include "bus/node.h"
#include "queue/resolve.h"

#define LOOK_NS (20 * PTI_NS_PER_MS)
#define WITHDRAW_MS 1000 /* how long the lesser waits for the greater to take his away */
#define TWICE_LOOKS 5    /* at two that have it, before it is an error: one of them may be about to go */
#define STARTS_MOST 8    /* after one's own was taken away */

/* What all peers said. */
struct asked {
    const struct pti_peer *has; /* the first that has it */
    const struct pti_peer *has_too;
    const struct pti_peer *silent;
    bool all_greater; /* the ids of those that have it, than ours */
    struct ptq_error silence;
};

static void rest(void)
{
    struct timespec nap = {.tv_nsec = LOOK_NS};

    nanosleep(&nap, NULL);
}

static bool is_here(ptq_bus *bus, const char *name)
{
    char file[PTI_FILE_NAME_MAX];

    pti_segment_file(name, file, sizeof file);
    return faccessat(bus->dirfd, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- asking ---- */

static bool is_same_home(const struct pti_asked *one, const struct pti_asked *other)
{
    return one->has_id && other->has_id && memcmp(one->id, other->id, sizeof one->id) == 0;
}

/* A home that serves at two addresses is one, and our own is none. */
static void note_answer(const struct pti_peer *peers, const struct pti_asked *answers, size_t i, const struct pti_asked *own,
                        struct asked *asked)
{
    const struct pti_asked *answer = &answers[i];

    if (is_same_home(answer, own))
        return;
    if (answer->answer == PTQ_OK) {
        asked->all_greater = asked->all_greater && answer->has_id && memcmp(answer->id, own->id, sizeof own->id) > 0;
        if (asked->has == NULL)
            asked->has = &peers[i];
        else if (!is_same_home(answer, &answers[asked->has - peers]))
            asked->has_too = &peers[i];
    } else if (answer->answer != PTQ_ENOENT && asked->silent == NULL) {
        asked->silent = &peers[i];
        asked->silence = answer->error;
        asked->silence.code = answer->answer;
    }
}

static enum ptq_err ask_all(const struct pti_bare *bare, bool making, struct asked *asked)
{
    struct pti_asked own = {0}, *answers = calloc(bare->count, sizeof *answers);

    if (answers == NULL)
        return PTQ_ENOMEM;
    for (size_t i = 0; i < bare->count; i++)
        answers[i].url = bare->peers[i].url;
    pti_carriers.ask_remote(bare->bus, bare->bus->run, bare->there, making, answers, bare->count);
    own.has_id = pti_node_id(bare->bus, own.id);
    *asked = (struct asked){.all_greater = own.has_id};
    for (size_t i = 0; i < bare->count; i++)
        note_answer(bare->peers, answers, i, &own, asked);
    free(answers);
    return PTQ_OK;
}

static enum ptq_err tell_silence(const struct asked *asked, const char *name, struct ptq_error *error)
{
    enum ptq_err said = asked->silence.code;
    bool is_told = said == PTQ_EPERM || said == PTQ_EFORKED || said == PTQ_EINVAL || said == PTQ_EVERSION;
    enum ptq_err code = is_told ? said : PTQ_EUNREACHABLE;

    return pti_error(
        error, code,
        "queue '%s' is not here, and peer '%s' does not say whether it has it (%.250s); wait for it, or write "
        "'%s@self' for a queue of this host",
        name, asked->silent->node, asked->silence.text, name);
}

/* ---- opening what is elsewhere ---- */

/* The only peer need not be asked first: opening what is there already asks and answers in one. */
static enum ptq_err open_at_only_peer(const struct pti_bare *bare, const struct pti_peer *peer,
                                      const struct pti_open *attach, struct ptq_error *error,
                                      struct pti_port **ret_port)
{
    struct asked asked = {.silent = peer};
    enum ptq_err answer = pti_resolve_there(bare->bus, peer->url, bare->bus->run, bare->there, attach, &asked.silence, ret_port);

    asked.silence.code = answer;
    if (answer == PTQ_OK)
        pti_resolve_tell_way(*ret_port, "it is not here, and the only peer '%s', known from %s, has it", peer->node,
                             pti_resolve_source(bare->bus));
    if (answer == PTQ_EUNREACHABLE || answer == PTQ_EPROTO)
        return tell_silence(&asked, bare->name, error);
    if (answer == PTQ_ENOENT)
        return pti_error(error, answer, "there is no queue '%s', here or at the only peer '%s'", bare->name, peer->node);
    return answer == PTQ_OK ? PTQ_OK : pti_error(error, answer, "%s", asked.silence.text);
}

/* Where the bridge of this host saw it last: then nobody else is asked, or waited for.  PTQ_ENOENT: it is not there. */
static enum ptq_err open_by_hint(const struct pti_bare *bare, const struct pti_open *attach, struct ptq_error *error,
                                 struct pti_port **ret_port)
{
    struct pti_peer peer;

    if (bare->bus->peer_count > 0 || !pti_resolve_hint(bare->bus, bare->name, &peer))
        return PTQ_ENOENT;
    enum ptq_err answer = pti_resolve_there(bare->bus, peer.url, bare->bus->run, bare->there, attach, error, ret_port);
    if (answer == PTQ_OK)
        pti_resolve_tell_way(*ret_port, "it is not here, and the ptqbridge of this host saw it at peer '%s'", peer.node);
    return answer == PTQ_OK ? PTQ_OK : PTQ_ENOENT;
}

/* Two that have it may be two who made it at once, one of whom is about to take his away. */
static enum ptq_err ask_patiently(const struct pti_bare *bare, bool making, struct asked *asked)
{
    enum ptq_err answer = ask_all(bare, making, asked);

    for (int i = 1; i < TWICE_LOOKS && answer == PTQ_OK && asked->has_too != NULL; i++) {
        rest();
        answer = ask_all(bare, making, asked);
    }
    return answer;
}

/* Here is none.  PTQ_ENOENT: and nowhere else. */
static enum ptq_err open_elsewhere(const struct pti_bare *bare, const struct pti_open *open, struct ptq_error *error, struct pti_port **ret_port)
{
    struct pti_open attach = *open;
    struct asked asked;

    attach.options.mode = PTQ_ATTACH; /* never made anew there because it went meanwhile */
    if (bare->count == 1 && open->options.mode != PTQ_CREATE)
        return open_at_only_peer(bare, &bare->peers[0], &attach, error, ret_port);
    if (open->options.mode != PTQ_CREATE && open_by_hint(bare, &attach, error, ret_port) == PTQ_OK)
        return PTQ_OK;
    enum ptq_err answer = ask_patiently(bare, open->options.mode != PTQ_ATTACH, &asked);
    if (answer != PTQ_OK)
        return pti_error(error, answer, "queue '%s': no memory to ask the peers", bare->name);
    if (asked.has_too != NULL)
        return pti_error(error, PTQ_EEXIST,
                         "queue '%s' is at '%s' and at '%s'; write '%s@%s' or '%s@%s' to say which is meant", bare->name,
                         asked.has->node, asked.has_too->node, bare->there, asked.has->node, bare->there, asked.has_too->node);
    if (asked.has == NULL)
        return asked.silent != NULL ? tell_silence(&asked, bare->name, error)
                                    : pti_error(error, PTQ_ENOENT, "there is no queue '%s', here or at %zu peer%s",
                                                bare->name, bare->count, bare->count == 1 ? "" : "s");
    if (open->options.mode == PTQ_CREATE)
        return pti_error(error, PTQ_EEXIST, "queue '%s' exists already, at '%s'; write '%s@self' for another one here",
                         bare->name, asked.has->node, bare->name);
    answer = pti_resolve_there(bare->bus, asked.has->url, bare->bus->run, bare->there, &attach, error, ret_port);
    if (answer == PTQ_OK)
        pti_resolve_tell_way(*ret_port, "it is not here, and of %zu peers, known from %s, '%s' has it", bare->count,
                             pti_resolve_source(bare->bus), asked.has->node);
    return answer;
}

/* ---- making one here ---- */

/* Somebody else has made one, too.  Nobody but us may have put anything into ours, or be about to. */
static enum ptq_err withdraw(const struct pti_bare *bare, const struct pti_peer *other, struct pti_port *port,
                             struct ptq_error *error, bool *ret_again)
{
    port->ops->close(port, PTI_DEADLINE_NOW);
    if (pti_reap_empty(bare->bus, bare->name) == PTQ_OK) {
        *ret_again = true;
        return pti_error(error, PTQ_EBUSY, "queue '%s' is being made here and at '%s' at the same time; try again", bare->name,
                         other->node);
    }
    return pti_error(error, PTQ_EEXIST,
                     "queue '%s' was made here and at '%s' at the same time, and both are in use; write '%s@self' or '%s@%s' "
                     "to say which is meant, and remove the other",
                     bare->name, other->node, bare->name, bare->name, other->node);
}

/* Law: a peer that has fallen silent between the two looks may be making one behind the cut, and will not hear of ours.  Only
 * where a neighbour uses it by now it stays. */
static enum ptq_err give_up(const struct pti_bare *bare, const struct pti_open *open, const struct asked *asked, struct ptq_error *error,
                            struct pti_port **port)
{
    struct pti_open attach = *open;

    (*port)->ops->close(*port, PTI_DEADLINE_NOW);
    attach.options.mode = PTQ_ATTACH;
    if (pti_reap_empty(bare->bus, bare->name) != PTQ_OK && pti_carriers.open_local(bare->bus, bare->name, &attach, error, port) == PTQ_OK)
        return PTQ_OK;
    return asked->silent != NULL ? tell_silence(asked, bare->name, error)
                                 : pti_error(error, PTQ_ENOMEM, "queue '%s': no memory to ask the peers", bare->name);
}

static enum ptq_err look_again(const struct pti_bare *bare, const struct pti_open *open, struct ptq_error *error, struct pti_port **port,
                               bool *ret_again)
{
    int64_t until = pti_deadline(WITHDRAW_MS);
    struct asked asked = {0};

    while (ask_all(bare, true, &asked) == PTQ_OK) {
        if (asked.has == NULL && asked.silent == NULL)
            return PTQ_OK;
        if (asked.has == NULL)
            break;
        if (!asked.all_greater || pti_now_ns() >= until)
            return withdraw(bare, asked.has, *port, error, ret_again);
        rest();
    }
    return give_up(bare, open, &asked, error, port);
}

/* Who finds that a neighbour has made it meanwhile leaves the second look to him. */
static enum ptq_err make_here(const struct pti_bare *bare, const struct pti_open *open, struct ptq_error *error, struct pti_port **ret_port,
                              bool *ret_again)
{
    struct pti_open make = *open;
    struct pti_port *port = NULL;

    make.options.mode = PTQ_CREATE;
    enum ptq_err answer = pti_carriers.open_local(bare->bus, bare->name, &make, error, &port);
    *ret_again = answer == PTQ_EEXIST && open->options.mode == PTQ_OPEN_OR_CREATE;
    if (answer == PTQ_OK)
        answer = look_again(bare, open, error, &port, ret_again);
    if (answer == PTQ_OK)
        *ret_port = port;
    return answer;
}

static enum ptq_err open_once(const struct pti_bare *bare, const struct pti_open *open, struct ptq_error *error, struct pti_port **ret_port,
                              bool *ret_again)
{
    struct pti_open here = *open;
    enum ptq_err answer = PTQ_ENOENT;

    *ret_again = false;
    if (here.options.mode == PTQ_OPEN_OR_CREATE)
        here.options.mode = PTQ_ATTACH; /* where it goes in this moment, it is not made without asking */
    if (is_here(bare->bus, bare->name))
        answer = pti_carriers.open_local(bare->bus, bare->name, &here, error, ret_port);
    if (answer != PTQ_ENOENT)
        return answer;
    answer = open_elsewhere(bare, open, error, ret_port);
    if (answer == PTQ_ENOENT && open->options.mode != PTQ_ATTACH)
        answer = make_here(bare, open, error, ret_port, ret_again);
    return answer;
}

/* It may come into being here or there, and a silent peer may speak again. */
enum ptq_err pti_resolve_open_bare(const struct pti_bare *bare, const struct pti_open *open, struct ptq_error *error, struct pti_port **ret_port)
{
    struct pti_open look = *open;
    int64_t until = open->options.wait_ms != 0 ? pti_deadline(open->options.wait_ms) : 0;
    enum ptq_err answer;
    bool again;

    look.options.wait_ms = 0;
    for (int starts = 0;; starts++) {
        answer = open_once(bare, &look, error, ret_port, &again);
        bool may_pass = answer == PTQ_EUNREACHABLE || answer == PTQ_EBUSY ||
                        (answer == PTQ_ENOENT && open->options.mode == PTQ_ATTACH);
        again = again && starts < STARTS_MOST;
        if (answer == PTQ_OK || (!again && (!may_pass || pti_now_ns() >= until)))
            return answer;
        rest();
    }
}
