/* address.c -- the full name of a queue, taken apart. */
#include "queue/address.h"

#include <stdio.h>
#include <string.h>

#include "queue/resolve.h"

void pti_resolve_bare(const char *name, char *buffer, size_t size)
{
    const char *slash = strrchr(name, '/');
    const char *bare = slash != NULL ? slash + 1 : name;

    snprintf(buffer, size, "%.*s", (int)strcspn(bare, "@"), bare);
}

/* Copies `length` bytes if they fit. */
static bool copy_part(char *to, size_t room, const char *from, size_t length)
{
    if (length >= room)
        return false;
    memcpy(to, from, length);
    to[length] = '\0';
    return true;
}

/* "<where>/<run>/<name>" behind the scheme */
static bool read_url(const char *rest, const char *scheme, struct pti_address *address)
{
    const char *slash = strrchr(rest, '/'), *before = slash;
    size_t length = strlen(scheme);

    while (before != NULL && before > rest && before[-1] != '/')
        before--;
    if (slash == NULL || before == rest || before - 1 == rest)
        return false;
    memcpy(address->url, scheme, length);
    return copy_part(address->url + length, sizeof address->url - length, rest, (size_t)(before - 1 - rest)) &&
           copy_part(address->run, sizeof address->run, before, (size_t)(slash - before)) &&
           copy_part(address->name, sizeof address->name, slash + 1, strlen(slash + 1)) &&
           pti_name_is_valid(address->run);
}

static const struct scheme {
    const char *url, *name;
} schemes[] = {{"tcp://", "ptq://"}, {"ipc://", "ptq+ipc://"}, {"ws://", "ptq+ws://"},
              {"tls+tcp://", "ptq+tls://"}, {"wss://", "ptq+wss://"}};

const char *pti_address_scheme(const char *url, const char **ret_rest)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (strncmp(url, schemes[i].url, strlen(schemes[i].url)) == 0) {
            *ret_rest = url + strlen(schemes[i].url);
            return schemes[i].name;
        }
    }
    return NULL;
}

static bool read_name(const char *text, struct pti_address *address)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t length = strlen(schemes[i].name);
        if (strncmp(text, schemes[i].name, length) == 0)
            return read_url(text + length, schemes[i].url, address);
    }
    const char *at = strchr(text, '@');
    if (at == NULL)
        return copy_part(address->name, sizeof address->name, text, strlen(text));
    return copy_part(address->name, sizeof address->name, text, (size_t)(at - text)) &&
           copy_part(address->node, sizeof address->node, at + 1, strlen(at + 1)) && pti_name_is_valid(address->node);
}

/* Takes the "!dead" off a name: is it there? */
static bool strip_letters(char *name)
{
    char *mark = strchr(name, '!');

    if (mark == NULL || strcmp(mark, PTQ_DEAD_SUFFIX) != 0)
        return false;
    *mark = '\0';
    return true;
}

enum ptq_err pti_address_read(const char *text, struct ptq_error *error, struct pti_address *address)
{
    memset(address, 0, sizeof *address);
    bool is_read = read_name(text, address);
    address->letters = is_read && strip_letters(address->name);
    if (is_read && pti_name_is_valid(address->name))
        return PTQ_OK;
    if (strstr(text, "://") != NULL)
        return pti_error(error, PTQ_EINVAL, "'%.300s' is no address of a queue: write ptq://host:port/run/name", text);
    return pti_error(
        error, PTQ_EINVAL,
        "'%.300s' is no name of a queue: use A-Z a-z 0-9 . _ -, at most %d bytes, not beginning with a dot; after "
        "an @ the name of a host",
        text, PTQ_NAME_MAX);
}
