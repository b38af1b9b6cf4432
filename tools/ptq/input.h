/* input.h -- messages from a file or standard input: whole, by line, by zero byte, or by their lengths. */
#ifndef PTQ_INPUT_H
#define PTQ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* As a separator.  INPUT_WHOLE: all of it is one message; INPUT_LENGTH: four bytes before each tell how long it is, the highest first. */
enum { INPUT_WHOLE = -1, INPUT_LENGTH = -2, INPUT_LENGTH_BYTES = 4 };

struct input {
    int fd;
    int separator; /* a byte, or one of the above */
    size_t most;   /* bytes a message may have; longer ones are measured, not kept */
    char *bytes;   /* owned */
    size_t begin, end, room;
    bool eof;
    uint64_t count; /* messages given out: the number of the last line */
};

/* What input_next gave.  `data` is borrowed until the next call; a message too long has no data.  Of INPUT_CUT `size` is what it should have,
 * 0 where even that is cut. */
struct piece {
    const void *data;
    size_t size;
    bool long_one; /* longer than `most`; size is what was seen of it */
    bool endless;  /* its end was not found in reasonable length */
    bool open;     /* no separator stands behind it: the file ends there */
};

enum input_answer { INPUT_OK, INPUT_END, INPUT_SIGNALLED, INPUT_FAILED /* errno says why */, INPUT_CUT /* it ends in the middle of one */ };

/* How lines speak of `path`. */
static inline const char *input_name(const char *path) { return path != NULL && strcmp(path, "-") != 0 ? path : "standard input"; }

/* TOOL_OK, or it has said why: `path` NULL or "-" is standard input. */
int input_open(struct input *input, const char *path, int separator, size_t most);
enum input_answer input_next(struct input *input, struct piece *ret_piece);

/* Is the next message here already, or must one wait for it? */
bool input_waits(const struct input *input);

void input_close(struct input *input);

#endif
