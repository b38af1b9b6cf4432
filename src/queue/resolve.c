/* resolve.c -- from a name to the carrier that reaches it. */
#include "queue/resolve.h"

#include <stdio.h>
#include <string.h>

void pti_resolve_bare(const char *name, char *buffer, size_t size)
{
    const char *slash = strrchr(name, '/');
    const char *bare = slash ? slash + 1 : name;

    snprintf(buffer, size, "%.*s", (int)strcspn(bare, "@"), bare);
}

enum ptq_err pti_resolve_open(ptq_bus *bus, const char *name, const struct pti_open *open, struct ptq_error *error,
                              struct pti_port **ret_port)
{
    if (!pti_name_is_valid(name))
        return pti_error(error, PTQ_EINVAL, "'%s' is no name of a queue: use A-Z a-z 0-9 . _ -, at most %d bytes", name,
                         PTQ_NAME_MAX);
    return pti_carriers.open_local(bus, name, open, error, ret_port);
}
