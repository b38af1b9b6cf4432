/* run_words.c -- a command with places for arguments: {} {.} {/} {//} {/.} {#} {2} {2/.}.
 *
 * What stands in a place is quoted as one word of a shell each; the rest is the shell's to read.  So the places work inside a
 * pipeline or a redirection, and no input can become a command.
 */
#include "run_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- arguments ------------------------------------------------------------------------------------------------ */

static bool grow(void *pointer, size_t *room, size_t wanted, size_t unit)
{
    void **bytes = pointer;
    size_t more = *room == 0 ? 256 : *room;

    while (more < wanted)
        more *= 2;
    if (more == *room)
        return true;
    void *moved = realloc(*bytes, more * unit);
    if (moved == NULL)
        return false;
    *bytes = moved;
    *room = more;
    return true;
}

bool run_words_add(struct run_words *words, const char *data, size_t size)
{
    if (!grow(&words->bytes, &words->room, words->used + size + 1, 1) ||
        !grow(&words->starts, &words->starts_room, words->count + 1, sizeof *words->starts))
        return false;
    words->starts[words->count++] = words->used;
    if (size > 0)
        memcpy(words->bytes + words->used, data, size);
    words->bytes[words->used + size] = '\0';
    words->used += size + 1;
    return true;
}

void run_words_clear(struct run_words *words)
{
    words->used = words->count = 0;
}

void run_words_fini(struct run_words *words)
{
    free(words->bytes);
    free(words->starts);
    *words = (struct run_words){0};
}

/* -- text ----------------------------------------------------------------------------------------------------- */

void run_text_add(struct run_text *text, const char *data, size_t size)
{
    if (!grow(&text->bytes, &text->room, text->used + size + 1, 1)) {
        text->failed = true;
        return;
    }
    if (size > 0)
        memcpy(text->bytes + text->used, data, size);
    text->used += size;
    text->bytes[text->used] = '\0';
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("_./:,+@%-", c) != NULL;
}

void run_text_quote(struct run_text *text, const char *data, size_t size)
{
    size_t plain = 0;

    while (plain < size && data[plain] != '\0' && is_plain(data[plain]))
        plain++;
    if (plain == size && size > 0) {
        run_text_add(text, data, size);
        return;
    }
    run_text_add(text, "'", 1);
    while (size > 0) {
        const char *quote = memchr(data, '\'', size);
        size_t before = quote != NULL ? (size_t)(quote - data) : size;
        run_text_add(text, data, before);
        data += before;
        size -= before;
        if (size > 0) {
            run_text_add(text, "'\\''", 4);
            data++;
            size--;
        }
    }
    run_text_add(text, "'", 1);
}

void run_text_fini(struct run_text *text)
{
    free(text->bytes);
    *text = (struct run_text){0};
}

/* -- places --------------------------------------------------------------------------------------------------- */

enum form { WHOLE, NO_EXTENSION, BASE, FOLDER, BASE_NO_EXTENSION };

struct place {
    size_t length; /* of its text, both braces included */
    bool number;   /* {#} */
    size_t nth;    /* {2}: 2; 0: all arguments */
    enum form form;
};

/* Does a place begin here? */
static bool read_place(const char *at, struct place *ret_place)
{
    static const char *const forms[] = {[WHOLE] = "}", [NO_EXTENSION] = ".}", [BASE] = "/}", [FOLDER] = "//}",
                                        [BASE_NO_EXTENSION] = "/.}"};
    struct place place = {0};
    const char *rest = at + 1;

    if (strncmp(at, "{#}", 3) == 0) {
        *ret_place = (struct place){.length = 3, .number = true};
        return true;
    }
    for (; *rest >= '0' && *rest <= '9' && place.nth < 100000; rest++)
        place.nth = 10 * place.nth + (size_t)(*rest - '0');
    if (rest != at + 1 && place.nth == 0)
        return false; /* {0} */
    for (size_t form = 0; form < sizeof forms / sizeof forms[0]; form++) {
        if (strncmp(rest, forms[form], strlen(forms[form])) != 0)
            continue;
        place.form = (enum form)form;
        place.length = (size_t)(rest - at) + strlen(forms[form]);
        *ret_place = place;
        return true;
    }
    return false;
}

static bool has_argument_place(const char *text)
{
    struct place place;

    for (; (text = strchr(text, '{')) != NULL; text++)
        if (read_place(text, &place) && !place.number)
            return true;
    return false;
}

char *run_template_make(char *const *words, size_t count, bool may_add)
{
    struct run_text text = {0};

    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            run_text_add(&text, " ", 1);
        run_text_add(&text, words[i], strlen(words[i]));
    }
    if (text.bytes != NULL && may_add && !has_argument_place(text.bytes))
        run_text_add(&text, " {}", 3);
    if (!text.failed)
        return text.bytes;
    run_text_fini(&text);
    return NULL;
}

size_t run_template_most(const char *template)
{
    size_t most = strlen(template) + 1;

    for (const char *at = template; (at = strchr(at, '{')) != NULL; at++)
        most += 20; /* digits of a number */
    return most;
}

/* "a/b.c" -> "a/b"; a dot of a folder ends nothing. */
static size_t without_extension(const char *word, size_t size)
{
    for (size_t i = size; i > 0 && word[i - 1] != '/'; i--)
        if (word[i - 1] == '.')
            return i - 1;
    return size;
}

static void add_argument(struct run_text *text, const char *word, enum form form)
{
    const char *slash = strrchr(word, '/');
    const char *base = slash != NULL ? slash + 1 : word;

    switch (form) {
    case WHOLE:
        run_text_quote(text, word, strlen(word));
        break;
    case NO_EXTENSION:
        run_text_quote(text, word, without_extension(word, strlen(word)));
        break;
    case BASE:
        run_text_quote(text, base, strlen(base));
        break;
    case FOLDER:
        if (slash == NULL)
            run_text_add(text, ".", 1);
        else
            run_text_quote(text, word, slash == word ? 1 : (size_t)(slash - word));
        break;
    case BASE_NO_EXTENSION:
        run_text_quote(text, base, without_extension(base, strlen(base)));
        break;
    }
}

static void fill_place(const struct place *place, const struct run_words *arguments, uint64_t seq, struct run_text *text)
{
    char number[24];

    if (place->number) {
        run_text_add(text, number, (size_t)snprintf(number, sizeof number, "%llu", (unsigned long long)seq));
    } else if (place->nth > 0) {
        if (place->nth <= arguments->count)
            add_argument(text, arguments->bytes + arguments->starts[place->nth - 1], place->form);
    } else {
        for (size_t i = 0; i < arguments->count; i++) {
            if (i > 0)
                run_text_add(text, " ", 1);
            add_argument(text, arguments->bytes + arguments->starts[i], place->form);
        }
    }
}

void run_template_fill(const char *template, const struct run_words *arguments, uint64_t seq, struct run_text *text)
{
    while (*template != '\0') {
        struct place place;
        size_t plain = strcspn(template, "{");
        run_text_add(text, template, plain);
        template += plain;
        if (*template == '\0')
            break;
        if (read_place(template, &place)) {
            fill_place(&place, arguments, seq, text);
            template += place.length;
        } else {
            run_text_add(text, template++, 1);
        }
    }
}
