/* resource.c -- what a process needs and cannot be sent: opened where it is used, by each thread for itself. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fork.h"
#include "bus/bus.h"
#include "process/life.h"

/* Written before main works, by one thread; entries stay where they are. */
static struct kind {
    char name[PTQ_PROCESS_NAME_MAX + 1];
    struct ptq_resource_hooks hooks;
    void *user;
    struct kind *next;
} *kinds;

/* One of a thread. */
struct held {
    const struct kind *kind;
    void *resource;
    bool open, failed, doubted;
    struct held *next;
};

/* A forked child inherits the memory of its parent's handles, and must not touch what they stand for: it forgets them. */
struct holder {
    struct held *first;
    uint32_t generation;
};
static _Thread_local struct holder mine;
static pthread_key_t at_end; /* of a thread */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static struct kind *find_kind(const char *name)
{
    for (struct kind *kind = kinds; kind != NULL; kind = kind->next)
        if (strcmp(kind->name, name) == 0)
            return kind;
    return NULL;
}

enum ptq_err ptq_resource_register(const char *name, const struct ptq_resource_hooks *hooks, void *user)
{
    if (!pti_process_name_is_valid(name) || hooks == NULL || hooks->open == NULL)
        return PTQ_EINVAL;
    struct kind *kind = find_kind(name);
    if (kind == NULL) {
        kind = calloc(1, sizeof *kind);
        if (kind == NULL)
            return PTQ_ENOMEM;
        (void)snprintf(kind->name, sizeof kind->name, "%s", name);
        kind->next = kinds;
        kinds = kind;
    }
    kind->hooks = *hooks;
    kind->user = user;
    return PTQ_OK;
}

/* -- what this thread has ------------------------------------------------------------------------------------- */

static void end_thread(void *unused)
{
    (void)unused;
    ptq_resource_close_all();
}

static void make_key(void)
{
    (void)pthread_key_create(&at_end, end_thread);
}

static void forget_inherited(void)
{
    if (mine.generation == pti_fork_generation())
        return;
    while (mine.first != NULL) {
        struct held *held = mine.first;
        mine.first = held->next;
        free(held);
    }
    mine.generation = pti_fork_generation();
}

static struct held *find_held(const char *name)
{
    forget_inherited();
    for (struct held *held = mine.first; held != NULL; held = held->next)
        if (strcmp(held->kind->name, name) == 0)
            return held;
    return NULL;
}

static struct held *hold(const struct kind *kind)
{
    struct held *held = calloc(1, sizeof *held);
    if (held == NULL)
        return NULL;
    (void)pthread_once(&once, make_key);
    (void)pthread_setspecific(at_end, &mine);
    held->kind = kind;
    held->next = mine.first;
    mine.first = held;
    return held;
}

static void close_held(struct held *held)
{
    if (held->open && held->kind->hooks.close != NULL)
        held->kind->hooks.close(held->resource, held->kind->user);
    held->open = held->failed = held->doubted = false;
}

static bool is_good(const struct held *held)
{
    const struct kind *kind = held->kind;
    if (!held->open || held->failed)
        return false;
    return kind->hooks.check != NULL ? kind->hooks.check(held->resource, kind->user) : !held->doubted;
}

static enum ptq_err open_held(struct held *held, struct ptq_error *error)
{
    const struct kind *kind = held->kind;
    struct ptq_error own = {.code = PTQ_OK};
    enum ptq_err err = kind->hooks.open(&held->resource, kind->user, &own);
    held->open = err == PTQ_OK;
    if (err == PTQ_OK)
        return PTQ_OK;
    return pti_error(error, err, "resource '%s' cannot be opened: %.400s", kind->name, own.text[0] != '\0' ? own.text : ptq_strerror(err));
}

enum ptq_err ptq_resource_get(const char *name, void **ret_resource, struct ptq_error *error)
{
    if (name == NULL || ret_resource == NULL)
        return PTQ_EINVAL;
    const struct kind *kind = find_kind(name);
    if (kind == NULL)
        return pti_error(error, PTQ_ENOENT, "resource '%.80s' is not known here - call ptq_resource_register before ptq_worker_main", name);
    struct held *held = find_held(name);
    if (held == NULL && (held = hold(kind)) == NULL)
        return pti_error(error, PTQ_ENOMEM, "resource '%s': no memory", name);
    if (!is_good(held)) {
        close_held(held);
        enum ptq_err err = open_held(held, error);
        if (err != PTQ_OK)
            return err;
    }
    held->doubted = false;
    *ret_resource = held->resource;
    return PTQ_OK;
}

void ptq_resource_failed(const char *name)
{
    struct held *held = name != NULL ? find_held(name) : NULL;
    if (held != NULL)
        held->failed = true;
}

void pti_resource_doubt_all(void)
{
    forget_inherited();
    for (struct held *held = mine.first; held != NULL; held = held->next)
        held->doubted = true;
}

void ptq_resource_close_all(void)
{
    forget_inherited();
    while (mine.first != NULL) {
        struct held *held = mine.first;
        mine.first = held->next;
        close_held(held);
        free(held);
    }
}
