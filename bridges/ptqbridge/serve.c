/* serve.c -- ptqbridge at work: a bus, a bridge, signals. */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <ptq/bridge.h>

#include "common/listen.h"
#include "common/say.h"
#include "common/whole.h"
#include "log.h"
#include "notify.h"
#include "pages.h"
#include "signals.h"

static struct ptq_bus_options bus_options(const struct values *values, struct ptq_error *error)
{
    return (struct ptq_bus_options){
        .dir = values->dir, .node = values->node, .peers = "", .insecure = values->insecure, .keys = values->keys, .error = error};
}

static struct ptq_bridge_options bridge_options(const struct values *values, struct ptq_error *error)
{
    return (struct ptq_bridge_options){.listen = values->listen.items,
                                       .listen_count = values->listen.count,
                                       .peers = values->peers.items,
                                       .peer_count = values->peers.count,
                                       .exports = values->exports.items,
                                       .export_count = values->exports.count,
                                       .imports = values->imports.items,
                                       .import_count = values->imports.count,
                                       .denies = values->denies.items,
                                       .deny_count = values->denies.count,
                                       .renames = values->renames.items,
                                       .rename_count = values->renames.count,
                                       .moves = values->moves.items,
                                       .move_count = values->moves.count,
                                       .rules_file = values->rules,
                                       .all_runs = values->all_runs,
                                       .limits = values->limits,
                                       .grace_ms = values->grace_ms,
                                       .drain_ms = values->drain_ms,
                                       .log = log_line,
                                       .error = error};
}

/* ---- is it right? ---- */

/* Each item of a list by itself, so that its origin is known; a move with the peers, which it may speak of. */
static enum ptq_err check_item(struct config *config, const char *section, const char *item)
{
    struct ptq_error error = {0};
    struct values values = {.insecure = config->values.insecure, .keys = config->values.keys};
    struct texts one = {&item, 1, 0};
    const struct {
        const char *section;
        struct texts *texts;
    } lists[] = {{"listen", &values.listen}, {"link", &values.peers},   {"export", &values.exports}, {"import", &values.imports},
                 {"deny", &values.denies},   {"rename", &values.renames}, {"move", &values.moves}};

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        if (strcmp(lists[i].section, section) == 0)
            *lists[i].texts = one;
    }
    if (strcmp(section, "move") == 0)
        values.peers = config->values.peers;
    struct ptq_bus_options bus = bus_options(&values, &error);
    struct ptq_bridge_options options = bridge_options(&values, &error);
    const struct entry *entry = config_find(config, section, item);
    enum ptq_err answer = ptq_bridge_check(&bus, &options);
    if (answer != PTQ_OK && entry != NULL)
        config_error(config, &entry->origin, "%s", error.text);
    return answer;
}

/* Who we are, and who may do what: before the lists, some of which need it.  A bridge starts with rules that make no sense, and lets
 * nobody do anything, so they are looked at on request. */
static enum ptq_err check_access(struct config *config, bool rules)
{
    char usual[4200];
    struct ptq_error error = {0};
    struct values values = {.keys = config->values.keys, .rules = rules ? config->values.rules : NULL};

    snprintf(usual, sizeof usual, "%s/rules", values.keys != NULL ? values.keys : "");
    if (rules && values.rules == NULL && values.keys != NULL)
        values.rules = usual;
    struct ptq_bus_options bus = bus_options(&values, &error);
    struct ptq_bridge_options options = bridge_options(&values, &error);
    const struct entry *entry = config_find(config, "bridge", config->values.rules != NULL && rules ? "rules" : "keys");
    enum ptq_err answer = ptq_bridge_check(&bus, &options);

    if (answer != PTQ_OK)
        config_error(config, entry != NULL ? &entry->origin : &(struct origin){LAYER_FILE, "configuration", 0}, "%s", error.text);
    return answer;
}

static void check_list(struct config *config, const char *section, const struct texts *texts, enum ptq_err *ret_answer)
{
    for (size_t i = 0; i < texts->count; i++) {
        enum ptq_err answer = check_item(config, section, texts->items[i]);
        *ret_answer = answer != PTQ_OK ? answer : *ret_answer;
    }
}

static void check_pages(struct config *config, enum ptq_err *ret_answer)
{
    const struct values *values = &config->values;
    const struct entry *entry = config_find(config, "bridge", "http");
    char why[400];

    enum ptq_err answer = values->http != NULL ? listen_check(values->http, values->insecure, why, sizeof why) : PTQ_OK;
    if (answer == PTQ_OK)
        return;
    config_error(config, entry != NULL ? &entry->origin : &(struct origin){LAYER_FILE, "configuration", 0}, "%s", why);
    *ret_answer = answer;
}

