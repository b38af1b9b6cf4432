/* log.c -- what ptqbridge writes to standard error: as text, as JSON, or for the journal; repeats are folded.
 *
 * A line that was written less than FOLD_MS ago is counted, and told once more with "repeated=120" when that time is over.  Beyond that
 * at most LINES_A_SECOND: what a hostile peer provokes must not fill the disk.
 */
#include "log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/text.h"

enum { LINES_A_SECOND = 50, FOLD_MS = 5000, FOLDS = 32, LINE_ROOM = 1024, TOLD_ROOM = LINE_ROOM + 40 /* with how often */ };

struct fold {
    char line[LINE_ROOM]; /* "": free */
    enum ptq_bridge_level level;
    int64_t since_ms;
    unsigned repeats;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static enum ptq_bridge_level most = PTQ_BRIDGE_INFO;
static enum log_format format = LOG_TEXT;
static struct fold folds[FOLDS];
static int wake_fd = -1;

void log_set(enum ptq_bridge_level new_most, enum log_format new_format)
{
    pthread_mutex_lock(&mutex);
    most = new_most;
    format = new_format;
    pthread_mutex_unlock(&mutex);
}

/* ---- forms ---- */

static void write_string(FILE *out, const char *text, size_t length)
{
    putc('"', out);
    for (size_t i = 0; i < length;) {
        size_t size = tool_utf8((const unsigned char *)text + i, length - i);
        unsigned char letter = (unsigned char)text[i];
        if (size == 0)
            fputs("\\ufffd", out);
        else if (letter < ' ' || letter == 0x7f)
            fprintf(out, "\\u%04x", letter);
        else
            fprintf(out, "%s%.*s", letter == '"' || letter == '\\' ? "\\" : "", (int)size, text + i);
        i += size > 0 ? size : 1;
    }
    putc('"', out);
}

static bool is_number(const char *text, size_t length)
{
    return length > 0 && length < 16 && strspn(text, "0123456789") >= length && (text[0] != '0' || length == 1);
}

/* Words end with a quote that nothing follows, or the next key. */
static bool ends_words(const char *text)
{
    if (text[0] != '"' || (text[1] != '\0' && text[1] != ' '))
        return false;
    const char *key = text + 1 + strspn(text + 1, " ");
    size_t length = strspn(key, "abcdefghijklmnopqrstuvwxyz_0123456789");
    return *key == '\0' || (length > 0 && key[length] == '=');
}

/* One key=value or key="words"; answers where the next begins. */
static const char *write_pair(FILE *out, const char *pair)
{
    size_t key = strcspn(pair, "= ");

    fputs(",", out);
    write_string(out, pair, key);
    fputs(":", out);
    if (pair[key] != '=') {
        fputs("true", out);
        return pair + key + strspn(pair + key, " ");
    }
    const char *value = pair + key + 1, *end = value + strcspn(value, " ");
    bool quoted = *value == '"';
    if (quoted) {
        for (end = ++value; *end != '\0' && !ends_words(end);)
            end++;
    }
    if (!quoted && is_number(value, (size_t)(end - value)))
        fprintf(out, "%.*s", (int)(end - value), value);
    else
        write_string(out, value, (size_t)(end - value));
    end += quoted && *end == '"';
    return end + strspn(end, " ");
}

static void write_json(FILE *out, const char *when, const char *level, const char *line)
{
    fprintf(out, "{\"v\":1,\"time\":\"%s\",\"level\":\"%s\"", when, level);
    while (*line != '\0')
        line = write_pair(out, line);
    fputs("}\n", out);
}

static void tell_time(char *when, size_t room)
{
    struct timespec now;
    struct tm parts;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size_t length = strftime(when, room, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(when + length, room - length, ".%03ldZ", now.tv_nsec / 1000000);
}

/* In one write, so that lines of several processes do not mix. */
static void write_line(enum ptq_bridge_level level, const char *line)
{
    static const char *const names[] = {"", "error", "warning", "info", "debug"};
    static const int priorities[] = {3, 3, 4, 6, 7};
    char when[40], safe[4 * TOLD_ROOM], text[6 * TOLD_ROOM + 256]; /* a byte becomes \\xNN, or \\u00NN in JSON */

    tell_time(when, sizeof when);
    FILE *out = fmemopen(text, sizeof text, "w");
    if (out == NULL)
        return;
    if (format == LOG_JSON)
        write_json(out, when, names[level], line);
    else if (format == LOG_JOURNAL)
        fprintf(out, "<%d>%s\n", priorities[level], tool_escape(line, strlen(line), safe, sizeof safe));
    else
        fprintf(out, "%s level=%s %s\n", when, names[level], tool_escape(line, strlen(line), safe, sizeof safe));
    long size = ftell(out);
    fclose(out);
    size_t whole = size < 0 ? 0 : (size_t)size < sizeof text ? (size_t)size : sizeof text - 1; /* the file may have counted more than went in */
    (void)!write(STDERR_FILENO, text, whole);
}

/* ---- less of it ---- */

static bool may_log(int64_t now)
{
    static int64_t second;
    static unsigned lines, left_out;
    char line[80];

    if (now / 1000 != second) {
        snprintf(line, sizeof line, "component=log event=folded lines=%u", left_out);
        if (left_out > 0)
            write_line(PTQ_BRIDGE_WARNING, line);
        second = now / 1000;
        lines = left_out = 0;
    }
    if (++lines <= LINES_A_SECOND)
        return true;
    left_out++;
    return false;
}

static void end_fold(struct fold *fold, int64_t now)
{
    char line[TOLD_ROOM];

    if (fold->repeats > 0 && may_log(now)) {
        snprintf(line, sizeof line, "%s repeated=%u", fold->line, fold->repeats);
        write_line(fold->level, line);
    }
    fold->line[0] = '\0';
    fold->repeats = 0;
}

/* Was it written lately?  Else *ret_place is where it may be noted: the oldest. */
static bool is_repeat(const char *line, int64_t now, struct fold **ret_place)
{
    struct fold *place = &folds[0];

    for (struct fold *fold = folds; fold < folds + FOLDS; fold++) {
        if (fold->line[0] != '\0' && now - fold->since_ms >= FOLD_MS)
            end_fold(fold, now);
        if (strcmp(fold->line, line) == 0) {
            if (fold->repeats++ == 0 && wake_fd >= 0)
                (void)eventfd_write(wake_fd, 1);
            return true;
        }
        bool better = place->line[0] != '\0' && (fold->line[0] == '\0' || fold->since_ms < place->since_ms);
        place = better ? fold : place;
    }
    *ret_place = place;
    return false;
}

/* Law: what is noted was written, so that no line is known by its repeats alone. */
static void write_once(enum ptq_bridge_level level, const char *line, int64_t now)
{
    struct fold *place;

    if (is_repeat(line, now, &place) || !may_log(now))
        return;
    end_fold(place, now);
    snprintf(place->line, sizeof place->line, "%s", line);
    place->level = level;
    place->since_ms = now;
    write_line(level, line);
}

void log_line(void *context, enum ptq_bridge_level level, const char *words)
{
    char line[LINE_ROOM];
    int64_t now = tool_now_ms();
    (void)context;

    tool_hide_user(words, line, sizeof line); /* of addresses */
    pthread_mutex_lock(&mutex);
    /* Of the whole: no peer provokes it, and it is said each time. */
    bool is_own = strncmp(line, "component=bridge ", 17) == 0 || strncmp(line, "component=config ", 17) == 0;
    if (level <= most && line[0] != '\0' && is_own)
        write_line(level, line);
    else if (level <= most && line[0] != '\0')
        write_once(level, line, now);
    pthread_mutex_unlock(&mutex);
}

void log_say(enum ptq_bridge_level level, const char *words, ...)
{
    char line[LINE_ROOM];
    va_list arguments;

    va_start(arguments, words);
    vsnprintf(line, sizeof line, words, arguments);
    va_end(arguments);
    log_line(NULL, level, line);
}

void log_object(const char *words, const char *object, size_t size)
{
    char when[40], *text = NULL;

    tell_time(when, sizeof when);
    pthread_mutex_lock(&mutex);
    int length = format == LOG_JSON      ? asprintf(&text, "%.*s\n", (int)size, object)
                 : format == LOG_JOURNAL ? asprintf(&text, "<6>%s json=%.*s\n", words, (int)size, object)
                                         : asprintf(&text, "%s level=info %s json=%.*s\n", when, words, (int)size, object);
    if (length > 0)
        (void)!write(STDERR_FILENO, text, (size_t)length);
    pthread_mutex_unlock(&mutex);
    free(length > 0 ? text : NULL);
}

int log_wake_fd(void)
{
    pthread_mutex_lock(&mutex);
    if (wake_fd < 0)
        wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_unlock(&mutex);
    return wake_fd;
}

int log_flush(bool all)
{
    int64_t now = tool_now_ms(), next = INT64_MAX;

    pthread_mutex_lock(&mutex);
    for (struct fold *fold = folds; fold < folds + FOLDS; fold++) {
        if (fold->repeats > 0 && (all || now - fold->since_ms >= FOLD_MS))
            end_fold(fold, now);
        if (fold->repeats > 0 && fold->since_ms + FOLD_MS < next)
            next = fold->since_ms + FOLD_MS;
    }
    pthread_mutex_unlock(&mutex);
    return next == INT64_MAX ? -1 : (int)(next > now ? next - now : 0);
}
