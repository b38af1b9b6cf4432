/* serve.h -- ptqbridge at work: a bus, a bridge, signals. */
#ifndef PTQBRIDGE_SERVE_H
#define PTQBRIDGE_SERVE_H

#include "config.h"

/* Would the library take it?  What it would not is complained of, with its origin; the exit code.  `rules`: also the file of rules. */
int serve_check(struct config *config, bool rules);
/* Until it is ended; the exit code.  `told`, `path`: what the configuration is read from again. */
int serve(struct config *config, const struct switches *switches, const struct config *told, const char *path);

#endif
