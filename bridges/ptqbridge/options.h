/* options.h -- the one table of what ptqbridge can be told: --help, both manual pages, the keys of the file, the names in the
 * environment and --dump-config come from it.  README.md: how a row is added.
 */
#ifndef PTQBRIDGE_OPTIONS_H
#define PTQBRIDGE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/bridge.h>

#include "common/option.h"

/* How a line of the file says it, and what it becomes. */
enum setting_form {
    SETTING_SWITCH = 1, /* it does not stand in a file: of the command line alone, stored at once */
    SETTING_ONE,        /* [section] key = value: one value; the last one said holds */
    SETTING_VALUES,     /* [section NAME] key = value adds the value to a list */
    SETTING_LISTED,     /* [section] key = value, as often as it likes: each adds its value */
    SETTING_NAMED,      /* [section NAME] key = value adds "NAME=value" */
    SETTING_NAMES,      /* [section NAME], without any key, adds NAME */
    SETTING_PAIRS       /* [section] this = that adds "this=that" */
};

enum { SETTING_FIXED = 1 /* a change waits for a restart, SIGHUP does not bring it */ };

struct setting {
    const char *section, *key;   /* NULL: of the command line alone; key NULL: SETTING_NAMES and SETTING_PAIRS */
    enum setting_form form;
    struct tool_option option;   /* as on the command line; its name NULL: it is not there.  Lists are of TOOL_TEXTS, and their field a
                                  * struct texts */
    const char *initial;         /* the default, in words for people; NULL: none */
    unsigned marks;
    const char *environment;     /* NULL: PTQ_BRIDGE_ and the option's name in capitals; "": none */
};
extern const struct setting settings[]; /* ends with form 0 */

/* A list, in its order; borrowed from the configuration. */
struct texts {
    const char **items;
    size_t count, room;
};

enum log_format { LOG_TEXT = 0, LOG_JSON, LOG_JOURNAL };

/* All that it was told, as read: what fields lie in. */
struct values {
    struct texts listen, peers, exports, imports, denies, renames, moves;
    const char *status_file, *dir, *run, *node, *keys, *rules, *http;
    bool all_runs, insecure;
    int grace_ms, drain_ms;
    struct ptq_bridge_limits limits;
    int log_level, log_format; /* enum ptq_bridge_level - 1; enum log_format */
};

/* What belongs to one start alone. */
struct switches {
    const char *config;
    bool check, dump_config, version, quiet, verbose;
    uint64_t ready_fd;
};

/* "PTQ_BRIDGE_GRACE", into `name`; false: the environment does not say it. */
bool setting_environment(const struct setting *setting, char name[64]);
/* The setting that this row of the table of options was made from. */
const struct setting *setting_of(const struct tool_option *option);

/* To be called first: makes what tool_program and the usage point to. */
const struct tool_usage *make_usage(void);
/* The sections and keys, as a part of ptq-bridge.conf(5), in the form of scdoc(5). */
void print_keys(void);
/* The environment, as a part of ptqbridge(8). */
void print_variables(void);

#endif
