/* listeners.c -- where a bridge listens: opened all or none, and replaced by difference. */
#include <stdlib.h>
#include <string.h>

#include "remote/access.h"
#include "remote/certs.h"
#include "remote/server.h"

static size_t count_asked(char *const *asked, size_t count, const char *url)
{
    size_t found = 0;

    for (size_t i = 0; i < count; i++)
        found += strcmp(asked[i], url) == 0;
    return found;
}

static enum ptq_err open_listener(struct pti_server *server, const char *asked, bool stays, struct ptq_error *error,
                                  struct pti_listeners *listeners)
{
    char *copy = strdup(asked);

    if (copy == NULL)
        return pti_error(error, PTQ_ENOMEM, "no memory for a bridge");
    listeners->asked[listeners->count++] = copy;
    enum ptq_err answer = stays ? PTQ_OK : pti_access_check("listen on", asked, pti_access_far(server->bus), error);
    if (answer == PTQ_OK && !stays && pti_access_is_tls(asked))
        answer = pti_certs_may_show(server->bus->keys, asked, error);
    if (answer == PTQ_OK && !stays)
        answer = pti_listener_open(asked, server->bus->keys, pti_inbox_accepted, server, error, &listeners->items[listeners->count - 1]);
    return answer;
}

enum ptq_err pti_listeners_open(struct pti_server *server, const struct ptq_bridge_options *options, const struct pti_listeners *had,
                                struct pti_listeners *ret_listeners)
{
    struct pti_listeners listeners = {.items = calloc(options->listen_count, sizeof *listeners.items),
                                      .asked = calloc(options->listen_count, sizeof *listeners.asked)};
    enum ptq_err answer = PTQ_OK;

    if (listeners.items == NULL || listeners.asked == NULL)
        answer = pti_error(options->error, PTQ_ENOMEM, "no memory for a bridge");
    for (size_t i = 0; i < options->listen_count && answer == PTQ_OK; i++) {
        const char *url = options->listen[i];
        bool stays = count_asked(listeners.asked, listeners.count, url) < count_asked(had->asked, had->count, url);
        answer = open_listener(server, url, stays, options->error, &listeners);
    }
    if (answer != PTQ_OK)
        pti_listeners_close(&listeners);
    else
        *ret_listeners = listeners;
    return answer;
}

void pti_listeners_take(struct pti_listeners *listeners, struct pti_listeners *had)
{
    for (size_t i = 0; i < listeners->count; i++) {
        for (size_t j = 0; j < had->count && listeners->items[i] == NULL; j++) {
            if (strcmp(had->asked[j], listeners->asked[i]) != 0)
                continue;
            listeners->items[i] = had->items[j];
            had->items[j] = NULL;
        }
    }
}

void pti_listeners_close(struct pti_listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++) {
        pti_listener_close(listeners->items[i]);
        free(listeners->asked[i]);
    }
    free(listeners->items);
    free(listeners->asked);
    *listeners = (struct pti_listeners){0};
}

enum ptq_err pti_listeners_open_first(struct pti_server *server, const struct ptq_bridge_options *options)
{
    if (options->listen_count == 0)
        return pti_error(options->error, PTQ_EINVAL, "a bridge needs an address to listen on, as tcp://127.0.0.1:7400");
    return pti_listeners_open(server, options, &(struct pti_listeners){0}, &server->listeners);
}
