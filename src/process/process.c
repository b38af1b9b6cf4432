/* process.c -- the parent's side: made, started, looked after, ended. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/time.h"
#include "bus/bus.h"
#include "os/clock.h"
#include "process/affinity.h"
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
static enum pti_end lose_life(ptq_process *process)
{
    struct pti_record *record = process->record;
    uint32_t lives = pti_load_acquire(&record->lives), phase = pti_load_acquire(&record->phase);
    if (process->killed || phase == PTI_PHASE_ERROR)
        return PTI_END_GIVE_UP;
    if (lives > 0)
        pti_store_release(&record->lives, --lives);
    if (lives > 0)
        return PTI_END_DIED;
    if (process->hooks->hooks.error == NULL)
        return PTI_END_GIVE_UP;
    pti_store_release(&record->phase, PTI_PHASE_ERROR); /* one process more, for the error hook alone */
    return PTI_END_AGAIN;
}

static enum pti_end judge(void *context, unsigned slot, const struct pti_exit *how)
{
    ptq_process *process = context;
    struct pti_record *record = process->record;
    (void)slot;
    process->how = *how;
    process->ended++;
    if (pti_load_acquire(&record->outcome) != PTI_OUTCOME_NONE)
        return PTI_END_LEFT;
    pti_store_relaxed(&record->restarts, pti_load_relaxed(&record->restarts) + 1);
    bool recycled = pti_load_acquire(&record->recycle) != 0 && !process->killed;
    pti_store_relaxed(&record->recycle, 0);
    if (!recycled) {
        process->deaths++;
        note_end(process, how);
    }
    pti_store_relaxed(&record->overdue, 0);
    pti_store_relaxed(&record->section, PTQ_SECTION_NONE);
    return recycled ? PTI_END_AGAIN : lose_life(process);
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

/* -- made and freed ------------------------------------------------------------------------------------------- */

static enum ptq_err check_options(const char *name, const struct ptq_process_options *options)
{
    struct ptq_error *error = options->error;
    if (!pti_process_main_was_called())
        return pti_error(error, PTQ_ENOTSTARTED, "process '%s': it would be this program again, and its main does not call "
                         "ptq_worker_main - make it the first call of main", name);
    if (pti_hooks_find(name) == NULL)
        return pti_error(error, PTQ_ENOTASK, "process '%s': no hooks of that name - call ptq_process_register before "
                         "ptq_worker_main", name);
    bool negative = options->join_in_ms < 0 || options->grace_ms < 0 || options->pause_ms < 0 || options->pause_max_ms < 0;
    for (unsigned i = 0; i < PTQ_SECTIONS; i++)
        negative |= options->timeout_ms[i] < 0;
    if (negative)
        return pti_error(error, PTQ_EINVAL, "process '%s': a time is below 0 - 0 means the default, or no limit", name);
    if (options->timeout_ms[PTQ_SECTION_FULL_RUN] != 0 || options->timeout_ms[PTQ_SECTION_NONE] != 0)
        return pti_error(error, PTQ_EINVAL, "process '%s': timeout_ms is for sections - prerun, run and postrun have one each", name);
    if (options->input == NULL && options->input_size != 0)
        return pti_error(error, PTQ_EINVAL, "process '%s': %zu bytes of input at NULL", name, options->input_size);
    if (options->mail_name != NULL && (!pti_name_is_valid(options->mail_name) || strlen(options->mail_name) > PTQ_NAME_MAX - strlen(".out")))
        return pti_error(error, PTQ_EINVAL, "process '%s': mail_name '%.150s' is none: the queues of its mail are called so, with .in and .out behind",
                         name, options->mail_name);
    if (options->input_size > PTQ_ITEM_MAX || options->result_size > PTQ_ITEM_MAX || options->checkpoint_size > PTQ_ITEM_MAX)
        return pti_error(error, PTQ_EINVAL, "process '%s': input, result or checkpoint above 1 GiB", name);
    return PTQ_OK;
}

static enum ptq_err choose_cpus(ptq_process *process, const struct ptq_process_options *options)
{
    char *cpus = process->record->cpus;
    const char *name = process->hooks->name;
    if (options->cpus == PTQ_CPUS_SPREAD)
        (void)snprintf(cpus, PTI_CPU_LIST_MAX, "%u", pti_cpus_nth(options->slot));
    if (options->cpus != PTQ_CPUS_LIST)
        return PTQ_OK;
    const char *list = options->cpu_list != NULL ? options->cpu_list : "";
    if (strlen(list) >= PTI_CPU_LIST_MAX || !pti_cpus_list_is_valid(list))
        return pti_error(options->error, PTQ_EINVAL, "process '%s': cpu_list '%.80s' is no list like '0,2-3'", name, list);
    if (!pti_cpus_list_is_usable(list))
        return pti_error(options->error, PTQ_EINVAL, "process '%s': this process may use %u processors, and none of '%.80s'", name,
                         pti_cpus_allowed(), list);
    (void)snprintf(cpus, PTI_CPU_LIST_MAX, "%s", list);
    return PTQ_OK;
}

static void fill_record(struct pti_record *record, const struct ptq_process_options *options)
{
    record->runs = options->runs;
    record->recycle_runs = options->recycle_runs;
    record->recycle_bytes = options->recycle_bytes;
    record->join_in_ns = options->join_in_ms * PTI_NS_PER_MS;
    record->grace_ns = options->grace_ms * PTI_NS_PER_MS;
    record->slot = options->slot;
    for (unsigned i = 0; i < PTQ_SECTIONS; i++)
        record->timeout_ms[i] = options->timeout_ms[i];
    pti_store_relaxed(&record->lives, options->lives != 0 ? options->lives : 1);
    if (options->input_size != 0)
        memcpy((char *)record + record->places.input, options->input, options->input_size);
}

static enum ptq_err make_record(ptq_process *process, const struct ptq_process_options *options)
{
    size_t checkpoint = options->checkpoint_size != 0 ? options->checkpoint_size : PTI_PROCESS_BYTES;
    size_t result = options->result_size != 0 ? options->result_size : PTI_PROCESS_BYTES;
    int error = pti_record_new(options->input_size, checkpoint, result, &process->places, &process->record_fd, &process->record);
    if (error != 0)
        return pti_error(options->error, pti_err_from_errno(error), "process '%s': no memory to share with it: %s",
                         process->hooks->name, strerror(error));
    pti_host_clock_refresh();
    fill_record(process->record, options);
    return choose_cpus(process, options);
}

static enum ptq_err make_box(ptq_process *process, const struct ptq_process_options *options, const char *name, ptq_queue **ret_queue)
{
    struct ptq_queue_options box = {.mode = PTQ_CREATE, .capacity = options->mail_count != 0 ? options->mail_count : 100,
                                    .item_size = options->mail_size, .max_deliveries = PTQ_NEVER,
                                    .ephemeral = true, .error = options->error};
    return ptq_queue_open(process->mail.bus, name, &box, ret_queue);
}

/* What a killed process left under a name that was chosen; one in use stays, and its maker hears so. */
static void remove_left(ptq_bus *bus, const char *name)
{
    enum ptq_err err = ptq_queue_unlink(bus, name, false);
    (void)err;
}

static void name_boxes(struct pti_mail *mail, const char *name)
{
    (void)snprintf(mail->name_in, sizeof mail->name_in, "%s.in", name);
    (void)snprintf(mail->name_out, sizeof mail->name_out, "%s.out", name);
}

/* "<name>.<16 digits>.in" and ".out", nobody else's; or as it was asked for. */
static enum ptq_err make_mail(ptq_process *process, ptq_bus *bus, const struct ptq_process_options *options)
{
    struct pti_mail *mail = &process->mail;
    char own[PTQ_NAME_MAX + 1];
    uint64_t number;
    ptq_queue *in = NULL, *out = NULL;
    if (bus == NULL)
        return PTQ_OK;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        return PTQ_ESYS;
    mail->bus = pti_bus_hold(bus);
    (void)snprintf(own, sizeof own, "%.*s.%016llx", PTQ_NAME_MAX - 21, process->hooks->name, (unsigned long long)number);
    name_boxes(mail, options->mail_name != NULL ? options->mail_name : own);
    if (options->mail_name != NULL) {
        remove_left(bus, mail->name_in);
        remove_left(bus, mail->name_out);
    }
    enum ptq_err err = make_box(process, options, mail->name_in, &in);
    mail->in = in;
    if (err == PTQ_OK)
        err = make_box(process, options, mail->name_out, &out);
    mail->out = out;
    return err;
}

static void plan(ptq_process *process, const struct ptq_process_options *options)
{
    process->plan = (struct pti_supervisor_options){
        .path = "/proc/self/exe", .count = 1, .crash_limit = options->crash_limit, .pause_ms = options->pause_ms,
        .pause_max_ms = options->pause_max_ms, .limits = true, .judge = judge, .context = process};
}

enum ptq_err ptq_process_new(ptq_bus *bus, const char *name, const struct ptq_process_options *options,
                             ptq_process **ret_process)
{
    static const struct ptq_process_options none;
    if (options == NULL)
        options = &none;
    if (!pti_process_name_is_valid(name) || ret_process == NULL)
        return PTQ_EINVAL;
    enum ptq_err err = check_options(name, options);
    if (err != PTQ_OK)
        return err;
    ptq_process *process = calloc(1, sizeof *process);
    if (process == NULL)
        return PTQ_ENOMEM;
    process->generation = pti_fork_generation();
    process->hooks = pti_hooks_find(name);
    process->all = PTI_GATHER_NONE;
    (void)pthread_mutex_init(&process->mutex, NULL);
    err = make_record(process, options);
    if (err == PTQ_OK)
        err = make_mail(process, bus, options);
    if (err != PTQ_OK) {
        ptq_process_free(process);
        return err;
    }
    plan(process, options);
    *ret_process = process;
    return PTQ_OK;
}

/* What cannot be removed now is ephemeral: gc does it. */
static void free_box(ptq_bus *bus, ptq_queue *queue, const char *name, bool ours)
{
    enum ptq_err err = PTQ_OK;
    ptq_queue_close(queue);
    if (ours && queue != NULL)
        err = ptq_queue_unlink(bus, name, true);
    (void)err;
}

static void free_mail(struct pti_mail *mail, bool ours)
{
    free_box(mail->bus, mail->in, mail->name_in, ours);
    free_box(mail->bus, mail->out, mail->name_out, ours);
    pti_bus_drop(mail->bus);
}

void ptq_process_free(ptq_process *process)
{
    if (process == NULL)
        return;
    pti_gather_fini(&process->all);
    process->killed = true;
    pti_supervisor_free(process->supervisor); /* its judge looks into the record */
    free_mail(&process->mail, process->generation == pti_fork_generation());
    pti_record_free(&process->places, process->record_fd, process->record);
    (void)pthread_mutex_destroy(&process->mutex);
    free(process);
}
