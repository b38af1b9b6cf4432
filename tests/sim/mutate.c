/* mutate.c -- mutate SPEC SOURCE-ROOT TO: writes a source file with one place changed, as SPEC says:
 *
 *     # what the mutant is
 *     file src/ring/slot.c
 *     scenario asks (no such line: all of them are tried)
 *     long 1000000 (so many runs, outside of the normal suite; no such line: as many as it takes there)
 *     - text that is there once, a part of a line or more lines; spaces and the source's comments do not count
 *     + what stands there instead; no such line: nothing
 *
 * Where the text is not there, or twice, the file is written unchanged and bears a symbol that says so: the test that wants the
 * mutant caught shows it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_all(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 1 << 20);

    if (file == NULL || text == NULL || fread(text, 1, (1 << 20) - 1, file) == 0) {
        fprintf(stderr, "mutate: cannot read %s\n", path);
        exit(1);
    }
    fclose(file);
    return text;
}

/* The lines that begin with `mark`, without it. */
static char *gather(const char *spec, char mark)
{
    char *text = calloc(1, strlen(spec) + 1);

    for (const char *line = spec; line != NULL && *line != '\0'; line = strchr(line, '\n'), line += line != NULL) {
        size_t length = strcspn(line, "\n");
        if (line[0] != mark || line[1] != ' ')
            continue;
        if (text[0] != '\0')
            strcat(text, "\n");
        strncat(text, line + 2, length - 2);
    }
    return text;
}

/* Past spaces and comments. */
static const char *skip(const char *at)
{
    for (;;) {
        if (*at == ' ' || *at == '\n' || *at == '\t')
            at++;
        else if (at[0] == '/' && at[1] == '*' && strstr(at + 2, "*/") != NULL)
            at = strstr(at + 2, "*/") + 2;
        else
            return at;
    }
}

/* Where `text` ends, if it stands at `at`; else NULL. */
static const char *match(const char *at, const char *text)
{
    for (;;) {
        const char *end = at;

        at = skip(at);
        text = skip(text);
        if (*text == '\0')
            return end;
        if (*at++ != *text++)
            return NULL;
    }
}

static const char *find(const char *source, const char *text, const char **ret_end)
{
    for (; *source != '\0'; source++)
        if (*source == *skip(text) && (*ret_end = match(source, text)) != NULL)
            return source;
    return NULL;
}

int main(int argc, char **argv)
{
    char path[4096], name[512];

    if (argc != 4)
        return 2;
    char *spec = read_all(argv[1]);
    const char *file_line = strstr(spec, "file ");
    if (file_line == NULL || sscanf(file_line, "file %500s", name) != 1)
        return 1;
    snprintf(path, sizeof path, "%s/%s", argv[2], name);
    char *source = read_all(path), *before = gather(spec, '-'), *after = gather(spec, '+');
    const char *end = NULL, *again, *at = find(source, before, &end);
    FILE *to = fopen(argv[3], "w");
    if (to == NULL || before[0] == '\0')
        return 1;
    if (at == NULL || find(at + 1, before, &again) != NULL) {
        fprintf(stderr, "mutate: %s: what it changes is %s in %s\n", argv[1], at == NULL ? "not" : "more than once", name);
        fprintf(to, "%s\nextern const char sim_mutant_is_stale[];\nconst char sim_mutant_is_stale[] = \"%s\";\n", source, name);
    } else {
        fprintf(to, "%.*s%s%s", (int)(at - source), source, after, end);
    }
    return fclose(to) == 0 ? 0 : 1;
}
