/* dump.c -- --dump-config: each value and where it comes from, as a file of the same meaning. */
#include <stdio.h>
#include <string.h>

#include "common/text.h"
#include "config.h"

static void print_value(const struct setting *setting, const char *value)
{
    char safe[8192];

    if ((setting->marks & SETTING_SECRET) != 0)
        fputs("(not shown)", stdout);
    else
        fputs(tool_escape(value, strlen(value), safe, sizeof safe), stdout);
}

static void print_origin(const struct origin *origin)
{
    char where[4500], safe[8192];

    origin_text(origin, where, sizeof where);
    printf(" ; %s\n", tool_escape(where, strlen(where), safe, sizeof safe));
}

/* In words: a default may be a sentence, so that it is a comment. */
static void print_default(const struct setting *setting)
{
    printf("; %s = %s ; default\n", setting->key, setting->initial != NULL ? setting->initial : "(not set)");
}

/* ---- [bridge] ---- */

static const struct entry *last_said(const struct config *config, const struct setting *setting)
{
    const struct entry *last = NULL;

    for (size_t i = 0; i < config->count; i++) {
        const struct entry *entry = &config->entries[i];
        if (entry->setting == setting && (last == NULL || entry->origin.layer >= last->origin.layer))
            last = entry;
    }
    return last;
}

static void dump_one(const struct config *config, const struct setting *setting)
{
    const struct entry *entry = last_said(config, setting);

    if (entry == NULL) {
        print_default(setting);
        return;
    }
    printf("%s = ", setting->key);
    print_value(setting, entry->value);
    print_origin(&entry->origin);
}

/* ---- lists ---- */

/* What is said about the same name, below. */
static void dump_about(const struct config *config, const char *section, const char *name)
{
    for (size_t i = 0; i < config->count; i++) {
        const struct entry *entry = &config->entries[i];
        if (entry->setting->form != SETTING_ABOUT || strcmp(entry->setting->section, section) != 0 || strcmp(entry->name, name) != 0)
            continue;
        printf("%s = ", entry->setting->key);
        print_value(entry->setting, entry->value);
        print_origin(&entry->origin);
    }
}

static void dump_item(const struct config *config, const struct entry *entry, size_t number)
{
    const struct setting *setting = entry->setting;
    const char *value = entry->value, *equals = strchr(value, '=');
    char safe[8192], name[64];

    switch (setting->form) {
    case SETTING_NAMES:
        printf("\n[%s %s]", setting->section, tool_escape(value, strlen(value), safe, sizeof safe));
        print_origin(&entry->origin);
        return;
    case SETTING_PAIRS:
        print_value(setting, value);
        print_origin(&entry->origin);
        return;
    case SETTING_NAMED:
        printf("\n[%s %.*s]\n%s = ", setting->section, equals != NULL ? (int)(equals - value) : 0, value, setting->key);
        print_value(setting, equals != NULL ? equals + 1 : value);
        break;
    default:
        snprintf(name, sizeof name, "%zu", number);
        if (setting->form == SETTING_VALUES)
            printf("\n[%s %s]\n", setting->section, entry->name[0] != '\0' ? entry->name : name);
        printf("%s = ", setting->key);
        print_value(setting, value);
    }
    print_origin(&entry->origin);
    dump_about(config, setting->section, entry->name);
}

static void dump_list(const struct config *config, const struct setting *setting)
{
    bool bare = setting->form == SETTING_PAIRS || setting->form == SETTING_LISTED;
    size_t number = 0;

    for (size_t i = 0; i < config->count; i++) {
        const struct entry *entry = &config->entries[i], *last = last_said(config, setting);
        if (entry->setting != setting || entry->origin.layer != last->origin.layer)
            continue;
        if (bare && number == 0)
            printf("\n[%s]\n", setting->section);
        dump_item(config, entry, ++number);
    }
}

static bool has_list(const char *section)
{
    for (const struct setting *setting = settings; setting->form != 0; setting++) {
        if (setting->section != NULL && strcmp(setting->section, section) == 0 && setting->option.kind == TOOL_TEXTS)
            return true;
    }
    return false;
}

void config_dump(const struct config *config)
{
    const char *section = "";

    for (const struct setting *setting = settings; setting->form != 0; setting++) {
        if (setting->form != SETTING_ONE)
            continue;
        if (strcmp(setting->section, section) != 0)
            printf("%s[%s]\n", section[0] != '\0' ? "\n" : "", setting->section);
        section = setting->section;
        dump_one(config, setting);
    }
    for (const struct setting *setting = settings; setting->form != 0; setting++) {
        if (setting->section != NULL && setting->option.kind == TOOL_TEXTS)
            dump_list(config, setting);
    }
    for (size_t i = 0; i < config->count; i++) {
        const struct entry *entry = &config->entries[i];
        if (entry->setting->form != SETTING_ABOUT || has_list(entry->setting->section))
            continue;
        printf("\n[%s %s]\n%s = ", entry->setting->section, entry->name, entry->setting->key);
        print_value(entry->setting, entry->value);
        print_origin(&entry->origin);
    }
}
