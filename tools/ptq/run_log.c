/* run_log.c -- the job log of ptq pool run: parallel's columns, and what to leave out when a run is resumed.
 *
 *     Seq Host Starttime JobRuntime Send Receive Exitval Signal Command
 *
 * Rows stand in the order in which outputs are written: that of the lines, but with --unordered.  Law: a row without a newline is one whose output was perhaps written, and perhaps not, or in part.
 * Where standard output is a file that has all of the outputs, its length tells which; else the job is done again, and that is said.
 */
#include "run_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/say.h"
#include "run_words.h"

static const char heading[] = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

/* Newlines are zero bytes in the log, as parallel has them. */
static uint64_t hash_command(const char *command, size_t size)
{
    uint64_t hash = 14695981039346656037u;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)(command[i] == '\n' ? '\0' : command[i])) * 1099511628211u;
    return hash != 0 ? hash : 1;
}

static bool note_done(struct run_log *log, uint64_t seq, uint64_t hash)
{
    if (seq > log->room) {
        size_t room = log->room == 0 ? 1024 : log->room;
        while (room < seq)
            room *= 2;
        uint64_t *done = realloc(log->done, room * sizeof *done);
        if (done == NULL)
            return false;
        memset(done + log->room, 0, (room - log->room) * sizeof *done);
        log->done = done;
        log->room = room;
    }
    log->done[seq - 1] = hash;
    return true;
}

static int fail_write(const struct run_log *log)
{
    tool_error(log->path, "cannot write the job log: %s - make room, and go on with --resume", strerror(errno));
    return TOOL_ERROR;
}

/* -- reading -------------------------------------------------------------------------------------------------- */

struct row {
    uint64_t seq, received;
    long long code, signal;
    int command; /* where it begins */
};

static bool read_row(const char *line, size_t size, struct row *ret_row)
{
    struct row row = {.command = 0};
    const char *at = line;

    for (int tabs = 0; tabs < 8; tabs++) {
        at = memchr(at, '\t', size - (size_t)(at - line));
        if (at == NULL)
            return false;
        at++;
    }
    row.command = (int)(at - line);
    if (sscanf(line, "%" SCNu64 "\t%*[^\t]\t%*[^\t]\t%*[^\t]\t%*[^\t]\t%" SCNu64 "\t%lld\t%lld", &row.seq, &row.received, &row.code,
               &row.signal) != 4 || row.seq == 0 || row.seq > UINT32_MAX)
        return false;
    *ret_row = row;
    return true;
}

static bool take_row(struct run_log *log, const struct row *row, const char *line, size_t size, enum run_log_mode mode)
{
    bool again = mode == RUN_LOG_RESUME_FAILED && (row->code != 0 || row->signal != 0);

    return note_done(log, row->seq, again ? 0 : hash_command(line + row->command, size - (size_t)row->command));
}

/* The last row has no end.  Was its output written?  1: all of it, 0: none, and -1: nobody can know. */
static int find_out(uint64_t before, uint64_t received)
{
    struct stat about;

    if (fstat(STDOUT_FILENO, &about) != 0 || !S_ISREG(about.st_mode))
        return -1;
    uint64_t size = (uint64_t)about.st_size;
    if (size == before + received)
        return 1;
    if (size < before || size > before + received)
        return -1;
    if (size > before && ftruncate(STDOUT_FILENO, (off_t)before) != 0) /* its beginning: it is written again */
        return -1;
    if ((fcntl(STDOUT_FILENO, F_GETFL) & O_APPEND) == 0)
        lseek(STDOUT_FILENO, (off_t)before, SEEK_SET);
    return 0;
}

/* Drops the row from the log, or ends it. */
static int settle_last(struct run_log *log, const struct row *row, bool good, const char *line, size_t size, off_t at, uint64_t before,
                       enum run_log_mode mode)
{
    int written = good ? find_out(before, row->received) : -1;

    if (written == 1) {
        log->begun = true;
        return take_row(log, row, line, size, mode) ? run_log_end(log) : TOOL_ERROR;
    }
    if (good && written < 0)
        tool_error(log->path, "job %" PRIu64 " had ended, and its output was being written, when the last run was ended: it is done again, "
                   "so its output may stand there twice - look at the end of what was written", row->seq);
    if (ftruncate(log->fd, at) == 0)
        return TOOL_OK;
    return fail_write(log);
}

