/* run_source.c -- where ptq pool run has its jobs from: lines of files or of standard input, or words of its command line. */
#include "run_source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/say.h"

static const struct run_fault no_memory = {"out of memory", "end other programs, or raise the limit: ulimit -v"};
static const struct run_fault zero_byte = {"it has a zero byte, and an argument cannot", "if zero bytes part the arguments, give --null"};

/* -- words of the command line -------------------------------------------------------------------------------- */

static uint64_t count_words(const struct run_groups *groups)
{
    uint64_t count = 1;

    for (size_t i = 0; i < groups->count; i++)
        if (__builtin_mul_overflow(count, groups->size[i], &count))
            return 0;
    return count;
}

static bool add_combination(const struct run_groups *groups, uint64_t number, struct run_words *words)
{
    uint64_t step = count_words(groups);

    for (size_t i = 0; i < groups->count; i++) {
        step /= groups->size[i];
        const char *word = groups->first[i][number / step];
        number %= step;
        if (!run_words_add(words, word, strlen(word)))
            return false;
    }
    return true;
}

/* -- lines ---------------------------------------------------------------------------------------------------- */

static enum run_source_answer open_next(struct run_source *source)
{
    const char *path = source->file_count > 0 ? source->files[source->next_file] : NULL;

    if (source->next_file >= (source->file_count > 0 ? source->file_count : 1))
        return RUN_SOURCE_END;
    source->next_file++;
    if (input_open(&source->input, path, source->separator, source->most) != TOOL_OK)
        return RUN_SOURCE_FAILED;
    source->open = true;
    return RUN_SOURCE_LINE;
}

enum run_source_answer run_source_next(struct run_source *source, struct piece *ret_piece)
{
    if (source->groups.count > 0) {
        *ret_piece = (struct piece){0};
        return source->next_word < count_words(&source->groups) ? (source->next_word++, RUN_SOURCE_LINE) : RUN_SOURCE_END;
    }
    for (;;) {
        enum run_source_answer opened = source->open ? RUN_SOURCE_LINE : open_next(source);
        if (opened != RUN_SOURCE_LINE)
            return opened;
        if (input_waits(&source->input))
            return RUN_SOURCE_LATER;
        enum input_answer answer = input_next(&source->input, ret_piece);
        if (answer == INPUT_SIGNALLED)
            return RUN_SOURCE_STOPPED;
        if (answer == INPUT_FAILED) {
            tool_error(input_name(source->file_count > 0 ? source->files[source->next_file - 1] : NULL),
                       "cannot read: %s - give a file that can be read, or lines on standard input", strerror(errno));
            return RUN_SOURCE_FAILED;
        }
        if (answer == INPUT_OK) {
            source->line++;
            return RUN_SOURCE_LINE;
        }
        input_close(&source->input);
        source->open = false;
    }
}

int run_source_fd(const struct run_source *source)
{
    return source->open ? source->input.fd : -1;
}

void run_source_close(struct run_source *source)
{
    if (source->open)
        input_close(&source->input);
    source->open = false;
}

/* -- arguments ------------------------------------------------------------------------------------------------ */

const struct run_fault *run_source_words(const struct run_source *source, const struct piece *piece, struct run_words *words)
{
    const char *data = piece->data;
    size_t size = piece->size, part = source->columns != NULL ? strlen(source->columns) : 0;

    if (source->groups.count > 0)
        return add_combination(&source->groups, source->next_word - 1, words) ? NULL : &no_memory;
    if (size > 0 && memchr(data, '\0', size) != NULL)
        return &zero_byte;
    while (part > 0) {
        const char *end = memmem(data, size, source->columns, part);
        if (end == NULL)
            break;
        if (!run_words_add(words, data, (size_t)(end - data)))
            return &no_memory;
        size -= (size_t)(end - data) + part;
        data = end + part;
    }
    return run_words_add(words, data, size) ? NULL : &no_memory;
}

/* -- how many ------------------------------------------------------------------------------------------------- */

/* Of what is yet to be read of a file; its place is not moved. */
static uint64_t count_lines(int fd, int separator)
{
    static char bytes[1 << 16];
    off_t at = lseek(fd, 0, SEEK_CUR);
    uint64_t count = 0;
    bool open = false;
    struct stat about;

    if (at < 0 || fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
        return 0;
    for (ssize_t size; (size = pread(fd, bytes, sizeof bytes, at)) > 0; at += size) {
        for (ssize_t i = 0; i < size; i++)
            count += bytes[i] == separator;
        open = bytes[size - 1] != separator;
    }
    return count + open;
}

uint64_t run_source_total(const struct run_source *source)
{
    uint64_t total = 0;

    if (source->groups.count > 0)
        return count_words(&source->groups);
    for (size_t i = 0; i < source->file_count || i == 0; i++) {
        const char *path = source->file_count > 0 ? source->files[i] : "-";
        int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
        uint64_t count = fd >= 0 ? count_lines(fd, source->separator) : 0;
        if (fd > STDIN_FILENO)
            close(fd);
        if (count == 0)
            return 0;
        total += count;
    }
    return total;
}
