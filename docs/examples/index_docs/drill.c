/* drill.c -- see drill.h */
#include "drill.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ENDPOINTS_MAX 2048
#define WORKERS_MAX 64
#define STOP_MS 200 /* a signal takes effect long before */

void drill_init(struct drill *drill, ptq_bus *bus, const char *pool)
{
    struct ptq_error error = {0};
    char name[PTQ_NAME_MAX + 1];

    snprintf(name, sizeof name, "%s.jobs", pool);
    if (ptq_view_open(bus, name, &error, &drill->jobs) != PTQ_OK) {
        fprintf(stderr, "index_docs: cannot watch %s: %s\n", name, error.text);
        exit(1);
    }
}

void drill_fini(struct drill *drill)
{
    ptq_view_close(drill->jobs);
    drill->jobs = NULL;
}

static uint64_t redelivered(struct drill *drill)
{
    struct ptq_queue_stats stats;

    return ptq_view_stats(drill->jobs, &stats) == PTQ_OK ? stats.redelivered : 0;
}

/* What `pid` holds of the jobs; the lowest position through ret_position. */
static uint64_t held_by(struct drill *drill, int64_t pid, uint64_t *ret_position)
{
    static struct ptq_view_endpoint endpoints[ENDPOINTS_MAX];
    size_t count = 0;
    uint64_t held = 0;

    if (ptq_view_endpoints(drill->jobs, endpoints, ENDPOINTS_MAX, &count) != PTQ_OK)
        return 0;
    for (size_t i = 0; i < count && i < ENDPOINTS_MAX; i++) {
        const struct ptq_view_endpoint *endpoint = &endpoints[i];
        if (endpoint->pid != pid || endpoint->leased == 0)
            continue;
        if (held == 0 || endpoint->oldest_position < *ret_position)
            *ret_position = endpoint->oldest_position;
        held += endpoint->leased;
    }
    return held;
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

/* Sends SIGSTOP and waits until it has taken effect. */
static bool stop(int64_t pid)
{
    if (kill((pid_t)pid, SIGSTOP) != 0)
        return false;
    for (int i = 0; i < STOP_MS * 10; i++) {
        if (is_stopped(pid))
            return true;
        nanosleep(&(struct timespec){0, 100000}, NULL);
    }
    return false;
}

static bool strike(struct drill *drill, struct blow *blow, int64_t pid)
{
    uint64_t position = 0;

    blow->tries++;
    if (!stop(pid)) {
        kill((pid_t)pid, SIGCONT);
        return false;
    }
    uint64_t held = held_by(drill, pid, &position);
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

    if (drill->worker.pid != 0)
        return;
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
    if (drill->bridge.pid == 0 && strike(drill, &drill->bridge, pid))
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
                      : "its result had been handed in already, and came out once");
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
