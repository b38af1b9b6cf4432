/* wait.c -- waiting for what shall become true; random numbers with a seed. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/atomic.h"
#include "base/time.h"
#include "support/ptt.h"

bool ptt_wait_until(bool (*is_true)(void *context), void *context, int timeout_ms)
{
    int64_t deadline = pti_now_ns() + timeout_ms * PTI_NS_PER_MS;
    struct timespec pause = {.tv_nsec = 50000};

    while (!is_true(context)) {
        if (pti_now_ns() > deadline)
            return is_true(context);
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 2000000)
            pause.tv_nsec *= 2;
    }
    return true;
}

struct word_wait {
    const _Atomic uint64_t *word;
    uint64_t value;
};

static bool has_reached(void *context)
{
    const struct word_wait *wait = context;

    return pti_load_acquire(wait->word) >= wait->value;
}

bool ptt_wait_word(const _Atomic uint64_t *word, uint64_t value, int timeout_ms)
{
    struct word_wait wait = {word, value};

    return ptt_wait_until(has_reached, &wait, timeout_ms);
}

bool ptt_wait_readable(int fd, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    int got;

    do
        got = poll(&poll_fd, 1, timeout_ms);
    while (got < 0 && errno == EINTR);
    return got == 1 && (poll_fd.revents & (POLLIN | POLLHUP)) != 0; /* a read answers at once, if only the end */
}

struct thread_wait {
    pid_t pid, tid;
    char state;
};

/* The state stands behind the last ')': a command may contain anything. */
static bool has_state(void *context)
{
    const struct thread_wait *thread = context;
    char path[64], text[512];

    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)thread->pid, (int)thread->tid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    const char *end = strrchr(text, ')');
    return end != NULL && strncmp(end, ") ", 2) == 0 && end[2] == thread->state;
}

bool ptt_wait_sleeping(pid_t pid, pid_t tid, int timeout_ms)
{
    struct thread_wait thread = {pid, tid, 'S'};

    return ptt_wait_until(has_state, &thread, timeout_ms);
}

bool ptt_wait_stopped(pid_t pid, int timeout_ms)
{
    struct thread_wait thread = {pid, pid, 'T'};

    return ptt_wait_until(has_state, &thread, timeout_ms);
}

uint64_t ptt_seed(void)
{
    const char *given = getenv("PTT_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)pti_now_ns() * 0x9e3779b97f4a7c15u;

    print_message("PTT_SEED=0x%llx\n", (unsigned long long)seed);
    return seed;
}

uint64_t ptt_random(uint64_t *state)
{
    uint64_t mixed = *state += 0x9e3779b97f4a7c15u;

    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}
