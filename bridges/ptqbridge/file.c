/* file.c -- the files of the configuration: taken apart by inih, judged by the table of options.
 *
 * inih (55) cuts names of sections and keys at 50 bytes, tells no lines, and says nothing of a section without keys.  So the lines are
 * given to it one by one, and what it would lose is noted on the way.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/text.h"
#include "config.h"

enum { LINE_MOST = 4096, FILE_MOST = 1 << 20, FILES_MOST = 256, ERRORS_MOST = 20, NAME_MOST = 256 };

struct reading {
    struct config *config;
    const char *at, *end;    /* what of the file was not read yet */
    const char *path;
    unsigned line;
    const char *words;       /* this line */
    size_t length;
    char section[NAME_MOST], name[NAME_MOST]; /* of [section NAME]; section "": none yet */
    bool known;              /* the section is, or was told not to be */
    unsigned keys, section_line;
    bool line_told;          /* an error of this line was */
};

__attribute__((format(printf, 2, 3))) static void complain(struct reading *reading, const char *format, ...)
{
    char words[1000];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    if (!reading->line_told)
        config_error(reading->config, &(struct origin){LAYER_FILE, reading->path, reading->line}, "%s", words);
    reading->line_told = true;
}

/* ---- the nearest known word ---- */

static size_t smaller(size_t one, size_t other)
{
    return one < other ? one : other;
}

/* How many letters are to be put in, taken out or changed. */
static size_t distance(const char *one, const char *other)
{
    size_t row[NAME_MOST + 1], length = strlen(other);

    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 0; one[i] != '\0'; i++) {
        size_t corner = row[0]++;
        for (size_t j = 0; j < length; j++) {
            size_t change = corner + (one[i] != other[j]);
            corner = row[j + 1];
            row[j + 1] = smaller(smaller(row[j], row[j + 1]) + 1, change);
        }
    }
    return row[length];
}

static bool is_of(const struct setting *setting, const char *section)
{
    return setting->section != NULL && strcmp(setting->section, section) == 0;
}

static const char *nearest_section(const char *section)
{
    const char *nearest = NULL;

    for (const struct setting *setting = settings; setting->form != 0; setting++) {
        if (setting->section != NULL && (nearest == NULL || distance(section, setting->section) < distance(section, nearest)))
            nearest = setting->section;
    }
    return nearest;
}

static const char *nearest_key(const char *section, const char *key)
{
    const char *nearest = NULL;

    for (const struct setting *setting = settings; setting->form != 0; setting++) {
        if (is_of(setting, section) && setting->key != NULL && (nearest == NULL || distance(key, setting->key) < distance(key, nearest)))
            nearest = setting->key;
    }
    return nearest;
}

static const struct setting *find_key(const char *section, const char *key)
{
    for (const struct setting *setting = settings; setting->form != 0; setting++) {
        if (is_of(setting, section) && (setting->key != NULL ? strcmp(setting->key, key) == 0 : setting->form == SETTING_PAIRS))
            return setting;
    }
    return NULL;
}

/* ---- sections ---- */

static bool wants_name(const struct setting *setting)
{
    return setting->form == SETTING_VALUES || setting->form == SETTING_NAMES || setting->form == SETTING_NAMED;
}

static void end_section(struct reading *reading)
{
    if (reading->known && reading->name[0] != '\0' && reading->keys == 0 && find_key(reading->section, "") == NULL &&
        nearest_key(reading->section, "") != NULL)
        config_error(reading->config, &(struct origin){LAYER_FILE, reading->path, reading->section_line},
                     "[%s %s] says nothing - give it %s = ..., or take it out", reading->section, reading->name,
                     nearest_key(reading->section, ""));
}

static void judge_section(struct reading *reading)
{
    const struct setting *setting = settings;
    bool named = reading->name[0] != '\0';

    while (setting->form != 0 && !is_of(setting, reading->section))
        setting++;
    if (setting->form == 0) {
        complain(reading, "there is no section [%s] - did you mean [%s]?", reading->section, nearest_section(reading->section));
        return;
    }
    if (!named && wants_name(setting))
        complain(reading, "[%s] needs a name - write [%s NAME]", reading->section, reading->section);
    else if (named && !wants_name(setting))
        complain(reading, "[%s] has no name - take out '%s'", reading->section, reading->name);
    else
        reading->known = true;
    if (reading->known && setting->form == SETTING_NAMES)
        config_add(reading->config, setting, "", config_keep(reading->config, reading->name, strlen(reading->name)),
                   (struct origin){LAYER_FILE, reading->path, reading->line});
}

