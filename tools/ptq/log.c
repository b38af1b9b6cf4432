/* log.c -- ptq log: ls, append, show, follow, rm. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "common/report.h"
#include "common/text.h"
#include "input.h"

enum { ITEM_SIZE_MAX = 1048560 };

/* -- words ---------------------------------------------------------------------------------------------------- */

struct log_options { /* of the command line */
    bool json, force, lines, raw;
    int timeout;
    uint64_t count, capacity, item_size;
    unsigned mode;
    const char *from, *group;
};

#define FIELD(name) offsetof(struct log_options, name)
static const struct tool_option append_options[] = {
    {'l', "line", TOOL_FLAG, FIELD(lines), NULL, "standard input is a record a line, without its newline; else it is one record"},
    {'c', "capacity", TOOL_COUNT, FIELD(capacity), "N", "records that a log holds, where it is made (default 1000)"},
    {'s', "item-size", TOOL_SIZE, FIELD(item_size), "BYTES", "bytes in the largest record, where the log is made (default 240)"},
    {'m', "mode", TOOL_OCTAL, FIELD(mode), "BITS", "permission bits of a log that is made (default 0600, with --group 0660)"},
    {'g', "group", TOOL_TEXT, FIELD(group), "GROUP", "let this group use a log that is made, a name or a number"},
    {0}};
static const struct tool_option show_options[] = {
    {'n', "count", TOOL_COUNT, FIELD(count), "N", "only the last N records"},
    {'F', "from", TOOL_TEXT, FIELD(from), "POSITION", "from this record on, instead of from the oldest"},
    {0, "raw", TOOL_FLAG, FIELD(raw), NULL, "the bytes as they are, a newline after each record; no time, no process"},
    {0, "json", TOOL_FLAG, FIELD(json), NULL, "a JSON object a record"},
    {0}};
static const struct tool_option follow_options[] = {
    {'n', "count", TOOL_COUNT, FIELD(count), "N", "end after so many records (default: go on)"},
    {'F', "from", TOOL_TEXT, FIELD(from), "POSITION", "from this record on, if it is still there, instead of the next that comes"},
    {'t', "timeout", TOOL_MS, FIELD(timeout), "MS", "end with 4 when nothing comes for so long (default: forever)"},
    {0, "raw", TOOL_FLAG, FIELD(raw), NULL, "the bytes as they are, a newline after each record; no time, no process"},
    {0, "json", TOOL_FLAG, FIELD(json), NULL, "a JSON object a record"},
    {0}};
static const struct tool_option rm_options[] = {
    {'f', "force", TOOL_FLAG, FIELD(force), NULL, "also where processes have it open: their calls fail from then on"}, {0}};
#undef FIELD

enum { LS, APPEND, SHOW, FOLLOW, RM };

const struct tool_usage log_usages[] = {
    [LS] = {.name = "log ls", .operands = "", .summary = "list the logs of the bus, a name a line", .examples = "ptq log ls"},
    [APPEND] = {.name = "log append",
                .operands = "LOG [DATA|-]",
                .summary = "append a record, and make the log where it is missing",
                .text = "Without DATA, or with -, from standard input.  Prints nothing.  When the log is full its oldest record goes.  In all these "
                        "commands but ls and rm, LOG may be another host's, where a ptqbridge serves: events@home, or an address as of a queue.",
                .examples = "ptq log append events 'backup done'\nmake 2>&1 | ptq log append build --line --capacity 10000",
                .options = append_options},
    [SHOW] = {.name = "log show",
              .operands = "LOG",
              .summary = "print what a log holds",
              .text = "A record a line, the oldest first: position, when it was appended, by which process, and what it says.  Bytes that a "
                      "terminal might obey are shown as \\xHH.",
              .examples = "ptq log show events --count 20\nptq log show events --json | jq -r .text",
              .options = show_options},
    [FOLLOW] = {.name = "log follow",
                .operands = "LOG",
                .summary = "print records as they come",
                .text = "As ptq log show.  Who prints more slowly than others append is told on standard error which records have gone.",
                .examples = "ptq log follow events\nptq log follow events --from 0 --json",
                .options = follow_options},
    [RM] = {.name = "log rm",
            .operands = "LOG",
            .summary = "remove a log with all that is in it",
            .examples = "ptq log rm events --force",
            .options = rm_options},
    {0}};

