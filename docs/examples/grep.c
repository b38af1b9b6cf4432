/* grep.c -- lines of many files that match, as grep -nH prints them, searched by all processors, in order.
 *
 *     ./grep [-i] PATTERN FILE...
 *
 * A job is a piece of a file, so that one large file is shared out, too.  A piece knows how many lines it has; as results come in order,
 * whoever prints them knows how many were before it.
 */
#include <errno.h>
#include <inttypes.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ptq/ptq.h>

enum { PIECE = 256 * 1024 };

/* A job is this, the pattern and the path, both with their final 0. */
struct piece {
    uint64_t begin, end; /* it has the lines that begin here */
    uint32_t file;
    int32_t flags;
};

/* A result is matches, a struct match and its line each, and in the end a struct total. */
struct match {
    uint32_t line; /* of the piece, from 0 */
    uint32_t size;
};
struct total {
    uint32_t lines, file;
};

/* -- a worker ------------------------------------------------------------------------------------------------- */

/* Each line that begins in the piece.  The one that begins before it is its neighbour's, whole. */
static enum ptq_err search_lines(ptq_task *task, FILE *file, const struct piece *piece, const regex_t *regex)
{
    struct total total = {.file = piece->file};
    uint64_t at = piece->begin;
    char *line = NULL;
    size_t room = 0;
    enum ptq_err err = PTQ_OK;

    if (at > 0 && fseeko(file, (off_t)at - 1, SEEK_SET) == 0)
        at += (uint64_t)getline(&line, &room, file) - 1;
    for (ssize_t size; err == PTQ_OK && at < piece->end && (size = getline(&line, &room, file)) > 0; at += (uint64_t)size, total.lines++) {
        struct match match = {.line = total.lines, .size = (uint32_t)size};
        if (line[size - 1] == '\n')
            line[--match.size] = '\0';
        if (regexec(regex, line, 0, NULL, 0) != 0)
            continue;
        err = ptq_task_emit(task, &match, sizeof match);
        if (err == PTQ_OK)
            err = ptq_task_emit(task, line, match.size);
    }
    free(line);
    return err == PTQ_OK ? ptq_task_emit(task, &total, sizeof total) : err;
}

static enum ptq_err search(ptq_task *task, const void *data, size_t size)
{
    const struct piece *piece = data;
    const char *pattern = (const char *)data + sizeof *piece, *path = pattern + strlen(pattern) + 1;
    regex_t regex;
    FILE *file = fopen(path, "re");

    (void)size;
    if (file == NULL)
        return ptq_task_fail(task, PTQ_ENOENT, "%s: %s", path, strerror(errno));
    if (regcomp(&regex, pattern, piece->flags | REG_NOSUB) != 0)
        return fclose(file), ptq_task_fail(task, PTQ_EINVAL, "'%s' is not a regular expression", pattern);
    enum ptq_err err = search_lines(task, file, piece, &regex);
    if (err == PTQ_OK && ferror(file))
        err = ptq_task_fail(task, PTQ_ESYS, "%s: %s", path, strerror(errno));
    if (err == PTQ_EMSGSIZE)
        err = ptq_task_fail(task, err, "%s: a line that matches is too long", path);
    regfree(&regex);
    fclose(file);
    return err;
}

/* -- the program ---------------------------------------------------------------------------------------------- */

struct search {
    char **files;
    uint32_t count, next; /* next: the file that pieces are made of */
    uint64_t begin, size; /* of the next piece; of that file, 0: not looked at */
    const char *pattern;
    int32_t flags;
    char *job;
    uint64_t lines;       /* of the file whose results come, before the next of them */
    uint32_t file;        /* which that is */
    bool found, failed;
};

/* The next piece of the next file; called when there is room for it.  What cannot be read is found out by who has to. */
static enum ptq_err next_piece(void *user, struct ptq_bytes *ret_item)
{
    struct search *all = user;
    struct stat about;

