/* config.c -- what ptqbridge was told: gathered from the files, the environment and the command line, and settled into values.
 *
 * Laws.
 * 1. A value is taken from the highest layer that says anything about its setting; a list whole, so that no piece of a lower one is left.
 * 2. In one layer the last word on one value holds; a list has all, in their order.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/say.h"

extern char **environ;

/* ---- memory ---- */

/* An error like others: at SIGHUP the old configuration goes on. */
static void no_memory(struct config *config)
{
    if (!config->no_memory)
        config_error(config, &(struct origin){LAYER_FILE, "configuration", 0}, "no memory for it");
    config->no_memory = true;
}

/* With room for one more; NULL: there is none, it was said, and the old one is as it was. */
static void *grow(struct config *config, void *array, size_t *room, size_t count, size_t size)
{
    size_t more = *room > 0 ? 2 * *room : 32;

    if (count < *room)
        return array;
    void *grown = realloc(array, more * size);
    if (grown == NULL)
        no_memory(config);
    else
        *room = more;
    return grown;
}

const char *config_keep(struct config *config, const char *text, size_t size)
{
    char **texts = grow(config, config->texts, &config->text_room, config->text_count, sizeof *texts);

    if (texts == NULL)
        return "";
    config->texts = texts;
    char *copy = malloc(size + 1);
    if (copy == NULL) {
        no_memory(config);
        return "";
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    config->texts[config->text_count++] = copy;
    return copy;
}

static void free_texts(struct texts *texts)
{
    free(texts->items);
    *texts = (struct texts){0};
}

void config_fini(struct config *config)
{
    for (size_t i = 0; i < config->text_count; i++)
        free(config->texts[i]);
    for (const struct setting *setting = settings; setting->form != 0; setting++) {
        if (setting->option.kind == TOOL_TEXTS)
            free_texts((struct texts *)(void *)((char *)&config->values + setting->option.field));
    }
    free(config->texts);
    free(config->entries);
    *config = (struct config){0};
}

/* ---- words ---- */

const char *origin_text(const struct origin *origin, char *buffer, size_t room)
{
    if (origin->line > 0)
        snprintf(buffer, room, "%s:%u", origin->where, origin->line);
    else
        snprintf(buffer, room, "%s%s", origin->layer == LAYER_FLAG ? "--" : "", origin->layer == LAYER_DEFAULT ? "default" : origin->where);
    return buffer;
}

void config_error(struct config *config, const struct origin *origin, const char *format, ...)
{
    char where[400], words[1200], line[1700];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    config->errors++;
    snprintf(line, sizeof line, "%s: %s", origin_text(origin, where, sizeof where), words);
    if (config->complain != NULL)
        config->complain(line);
    else
        tool_error(NULL, "%s", line);
}

/* ---- entries ---- */

static bool is_single(const struct entry *entry)
{
    return entry->setting->form == SETTING_ONE || entry->name[0] != '\0';
}

/* Said before, by a file; NULL: no. */
static struct entry *find_said(struct config *config, const struct entry *entry)
{
    for (size_t i = 0; i < config->count; i++) {
        struct entry *other = &config->entries[i];
        bool same = other->setting == entry->setting && other->origin.layer == LAYER_FILE && strcmp(other->name, entry->name) == 0;
        if (same && (is_single(entry) || strcmp(other->value, entry->value) == 0))
            return other;
    }
    return NULL;
}

static void append(struct config *config, const struct entry *entry)
{
    struct entry *entries = grow(config, config->entries, &config->room, config->count, sizeof *entries);

    if (entries == NULL)
        return;
    config->entries = entries;
    config->entries[config->count++] = *entry;
}

void config_add(struct config *config, const struct setting *setting, const char *name, const char *value, struct origin origin)
{
    struct entry entry = {setting, name, value, origin}, *said = origin.layer == LAYER_FILE ? find_said(config, &entry) : NULL;

    if (said == NULL) {
        append(config, &entry);
        return;
    }
    if (is_single(&entry) && setting->form != SETTING_NAMES && strcmp(said->origin.where, origin.where) == 0) {
        config_error(config, &origin, "'%s' was said in line %u already - keep one of them", setting->key, said->origin.line);
        return;
    }
    *said = entry; /* a later file changes what an earlier one said */
}

/* ---- the command line ---- */

struct flags {
    struct config *config;
    struct switches *switches;
};

static void note_flag(const struct tool_option *option, const char *text, void *context)
{
    struct flags *flags = context;
    const struct setting *setting = setting_of(option);

    if (setting->form != SETTING_SWITCH) {
        config_add(flags->config, setting, "", text != NULL ? text : "yes", (struct origin){LAYER_FLAG, option->name, 0});
        return;
    }
    if (!tool_store(option, text, flags->switches))
        exit(tool_misuse(NULL, "--%s cannot be '%s': it is %s", option->name, text, tool_wants(option)));
    bool quiet = strcmp(option->name, "quiet") == 0;
    if (!quiet && strcmp(option->name, "verbose") != 0)
        return;
    for (setting = settings; setting->option.name == NULL || strcmp(setting->option.name, "log-level") != 0;)
        setting++;
    config_add(flags->config, setting, "", quiet ? "warning" : "debug", (struct origin){LAYER_FLAG, option->name, 0});
}

void config_read_flags(struct config *config, const struct tool_usage *usage, int argc, char **argv, struct switches *switches)
{
    struct flags flags = {config, switches};
    int first = tool_scan(usage, argc, argv, note_flag, &flags);

    if (first < argc)
        exit(tool_misuse(NULL, "'%s' is one argument too many", argv[first]));
}

/* ---- the environment ---- */

static void add_words(struct config *config, const struct setting *setting, const char *text, struct origin origin)
{
    static const char gaps[] = ", \t\n";

    for (text += strspn(text, gaps); *text != '\0'; text += strspn(text, gaps)) {
        size_t length = strcspn(text, gaps);
        config_add(config, setting, "", config_keep(config, text, length), origin);
        text += length;
    }
}

static void read_environment(struct config *config)
{
    char name[64];

    for (const struct setting *setting = settings; setting->form != 0; setting++) {
        const char *text = setting->form != SETTING_SWITCH && setting_environment(setting, name) ? getenv(name) : NULL;
        if (text == NULL || text[0] == '\0')
            continue;
        struct origin origin = {LAYER_ENVIRONMENT, config_keep(config, name, strlen(name)), 0};
        if (setting->option.kind == TOOL_TEXTS)
            add_words(config, setting, text, origin);
        else
            config_add(config, setting, "", config_keep(config, text, strlen(text)), origin);
    }
}

/* ---- values ---- */

static bool read_switch(const char *text, bool *ret_value)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i], text) != 0)
            continue;
        *ret_value = i % 2 == 1;
        return true;
    }
    return false;
}

