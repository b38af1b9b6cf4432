/* dump.c -- --dump-config: each value and where it comes from, as a file of the same meaning.
 *
 * Law: what a file cannot say, for it would be read back as something else, is a comment.
 */
#include <stdio.h>
#include <string.h>

#include "common/text.h"
#include "config.h"

/* ---- one line ---- */

/* To a file a ; behind a blank begins a comment, and blanks at both ends are nothing. */
static bool fits_file(const char *value)
{
    size_t length = strlen(value);

    if (length == 0 || strchr(" \t;", value[0]) != NULL || strchr(" \t", value[length - 1]) != NULL || !tool_is_utf8(value, length))
        return false;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)value[i] < ' ' || value[i] == 0x7f || (value[i] == ';' && strchr(" \t", value[i - 1]) != NULL))
            return false;
    }
    return true;
}

static const char *lead_of(const char *value)
{
    return fits_file(value) ? "" : "; ";
}

static void print_value(const char *value)
{
    char safe[8192];

    fputs(tool_escape(value, strlen(value), safe, sizeof safe), stdout);
}

static void print_origin(const struct entry *entry)
{
    char where[4500], safe[8192];

    origin_text(&entry->origin, where, sizeof where);
    printf(" ; %s%s\n", tool_escape(where, strlen(where), safe, sizeof safe), fits_file(entry->value) ? "" : ", a file cannot say this");
}

/* ---- one value ---- */

/* In words: a default may be a sentence, so that it is a comment. */
static void print_default(const struct setting *setting)
{
    printf("; %s = %s ; default\n", setting->key, setting->initial != NULL ? setting->initial : "(not set)");
}

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
    printf("%s%s = ", lead_of(entry->value), setting->key);
    print_value(entry->value);
    print_origin(entry);
}

/* ---- lists ---- */

static void dump_item(const struct entry *entry, size_t number)
{
    const struct setting *setting = entry->setting;
    const char *value = entry->value, *equals = strchr(value, '='), *lead = lead_of(value);
    char safe[8192];

    switch (setting->form) {
    case SETTING_NAMES:
        printf("\n%s[%s %s]", lead, setting->section, tool_escape(value, strlen(value), safe, sizeof safe));
        break;
    case SETTING_PAIRS:
        fputs(lead, stdout);
        print_value(value);
        break;
    case SETTING_NAMED:
        printf("\n%s[%s %.*s]\n%s%s = ", lead, setting->section, equals != NULL ? (int)(equals - value) : 0, value, lead, setting->key);
        print_value(equals != NULL ? equals + 1 : value);
        break;
    case SETTING_VALUES:
        snprintf(safe, sizeof safe, "%zu", number);
        printf("\n%s[%s %s]\n", lead, setting->section, entry->name[0] != '\0' ? entry->name : safe);
        /* fall through */
    default:
        printf("%s%s = ", lead, setting->key);
        print_value(value);
    }
    print_origin(entry);
}

static void dump_list(const struct config *config, const struct setting *setting)
{
    bool bare = setting->form == SETTING_PAIRS || setting->form == SETTING_LISTED;
    enum layer layer = config_layer(config, setting);
    size_t number = 0;

    for (size_t i = 0; i < config->count; i++) {
        const struct entry *entry = &config->entries[i];
        if (entry->setting != setting || entry->origin.layer != layer)
            continue;
        if (bare && number == 0)
            printf("\n[%s]\n", setting->section);
        dump_item(entry, ++number);
    }
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
}
