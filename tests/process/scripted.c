/* scripted.c -- a process that does what a script says. */
#include "scripted.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "process/life.h"
#include "support/ptt.h"

/* -- the child ------------------------------------------------------------------------------------------------ */

static char history[4096];
static int64_t entered_ns[2]; /* the section before this one, and this one */
static int64_t longest_ns;    /* no section that is over took longer */

/* How often does the word stand in the log? */
static unsigned count_of(const char *word)
{
    unsigned count = 0;
    size_t size = strlen(word);
    for (const char *at = history; (at = strstr(at, word)) != NULL; at += size)
        count += (at == history || at[-1] == ' ') && (at[size] == ' ' || at[size] == '\0');
    return count;
}

/* What the script says about this section now; false: nothing. */
static bool find_action(ptq_self *self, const char *word, char action[16])
{
    size_t size;
    const char *input = ptq_self_input(self, &size);
    char script[512], *rest = script;
    snprintf(script, sizeof script, "%.*s", (int)size, input);
    for (char *line = strtok_r(script, " ", &rest); line != NULL; line = strtok_r(NULL, " ", &rest)) {
        char name[16];
        unsigned times = 1;
        if (sscanf(line, "%15[^=]=%15[a-z]*%u", name, action, &times) >= 2 && strcmp(name, word) == 0 && count_of(word) <= times)
            return true;
    }
    return false;
}

static void die_of_segv(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGSEGV, SIG_DFL); /* a sanitizer's would make it an exit */
    raise(SIGSEGV);
}

/* From the section before one to the one behind it, that is longer than it. */
static void time_sections(void)
{
    int64_t now = pti_now_ns();
    if (entered_ns[0] != 0 && now - entered_ns[0] > longest_ns)
        longest_ns = now - entered_ns[0];
    entered_ns[0] = entered_ns[1];
    entered_ns[1] = now;
}

static void be_longest(void)
{
    struct timespec moment = {.tv_nsec = 2000000};
    do
        nanosleep(&moment, NULL);
    while (pti_now_ns() - entered_ns[1] <= longest_ns);
}

