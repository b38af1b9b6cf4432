/* grants.h -- who may do what with which queues: rules {identity, queues, rights}; what no rule allows is denied. */
#ifndef PTQ_REMOTE_GRANTS_H
#define PTQ_REMOTE_GRANTS_H

#include <stdbool.h>
#include <stddef.h>

#include <ptq/bridge.h>
#include <ptq/queue.h>

#define PTI_IDENTITY_BYTES 72u /* room for who somebody is: a node's name, "uid:1000", "" for nobody */
#define PTI_RIGHTS_ALL (PTQ_RIGHT_PUT | PTQ_RIGHT_GET | PTQ_RIGHT_PEEK | PTQ_RIGHT_ADMIN)

struct pti_grant {
    char identity[PTI_IDENTITY_BYTES], queues[PTQ_NAME_MAX + 1]; /* globs */
    unsigned rights;
};

/* All zero: everybody may do everything. */
struct pti_grants {
    bool guarded; /* what no rule allows is denied */
    struct pti_grant *items;
    size_t count;
};

enum ptq_err pti_grants_add(struct pti_grants *grants, const struct ptq_bridge_rule *rule, struct ptq_error *error);
/* All lines "IDENTITY QUEUES RIGHT,RIGHT" of a file, or none of them: PTQ_ENOENT, PTQ_EPERM, PTQ_EINVAL with its line, PTQ_ENOMEM. */
enum ptq_err pti_grants_read(struct pti_grants *grants, const char *path, struct ptq_error *error);
void pti_grants_free(struct pti_grants *grants);

/* What this identity may do with the queue of this name, as it is called here: the sum of all rules that fit. */
unsigned pti_grants_of(const struct pti_grants *grants, const char *identity, const char *queue);
/* Is there a rule for users of this host ("uid:...")? */
bool pti_grants_name_users(const struct pti_grants *grants);

/* "put", ...: the first of them. */
const char *pti_right_name(unsigned right);

#endif
