/* look.c -- how several homes are: all are asked at once, each over one link that is kept meanwhile. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "remote/conn.h"
#include "remote/remote.h"

#define NAMES_MOST 100000 /* of one home */
#define FAREWELL_MS 500

struct look {
    ptq_bus *bus;
    struct pti_looked *looked;
    struct pti_conn *conn; /* held, so that the second question needs no new link; NULL: it cannot be dialled */
    struct pti_asking *asking;
    struct pti_directory page;
};

static void begin_page(struct look *look, const char *after, const char *name)
{
    struct pti_directory_ask ask = {0};
    struct pti_looked *looked = look->looked;

    snprintf(ask.run, sizeof ask.run, "%s", look->bus->run);
    snprintf(ask.after, sizeof ask.after, "%s", after);
    snprintf(ask.name, sizeof ask.name, "%s", name);
    look->asking = NULL;
    look->page = (struct pti_directory){0};
    looked->answer = pti_remote_ask_begin(look->bus, looked->url, &ask, &looked->error, &look->page, &look->asking);
}

static bool end_page(struct look *look)
{
    struct pti_looked *looked = look->looked;

    if (look->asking == NULL)
        return false;
    looked->answer = pti_remote_ask_end(look->asking, &looked->error);
    return looked->answer == PTQ_OK;
}

/* Takes the page's names. */
static void keep_names(struct look *look)
{
    struct pti_looked *looked = look->looked;
    size_t count = looked->count + look->page.count, size = sizeof *looked->names;
    void *grown = look->page.count > 0 ? realloc(looked->names, count * size) : NULL;

    if (grown != NULL) {
        looked->names = grown;
        memcpy(looked->names + looked->count, look->page.names, look->page.count * size);
        looked->count = count;
    } else if (look->page.count > 0) {
        looked->answer = pti_error(&looked->error, PTQ_ENOMEM, "no memory for the names at '%s'", looked->url);
        look->page.more = false;
    }
    free(look->page.names);
}

/* The link stands by now: there and back, and hardly any work. */
static void measure(struct look *look)
{
    int64_t began = pti_now_ns();

    begin_page(look, "", "no-queue-of-this-name");
    if (end_page(look)) {
        look->looked->rtt_ns = (uint64_t)(pti_now_ns() - began);
        free(look->page.names);
    }
}

/* Is there another page?  A home that says the same again has no more to say. */
static bool goes_on(const struct look *look, const char *after)
{
    const struct pti_looked *looked = look->looked;

    return look->page.more && looked->count > 0 && looked->count < NAMES_MOST && strcmp(looked->names[looked->count - 1], after) > 0;
}

static void finish(struct look *look)
{
    char after[PTQ_NAME_MAX + 1] = "";
    bool right = end_page(look);

    if (right)
        keep_names(look);
    while (right && goes_on(look, after)) {
        snprintf(after, sizeof after, "%s", look->looked->names[look->looked->count - 1]);
        begin_page(look, after, "");
        right = end_page(look);
        if (right)
            keep_names(look);
    }
    if (right && look->looked->answer == PTQ_OK)
        measure(look);
    if (look->conn != NULL)
        pti_conn_drop(look->conn, pti_deadline(FAREWELL_MS));
}

void pti_remote_look(ptq_bus *bus, struct pti_looked *looked, size_t count)
{
    struct look *looks = calloc(count + 1, sizeof *looks);

    for (size_t i = 0; i < count && looks != NULL; i++) {
        looks[i] = (struct look){.bus = bus, .looked = &looked[i]};
        looked[i].answer = pti_conn_hold(bus, looked[i].url, &looked[i].error, &looks[i].conn);
        if (looked[i].answer == PTQ_OK)
            begin_page(&looks[i], "", "");
    }
    for (size_t i = 0; i < count; i++) {
        if (looks != NULL)
            finish(&looks[i]);
        else
            looked[i].answer = pti_error(&looked[i].error, PTQ_ENOMEM, "no memory to ask '%s'", looked[i].url);
    }
    free(looks);
}
