/* test_proof.c -- proofs are what docs/wire.md says, byte by byte, and each thing that is in them matters. */
#include <stdio.h>
#include <string.h>

#include "remote/proof.h"
#include "support/ptt.h"

static uint8_t secret[PTI_KEY_BYTES], key[PTI_KEY_BYTES], far_nonce[PTI_NONCE_BYTES], home_nonce[PTI_NONCE_BYTES];

static struct pti_scene some_scene(void)
{
    return (struct pti_scene){.home = "east", .far = "west", .home_nonce = home_nonce, .far_nonce = far_nonce, .version = 2,
                              .hello = (const uint8_t *)"a hello", .hello_size = 7};
}

static int begin(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof secret; i++)
        secret[i] = (uint8_t)i;
    memset(far_nonce, 0xaa, sizeof far_nonce);
    memset(home_nonce, 0xbb, sizeof home_nonce);
    return pti_proof_derive(secret, "east", key) ? 0 : -1;
}

static void assert_hex(const uint8_t *bytes, const char *hex)
{
    char text[2 * PTI_PROOF_BYTES + 1];

    for (size_t i = 0; i < PTI_PROOF_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    assert_string_equal(text, hex);
}

/* The numbers were made by another program, from the words of docs/wire.md. */
static void proofs_are_as_they_are_written_down(void **state)
{
    struct pti_scene scene = some_scene();
    uint8_t proof[PTI_PROOF_BYTES];
    (void)state;

    assert_hex(key, "f7742d86d5bf49d5e7b16032a857de2158fb672f4402521873019349b628f22e");
    assert_true(pti_proof_make(key, PTI_PROVER_HOME, &scene, proof));
    assert_hex(proof, "da5fa6408a497d2c0b51492bbb2b1762699214de5344b50633ea20d39252308e");
    assert_true(pti_proof_make(key, PTI_PROVER_FAR, &scene, proof));
    assert_hex(proof, "aa85ae670d0bc2fd7b633fdeab37b65df188b998fc9a015b37bf14087265086c");
}

static void each_thing_that_is_in_a_proof_matters(void **state)
{
    uint8_t right[PTI_PROOF_BYTES], proof[PTI_PROOF_BYTES], other_nonce[PTI_NONCE_BYTES] = {0xaa}, other_key[PTI_KEY_BYTES];
    struct pti_scene scenes[8];
    (void)state;

    for (size_t i = 0; i < 8; i++)
        scenes[i] = some_scene();
    scenes[0].home = "eas";
    scenes[1].far = "wes";
    scenes[2].far_nonce = other_nonce;
    scenes[3].home_nonce = other_nonce;
    scenes[4].version = 1;
    scenes[5].hello = (const uint8_t *)"A hello";
    scenes[6].hello_size = 6;
    scenes[7].far_nonce = home_nonce; /* the two swapped */
    scenes[7].home_nonce = far_nonce;
    struct pti_scene scene = some_scene();
    assert_true(pti_proof_make(key, PTI_PROVER_FAR, &scene, right));
    for (size_t i = 0; i < 8; i++) {
        assert_true(pti_proof_make(key, PTI_PROVER_FAR, &scenes[i], proof));
        assert_false(pti_proof_equal(right, proof));
    }
    assert_true(pti_proof_make(key, PTI_PROVER_HOME, &scene, proof));
    assert_false(pti_proof_equal(right, proof));
    assert_true(pti_proof_derive(secret, "eastern", other_key));
    assert_true(pti_proof_make(other_key, PTI_PROVER_FAR, &scene, proof));
    assert_false(pti_proof_equal(right, proof));
    assert_true(pti_proof_make(key, PTI_PROVER_FAR, &scene, proof));
    assert_true(pti_proof_equal(right, proof));
    for (size_t i = 0; i < PTI_PROOF_BYTES; i++) {
        proof[i] ^= 1;
        assert_false(pti_proof_equal(right, proof));
        proof[i] ^= 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proofs_are_as_they_are_written_down),
        cmocka_unit_test(each_thing_that_is_in_a_proof_matters),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