    if (all->next == all->count)
        return PTQ_END;
    const char *path = all->files[all->next];
    if (all->begin == 0)
        all->size = stat(path, &about) == 0 ? (uint64_t)about.st_size : 0;
    bool whole = all->begin + PIECE >= all->size; /* also of what has no size, such as a pipe */
    struct piece piece = {.begin = all->begin, .end = whole ? UINT64_MAX : all->begin + PIECE, .file = all->next, .flags = all->flags};
    size_t pattern_size = strlen(all->pattern) + 1, size = sizeof piece + pattern_size + strlen(path) + 1;
    char *job = realloc(all->job, size);
    if (job == NULL)
        return PTQ_ENOMEM;
    all->job = job;
    memcpy(job, &piece, sizeof piece);
    memcpy(job + sizeof piece, all->pattern, pattern_size);
    strcpy(job + sizeof piece + pattern_size, path);
    all->begin = whole ? 0 : all->begin + PIECE;
    all->next += whole;
    *ret_item = (struct ptq_bytes){job, size};
    return PTQ_OK;
}

static void print_matches(struct search *all, const char *at, size_t size)
{
    struct total total;
    struct match match;
    const char *end = at + size - sizeof total;

    memcpy(&total, end, sizeof total);
    if (total.file != all->file)
        all->lines = 0;
    all->file = total.file;
    for (; at < end; at += sizeof match + match.size) {
        memcpy(&match, at, sizeof match);
        printf("%s:%" PRIu64 ":", all->files[total.file], all->lines + match.line + 1);
        fwrite(at + sizeof match, 1, match.size, stdout);
        putchar('\n');
        all->found = true;
    }
    all->lines += total.lines;
}

static enum ptq_err search_all(ptq_pool *pool, struct search *all)
{
    struct ptq_map_item item;
    ptq_imap *imap;
    enum ptq_err err = ptq_imap_begin(pool, "search", next_piece, all, &(struct ptq_map_options){.flags = PTQ_MAP_COLLECT}, &imap);

    if (err != PTQ_OK)
        return err;
    while ((err = ptq_imap_next(imap, PTQ_FOREVER, &item)) == PTQ_OK) {
        if (item.code == PTQ_OK) {
            print_matches(all, item.data, item.size);
            continue;
        }
        fflush(stdout);
        fprintf(stderr, "grep: %s\n", item.text);
        all->failed = true;
    }
    ptq_imap_end(imap);
    return err == PTQ_END ? PTQ_OK : err;
}

int main(int argc, char **argv)
{
    struct search all = {0};
    struct ptq_error error = {0};
    ptq_bus *bus = NULL;
    ptq_pool *pool = NULL;
    char name[32];
    int first = argc > 1 && strcmp(argv[1], "-i") == 0 ? 2 : 1;

    enum ptq_err err = ptq_task_register("search", search, NULL);
    ptq_worker_main(argc, argv); /* does not return in a worker */
    if (argc < first + 2) {
        fprintf(stderr, "usage: grep [-i] PATTERN FILE...\n");
        return 2;
    }
    all.flags = first == 2 ? REG_ICASE : 0;
    all.pattern = argv[first];
    all.files = argv + first + 1;
    all.count = (uint32_t)(argc - first - 1);

    snprintf(name, sizeof name, "grep-%d", (int)getpid());
    struct ptq_pool_options options = {.item_size = 65536, .capacity = 100, .result_size = 4 << 20, .ephemeral = true, .error = &error};
    if (err == PTQ_OK)
        err = ptq_bus_open(NULL, &(struct ptq_bus_options){.error = &error}, &bus);
    if (err == PTQ_OK)
        err = ptq_pool_open(bus, name, &options, &pool);
    if (err == PTQ_OK)
        err = ptq_pool_spawn(pool, &(struct ptq_spawn_options){.error = &error});
    if (err == PTQ_OK)
        err = search_all(pool, &all);
    if (err != PTQ_OK)
        fprintf(stderr, "grep: %s\n", error.text[0] != '\0' ? error.text : ptq_strerror(err));
    if (pool != NULL)
        (void)!ptq_pool_abort(pool);
    ptq_pool_close(pool);
    ptq_bus_close(bus);
    free(all.job);
    return fflush(stdout) != 0 || err != PTQ_OK || all.failed ? 2 : !all.found;
}
