/* drill.c -- see drill.h */
#include "drill.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define ENDPOINTS_MAX 2048
#define WORKERS_MAX 64
#define HELD_MAX 64
#define STOP_MS 200 /* a signal takes effect long before */

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "index_docs: %s: %s\n", what, why);
    exit(1);
}

static ptq_view *watch(ptq_bus *bus, const char *pool, const char *which)
{
    struct ptq_error error = {0};
    char name[PTQ_NAME_MAX + 1];
    ptq_view *view;

    snprintf(name, sizeof name, "%s.%s", pool, which);
    if (ptq_view_open(bus, name, &error, &view) != PTQ_OK)
        fail(name, error.text);
    return view;
}

void drill_init(struct drill *drill, ptq_bus *bus, const char *pool, const char *gate)
{
    drill->jobs = watch(bus, pool, "jobs");
    drill->done = watch(bus, pool, "done");
    drill->gate = -1;
    if (gate != NULL && (drill->gate = open(gate, O_RDWR | O_CLOEXEC)) < 0)
        fail(gate, strerror(errno));
}

void drill_fini(struct drill *drill)
{
    ptq_view_close(drill->jobs);
    ptq_view_close(drill->done);
    drill->jobs = drill->done = NULL;
    if (drill->gate >= 0)
        close(drill->gate);
}

/* -- the gate --------------------------------------------------------------------------------------------------- */

void drill_close_gate(struct drill *drill)
{
    if (drill->gate >= 0 && flock(drill->gate, LOCK_EX) != 0)
        fail("closing the gate", strerror(errno));
}

void drill_open_gate(struct drill *drill)
{
    if (drill->gate >= 0 && flock(drill->gate, LOCK_UN) != 0)
        fail("opening the gate", strerror(errno));
}

void drill_pass_gate(void)
{
    static int gate = -2; /* not looked for yet */

    if (gate == -2) {
        const char *path = getenv(DRILL_GATE);
        gate = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    }
    if (gate >= 0 && flock(gate, LOCK_SH) == 0)
        flock(gate, LOCK_UN);
}

/* -- who holds what --------------------------------------------------------------------------------------------- */

static uint64_t redelivered(struct drill *drill)
{
    struct ptq_queue_stats stats;

    return ptq_view_stats(drill->jobs, &stats) == PTQ_OK ? stats.redelivered : 0;
}

/* The jobs that one process has in hand. */
struct hand {
    bool is_its[ENDPOINTS_MAX]; /* by endpoint */
    uint64_t next;
    uint64_t positions[HELD_MAX];
    size_t count;
};

static bool add_leased(const struct ptq_view_msg *msg, void *context)
{
    struct hand *hand = context;

    if (msg->state == PTQ_VIEW_LEASED && msg->kind == 0 /* no marker */ && msg->holder < ENDPOINTS_MAX && hand->is_its[msg->holder] &&
        msg->position >= hand->next && hand->count < HELD_MAX)
        hand->positions[hand->count++] = msg->position;
    return true;
}

/* A job that has its result is not in hand any more, whether it is acked or not. */
static bool drop_placed(const struct ptq_view_msg *msg, void *context)
{
    struct hand *hand = context;

    for (size_t i = 0; i < hand->count; i++) {
        if (hand->positions[i] == msg->position)
            hand->positions[i--] = hand->positions[--hand->count];
    }
    return true;
}

/* What `pid` holds of the jobs, and the lowest ticket among them. */
static uint64_t held_by(struct drill *drill, int64_t pid, uint64_t *ret_position)
{
    static struct ptq_view_endpoint endpoints[ENDPOINTS_MAX];
    static struct hand hand;
    size_t count = 0;

    hand = (struct hand){.next = drill->next};
    if (ptq_view_endpoints(drill->jobs, endpoints, ENDPOINTS_MAX, &count) != PTQ_OK)
        return 0;
    for (size_t i = 0; i < count && i < ENDPOINTS_MAX; i++) {
        if (endpoints[i].pid == pid && endpoints[i].index < ENDPOINTS_MAX)
            hand.is_its[endpoints[i].index] = true;
    }
    if (ptq_view_peek(drill->jobs, add_leased, &hand) != PTQ_OK ||
        ptq_view_peek(drill->done, drop_placed, &hand) != PTQ_OK || hand.count == 0)
        return 0;
    *ret_position = hand.positions[0];
    for (size_t i = 1; i < hand.count; i++) {
        if (hand.positions[i] < *ret_position)
            *ret_position = hand.positions[i];
    }
    return hand.count;
}

