/* share.c -- ptq share: ls, create, get, set, add, watch, del, rm. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "common/report.h"
#include "common/text.h"
#include "share_own.h"

/* -- words ---------------------------------------------------------------------------------------------------- */

enum kind { ANY, I64, U64, F64, BYTES };

struct share_options {
    bool json, force, exclusive;
    int kind, timeout;
    uint64_t count, cells, value_size, max_endpoints;
    unsigned mode;
    const char *group;
};

#define FIELD(name) offsetof(struct share_options, name)
static const struct tool_option ls_options[] = {{0, "json", TOOL_FLAG, FIELD(json), NULL, "a JSON object a line"}, {0}};
static const struct tool_option create_options[] = {
    {'c', "cells", TOOL_COUNT, FIELD(cells), "N", "names that it holds at once, keys of maps and sets among them; 256"},
    {'s', "value-size", TOOL_SIZE, FIELD(value_size), "BYTES", "of the largest value of bytes; 1024"},
    {0, "max-endpoints", TOOL_COUNT, FIELD(max_endpoints), "N", "handles that may be open at once; 256"},
    {'m', "mode", TOOL_OCTAL, FIELD(mode), "BITS", "permission bits, whatever the umask; 0600, with --group 0660"},
    {'g', "group", TOOL_TEXT, FIELD(group), "GROUP", "let this group use it, a name or a number"},
    {'x', "exclusive", TOOL_FLAG, FIELD(exclusive), NULL, "fail if it exists"},
    {0}};
static const struct tool_option set_options[] = {
    {'t', "type", TOOL_CHOICE, FIELD(kind), "any|i64|u64|f64|bytes", "type of a cell that is made; any: i64 for a whole number (u64 from 2^63 on), f64 for another, else bytes (default any)"},
    {0}};
static const struct tool_option watch_options[] = {
    {'n', "count", TOOL_COUNT, FIELD(count), "N", "end after so many values (default: go on)"},
    {'t', "timeout", TOOL_MS, FIELD(timeout), "MS", "end with 4 when nothing changes for so long (default: forever)"},
    {0}};
static const struct tool_option rm_options[] = {
    {'f', "force", TOOL_FLAG, FIELD(force), NULL, "also where processes have it open: their calls fail from then on"}, {0}};
#undef FIELD

enum { LS, CREATE, GET, SET, ADD, WATCH, DEL, RM };

const struct tool_usage share_usages[] = {
    [LS] = {.name = "share ls",
            .operands = "[SHARE]",
            .summary = "list shares, or the cells of one and their values",
            .text = "Without SHARE, the shares of the bus, a name a line.  With it, its cells in alphabetical order: name, type, version, "
                    "and value; of bytes, how many they are.  A key of a map or a set is shown as 'map[key]'.  In all these commands but ls without SHARE, and rm, "
                    "SHARE may be another host's, where a ptqbridge serves: progress@home, or an address as of a queue.",
            .examples = "ptq share ls\nptq share ls progress --json | jq 'select(.name == \"done\").value'",
            .options = ls_options},
    [CREATE] = {.name = "share create",
                .operands = "SHARE",
                .summary = "make a share, or check that it is as asked",
                .text = "share set and share add make one, too, with what is usual.  All its memory is taken at once: about (cells + max-endpoints) x "
                        "(value-size + 350) + max-endpoints x value-size bytes.",
                .examples = "ptq share create settings --group staff\nptq share create seen --cells 100k --value-size 16",
                .options = create_options},
    [GET] = {.name = "share get",
             .operands = "SHARE CELL",
             .summary = "print the value of a cell",
             .text = "A number with a newline; bytes as they are.",
             .examples = "ptq share get progress done"},
    [SET] = {.name = "share set",
             .operands = "SHARE CELL VALUE",
             .summary = "set a cell, and make it, and the share, where they are missing",
             .text = "A cell keeps the type that it was made with: a VALUE that is none of it is refused.",
             .examples = "ptq share set settings level 3\nptq share set settings motd 'back at five' --type bytes",
             .options = set_options},
    [ADD] = {.name = "share add",
             .operands = "SHARE CELL NUMBER",
             .summary = "add to a number, atomically, and print what it then is",
             .text = "NUMBER may be negative.  A cell that is missing is made as i64, or as f64 for a NUMBER that is not whole, and "
                     "begins at 0.",
             .examples = "ptq share add progress done 1"},
    [WATCH] = {.name = "share watch",
               .operands = "SHARE CELL",
               .summary = "print the value of a cell, and again whenever it changes",
               .text = "A value a line.  Changes that come faster than they can be printed are not all seen: the last one is.",
               .examples = "ptq share watch progress done\nptq share watch settings level --count 2 --timeout 1m",
               .options = watch_options},
    [DEL] = {.name = "share del", .operands = "SHARE CELL...", .summary = "delete cells of a share", .examples = "ptq share del progress done"},
    [RM] = {.name = "share rm",
            .operands = "SHARE",
            .summary = "remove a share with all that is in it",
            .examples = "ptq share rm progress --force",
            .options = rm_options},
    {0}};

