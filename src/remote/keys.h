/* keys.h -- who we are to other hosts, and who they are to us: a folder of keys, as ptqbridge keygen makes it.
 *
 *      node.key         "ptq-key-1 NAME HEX"             our name, and the secret that no other host has
 *      peers/NAME.key   "ptq-peer-key-1 NAME@US HEX"     what NAME proves itself with, to us alone
 *      ca.crt, node.pem                                 our authority; our certificate with its key: for tls
 *      rules            who may do what (grants.h)
 *
 * What NAME has with us is derived from its secret and our name: whoever steals our folder can be NAME to nobody but us.
 *
 * Law: a secret is read when it is needed and wiped when it was used; between two greetings there is none in memory, so
 * that no core dump and no swapped page has one.
 */
#ifndef PTQ_REMOTE_KEYS_H
#define PTQ_REMOTE_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <ptq/err.h>

#define PTI_KEY_BYTES 32u
#define PTI_KEY_NAME 64u /* room for the name of a node */

struct pti_key {
    char name[PTI_KEY_NAME]; /* whose */
    uint8_t secret[PTI_KEY_BYTES];
};

/* Ours.  PTQ_ENOENT, PTQ_EPERM (others may read it), PTQ_EINVAL: each with what to do. */
enum ptq_err pti_keys_own(const char *folder, struct ptq_error *error, struct pti_key *ret_key);
/* What `peer`, a legal name, proves itself with to us, who are `home`. */
enum ptq_err pti_keys_peer(const char *folder, const char *peer, const char *home, struct ptq_error *error,
                           struct pti_key *ret_key);
/* Our name alone.  "": there is no key, but a certificate.  PTQ_EINVAL also where there is neither. */
enum ptq_err pti_keys_name(const char *folder, struct ptq_error *error, char ret_name[PTI_KEY_NAME]);
/* Is there a key (and not a certificate alone)? */
bool pti_keys_can_prove(const char *folder);
/* Are there certificates for a link to or on `url`, which others cannot read the key of? */
enum ptq_err pti_keys_check_tls(const char *folder, const char *url, struct ptq_error *error);

static inline void pti_wipe(void *bytes, size_t size)
{
    explicit_bzero(bytes, size);
}

#endif