/* "[section NAME]".  The last ] before a comment ends it: a glob may have others. */
static void read_section(struct reading *reading)
{
    char inside[NAME_MOST];
    size_t length = reading->length;

    for (size_t i = 1; i < length; i++) {
        bool begins = reading->words[i] == ';' || reading->words[i] == '#';
        if (begins && (reading->words[i - 1] == ' ' || reading->words[i - 1] == '\t'))
            length = i;
    }
    const char *end = memrchr(reading->words, ']', length);
    end_section(reading);
    reading->known = false;
    reading->keys = 0;
    reading->section_line = reading->line;
    reading->section[0] = reading->name[0] = '\0';
    if (end == NULL) {
        complain(reading, "']' is missing behind a section");
        return;
    }
    strcpy(reading->section, "?"); /* its keys are not complained of */
    size_t blank = strspn(end + 1, " \t\r");
    if (end + 1 + blank < reading->words + length) {
        complain(reading, "something stands behind a section: '%.60s'", end + 1 + blank);
        return;
    }
    if (end - reading->words > NAME_MOST) {
        complain(reading, "the name of a section is longer than %d bytes", NAME_MOST - 1);
        return;
    }
    snprintf(inside, sizeof inside, "%.*s", (int)(end - reading->words - 1), reading->words + 1);
    if (sscanf(inside, "%255s %255[^\n]", reading->section, reading->name) < 1) {
        complain(reading, "a section needs a name, as [bridge]");
        return;
    }
    for (size_t at = strlen(reading->name); at > 0 && (reading->name[at - 1] == ' ' || reading->name[at - 1] == '\t');)
        reading->name[--at] = '\0';
    judge_section(reading);
}

/* ---- keys ---- */

/* As it stands in the file: inih keeps 50 bytes of it. */
static bool whole_key(const struct reading *reading, char key[NAME_MOST])
{
    size_t length = strcspn(reading->words, "=:");

    while (length > 0 && (reading->words[length - 1] == ' ' || reading->words[length - 1] == '\t'))
        length--;
    return snprintf(key, NAME_MOST, "%.*s", (int)length, reading->words) < NAME_MOST;
}

static void add_value(struct reading *reading, const struct setting *setting, const char *key, const char *value)
{
    char text[NAME_MOST + LINE_MOST];
    const char *left = setting->form == SETTING_PAIRS ? key : setting->form == SETTING_NAMED ? reading->name : NULL;
    struct config *config = reading->config;

    snprintf(text, sizeof text, "%s%s%s", left != NULL ? left : "", left != NULL ? "=" : "", value);
    config_add(config, setting, config_keep(config, reading->name, strlen(reading->name)), config_keep(config, text, strlen(text)),
               (struct origin){LAYER_FILE, reading->path, reading->line});
}

static int on_pair(void *context, const char *section, const char *short_key, const char *value)
{
    struct reading *reading = context;
    char key[NAME_MOST];
    (void)section;
    (void)short_key;

    reading->keys++;
    if (reading->section[0] == '\0') {
        complain(reading, "a key stands before the first [section] - begin with [bridge]");
        return 1;
    }
    if (!reading->known)
        return 1; /* the section was told */
    if (!whole_key(reading, key)) {
        complain(reading, "a key is longer than %d bytes", NAME_MOST - 1);
        return 1;
    }
    const struct setting *setting = find_key(reading->section, key);
    if (setting != NULL && value[0] == '\0')
        complain(reading, "'%s' has no value - give it one, or take out the line", key);
    else if (setting != NULL)
        add_value(reading, setting, key, value);
    else if (nearest_key(reading->section, key) != NULL)
        complain(reading, "unknown key '%.60s' in [%s] - did you mean '%s'?", key, reading->section, nearest_key(reading->section, key));
    else
        complain(reading, "[%s NAME] has no keys - take out '%.60s'", reading->section, key);
    return 1;
}

/* ---- lines ---- */

/* False: it was complained of. */
static bool judge_line(struct reading *reading, const char *words, size_t length, int room)
{
    if (length > LINE_MOST || length + 3 > (size_t)room) {
        complain(reading, "the line is longer than %d bytes", LINE_MOST);
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char letter = (unsigned char)words[i];
        bool ends = letter == '\r' && i + 1 == length;
        if ((letter < ' ' || letter == 0x7f) && letter != '\t' && !ends) {
            complain(reading, "there is a control character (0x%02x) - is it a text file?", letter);
            return false;
        }
    }
    if (!tool_is_utf8(words, length)) {
        complain(reading, "the line is not UTF-8 - is it a text file?");
        return false;
    }
    if (length == 0 || strchr(";#[\r", words[0]) != NULL || memchr(words, '=', length) != NULL || memchr(words, ':', length) != NULL)
        return true;
    complain(reading, "'%.*s' is neither [section] nor key = value", (int)smaller(strcspn(words, "\r\n"), smaller(length, 60)), words);
    return false;
}