static int read_rows(struct run_log *log, FILE *file, enum run_log_mode mode)
{
    char *line = NULL;
    size_t room = 0;
    uint64_t before = 0, number = 0;
    off_t at = 0;
    int code = TOOL_OK;

    for (ssize_t size; code == TOOL_OK && (size = getline(&line, &room, file)) > 0; at += size) {
        struct row row = {0};
        bool whole = line[size - 1] == '\n';
        number++;
        if (whole)
            line[--size] = '\0';
        bool good = read_row(line, (size_t)size, &row);
        if (!whole) {
            code = settle_last(log, &row, good, line, (size_t)size, at, before, mode);
            break;
        }
        size++; /* the newline, for `at` */
        if (!good && (number > 1 || strncmp(line, "Seq\t", 4) != 0)) {
            tool_error(log->path, "line %" PRIu64 " is not of a job log - give the log of the run that is to be resumed", number);
            code = TOOL_ERROR;
        } else if (good && !take_row(log, &row, line, (size_t)size - 1, mode)) {
            (void)tool_no_memory();
            code = TOOL_ERROR;
        }
        before += row.received;
    }
    free(line);
    return code;
}

/* -- life ----------------------------------------------------------------------------------------------------- */

int run_log_open(struct run_log *log, const char *path, enum run_log_mode mode)
{
    *log = (struct run_log){.path = path, .fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | (mode == RUN_LOG_NEW ? O_TRUNC : 0), 0666)};
    int copy = log->fd >= 0 ? dup(log->fd) : -1;
    FILE *file = copy >= 0 ? fdopen(copy, "r") : NULL;
    struct stat about;
    int code = TOOL_OK;

    if (file == NULL || fstat(log->fd, &about) != 0) {
        tool_error(path, "cannot open the job log: %s - give a file that can be written", strerror(errno));
        run_log_close(log);
        return TOOL_ERROR;
    }
    code = read_rows(log, file, mode);
    fclose(file);
    if (code == TOOL_OK && fstat(log->fd, &about) == 0 && about.st_size == 0 &&
        write(log->fd, heading, sizeof heading - 1) != (ssize_t)sizeof heading - 1) {
        code = fail_write(log);
    }
    if (code != TOOL_OK)
        run_log_close(log);
    return code;
}

void run_log_close(struct run_log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    free(log->done);
    *log = (struct run_log){.fd = -1};
}

enum run_log_answer run_log_find(const struct run_log *log, uint64_t seq, const char *command, size_t size)
{
    if (seq > log->room || log->done[seq - 1] == 0)
        return RUN_LOG_NOT_DONE;
    return log->done[seq - 1] == hash_command(command, size) ? RUN_LOG_DONE : RUN_LOG_OTHER;
}

/* -- writing -------------------------------------------------------------------------------------------------- */

static int write_log(struct run_log *log, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t wrote = write(log->fd, bytes, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) {
            return fail_write(log);
        }
        bytes += wrote;
        size -= (size_t)wrote;
    }
    return TOOL_OK;
}

int run_log_begin(struct run_log *log, const struct run_log_row *row)
{
    struct run_text text = {0};
    char head[256];

    if (log->fd < 0)
        return TOOL_OK;
    int size = snprintf(head, sizeof head, "%" PRIu64 "\t:\t%.3f\t%10.3f\t%" PRIu64 "\t%" PRIu64 "\t%d\t%d\t", row->seq,
                        (double)row->start_us / 1e6, (double)row->run_ns / 1e9, row->sent, row->received, row->code, row->signal);
    run_text_add(&text, head, (size_t)size);
    run_text_add(&text, row->command, row->command_size);
    for (size_t i = 0; !text.failed && i < text.used; i++)
        if (text.bytes[i] == '\n')
            text.bytes[i] = '\0';
    int code = text.failed ? TOOL_ERROR : write_log(log, text.bytes, text.used);
    if (text.failed)
        (void)tool_no_memory();
    run_text_fini(&text);
    log->begun = code == TOOL_OK;
    return code;
}

int run_log_end(struct run_log *log)
{
    if (!log->begun)
        return TOOL_OK;
    log->begun = false;
    return write_log(log, "\n", 1);
}
