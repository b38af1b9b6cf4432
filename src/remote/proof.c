/* proof.c -- that somebody has a key, without saying it: HMAC-SHA256 over what both sides drew and said. */
#include "remote/proof.h"

#include <string.h>

#include <mbedtls/constant_time.h>
#include <mbedtls/md.h>

#include "base/bytes.h"

struct mac {
    mbedtls_md_context_t context;
    bool good;
};

static void begin(struct mac *mac, const uint8_t key[PTI_KEY_BYTES], const char *label)
{
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);

    mbedtls_md_init(&mac->context);
    mac->good = info != NULL && mbedtls_md_setup(&mac->context, info, 1) == 0 &&
                mbedtls_md_hmac_starts(&mac->context, key, PTI_KEY_BYTES) == 0 &&
                mbedtls_md_hmac_update(&mac->context, (const uint8_t *)label, strlen(label) + 1) == 0;
}

static void add(struct mac *mac, const void *bytes, size_t size)
{
    mac->good = mac->good && mbedtls_md_hmac_update(&mac->context, bytes, size) == 0;
}

static void add_byte(struct mac *mac, uint8_t byte)
{
    add(mac, &byte, 1);
}

static void add32(struct mac *mac, uint32_t number)
{
    uint8_t bytes[4];

    pti_store32(bytes, number);
    add(mac, bytes, sizeof bytes);
}

static void add_name(struct mac *mac, const char *name)
{
    add_byte(mac, (uint8_t)strlen(name));
    add(mac, name, strlen(name));
}

/* What mbedtls has allocated it wipes when it is freed. */
static bool end(struct mac *mac, uint8_t ret[32])
{
    uint8_t bytes[32];
    bool good = mac->good && mbedtls_md_hmac_finish(&mac->context, bytes) == 0;

    mbedtls_md_free(&mac->context);
    if (good)
        memcpy(ret, bytes, sizeof bytes);
    pti_wipe(bytes, sizeof bytes);
    return good;
}

bool pti_proof_derive(const uint8_t secret[PTI_KEY_BYTES], const char *home, uint8_t ret_key[PTI_KEY_BYTES])
{
    struct mac mac;

    begin(&mac, secret, "ptq-home-1");
    add(&mac, home, strlen(home));
    return end(&mac, ret_key);
}

bool pti_proof_make(const uint8_t key[PTI_KEY_BYTES], enum pti_prover who, const struct pti_scene *scene,
                    uint8_t ret_proof[PTI_PROOF_BYTES])
{
    struct mac mac;

    begin(&mac, key, "ptq-proof-1");
    add_byte(&mac, (uint8_t)who);
    add_name(&mac, scene->home);
    add_name(&mac, scene->far);
    add(&mac, scene->far_nonce, PTI_NONCE_BYTES);
    add(&mac, scene->home_nonce, PTI_NONCE_BYTES);
    add32(&mac, scene->version);
    add32(&mac, (uint32_t)scene->hello_size);
    add(&mac, scene->hello, scene->hello_size);
    return end(&mac, ret_proof);
}

bool pti_proof_mark(const uint8_t key[PTI_KEY_BYTES], uint8_t ret_mark[PTI_PROOF_BYTES])
{
    struct mac mac;

    begin(&mac, key, "ptq-mark-1");
    return end(&mac, ret_mark);
}

bool pti_proof_equal(const uint8_t one[PTI_PROOF_BYTES], const uint8_t other[PTI_PROOF_BYTES])
{
    return mbedtls_ct_memcmp(one, other, PTI_PROOF_BYTES) == 0;
}