/* -- opening -------------------------------------------------------------------------------------------------- */

/* A share, and perhaps a cell of it, while a command is at work. */
struct work {
    ptq_bus *bus;
    ptq_share *share;
    ptq_cell *cell;
    bool changes; /* what was asked is not only a look */
};

static int open_share_as(struct work *work, const char *name, const struct ptq_share_options *options)
{
    struct ptq_share_options how = *options;
    struct ptq_error error = {0};
    char text[600];
    int code = open_bus(&work->bus);

    if (code != TOOL_OK)
        return code;
    how.error = &error;
    enum ptq_err err = ptq_share_open(work->bus, name, &how, &work->share);
    if (err == PTQ_ENOENT && strpbrk(name, "@:") == NULL) /* of another host the library says where it looked */
        return tool_fail(err, name, "no such share on bus '%s' (%s) - look with: ptq share ls", ptq_bus_run(work->bus),
                         ptq_bus_path(work->bus));
    if (err != PTQ_OK)
        return tool_fail(err, name, "cannot open the share: %s",
                         adapt_text("share", name, error.text[0] != '\0' ? error.text : ptq_strerror(err), text, sizeof text));
    return TOOL_OK;
}

static int open_share(struct work *work, const char *name, enum ptq_open_mode mode)
{
    return open_share_as(work, name, &(struct ptq_share_options){.mode = mode});
}

static int fail_cell(enum ptq_err err, const char *name, const char *what)
{
    const char *remedy = err == PTQ_ENOENT     ? " - look with: ptq share ls"
                         : err == PTQ_EMISMATCH ? " - it has another type: see ptq share ls"
                         : err == PTQ_EAGAIN    ? " - the share has all the cells that it was made for, or is written to all the while"
                         : err == PTQ_EINVAL    ? " - a name has 1 to 191 bytes"
                         : err == PTQ_EMSGSIZE  ? " - the share was made for smaller values"
                                                : "";

    return tool_fail(err, name, "cannot %s: %s%s", what, err == PTQ_ENOENT ? "no such cell" : ptq_strerror(err), remedy);
}

static int open_cell(struct work *work, const char *share, const char *cell)
{
    int code = open_share(work, share, PTQ_ATTACH);

    if (code != TOOL_OK)
        return code;
    enum ptq_err err = ptq_share_find(work->share, cell, &work->cell);
    return err == PTQ_OK ? TOOL_OK : fail_cell(err, cell, "find it");
}

static int close_work(struct work *work, int code)
{
    ptq_cell_free(work->cell);
    ptq_share_close(work->share);
    ptq_bus_close(work->bus);
    int finished = work->changes ? tool_finish_done() : tool_finish();
    return code != TOOL_OK ? code : finished;
}

