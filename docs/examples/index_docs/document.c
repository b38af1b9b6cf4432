/* document.c -- counting; nothing in here knows of ptq. */
#include "document.h"

#include <stdlib.h>
#include <string.h>

#define REPORT_HEAD 40
#define WORD_LEAST 4
#define WORD_MOST 32

static bool is_space(unsigned char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool begins_word(unsigned char c, enum word_rule rule)
{
    return rule == WORD_PRINTING ? c > ' ' && c < 0x7f : !is_space(c);
}

struct counts count_document(const void *data, size_t size, enum word_rule rule)
{
    struct counts counts = {.bytes = size, .sum = UINT64_C(0xcbf29ce484222325)};
    const unsigned char *bytes = data;
    bool inside = false;

    for (size_t i = 0; i < size; i++) {
        unsigned char c = bytes[i];
        counts.sum = (counts.sum ^ c) * UINT64_C(0x100000001b3);
        counts.lines += c == '\n';
        if (is_space(c)) {
            inside = false;
        } else if (!inside && begins_word(c, rule)) {
            inside = true;
            counts.words++;
        }
    }
    return counts;
}

/* -- words ------------------------------------------------------------------------------------------------------ */

static size_t place_of(const struct vocabulary *vocabulary, const char *word, size_t length)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)word[i]) * UINT64_C(0x100000001b3);
    for (size_t place = hash ^ hash >> 29;; place++) {
        const struct entry *entry = &vocabulary->entries[place &= vocabulary->room - 1];
        if (entry->length == 0 ||
            (entry->length == length && memcmp(vocabulary->letters + entry->start, word, length) == 0))
            return place;
    }
}

static bool grow_entries(struct vocabulary *vocabulary)
{
    struct vocabulary larger = *vocabulary;

    larger.room = vocabulary->room == 0 ? 256 : vocabulary->room * 2;
    larger.entries = calloc(larger.room, sizeof *larger.entries);
    if (larger.entries == NULL)
        return false;
    for (size_t i = 0; i < vocabulary->room; i++) {
        const struct entry *entry = &vocabulary->entries[i];
        if (entry->length > 0)
            larger.entries[place_of(&larger, larger.letters + entry->start, entry->length)] = *entry;
    }
    free(vocabulary->entries);
    *vocabulary = larger;
    return true;
}

static bool grow_letters(struct vocabulary *vocabulary, size_t more)
{
    size_t room = vocabulary->letters_room == 0 ? 4096 : vocabulary->letters_room;

    while (room < vocabulary->letters_used + more)
        room *= 2;
    if (room > UINT32_MAX)
        return false;
    char *letters = room == vocabulary->letters_room ? vocabulary->letters : realloc(vocabulary->letters, room);
    if (letters == NULL)
        return false;
    vocabulary->letters = letters;
    vocabulary->letters_room = room;
    return true;
}

bool vocabulary_add(struct vocabulary *vocabulary, const char *word, size_t length, uint64_t count)
{
    if (vocabulary->used * 2 >= vocabulary->room && !grow_entries(vocabulary))
        return false;
    struct entry *entry = &vocabulary->entries[place_of(vocabulary, word, length)];
    if (entry->length == 0) {
        if (!grow_letters(vocabulary, length))
            return false;
        *entry = (struct entry){(uint32_t)vocabulary->letters_used, (uint32_t)length, 0};
        memcpy(vocabulary->letters + vocabulary->letters_used, word, length);
        vocabulary->letters_used += length;
        vocabulary->used++;
    }
    entry->count += count;
    return true;
}

bool vocabulary_read(struct vocabulary *vocabulary, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    char word[WORD_MOST];
    size_t length = 0;

    for (size_t i = 0; i <= size; i++) {
        unsigned char letter = i < size ? bytes[i] | 0x20 : 0;
        if (letter >= 'a' && letter <= 'z') {
            if (length < WORD_MOST)
                word[length] = (char)letter;
            length++;
            continue;
        }
        if (length >= WORD_LEAST && length <= WORD_MOST && !vocabulary_add(vocabulary, word, length, 1))
            return false;
        length = 0;
    }
    return true;
}

void vocabulary_fini(struct vocabulary *vocabulary)
{
    free(vocabulary->entries);
    free(vocabulary->letters);
    *vocabulary = (struct vocabulary){0};
}

