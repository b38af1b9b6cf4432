/* run_log.h -- the job log of ptq pool run: parallel's columns, and what to leave out when a run is resumed. */
#ifndef PTQ_TOOL_RUN_LOG_H
#define PTQ_TOOL_RUN_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct run_log_row {
    uint64_t seq;
    int64_t start_us, run_ns;
    uint64_t sent, received; /* bytes of standard input and standard output */
    int code, signal;
    const char *command;
    size_t command_size;
};

struct run_log {
    const char *path;
    int fd;               /* -1: there is none */
    uint64_t *done;       /* by seq - 1: a hash of the command that is logged as done, 0: none.  Owned */
    size_t room;
    bool begun;           /* a row is written, and its end is not */
};

enum run_log_mode { RUN_LOG_NEW, RUN_LOG_RESUME, RUN_LOG_RESUME_FAILED };

/* TOOL_OK, or it has said why. */
int run_log_open(struct run_log *log, const char *path, enum run_log_mode mode);
void run_log_close(struct run_log *log);

enum run_log_answer { RUN_LOG_NOT_DONE, RUN_LOG_DONE, RUN_LOG_OTHER /* done with another command */ };
enum run_log_answer run_log_find(const struct run_log *log, uint64_t seq, const char *command, size_t size);

/* A row is begun before the output of its job is written and ended after it: a run that is killed in between leaves a row without
 * its end, and the next one knows.  TOOL_OK, or it has said why. */
int run_log_begin(struct run_log *log, const struct run_log_row *row);
int run_log_end(struct run_log *log);

#endif
