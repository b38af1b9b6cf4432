/* input.c -- messages from a file or standard input: whole, by line, by zero byte, or by their lengths. */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/say.h"
#include "signals.h"

enum { CHUNK = 1 << 16, MEASURE_MAX = 1 << 28 };

int input_open(struct input *input, const char *path, int separator, size_t most)
{
    *input = (struct input){.separator = separator, .most = most, .room = most + 1 + CHUNK};
    if (path != NULL && strcmp(path, "-") != 0)
        input->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (input->fd < 0) {
        tool_error(input_name(path), "cannot open: %s - give a file that can be read, or - for standard input", strerror(errno));
        return TOOL_ERROR;
    }
    input->bytes = malloc(input->room);
    if (input->bytes != NULL)
        return TOOL_OK;
    input_close(input);
    return tool_no_memory();
}

void input_close(struct input *input)
{
    if (input->fd > 0)
        close(input->fd);
    free(input->bytes);
    *input = (struct input){0};
}

/* Reads some more behind what is there.  INPUT_END: nothing more comes. */
static enum input_answer read_some(struct input *input)
{
    if (input->eof)
        return INPUT_END;
    if (input->begin > 0) {
        memmove(input->bytes, input->bytes + input->begin, input->end - input->begin);
        input->end -= input->begin;
        input->begin = 0;
    }
    for (;;) {
        if (!wait_fd(input->fd, false))
            return INPUT_SIGNALLED;
        ssize_t size = read(input->fd, input->bytes + input->end, input->room - input->end);
        if (size < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (size < 0)
            return INPUT_FAILED;
        input->eof = size == 0;
        input->end += (size_t)size;
        return input->eof ? INPUT_END : INPUT_OK;
    }
}

static const char *find_separator(const struct input *input, size_t from)
{
    if (input->separator < 0)
        return NULL;
    return memchr(input->bytes + input->begin + from, input->separator, input->end - input->begin - from);
}

/* The beginning is too long already: drops it, and measures how long it is. */
static enum input_answer measure(struct input *input, struct piece *ret_piece)
{
    size_t seen = 0;

    for (;;) {
        const char *found = find_separator(input, 0);
        seen += found != NULL ? (size_t)(found - input->bytes) - input->begin : input->end - input->begin;
        input->begin = found != NULL ? (size_t)(found - input->bytes) + 1 : input->end;
        bool endless = seen > MEASURE_MAX;
        enum input_answer answer = found != NULL || endless ? INPUT_END : read_some(input);
        if (answer == INPUT_SIGNALLED || answer == INPUT_FAILED)
            return answer;
        if (answer != INPUT_END)
            continue;
        *ret_piece = (struct piece){.size = seen, .long_one = true, .endless = endless};
        input->count++;
        return INPUT_OK;
    }
}

static enum input_answer give(struct input *input, size_t size, size_t behind, struct piece *ret_piece)
{
    *ret_piece = (struct piece){.data = input->bytes + input->begin, .size = size, .open = behind == 0};
    input->begin += size + behind;
    input->count++;
    return INPUT_OK;
}

/* The length that stands there. */
static size_t read_length(const struct input *input)
{
    const unsigned char *at = (const unsigned char *)input->bytes + input->begin;

    return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

static enum input_answer next_by_length(struct input *input, struct piece *ret_piece)
{
    for (;;) {
        size_t here = input->end - input->begin;
        size_t size = here >= INPUT_LENGTH_BYTES ? read_length(input) : 0;
        if (size > input->most) { /* nobody goes on behind it, and it may be no length at all */
            *ret_piece = (struct piece){.size = size, .long_one = true};
            input->count++;
            return INPUT_OK;
        }
        if (here >= INPUT_LENGTH_BYTES + size) {
            input->begin += INPUT_LENGTH_BYTES;
            return give(input, size, 0, ret_piece);
        }
        enum input_answer answer = read_some(input);
        if (answer == INPUT_END && here == 0)
            return INPUT_END;
        *ret_piece = (struct piece){.size = size};
        if (answer != INPUT_OK)
            return answer == INPUT_END ? INPUT_CUT : answer;
    }
}

enum input_answer input_next(struct input *input, struct piece *ret_piece)
{
    size_t searched = 0;

    if (input->separator == INPUT_LENGTH)
        return next_by_length(input, ret_piece);

    for (;;) {
        size_t here = input->end - input->begin;
        const char *found = find_separator(input, searched);
        if (found != NULL && (size_t)(found - input->bytes) - input->begin <= input->most)
            return give(input, (size_t)(found - input->bytes) - input->begin, 1, ret_piece);
        if (here > input->most)
            return measure(input, ret_piece);
        searched = here;
        enum input_answer answer = read_some(input);
        if (answer == INPUT_SIGNALLED || answer == INPUT_FAILED)
            return answer;
        if (answer == INPUT_OK)
            continue;
        if (input->end == input->begin && (input->separator != INPUT_WHOLE || input->count > 0))
            return INPUT_END;
        return give(input, input->end - input->begin, 0, ret_piece);
    }
}

bool input_waits(const struct input *input)
{
    struct pollfd fd = {.fd = input->fd, .events = POLLIN};
    size_t here = input->end - input->begin;

    if (find_separator(input, 0) != NULL || input->eof)
        return false;
    if (input->separator == INPUT_LENGTH && here >= INPUT_LENGTH_BYTES && here - INPUT_LENGTH_BYTES >= read_length(input))
        return false;
    return poll(&fd, 1, 0) == 0;
}