/* -- opening -------------------------------------------------------------------------------------------------- */

/* A log, and room for a record of it, while a command is at work. */
struct work {
    ptq_bus *bus;
    ptq_log *log;
    char *buffer; /* owned; grows to what comes */
    size_t room;
};

static int open_log(struct work *work, const char *name, struct ptq_log_options *options)
{
    struct ptq_error error = {0};
    char text[600];
    int code = open_bus(&work->bus);

    if (code != TOOL_OK)
        return code;
    options->error = &error;
    enum ptq_err err = ptq_log_open(work->bus, name, options, &work->log);
    if (err == PTQ_ENOENT && strpbrk(name, "@:") == NULL) /* of another host the library says where it looked */
        return tool_fail(err, name, "no such log on bus '%s' (%s) - look with: ptq log ls", ptq_bus_run(work->bus), ptq_bus_path(work->bus));
    if (err != PTQ_OK)
        return tool_fail(err, name, "cannot open the log: %s",
                         adapt_text("log", name, error.text[0] != '\0' ? error.text : ptq_strerror(err), text, sizeof text));
    return TOOL_OK;
}

static int attach_log(struct work *work, const char *name)
{
    return open_log(work, name, &(struct ptq_log_options){.mode = PTQ_ATTACH});
}

static int close_work(struct work *work, int code)
{
    free(work->buffer);
    ptq_log_close(work->log);
    ptq_bus_close(work->bus);
    int finished = tool_finish();
    return code != TOOL_OK ? code : finished;
}

/* -- records -------------------------------------------------------------------------------------------------- */

static enum ptq_err read_record(struct work *work, uint64_t position, struct ptq_log_record *record)
{
    for (;;) {
        enum ptq_err err = ptq_log_read(work->log, position, work->buffer, work->room, record);
        if (err != PTQ_EMSGSIZE)
            return err;
        char *more = realloc(work->buffer, record->size);
        if (more == NULL)
            return PTQ_ENOMEM;
        work->buffer = more;
        work->room = record->size;
    }
}

static int print_json(const struct ptq_log_record *record, const char *data)
{
    json_t *object = json_object();

    json_object_set_new(object, "v", json_integer(1));
    tool_set_number(object, "position", record->position);
    json_object_set_new(object, "unix_ms", json_integer((json_int_t)record->unix_ms));
    json_object_set_new(object, "pid", json_integer((json_int_t)record->pid));
    tool_set_data(object, data, record->size);
    return tool_print_json(object, stdout);
}

/* What a terminal might obey, and what is no text, as \xHH. */
static void print_text(const char *data, size_t size)
{
    char escaped[1024];

    for (size_t at = 0, part; at < size; at += part) {
        part = size - at < 200 ? size - at : 200;
        while (part > 4 && at + part < size && ((unsigned char)data[at + part] & 0xc0) == 0x80) /* not within a letter */
            part--;
        fputs(tool_escape(data + at, part, escaped, sizeof escaped), stdout);
    }
}

static void print_line(const struct ptq_log_record *record, const char *data)
{
    char when[32];

    printf("%" PRIu64 "  %s  %" PRId64 "  ", record->position, tool_when(record->unix_ms, when), record->pid);
    print_text(data, record->size);
    putchar('\n');
}

static int print_record(const struct work *work, const struct log_options *options, const struct ptq_log_record *record)
{
    if (options->json)
        return print_json(record, work->buffer);
    if (options->raw) {
        fwrite(work->buffer, 1, record->size, stdout);
        putchar('\n');
    } else {
        print_line(record, work->buffer);
    }
    return TOOL_OK;
}

static int fail_record(enum ptq_err err, const char *name, const char *what)
{
    return tool_fail(err, name, "cannot %s: %s%s", what, ptq_strerror(err),
                     err == PTQ_EGONE ? " - the log was removed; look with: ptq log ls" : "");
}

/* Where --from says; not below what is there, and `usual` without it.  A number that is none ends the process. */
static uint64_t begin_at(const char *command, const char *from, uint64_t oldest, uint64_t usual)
{
    char *end;

    if (from == NULL)
        return usual;
    errno = 0;
    uint64_t at = strtoull(from, &end, 10);
    if (errno != 0 || end == from || *end != '\0' || strchr(from, '-') != NULL)
        exit(tool_misuse(command, "--from '%s' is no position", from));
    return at > oldest ? at : oldest;
}

