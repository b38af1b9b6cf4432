/* certs.h -- certificates for tls, by openssl(1). */
#ifndef PTQBRIDGE_CERTS_H
#define PTQBRIDGE_CERTS_H

#include <stdbool.h>
#include <stddef.h>

#define CERT_NODE_DAYS 825
#define CERT_AUTHORITY_DAYS 3650

/* Is there an openssl(1)? */
bool certs_can(void);
/* Makes DIR/ca.key and DIR/ca.crt, and of each node ca.crt and node.pem in DIR/NODE, where they are missing.  False: said why. */
bool certs_make(const char *dir, const char *const *nodes, size_t count);

#endif
