/* run_waiting.c -- jobs that were submitted and have no result yet: which was it that came back? */
#include <stdlib.h>
#include <string.h>

#include "pool_run.h"

static bool make_room(struct run *run)
{
    size_t room = run->room == 0 ? 256 : 2 * run->room;
    struct waiting *ring = malloc(room * sizeof *ring);

    if (ring == NULL)
        return false;
    for (size_t i = 0; i < run->count; i++)
        ring[i] = run->waiting[(run->first + i) % run->room];
    free(run->waiting);
    run->waiting = ring;
    run->first = 0;
    run->room = room;
    return true;
}

/* The arguments with spaces between, and a tab. */
static bool write_tag(const struct run *run, struct waiting *job)
{
    struct run_text text = {0};

    for (size_t i = 0; i < run->words.count - run->carry; i++) {
        const char *word = run->words.bytes + run->words.starts[i];
        if (i > 0)
            run_text_add(&text, " ", 1);
        run_text_add(&text, word, strlen(word));
    }
    run_text_add(&text, "\t", 1);
    if (text.failed)
        run_text_fini(&text);
    job->tag = text.bytes;
    job->tag_size = text.used;
    return !text.failed;
}

void run_forget(struct waiting *job)
{
    free(job->command);
    free(job->tag);
}

/* The log wants its command. */
bool run_remember(struct run *run, uint64_t ticket)
{
    struct waiting job = {.ticket = ticket, .seq = run->seq, .line = run->line, .sent = run_input_size(run)};

    if (run->count == run->room && !make_room(run))
        return false;
    if (run->options->tag && !write_tag(run, &job))
        return false;
    if (run->log.fd >= 0 || run->options->results != NULL) {
        job.command = malloc(run->command.used + 1);
        if (job.command == NULL)
            return false;
        memcpy(job.command, run->command.bytes, run->command.used);
        job.command_size = run->command.used;
    }
    run->waiting[(run->first + run->count++) % run->room] = job;
    return true;
}

/* Which of those that wait; run->count: none.  In order it is the first, or somebody else's. */
static size_t find_waiting(const struct run *run, uint64_t ticket)
{
    size_t most = run->options->unordered || run->count == 0 ? run->count : 1;

    for (size_t i = 0; i < most; i++)
        if (run->waiting[(run->first + i) % run->room].ticket == ticket)
            return i;
    return run->count;
}

bool run_recall(struct run *run, uint64_t ticket, struct waiting *ret_job)
{
    size_t at = find_waiting(run, ticket);

    if (at == run->count)
        return false;
    *ret_job = run->waiting[(run->first + at) % run->room];
    run->waiting[(run->first + at) % run->room] = run->waiting[run->first];
    run->first = (run->first + 1) % run->room;
    run->count--;
    return true;
}

void run_forget_all(struct run *run)
{
    for (size_t i = 0; i < run->count; i++)
        run_forget(&run->waiting[(run->first + i) % run->room]);
    free(run->waiting);
}
