/* run_source.h -- where ptq pool run has its jobs from: lines of files or of standard input, or words of its command line. */
#ifndef PTQ_TOOL_RUN_SOURCE_H
#define PTQ_TOOL_RUN_SOURCE_H

#include "input.h"
#include "run_words.h"

/* What is given with ":::": groups of words, each combined with each of the others, the last one changing fastest. */
enum { RUN_GROUPS_MAX = 16 };
struct run_groups {
    char *const *first[RUN_GROUPS_MAX];
    size_t size[RUN_GROUPS_MAX];
    size_t count;
};

struct run_source {
    const char *const *files; /* borrowed */
    size_t file_count, next_file;
    int separator;
    size_t most;         /* bytes of the longest line, without its end */
    const char *columns; /* what parts the arguments of a line; NULL: a line is one argument */
    struct run_groups groups;
    uint64_t next_word;  /* of groups: how many were given */
    struct input input;
    bool open;
    uint64_t line;       /* number of the last line, of all files */
};

enum run_source_answer {
    RUN_SOURCE_LINE,    /* *ret_piece; its data is borrowed until the next call; long_one: it does not fit */
    RUN_SOURCE_LATER,   /* not yet: wait until run_source_fd is readable */
    RUN_SOURCE_END,
    RUN_SOURCE_STOPPED, /* a signal */
    RUN_SOURCE_FAILED   /* it has said why */
};

enum run_source_answer run_source_next(struct run_source *source, struct piece *ret_piece);
int run_source_fd(const struct run_source *source);
void run_source_close(struct run_source *source);

/* What is wrong with a line, and what to do about it. */
struct run_fault {
    const char *why, *advice;
};

/* The arguments of a line, or, with ":::", of a combination.  What is wrong with it, or NULL. */
const struct run_fault *run_source_words(const struct run_source *source, const struct piece *piece, struct run_words *words);

/* How many lines there will be; 0: that cannot be known. */
uint64_t run_source_total(const struct run_source *source);

#endif
