/* keygen.h -- ptqbridge keygen: keys for hosts that are to know each other. */
#ifndef PTQBRIDGE_KEYGEN_H
#define PTQBRIDGE_KEYGEN_H

#include "common/option.h"

/* The whole command; its exit code. */
int keygen(int argc, char **argv);

extern const struct tool_usage keygen_usage;

#endif