/* -- the commands --------------------------------------------------------------------------------------------- */

static bool print_name(const char *name, void *context)
{
    (void)context;
    puts(name);
    return true;
}

static int log_ls(int argc, char **argv)
{
    struct work work = {0};

    tool_read_operands(&log_usages[LS], argc, argv, NULL, 0, 0);
    int code = open_bus(&work.bus);
    enum ptq_err err = code == TOOL_OK ? ptq_log_list(work.bus, print_name, NULL) : PTQ_OK;
    return close_work(&work, err != PTQ_OK ? tool_fail(err, NULL, "cannot list logs: %s", ptq_strerror(err)) : code);
}

static int append_one(struct work *work, const char *name, const void *data, size_t size, uint64_t before)
{
    char done[64] = "";

    enum ptq_err err = ptq_log_append(work->log, data, size, NULL);
    if (err == PTQ_OK)
        return TOOL_OK;
    if (before > 0)
        snprintf(done, sizeof done, "; %" PRIu64 " record%s appended before", before, before == 1 ? " was" : "s were");
    if (err == PTQ_EMSGSIZE)
        return tool_fail(err, name, "cannot append %zu bytes: its records are smaller%s - make a log with a greater --item-size", size, done);
    return tool_fail(err, name, "cannot append to it: %s%s", ptq_strerror(err), done);
}

static int append_input(struct work *work, const char *name, bool lines)
{
    struct input input;
    struct piece piece;
    enum input_answer answer;
    int code = input_open(&input, NULL, lines ? '\n' : INPUT_WHOLE, ITEM_SIZE_MAX);

    if (code != TOOL_OK)
        return code;
    while (code == TOOL_OK && (answer = input_next(&input, &piece)) != INPUT_END) {
        if (answer != INPUT_OK)
            code = tool_fail(PTQ_ESYS, name, "cannot read standard input: %s - give it something that can be read", strerror(errno));
        else
            code = piece.long_one ? tool_fail(PTQ_EMSGSIZE, name, "cannot append %s%zu bytes: a record has at most %d",
                                              piece.endless ? "more than " : "", piece.size, ITEM_SIZE_MAX)
                                  : append_one(work, name, piece.data, piece.size, input.count - 1);
        if (!lines)
            break;
    }
    input_close(&input);
    return code;
}

static int log_append(int argc, char **argv)
{
    struct log_options options = {0};
    struct work work = {0};
    int first = tool_read_operands(&log_usages[APPEND], argc, argv, &options, 1, 2);
    const char *name = argv[first], *data = argc - first > 1 && strcmp(argv[first + 1], "-") != 0 ? argv[first + 1] : NULL;

    if (data != NULL && options.lines)
        return tool_misuse("log append", "--line parts the input, not DATA");
    if (options.capacity > UINT32_MAX || options.item_size > ITEM_SIZE_MAX)
        return tool_misuse("log append", "a log has at most 1048576 records of at most %d bytes", ITEM_SIZE_MAX);
    int code = open_log(&work, name, &(struct ptq_log_options){.capacity = (uint32_t)options.capacity,
                                                               .item_size = (uint32_t)options.item_size,
                                                               .file_mode = options.mode, .group = options.group});
    if (code == TOOL_OK)
        code = data != NULL ? append_one(&work, name, data, strlen(data), 0) : append_input(&work, name, options.lines);
    return close_work(&work, code);
}

static int show_from(struct work *work, const char *name, const struct log_options *options, uint64_t from, uint64_t next)
{
    struct ptq_log_record record;
    int code = TOOL_OK;

    for (uint64_t at = from; code == TOOL_OK && at < next; at++) {
        enum ptq_err err = read_record(work, at, &record);
        if (err == PTQ_OK)
            code = print_record(work, options, &record);
        else if (err != PTQ_ELATE) /* it went meanwhile: others append */
            code = fail_record(err, name, "show it");
    }
    return code;
}

