/* main.c -- ptqtop: what is going on on a bus, on a screen, or as a table or data when there is no screen. */
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/option.h"
#include "common/say.h"
#include "openmetrics.h"
#include "top.h"

struct top_options top_options = {.delay = 2, .output = -1};

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
    {'w', "workers", TOOL_FLAG, FIELD(workers), NULL, "the workers of pools on this host instead of queues"},
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
    .text = "Shows the queues and pools of a bus: what they hold, how fast messages go in and out, who is attached, what is "
            "remarkable.  It only reads: it takes no message, holds no lock, and the watched processes do not notice.\n\n"
            "FLAGS: F full, D has dead letters, R recovered something after a death, X a dead process is not yet recovered, "
            "E ended, S stalled: it holds messages and none left since the last frame.  A rate that is not known yet is "
            "shown as -.\n\nWith --workers, or the key w: each worker of the pools on this host, what it does and for how long, its task and "
            "ticket, jobs done and failed, and a lane of the last frames: # worked, = half of the time, - little, . had nothing to do, "
            "o waited because the window was full.  Press ? on the screen for its keys.",
    .examples = "ptqtop\nptqtop --workers\nptqtop --once -o json\nptqtop -b -d 10 -o csv > day.csv\n"
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
            return tool_fail(err, NULL, "cannot list queues: %s", ptq_strerror(err));
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
    if (top_options.no_colour)
        setenv("NO_COLOR", "1", 1);
    if (openmetrics_wanted())
        return openmetrics_run();
    int code = watcher_open(&watcher);
    if (code == TOOL_OK)
        code = run(watcher);
    watcher_close(watcher);
    return code;
}
