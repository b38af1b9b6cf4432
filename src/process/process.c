/* process.c -- the parent's side: started, looked after, ended. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/time.h"
#include "bus/bus.h"
#include "process/life.h"
#include "process/words.h"
#include "queue/queue.h"

enum ptq_err pti_process_check(const ptq_process *process)
{
    if (process == NULL)
        return PTQ_EINVAL;
    if (process->generation != pti_fork_generation())
        return PTQ_EFORKED;
    return process->supervisor == NULL ? PTQ_ENOTSTARTED : PTQ_OK;
}

/* -- looking after -------------------------------------------------------------------------------------------- */

static void note_death(ptq_process *process, enum ptq_err code, const char *why)
{
    struct pti_record *record = process->record;
    uint32_t section = pti_load_acquire(&record->section);
    struct pti_failure failure = {.timeout_ms = 0};
    if (section >= PTQ_SECTIONS)
        section = PTQ_SECTION_NONE;
    if (code == PTQ_TIMEDOUT)
        failure.timeout_ms = record->timeout_ms[section];
    pti_failure_make(&failure, code, section, pti_load_relaxed(&record->runs_done) + 1, why);
    pti_failure_note(section == PTQ_SECTION_ERROR ? &record->second : &record->failure, &failure);
}

/* It has died: by a signal, by an exit of its own, or because a limit had passed. */
static void note_end(ptq_process *process, const struct pti_exit *how)
{
    char text[100], why[200];
    bool overdue = pti_load_acquire(&process->record->overdue) != 0 || pti_supervisor_was_overdue(process->supervisor, 0);
    pti_exit_text(how, text, sizeof text);
    if (process->killed)
        note_death(process, PTQ_EABORTED, "killed on request");
    else if (overdue)
        note_death(process, PTQ_TIMEDOUT, "the process had to be killed");
    else {
        (void)snprintf(why, sizeof why, "the process died (%s)", text);
        note_death(process, PTQ_EDIED, why);
    }
}

/* A life is lost to a death.  What is next? */
static enum pti_exited lose_life(ptq_process *process)
{
    struct pti_record *record = process->record;
    uint32_t lives = pti_load_acquire(&record->lives), phase = pti_load_acquire(&record->phase);
    if (process->killed || phase == PTI_PHASE_ERROR)
        return PTI_EXITED_GIVE_UP;
    if (lives > 0)
        pti_store_release(&record->lives, --lives);
    if (lives > 0)
        return PTI_EXITED_DIED;
    if (process->hooks->hooks.error == NULL)
        return PTI_EXITED_GIVE_UP;
    pti_store_release(&record->phase, PTI_PHASE_ERROR); /* one process more, for the error hook alone */
    return PTI_EXITED_AGAIN;
}

enum pti_exited pti_process_judge(void *context, unsigned slot, const struct pti_exit *how)
{
    ptq_process *process = context;
    struct pti_record *record = process->record;
    (void)slot;
    process->how = *how;
    process->ended++;
    if (pti_load_acquire(&record->outcome) != PTI_OUTCOME_NONE)
        return PTI_EXITED_LEFT;
    pti_store_relaxed(&record->restarts, pti_load_relaxed(&record->restarts) + 1);
    bool recycled = pti_load_acquire(&record->recycle) != 0 && !process->killed;
    pti_store_relaxed(&record->recycle, 0);
    if (!recycled) {
        process->deaths++;
        note_end(process, how);
    }
    pti_store_relaxed(&record->overdue, 0);
    pti_store_relaxed(&record->section, PTQ_SECTION_NONE);
    return recycled ? PTI_EXITED_AGAIN : lose_life(process);
}

/* Under the mutex.  Law: whoever sleeps has not seen the end, for who takes note of a child takes it from the others; the descriptor
 * stays readable for them. */
static void conclude(ptq_process *process)
{
    struct pti_record *record = process->record;
    process->over = true;
    pti_supervisor_rouse(process->supervisor);
    if (pti_load_acquire(&record->outcome) != PTI_OUTCOME_NONE)
        return;
    struct pti_failure last;
    if (process->killed && !(pti_failure_get(&record->failure, &last) && last.code == PTQ_EABORTED))
        note_death(process, PTQ_EABORTED, "killed on request"); /* while none ran */
    pti_store_release(&record->outcome, PTI_OUTCOME_ERROR);
}

/* What the dead had of its boxes is free again, now and not when somebody finds nothing else. */
static void put_mail_right(ptq_process *process)
{
    if (process->mail.in != NULL)
        pti_queue_sweep(process->mail.in);
    if (process->mail.out != NULL)
        pti_queue_sweep(process->mail.out);
}

/* Under the mutex. */
static bool look(ptq_process *process)
{
    if (!process->over) {
        unsigned ended = process->ended;
        (void)pti_supervisor_tend(process->supervisor);
        if (process->ended != ended)
            put_mail_right(process);
        if (!pti_supervisor_is_alive(process->supervisor))
            conclude(process);
    }
    return process->over;
}

bool pti_process_tend(ptq_process *process)
{
    (void)pthread_mutex_lock(&process->mutex);
    bool over = look(process);
    (void)pthread_mutex_unlock(&process->mutex);
    return over;
}

enum ptq_err ptq_process_wait(ptq_process *process, int timeout_ms)
{
    enum ptq_err err = pti_process_check(process);
    if (err != PTQ_OK)
        return err;
    int64_t deadline = pti_deadline(timeout_ms);
    for (;;) {
        if (pti_process_tend(process))
            return PTQ_OK;
        if (deadline == PTI_DEADLINE_NOW || pti_now_ns() >= deadline)
            return PTQ_TIMEDOUT;
        const struct pti_gather news = {.fd = pti_supervisor_fd(process->supervisor), .timer = -1};
        if (pti_gather_sleep(&news, deadline, NULL) == EINTR)
            return PTQ_EINTR;
    }
}

