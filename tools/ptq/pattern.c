/* pattern.c -- -F FORMAT: of a message what its reader wants, as printf, stat and git log have it. */
#include "pattern.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/say.h"

/* A place of a pattern, or an escaped byte. */
struct part {
    size_t length; /* of its text */
    char letter;   /* 0: it is a byte */
    char byte;
    const char *name; /* of a header */
    size_t name_size;
};

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c != '\0' ? strchr(digits, c >= 'A' && c <= 'F' ? c | 0x20 : c) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

/* Behind a backslash. */
static bool read_escape(const char *at, struct part *ret_part)
{
    static const char letters[] = "ntre0\\", bytes[] = "\n\t\r\033\0\\";
    const char *letter = at[0] != '\0' ? strchr(letters, at[0]) : NULL;

    if (letter != NULL) {
        *ret_part = (struct part){.length = 2, .byte = bytes[letter - letters]};
        return true;
    }
    if (at[0] != 'x' || hex_digit(at[1]) < 0 || hex_digit(at[2]) < 0)
        return false;
    *ret_part = (struct part){.length = 4, .byte = (char)(16 * hex_digit(at[1]) + hex_digit(at[2]))};
    return true;
}

/* At a % or a backslash; false: it is neither a place nor a byte. */
static bool read_part(const char *at, struct part *ret_part)
{
    if (*at == '\\')
        return read_escape(at + 1, ret_part);
    if (at[1] == '%') {
        *ret_part = (struct part){.length = 2, .byte = '%'};
        return true;
    }
    if (at[1] == 'h') {
        size_t size = at[2] == '{' ? strcspn(at + 3, "}") : 0;
        if (size == 0 || size > PTQ_HEADER_NAME_MAX || at[3 + size] != '}')
            return false;
        *ret_part = (struct part){.length = 4 + size, .letter = 'h', .name = at + 3, .name_size = size};
        return true;
    }
    *ret_part = (struct part){.length = 2, .letter = at[1]};
    return at[1] != '\0' && strchr("sQxSRpuqdtT", at[1]) != NULL;
}

void pattern_check(const char *command, const struct tool_format *format)
{
    struct part part;

    for (const char *at = format->text; at != NULL && *(at += strcspn(at, "%\\")) != '\0'; at += part.length)
        if (!read_part(at, &part))
            exit(tool_misuse(command, "--format '%s' has %.*s, which means nothing", format->text, at[1] == 'h' ? 8 : 2, at));
}

/* -- writing -------------------------------------------------------------------------------------------------- */

static bool add_number(struct output *output, uint64_t number)
{
    char text[24];

    return output_bytes(output, text, (size_t)snprintf(text, sizeof text, "%" PRIu64, number));
}

static bool add_header(struct output *output, const struct part *part, const struct shown *shown)
{
    char name[PTQ_HEADER_NAME_MAX + 1];
    const void *value;
    size_t size, at = 0;

    for (size_t i = 0; shown_header(shown, i, &at, name, &value, &size); i++)
        if (strlen(name) == part->name_size && memcmp(name, part->name, part->name_size) == 0)
            return output_bytes(output, value, size);
    return true;
}

static bool add_trace(struct output *output, const struct shown *shown)
{
    char text[PTQ_TRACE_TEXT_SIZE];
    struct ptq_trace trace;

    return !shown_trace(shown, &trace) || output_bytes(output, ptq_trace_text(&trace, text), PTQ_TRACE_TEXT_SIZE - 1);
}

static bool add_type(struct output *output, const struct shown *shown)
{
    uint32_t type = shown_type(shown);

    return type == 0 || add_number(output, type);
}

static bool add_part(struct output *output, const struct part *part, const struct shown *shown)
{
    switch (part->letter) {
    case 's':
        return output_bytes(output, shown->data, shown->size);
    case 'Q':
        return output_quoted(output, shown);
    case 'x':
        return output_hex(output, shown);
    case 'S':
        return add_number(output, shown->size);
    case 'R':
        return output_length(output, shown);
    case 'p':
        return add_number(output, shown->position);
    case 'u':
        return add_number(output, shown->sub);
    case 'q':
        return output_bytes(output, shown->queue, strlen(shown->queue));
    case 'd':
        return add_number(output, shown->deliveries);
    case 't':
        return add_type(output, shown);
    case 'T':
        return add_trace(output, shown);
    case 'h':
        return add_header(output, part, shown);
    default:
        return output_bytes(output, &part->byte, 1);
    }
}

bool pattern_write(struct output *output, const char *pattern, const struct shown *shown)
{
    struct part part = {0};

    for (;; pattern += part.length) {
        size_t plain = strcspn(pattern, "%\\");
        if (!output_bytes(output, pattern, plain))
            return false;
        pattern += plain;
        if (*pattern == '\0' || !read_part(pattern, &part))
            return true;
        if (!add_part(output, &part, shown))
            return false;
    }
}
