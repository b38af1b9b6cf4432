/* access.c -- who may open the file of a queue, a share or a log: its permission bits and its group. */
#include "bus/access.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "os/group.h"

mode_t pti_access_mode(struct pti_access ask) { return ask.mode != 0 ? (mode_t)ask.mode : ask.group != NULL ? 0660 : 0600; }

enum ptq_err pti_access_give(const struct pti_segment *segment, const struct pti_thing *it, struct pti_access ask, struct ptq_error *error)
{
    gid_t group;

    if (ask.group == NULL)
        return PTQ_OK;
    if (!pti_group_find(ask.group, &group))
        return pti_error(error, PTQ_EINVAL, "%s '%s': there is no group '%s'; see getent group", it->kind, it->name, ask.group);
    int number = pti_segment_share(segment, group, pti_access_mode(ask));
    if (number == EPERM)
        return pti_error(error, PTQ_EPERM, "%s '%s': this user is not in group '%s'; ask for it, or name another", it->kind, it->name,
                         ask.group);
    return number == 0 ? PTQ_OK
                       : pti_error(error, pti_err_from_errno(number), "%s '%s' cannot be given to group '%s': %s", it->kind, it->name,
                                   ask.group, strerror(number));
}

enum ptq_err pti_access_compare(const struct pti_segment *segment, const struct pti_thing *it, struct pti_access ask, struct ptq_error *error)
{
    struct stat status;
    gid_t group;

    if ((ask.mode == 0 && ask.group == NULL) || fstat(segment->fd, &status) != 0)
        return PTQ_OK;
    if (ask.mode != 0 && (status.st_mode & 07777) != ask.mode)
        return pti_error(error, PTQ_EMISMATCH, "%s '%s' exists with mode %04o, %04o was asked; open it without a mode, or use chmod", it->kind,
                         it->name, (unsigned)status.st_mode & 07777, (unsigned)ask.mode);
    if (ask.group != NULL && (!pti_group_find(ask.group, &group) || group != status.st_gid))
        return pti_error(error, PTQ_EMISMATCH, "%s '%s' exists with group %u, '%s' was asked; open it without a group, or use chgrp",
                         it->kind, it->name, (unsigned)status.st_gid, ask.group);
    return PTQ_OK;
}
