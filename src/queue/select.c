/* select.c -- ptq_wait_any: one thread waits for many queues, local and remote.
 *
 *     look at all -> sleep on all the words, a little -> sleep on all the descriptors, for as long as it takes
 *
 * The words (futex_waitv) are quicker and cost the publisher less; but signals must be held back meanwhile, and no word
 * tells of a death: so only where all are local, and at first.  Descriptors are woken by the kernel also when somebody
 * dies.
 *
 * Laws:
 * 1. Armed, then looked, then asleep: what happens after the look ends the sleep.  Words are read after all of them were armed
 *    (the same queue may be there twice, and arming counts) and before the look.
 * 2. Who was woken through a word has taken a wake that was for one sleeper of that queue, and may take a message of another
 *    queue or none: on leaving it wakes the next on each word beside which there is something (wait.pml, NA).
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "base/time.h"
#include "os/futex.h"
#include "queue/queue.h"

#define FEW 16
#define WORDS_NS (10 * PTI_NS_PER_MS)  /* how long signals may be held back */
#define SLICE_NS (250 * PTI_NS_PER_MS) /* between looks where descriptors are missing */

/* One of them. */
struct one {
    struct ptq_wait *wait;
    struct pti_port *port;
    struct pti_watcher watcher;
    enum ptq_err refused; /* any call on the handle would answer that: nothing was begun */
};

struct many {
    struct one *ones;
    struct pollfd *fds;
    size_t count;
    struct ptq_wait *waits; /* the caller's, which may have gaps */
    size_t wait_count;
    bool has_words;   /* each has a word, and they are not too many */
    bool is_blind;    /* one lacks a descriptor */
    bool was_woken;   /* through a word, since nothing was found the last time */
    bool was_handled; /* a signal handler ran while it slept */
    int64_t words_end;
};

/* What this thread was told last. */
static __thread size_t last_told __attribute__((tls_model("initial-exec")));

/* ---- all of them */

static void end_all(struct many *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->ones[i].refused == PTQ_OK)
            m->ones[i].port->ops->watch_end(m->ones[i].port, &m->ones[i].watcher);
}

/* PTQ_EINTR, PTQ_ENOMEM.  What is refused otherwise is ready: a call on it would not wait. */
static enum ptq_err begin_all(struct many *m)
{
    for (size_t i = 0; i < m->wait_count; i++) {
        struct one *one = &m->ones[m->count];

        if (!m->waits[i].queue)
            continue;
        *one = (struct one){.wait = &m->waits[i], .port = m->waits[i].queue->port};
        one->watcher = (struct pti_watcher){.side = one->wait->side, .fd = -1, .until = PTI_DEADLINE_NEVER};
        one->refused = one->port->ops->watch_begin(one->port, &one->watcher);
        m->has_words &= one->watcher.word != NULL;
        m->count++;
        if (one->refused == PTQ_EINTR || one->refused == PTQ_ENOMEM)
            return one->refused;
    }
    m->has_words &= m->count <= PTI_FUTEX_WORDS;
    return PTQ_OK;
}

static bool look_at_all(struct many *m)
{
    bool any = false;

    for (size_t i = 0; i < m->count; i++) {
        struct one *one = &m->ones[i];

        one->wait->ready =
            one->refused != PTQ_OK || one->port->ops->watch_look(one->port, &one->watcher) == PTQ_OK;
        any |= one->wait->ready;
    }
    return any;
}

static enum ptq_err check_interrupts(struct many *m)
{
    enum ptq_err answer = m->was_handled ? PTQ_EINTR : PTQ_OK;

    for (size_t i = 0; i < m->count; i++) {
        struct one *one = &m->ones[i];
        enum ptq_err err = one->port->ops->watch_interrupted(one->port, &one->watcher);

        one->wait->ready = err == PTQ_EGONE;
        if (answer == PTQ_OK || err == PTQ_EGONE)
            answer = err;
    }
    return answer;
}

static void arm_all(struct many *m, bool words)
{
    m->is_blind = false;
    for (size_t i = 0; i < m->count; i++) {
        struct one *one = &m->ones[i];

        if (words) {
            one->port->ops->watch_arm_word(one->port, &one->watcher);
            one->watcher.armed = false;
        } else if (!one->watcher.armed) {
            one->port->ops->watch_arm_fd(one->port, &one->watcher);
        }
        m->is_blind |= !words && one->watcher.fd < 0;
    }
}

/* ---- asleep */

static int64_t earliest(const struct many *m, int64_t deadline)
{
    for (size_t i = 0; i < m->count; i++)
        deadline = m->ones[i].watcher.until < deadline ? m->ones[i].watcher.until : deadline;
    return deadline;
}

static void sleep_on_words(struct many *m, int64_t deadline)
{
    struct pti_futex_word words[PTI_FUTEX_WORDS];
    int error;

    for (size_t i = 0; i < m->count; i++)
        words[i] = (struct pti_futex_word){m->ones[i].watcher.word, m->ones[i].watcher.expected};
    error = pti_futex_wait_any(words, (unsigned)m->count, earliest(m, deadline), &m->was_handled);
    m->was_woken = error == 0;
    m->was_handled |= error == EINTR;
    m->has_words = error != ENOSYS;
}

