/* whole.h -- a file that others read while it is written anew: they see the old one or the new one, never a part. */
#ifndef PTQ_TOOLS_WHOLE_H
#define PTQ_TOOLS_WHOLE_H

#include <stddef.h>
#include <sys/types.h>

/* Writes `text` and `end` into PATH.part, which then takes the name; on failure nothing is left of it.  0, or the errno of what failed. */
int whole_write(const char *path, const char *text, size_t size, const char *end, mode_t mode);

#endif
