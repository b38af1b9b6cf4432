/* config.h -- what ptqbridge was told, by whom: the command line goes before the environment, that before the files. */
#ifndef PTQBRIDGE_CONFIG_H
#define PTQBRIDGE_CONFIG_H

#include "options.h"

enum layer { LAYER_DEFAULT = 0, LAYER_FILE, LAYER_ENVIRONMENT, LAYER_FLAG, LAYERS };

struct origin {
    enum layer layer;
    const char *where; /* the file, the variable, or the option; borrowed from the configuration, or for ever */
    unsigned line;
};

/* One thing that was said.  Strings are the configuration's. */
struct entry {
    const struct setting *setting;
    const char *name;  /* of [section NAME]; else "" */
    const char *value; /* of SETTING_PAIRS "this=that"; of SETTING_NAMES the name */
    struct origin origin;
};

struct config {
    struct entry *entries; /* in the order in which they were said, the files first */
    size_t count, room;
    char **texts;          /* what was allocated */
    size_t text_count, text_room;
    unsigned errors;       /* said so far */
    bool no_memory;        /* that is one of them */
    void (*complain)(const char *line); /* each error; NULL: to standard error */
    struct values values;  /* after config_settle */
};

/* What the command line says; ends the process where it cannot be understood. */
void config_read_flags(struct config *config, const struct tool_usage *usage, int argc, char **argv, struct switches *switches);
/* Starts anew from the flags of `told`: environment, then `path` (NULL: none) with its folder.  false: errors were said. */
bool config_load(struct config *config, const struct config *told, const char *path);
void config_fini(struct config *config);

/* Who is heeded about it: the highest layer that says anything. */
enum layer config_layer(const struct config *config, const struct setting *setting);
/* The entry that a value of a list came from, or that of a key of [bridge]; NULL: a default. */
const struct entry *config_find(const struct config *config, const char *section, const char *value);

/* All values with their origins, as a file of the same meaning. */
void config_dump(const struct config *config);

/* "ptq-bridge.conf:12", "PTQ_BRIDGE_GRACE", "--grace" */
const char *origin_text(const struct origin *origin, char *buffer, size_t room);

/* ---- between config.c and file.c */
void config_error(struct config *config, const struct origin *origin, const char *format, ...) __attribute__((format(printf, 3, 4)));
void config_add(struct config *config, const struct setting *setting, const char *name, const char *value, struct origin origin);
/* A copy that lives as long as the configuration; "" where there is no memory, which is an error then. */
const char *config_keep(struct config *config, const char *text, size_t size);
/* One file, or with `folder` each *.conf in it; a folder that is not there is fine. */
void config_read_file(struct config *config, const char *path);
void config_read_folder(struct config *config, const char *path);

#endif