/* Under the mutex. */
static enum ptq_err make_fd(ptq_process *process)
{
    int mail = -1;
    enum ptq_err err = PTQ_OK;
    if (process->all.fd >= 0)
        return PTQ_OK;
    if (process->mail.out != NULL)
        err = ptq_queue_fd(process->mail.out, PTQ_SIDE_GET, &mail);
    if (err != PTQ_OK)
        return err;
    int error = pti_gather_init(&process->all);
    if (error == 0)
        error = pti_gather_add(&process->all, pti_supervisor_fd(process->supervisor));
    if (error == 0)
        error = pti_gather_add(&process->all, mail);
    if (error != 0)
        pti_gather_fini(&process->all);
    return error == 0 ? PTQ_OK : PTQ_ENOMEM;
}

enum ptq_err pti_process_make_fd(ptq_process *process)
{
    (void)pthread_mutex_lock(&process->mutex);
    enum ptq_err err = make_fd(process);
    (void)pthread_mutex_unlock(&process->mutex);
    return err;
}

enum ptq_err ptq_process_fd(ptq_process *process, int *ret_fd)
{
    enum ptq_err err = pti_process_check(process);
    if (err == PTQ_OK)
        err = pti_process_make_fd(process);
    if (err == PTQ_OK)
        *ret_fd = process->all.fd;
    return err;
}

/* -- start and end -------------------------------------------------------------------------------------------- */

static void write_words(const ptq_process *process, struct pti_words *words)
{
    const struct pti_mail *mail = &process->mail;
    char number[16];
    (void)snprintf(number, sizeof number, "%d", process->record_fd);
    pti_words_add(words, program_invocation_name, "");
    pti_words_add(words, PTI_PROCESS_FLAG, "");
    pti_words_add(words, "hooks=", process->hooks->name);
    pti_words_add(words, "record=", number);
    if (mail->bus == NULL)
        return;
    char dir[sizeof mail->bus->path];
    (void)snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(mail->bus->path, '/') - mail->bus->path), mail->bus->path);
    pti_words_add(words, "run=", mail->bus->run);
    pti_words_add(words, "dir=", dir);
    pti_words_add(words, "in=", mail->name_in);
    pti_words_add(words, "out=", mail->name_out);
}

/* Under the mutex. */
static int start(ptq_process *process)
{
    struct pti_words words = {.count = 0};
    write_words(process, &words);
    process->plan.argv = words.word;
    process->plan.keep = &process->record_fd;
    process->plan.keep_count = 1;
    struct pti_supervisor *supervisor = NULL;
    int error = words.failed ? ENOMEM : pti_supervisor_new(&process->plan, &supervisor);
    pti_words_fini(&words);
    if (error == 0)
        process->supervisor = supervisor;
    return error;
}

enum ptq_err ptq_process_start(ptq_process *process)
{
    enum ptq_err err = pti_process_check(process);
    if (err == PTQ_OK)
        return PTQ_EALREADY;
    if (err != PTQ_ENOTSTARTED)
        return err;
    (void)pthread_mutex_lock(&process->mutex);
    err = process->supervisor != NULL ? PTQ_EALREADY : pti_err_from_errno(start(process));
    (void)pthread_mutex_unlock(&process->mutex);
    return err;
}

enum ptq_err ptq_process_stop(ptq_process *process)
{
    enum ptq_err err = pti_process_check(process);
    if (err != PTQ_OK)
        return err;
    (void)pthread_mutex_lock(&process->mutex);
    pti_store_seq(&process->record->stop, 1);
    pti_supervisor_ask(process->supervisor); /* wakes it where it listens */
    (void)pthread_mutex_unlock(&process->mutex);
    return PTQ_OK;
}

/* Begins to end it; true: it is over.  In between the mutex is free: others may look, and wait. */
static bool end_by(ptq_process *process, int signal)
{
    (void)pthread_mutex_lock(&process->mutex);
    bool over = look(process);
    if (!over) {
        process->killed = true;
        pti_supervisor_end_all(process->supervisor, signal);
        over = look(process); /* while none runs */
    }
    (void)pthread_mutex_unlock(&process->mutex);
    return over;
}

/* Until it is over or the deadline, whatever signals this thread gets; a slice at a time, should a descriptor have found no room in the
 * set. */
static bool wait_until_over(ptq_process *process, int64_t deadline)
{
    const struct pti_gather news = {.fd = pti_supervisor_fd(process->supervisor), .timer = -1};
    for (;;) {
        if (pti_process_tend(process))
            return true;
        int64_t now = pti_now_ns(), slice = now + PTI_NS_PER_S;
        if (now >= deadline)
            return false;
        (void)pti_gather_sleep(&news, pti_earlier(slice, deadline), NULL);
    }
}

enum ptq_err ptq_process_kill(ptq_process *process, int grace_ms)
{
    enum ptq_err err = pti_process_check(process);
    if (err != PTQ_OK)
        return err;
    int64_t deadline = pti_now_ns() + (grace_ms > 0 ? grace_ms : 0) * PTI_NS_PER_MS;
    if (!end_by(process, SIGTERM) && !wait_until_over(process, deadline) && !end_by(process, SIGKILL))
        (void)wait_until_over(process, PTI_DEADLINE_NEVER);
    return PTQ_OK;
}

enum ptq_err ptq_process_run(ptq_process *process, const void **ret_data, size_t *ret_size)
{
    enum ptq_err err = ptq_process_start(process);
    return err == PTQ_OK ? ptq_process_result(process, PTQ_FOREVER, ret_data, ret_size) : err;
}