static int log_show(int argc, char **argv)
{
    struct log_options options = {0};
    struct work work = {0};
    int first = tool_read_operands(&log_usages[SHOW], argc, argv, &options, 1, 1);
    uint64_t oldest, next;
    int code = attach_log(&work, argv[first]);

    if (code != TOOL_OK)
        return close_work(&work, code);
    enum ptq_err err = ptq_log_bounds(work.log, &oldest, &next);
    if (err != PTQ_OK)
        return close_work(&work, fail_record(err, argv[first], "show it"));
    oldest = begin_at("log show", options.from, oldest, oldest);
    if (options.count > 0 && oldest + options.count < next)
        oldest = next - options.count;
    return close_work(&work, show_from(&work, argv[first], &options, oldest, next));
}

/* Those from `at` that have gone: says which, and where it goes on. */
static enum ptq_err tell_gone(struct work *work, const char *name, uint64_t *at)
{
    uint64_t oldest, next;
    enum ptq_err err = ptq_log_bounds(work->log, &oldest, &next);

    if (err == PTQ_OK && oldest > *at) {
        tool_error(name, "the records %" PRIu64 " to %" PRIu64 " have gone: others appended faster - make a log with a greater --capacity", *at,
                   oldest - 1);
        *at = oldest;
    }
    return err;
}

/* One record, when it is there. */
static enum ptq_err follow_one(struct work *work, const char *name, const struct log_options *options, uint64_t *at, uint64_t *seen, int *code)
{
    struct ptq_log_record record;
    enum ptq_err err = ptq_log_wait(work->log, *at, options->timeout);

    if (err == PTQ_OK)
        err = read_record(work, *at, &record);
    if (err == PTQ_ELATE)
        return tell_gone(work, name, at);
    if (err != PTQ_OK)
        return err;
    *code = print_record(work, options, &record);
    ++*at;
    ++*seen;
    return PTQ_OK;
}

static int log_follow(int argc, char **argv)
{
    struct log_options options = {.timeout = PTQ_FOREVER};
    struct work work = {0};
    int first = tool_read_operands(&log_usages[FOLLOW], argc, argv, &options, 1, 1);
    const char *name = argv[first];
    uint64_t oldest, at, seen = 0;
    int code = attach_log(&work, name);

    if (code != TOOL_OK)
        return close_work(&work, code);
    enum ptq_err err = ptq_log_bounds(work.log, &oldest, &at);
    if (err == PTQ_OK)
        at = begin_at("log follow", options.from, oldest, at);
    while (code == TOOL_OK && err == PTQ_OK && (options.count == 0 || seen < options.count)) {
        err = follow_one(&work, name, &options, &at, &seen, &code);
        if (fflush(stdout) != 0)
            code = TOOL_ERROR; /* tool_finish says why */
    }
    if (err == PTQ_TIMEDOUT)
        code = tool_exit_code(err);
    else if (err != PTQ_OK)
        code = fail_record(err, name, "follow it");
    return close_work(&work, code);
}

static int log_rm(int argc, char **argv)
{
    struct log_options options = {0};
    struct work work = {0};
    int first = tool_read_operands(&log_usages[RM], argc, argv, &options, 1, 1);
    if (strpbrk(argv[first], "@:") != NULL)
        return tool_fail(PTQ_EINVAL, argv[first], "cannot remove it: it is another host's - remove it there, by its bare name");
    int code = attach_log(&work, argv[first]); /* the command says when there is none; the call does not */

    ptq_log_close(work.log);
    work.log = NULL;
    if (code != TOOL_OK && !(options.force && work.bus != NULL))
        return close_work(&work, code);
    enum ptq_err err = ptq_log_unlink(work.bus, argv[first], options.force);
    if (err == PTQ_EBUSY)
        code = tool_fail(err, argv[first], "cannot remove it: processes have it open - end them, or give --force");
    else
        code = err == PTQ_OK ? TOOL_OK : tool_fail(err, argv[first], "cannot remove it: %s", ptq_strerror(err));
    return close_work(&work, code);
}

int cmd_log(int argc, char **argv)
{
    static int (*const subcommands[])(int argc, char **argv) = {
        [LS] = log_ls, [APPEND] = log_append, [SHOW] = log_show, [FOLLOW] = log_follow, [RM] = log_rm};

    return run_subcommand("log", log_usages, subcommands, argc, argv);
}
