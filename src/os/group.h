/* group.h -- groups of users: by name or number, and whether this process is in one. */
#ifndef PTQ_OS_GROUP_H
#define PTQ_OS_GROUP_H

#include <stdbool.h>
#include <sys/types.h>

/* By name, else by number. */
bool pti_group_find(const char *text, gid_t *ret_group);

/* Is it the effective group of this process, or one of its others? */
bool pti_group_is_mine(gid_t group);

#endif
