/* ask.c -- which of several homes has a queue of this name: all are asked at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/node.h"
#include "remote/remote.h"

/* One question under way, or answered without one. */
struct question {
    struct pti_asking *asking; /* NULL: it could not be put */
    struct pti_directory directory;
};

static void begin(ptq_bus *bus, const struct pti_directory_ask *ask, struct pti_asked *asked, struct question *question)
{
    question->asking = NULL;
    asked->answer = pti_remote_ask_begin(bus, asked->url, ask, &asked->error, &question->directory,
                                         &question->asking);
}

static void end(const char *name, struct pti_asked *asked, struct question *question)
{
    const struct pti_directory *directory = &question->directory;
    static const uint8_t none[sizeof directory->node_id];

    if (question->asking == NULL)
        return;
    asked->answer = pti_remote_ask_end(question->asking, &asked->error);
    if (asked->answer != PTQ_OK)
        return;
    asked->has_id = memcmp(directory->node_id, none, sizeof none) != 0;
    memcpy(asked->id, directory->node_id, sizeof asked->id);
    if (directory->count == 0)
        asked->answer = pti_error(&asked->error, PTQ_ENOENT, "there is no queue '%s' at '%s'", name, asked->url);
    free(directory->names);
}

void pti_remote_ask(ptq_bus *bus, const char *run, const char *name, bool making, struct pti_asked *asked, size_t count)
{
    struct question *questions = calloc(count + 1, sizeof *questions);
    struct pti_directory_ask ask = {.making = making};

    snprintf(ask.run, sizeof ask.run, "%s", run != NULL ? run : "");
    snprintf(ask.name, sizeof ask.name, "%s", name);
    if (making)
        (void)pti_node_id(bus, ask.node_id);
    for (size_t i = 0; i < count && questions != NULL; i++)
        begin(bus, &ask, &asked[i], &questions[i]);
    for (size_t i = 0; i < count; i++) {
        if (questions != NULL)
            end(name, &asked[i], &questions[i]);
        else
            asked[i].answer = pti_error(&asked[i].error, PTQ_ENOMEM, "no memory to ask '%s'", asked[i].url);
    }
    free(questions);
}
