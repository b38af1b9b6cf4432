/* database.h -- what the two database workers share: statements from standard input through a pool, answers out in their order. */
#ifndef DATABASE_H
#define DATABASE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <ptq/ptq.h>

/* Each call gives the next line, with a final 0 in place of its end. */
static enum ptq_err next_statement(void *user, struct ptq_bytes *ret_item)
{
    static char *line;
    static size_t room;
    ssize_t size = getline(&line, &room, stdin);
    (void)user;
    if (size <= 0)
        return PTQ_END;
    if (line[size - 1] == '\n')
        line[--size] = '\0';
    *ret_item = (struct ptq_bytes){line, (size_t)size + 1};
    return PTQ_OK;
}

static enum ptq_err print_answers(ptq_pool *pool)
{
    struct ptq_map_item item;
    ptq_imap *imap;
    enum ptq_err err = ptq_imap_begin(pool, NULL, next_statement, NULL, &(struct ptq_map_options){.flags = PTQ_MAP_COLLECT}, &imap);
    if (err != PTQ_OK)
        return err;
    while ((err = ptq_imap_next(imap, PTQ_FOREVER, &item)) == PTQ_OK) {
        if (item.code == PTQ_OK)
            printf("%.*s", (int)item.size, (const char *)item.data);
        else
            printf("error: %s\n", item.text);
        fflush(stdout);
    }
    ptq_imap_end(imap);
    return err == PTQ_END ? PTQ_OK : err;
}

/* main of both.  A database that cannot be reached is asked again every 50 ms, for a minute; a statement that is wrong fails at once. */
static int answer_statements(int argc, char **argv, const struct ptq_resource_hooks *hooks, ptq_task_fn run_statement)
{
    struct ptq_error error = {0};
    struct ptq_pool_options options = {.item_size = 65536, .capacity = 100, .result_size = 1 << 20, .ephemeral = true, .error = &error,
                                       .call = {.retries = 1200, .delay_ms = 50, .retry_on = PTQ_RETRY_ON(PTQ_EUNREACHABLE)}};
    ptq_bus *bus = NULL;
    ptq_pool *pool = NULL;
    char name[32];
    enum ptq_err err = ptq_resource_register("database", hooks, NULL);
    if (err == PTQ_OK)
        err = ptq_task_register(NULL, run_statement, NULL);
    ptq_worker_main(argc, argv); /* does not return in a worker */

    snprintf(name, sizeof name, "database-%d", (int)getpid());
    if (err == PTQ_OK)
        err = ptq_bus_open(NULL, &(struct ptq_bus_options){.error = &error}, &bus);
    if (err == PTQ_OK)
        err = ptq_pool_open(bus, name, &options, &pool);
    if (err == PTQ_OK)
        err = ptq_pool_spawn(pool, &(struct ptq_spawn_options){.count = 2, .error = &error});
    if (err == PTQ_OK)
        err = print_answers(pool);
    if (err != PTQ_OK)
        fprintf(stderr, "%s: %s\n", argv[0], error.text[0] != '\0' ? error.text : ptq_strerror(err));
    if (pool != NULL)
        (void)!ptq_pool_abort(pool);
    ptq_pool_close(pool);
    ptq_bus_close(bus);
    return err != PTQ_OK;
}

#endif
