/* text.h -- small conversions: escapes, base64, figures for people. */
#ifndef TOOL_TEXT_H
#define TOOL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes `size` bytes of text with control characters and broken UTF-8 as \n, \t, \xHH, and the backslash as it is: fit for a
 * terminal.  Cuts what does not fit `room`, always ends with 0; returns `buffer`. */
char *tool_escape(const char *text, size_t size, char *buffer, size_t room);

/* The length of the UTF-8 sequence at `text`, 1 to 4; 0 where it is not one.  Control characters count as sequences. */
size_t tool_utf8(const unsigned char *text, size_t size);

/* How many columns of a terminal the first `size` bytes of it take, or all that is there: none for a mark that stands on the letter before, two for
 * a wide one, as the locale says. */
int tool_width(const char *text, size_t size);

/* As many columns at most: what is longer has its middle left out, for a mark.  `room` of the buffer is 4 * width + 4 at least.  Returns it. */
char *tool_shorten(const char *text, int width, bool ascii, char *buffer, size_t room);

/* Whether all of it is UTF-8. */
bool tool_is_utf8(const void *data, size_t size);

/* Without what stands between :// and @ in it: somebody may have written a password there.  Returns `buffer`. */
char *tool_hide_user(const char *text, char *buffer, size_t room);

/* Base64 with padding, to be freed; NULL: no memory. */
char *tool_base64(const void *data, size_t size);

/* "4.0K", "1.2M", "17": at most 6 characters and the final 0, in steps of 1024 or 1000. */
char *tool_human(uint64_t number, unsigned step, char buffer[16]);

/* "12s", "3m05s", "2h10m", "4d03h", "850ms". */
char *tool_age(uint64_t ms, char buffer[16]);
/* The same of microseconds: "12us", "1.2ms", "3.4s", "5m07s". */
char *tool_short_time(uint64_t us, char buffer[16]);

/* "2026-11-21 01:26:00" in local time; "-" for 0. */
char *tool_when(int64_t unix_ms, char buffer[32]);

#endif