int serve_check(struct config *config, bool rules)
{
    const struct values *values = &config->values;
    struct ptq_error error = {0};
    enum ptq_err answer = check_access(config, rules);

    if (answer != PTQ_OK)
        return tool_exit_code(answer);
    check_list(config, "listen", &values->listen, &answer);
    check_list(config, "link", &values->peers, &answer);
    if (answer == PTQ_OK) /* else each move is wrong for the same reason */
        check_list(config, "move", &values->moves, &answer);
    check_list(config, "export", &values->exports, &answer);
    check_list(config, "import", &values->imports, &answer);
    check_list(config, "deny", &values->denies, &answer);
    check_list(config, "rename", &values->renames, &answer);
    check_pages(config, &answer);
    struct ptq_bus_options bus = bus_options(values, &error);
    struct ptq_bridge_options options = bridge_options(values, &error);
    options.rules_file = NULL; /* see above */
    if (answer == PTQ_OK && (answer = ptq_bridge_check(&bus, &options)) != PTQ_OK)
        config_error(config, &(struct origin){LAYER_FILE, "configuration", 0}, "%s", error.text);
    return tool_exit_code(answer);
}

/* ---- SIGHUP ---- */

/* What is at work. */
static struct {
    ptq_bridge *bridge;
    struct config *config;      /* as it holds now; of the thread of signals while that is there */
    const struct config *told;  /* by the command line */
    const char *path;
} self;

static void log_mistake(const char *line)
{
    log_say(PTQ_BRIDGE_ERROR, "component=config event=mistake why=\"%s\"", line);
}

static bool is_fixed(const struct setting *setting)
{
    return setting->form == SETTING_ONE && (setting->marks & SETTING_FIXED) != 0;
}

/* A flag or a text: there are no others that are fixed. */
static bool is_same(const struct tool_option *option, const struct values *one, const struct values *other)
{
    const void *a = (const char *)one + option->field, *b = (const char *)other + option->field;

    if (option->kind == TOOL_FLAG)
        return *(const bool *)a == *(const bool *)b;
    const char *text = *(const char *const *)a, *other_text = *(const char *const *)b;
    return text == other_text || (text != NULL && other_text != NULL && strcmp(text, other_text) == 0);
}

static void keep_value(struct config *fresh, const struct tool_option *option, const struct values *old)
{
    void *to = (char *)&fresh->values + option->field;
    const void *from = (const char *)old + option->field;

    if (option->kind == TOOL_FLAG) {
        *(bool *)to = *(const bool *)from;
        return;
    }
    const char *text = *(const char *const *)from;
    *(const char **)to = text != NULL ? config_keep(fresh, text, strlen(text)) : NULL;
}

/* What only a restart changes stays as it is: told at each reload for as long as the two differ. */
static void keep_fixed(struct config *fresh, const struct values *old)
{
    for (const struct setting *setting = settings; setting->form != 0; setting++) {
        if (!is_fixed(setting) || is_same(&setting->option, old, &fresh->values))
            continue;
        log_say(PTQ_BRIDGE_WARNING, "component=config event=waits key=%s why=\"it is changed by a restart alone\"", setting->key);
        keep_value(fresh, &setting->option, old);
    }
}

static enum ptq_err take_over(struct config *fresh)
{
    struct ptq_error error = {0};

    keep_fixed(fresh, &self.config->values);
    if (fresh->errors > 0)
        return PTQ_ENOMEM;
    struct ptq_bridge_options options = bridge_options(&fresh->values, &error);
    enum ptq_err answer = ptq_bridge_reload(self.bridge, &options);
    if (answer != PTQ_OK) {
        log_say(PTQ_BRIDGE_ERROR, "component=config event=refused why=\"%s\" effect=\"all stays as it was\"", error.text);
        return answer;
    }
    log_set((enum ptq_bridge_level)(fresh->values.log_level + 1), (enum log_format)fresh->values.log_format);
    return PTQ_OK;
}

/* Law: whatever is wrong with the new, the old goes on. */
static void on_reload(void *context)
{
    struct config fresh = {.complain = log_mistake};
    (void)context;

    notify_reloading();
    log_say(PTQ_BRIDGE_INFO, "component=bridge event=signal name=SIGHUP");
    bool right = config_load(&fresh, self.told, self.path) && serve_check(&fresh, false) == TOOL_OK && take_over(&fresh) == PTQ_OK;
    if (right) {
        config_fini(self.config);
        *self.config = fresh;
    } else {
        log_say(PTQ_BRIDGE_ERROR, "component=config event=kept why=\"the new configuration is not right\"");
        config_fini(&fresh);
    }
    notify("READY=1\nSTATUS=%s %s", right ? "Listening on" : "The new configuration is not right; still listening on",
           ptq_bridge_url(self.bridge, 0));
}

/* ---- other signals ---- */

static void on_end(void *context, int number, unsigned times)
{
    (void)context;
    log_say(PTQ_BRIDGE_INFO, "component=bridge event=signal name=%s times=%u", number == SIGTERM ? "SIGTERM" : "SIGINT", times);
    notify("STOPPING=1\nSTATUS=%s", times == 1 ? "Draining" : "Ending");
    ptq_bridge_stop(self.bridge);
}