/* -- cells ---------------------------------------------------------------------------------------------------- */

static enum ptq_err make_cell(ptq_share *share, const char *name, enum kind kind, ptq_cell **ret_cell)
{
    switch (kind) {
    case I64:
        return ptq_share_i64(share, name, 0, ret_cell);
    case U64:
        return ptq_share_u64(share, name, 0, ret_cell);
    case F64:
        return ptq_share_f64(share, name, 0, ret_cell);
    default:
        return ptq_share_bytes(share, name, NULL, 0, ret_cell);
    }
}

/* The cell as it is, or one of the kind that was asked for. */
static int find_or_make(struct work *work, const char *name, enum kind kind)
{
    enum ptq_err err = ptq_share_find(work->share, name, &work->cell);

    if (err == PTQ_ENOENT)
        err = make_cell(work->share, name, kind, &work->cell);
    return err == PTQ_OK ? TOOL_OK : fail_cell(err, name, "make it");
}

static int refuse(const char *name, const char *text, enum ptq_cell_type type)
{
    return tool_fail(PTQ_EINVAL, name, "'%s' is no %s, and the cell is one - delete it first, or choose another", text,
                     share_kind_names[type]);
}

/* -- the commands --------------------------------------------------------------------------------------------- */

static bool print_name(const char *name, void *context)
{
    (void)context;
    puts(name);
    return true;
}

static int share_ls(int argc, char **argv)
{
    struct share_options options = {0};
    struct work work = {0};
    int first = tool_read_operands(&share_usages[LS], argc, argv, &options, 0, 1);
    int code;

    if (first == argc) {
        code = open_bus(&work.bus);
        enum ptq_err err = code == TOOL_OK ? ptq_share_list(work.bus, print_name, NULL) : PTQ_OK;
        return close_work(&work, err != PTQ_OK ? tool_fail(err, NULL, "cannot list shares: %s", ptq_strerror(err)) : code);
    }
    code = open_share(&work, argv[first], PTQ_ATTACH);
    if (code == TOOL_OK)
        code = share_print_cells(work.share, argv[first], options.json);
    return close_work(&work, code);
}

static int share_create(int argc, char **argv)
{
    struct share_options options = {0};
    struct work work = {.changes = true};
    int first = tool_read_operands(&share_usages[CREATE], argc, argv, &options, 1, 1);

    if (options.cells > PTQ_SHARE_CELLS_MAX || options.value_size > PTQ_SHARE_VALUE_MAX || options.max_endpoints > 2047)
        return tool_misuse("share create", "a share has at most %u cells, a value %u bytes, and 2047 handles may be open", PTQ_SHARE_CELLS_MAX,
                           PTQ_SHARE_VALUE_MAX);
    int code = open_share_as(&work, argv[first], &(struct ptq_share_options){.mode = options.exclusive ? PTQ_CREATE : PTQ_OPEN_OR_CREATE,
                                                                             .cells = (uint32_t)options.cells,
                                                                             .value_size = (uint32_t)options.value_size,
                                                                             .max_endpoints = (uint32_t)options.max_endpoints,
                                                                             .file_mode = options.mode,
                                                                             .group = options.group});
    return close_work(&work, code);
}

static int share_get(int argc, char **argv)
{
    struct work work = {0};
    int first = tool_read_operands(&share_usages[GET], argc, argv, NULL, 2, 2);
    int code = open_cell(&work, argv[first], argv[first + 1]);

    if (code == TOOL_OK) {
        enum ptq_err err = share_print_value(work.cell, false);
        code = err == PTQ_OK ? TOOL_OK : fail_cell(err, argv[first + 1], "read it");
    }
    return close_work(&work, code);
}

