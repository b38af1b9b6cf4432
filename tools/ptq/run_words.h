/* run_words.h -- a command with places for arguments: {} {.} {/} {//} {/.} {#} {2} {2/.}. */
#ifndef PTQ_TOOL_RUN_WORDS_H
#define PTQ_TOOL_RUN_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Arguments of one job, one after the other, each with a final 0.  Zero is an empty one. */
struct run_words {
    char *bytes; /* owned */
    size_t used, room;
    size_t *starts; /* owned */
    size_t count, starts_room;
};

bool run_words_add(struct run_words *words, const char *data, size_t size); /* false: no memory */
void run_words_clear(struct run_words *words);
void run_words_fini(struct run_words *words);

/* A text that grows.  Zero is an empty one. */
struct run_text {
    char *bytes; /* owned; a final 0 follows */
    size_t used, room;
    bool failed; /* no memory: what it has is not all */
};

void run_text_add(struct run_text *text, const char *data, size_t size);
void run_text_quote(struct run_text *text, const char *data, size_t size); /* as one word of a shell */
void run_text_fini(struct run_text *text);

/* The words of a command line with a space between; " {}" is added, if it may, where no place is for an argument.  NULL: no memory; free() it. */
char *run_template_make(char *const *words, size_t count, bool may_add);

/* How long its command can be without arguments. */
size_t run_template_most(const char *template);

/* Appends the command of job `seq`. */
void run_template_fill(const char *template, const struct run_words *arguments, uint64_t seq, struct run_text *text);

#endif