static const char *key_of(const struct setting *setting)
{
    return setting->key != NULL ? setting->key : setting->section;
}

static void settle_one(struct config *config, const struct entry *entry)
{
    struct values *values = &config->values;
    const struct tool_option *option = &entry->setting->option;
    bool is_flag = option->kind == TOOL_FLAG;

    bool right = is_flag ? read_switch(entry->value, (bool *)((char *)values + option->field)) : tool_store(option, entry->value, values);
    right = right && (option->kind != TOOL_TEXT || entry->value[0] != '\0');
    right = right && (option->kind != TOOL_MS || *(int *)(void *)((char *)values + option->field) > 0);
    if (!right)
        config_error(config, &entry->origin, "%s cannot be '%.200s': it is %s%s", key_of(entry->setting), entry->value,
                     option->kind == TOOL_CHOICE ? "one of " : "",
                     is_flag                    ? "yes or no"
                     : option->kind == TOOL_TEXT ? option->argument
                     : option->kind == TOOL_MS   ? "milliseconds above 0, or 5s, or 2m"
                                                 : tool_wants(option));
}

static void settle_item(struct config *config, const struct entry *entry)
{
    struct texts *texts = (struct texts *)(void *)((char *)&config->values + entry->setting->option.field);

    const char **items = grow(config, texts->items, &texts->room, texts->count, sizeof *items);

    if (items == NULL)
        return;
    texts->items = items;
    texts->items[texts->count++] = entry->value;
}

enum layer config_layer(const struct config *config, const struct setting *setting)
{
    enum layer layer = LAYER_DEFAULT;

    for (size_t i = 0; i < config->count; i++) {
        if (config->entries[i].setting == setting && config->entries[i].origin.layer > layer)
            layer = config->entries[i].origin.layer;
    }
    return layer;
}

/* A value that nobody uses is looked at all the same: it might be used tomorrow. */
static void settle(struct config *config)
{
    config->values = (struct values){.log_level = 2};
    for (int layer = LAYER_FILE; layer < LAYERS; layer++) {
        for (size_t i = 0; i < config->count; i++) {
            const struct entry *entry = &config->entries[i];
            if ((int)entry->origin.layer != layer)
                continue;
            if (entry->setting->form == SETTING_ONE)
                settle_one(config, entry);
            else if (config_layer(config, entry->setting) == entry->origin.layer)
                settle_item(config, entry);
        }
    }
}

const struct entry *config_find(const struct config *config, const char *section, const char *value)
{
    const struct entry *found = NULL;

    for (size_t i = 0; i < config->count; i++) {
        const struct entry *entry = &config->entries[i];
        if (strcmp(entry->setting->section, section) == 0 && config_layer(config, entry->setting) == entry->origin.layer &&
            strcmp(entry->setting->form == SETTING_ONE ? entry->setting->key : entry->value, value) == 0)
            found = entry;
    }
    return found;
}

/* ---- all of it ---- */

bool config_load(struct config *config, const struct config *told, const char *path)
{
    char folder[4096];

    if (path != NULL) {
        config_read_file(config, path);
        snprintf(folder, sizeof folder, "%s.d", path);
        config_read_folder(config, folder);
    }
    read_environment(config);
    for (size_t i = 0; i < told->count; i++)
        append(config, &told->entries[i]);
    settle(config);
    return config->errors == 0;
}
