/* document.h -- what is counted in one document, and how it travels from a worker to the collector.
 *
 * A word is what wc(1) takes for one.  In the C locale older ones begin a word only at a printable character, newer ones at
 * anything that is not white space: whoever compares must choose the same.
 *
 *   report   0  lines:64 | words:64 | bytes:64 | sum:64      little-endian
 *           32  size of the first list:32 | zero:32
 *           40  words that occur once: letters, the last one with its high bit set
 *               words that occur more often: the same, then how often, 7 bits a byte, low ones first
 */
#ifndef DOCUMENT_H
#define DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum word_rule { WORD_PRINTING, WORD_NOT_SPACE };

struct counts {
    uint64_t lines, words, bytes;
    uint64_t sum; /* FNV-1a of the bytes: the right document came back */
};

/* Counts as wc does. */
struct counts count_document(const void *data, size_t size, enum word_rule rule);

/* Lower-case words and how often each was met.  Only runs of 4 to 32 ASCII letters: shorter ones say little. */
struct vocabulary {
    struct entry *entries;
    size_t room, used;
    char *letters; /* all words, one after the other */
    size_t letters_room, letters_used;
};
struct entry {
    uint32_t start, length; /* in letters; length 0: a free entry */
    uint64_t count;
};

bool vocabulary_add(struct vocabulary *vocabulary, const char *word, size_t length, uint64_t count); /* false: no memory */
bool vocabulary_read(struct vocabulary *vocabulary, const void *data, size_t size);                  /* a document */
void vocabulary_fini(struct vocabulary *vocabulary);

/* The `most` most frequent, then by alphabet; returns how many there are. */
size_t vocabulary_top(const struct vocabulary *vocabulary, const struct entry **top, size_t most);

/* The report about a document, in memory that the caller frees; NULL: no memory.  Never longer than document + 64. */
void *report_write(const struct counts *counts, const struct vocabulary *vocabulary, size_t *ret_size);

/* Reads a report and adds its words; false: it is none, or there is no memory. */
bool report_read(const void *report, size_t size, struct counts *ret_counts, struct vocabulary *vocabulary);

#endif
