/* run_task.c -- what a worker of ptq pool run does with a line, and how its output comes back.
 *
 * Workers reach the spill and the stop pipe by /proc/PID/fd of the run.  A piece of the spill belongs to one stream of one try of one job:
 * a worker that dies in the middle of it leaves it to nobody, and whoever runs the job again takes others.  Pieces double in size, up to
 * 1024 times the first; what is not written of them is a hole, and what was written to standard output becomes one.
 */
#include "run_task.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/say.h"

#define PIECE_FIRST (256ull * 1024)
enum { BOARD_BYTES = 4096, PIECES_MAX = 1500, DOUBLINGS = 10 };

static uint64_t piece_size(uint64_t number)
{
    return PIECE_FIRST << (number < DOUBLINGS ? number : DOUBLINGS);
}

/* -- the run's side ------------------------------------------------------------------------------------------- */

static int open_nameless(const char *folder)
{
    char path[4096];
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT) || snprintf(path, sizeof path, "%s/ptq-run.XXXXXX", folder) >= (int)sizeof path)
        return fd;
    fd = mkostemp(path, O_CLOEXEC); /* a file system that cannot do without a name */
    if (fd >= 0)
        unlink(path);
    return fd;
}

int run_spill_open(struct run_spill *spill)
{
    const char *folder = getenv("TMPDIR");

    if (folder == NULL || folder[0] == '\0')
        folder = "/tmp";
    *spill = (struct run_spill){.fd = open_nameless(folder), .stop = {-1, -1}};
    if (spill->fd < 0 || ftruncate(spill->fd, BOARD_BYTES) != 0 || (errno = posix_fallocate(spill->fd, 0, BOARD_BYTES)) != 0 ||
        pipe2(spill->stop, O_CLOEXEC) != 0) {
        tool_error(folder, "cannot make a file for large outputs here: %s - %s", strerror(errno),
                   errno == EMFILE || errno == ENFILE ? "raise the limit: ulimit -n" : "set TMPDIR to another folder");
        run_spill_close(spill);
        return TOOL_ERROR;
    }
    spill->board = mmap(NULL, BOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, spill->fd, 0);
    if (spill->board == MAP_FAILED) {
        (void)tool_no_memory();
        run_spill_close(spill);
        return TOOL_ERROR;
    }
    atomic_store(&spill->board->next, PIECE_FIRST);
    return TOOL_OK;
}

void run_spill_close(struct run_spill *spill)
{
    if (spill->board != NULL && spill->board != MAP_FAILED)
        munmap(spill->board, BOARD_BYTES);
    if (spill->fd >= 0)
        close(spill->fd);
    for (int i = 0; i < 2; i++)
        if (spill->stop[i] >= 0)
            close(spill->stop[i]);
    *spill = (struct run_spill){.fd = -1, .stop = {-1, -1}};
}

/* -- a job on its way ----------------------------------------------------------------------------------------- */

struct job_head {
    int32_t pid, spill, stop; /* the run, and its descriptors */
    uint32_t tries, timeout_ms;
    uint32_t counts_lines;
    uint64_t command_size, input_size;
};

size_t run_job_room(size_t size)
{
    return sizeof(struct job_head) + size + 2;
}

enum ptq_err run_job_submit(ptq_pool *pool, const struct run_spill *spill, const struct run_job *job, uint64_t *ret_ticket)
{
    struct job_head head = {.pid = getpid(), .spill = spill->fd, .stop = spill->stop[0], .tries = job->tries,
                            .timeout_ms = job->timeout_ms, .counts_lines = job->counts_lines,
                            .command_size = job->command_size, .input_size = job->input_size};
    size_t size = sizeof head + job->command_size + 1 + job->input_size;
    char *bytes = malloc(size);

    if (bytes == NULL)
        return PTQ_ENOMEM;
    memcpy(bytes, &head, sizeof head);
    memcpy(bytes + sizeof head, job->command, job->command_size);
    bytes[sizeof head + job->command_size] = '\0';
    if (job->input_size > 0)
        memcpy(bytes + sizeof head + job->command_size + 1, job->input, job->input_size);
    enum ptq_err err = ptq_pool_submit(pool, RUN_TASK, bytes, size, PTQ_NOWAIT, ret_ticket);
    free(bytes);
    return err;
}

/* -- the worker's side ---------------------------------------------------------------------------------------- */

/* The run that this worker works for; there is only one. */
static struct {
    bool open;
    struct run_spill spill;
} shared = {.spill = {.fd = -1, .stop = {-1, -1}}};

static int open_theirs(int pid, int fd, int flags)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
    return open(path, flags | O_CLOEXEC);
}

static bool join_run(const struct job_head *head)
{
    struct run_spill *spill = &shared.spill;

    if (shared.open)
        return true;
    spill->fd = open_theirs(head->pid, head->spill, O_RDWR);
    spill->stop[0] = open_theirs(head->pid, head->stop, O_RDWR | O_NONBLOCK);
    if (spill->fd >= 0 && spill->stop[0] >= 0)
        spill->board = mmap(NULL, BOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, spill->fd, 0);
    shared.open = spill->board != NULL && spill->board != MAP_FAILED;
    return shared.open;
}

