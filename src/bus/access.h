/* access.h -- who may open the file of a queue, a share or a log: its permission bits and its group. */
#ifndef PTQ_BUS_ACCESS_H
#define PTQ_BUS_ACCESS_H

#include <sys/types.h>

#include "bus/explain.h"

/* What is asked for.  mode 0: 0600, with a group 0660; group NULL: this process's, or its setgid directory's. */
struct pti_access {
    uint32_t mode;
    const char *group;
};

mode_t pti_access_mode(struct pti_access ask);

/* Gives it to the group that was asked for: before it has a name, so that nobody finds it otherwise.  PTQ_EINVAL: there is no such group;
 * PTQ_EPERM: this user is not in it. */
enum ptq_err pti_access_give(const struct pti_segment *segment, const struct pti_thing *it, struct pti_access ask, struct ptq_error *error);

/* PTQ_EMISMATCH: it has others than were asked for. */
enum ptq_err pti_access_compare(const struct pti_segment *segment, const struct pti_thing *it, struct pti_access ask, struct ptq_error *error);

#endif
