/* certs.h -- the certificates in a folder of keys: whether they are right, until when, and whether they are still the same files. */
#ifndef PTQ_REMOTE_CERTS_H
#define PTQ_REMOTE_CERTS_H

#include <stdbool.h>
#include <stdint.h>

#include <ptq/err.h>

/* Which files ca.crt and node.pem are: another mark, other files. */
struct pti_certs_mark {
    int64_t words[12];
};

/* All zero where there is none. */
void pti_certs_mark(const char *folder, struct pti_certs_mark *ret_mark);
bool pti_certs_same(const struct pti_certs_mark *one, const struct pti_certs_mark *other);

/* Can ca.crt and node.pem be read, and do the certificate and the key in node.pem belong together?  PTQ_EPERM, PTQ_EINVAL with what to do.
 * *ret_since, *ret_until: seconds of 1970 between which node.pem holds. */
enum ptq_err pti_certs_read(const char *folder, struct ptq_error *error, int64_t *ret_since, int64_t *ret_until);
/* ... and do they hold now? */
enum ptq_err pti_certs_check(const char *folder, struct ptq_error *error, int64_t *ret_until);

/* ... and may a bridge show them on `url`: are they there, and nobody else's to read?  Whether they hold is told by the log. */
enum ptq_err pti_certs_may_show(const char *folder, const char *url, struct ptq_error *error);

/* "2027-02-24 10:00:00 UTC" */
const char *pti_certs_time(int64_t seconds, char buffer[40]);

#endif
