/* roster_read.c -- rows of workers, as others read them: who lives and what he is at, and what was done by all there ever were. */
#include "pool/roster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/life.h"
#include "os/resident.h"
#include "pool/side.h"
#include "ring/side.h"

#define AT_ONCE 64u  /* rows read by one call */
#define TEXT_TRIES 8 /* for texts that are just being written */

static bool read_at(int fd, void *buffer, size_t size, uint64_t at)
{
    return pread(fd, buffer, size, (off_t)at) == (ssize_t)size;
}

/* A row whose texts are whole, if that is to be had. */
static void read_texts(int fd, unsigned index, struct pti_row *row)
{
    uint64_t at = PTI_ROSTER_HEAD + (uint64_t)index * sizeof *row;
    for (int i = 0; i < TEXT_TRIES; i++) {
        uint64_t before = pti_load_relaxed(&row->version), after; /* a copy of our own */
        if (!read_at(fd, &after, sizeof after, at) || ((before & 1) == 0 && before == after))
            return;
        if (!read_at(fd, row, sizeof *row, at))
            return;
    }
}

static void copy_text(char *to, const char *from, size_t size)
{
    (void)snprintf(to, size, "%.*s", (int)size - 1, from);
}

static void add_time(struct ptq_worker_status *status, const uint64_t *spent_ns)
{
    status->wait_job_ns = spent_ns[PTQ_WORKER_WAITS_FOR_JOB];
    status->wait_room_ns = spent_ns[PTQ_WORKER_WAITS_FOR_ROOM];
    status->busy_ns = spent_ns[PTQ_WORKER_WORKS];
    status->hand_in_ns = spent_ns[PTQ_WORKER_HANDS_IN];
}

/* Of a copy: relaxed loads, nobody else has it. */
static void describe(struct pti_row *row, struct ptq_worker_status *status)
{
    int64_t now = pti_host_ns(), since = pti_load_relaxed(&row->since_ns);
    uint64_t phase = pti_load_relaxed(&row->phase), spent_ns[4];
    *status = (struct ptq_worker_status){.pid = pti_load_relaxed(&row->pid), .state = (enum ptq_worker_state)(phase & 3)};
    status->since_ns = now > since ? now - since : 0;
    for (unsigned i = 0; i < 4; i++)
        spent_ns[i] = pti_load_relaxed(&row->spent_ns[i]);
    spent_ns[phase & 3] += (uint64_t)status->since_ns;
    add_time(status, spent_ns);
    int64_t uptime = now - pti_load_relaxed(&row->started_ns);
    status->uptime_ns = uptime > 0 ? (uint64_t)uptime : 0;
    status->started_unix_ms = pti_load_relaxed(&row->started_unix_ms);
    status->jobs_done = pti_load_relaxed(&row->done);
    status->jobs_failed = pti_load_relaxed(&row->failed);
    status->has_job = phase >> 16 != 0;
    status->ticket = status->has_job ? (phase >> 16) - 1 : 0;
    status->tries = phase >> 3 & 0x1fff;
    status->last_error = (enum ptq_err)pti_load_relaxed(&row->error);
    status->deaths = pti_load_relaxed(&row->deaths);
    copy_text(status->name, row->name, sizeof status->name);
    copy_text(status->host, row->host, sizeof status->host);
    copy_text(status->task, row->task, sizeof status->task);
    copy_text(status->last_error_text, row->error_text, sizeof status->last_error_text);
    if (pti_load_relaxed(&row->pid_space) == pti_roster_pid_space())
        status->rss_bytes = pti_resident_bytes((pid_t)status->pid);
}

static int by_name(const void *a, const void *b)
{
    const struct ptq_worker_status *left = a, *right = b;
    int order = strverscmp(left->name, right->name);
    return order != 0 ? order : left->pid < right->pid ? -1 : left->pid > right->pid;
}

