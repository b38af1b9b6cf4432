/* verify.c -- ptq verify: structure and conservation of queues, by counting. */
#include <stdlib.h>

#include "commands.h"
#include "common/report.h"
#include "names.h"

struct verify_options {
    bool json, quiet;
};

static const struct tool_option verify_options[] = {
    {'q', "quiet", TOOL_FLAG, offsetof(struct verify_options, quiet), NULL, "show only what is wrong"},
    {0, "json", TOOL_FLAG, offsetof(struct verify_options, json), NULL, "a JSON object a line"},
    {0}};

const struct tool_usage verify_usages[] = {
    {.name = "verify",
     .operands = "[QUEUE]...",
     .summary = "check that queues are sound and nothing was lost",
     .text = "Counts every message in the queues given, or in all of the bus, and checks that what was put is what is ready, "
             "leased, delayed, dead, acknowledged or dropped, and that the structure is sound.  Takes no message and stops "
             "nobody.  Where a queue never stands still while it counts, the sum is shown but not judged.\n\n"
             "Exits 0 if all is sound, 1 if anything was found.",
     .options = verify_options},
    {0}};

typedef unsigned long long ull;

/* One queue's findings as they come. */
struct verifying {
    const char *name;
    json_t *findings; /* NULL: to be printed */
};

static void tell_finding(const char *finding, void *context)
{
    struct verifying *verifying = context;

    if (verifying->findings != NULL)
        json_array_append_new(verifying->findings, tool_text_json(finding));
    else
        tool_error(verifying->name, "%s - take what can be taken, then: ptq rm --force %s", finding, verifying->name);
}

static void print_report(const char *name, const struct ptq_verify_report *report)
{
    printf("%s: %s: %llu put = %llu ready + %llu leased + %llu delayed + %llu dead + %llu acked + %llu dropped", name,
           report->findings > 0 ? "NOT SOUND" : report->quiet ? "sound" : "sound, in motion", (ull)report->put,
           (ull)report->ready, (ull)report->leased, (ull)report->delayed, (ull)report->dead, (ull)report->acked,
           (ull)report->dropped);
    if (report->imbalance != 0)
        printf(" (off by %lld)", (long long)report->imbalance);
    putchar('\n');
}

static int print_json(const char *name, const struct ptq_verify_report *report, json_t *findings)
{
    json_t *object = json_pack("{s:i, s:s, s:b, s:b}", "v", 1, "name", name, "sound", report->findings == 0, "quiet",
                               (int)report->quiet);
    const struct {
        const char *key;
        uint64_t number;
    } numbers[] = {{"put", report->put},         {"ready", report->ready},     {"leased", report->leased},
                   {"delayed", report->delayed}, {"dead", report->dead},       {"acked", report->acked},
                   {"dropped", report->dropped}, {"in_transit", report->in_transit}};

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        tool_set_number(object, numbers[i].key, numbers[i].number);
    json_object_set_new(object, "imbalance", json_integer(report->imbalance));
    json_object_set_new(object, "findings", findings);
    return tool_print_json(object, stdout);
}

static int verify_queue(ptq_bus *bus, const char *name, const struct verify_options *options)
{
    struct ptq_verify_report report = {0};
    struct verifying verifying = {name, NULL};
    ptq_view *view = NULL;
    int code = open_view(bus, name, &view);

    if (code != TOOL_OK)
        return code;
    if (options->json)
        verifying.findings = json_array();
    enum ptq_err err = ptq_view_verify(view, tell_finding, &verifying, &report);
    ptq_view_close(view);
    if (err != PTQ_OK && err != PTQ_ECORRUPT) {
        json_decref(verifying.findings);
        return tool_fail(err, name, "cannot verify it: %s", ptq_strerror(err));
    }
    if (options->json)
        code = print_json(name, &report, verifying.findings);
    else if (!options->quiet || err != PTQ_OK)
        print_report(name, &report);
    return err == PTQ_OK ? code : TOOL_ERROR;
}

static int verify_all(ptq_bus *bus, const struct verify_options *options)
{
    struct names names;
    int code = names_read(&names, bus);

    for (size_t i = 0; i < names.count; i++) {
        int one = verify_queue(bus, names.items[i], options);
        if (one != TOOL_OK && one != TOOL_NO_QUEUE) /* removed meanwhile */
            code = one;
    }
    names_fini(&names);
    return code;
}

int cmd_verify(int argc, char **argv)
{
    struct verify_options options = {0};
    int first = tool_read(verify_usages, argc, argv, &options);
    ptq_bus *bus = NULL;

    int code = open_bus(&bus);
    if (code == TOOL_OK && first == argc)
        code = verify_all(bus, &options);
    for (int i = first; bus != NULL && i < argc; i++) {
        int one = verify_queue(bus, argv[i], &options);
        if (one != TOOL_OK)
            code = one;
    }
    ptq_bus_close(bus);
    int finished = tool_finish();
    return code != TOOL_OK ? code : finished;
}
