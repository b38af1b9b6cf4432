/* health.c -- does a bridge live, and is it ready? */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/time.h"
#include "remote/figures.h"
#include "remote/server.h"

#define LOOK_MOST_NS (30 * PTI_NS_PER_S) /* a look at the peers has deadlines of its own, of seconds */

__attribute__((format(printf, 3, 4))) static void say(char *why, size_t size, const char *format, ...)
{
    va_list arguments;

    if (why == NULL || size == 0)
        return;
    va_start(arguments, format);
    vsnprintf(why, size, format, arguments);
    va_end(arguments);
}

static enum ptq_err look_alive(struct pti_server *server, struct pti_figures *ret_sheet, char *why, size_t size)
{
    pthread_mutex_lock(&server->parts);
    int64_t busy = pti_keeper_busy_ns(server->keeper);
    pthread_mutex_unlock(&server->parts);

    if (pti_figures_look(server, false, ret_sheet) != PTQ_OK) {
        say(why, size, "the serving thread has not answered for %d ms", PTI_FIGURES_MS);
        return PTQ_TIMEDOUT;
    }
    if (busy > LOOK_MOST_NS) {
        say(why, size, "the look at the peers has lasted for %" PRId64 " s", busy / PTI_NS_PER_S);
        return PTQ_TIMEDOUT;
    }
    return PTQ_OK;
}

enum ptq_err ptq_bridge_alive(ptq_bridge *bridge, char *why, size_t size)
{
    struct pti_figures sheet;

    return bridge != NULL ? look_alive(pti_server_of(bridge), &sheet, why, size) : PTQ_EINVAL;
}

/* Its directory is still where it was: else others of this host use another, or none. */
static bool is_there(const ptq_bus *bus)
{
    struct stat held, named;

    return fstat(bus->dirfd, &held) == 0 && stat(bus->path, &named) == 0 && held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

enum ptq_err ptq_bridge_ready(ptq_bridge *bridge, char *why, size_t size)
{
    struct pti_figures sheet;

    if (bridge == NULL)
        return PTQ_EINVAL;
    struct pti_server *server = pti_server_of(bridge);
    enum ptq_err answer = look_alive(server, &sheet, why, size);
    if (answer != PTQ_OK)
        return answer;
    if (sheet.is_draining) {
        say(why, size, "it is going down: leases are settled, nothing new is begun");
        return PTQ_EAGAIN;
    }
    if (sheet.listeners == 0) {
        say(why, size, "it does not listen");
        return PTQ_EAGAIN;
    }
    if (!is_there(server->bus)) {
        say(why, size, "the directory of the bus, %s, was removed or replaced: start the bridge again", server->bus->path);
        return PTQ_EGONE;
    }
    return PTQ_OK;
}
