/* keys.h -- hosts with keys, made by ptqbridge keygen at test time, and greetings by hand. */
#ifndef PTQ_TESTS_NET_KEYS_H
#define PTQ_TESTS_NET_KEYS_H

#include "net/kit.h"
#include "net/log.h"
#include "net/raw.h"
#include "remote/proof.h"

struct keys {
    struct ptt_scratch scratch; /* its directory: DIR of keygen; DIR/NODE of each */
};

/* ptqbridge keygen of these names (NULL at the end), in a folder of its own. */
void keys_make(struct keys *keys, const char *const *nodes);
void keys_add(const struct keys *keys, const char *const *nodes);
void keys_free(struct keys *keys);
/* DIR/NODE[/file]; valid until the fourth call after. */
const char *keys_path(const struct keys *keys, const char *node, const char *file);
void keys_write(const struct keys *keys, const char *node, const char *file, const char *text, unsigned mode);

/* A bus of the far host as this node ("": nobody), with these peers. */
ptq_bus *keys_open_bus(const struct net *net, const struct keys *keys, const char *node, const char *peers);
enum ptq_err keys_try_open(ptq_bus *bus, const char *name, enum ptq_open_mode mode, struct ptq_error *error, ptq_queue **ret_queue);

/* The home's bridge, started again with these options before the keys of "home" (NULL: none). */
void keys_restart(struct net *net, const struct keys *keys, const char *const *options);

/* SIGTERM; what its last line counted under this name. */
uint64_t keys_end_and_count(struct net *net, const char *name);

/* ---- by hand: a HELLO as `identity`, and the proof that goes with what the home challenges. */
struct hand {
    struct raw raw;
    struct pti_hello hello;
    uint8_t hello_bytes[PTI_CONTROL_BYTES];
    size_t hello_size;
    struct pti_challenge challenge;
};
void hand_dial(struct hand *hand, const char *url, const char *identity, uint8_t session);
/* False: refused; *ret_error says why. */
bool hand_is_challenged(struct hand *hand, struct pti_error_message *ret_error);
void hand_prove(const struct hand *hand, const struct keys *keys, enum pti_prover who, uint8_t ret_proof[PTI_PROOF_BYTES]);
void hand_say_proof(struct hand *hand, const uint8_t proof[PTI_PROOF_BYTES]);
bool hand_is_let_in(struct hand *hand, struct pti_error_message *ret_error);

#endif
