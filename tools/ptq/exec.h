/* exec.h -- a shell command with a message on its standard input. */
#ifndef PTQ_EXEC_H
#define PTQ_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/queue.h>

struct exec_about {
    const char *queue;
    uint64_t position;
    uint32_t deliveries;
    struct ptq_trace trace;
    bool has_trace;
};

enum exec_answer { EXEC_OK, EXEC_FAILED, EXEC_NOT_STARTED };

/* Runs `sh -c command` and waits for it; `how` tells how it ended.  Signals are passed on to it. */
enum exec_answer exec_command(const char *command, const void *data, size_t size, const struct exec_about *about,
                              char how[128]);

#endif