static bool comes_before(const struct vocabulary *vocabulary, const struct entry *a, const struct entry *b)
{
    if (a->count != b->count)
        return a->count > b->count;
    size_t common = a->length < b->length ? a->length : b->length;
    int order = memcmp(vocabulary->letters + a->start, vocabulary->letters + b->start, common);
    return order != 0 ? order < 0 : a->length < b->length;
}

size_t vocabulary_top(const struct vocabulary *vocabulary, const struct entry **top, size_t most)
{
    size_t count = 0;

    for (size_t i = 0; i < vocabulary->room; i++) {
        const struct entry *entry = &vocabulary->entries[i];
        size_t place = count;
        if (entry->length == 0)
            continue;
        while (place > 0 && comes_before(vocabulary, entry, top[place - 1]))
            place--;
        if (place == most)
            continue;
        count += count < most;
        memmove(&top[place + 1], &top[place], (count - place - 1) * sizeof *top);
        top[place] = entry;
    }
    return count;
}

/* -- reports ---------------------------------------------------------------------------------------------------- */

static unsigned char *write_number(unsigned char *at, uint64_t number, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        *at++ = (unsigned char)(number >> 8 * i);
    return at;
}

static uint64_t read_number(const unsigned char *at, unsigned bytes)
{
    uint64_t number = 0;

    for (unsigned i = 0; i < bytes; i++)
        number |= (uint64_t)at[i] << 8 * i;
    return number;
}

static unsigned char *write_words(unsigned char *at, const struct vocabulary *vocabulary, bool once)
{
    for (size_t i = 0; i < vocabulary->room; i++) {
        const struct entry *entry = &vocabulary->entries[i];
        if (entry->length == 0 || (entry->count == 1) != once)
            continue;
        memcpy(at, vocabulary->letters + entry->start, entry->length);
        at += entry->length;
        at[-1] |= 0x80;
        for (uint64_t left = entry->count; !once && left > 0; left >>= 7)
            *at++ = (unsigned char)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
    }
    return at;
}

void *report_write(const struct counts *counts, const struct vocabulary *vocabulary, size_t *ret_size)
{
    unsigned char *report = malloc(REPORT_HEAD + vocabulary->letters_used + vocabulary->used * 10);

    if (report == NULL)
        return NULL;
    unsigned char *at = write_number(report, counts->lines, 8);
    at = write_number(at, counts->words, 8);
    at = write_number(at, counts->bytes, 8);
    at = write_number(at, counts->sum, 8);
    unsigned char *end = write_words(report + REPORT_HEAD, vocabulary, true);
    at = write_number(at, (uint64_t)(end - report) - REPORT_HEAD, 4);
    write_number(at, 0, 4);
    end = write_words(end, vocabulary, false);
    *ret_size = (size_t)(end - report);
    return report;
}

/* One word from `at`, which moves on; its length, or 0 where there is none. */
static size_t read_word(const unsigned char **at, const unsigned char *end, char word[WORD_MOST])
{
    for (size_t length = 0; *at < end && length < WORD_MOST;) {
        unsigned char letter = *(*at)++;
        word[length++] = (char)(letter & 0x7f);
        if (letter & 0x80)
            return length;
    }
    return 0;
}

static uint64_t read_count(const unsigned char **at, const unsigned char *end)
{
    uint64_t count = 0;

    for (unsigned shift = 0; *at < end && shift < 63; shift += 7) {
        unsigned char part = *(*at)++;
        count |= (uint64_t)(part & 0x7f) << shift;
        if ((part & 0x80) == 0)
            return count;
    }
    return 0;
}

bool report_read(const void *report, size_t size, struct counts *ret_counts, struct vocabulary *vocabulary)
{
    const unsigned char *bytes = report, *at = bytes + REPORT_HEAD, *end = bytes + size;
    char word[WORD_MOST];

    if (size < REPORT_HEAD || read_number(bytes + 32, 4) > size - REPORT_HEAD)
        return false;
    *ret_counts = (struct counts){read_number(bytes, 8), read_number(bytes + 8, 8), read_number(bytes + 16, 8),
                                  read_number(bytes + 24, 8)};
    const unsigned char *repeated = at + read_number(bytes + 32, 4);
    while (at < end) {
        bool once = at < repeated;
        size_t length = read_word(&at, once ? repeated : end, word);
        uint64_t count = once ? 1 : read_count(&at, end);
        if (length == 0 || count == 0 || !vocabulary_add(vocabulary, word, length, count))
            return false;
    }
    return true;
}
