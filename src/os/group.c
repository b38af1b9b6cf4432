/* group.c -- groups of users: by name or number, and whether this process is in one. */
#include "os/group.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <unistd.h>

bool pti_group_find(const char *text, gid_t *ret_group)
{
    struct group group, *found = NULL;
    char buffer[16384]; /* a group of thousands is found by its number */
    char *end;

    if (getgrnam_r(text, &group, buffer, sizeof buffer, &found) == 0 && found != NULL) {
        *ret_group = group.gr_gid;
        return true;
    }
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number >= (gid_t)-1)
        return false;
    *ret_group = (gid_t)number;
    return true;
}

bool pti_group_is_mine(gid_t group)
{
    int count = getgroups(0, NULL);
    gid_t *groups = count > 0 ? calloc((size_t)count, sizeof *groups) : NULL;
    bool found = group == getegid();

    if (groups != NULL)
        count = getgroups(count, groups);
    for (int i = 0; groups != NULL && i < count && !found; i++)
        found = groups[i] == group;
    free(groups);
    return found;
}
