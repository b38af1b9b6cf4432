/* buses.c -- the buses that a bridge serves: its own, and the runs beside it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "remote/server.h"

#define BUSES_MOST 64

static struct pti_served_bus *find_bus(struct pti_server *server, const char *run)
{
    struct pti_served_bus *served = server->buses;

    while (served != NULL && strcmp(served->bus->run, run) != 0)
        served = served->next;
    return served;
}

static bool run_is_there(const struct pti_server *server, const char *run)
{
    char path[sizeof server->bus->path + PTQ_NAME_MAX];

    snprintf(path, sizeof path, "%.*s%s", (int)(strlen(server->bus->path) - strlen(server->bus->run)),
             server->bus->path, run);
    return access(path, F_OK) == 0;
}

enum ptq_err pti_server_open_streams(struct pti_server *server, struct pti_served_bus *served)
{
    enum ptq_err answer = pti_streams_open(served->bus, &served->streams);

    const char *why = answer == PTQ_OK ? pti_streams_why_new(served->streams) : NULL;
    if (why != NULL)
        pti_server_log(server, PTQ_BRIDGE_WARNING, "component=streams event=not_kept run=%s why=\"%s\"", served->bus->run, why);
    return answer;
}

struct pti_streams *pti_server_streams(struct pti_server *server, const ptq_bus *bus)
{
    const struct pti_served_bus *served = server->buses;

    while (served->bus != bus)
        served = served->next;
    return served->streams;
}

/* Another run lies beside ours, in the same directory. */
static ptq_bus *open_bus(struct pti_server *server, const char *run)
{
    char dir[sizeof server->bus->path];
    struct ptq_bus_options options = {
        .dir = dir, .node = server->bus->node, .peers = "", .insecure = server->bus->insecure, .keys = server->bus->keys};
    struct pti_served_bus *served = calloc(1, sizeof *served);
    size_t count = 0;

    for (struct pti_served_bus *at = server->buses; at != NULL; at = at->next)
        count++;
    snprintf(dir, sizeof dir, "%s", server->bus->path);
    *strrchr(dir, '/') = '\0';
    if (served == NULL || count >= BUSES_MOST || ptq_bus_open(run, &options, &served->bus) != PTQ_OK) {
        free(served);
        return NULL;
    }
    if (pti_server_open_streams(server, served) != PTQ_OK) {
        ptq_bus_close(served->bus);
        free(served);
        return NULL;
    }
    served->owned = true;
    served->next = server->buses->next;
    server->buses->next = served;
    return served->bus;
}

ptq_bus *pti_server_bus(struct pti_server *server, const char *run, bool make)
{
    if (run[0] == '\0')
        return server->bus;
    struct pti_served_bus *served = find_bus(server, run);
    if (served != NULL)
        return served->bus;
    if (!server->options.all_runs || !(make || run_is_there(server, run)))
        return NULL;
    return open_bus(server, run);
}
