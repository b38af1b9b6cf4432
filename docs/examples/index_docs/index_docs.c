/* index_docs.c -- indexes documents with an ordered pool: one job a document, results in the order of the list.
 *
 *   index_docs [OPTION]... LIST       submits and collects; LIST holds file names, each ended by a 0 byte
 *   index_docs --work POOL[@NODE]     is a worker of the pool, on this host or another, until it ends
 *
 *   --pool NAME        the pool (index)             --local N    workers beside this process (2)
 *   --words printing|nonspace                       --out FILE   a line a document: lines, words, bytes, name
 *   --kill-worker      drill: when a third is done, SIGKILL a local worker that holds a job
 *   --kill-pid PID     drill: when two thirds are done, SIGKILL this process (the bridge) while it holds jobs
 *   --gate FILE        of both sides, for the drills: see drill.h
 *
 * Which bus: PTQ_DIR, PTQ_RUN and PTQ_PEERS, as for every program of ptq.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <ptq/pool.h>
#include <ptq/ptq.h>

#include "document.h"
#include "drill.h"

#define PATIENCE_MS 60000 /* a result that takes longer means that something is broken */
#define RETRY_MS 100
#define MARKERS 10
#define DRILL_TRIES 10000 /* of a millisecond or more */

struct options {
    const char *list, *pool, *out, *words, *work, *gate;
    unsigned local;
    bool kill_worker;
    int kill_pid;
};

/* A document on its way. */
struct document {
    const char *path;
    struct counts sent; /* bytes and sum, to compare with what comes back */
};

struct index {
    struct options options;
    ptq_pool *pool;
    struct document *documents;
    size_t count;
    size_t submitted, got; /* documents */
    size_t markers_out, markers_back;
    uint64_t outstanding;  /* tickets: documents and markers */
    uint64_t ahead;        /* as many may be */
    size_t item_size;
    char *buffer;
    struct counts total;
    struct vocabulary words;
    size_t again;          /* documents that were handed out more than once */
    size_t by_local, by_far;
    size_t errors;
    struct drill drill;
    FILE *out;
};

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("   ", stdout);
    vprintf(format, arguments);
    putchar('\n');
    fflush(stdout);
    va_end(arguments);
}