static void read_rows(int fd, unsigned used, struct ptq_worker_status *array, size_t max, size_t *ret_count)
{
    static const size_t size = sizeof(struct pti_row);
    _Alignas(64) char bytes[AT_ONCE * sizeof(struct pti_row)];
    struct pti_row *rows = (struct pti_row *)(void *)bytes;
    size_t count = 0;
    for (unsigned first = 0; first < used; first += AT_ONCE) {
        unsigned some = used - first < AT_ONCE ? used - first : AT_ONCE;
        if (!read_at(fd, bytes, some * size, PTI_ROSTER_HEAD + first * size))
            break;
        for (unsigned i = 0; i < some; i++) {
            if (pti_load_relaxed(&rows[i].kind) == 0 || pti_life_is_locked(fd, first + i) == 0)
                continue;
            if (count < max) {
                read_texts(fd, first + i, &rows[i]);
                describe(&rows[i], &array[count]);
            }
            count++;
        }
    }
    qsort(array, count < max ? count : max, sizeof *array, by_name);
    *ret_count = count;
}

int pti_roster_read(ptq_bus *bus, const char *jobs, const uint8_t id[16], struct ptq_worker_status *array, size_t max,
                    size_t *ret_count)
{
    uint64_t head[2];
    int fd;
    int error = pti_pool_side_open(bus, jobs, id, PTI_SIDE_ROSTER, false, &fd);
    *ret_count = 0;
    if (error != 0)
        return error == ENOENT ? 0 : error;
    if (read_at(fd, head, sizeof head, 0) && head[0] == PTI_ROSTER_MAGIC)
        read_rows(fd, head[1] < PTI_ROSTER_ROWS ? (unsigned)head[1] : PTI_ROSTER_ROWS, array, max, ret_count);
    (void)close(fd);
    return 0;
}

/* -- what was done ---------------------------------------------------------------------------------------------- */

/* Of a copy: relaxed loads, nobody else has it. */
static void add_up(struct pti_row *row, bool lives, struct pti_work *work)
{
    int64_t now = pti_host_ns(), since = pti_load_relaxed(&row->since_ns);
    *work = (struct pti_work){.pid = pti_load_relaxed(&row->pid), .lives = lives,
                              .began_ns = (int64_t)pti_load_relaxed(&row->past[PTI_PAST_BEGAN]), .until_ns = lives ? now : since};
    copy_text(work->name, row->name, sizeof work->name);
    for (unsigned i = 0; i < 4; i++)
        work->spent_ns[i] = pti_load_relaxed(&row->past[i]) + pti_load_relaxed(&row->spent_ns[i]);
    if (lives && now > since)
        work->spent_ns[pti_load_relaxed(&row->phase) & 3] += (uint64_t)(now - since);
    work->done = pti_load_relaxed(&row->past[PTI_PAST_DONE]) + pti_load_relaxed(&row->done);
    work->failed = pti_load_relaxed(&row->past[PTI_PAST_FAILED]) + pti_load_relaxed(&row->failed);
}

static int by_work_name(const void *a, const void *b)
{
    const struct pti_work *left = a, *right = b;
    int order = strverscmp(left->name, right->name);
    return order != 0 ? order : left->began_ns < right->began_ns ? -1 : left->began_ns > right->began_ns;
}

int pti_roster_work(ptq_bus *bus, const char *jobs, const uint8_t id[16], struct pti_work *array, size_t max, size_t *ret_count)
{
    uint64_t head[2];
    struct pti_row row;
    size_t count = 0;
    int fd;
    int error = pti_pool_side_open(bus, jobs, id, PTI_SIDE_ROSTER, false, &fd);
    *ret_count = 0;
    if (error != 0)
        return error == ENOENT ? 0 : error;
    bool good = read_at(fd, head, sizeof head, 0) && head[0] == PTI_ROSTER_MAGIC;
    for (unsigned i = 0; good && i < head[1] && i < PTI_ROSTER_ROWS; i++) {
        if (!read_at(fd, &row, sizeof row, PTI_ROSTER_HEAD + (uint64_t)i * sizeof row) || pti_load_relaxed(&row.pid) == 0)
            continue;
        read_texts(fd, i, &row);
        if (count < max)
            add_up(&row, pti_load_relaxed(&row.kind) != 0 && pti_life_is_locked(fd, i) != 0, &array[count]);
        count++;
    }
    (void)close(fd);
    qsort(array, count < max ? count : max, sizeof *array, by_work_name);
    *ret_count = count;
    return 0;
}
