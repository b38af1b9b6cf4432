/* share_cells.c -- ptq share ls SHARE: its cells, as a table or as JSON. */
#include "share_own.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/report.h"
#include "common/say.h"
#include "common/table.h"
#include "common/text.h"

struct rows {
    struct row {
        char *name;
        struct ptq_cell_info info;
    } *items;
    size_t count, room;
    bool failed;
};

/* Bytes that are no ASCII letters, digits and signs as \xHH. */
static void append_key(char *to, const void *key, size_t size)
{
    *to++ = '[';
    for (const unsigned char *byte = key; size > 0; size--, byte++)
        to += *byte > ' ' && *byte < 127 && *byte != '\\' ? sprintf(to, "%c", *byte) : sprintf(to, "\\x%02x", *byte);
    *to++ = ']';
    *to = '\0';
}

static bool keep_row(const struct ptq_cell_info *info, void *context)
{
    struct rows *rows = context;

    if (rows->count == rows->room) {
        size_t room = rows->room ? 2 * rows->room : 64;
        struct row *more = realloc(rows->items, room * sizeof *more);
        rows->failed = more == NULL;
        if (rows->failed)
            return false;
        rows->items = more;
        rows->room = room;
    }
    size_t length = strlen(info->name);
    char *name = malloc(length + 4 * info->key_size + 3); /* as "map[key]" */
    rows->failed = name == NULL;
    if (name == NULL)
        return false;
    memcpy(name, info->name, length + 1);
    if (info->key != NULL)
        append_key(name + length, info->key, info->key_size);
    rows->items[rows->count++] = (struct row){name, *info};
    return true;
}

static int compare_rows(const void *a, const void *b)
{
    return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

static int print_row_json(const struct row *row)
{
    json_t *object = json_object();

    json_object_set_new(object, "v", json_integer(1));
    json_object_set_new(object, "name", tool_text_json(row->name));
    json_object_set_new(object, "type", json_string(share_kind_names[row->info.type]));
    json_object_set_new(object, "version", json_integer((json_int_t)row->info.version));
    if (row->info.type == PTQ_CELL_I64)
        json_object_set_new(object, "value", json_integer(row->info.i64));
    else if (row->info.type == PTQ_CELL_U64 && row->info.u64 <= INT64_MAX)
        json_object_set_new(object, "value", json_integer((json_int_t)row->info.u64));
    else if (row->info.type == PTQ_CELL_U64)
        json_object_set_new(object, "value", json_real((double)row->info.u64));
    else if (row->info.type == PTQ_CELL_F64)
        json_object_set_new(object, "value", json_real(row->info.f64)); /* none for what is no number */
    else
        json_object_set_new(object, "bytes", json_integer((json_int_t)row->info.size));
    return tool_print_json(object, stdout);
}

static void add_row(struct tool_table *table, const struct row *row)
{
    tool_table_cell(table, "%s", row->name);
    tool_table_cell(table, "%s", share_kind_names[row->info.type]);
    tool_table_cell(table, "%" PRIu64, row->info.version);
    if (row->info.type == PTQ_CELL_I64)
        tool_table_cell(table, "%" PRId64, row->info.i64);
    else if (row->info.type == PTQ_CELL_U64)
        tool_table_cell(table, "%" PRIu64, row->info.u64);
    else if (row->info.type == PTQ_CELL_F64)
        tool_table_cell(table, "%.17g", row->info.f64);
    else
        tool_table_cell(table, "%zu bytes", row->info.size);
}

static int print_rows(struct rows *rows, bool json)
{
    static const struct tool_column columns[] = {{"CELL", true}, {"TYPE", true}, {"VERSION", false}, {"VALUE", false}};
    struct tool_table table;
    int code = TOOL_OK;

    if (rows->count > 0)
        qsort(rows->items, rows->count, sizeof *rows->items, compare_rows);
    tool_table_init(&table, columns, 4);
    for (size_t i = 0; i < rows->count && code == TOOL_OK; i++) {
        if (json)
            code = print_row_json(&rows->items[i]);
        else
            add_row(&table, &rows->items[i]);
    }
    if (!json && rows->count > 0)
        tool_table_print(&table, stdout);
    tool_table_fini(&table);
    return code;
}

int share_print_cells(ptq_share *share, const char *name, bool json)
{
    struct rows rows = {0};
    enum ptq_err err = ptq_share_each(share, keep_row, &rows);

    if (err == PTQ_OK && rows.failed)
        err = PTQ_ENOMEM;
    int code = err == PTQ_OK ? print_rows(&rows, json) : tool_fail(err, name, "cannot list its cells: %s", ptq_strerror(err));
    for (size_t i = 0; i < rows.count; i++)
        free(rows.items[i].name);
    free(rows.items);
    return code;
}