/* A thread's state letter as in proc(5); 0: there is no such thread. */
static char state_of(int64_t pid, const char *thread)
{
    char path[320], line[512] = "";

    snprintf(path, sizeof path, "/proc/%" PRId64 "/task/%s/stat", pid, thread);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    size_t size = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[size] = '\0';
    const char *name_end = strrchr(line, ')');
    return name_end != NULL && name_end[1] == ' ' ? name_end[2] : 0;
}

/* Whether every thread of it has stopped. */
static bool is_stopped(int64_t pid)
{
    char path[64];
    struct dirent *thread;
    unsigned stopped = 0, others = 0;

    snprintf(path, sizeof path, "/proc/%" PRId64 "/task", pid);
    DIR *threads = opendir(path);
    if (threads == NULL)
        return false;
    while ((thread = readdir(threads)) != NULL) {
        if (thread->d_name[0] == '.')
            continue;
        if (state_of(pid, thread->d_name) == 'T')
            stopped++;
        else
            others++;
    }
    closedir(threads);
    return stopped > 0 && others == 0;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Sends SIGSTOP and waits until it has taken effect. */
static bool stop(int64_t pid)
{
    if (kill((pid_t)pid, SIGSTOP) != 0)
        return false;
    for (int64_t end = now_ms() + STOP_MS; now_ms() < end;) {
        if (is_stopped(pid))
            return true;
    }
    return false;
}

static bool strike(struct drill *drill, struct blow *blow, int64_t pid)
{
    uint64_t position = 0;

    if (held_by(drill, pid, &position) == 0)
        return false;
    blow->tries++;
    uint64_t held = stop(pid) ? held_by(drill, pid, &position) : 0;
    if (held == 0) {
        kill((pid_t)pid, SIGCONT);
        return false;
    }
    blow->before = redelivered(drill);
    kill((pid_t)pid, SIGKILL);
    blow->pid = pid;
    blow->held = held;
    blow->position = position;
    return true;
}

static void tell(const struct blow *blow, const char *what, size_t got, size_t count)
{
    printf("   %zu of %zu documents are done: SIGKILL to %s, process %" PRId64 ", which holds %" PRIu64
           " job%s (ticket %" PRIu64 ")\n",
           got, count, what, blow->pid, blow->held, blow->held == 1 ? "" : "s and more", blow->position);
    fflush(stdout);
}

void drill_kill_worker(struct drill *drill, ptq_pool *pool, size_t got, size_t count)
{
    int64_t pids[WORKERS_MAX];
    size_t alive = ptq_pool_worker_pids(pool, pids, WORKERS_MAX);

    for (size_t i = 0; i < alive && i < WORKERS_MAX; i++) {
        if (strike(drill, &drill->worker, pids[i])) {
            tell(&drill->worker, "a local worker", got, count);
            return;
        }
    }
}

void drill_kill_process(struct drill *drill, int pid, size_t got, size_t count)
{
    if (strike(drill, &drill->bridge, pid))
        tell(&drill->bridge, "the ptqbridge of the pool's home", got, count);
}

void drill_saw(struct drill *drill, uint64_t ticket)
{
    if (drill->worker.pid != 0 && ticket == drill->worker.position)
        drill->worker.seen = true;
    if (drill->bridge.pid != 0 && ticket == drill->bridge.position)
        drill->bridge.seen = true;
}

static bool judge(struct drill *drill, const struct blow *blow, const char *what)
{
    if (blow->pid == 0) {
        printf("   FAILED: %s was never caught with a job in hand (%u tries): too late to matter\n", what, blow->tries);
        return false;
    }
    if (redelivered(drill) <= blow->before) {
        printf("   FAILED: nothing was handed out again after %s was killed: too late to matter\n", what);
        return false;
    }
    printf("   %s was killed with ticket %" PRIu64 " in hand: %s\n", what, blow->position,
           blow->seen ? "another worker did it, and it came out in its place"
                      : "it came out once, done by the worker that had it, when its link was there again");
    return true;
}

bool drill_verdict(struct drill *drill, bool worker, bool bridge)
{
    bool fine = true;

    if (worker)
        fine = judge(drill, &drill->worker, "the worker") && fine;
    if (bridge)
        fine = judge(drill, &drill->bridge, "the bridge") && fine;
    return fine;
}