static _Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static _Noreturn void fail(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    va_start(arguments, format);
    fputs("index_docs: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static _Noreturn void fail_pool(ptq_pool *pool, enum ptq_err err, const char *what)
{
    char why[600];

    fail("%s: %s", what, ptq_pool_explain(pool, err, why, sizeof why));
}

/* -- the work: in a worker process ------------------------------------------------------------------------------ */

/* One task a rule, so that the submitter says which one is meant. */
static enum ptq_err count_task(ptq_task *task, const void *data, size_t size)
{
    const enum word_rule *rule = ptq_task_user(task);
    struct counts counts;
    struct vocabulary vocabulary = {0};
    size_t report_size;
    void *report = NULL;

    drill_pass_gate();
    counts = count_document(data, size, *rule);
    if (vocabulary_read(&vocabulary, data, size))
        report = report_write(&counts, &vocabulary, &report_size);
    vocabulary_fini(&vocabulary);
    if (report == NULL)
        return ptq_task_fail(task, PTQ_ENOMEM, "no memory for the words of %zu bytes", size);
    enum ptq_err err = ptq_task_result(task, report, report_size);
    free(report);
    return err;
}

static ptq_bus *open_bus(void)
{
    struct ptq_error error = {0};
    struct ptq_bus_options options = {.error = &error};
    ptq_bus *bus;

    if (ptq_bus_open(NULL, &options, &bus) != PTQ_OK)
        fail("cannot open the bus: %s", error.text);
    return bus;
}

/* Waits for the pool to come into being, and for the link to its home to be there. */
static ptq_pool *open_far_pool(ptq_bus *bus, const char *name)
{
    struct ptq_error error = {0};
    struct ptq_pool_options options = {.mode = PTQ_ATTACH, .wait_ms = PATIENCE_MS, .error = &error};
    ptq_pool *pool;
    enum ptq_err err;

    for (int tries = 0; (err = ptq_pool_open(bus, name, &options, &pool)) != PTQ_OK; tries++) {
        if (err != PTQ_EUNREACHABLE || tries == PATIENCE_MS / RETRY_MS)
            fail("cannot open pool %s: %s", name, error.text);
        nanosleep(&(struct timespec){0, RETRY_MS * 1000000L}, NULL);
    }
    return pool;
}

static int work(const char *name)
{
    struct ptq_work_options as = {.name = "far"};
    ptq_bus *bus = open_bus();
    ptq_pool *pool = open_far_pool(bus, name);
    enum ptq_err err = ptq_pool_work(pool, &as);

    if (err != PTQ_OK)
        fail_pool(pool, err, "worker");
    ptq_pool_close(pool);
    ptq_bus_close(bus);
    return 0;
}

/* -- in --------------------------------------------------------------------------------------------------------- */

/* All of a file into `buffer`; at most `room` bytes. */
static size_t read_file(const char *path, char *buffer, size_t room)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    size_t size = 0;
    ssize_t got;

    if (file < 0)
        fail("%s: %s", path, strerror(errno));
    while ((got = read(file, buffer + size, room - size)) > 0)
        size += (size_t)got;
    if (got < 0)
        fail("%s: %s", path, strerror(errno));
    char more;
    if (size == room && read(file, &more, 1) == 1)
        fail("%s grew beyond %zu bytes", path, room);
    close(file);
    return size;
}

/* How many documents stand before marker k (from 1): tenths, rounded up. */
static size_t place_of_marker(const struct index *index, size_t k)
{
    return (index->count * k + MARKERS - 1) / MARKERS;
}

static void submit_marker(struct index *index)
{
    char text[64];
    size_t after = place_of_marker(index, ++index->markers_out);

    snprintf(text, sizeof text, "%zu", after);
    enum ptq_err err = ptq_pool_submit_marker(index->pool, text, strlen(text), PATIENCE_MS, NULL);
    if (err != PTQ_OK)
        fail_pool(index->pool, err, "submit marker");
    index->outstanding++;
}

static void submit_next(struct index *index)
{
    struct document *document = &index->documents[index->submitted];
    char task[64];
    size_t size = read_file(document->path, index->buffer, index->item_size);

    document->sent = count_document(index->buffer, size, WORD_NOT_SPACE);
    snprintf(task, sizeof task, "words-%s", index->options.words);
    enum ptq_err err = ptq_pool_submit(index->pool, task, index->buffer, size, PATIENCE_MS, NULL);
    if (err != PTQ_OK)
        fail_pool(index->pool, err, "submit");
    index->submitted++;
    index->outstanding++;
    while (index->markers_out < MARKERS && index->submitted == place_of_marker(index, index->markers_out + 1))
        submit_marker(index);
}

/* -- out -------------------------------------------------------------------------------------------------------- */

static void take_marker(struct index *index, const ptq_result *result)
{
    char text[64] = "";
    size_t size = ptq_result_size(result), due = place_of_marker(index, index->markers_back + 1);

    memcpy(text, ptq_result_data(result), size < sizeof text ? size : sizeof text - 1);
    if (strtoull(text, NULL, 10) != due || index->got != due)
        fail("the marker for %s documents came out after %zu, where the one for %zu was due", text, index->got, due);
    index->markers_back++;
    say("marker %2zu of %d came out exactly after document %zu", index->markers_back, MARKERS, index->got);
}

/* A line a document, whatever its name contains. */
static void write_line(FILE *out, const struct counts *counts, const char *path)
{
    fprintf(out, "%" PRIu64 " %" PRIu64 " %" PRIu64 " ", counts->lines, counts->words, counts->bytes);
    for (; *path != '\0'; path++)
        putc(*path == '\n' ? '?' : *path, out);
    putc('\n', out);
}

static void take_report(struct index *index, const ptq_result *result)
{
    const struct document *document = &index->documents[index->got];
    struct counts counts;

    if (!report_read(ptq_result_data(result), ptq_result_size(result), &counts, &index->words))
        fail("%s: its report cannot be read", document->path);
    if (counts.bytes != document->sent.bytes || counts.sum != document->sent.sum)
        fail("%s was due, and the report of another document came out", document->path);
    index->total.lines += counts.lines;
    index->total.words += counts.words;
    index->total.bytes += counts.bytes;
    if (strncmp(ptq_result_worker(result), "far", 3) == 0)
        index->by_far++;
    else
        index->by_local++;
    if (index->out != NULL)
        write_line(index->out, &counts, document->path);
}

static void note_redelivery(struct index *index, const ptq_result *result)
{
    index->again++;
    say("redelivered: document %zu (ticket %" PRIu64 ") was handed out %u times, done by %s, process %" PRId64,
        index->got + 1, ptq_result_ticket(result), ptq_result_tries(result), ptq_result_worker(result),
        ptq_result_pid(result));
    drill_saw(&index->drill, ptq_result_ticket(result));
}

static void take(struct index *index, const ptq_result *result)
{
    index->outstanding--;
    index->drill.next = ptq_result_ticket(result) + 1;
    if (ptq_result_kind(result) == PTQ_RESULT_ERROR)
        fail("document %zu (%s): %s: %s", index->got + 1, index->documents[index->got].path,
             ptq_err_name(ptq_result_code(result)), ptq_result_text(result));
    if (ptq_result_kind(result) == PTQ_RESULT_MARKER) {
        take_marker(index, result);
        return;
    }
    if (ptq_result_tries(result) > 1)
        note_redelivery(index, result);
    take_report(index, result);
    index->got++;
}

/* False: nothing came out in time. */
static bool take_next(struct index *index, int timeout_ms)
{
    ptq_result *result;
    enum ptq_err err = ptq_pool_get(index->pool, timeout_ms, &result);

    if (err == PTQ_TIMEDOUT && timeout_ms < PATIENCE_MS)
        return false;
    if (err != PTQ_OK)
        fail_pool(index->pool, err, "get");
    take(index, result);
    err = ptq_result_done(result);
    if (err != PTQ_OK)
        fail_pool(index->pool, err, "done");
    return true;
}

static void fill_up(struct index *index)
{
    while (index->submitted < index->count && index->outstanding < index->ahead)
        submit_next(index);
}

static bool worker_is_due(const struct index *index)
{
    return index->options.kill_worker && index->drill.worker.pid == 0 && index->got * 3 >= index->count;
}

static bool bridge_is_due(const struct index *index)
{
    return index->options.kill_pid > 0 && index->drill.bridge.pid == 0 && index->got * 3 >= index->count * 2;
}

/* With the gate closed, work goes on until the victim stands before it. */
static void run_drill(struct index *index)
{
    drill_close_gate(&index->drill);
    for (int tries = 0; tries < DRILL_TRIES && (worker_is_due(index) || bridge_is_due(index)); tries++) {
        fill_up(index);
        if (worker_is_due(index))
            drill_kill_worker(&index->drill, index->pool, index->got, index->count);
        if (bridge_is_due(index))
            drill_kill_process(&index->drill, index->options.kill_pid, index->got, index->count);
        if (index->outstanding > 0)
            take_next(index, 1);
    }
    drill_open_gate(&index->drill);
}

/* Documents go in as long as few are under way, so that memory stays small however long the list is. */
static void index_all(struct index *index)
{
    while (index->got < index->count || index->markers_back < MARKERS) {
        fill_up(index);
        take_next(index, PATIENCE_MS);
        if (worker_is_due(index) || bridge_is_due(index))
            run_drill(index);
    }
}

/* Everything is out: the pool says END, and every worker leaves. */
static void finish(struct index *index)
{
    ptq_result *result;
    enum ptq_err err = ptq_pool_stop(index->pool);

    if (err != PTQ_OK)
        fail_pool(index->pool, err, "stop");
    err = ptq_pool_get(index->pool, PATIENCE_MS, &result);
    if (err != PTQ_END)
        fail("after the last result came %s where PTQ_END was due", ptq_err_name(err));
    err = ptq_pool_join(index->pool, PATIENCE_MS);
    if (err != PTQ_OK)
        fail_pool(index->pool, err, "join");
}

/* -- beginning and end ------------------------------------------------------------------------------------------ */

static void read_list(struct index *index)
{
    struct stat status;
    int file = open(index->options.list, O_RDONLY | O_CLOEXEC);

    if (file < 0 || fstat(file, &status) != 0)
        fail("%s: %s", index->options.list, strerror(errno));
    close(file);
    size_t size = (size_t)status.st_size, largest = 1;
    char *names = malloc(size + 1);
    index->documents = calloc(size + 1, sizeof *index->documents);
    if (names == NULL || index->documents == NULL)
        fail("no memory for the list");
    if (size == 0 || read_file(index->options.list, names, size) != size || names[size - 1] != '\0')
        fail("%s: not a list of names, each ended by a 0 byte", index->options.list);
    for (char *name = names; name < names + size; name += strlen(name) + 1) {
        if (stat(name, &status) != 0)
            fail("%s: %s", name, strerror(errno));
        if (status.st_size > PTQ_POOL_ITEM_MAX)
            fail("%s has %lld bytes: a job has at most %u", name, (long long)status.st_size, PTQ_POOL_ITEM_MAX);
        if ((size_t)status.st_size > largest)
            largest = (size_t)status.st_size;
        index->documents[index->count++].path = name;
    }
    index->item_size = largest;
    index->buffer = malloc(largest);
    if (index->buffer == NULL)
        fail("no memory for a document");
}

static void open_pool(struct index *index, ptq_bus *bus)
{
    struct ptq_error error = {0};
    size_t result_size = index->item_size + 64;
    struct ptq_pool_options options = {
        .mode = PTQ_CREATE,
        .capacity = 64,
        .window = 64,
        .lives = 5,
        .item_size = (uint32_t)index->item_size,
        .result_size = (uint32_t)(result_size < PTQ_POOL_ITEM_MAX ? result_size : PTQ_POOL_ITEM_MAX),
        .error = &error};
    struct ptq_spawn_options spawn = {.count = index->options.local, .name = "local", .error = &error};

    if (ptq_pool_open(bus, index->options.pool, &options, &index->pool) != PTQ_OK)
        fail("cannot make pool %s: %s", index->options.pool, error.text);
    index->ahead = index->count / 8 < 8 ? 8 : index->count / 8 > 64 ? 64 : index->count / 8;
    if (spawn.count > 0 && ptq_pool_spawn(index->pool, &spawn) != PTQ_OK)
        fail("cannot start workers: %s", error.text);
    drill_init(&index->drill, bus, index->options.pool, index->options.gate);
}

static void tell(struct index *index)
{
    const struct entry *top[11];
    size_t count = vocabulary_top(&index->words, top, 10);

    say("%zu documents in input order: %" PRIu64 " lines, %" PRIu64 " words, %" PRIu64 " bytes", index->got,
        index->total.lines, index->total.words, index->total.bytes);
    say("%zu by workers beside the submitter, %zu by workers on the other bus, %zu handed out again", index->by_local,
        index->by_far, index->again);
    printf("   most frequent words:");
    for (size_t i = 0; i < count; i++)
        printf(" %.*s %" PRIu64 "%s", (int)top[i]->length, index->words.letters + top[i]->start, top[i]->count,
               i + 1 < count ? "," : "\n");
    if (index->out != NULL)
        fprintf(index->out, "%" PRIu64 " %" PRIu64 " %" PRIu64 " total\n", index->total.lines, index->total.words,
                index->total.bytes);
    if (index->out != NULL && fclose(index->out) != 0)
        fail("%s: %s", index->options.out, strerror(errno));
}

static int collect(const struct options *options)
{
    struct index index = {.options = *options};
    ptq_bus *bus = open_bus();

    read_list(&index);
    if (options->out != NULL && (index.out = fopen(options->out, "w")) == NULL)
        fail("%s: %s", options->out, strerror(errno));
    open_pool(&index, bus);
    index_all(&index);
    finish(&index);
    tell(&index);
    bool fine = drill_verdict(&index.drill, options->kill_worker, options->kill_pid > 0);
    drill_fini(&index.drill);
    ptq_pool_close(index.pool);
    ptq_bus_close(bus);
    vocabulary_fini(&index.words);
    free((void *)index.documents[0].path);
    free(index.documents);
    free(index.buffer);
    return fine ? 0 : 1;
}

static _Noreturn void usage(int code)
{
    fprintf(code == 0 ? stdout : stderr,
            "usage: index_docs [--pool NAME] [--local N] [--words printing|nonspace] [--out FILE]\n"
            "                  [--kill-worker] [--kill-pid PID] [--gate FILE] LIST\n"
            "       index_docs [--gate FILE] --work POOL[@NODE]\n");
    exit(code);
}

static struct options read_options(int argc, char **argv)
{
    static const struct option table[] = {{"pool", 1, NULL, 'p'},     {"local", 1, NULL, 'l'},
                                          {"words", 1, NULL, 'w'},    {"out", 1, NULL, 'o'},
                                          {"work", 1, NULL, 'W'},     {"kill-worker", 0, NULL, 'k'},
                                          {"kill-pid", 1, NULL, 'K'}, {"gate", 1, NULL, 'g'},
                                          {"help", 0, NULL, 'h'},
                                          {0}};
    struct options options = {.pool = "index", .words = "printing", .local = 2};

    for (int letter; (letter = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        switch (letter) {
        case 'p': options.pool = optarg; break;
        case 'l': options.local = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'w': options.words = optarg; break;
        case 'o': options.out = optarg; break;
        case 'W': options.work = optarg; break;
        case 'k': options.kill_worker = true; break;
        case 'K': options.kill_pid = atoi(optarg); break;
        case 'g': options.gate = optarg; break;
        case 'h': usage(0);
        default: usage(2);
        }
    }
    if (options.work == NULL && optind == argc - 1)
        options.list = argv[optind];
    else if (options.work == NULL || optind != argc)
        usage(2);
    if (strcmp(options.words, "printing") != 0 && strcmp(options.words, "nonspace") != 0)
        usage(2);
    return options;
}

int main(int argc, char **argv)
{
    static enum word_rule printing = WORD_PRINTING, nonspace = WORD_NOT_SPACE;

    if (ptq_task_register("words-printing", count_task, &printing) != PTQ_OK ||
        ptq_task_register("words-nonspace", count_task, &nonspace) != PTQ_OK)
        fail("cannot register the tasks");
    ptq_worker_main(argc, argv); /* returns at once, but in a process that ptq_pool_spawn started */

    struct options options = read_options(argc, argv);
    if (options.gate != NULL && setenv(DRILL_GATE, options.gate, 1) != 0) /* for the workers that are spawned */
        fail("no memory for the environment");
    return options.work != NULL ? work(options.work) : collect(&options);
}
