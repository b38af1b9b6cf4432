/* refusals.c -- who was refused: each logged once, all counted. */
#include "remote/refusals.h"

#include "base/time.h"
#include "remote/server.h"

#define FORGET_NS (INT64_C(600) * PTI_NS_PER_S)

/* FNV-1a, the end of each word included; never 0. */
static uint64_t hash_words(enum pti_refused kind, const char *const words[3])
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ (uint64_t)kind;

    for (size_t i = 0; i < 3; i++) {
        const char *at = words[i];
        do {
            hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
        } while (*at++ != '\0');
    }
    return hash | 1;
}

static bool is_known(const struct pti_refusals *refusals, uint64_t hash)
{
    for (size_t i = 0; i < refusals->known_count; i++) {
        if (refusals->known[i] == hash)
            return true;
    }
    return false;
}

/* Somebody with many names could fill it, and then is heard of as one of many; after a while all are told again. */
bool pti_refusals_note(struct pti_server *server, enum pti_refused kind, const char *one, const char *two, const char *three)
{
    struct pti_refusals *refusals = &server->refusals;
    uint64_t hash = hash_words(kind, (const char *const[]){one, two, three});
    int64_t now = pti_now_ns();

    pti_fetch_add_seq(&refusals->counts[kind], 1);
    if (refusals->full_since != 0 && now - refusals->full_since > FORGET_NS)
        refusals->known_count = 0, refusals->full_since = 0;
    if (is_known(refusals, hash))
        return false;
    if (refusals->known_count < PTI_REFUSALS_KNOWN) {
        refusals->known[refusals->known_count++] = hash;
        return true;
    }
    if (refusals->full_since == 0)
        pti_server_log(server, PTQ_BRIDGE_WARNING,
                       "component=link event=refused_many why=\"so many different ones were refused that the next ten minutes they are only counted\"");
    refusals->full_since = refusals->full_since != 0 ? refusals->full_since : now;
    return false;
}
