/* proof.h -- that somebody has a key, without saying it: HMAC-SHA256 over what both sides drew and said.
 *
 *      K      = HMAC(secret of the far side, "ptq-home-1\0" | name of the home)
 *      proof  = HMAC(K, "ptq-proof-1\0" | who:8 | len:8 home | len:8 far | nonce of the far side:256 |
 *                       nonce of the home:256 | version:32 | length:32 | the HELLO that the far side said)
 *
 * Laws.  What one side proves the other cannot say back: `who` differs.  What was proven once proves nothing again: both
 * nonces are new.  What is proven to one home proves nothing to another: its name is in K and in the proof, and K is with
 * no third.  Nothing of the HELLO can be changed on the way, the range of versions neither.
 */
#ifndef PTQ_REMOTE_PROOF_H
#define PTQ_REMOTE_PROOF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "remote/keys.h"

#define PTI_NONCE_BYTES 32u
#define PTI_PROOF_BYTES 32u

enum pti_prover { PTI_PROVER_HOME = 1, PTI_PROVER_FAR = 2 };

/* What was drawn and said. */
struct pti_scene {
    const char *home, *far;
    const uint8_t *home_nonce, *far_nonce;
    uint32_t version;
    const uint8_t *hello;
    size_t hello_size;
};

/* The key that a far side has with one home.  False: no memory. */
bool pti_proof_derive(const uint8_t secret[PTI_KEY_BYTES], const char *home, uint8_t ret_key[PTI_KEY_BYTES]);
bool pti_proof_make(const uint8_t key[PTI_KEY_BYTES], enum pti_prover who, const struct pti_scene *scene,
                    uint8_t ret_proof[PTI_PROOF_BYTES]);
/* What tells this key from any other, and is of no use to who has it. */
bool pti_proof_mark(const uint8_t key[PTI_KEY_BYTES], uint8_t ret_mark[PTI_PROOF_BYTES]);
/* Takes as long whatever differs. */
bool pti_proof_equal(const uint8_t one[PTI_PROOF_BYTES], const uint8_t other[PTI_PROOF_BYTES]);

#endif
