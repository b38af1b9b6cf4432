/* words.c -- the command line of a supervised child. */
#include "process/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pti_words_add(struct pti_words *words, const char *key, const char *value)
{
    char *word = NULL;
    if (value == NULL)
        return;
    if (words->count == PTI_WORDS_MAX || asprintf(&word, "%s%s", key, value) < 0)
        words->failed = true;
    else
        words->word[words->count++] = word;
}

void pti_words_add_number(struct pti_words *words, const char *key, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    pti_words_add(words, key, value != 0 ? text : NULL);
}

void pti_words_fini(struct pti_words *words)
{
    for (unsigned i = 0; i < words->count; i++)
        free(words->word[i]);
    *words = (struct pti_words){.count = 0};
}

const char *pti_words_find(char **words, const char *key)
{
    size_t size = strlen(key);
    for (; *words != NULL; words++)
        if (strncmp(*words, key, size) == 0)
            return *words + size;
    return NULL;
}

int pti_words_number(char **words, const char *key)
{
    const char *value = pti_words_find(words, key);
    return value != NULL ? atoi(value) : -1;
}

uint64_t pti_words_count(char **words, const char *key)
{
    const char *value = pti_words_find(words, key);
    return value != NULL ? strtoull(value, NULL, 10) : 0;
}