static int set_cell(ptq_cell *cell, const char *name, const char *text)
{
    struct share_number number = share_read_number(text);
    enum ptq_cell_type type = ptq_cell_type(cell);
    enum ptq_err err;

    if (type == PTQ_CELL_I64 && number.is_i64)
        err = ptq_i64_apply(cell, PTQ_SET, number.i64, NULL);
    else if (type == PTQ_CELL_U64 && number.is_u64)
        err = ptq_u64_apply(cell, PTQ_SET, number.u64, NULL);
    else if (type == PTQ_CELL_F64 && number.is_f64)
        err = ptq_f64_apply(cell, PTQ_SET, number.f64, NULL);
    else if (type == PTQ_CELL_BYTES)
        err = ptq_cell_write(cell, text, strlen(text));
    else
        return refuse(name, text, type);
    return err == PTQ_OK ? TOOL_OK : fail_cell(err, name, "set it");
}

static int share_set(int argc, char **argv)
{
    struct share_options options = {.kind = ANY};
    struct work work = {.changes = true};
    int first = tool_read_operands(&share_usages[SET], argc, argv, &options, 3, 3);
    const char *name = argv[first + 1], *text = argv[first + 2];
    struct share_number number = share_read_number(text);
    enum kind kind = options.kind != ANY ? (enum kind)options.kind : number.is_i64 ? I64 : number.is_u64 ? U64 : number.is_f64 ? F64 : BYTES;

    if ((kind == I64 && !number.is_i64) || (kind == U64 && !number.is_u64) || (kind == F64 && !number.is_f64))
        return tool_misuse("share set", "'%s' is no %s", text, share_kind_names[kind]);
    int code = open_share(&work, argv[first], PTQ_OPEN_OR_CREATE);
    if (code == TOOL_OK)
        code = find_or_make(&work, name, kind);
    if (code == TOOL_OK && options.kind != ANY && (int)ptq_cell_type(work.cell) != options.kind)
        code = fail_cell(PTQ_EMISMATCH, name, "set it");
    if (code == TOOL_OK)
        code = set_cell(work.cell, name, text);
    return close_work(&work, code);
}

static int add_to_cell(ptq_cell *cell, const char *name, const char *text)
{
    struct share_number number = share_read_number(text);
    enum ptq_cell_type type = ptq_cell_type(cell);
    enum ptq_err err;
    int64_t i64;
    uint64_t u64;
    double f64;

    if (type == PTQ_CELL_I64 && number.is_i64) {
        err = ptq_i64_apply(cell, PTQ_ADD, number.i64, &i64);
        if (err == PTQ_OK)
            printf("%" PRId64 "\n", i64);
    } else if (type == PTQ_CELL_U64 && (number.is_u64 || number.is_i64)) {
        err = ptq_u64_apply(cell, PTQ_ADD, number.is_u64 ? number.u64 : (uint64_t)number.i64, &u64);
        if (err == PTQ_OK)
            printf("%" PRIu64 "\n", u64);
    } else if (type == PTQ_CELL_F64 && number.is_f64) {
        err = ptq_f64_apply(cell, PTQ_ADD, number.f64, &f64);
        if (err == PTQ_OK)
            printf("%.17g\n", f64);
    } else {
        return type == PTQ_CELL_BYTES ? fail_cell(PTQ_EMISMATCH, name, "add to it") : refuse(name, text, type);
    }
    return err == PTQ_OK ? TOOL_OK : fail_cell(err, name, "add to it");
}

static int share_add(int argc, char **argv)
{
    struct work work = {.changes = true};
    int first = tool_read_operands(&share_usages[ADD], argc, argv, NULL, 3, 3);
    struct share_number number = share_read_number(argv[first + 2]);

    if (!number.is_i64 && !number.is_u64 && !number.is_f64)
        return tool_misuse("share add", "'%s' is no number", argv[first + 2]);
    int code = open_share(&work, argv[first], PTQ_OPEN_OR_CREATE);
    if (code == TOOL_OK)
        code = find_or_make(&work, argv[first + 1], number.is_i64 ? I64 : number.is_u64 ? U64 : F64);
    if (code == TOOL_OK)
        code = add_to_cell(work.cell, argv[first + 1], argv[first + 2]);
    return close_work(&work, code);
}