/* For inih: the next line, as fgets.  White space at its beginning goes: to inih it would be more of the line before. */
static char *next_line(char *line, int room, void *context)
{
    struct reading *reading = context;

    if (reading->at == reading->end || reading->config->errors >= ERRORS_MOST)
        return NULL;
    const char *words = reading->at, *newline = memchr(words, '\n', (size_t)(reading->end - words));
    size_t length = (size_t)((newline != NULL ? newline : reading->end) - words);
    reading->at += length + (newline != NULL);
    reading->line++;
    reading->line_told = false;
    for (; length > 0 && (*words == ' ' || *words == '\t'); length--)
        words++;
    if (!judge_line(reading, words, length, room))
        length = 0;
    memcpy(line, words, length);
    memcpy(line + length, "\n", 2);
    reading->words = line;
    reading->length = length;
    if (line[0] == '[')
        read_section(reading);
    return line;
}

/* ---- files ---- */

/* All of it, to be freed; NULL: it was complained of. */
static char *read_all(struct config *config, const char *path, size_t *ret_size)
{
    const struct origin origin = {LAYER_FILE, path, 0};
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 || fstat(fd, &status) != 0) {
        config_error(config, &origin, "cannot read it: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    char *text = NULL;
    ssize_t part = 1;
    size_t size = 0;
    if (!S_ISREG(status.st_mode))
        config_error(config, &origin, "it is %s, not a file", S_ISDIR(status.st_mode) ? "a directory" : "something else");
    else if (status.st_size > FILE_MOST)
        config_error(config, &origin, "it has %lld bytes; a configuration has %d at most", (long long)status.st_size, FILE_MOST);
    else if ((text = malloc(FILE_MOST + 1)) == NULL)
        config_error(config, &origin, "no memory to read it");
    while (text != NULL && part > 0 && size < FILE_MOST) {
        part = read(fd, text + size, FILE_MOST - size);
        size += part > 0 ? (size_t)part : 0;
    }
    if (text != NULL && part < 0) {
        config_error(config, &origin, "cannot read it: %s", strerror(errno));
        free(text);
        text = NULL;
    }
    close(fd);
    *ret_size = size;
    return text;
}

void config_read_file(struct config *config, const char *path)
{
    struct reading reading = {.config = config};
    size_t size;

    reading.path = config_keep(config, path, strlen(path));
    char *text = read_all(config, reading.path, &size);
    if (text == NULL)
        return;
    size_t mark = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    reading.at = text + mark;
    reading.end = text + size;
    ini_use_stack = false;
    ini_allow_realloc = false;
    ini_max_line = ini_initial_alloc = LINE_MOST + 4;
    int first_bad = ini_parse_stream(next_line, &reading, on_pair, &reading);
    end_section(&reading);
    if (first_bad == -2) /* inih's word for it */
        config_error(config, &(struct origin){LAYER_FILE, reading.path, 0}, "no memory to read it");
    else if (first_bad != 0 && config->errors == 0)
        config_error(config, &(struct origin){LAYER_FILE, reading.path, first_bad > 0 ? (unsigned)first_bad : 0}, "it cannot be understood");
    if (config->errors >= ERRORS_MOST)
        config_error(config, &(struct origin){LAYER_FILE, reading.path, 0}, "there is more; these first");
    free(text);
}

static int is_conf(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return entry->d_name[0] != '.' && length > 5 && strcmp(entry->d_name + length - 5, ".conf") == 0;
}

static int by_bytes(const struct dirent **one, const struct dirent **other)
{
    return strcmp((*one)->d_name, (*other)->d_name);
}

void config_read_folder(struct config *config, const char *path)
{
    const struct origin origin = {LAYER_FILE, config_keep(config, path, strlen(path)), 0};
    struct dirent **entries;
    char file[4096 + 256];
    int count = scandir(path, &entries, is_conf, by_bytes);

    if (count < 0) {
        if (errno != ENOENT)
            config_error(config, &origin, "cannot read this folder: %s", strerror(errno));
        return;
    }
    if (count > FILES_MOST)
        config_error(config, &origin, "it has %d files; %d at most", count, FILES_MOST);
    for (int i = 0; i < count; i++) {
        snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        if (count <= FILES_MOST && config->errors < ERRORS_MOST)
            config_read_file(config, file);
        free(entries[i]);
    }
    free(entries);
}
