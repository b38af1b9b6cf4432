/* trace.c -- the text form of a trace context: W3C's traceparent. */
#include <stdio.h>
#include <string.h>

#include <ptq/queue.h>

static int read_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 2 * count digits in lower case, as the standard wants them. */
static bool read_bytes(const char **text, uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int high = read_digit((*text)[0]), low = high < 0 ? -1 : read_digit((*text)[1]);

        if (low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
        *text += 2;
    }
    return true;
}

static bool read_dash(const char **text) { return *(*text)++ == '-'; }

static bool is_zero(const uint8_t *bytes, size_t count)
{
    uint8_t any = 0;

    for (size_t i = 0; i < count; i++)
        any |= bytes[i];
    return any == 0;
}

/* A later version may say more behind the flags; version 0 may not. */
static bool ends_well(const char *text, uint8_t version) { return *text == '\0' || (version > 0 && *text == '-'); }

enum ptq_err ptq_trace_parse(const char *text, struct ptq_trace *ret_trace)
{
    struct ptq_trace trace;

    if (!text || !ret_trace)
        return PTQ_EINVAL;
    if (!read_bytes(&text, &trace.version, 1) || !read_dash(&text) ||
        !read_bytes(&text, trace.trace_id, sizeof trace.trace_id) || !read_dash(&text) ||
        !read_bytes(&text, trace.parent_id, sizeof trace.parent_id) || !read_dash(&text) ||
        !read_bytes(&text, &trace.flags, 1) || !ends_well(text, trace.version))
        return PTQ_EINVAL;
    if (trace.version == 255 || is_zero(trace.trace_id, sizeof trace.trace_id) ||
        is_zero(trace.parent_id, sizeof trace.parent_id))
        return PTQ_EINVAL;
    *ret_trace = trace;
    return PTQ_OK;
}

static char *write_bytes(char *to, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < count; i++) {
        *to++ = digits[bytes[i] >> 4];
        *to++ = digits[bytes[i] & 15];
    }
    return to;
}

const char *ptq_trace_text(const struct ptq_trace *trace, char buffer[PTQ_TRACE_TEXT_SIZE])
{
    char *to = write_bytes(buffer, &trace->version, 1);

    *to++ = '-';
    to = write_bytes(to, trace->trace_id, sizeof trace->trace_id);
    *to++ = '-';
    to = write_bytes(to, trace->parent_id, sizeof trace->parent_id);
    *to++ = '-';
    to = write_bytes(to, &trace->flags, 1);
    *to = '\0';
    return buffer;
}
