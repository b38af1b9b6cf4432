/* routes.c -- which queues of a bus others see, which of others are seen here, and under which names. */
#include "bus/routes.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "bus/bus.h"

static const char *const words[] = {[PTI_RULE_EXPORT] = "export", [PTI_RULE_IMPORT] = "import", [PTI_RULE_DENY] = "deny",
                                    [PTI_RULE_RENAME] = "rename"};

/* ---- names with a star ---- */

static unsigned count_stars(const char *text)
{
    unsigned stars = 0;

    for (; *text != '\0'; text++)
        stars += *text == '*';
    return stars;
}

/* With a letter in place of the star, is it a name? */
static bool is_pattern(const char *text)
{
    char name[PTQ_NAME_MAX + 1];
    size_t length = strlen(text);

    if (length > PTQ_NAME_MAX || count_stars(text) > 1)
        return false;
    memcpy(name, text, length + 1);
    if (strchr(name, '*') != NULL)
        *strchr(name, '*') = 'x';
    return pti_name_is_valid(name);
}

/* What the star of `from` stands for in `name` takes the place of the star of `to`. */
static bool map_name(const char *from, const char *to, const char *name, char mapped[PTQ_NAME_MAX + 1])
{
    const char *star = strchr(from, '*'), *star_to = strchr(to, '*');
    size_t length = strlen(name), before = star != NULL ? (size_t)(star - from) : 0;

    if (star == NULL) {
        if (strcmp(from, name) != 0)
            return false;
        strcpy(mapped, to);
        return true;
    }
    size_t behind = strlen(star + 1);
    if (length < before + behind || strncmp(name, from, before) != 0 || strcmp(name + length - behind, star + 1) != 0)
        return false;
    int size = snprintf(mapped, PTQ_NAME_MAX + 1, "%.*s%.*s%s", (int)(star_to - to), to, (int)(length - before - behind),
                        name + before, star_to + 1);
    return size <= PTQ_NAME_MAX && pti_name_is_valid(mapped);
}

/* The first rename that fits says it; else the name stays. */
static void name_there(const struct pti_routes *routes, const char *here, char there[PTQ_NAME_MAX + 1])
{
    for (size_t i = 0; i < routes->count; i++) {
        const struct pti_rule *rule = &routes->rules[i];
        if (rule->kind == PTI_RULE_RENAME && map_name(rule->here, rule->there, here, there))
            return;
    }
    snprintf(there, PTQ_NAME_MAX + 1, "%s", here);
}

/* Is `here` what `there` leads to, by a rename or as it is?  Only if it leads back. */
static bool leads_back(const struct pti_routes *routes, const char *here, const char *there)
{
    char back[PTQ_NAME_MAX + 1];

    name_there(routes, here, back);
    return strcmp(back, there) == 0;
}

static bool name_here(const struct pti_routes *routes, const char *there, char here[PTQ_NAME_MAX + 1])
{
    for (size_t i = 0; i < routes->count; i++) {
        const struct pti_rule *rule = &routes->rules[i];
        if (rule->kind == PTI_RULE_RENAME && map_name(rule->there, rule->here, there, here) && leads_back(routes, here, there))
            return true;
    }
    snprintf(here, PTQ_NAME_MAX + 1, "%s", there);
    return leads_back(routes, here, there);
}

/* ---- globs ---- */

/* Denied is denied; where nothing is allowed by name, everything is. */
static bool passes(const struct pti_routes *routes, enum pti_rule_kind kind, const char *here)
{
    bool any = false, allowed = false;

    for (size_t i = 0; i < routes->count; i++) {
        const struct pti_rule *rule = &routes->rules[i];
        bool fits = rule->kind != PTI_RULE_RENAME && fnmatch(rule->here, here, 0) == 0;
        if (rule->kind == PTI_RULE_DENY && fits)
            return false;
        any = any || rule->kind == kind;
        allowed = allowed || (rule->kind == kind && fits);
    }
    return allowed || !any;
}

bool pti_routes_export(const struct pti_routes *routes, const char *here, char ret_there[PTQ_NAME_MAX + 1])
{
    char here_again[PTQ_NAME_MAX + 1];

    if (!passes(routes, PTI_RULE_EXPORT, here))
        return false;
    name_there(routes, here, ret_there);
    return name_here(routes, ret_there, here_again) && strcmp(here, here_again) == 0;
}

bool pti_routes_serve(const struct pti_routes *routes, const char *there, char ret_here[PTQ_NAME_MAX + 1])
{
    return name_here(routes, there, ret_here) && passes(routes, PTI_RULE_EXPORT, ret_here);
}

bool pti_routes_import(const struct pti_routes *routes, const char *there, char ret_here[PTQ_NAME_MAX + 1])
{
    return name_here(routes, there, ret_here) && passes(routes, PTI_RULE_IMPORT, ret_here);
}

