/* hooks.c -- what processes of this program can do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/bus.h"
#include "process/life.h"

/* Written before main works with processes, by one thread.  A handle keeps a pointer: entries stay where they are. */
static struct entry {
    struct pti_hooks hooks;
    struct entry *next;
} *first;

bool pti_process_name_is_valid(const char *name)
{
    return name != NULL && strlen(name) <= PTQ_PROCESS_NAME_MAX && pti_name_is_valid(name);
}

static struct entry *find(const char *name)
{
    for (struct entry *entry = first; entry != NULL; entry = entry->next)
        if (strcmp(entry->hooks.name, name) == 0)
            return entry;
    return NULL;
}

const struct pti_hooks *pti_hooks_find(const char *name)
{
    struct entry *entry = find(name);
    return entry != NULL ? &entry->hooks : NULL;
}

enum ptq_err ptq_process_register(const char *name, const struct ptq_process_hooks *hooks, void *user)
{
    if (!pti_process_name_is_valid(name) || hooks == NULL || hooks->run == NULL)
        return PTQ_EINVAL;
    struct entry *entry = find(name);
    if (entry == NULL) {
        entry = calloc(1, sizeof *entry);
        if (entry == NULL)
            return PTQ_ENOMEM;
        (void)snprintf(entry->hooks.name, sizeof entry->hooks.name, "%s", name);
        entry->next = first;
        first = entry;
    }
    entry->hooks.hooks = *hooks;
    entry->hooks.user = user;
    return PTQ_OK;
}

const char *ptq_section_name(enum ptq_section section)
{
    static const char *const names[] = {"none", "start", "prerun", "run", "postrun", "onfinish", "result", "error", "full run"};
    return (unsigned)section < sizeof names / sizeof *names ? names[section] : names[0];
}
