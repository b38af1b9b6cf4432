/* main.c -- what a supervised process does: reads its command line, ties itself to its parent, lives, leaves.
 *
 *   argv: <program> --ptq-process hooks=<name> record=<descriptor> [run= dir= in= out=]
 *         slot=0 status=<descriptor> alarm=<descriptor> tether=<descriptor>         (process.c, supervisor.c, child.c)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "os/clock.h"
#include "os/spawn.h"
#include "process/affinity.h"
#include "process/life.h"
#include "process/tether.h"
#include "process/watchdog.h"
#include "process/words.h"

struct ptq_self pti_self = {.mail = {.mutex = PTHREAD_MUTEX_INITIALIZER}};
static bool main_was_called;

bool pti_process_main_was_called(void)
{
    return main_was_called;
}

/* The parent has asked, in the thread of the tether. */
static void leave(void *self)
{
    ptq_self_stop(self);
}

static void name_mail(struct pti_mail *mail, char **words)
{
    const char *in = pti_words_find(words, "in="), *out = pti_words_find(words, "out=");
    (void)snprintf(mail->name_in, sizeof mail->name_in, "%s", in != NULL ? in : "");
    (void)snprintf(mail->name_out, sizeof mail->name_out, "%s", out != NULL ? out : "");
}

/* It can never work: no life is spent on it. */
static void refuse(ptq_self *self, const char *name)
{
    struct pti_failure failure = {0};
    char why[200];
    (void)snprintf(why, sizeof why, "the started program has no hooks '%s' - call ptq_process_register before ptq_worker_main", name);
    pti_failure_make(&failure, PTQ_EFAILED, PTQ_SECTION_NONE, 0, why);
    failure.cause = PTQ_ENOTASK;
    pti_failure_note(&self->record->failure, &failure);
    pti_store_release(&self->record->outcome, PTI_OUTCOME_ERROR);
}

static bool tie(ptq_self *self, char **words)
{
    struct pti_watchdog_options watchdog = {.grace_ns = self->record->grace_ns, .status = self->status, .context = self,
                                            .alarm = pti_words_number(words, "alarm="), .last_word = pti_cycle_overdue};
    if (self->record->cpus[0] != '\0')
        (void)pti_cpus_keep_to(self->record->cpus); /* one that was taken away meanwhile: then any */
    return pti_watchdog_start(&watchdog) == 0 && pti_tether_hold(pti_words_number(words, "tether="), leave, self) == 0;
}

static void work(ptq_self *self, const char *name)
{
    self->hooks = pti_hooks_find(name);
    if (self->hooks == NULL) {
        refuse(self, name);
        return;
    }
    pti_cycle(self);
    pti_watchdog_begin(pti_now_ns() + PTI_PROCESS_EXIT_NS); /* what counts is told: an exit that hangs holds up nobody */
    ptq_resource_close_all();
}

void pti_process_main(int argc, char **argv)
{
    ptq_self *self = &pti_self;
    main_was_called = true;
    if (argc < 2 || strcmp(argv[1], PTI_PROCESS_FLAG) != 0)
        return;
    char **words = argv + 2;
    const char *name = pti_words_find(words, "hooks=");
    int record = pti_words_number(words, "record="), status = pti_words_number(words, "status=");
    if (name == NULL || record < 0 || status < 0 || pti_words_number(words, "tether=") < 0) {
        (void)fprintf(stderr, "%s: %s is for ptq_process_start only\n", argv[0], PTI_PROCESS_FLAG);
        exit(2);
    }
    pti_name_process(argv[0]);
    pti_host_clock_refresh();
    self->run_name = pti_words_find(words, "run=");
    self->dir = pti_words_find(words, "dir=");
    name_mail(&self->mail, words);
    if (pti_record_join(record, &self->record) != 0 || pti_status_join(status, 0, &self->status) != 0 || !tie(self, words))
        exit(1);
    work(self, name);
    pti_store_release(&self->status->left, 1);
    exit(0);
}
