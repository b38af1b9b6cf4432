/* text.c -- small conversions: escapes, base64, figures for people. */
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

size_t tool_utf8(const unsigned char *text, size_t size)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

    for (size_t length = 1; length <= 4 && length <= size; length++) {
        if ((text[0] & forms[length - 1].mask) != forms[length - 1].lead)
            continue;
        uint32_t point = text[0] & (unsigned char)~forms[length - 1].mask;
        for (size_t i = 1; i < length; i++) {
            if ((text[i] & 0xc0) != 0x80)
                return 0;
            point = point << 6 | (text[i] & 0x3f);
        }
        bool surrogate = point >= 0xd800 && point < 0xe000;
        return point >= forms[length - 1].least && point <= 0x10ffff && !surrogate ? length : 0;
    }
    return 0;
}

static uint32_t point_of(const unsigned char *at, size_t length)
{
    uint32_t point = length == 1 ? at[0] : at[0] & (0x7fu >> length);

    for (size_t i = 1; i < length; i++)
        point = point << 6 | (at[i] & 0x3f);
    return point;
}

int tool_width(const char *text, size_t size)
{
    const unsigned char *at = (const unsigned char *)text;
    int width = 0;

    for (size_t left = strnlen(text, size), length; left > 0; at += length, left -= length) {
        length = tool_utf8(at, left);
        int columns = length > 1 ? wcwidth((wchar_t)point_of(at, length)) : 1;
        width += columns < 0 ? 1 : columns;
        length = length == 0 ? 1 : length;
    }
    return width;
}

/* The bytes that the first `width` columns take, and what stands on their last letter. */
static size_t bytes_of(const char *text, int width)
{
    size_t used = 0;

    while (text[used] != '\0') {
        size_t length = tool_utf8((const unsigned char *)text + used, strlen(text + used));
        length = length == 0 ? 1 : length;
        width -= tool_width(text + used, length);
        if (width < 0)
            break;
        used += length;
    }
    return used;
}

char *tool_shorten(const char *text, int width, bool ascii, char *buffer, size_t room)
{
    const char *mark = ascii ? "~" : "\u2026", *tail = text;
    int all = tool_width(text, SIZE_MAX), left = width > 1 ? (width - 1) / 2 : 0;

    if (all <= width) {
        snprintf(buffer, room, "%s", text);
        return buffer;
    }
    while (tool_width(tail, SIZE_MAX) > width - 1 - left && *tail != '\0') {
        size_t length = tool_utf8((const unsigned char *)tail, strlen(tail));
        tail += length == 0 ? 1 : length;
    }
    snprintf(buffer, room, "%.*s%s%s", (int)bytes_of(text, left), text, width > 0 ? mark : "", tail);
    return buffer;
}

bool tool_is_utf8(const void *data, size_t size)
{
    const unsigned char *at = data;

    for (size_t length; size > 0; at += length, size -= length) {
        length = tool_utf8(at, size);
        if (length == 0)
            return false;
    }
    return true;
}

/* C0, DEL and, in UTF-8, C1: what a terminal may obey. */
static bool is_control(const unsigned char *at, size_t length)
{
    return (length == 1 && (at[0] < 0x20 || at[0] == 0x7f)) || (length == 2 && at[0] == 0xc2 && at[1] < 0xa0);
}

static size_t escape_byte(unsigned char byte, char out[5])
{
    const char *shorts = "\a\b\t\n\v\f\r";
    const char *found = byte != 0 ? strchr(shorts, byte) : NULL;

    if (found != NULL)
        return (size_t)snprintf(out, 5, "\\%c", "abtnvfr"[found - shorts]);
    return (size_t)snprintf(out, 5, "\\x%02x", byte);
}

char *tool_escape(const char *text, size_t size, char *buffer, size_t room)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t used = 0;

    while (size > 0) {
        size_t length = tool_utf8(at, size);
        char escaped[5];
        const char *piece = (const char *)at;
        size_t piece_size = length;

        if (length == 0 || is_control(at, length)) {
            piece_size = escape_byte(*at, escaped);
            piece = escaped;
            length = 1;
        }
        if (used + piece_size + 1 > room)
            break;
        memcpy(buffer + used, piece, piece_size);
        used += piece_size;
        at += length;
        size -= length;
    }
    buffer[used] = '\0';
    return buffer;
}

char *tool_hide_user(const char *text, char *buffer, size_t room)
{
    size_t used = 0;

    while (*text != '\0') {
        bool begins = strncmp(text, "://", 3) == 0;
        size_t piece = begins ? 3 : 1, host = begins ? strcspn(text + 3, "/?'\" ") : 0;
        const char *at = begins ? memrchr(text + 3, '@', host) : NULL;
        if (used + piece >= room)
            break;
        memcpy(buffer + used, text, piece);
        used += piece;
        text = at != NULL ? at + 1 : text + piece;
    }
    buffer[used] = '\0';
    return buffer;
}

char *tool_base64(const void *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = data;
    char *text = malloc((size + 2) / 3 * 4 + 1);
    char *out = text;

    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t three = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);
        *out++ = digits[three >> 18];
        *out++ = digits[three >> 12 & 63];
        *out++ = left > 1 ? digits[three >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[three & 63] : '=';
    }
    *out = '\0';
    return text;
}

char *tool_human(uint64_t number, unsigned step, char buffer[16])
{
    static const char units[] = " KMGTPE";
    double value = (double)number;
    int unit = 0;

    for (; unit < 6 && value >= (unit > 0 ? step - 0.5 : step); unit++) /* what would be written as 1000K is 1.0M */
        value /= step;
    if (unit == 0)
        snprintf(buffer, 16, "%" PRIu64, number);
    else
        snprintf(buffer, 16, value < 9.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
    return buffer;
}

char *tool_short_time(uint64_t us, char buffer[16])
{
    if (us < 1000)
        snprintf(buffer, 16, "%" PRIu64 "us", us);
    else if (us < 999500)
        snprintf(buffer, 16, us < 9950 ? "%.1fms" : "%.0fms", (double)us / 1e3);
    else if (us < 60000000)
        snprintf(buffer, 16, us < 9950000 ? "%.1fs" : "%.0fs", (double)us / 1e6);
    else
        tool_age(us / 1000, buffer);
    return buffer;
}

char *tool_age(uint64_t ms, char buffer[16])
{
    uint64_t seconds = ms / 1000;

    if (ms < 1000)
        snprintf(buffer, 16, "%" PRIu64 "ms", ms);
    else if (seconds < 60)
        snprintf(buffer, 16, "%" PRIu64 "s", seconds);
    else if (seconds < 3600)
        snprintf(buffer, 16, "%" PRIu64 "m%02" PRIu64 "s", seconds / 60, seconds % 60);
    else if (seconds < 86400)
        snprintf(buffer, 16, "%" PRIu64 "h%02" PRIu64 "m", seconds / 3600, seconds / 60 % 60);
    else
        snprintf(buffer, 16, "%" PRIu64 "d%02" PRIu64 "h", seconds / 86400 % 100000, seconds / 3600 % 24);
    return buffer;
}

char *tool_when(int64_t unix_ms, char buffer[32])
{
    time_t seconds = unix_ms / 1000;
    struct tm when;

    strcpy(buffer, "-");
    if (unix_ms != 0 && localtime_r(&seconds, &when) != NULL)
        strftime(buffer, 32, "%Y-%m-%d %H:%M:%S", &when);
    return buffer;
}
