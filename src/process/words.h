/* words.h -- the command line of a supervised child: words "key=value" behind its flag, written and read. */
#ifndef PTQ_PROCESS_WORDS_H
#define PTQ_PROCESS_WORDS_H

#include <stdbool.h>
#include <stdint.h>

/* A command line that is being written: words that are owned, and NULL.  Begin with {0}. */
#define PTI_WORDS_MAX 23 /* the supervisor adds its own */
struct pti_words {
    char *word[PTI_WORDS_MAX + 1];
    unsigned count;
    bool failed; /* one did not fit, or there was no memory */
};
void pti_words_add(struct pti_words *words, const char *key, const char *value);        /* NULL: nothing */
void pti_words_add_number(struct pti_words *words, const char *key, uint64_t value);    /* 0: nothing */
void pti_words_fini(struct pti_words *words);

/* The value of `key`, which ends in "="; NULL: it is not there. */
const char *pti_words_find(char **words, const char *key);
/* As a number; -1, and 0: it is not there. */
int pti_words_number(char **words, const char *key);
uint64_t pti_words_count(char **words, const char *key);

#endif
