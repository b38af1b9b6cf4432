/* pattern.h -- -F FORMAT: of a message what its reader wants, as printf, stat and git log have it. */
#ifndef PTQ_PATTERN_H
#define PTQ_PATTERN_H

#include "output.h"

/* Ends the process, as misuse of `command`, where there is a FORMAT that cannot be understood. */
void pattern_check(const char *command, const struct tool_format *format);

/* Appends the message; the pattern is one that was checked.  false: no memory. */
bool pattern_write(struct output *output, const char *pattern, const struct shown *shown);

#endif