static void sleep_on_descriptors(struct many *m, int64_t deadline)
{
    int64_t until = earliest(m, deadline), left = until - pti_now_ns();
    struct timespec timeout = {0};
    int found;

    if (left > 0)
        timeout = (struct timespec){left / PTI_NS_PER_S, left % PTI_NS_PER_S};
    for (size_t i = 0; i < m->count; i++)
        m->fds[i] = (struct pollfd){.fd = m->ones[i].watcher.fd, .events = POLLIN};
    found = ppoll(m->fds, m->count, until == PTI_DEADLINE_NEVER ? NULL : &timeout, NULL);
    m->was_handled = found < 0 && errno == EINTR;
    for (size_t i = 0; found > 0 && i < m->count; i++)
        m->ones[i].watcher.armed &= m->fds[i].revents == 0;
}

static void sleep_once(struct many *m, bool words, int64_t deadline)
{
    int64_t end = words ? m->words_end : m->is_blind ? pti_now_ns() + SLICE_NS : PTI_DEADLINE_NEVER;

    end = end < deadline ? end : deadline;
    if (words)
        sleep_on_words(m, end);
    else
        sleep_on_descriptors(m, end);
}

/* Announces the sleep.  True: on the words.  Where descriptors are missing it is on the words too, by slices, so that only deaths
 * are noticed late. */
static bool arm_for_sleep(struct many *m, int64_t now)
{
    bool words = m->has_words && now < m->words_end;

    arm_all(m, words);
    if (words || !m->is_blind || !m->has_words)
        return words;
    m->words_end = now + SLICE_NS;
    arm_all(m, true);
    return true;
}

static enum ptq_err wait_for_any(struct many *m, int64_t deadline)
{
    if (look_at_all(m))
        return PTQ_OK;
    if (deadline == PTI_DEADLINE_NOW)
        return PTQ_EMPTY;
    m->words_end = pti_now_ns() + WORDS_NS;
    for (;;) {
        int64_t now = pti_now_ns();
        bool words = arm_for_sleep(m, now);
        enum ptq_err err;

        if (look_at_all(m))
            return PTQ_OK;
        m->was_woken = false; /* for nothing: no other sleeper would find anything either */
        err = check_interrupts(m);
        if (err != PTQ_OK)
            return err;
        if (now >= deadline)
            return PTQ_TIMEDOUT;
        sleep_once(m, words, deadline);
    }
}

/* ---- the call */

/* By turns, so that who takes from the one he is told starves none. */
static size_t first_behind_last(const struct many *m)
{
    size_t at = last_told;

    do
        at = at + 1 < m->wait_count ? at + 1 : 0;
    while (!m->waits[at].ready);
    return last_told = at;
}

static void hand_on(struct many *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->ones[i].refused == PTQ_OK)
            m->ones[i].port->ops->watch_pass(m->ones[i].port, &m->ones[i].watcher);
}

static enum ptq_err run(struct many *m, int64_t deadline, size_t *ret_first)
{
    enum ptq_err err = begin_all(m);

    if (err == PTQ_OK)
        err = wait_for_any(m, deadline);
    if (m->was_woken)
        hand_on(m); /* law 2 */
    end_all(m);
    if ((err == PTQ_OK || err == PTQ_EGONE) && ret_first)
        *ret_first = first_behind_last(m);
    return err;
}

static enum ptq_err check(struct ptq_wait *waits, size_t count)
{
    bool any = false;

    for (size_t i = 0; waits && i < count; i++) {
        waits[i].ready = false;
        if (!waits[i].queue)
            continue;
        if (waits[i].side != PTQ_SIDE_GET && waits[i].side != PTQ_SIDE_PUT)
            return PTQ_EINVAL;
        if (!waits[i].queue->port)
            return PTQ_EFORKED;
        any = true;
    }
    return any ? PTQ_OK : PTQ_EINVAL;
}

enum ptq_err ptq_wait_any(struct ptq_wait *waits, size_t count, int timeout_ms, size_t *ret_first)
{
    struct one few_ones[FEW];
    struct pollfd few_fds[FEW];
    struct many m = {.ones = few_ones, .fds = few_fds, .waits = waits, .wait_count = count, .has_words = true};
    enum ptq_err err = check(waits, count);

    if (err != PTQ_OK)
        return err;
    if (count > FEW) {
        m.ones = calloc(count, sizeof *m.ones + sizeof *m.fds);
        if (!m.ones)
            return PTQ_ENOMEM;
        m.fds = (struct pollfd *)(void *)(m.ones + count);
    }
    err = run(&m, pti_deadline(timeout_ms), ret_first);
    if (m.ones != few_ones)
        free(m.ones);
    return err;
}