/* One of the two streams. */
struct stream {
    char bytes[RUN_INLINE]; /* as long as it fits */
    uint64_t size;
    uint64_t at[PIECES_MAX]; /* where in the spill its pieces begin */
    uint64_t pieces;
    uint64_t used; /* of the last of them */
    uint64_t newlines;
    char last;
};

static struct stream streams[2];

static void clear_stream(struct stream *stream)
{
    for (uint64_t i = 0; i < stream->pieces; i++)
        (void)!fallocate(shared.spill.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)stream->at[i], (off_t)piece_size(i));
    stream->size = stream->pieces = stream->used = stream->newlines = 0;
}

static enum ptq_err spill_bytes(struct stream *stream, const char *data, size_t size)
{
    while (size > 0) {
        if (stream->pieces == 0 || stream->used == piece_size(stream->pieces - 1)) {
            if (stream->pieces == PIECES_MAX)
                return PTQ_EMSGSIZE;
            stream->at[stream->pieces] = atomic_fetch_add(&shared.spill.board->next, piece_size(stream->pieces));
            stream->pieces++;
            stream->used = 0;
        }
        uint64_t room = piece_size(stream->pieces - 1) - stream->used;
        ssize_t wrote = pwrite(shared.spill.fd, data, size < room ? size : room,
                               (off_t)(stream->at[stream->pieces - 1] + stream->used));
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? PTQ_ENOSPC : PTQ_ESYS;
        data += wrote;
        size -= (size_t)wrote;
        stream->used += (uint64_t)wrote;
    }
    return PTQ_OK;
}

