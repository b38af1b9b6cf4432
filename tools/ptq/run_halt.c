/* run_halt.c -- when ptq pool run gives up: --halt, and the figures that decide. */
#include "run_halt.h"

#include <stdlib.h>
#include <string.h>

static bool skip(const char **text, const char *word)
{
    size_t length = strlen(word);

    if (strncmp(*text, word, length) != 0)
        return false;
    *text += length;
    return true;
}

bool run_halt_read(const char *text, struct run_halt *ret_halt)
{
    struct run_halt halt = {.when = RUN_HALT_SOON};
    char *end;

    if (strcmp(text, "never") == 0) {
        *ret_halt = (struct run_halt){.when = RUN_HALT_NEVER};
        return true;
    }
    if (skip(&text, "now,"))
        halt.when = RUN_HALT_NOW;
    else if (!skip(&text, "soon,"))
        return false;
    if (skip(&text, "success="))
        halt.why = RUN_HALT_SUCCESS;
    else if (skip(&text, "done="))
        halt.why = RUN_HALT_DONE;
    else if (!skip(&text, "fail="))
        return false;
    if (*text < '0' || *text > '9')
        return false;
    unsigned long count = strtoul(text, &end, 10);
    halt.percent = *end == '%';
    if (end[halt.percent] != '\0' || count == 0 || count > (halt.percent ? 100 : UINT32_MAX))
        return false;
    halt.count = (uint32_t)count;
    *ret_halt = halt;
    return true;
}

enum run_halt_when run_figures_count(struct run_figures *figures, int code)
{
    uint64_t failed = atomic_fetch_add(&figures->failed, code != 0) + (code != 0);
    uint64_t done = atomic_fetch_add(&figures->done, 1) + 1;
    const struct run_halt *halt = &figures->halt;
    uint64_t figure = halt->why == RUN_HALT_FAIL ? failed : halt->why == RUN_HALT_DONE || failed > done ? done : done - failed;
    bool mine = halt->why == RUN_HALT_DONE || (halt->why == RUN_HALT_FAIL) == (code != 0);
    int none = RUN_HALT_NEVER;

    if (halt->when == RUN_HALT_NEVER || !mine)
        return RUN_HALT_NEVER;
    if (halt->percent ? done < RUN_HALT_LEAST || 100 * figure < (uint64_t)halt->count * done : figure < halt->count)
        return RUN_HALT_NEVER;
    if (!atomic_compare_exchange_strong(&figures->halted, &none, (int)halt->when))
        return RUN_HALT_NEVER;
    atomic_store(&figures->halt_code, code);
    return halt->when;
}
