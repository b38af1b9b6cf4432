/* log.h -- what ptqbridge writes to standard error: as text, as JSON, or for the journal; repeats are folded. */
#ifndef PTQBRIDGE_LOG_H
#define PTQBRIDGE_LOG_H

#include <ptq/bridge.h>

#include "options.h"

/* From now on.  Any thread. */
void log_set(enum ptq_bridge_level most, enum log_format format);
/* As ptq_bridge_options.log wants it: "component=... event=... key=value key=\"words\"".  Any thread. */
void log_line(void *context, enum ptq_bridge_level level, const char *line);
void log_say(enum ptq_bridge_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A JSON object of any length: with log-format json as it is, else behind `words`. */
void log_object(const char *words, const char *object, size_t size);
/* Tells what was folded and is old enough, or with `all` what was folded at all; answers in how many ms there is more to tell, -1:
 * never. */
int log_flush(bool all);
/* Readable when log_flush has something to do that it did not know of; -1: there is none. */
int log_wake_fd(void);

#endif