/* ---- SIGUSR1 ---- */

static void on_report(void *context)
{
    const char *path = self.config->values.status_file;
    char *text = NULL;
    size_t size = 0;
    int failed;
    (void)context;

    enum ptq_err answer = ptq_bridge_status(self.bridge, &text, &size);
    while (answer == PTQ_OK && size > 0 && text[size - 1] == '\n')
        size--;
    if (answer != PTQ_OK)
        log_say(PTQ_BRIDGE_ERROR, "component=bridge event=no_status why=\"%s\"", ptq_strerror(answer));
    else if (path == NULL)
        log_object("component=bridge event=status", text, size);
    else if ((failed = whole_write(path, text, size, "\n", 0600)) == 0)
        log_say(PTQ_BRIDGE_INFO, "component=bridge event=status file=\"%s\"", path);
    else
        log_say(PTQ_BRIDGE_ERROR, "component=bridge event=no_status file=\"%s\" why=\"%s\"", path, strerror(failed));
    free(text);
}

static bool is_alive(void *context)
{
    (void)context;
    return ptq_bridge_alive(self.bridge, NULL, 0) == PTQ_OK;
}

/* ---- at work ---- */

static void say_address(const struct values *values, const char *word, const char *url)
{
    if (values->log_format == LOG_TEXT)
        fprintf(stderr, "ptqbridge: %s on %s\n", word, url);
    else
        log_say(PTQ_BRIDGE_INFO, "component=bridge event=%s url=%s", word, url);
}

static void say_ready(const struct values *values, const struct pages *pages, int ready_fd)
{
    const char *url;

    notify("READY=1\nSTATUS=Listening on %s", ptq_bridge_url(self.bridge, 0));
    if (pages != NULL)
        say_address(values, "pages", pages_url(pages));
    for (size_t i = 0; (url = ptq_bridge_url(self.bridge, i)) != NULL; i++)
        say_address(values, "listening", url);
    if (ready_fd == 0)
        return;
    dprintf(ready_fd, "listening on %s\n", ptq_bridge_url(self.bridge, 0));
    close(ready_fd);
}

/* As many as are allowed: each link needs one, each open queue a few, and the usual 1,024 are fewer than --max-links. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int run_bridge(ptq_bus *bus, const struct values *values, const struct switches *switches)
{
    struct ptq_error error = {0};
    struct ptq_bridge_options options = bridge_options(values, &error);

    raise_descriptors();
    enum ptq_err answer = ptq_bridge_open(bus, &options, &self.bridge);
    struct pages *pages = NULL;
    char why[400];

    if (answer != PTQ_OK)
        return tool_fail(answer, NULL, "%s", error.text);
    if (values->http != NULL)
        answer = pages_start(self.bridge, values->http, values->insecure, why, sizeof why, &pages);
    if (answer != PTQ_OK) {
        ptq_bridge_close(self.bridge);
        return tool_fail(answer, NULL, "%s", why);
    }
    say_ready(values, pages, (int)switches->ready_fd); /* before SIGHUP may change what it tells */
    if (!signals_start(&(struct signals_events){.end = on_end, .reload = on_reload, .report = on_report, .alive = is_alive})) {
        pages_stop(pages);
        ptq_bridge_close(self.bridge);
        return tool_fail(PTQ_ENOMEM, NULL, "no descriptors or thread for signals");
    }
    answer = ptq_bridge_run(self.bridge);
    signals_stop();
    pages_stop(pages);
    ptq_bridge_close(self.bridge);
    log_flush(true);
    return answer == PTQ_OK ? TOOL_OK : tool_fail(answer, NULL, "cannot go on: %s", ptq_strerror(answer));
}

/* nng keeps the key of a certificate in memory, so a process with keys leaves no core: 1 also keeps the kernel from handing one to a
 * program (core_pattern "|..."), which 0 does not. */
static void leave_no_core(void)
{
    const struct rlimit none = {1, 1};

    if (setrlimit(RLIMIT_CORE, &none) != 0)
        log_say(PTQ_BRIDGE_WARNING, "component=bridge event=core_not_prevented why=\"%s\"", strerror(errno));
}

int serve(struct config *config, const struct switches *switches, const struct config *told, const char *path)
{
    struct ptq_error error = {0};
    const struct values *values = &config->values;
    struct ptq_bus_options options = bus_options(values, &error);
    ptq_bus *bus;

    self.config = config;
    self.told = told;
    self.path = path;
    log_set((enum ptq_bridge_level)(values->log_level + 1), (enum log_format)values->log_format);
    signals_block();
    if (values->keys != NULL)
        leave_no_core();
    enum ptq_err answer = ptq_bus_open(values->run, &options, &bus);
    if (answer != PTQ_OK)
        return tool_fail(answer, NULL, "%s", error.text);
    int code = run_bridge(bus, values, switches);
    ptq_bus_close(bus);
    return code;
}
