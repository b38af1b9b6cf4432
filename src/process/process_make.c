/* process_make.c -- the parent's side: what is asked is checked, a process made of it, and freed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/time.h"
#include "bus/bus.h"
#include "os/clock.h"
#include "process/affinity.h"
#include "process/life.h"

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
        .pause_max_ms = options->pause_max_ms, .limits = true, .judge = pti_process_judge, .context = process};
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