static int share_watch(int argc, char **argv)
{
    struct share_options options = {.timeout = PTQ_FOREVER};
    struct work work = {0};
    int first = tool_read_operands(&share_usages[WATCH], argc, argv, &options, 2, 2);
    const char *name = argv[first + 1];
    int code = open_cell(&work, argv[first], name);
    uint64_t version = 0;
    enum ptq_err err = code == TOOL_OK ? ptq_cell_version(work.cell, &version) : PTQ_OK;

    for (uint64_t n = 1; code == TOOL_OK && err == PTQ_OK; n++) {
        err = share_print_value(work.cell, true);
        if (err != PTQ_OK || n == options.count)
            break;
        if (fflush(stdout) != 0)
            code = TOOL_ERROR; /* tool_finish says why */
        else
            err = ptq_cell_wait(work.cell, version, options.timeout, &version);
    }
    if (err == PTQ_TIMEDOUT)
        code = tool_exit_code(err);
    else if (err != PTQ_OK)
        code = fail_cell(err, name, "watch it");
    return close_work(&work, code);
}

static int share_del(int argc, char **argv)
{
    struct work work = {.changes = true};
    int first = tool_read_operands(&share_usages[DEL], argc, argv, NULL, 2, 1000);
    int code = open_share(&work, argv[first], PTQ_ATTACH);

    for (int i = first + 1; work.share != NULL && i < argc; i++) {
        enum ptq_err err = ptq_share_delete(work.share, argv[i]);
        if (err != PTQ_OK)
            code = fail_cell(err, argv[i], "delete it");
    }
    return close_work(&work, code);
}

static int share_rm(int argc, char **argv)
{
    struct share_options options = {0};
    struct work work = {.changes = true};
    int first = tool_read_operands(&share_usages[RM], argc, argv, &options, 1, 1);
    if (strpbrk(argv[first], "@:") != NULL)
        return tool_fail(PTQ_EINVAL, argv[first], "cannot remove it: it is another host's - remove it there, by its bare name");
    int code = open_bus(&work.bus);

    if (code != TOOL_OK)
        return close_work(&work, code);
    /* The command says when there is none; the call does not. */
    enum ptq_err err = ptq_share_open(work.bus, argv[first], &(struct ptq_share_options){.mode = PTQ_ATTACH}, &work.share);
    ptq_share_close(work.share);
    work.share = NULL;
    if (err != PTQ_ENOENT || options.force)
        err = ptq_share_unlink(work.bus, argv[first], options.force);
    if (err == PTQ_EBUSY)
        code = tool_fail(err, argv[first], "cannot remove it: processes have it open - end them, or give --force");
    else if (err == PTQ_ENOENT)
        code = tool_fail(err, argv[first], "no such share on bus '%s' (%s) - look with: ptq share ls", ptq_bus_run(work.bus),
                         ptq_bus_path(work.bus));
    else if (err == PTQ_ECORRUPT)
        code = tool_fail(err, argv[first], "cannot remove it: it is damaged, or no share - give --force");
    else
        code = err == PTQ_OK ? TOOL_OK : tool_fail(err, argv[first], "cannot remove it: %s", ptq_strerror(err));
    return close_work(&work, code);
}

int cmd_share(int argc, char **argv)
{
    static int (*const subcommands[])(int argc, char **argv) = {
        [LS] = share_ls, [CREATE] = share_create, [GET] = share_get, [SET] = share_set, [ADD] = share_add, [WATCH] = share_watch, [DEL] = share_del, [RM] = share_rm};

    return run_subcommand("share", share_usages, subcommands, argc, argv);
}
