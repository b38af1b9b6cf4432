/* map.c -- an array of items through a pool: an imap whose results are kept. */
#include <ptq/map.h>

#include <ptq/worker.h>

#include <stdlib.h>
#include <string.h>

#include "pool/pool.h"

#define ARENA_BYTES 65536u

/* Copies of results, freed together. */
struct arena {
    struct arena *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
};

struct mapped {
    struct arena *arena;
    _Alignas(16) struct ptq_map_item items[];
};

static struct mapped *mapped_of(struct ptq_map_item *items)
{
    return (struct mapped *)(void *)((char *)items - offsetof(struct mapped, items));
}

/* A copy with a final 0, aligned to 16; NULL: no memory. */
static void *keep(struct mapped *mapped, const void *data, size_t size)
{
    size_t need = (size + 16u) & ~(size_t)15u;
    struct arena *arena = mapped->arena;
    if (arena == NULL || arena->size - arena->used < need) {
        size_t room = need > ARENA_BYTES ? need : ARENA_BYTES;
        arena = malloc(sizeof *arena + room);
        if (arena == NULL)
            return NULL;
        *arena = (struct arena){.next = mapped->arena, .size = room};
        mapped->arena = arena;
    }
    unsigned char *to = arena->bytes + arena->used;
    if (size != 0)
        memcpy(to, data, size);
    to[size] = 0;
    arena->used += need;
    return to;
}

void ptq_map_free(struct ptq_map_item *items)
{
    if (items == NULL)
        return;
    struct mapped *mapped = mapped_of(items);
    while (mapped->arena != NULL) {
        struct arena *arena = mapped->arena;
        mapped->arena = arena->next;
        free(arena);
    }
    free(mapped);
}

struct row {
    const struct ptq_bytes *items;
    size_t count, next;
};

static enum ptq_err next_of_row(void *user, struct ptq_bytes *ret_item)
{
    struct row *row = user;
    if (row->next == row->count)
        return PTQ_END;
    *ret_item = row->items[row->next++];
    return PTQ_OK;
}

static enum ptq_err take(struct mapped *mapped, const struct ptq_map_item *item)
{
    struct ptq_map_item *to = &mapped->items[item->index];
    *to = *item;
    to->text = keep(mapped, item->text, strlen(item->text));
    to->data = keep(mapped, item->data, item->size);
    return to->text != NULL && to->data != NULL ? PTQ_OK : PTQ_ENOMEM;
}

/* What total_ms cut off before it was submitted. */
static void cut_off(struct mapped *mapped, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (mapped->items[i].data == NULL)
            mapped->items[i] = (struct ptq_map_item){.index = i, .code = PTQ_TIMEDOUT, .data = "",
                                                     .text = "the time for the whole map was over"};
}

static enum ptq_err collect(ptq_imap *imap, struct mapped *mapped, size_t count, bool collects)
{
    struct ptq_map_item item;
    size_t have = 0;
    enum ptq_err err;
    while ((err = ptq_imap_next(imap, PTQ_FOREVER, &item)) == PTQ_OK) {
        err = take(mapped, &item);
        if (err != PTQ_OK)
            return err;
        have++;
    }
    if (err == PTQ_END && have == count)
        return PTQ_OK;
    if (err != PTQ_TIMEDOUT || !collects)
        return err;
    cut_off(mapped, count);
    return PTQ_OK;
}

/* Our own, or those of other programs on this host, or those that there might be. */
static uint64_t count_workers(ptq_pool *pool)
{
    struct ptq_worker_status none[1];
    size_t others = 0;
    unsigned own = pti_staff_running(pool);
    if (own == 0 && ptq_pool_workers(pool, none, 0, &others) != PTQ_OK)
        others = 0;
    return own != 0 ? own : others != 0 ? others : pti_processors();
}

/* As few as make one chunk a worker. */
static uint32_t even_chunk(ptq_pool *pool, size_t count)
{
    uint64_t workers = count_workers(pool), each = (count + workers - 1) / workers;
    return each < PTI_CHUNK_MAX ? (uint32_t)each : PTI_CHUNK_MAX;
}

enum ptq_err ptq_pool_map(ptq_pool *pool, const char *task, const struct ptq_bytes *items, size_t count,
                          const struct ptq_map_options *options, struct ptq_map_item **ret_items)
{
    struct row row = {.items = items, .count = count};
    ptq_imap *imap = NULL;
    if (ret_items == NULL || (items == NULL && count != 0))
        return PTQ_EINVAL;
    struct ptq_map_options own = {0};
    if (options != NULL && options->chunk == PTQ_CHUNK_EVEN && pti_pool_check(pool) == PTQ_OK) {
        own = *options;
        own.chunk = even_chunk(pool, count);
        options = &own;
    }
    enum ptq_err err = ptq_imap_begin(pool, task, next_of_row, &row, options, &imap);
    if (err != PTQ_OK)
        return err;
    struct mapped *mapped = calloc(1, sizeof *mapped + count * sizeof mapped->items[0]);
    if (mapped == NULL)
        err = PTQ_ENOMEM;
    else if (count != 0)
        err = collect(imap, mapped, count, options != NULL && (options->flags & PTQ_MAP_COLLECT) != 0);
    if (err != PTQ_OK && options != NULL && options->error != NULL && ptq_imap_failure(imap) == NULL) {
        options->error->code = err;
        (void)ptq_pool_explain(pool, err, options->error->text, sizeof options->error->text);
    }
    ptq_imap_end(imap);
    if (err == PTQ_OK && count != 0) {
        *ret_items = mapped->items;
        return PTQ_OK;
    }
    if (mapped != NULL)
        ptq_map_free(mapped->items);
    if (err == PTQ_OK)
        *ret_items = NULL;
    return err;
}
