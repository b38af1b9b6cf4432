/* main.c -- ptqtop: what is going on on a bus, on a screen, or as a table or data when there is no screen. */
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "columns.h"
#include "common/option.h"
#include "common/say.h"
#include "openmetrics.h"
#include "watch.h"

struct top_options top_options = {.delay = 2, .output = -1, .view = -1};

#define FIELD(name) offsetof(struct top_options, name)
static const struct tool_option options[] = {
    {'d', "delay", TOOL_SECONDS, FIELD(delay), "SECS", "seconds between two frames (default 2)"},
    {'n', "iterations", TOOL_COUNT, FIELD(count), "N", "leave after N frames"},
    {'b', "batch", TOOL_FLAG, FIELD(batch), NULL, "print frames instead of a screen; so it does by itself without a terminal"},
    {0, "once", TOOL_FLAG, FIELD(once), NULL, "print one frame and leave; rates are then unknown"},
    {'o', "output", TOOL_CHOICE, FIELD(output), "table|json|ndjson|csv|openmetrics",
     "what to print: a table, an object a frame, an object a queue and line, comma-separated values, or once what Prometheus reads; means --batch"},
    {'s', "sort", TOOL_CHOICE, FIELD(sort), COLUMN_WORDS, "sort by this column: largest first, names from A"},
    {'r', "reverse", TOOL_FLAG, FIELD(reverse), NULL, "the other way round"},
    {0, "columns", TOOL_TEXT, FIELD(columns), "LIST", "only these columns, in this order: words of --sort with commas between"},
    {'v', "view", TOOL_CHOICE, FIELD(view), VIEW_WORDS, "what to show; queues"},
    {'w', "workers", TOOL_FLAG, FIELD(workers), NULL, "of the view of pools the workers alone"},
    {'f', "filter", TOOL_TEXT, FIELD(filter), "TEXT", "only queues whose name has TEXT in it, or matches it as a glob"},
    {0, "serve", TOOL_TEXT, FIELD(serve), "ADDRESS",
     "tell /metrics and /healthz here until ended: 127.0.0.1:9420 (port 0: any), [::1]:9420 or unix:/path; nobody is asked who he is, so beyond the "
     "loopback only with --insecure"},
    {0, "insecure", TOOL_FLAG, FIELD(insecure), NULL, "with --serve: also beyond the loopback; so does PTQ_INSECURE=1"},
    {0, "out", TOOL_TEXT, FIELD(out), "FILE",
     "write OpenMetrics into FILE every --delay seconds, whole and by another name first; if it ends in .prom, what node_exporter's textfile collector reads"},
    {0, "max-queues", TOOL_COUNT, FIELD(max_queues), "N", "OpenMetrics: tell of so many queues at most (default 10000)"},
    {0, "run", TOOL_TEXT, FIELD(run), "NAME", "which bus (default $PTQ_RUN, else the bus called default)"},
    {0, "dir", TOOL_TEXT, FIELD(dir), "DIR", "where buses live (default $PTQ_DIR, else /dev/shm/ptq-UID)"},
    {0, "peer", TOOL_TEXT, FIELD(peer), "URL", "the bus of another host, through the ptqbridge that serves it there; URL, or NODE=URL"},
    {0, "allow-write", TOOL_FLAG, FIELD(allow_write), NULL, "on the screen: keys that purge and pause a queue, each after a question"},
    {0, "ascii", TOOL_FLAG, FIELD(ascii), NULL, "draw with plain characters"},
    {'C', "no-color", TOOL_FLAG, FIELD(no_colour), NULL, "no colours; so does NO_COLOR"},
    {'V', "version", TOOL_FLAG, FIELD(version), NULL, "show the version"},
    {0}};
#undef FIELD

const struct tool_program tool_program = {"ptqtop",
                                          options,
                                          &top_options,
                                          .exits = 1u << TOOL_OK | 1u << TOOL_ERROR | 1u << TOOL_USAGE | 1u << TOOL_PERMISSION,
                                          .heeds = TOOL_HEEDS_PTQTOP};

