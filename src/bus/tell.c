/* tell.c -- PTQ_DEBUG: what goes in and out, a line each on standard error.  The one place where the library prints, because it was asked. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bus/bus.h"

#define LINE_MAX_BYTES 512

void pti_bus_tell(const char *room, const char *name, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list arguments;
    int head = snprintf(line, sizeof line, "ptq[%d] %s %s: ", (int)getpid(), room, name);
    va_start(arguments, format);
    (void)vsnprintf(line + head, sizeof line - (size_t)head - 1, format, arguments);
    va_end(arguments);
    size_t size = strlen(line);
    line[size++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, size); /* at once: lines of several processes do not mix */
    (void)ignored;
}
