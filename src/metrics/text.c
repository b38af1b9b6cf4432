/* text.c -- figures as text: OpenMetrics 1.0, Prometheus 0.0.4, and JSON strings.  Values of labels may be foreign bytes. */
#include "metrics/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- characters ---- */

/* The length of the well-formed character of UTF-8 that is next; 0: it is none.  Shortest forms alone, and no surrogates: what every reader of UTF-8 takes. */
static size_t utf8_next(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t size = at[0] < 0x80 ? 1 : at[0] >= 0xc2 && at[0] < 0xe0 ? 2 : (at[0] & 0xf0) == 0xe0 ? 3 : at[0] >= 0xf0 && at[0] < 0xf5 ? 4 : 0;

    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf0 && at[1] < 0x90) ||
        (at[0] == 0xf4 && at[1] > 0x8f))
        return 0;
    return size;
}

/* The next piece of `text`, as `escape` writes it. */
static void write_escaped(FILE *file, const char *text, void (*escape)(FILE *file, unsigned char c))
{
    while (*text != '\0') {
        size_t size = utf8_next(text);
        if (size == 0)
            fputs("\xef\xbf\xbd", file); /* the mark of what cannot be read */
        else if (size == 1)
            escape(file, (unsigned char)*text);
        else
            fwrite(text, 1, size, file);
        text += size > 0 ? size : 1;
    }
}

static void escape_json(FILE *file, unsigned char c)
{
    if (c == '"' || c == '\\')
        fprintf(file, "\\%c", c);
    else if (c < 0x20 || c == 0x7f)
        fprintf(file, "\\u%04x", c);
    else
        fputc(c, file);
}

void pti_json_text(FILE *file, const char *text)
{
    fputc('"', file);
    write_escaped(file, text, escape_json);
    fputc('"', file);
}

static void escape_label(FILE *file, unsigned char c)
{
    if (c == '"' || c == '\\')
        fprintf(file, "\\%c", c);
    else if (c == '\n')
        fputs("\\n", file);
    else
        fputc(c, file);
}

/* ---- families ---- */

void pti_text_init(struct pti_text *text, enum ptq_metrics_format format)
{
    *text = (struct pti_text){.format = format};
    text->file = open_memstream(&text->bytes, &text->size);
}

static bool is_open_metrics(const struct pti_text *text)
{
    return text->format == PTQ_METRICS_OPENMETRICS;
}

static const char *find_suffix(const struct pti_family *family)
{
    return family->type == PTI_COUNTER ? "_total" : family->type == PTI_INFO ? "_info" : "";
}

/* Prometheus' own form gives a counter the name of its sample, and does not know info. */
void pti_text_family(struct pti_text *text, const struct pti_family *family)
{
    static const char *const types[] = {"gauge", "counter", "histogram", "info"};
    const char *suffix = is_open_metrics(text) ? "" : find_suffix(family);
    const char *word = family->type == PTI_INFO && !is_open_metrics(text) ? "gauge" : types[family->type];

    text->family = family;
    if (text->file == NULL)
        return;
    fprintf(text->file, "# TYPE %s%s %s\n", family->name, suffix, word);
    if (family->unit[0] != '\0' && is_open_metrics(text))
        fprintf(text->file, "# UNIT %s %s\n", family->name, family->unit);
    fprintf(text->file, "# HELP %s%s ", family->name, suffix);
    write_escaped(text->file, family->help, escape_label);
    fputc('\n', text->file);
}

static void write_name(struct pti_text *text, const char *suffix, const struct pti_labels *labels)
{
    const char *before = "{";

    fprintf(text->file, "%s%s", text->family->name, suffix[0] != '\0' ? suffix : find_suffix(text->family));
    for (size_t i = 0; labels != NULL && i < PTI_LABELS_MOST && labels->list[i].name != NULL; i++) {
        fprintf(text->file, "%s%s=\"", before, labels->list[i].name);
        write_escaped(text->file, labels->list[i].value, escape_label);
        fputc('"', text->file);
        before = ",";
    }
    fputs(before[0] == ',' ? "} " : " ", text->file);
}

void pti_text_sample(struct pti_text *text, const char *suffix, const struct pti_labels *labels, double value)
{
    if (text->file == NULL)
        return;
    write_name(text, suffix, labels);
    if (isinf(value)) {
        fputs(value > 0 ? "+Inf\n" : "-Inf\n", text->file);
        return;
    }
    char digits[40];
    snprintf(digits, sizeof digits, "%.12g\n", value);
    digits[strcspn(digits, ",")] = digits[strcspn(digits, ",")] == ',' ? '.' : '\0'; /* a program may have a locale */
    fputs(digits, text->file);
}

void pti_text_seconds(struct pti_text *text, const char *suffix, const struct pti_labels *labels, int64_t ms)
{
    if (text->file == NULL)
        return;
    uint64_t size = ms < 0 ? (uint64_t)0 - (uint64_t)ms : (uint64_t)ms;
    write_name(text, suffix, labels);
    fprintf(text->file, "%s%" PRIu64 ".%03u\n", ms < 0 ? "-" : "", size / 1000, (unsigned)(size % 1000));
}

void pti_text_count(struct pti_text *text, const char *suffix, const struct pti_labels *labels, uint64_t value)
{
    if (text->file == NULL)
        return;
    write_name(text, suffix, labels);
    fprintf(text->file, "%" PRIu64 "\n", value);
}

enum ptq_err pti_text_end(struct pti_text *text, char **ret_bytes, size_t *ret_size)
{
    bool whole = text->file != NULL;

    if (whole && is_open_metrics(text))
        fputs("# EOF\n", text->file);
    if (whole)
        whole = !ferror(text->file) && fclose(text->file) == 0;
    text->file = NULL;
    if (!whole) {
        pti_text_drop(text);
        return PTQ_ENOMEM;
    }
    *ret_bytes = text->bytes;
    *ret_size = text->size;
    text->bytes = NULL;
    return PTQ_OK;
}

void pti_text_drop(struct pti_text *text)
{
    if (text->file != NULL)
        fclose(text->file);
    text->file = NULL;
    free(text->bytes);
    text->bytes = NULL;
}