static const struct tool_usage usage = {
    .name = "ptqtop",
    .operands = "",
    .summary = "watch the queues and pools of a bus",
    .text = "Shows the queues and pools of a bus: what they hold, how fast messages go in and out, how long they wait, who is attached, what is "
            "remarkable.  It only reads: it takes no message, holds no lock, and the watched processes do not notice.\n\n"
            "FLAGS: F full, D has dead letters, R recovered something after a death, X a dead process is not yet recovered, "
            "E ended, P paused, S stalled: it holds messages and none left since the last frame, B a producer waits for room, L a lease has run "
            "out, N its link is down, V its memory is of another version.  A rate that is not known yet is shown as -.\n\n"
            "Views: queues; processes; links to other hosts; pools with a lane a worker, a letter a frame: # worked, = half of the time, "
            "- little, . had nothing to do, o waited because the window was full; events.  Press ? on the screen for its keys.",
    .examples = "ptqtop\nptqtop --view pools\nptqtop --once -o json\nptqtop -b -d 10 -o csv > day.csv\nptqtop --peer tcp://127.0.0.1:7400\n"
                "ptqtop --serve 127.0.0.1:9420\nptqtop -d 15 --out /var/lib/prometheus/node-exporter/ptq.prom",
    .options = options};

static void wait_until(const struct timespec *due)
{
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, due, NULL) == EINTR)
        continue;
}

static void add_seconds(struct timespec *time, double seconds)
{
    time->tv_sec += (time_t)seconds;
    time->tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
    if (time->tv_nsec >= 1000000000) {
        time->tv_sec++;
        time->tv_nsec -= 1000000000;
    }
}

static int run_batch(struct watcher *watcher, uint64_t count)
{
    enum top_output output = top_options.output < 0 ? OUTPUT_TABLE : (enum top_output)top_options.output;
    struct timespec due;
    int code = TOOL_OK;

    clock_gettime(CLOCK_MONOTONIC, &due);
    for (uint64_t i = 0; i < count && code == TOOL_OK; i++) {
        const struct frame *frame;
        wait_until(&due);
        clock_gettime(CLOCK_MONOTONIC, &due); /* a late frame does not hurry the next */
        add_seconds(&due, top_options.delay);
        enum ptq_err err = watcher_look(watcher, &frame);
        if (err != PTQ_OK)
            return tool_fail(err, top_options.peer, "cannot list queues: %s", watcher_why(watcher, err));
        code = top_render(frame, output, i > 0, stdout);
        int finished = tool_finish();
        code = code != TOOL_OK ? code : finished;
    }
    return code;
}

static int run(struct watcher *watcher)
{
    uint64_t count = top_options.once ? 1 : top_options.count > 0 ? top_options.count : UINT64_MAX;
    bool batch = top_options.once || top_options.batch || top_options.output >= 0;
    int code = -1;

    if (!batch && screen_possible())
        code = screen_run(watcher);
    return code >= 0 ? code : run_batch(watcher, count);
}

static void check_options(void)
{
    struct picked picked;
    const char *wrong;

    if (top_options.view < 0)
        top_options.view = top_options.workers ? VIEW_POOLS : VIEW_QUEUES;
    if (top_options.no_colour)
        setenv("NO_COLOR", "1", 1);
    if (top_options.columns != NULL && !columns_read(top_options.columns, &picked, &wrong))
        exit(tool_misuse(NULL, "--columns: '%.*s' is no column, or stands there twice: use %s, with commas between", (int)strcspn(wrong, ","), wrong,
                         COLUMN_WORDS));
}

int main(int argc, char **argv)
{
    const struct tool_usage *const usages[] = {&usage, NULL};
    struct watcher *watcher = NULL;

    tool_begin();
    setlocale(LC_CTYPE, "");
    if (argc == 3 && strcmp(argv[1], "--print") == 0) /* for the page and completion, at build time */
        return tool_print(argv[2], usages);
    tool_read_operands(&usage, argc, argv, &top_options, 0, 0);
    if (top_options.version) {
        printf("ptqtop %s (library %s)\n", PTQ_VERSION, ptq_version());
        return tool_finish();
    }
    check_options();
    if (openmetrics_wanted())
        return openmetrics_run();
    int code = watcher_open(&watcher);
    if (code == TOOL_OK)
        code = run(watcher);
    if (watcher != NULL && watcher_is_busy(watcher)) { /* nobody waits for a host that is silent, who wants to leave */
        fflush(NULL);
        _exit(code);
    }
    watcher_close(watcher);
    return code;
}