static enum ptq_err act(ptq_self *self, const char *action)
{
    struct timespec day = {.tv_sec = 86400}, nap = {.tv_nsec = 120000000};
    if (strcmp(action, "fail") == 0)
        return ptq_self_fail(self, PTQ_EPERM, "as the %s says", "script");
    if (strcmp(action, "bare") == 0)
        return PTQ_EBUSY;
    if (strcmp(action, "stop") == 0 || strcmp(action, "eintr") == 0)
        ptq_self_stop(self);
    if (strcmp(action, "eintr") == 0)
        return PTQ_EINTR;
    if (strcmp(action, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(action, "freeze") == 0)
        raise(SIGSTOP);
    if (strcmp(action, "segv") == 0)
        die_of_segv();
    if (strcmp(action, "exit") == 0)
        exit(3);
    if (strcmp(action, "sleep") == 0 && nanosleep(&day, NULL) == 0)
        abort();
    if (strcmp(action, "longest") == 0)
        be_longest();
    if (strcmp(action, "nap") == 0)
        nanosleep(&nap, NULL);
    while (strcmp(action, "wait") == 0 && !ptq_self_cancelled(self))
        ;
    while (strcmp(action, "hang") == 0)
        ;
    return PTQ_OK;
}

static enum ptq_err section(ptq_self *self, const char *name, bool of_run)
{
    char word[32], action[16];
    snprintf(word, sizeof word, of_run ? "%s%llu" : "%s", name, (unsigned long long)ptq_self_run(self));
    time_sections();
    size_t length = strlen(history);
    snprintf(history + length, sizeof history - length, "%s%s", length != 0 ? " " : "", word);
    if (count_of(word) > 1)
        memset(self->record->timeout_ms, 0, sizeof self->record->timeout_ms);
    if (ptq_self_checkpoint(self, history, strlen(history)) != PTQ_OK || ptq_self_give(self, history, strlen(history)) != PTQ_OK)
        abort();
    return find_action(self, word, action) ? act(self, action) : PTQ_OK;
}

static void restore(ptq_self *self)
{
    size_t size;
    const char *bytes = ptq_self_restored(self, &size);
    if (bytes != NULL && history[0] == '\0')
        snprintf(history, sizeof history, "%.*s", (int)size, bytes);
}

static enum ptq_err start(ptq_self *self, void *user)
{
    (void)user;
    restore(self);
    return section(self, "s", false);
}

static enum ptq_err prerun(ptq_self *self, void *user)
{
    (void)user;
    return section(self, "p", true);
}

static enum ptq_err run_hook(ptq_self *self, void *user)
{
    (void)user;
    restore(self);
    return section(self, "r", true);
}

static enum ptq_err postrun(ptq_self *self, void *user)
{
    (void)user;
    return section(self, "o", true);
}

static enum ptq_err onfinish(ptq_self *self, void *user)
{
    (void)user;
    return section(self, "f", false);
}

static enum ptq_err result(ptq_self *self, void *user)
{
    (void)user;
    return section(self, "R", false);
}

static enum ptq_err error(ptq_self *self, void *user)
{
    (void)user;
    restore(self);
    return ptq_self_error(self)->code == PTQ_OK ? PTQ_ECORRUPT : section(self, "e", false);
}

void scripted_register(void)
{
    struct ptq_process_hooks hooks = {.run = run_hook};
    if (ptq_process_register("run", &hooks, NULL) != PTQ_OK)
        abort();
    hooks = (struct ptq_process_hooks){.start = start, .prerun = prerun, .run = run_hook, .postrun = postrun,
                                       .onfinish = onfinish, .result = result};
    if (ptq_process_register("unheard", &hooks, NULL) != PTQ_OK)
        abort();
    hooks.error = error;
    if (ptq_process_register("all", &hooks, NULL) != PTQ_OK)
        abort();
}

/* -- the test's side ------------------------------------------------------------------------------------------ */

void scripted_start(struct life *life, const char *hooks, const struct ptq_process_options *options, const char *script)
{
    struct ptq_error problem = {0};
    struct ptq_process_options own = {.runs = 1};
    if (options != NULL)
        own = *options;
    own.input = script;
    own.input_size = strlen(script);
    own.pause_ms = own.pause_ms != 0 ? own.pause_ms : 1;
    own.error = &problem;
    memset(life, 0, sizeof *life);
    if (ptq_process_new(NULL, hooks, &own, &life->process) != PTQ_OK)
        fail_msg("cannot make it: %s", problem.text);
    assert_ok(ptq_process_start(life->process));
}

void scripted_end(struct life *life)
{
    const void *data;
    size_t size;
    life->answer = ptq_process_result(life->process, PTT_LONG, &data, &size);
    if (life->answer == PTQ_TIMEDOUT)
        fail_msg("it does not end");
    snprintf(life->log, sizeof life->log, "%.*s", (int)size, size != 0 ? (const char *)data : "");
    ptq_process_error(life->process, &life->error);
    assert_ok(ptq_process_status(life->process, &life->status));
}

void scripted_fini(struct life *life)
{
    ptq_process_free(life->process);
    life->process = NULL;
}

struct until {
    ptq_process *process;
    enum ptq_section section;
    uint64_t run; /* 0: any */
};

static bool is_in(void *context)
{
    struct until *until = context;
    struct ptq_process_status status;
    return ptq_process_status(until->process, &status) == PTQ_OK && status.section == until->section &&
           (until->run == 0 || status.run == until->run);
}

void scripted_wait_for(struct life *life, enum ptq_section wanted)
{
    assert_true(ptt_wait_until(is_in, &(struct until){life->process, wanted, 0}, PTT_LONG));
}

void scripted_wait_for_run(struct life *life, uint64_t run)
{
    assert_true(ptt_wait_until(is_in, &(struct until){life->process, PTQ_SECTION_RUN, run}, PTT_LONG));
}

static bool is_frozen(void *process)
{
    struct ptq_process_status status;
    return ptq_process_status(process, &status) == PTQ_OK && status.pid != 0 && ptt_wait_stopped((pid_t)status.pid, 0);
}

void scripted_wait_frozen(struct life *life)
{
    assert_true(ptt_wait_until(is_frozen, life->process, PTT_LONG));
}

void assert_life_at(const char *hooks, const struct ptq_process_options *options, const char *script, enum ptq_err answer,
                    const char *log, const char *file, int line)
{
    struct life life;
    scripted_start(&life, hooks, options, script);
    scripted_end(&life);
    if (life.answer != answer || strcmp(life.log, log) != 0) {
        print_error("%s:%d: '%s' came to %s, %s: '%s'\n  not to %s: '%s'\n", file, line, script, ptq_err_name(life.answer),
                    life.error.text, life.log, ptq_err_name(answer), log);
        scripted_fini(&life);
        _fail(file, line);
    }
    scripted_fini(&life);
}