static void count_lines(struct stream *stream, const char *data, size_t size)
{
    const char *end = data + size;

    for (const char *at = data; (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
        stream->newlines++;
    stream->last = size > 0 ? end[-1] : stream->last;
}

static enum ptq_err take_output(int fd, const void *data, size_t size, void *context)
{
    const struct job_head *head = context;
    struct stream *stream = &streams[fd == 2];
    uint64_t before = stream->size;
    enum ptq_err err = PTQ_OK;

    if (head->counts_lines)
        count_lines(stream, data, size);
    stream->size += size;
    if (stream->size <= sizeof stream->bytes) {
        memcpy(stream->bytes + before, data, size);
        return PTQ_OK;
    }
    if (stream->pieces == 0)
        err = spill_bytes(stream, stream->bytes, before);
    return err == PTQ_OK ? spill_bytes(stream, data, size) : err;
}

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static enum ptq_err run_once(ptq_task *task, const struct job_head *head, const char *command, struct run_end *ret_end)
{
    struct ptq_command what = {.line = command, .input = command + head->command_size + 1, .input_size = head->input_size,
                               .each = take_output, .context = (void *)(uintptr_t)head, .timeout_ms = head->timeout_ms, .stop_fd = shared.spill.stop[0]};
    struct ptq_command_end how;

    clear_stream(&streams[0]);
    clear_stream(&streams[1]);
    *ret_end = (struct run_end){.start_us = now_us()};
    enum ptq_err err = ptq_task_command(task, &what, &how);
    if (err == PTQ_ENOSPC)
        return ptq_task_fail(task, err, "there is no room for its output of more than %llu bytes - set TMPDIR to a folder with more",
                             (unsigned long long)streams[streams[1].pieces > 0].size);
    if (err != PTQ_OK)
        return ptq_task_fail(task, err, "cannot start the command '%.200s': %s - end other programs, or raise the limits: ulimit -n, -u, -v", command, ptq_strerror(err));
    ret_end->run_ns = how.run_ns;
    ret_end->timed_out = how.timed_out;
    ret_end->halted = how.stopped;
    ret_end->code = how.timed_out || how.stopped ? -1 : how.signaled ? 0 : how.code;
    ret_end->signal = how.signaled ? how.code : 0;
    return PTQ_OK;
}

/* Result: the end, then for each stream its bytes or where in the spill they are. */
static enum ptq_err give_end(ptq_task *task, struct run_end *end)
{
    for (int i = 0; i < 2; i++) {
        end->size[i] = streams[i].size;
        end->pieces[i] = streams[i].pieces;
        end->lines[i] = streams[i].newlines + (streams[i].size > 0 && streams[i].last != '\n');
    }
    enum ptq_err err = ptq_task_emit(task, end, sizeof *end);
    for (int i = 0; i < 2 && err == PTQ_OK; i++)
        err = streams[i].pieces == 0 ? ptq_task_emit(task, streams[i].bytes, streams[i].size)
                                     : ptq_task_emit(task, streams[i].at, streams[i].pieces * sizeof streams[i].at[0]);
    return err;
}

static int status_of(const struct run_end *end)
{
    return end->signal != 0 ? 128 + end->signal : end->code;
}

static void count(const struct run_end *end)
{
    if (run_figures_count(&shared.spill.board->figures, status_of(end)) == RUN_HALT_NOW)
        (void)!write(shared.spill.stop[0], "", 1);
}

static enum ptq_err run_line(ptq_task *task, const void *data, size_t size)
{
    struct run_end end = {.skipped = 1};
    struct job_head head;

    if (size < sizeof head)
        return ptq_task_fail(task, PTQ_EPROTO, "this is no job of ptq pool run - give the POOL another name");
    memcpy(&head, data, sizeof head);
    if (size != sizeof head + head.command_size + 1 + head.input_size)
        return ptq_task_fail(task, PTQ_EPROTO, "this is no job of ptq pool run - give the POOL another name");
    if (!join_run(&head))
        return ptq_task_fail(task, PTQ_ESYS, "cannot reach the program that runs it: %s - raise the limit of descriptors (ulimit -n), or run both as one user", strerror(errno));
    streams[0].pieces = streams[1].pieces = 0; /* those of the last job are the run's */
    for (uint32_t i = 0; atomic_load(&shared.spill.board->figures.halted) == RUN_HALT_NEVER && i < head.tries; i++) {
        enum ptq_err err = run_once(task, &head, (const char *)data + sizeof head, &end);
        if (err != PTQ_OK)
            return err; /* the run counts errors, as it does deaths */
        if (status_of(&end) == 0 || end.halted)
            break;
    }
    if (!end.skipped && !end.halted)
        count(&end);
    if (end.skipped)
        clear_stream(&streams[0]), clear_stream(&streams[1]);
    return give_end(task, &end);
}

void run_task_register(void)
{
    (void)ptq_task_register(RUN_TASK, run_line, NULL);
}

/* -- a result on its way -------------------------------------------------------------------------------------- */

/* Where stream `what` stands in the result, and how many bytes of it are its. */
static size_t stream_bytes(const struct run_end *end, int what)
{
    return end->pieces[what] == 0 ? end->size[what] : end->pieces[what] * sizeof(uint64_t);
}

bool run_end_read(const void *data, size_t size, struct run_end *ret_end)
{
    if (size < sizeof *ret_end)
        return false;
    memcpy(ret_end, data, sizeof *ret_end);
    for (int i = 0; i < 2; i++)
        if (ret_end->pieces[i] > PIECES_MAX || (ret_end->pieces[i] == 0 && ret_end->size[i] > RUN_INLINE))
            return false;
    return size == sizeof *ret_end + stream_bytes(ret_end, 0) + stream_bytes(ret_end, 1);
}

static int write_piece(const struct run_spill *spill, uint64_t at, uint64_t size, int (*write)(void *context, const char *data, size_t size),
                       void *context)
{
    static char bytes[1 << 16];

    while (size > 0) {
        ssize_t got = pread(spill->fd, bytes, size < sizeof bytes ? size : sizeof bytes, (off_t)at);
        if (got <= 0) {
            tool_error(NULL, "cannot read a large output again: %s - see whether the folder of TMPDIR is sound, and call again", got == 0 ? "it is gone" : strerror(errno));
            return TOOL_ERROR;
        }
        int code = write(context, bytes, (size_t)got);
        if (code != TOOL_OK)
            return code;
        at += (uint64_t)got;
        size -= (uint64_t)got;
    }
    return TOOL_OK;
}

int run_end_output(const struct run_spill *spill, const void *data, const struct run_end *end, int what,
                   int (*write)(void *context, const char *data, size_t size), void *context)
{
    const char *from = (const char *)data + sizeof *end + (what == 1 ? stream_bytes(end, 0) : 0);
    uint64_t left = end->size[what];
    int code = TOOL_OK;

    if (end->pieces[what] == 0)
        return left == 0 || write == NULL ? TOOL_OK : write(context, from, left);
    for (uint64_t i = 0; i < end->pieces[what] && code == TOOL_OK; i++) {
        uint64_t at, size = left < piece_size(i) ? left : piece_size(i);
        memcpy(&at, from + i * sizeof at, sizeof at);
        if (write != NULL)
            code = write_piece(spill, at, size, write, context);
        (void)!fallocate(spill->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)piece_size(i));
        left -= size;
    }
    return code;
}

void run_end_drop(const struct run_spill *spill, const void *data, const struct run_end *end, int what)
{
    (void)run_end_output(spill, data, end, what, NULL, NULL);
}

int run_end_last_byte(const struct run_spill *spill, const void *data, const struct run_end *end)
{
    const char *from = (const char *)data + sizeof *end;
    uint64_t left = end->size[0], at, last = end->pieces[0];
    char byte = 0;

    if (left == 0)
        return -1;
    if (last == 0)
        return (unsigned char)from[left - 1];
    for (uint64_t i = 0; i + 1 < last; i++)
        left -= piece_size(i);
    memcpy(&at, from + (last - 1) * sizeof at, sizeof at);
    return pread(spill->fd, &byte, 1, (off_t)(at + left - 1)) == 1 ? (unsigned char)byte : -1;
}