bool pti_routes_seek(const struct pti_routes *routes, const char *here, char ret_there[PTQ_NAME_MAX + 1])
{
    char here_again[PTQ_NAME_MAX + 1];

    if (!passes(routes, PTI_RULE_IMPORT, here))
        return false;
    name_there(routes, here, ret_there);
    return name_here(routes, ret_there, here_again) && strcmp(here, here_again) == 0;
}

bool pti_routes_renames(const struct pti_routes *routes)
{
    for (size_t i = 0; i < routes->count; i++) {
        if (routes->rules[i].kind == PTI_RULE_RENAME)
            return true;
    }
    return false;
}

bool pti_routes_carry(const struct pti_routes *routes, const char *here, char ret_there[PTQ_NAME_MAX + 1])
{
    for (size_t i = 0; i < routes->count; i++) {
        if (routes->rules[i].kind == PTI_RULE_DENY && fnmatch(routes->rules[i].here, here, 0) == 0)
            return false;
    }
    name_there(routes, here, ret_there);
    return true;
}

/* ---- making ---- */

bool pti_routes_is_glob(const char *text)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-*?[]!";

    return text[0] != '\0' && strlen(text) <= PTQ_NAME_MAX && text[strspn(text, letters)] == '\0';
}

static enum ptq_err read_rename(const char *text, struct pti_rule *rule, struct ptq_error *error)
{
    const char *equals = strchr(text, '=');
    size_t length = equals != NULL ? (size_t)(equals - text) : 0;

    if (equals == NULL || length > PTQ_NAME_MAX || strlen(equals + 1) > PTQ_NAME_MAX)
        return pti_error(error, PTQ_EINVAL, "rename '%.200s' is not of the form HERE=THERE, as in 'tasks=east.tasks' or '*=east.*'",
                         text);
    memcpy(rule->here, text, length);
    strcpy(rule->there, equals + 1);
    if (!is_pattern(rule->here) || !is_pattern(rule->there) || count_stars(rule->here) != count_stars(rule->there))
        return pti_error(error, PTQ_EINVAL, "rename '%.200s': both sides are names of queues, with one * in both or in none", text);
    return PTQ_OK;
}

enum ptq_err pti_routes_add(struct pti_routes *routes, enum pti_rule_kind kind, const char *text, struct ptq_error *error)
{
    struct pti_rule rule = {.kind = kind};
    enum ptq_err answer = PTQ_OK;

    if (kind == PTI_RULE_RENAME)
        answer = read_rename(text, &rule, error);
    else if (!pti_routes_is_glob(text))
        answer = pti_error(error, PTQ_EINVAL, "%s '%.200s' is no glob of names of queues, as 'tasks' or 'jobs-*'", words[kind], text);
    else
        strcpy(rule.here, text);
    if (answer != PTQ_OK)
        return answer;
    struct pti_rule *grown = realloc(routes->rules, (routes->count + 1) * sizeof *grown);
    if (grown == NULL)
        return pti_error(error, PTQ_ENOMEM, "no memory for routes");
    routes->rules = grown;
    routes->rules[routes->count++] = rule;
    return PTQ_OK;
}

void pti_routes_free(struct pti_routes *routes)
{
    free(routes->rules);
    *routes = (struct pti_routes){0};
}

/* ---- as lines ---- */

void pti_routes_write(const struct pti_routes *routes, FILE *file)
{
    for (size_t i = 0; i < routes->count; i++) {
        const struct pti_rule *rule = &routes->rules[i];
        if (rule->kind == PTI_RULE_RENAME)
            fprintf(file, "%s %s=%s\n", words[rule->kind], rule->here, rule->there);
        else if (rule->kind != PTI_RULE_EXPORT)
            fprintf(file, "%s %s\n", words[rule->kind], rule->here);
    }
}

enum ptq_err pti_routes_read(struct pti_routes *routes, const char *text)
{
    char word[8], rest[2 * PTQ_NAME_MAX + 8], format[32];
    enum ptq_err answer = PTQ_OK;

    snprintf(format, sizeof format, "%%7s %%%zus", sizeof rest - 1);
    for (const char *line = text; line != NULL && *line != '\0' && answer != PTQ_ENOMEM; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (sscanf(line, format, word, rest) != 2)
            continue;
        for (int kind = PTI_RULE_IMPORT; kind <= PTI_RULE_RENAME; kind++) {
            if (strcmp(word, words[kind]) == 0)
                answer = pti_routes_add(routes, (enum pti_rule_kind)kind, rest, NULL);
        }
    }
    return answer == PTQ_ENOMEM ? answer : PTQ_OK;
}
