/* life.h -- a supervised process as the files of this room see it.
 *
 *   the child    main.c      reads its command line, ties itself to its parent
 *                cycle.c     section by section, life by life
 *                self.c      what hooks may ask and say
 *   the parent   process_make.c   made, freed
 *                process.c   started, looked after, ended
 *                report.c    what it came to, and what it shows of itself
 *                mail.c      tell and listen, for both
 *   both         hooks.c     what was registered      record.h  what they share
 */
#ifndef PTQ_PROCESS_LIFE_H
#define PTQ_PROCESS_LIFE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <ptq/process.h>

#include "os/gather.h"
#include "process/record.h"
#include "process/supervisor.h"

#define PTI_PROCESS_FLAG "--ptq-process"
#define PTI_PROCESS_BYTES (64u * 1024)   /* results and checkpoints that nobody gave a size */
#define PTI_PROCESS_EXIT_NS (5 * INT64_C(1000000000)) /* for what a program does at its exit, when all that counts is told */

/* -- both */

struct pti_hooks {
    char name[PTQ_PROCESS_NAME_MAX + 1];
    struct ptq_process_hooks hooks;
    void *user;
};
const struct pti_hooks *pti_hooks_find(const char *name); /* NULL: there are none */
bool pti_process_name_is_valid(const char *name);

/* The mailboxes: of the child's bus, opened where they are needed. */
struct pti_mail {
    pthread_mutex_t mutex; /* for opening */
    ptq_bus *bus;
    ptq_queue *_Atomic in, *_Atomic out; /* to the process, and from it */
    char name_in[PTQ_NAME_MAX + 1], name_out[PTQ_NAME_MAX + 1]; /* "": none */
};

/* -- the child */

struct ptq_self {
    const struct pti_hooks *hooks;
    struct pti_record *record;
    struct pti_status *status;
    struct pti_mail mail;
    const char *run_name, *dir; /* of its bus; NULL: none */
    enum ptq_section section;
    bool in_error;              /* the error hook runs */
    struct ptq_process_error error;
    char text[sizeof ((struct pti_failure *)NULL)->text]; /* what the hook says */
};

/* The only one of this process. */
extern struct ptq_self pti_self;

/* Runs until it is over; then it may exit. */
void pti_cycle(ptq_self *self);
/* The last word of the watchdog: the running section passed its limit, and nothing helped. */
void pti_cycle_overdue(void *self);
/* A failure for people and programs: how->text is the whole sentence. */
void pti_failure_make(struct pti_failure *failure, enum ptq_err code, enum ptq_section section, uint64_t run, const char *why);
void pti_failure_show(const struct pti_failures *first, const struct pti_failures *second, struct ptq_process_error *ret_error);

void pti_mail_interrupt(struct pti_mail *mail); /* whoever sleeps there is woken */

/* ptq_worker_main begins with it: runs a process, and exits; returns in every other program. */
void pti_process_main(int argc, char **argv);
bool pti_process_main_was_called(void);
/* What a failed section may have spoilt is opened anew. */
void pti_resource_doubt_all(void);

/* -- the parent */

struct ptq_process {
    uint32_t generation; /* fork.h */
    pthread_mutex_t mutex;
    const struct pti_hooks *hooks;
    struct pti_supervisor_options plan;
    struct pti_mail mail;
    int record_fd;
    struct pti_places places;          /* in the record, whatever a child writes there */
    struct pti_record *record;
    struct pti_supervisor *_Atomic supervisor; /* NULL: not started; set once, under the mutex */
    struct pti_gather all;             /* readable when it must be looked after, or has sent something: ptq_process_fd */
    bool killed, over;
    unsigned ended, deaths;            /* processes of it; deaths are ends that cost a life */
    struct pti_exit how;               /* of the last that ended */
};

/* PTQ_EINVAL, PTQ_EFORKED, PTQ_ENOTSTARTED. */
enum ptq_err pti_process_check(const ptq_process *process);
/* Somebody of it ended: is there to be another?  The supervisor's, with `mutex` held. */
enum pti_exited pti_process_judge(void *context, unsigned slot, const struct pti_exit *how);
/* Looks after it: is it over? */
bool pti_process_tend(ptq_process *process);
enum ptq_err pti_process_make_fd(ptq_process *process);

#endif
