/* soak.c -- all stress tests by turns, for as long as is asked; what they have done together, and whether anything is left.
 *
 *     soak [--minutes N] [--seed SEED]      an hour; PTQ_SOAK_MINUTES says otherwise too
 *
 * Each test makes queues, has them used by processes that are killed and stopped several times a second, checks the history of all
 * calls (history.h), ends, verifies and removes them.  They add what they did to one sheet (totals.h), which is told each ten
 * seconds and at the end.  Afterwards there must be nothing: no process, no scratch directory with its segments and files.  What the
 * tests themselves say is in soak.log in the working directory.  0: all is well; 1: something was lost, doubled or left.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stress/totals.h"

#define LOG "soak.log"
#define TELL_MS 10000
#define LATE_MS 300000 /* what is not over then stands still */
#define SCRATCH "ptq-test."

struct test {
    const char *name, *program;
    const char *arguments[3]; /* "SEED": one of its own */
    int64_t most_ms;          /* of its first argument, where that is a time: shorter at the end */
};

/* A cycle of some two minutes.  In one round of three of chaos everybody is in a container. */
static const struct test tests[] = {
    {"chaos", "chaos", {"40", "SEED"}, 40000},
    {"flood in epoll", "flood", {"epoll", "500000", "SEED"}, 0},
    {"crowd", "crowd", {"1000", "SEED"}, 0},
    {"chaos", "chaos", {"40", "SEED"}, 40000},
    {"flood in ptq_wait_any", "flood", {"any", "500000", "SEED"}, 0},
    {"pool", "../process/pool_chaos", {NULL}, 0},
#ifdef HAS_REMOTE
    {"pool over three buses", "../process/pool_three", {"20"}, 20000},
#endif
    {"flood in both", "flood", {"mixed", "500000", "SEED"}, 0},
#ifdef SOAK_BRIDGES
    {"bridges killed", "bridges", {"200", "400000"}, 0},
#endif
};

static struct soak {
    char place[400]; /* of the programs */
    char dir[64];    /* of the sheet */
    uint64_t seed;
    int64_t began, end, told;
    unsigned descriptors, failures;
} soak;

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static __attribute__((noreturn)) void give_up(const char *what)
{
    fprintf(stderr, "soak: %s: %s\n", what, strerror(errno));
    exit(2);
}

static unsigned long long total(unsigned which) { return (unsigned long long)totals_get(which); }

/* ---- telling */

static void tell(const char *what)
{
    printf("soak: %5lld s of %lld, %-21s put %llu taken %llu again %llu | kills %llu stops %llu queues %llu (%llu contained) | "
           "lost %llu doubled %llu\n",
           (long long)(now_ms() - soak.began) / 1000, (long long)(soak.end - soak.began) / 1000, what, total(TOTAL_PUT),
           total(TOTAL_TAKEN), total(TOTAL_FLAGGED), total(TOTAL_KILLS), total(TOTAL_STOPS), total(TOTAL_ROUNDS),
           total(TOTAL_CONTAINED), total(TOTAL_LOST), total(TOTAL_DOUBLED));
    fflush(stdout);
    soak.told = now_ms();
}

static void tell_totals(void)
{
    static const char *const names[TOTALS] = {
        [TOTAL_PUT] = "messages put",
        [TOTAL_TAKEN] = "taken",
        [TOTAL_FLAGGED] = "of them redelivered, flagged",
        [TOTAL_ACKED] = "acked or received",
        [TOTAL_DEAD] = "dead letters kicked, or acked at the end",
        [TOTAL_DROPPED + PTQ_DROP_OLDEST] = "dropped: oldest",
        [TOTAL_DROPPED + PTQ_DROP_NEWEST] = "dropped: newest",
        [TOTAL_DROPPED + PTQ_DROP_EXPIRED] = "dropped: expired",
        [TOTAL_DROPPED + PTQ_DROP_PURGED] = "dropped: purged",
        [TOTAL_DROPPED + PTQ_DROP_DEAD_OVERFLOW] = "dropped: too many dead letters",
        [TOTAL_KILLS] = "kills",
        [TOTAL_STOPS] = "stops",
        [TOTAL_ROUNDS] = "queues made, used, ended, verified, removed",
        [TOTAL_CONTAINED] = "of them with every process 1 of its own container",
        [TOTAL_EVENTS] = "calls written down and checked",
        [TOTAL_NOTHING] = "gets that found nothing, judged",
        [TOTAL_NO_ROOM] = "puts that found no room, judged",
        [TOTAL_BREACHES] = "breaches of a law",
        [TOTAL_LOST] = "lost",
        [TOTAL_DOUBLED] = "doubled in silence",
    };

    puts("soak: totals");
    for (unsigned i = 0; i < TOTALS; i++)
        printf("  %15llu  %s\n", total(i), names[i]);
}

static void tell_log(void)
{
    FILE *log = fopen(LOG, "re");
    char line[400];

    if (!log)
        return;
    if (fseek(log, -2000, SEEK_END) != 0)
        rewind(log);
    while (fgets(line, sizeof line, log))
        printf("  | %s", line);
    fclose(log);
}

static void fail(const char *test, const char *how)
{
    soak.failures++;
    printf("soak: %s %s; the end of %s:\n", test, how, LOG);
    tell_log();
}

/* ---- running */

static const char *argument(const struct test *test, int i, char text[24])
{
    const char *given = test->arguments[i];
    int64_t left = soak.end - now_ms();

    if (i == 0 && test->most_ms > left)
        snprintf(text, 24, "%lld", (long long)(left < 1000 ? 1 : left / 1000));
    else if (given && strcmp(given, "SEED") == 0)
        snprintf(text, 24, "%#llx", (unsigned long long)soak.seed);
    else
        return given;
    return text;
}

static _Noreturn void become(const struct test *test)
{
    char program[512], texts[3][24];
    int log = open(LOG, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(program, sizeof program, "%s/%s", soak.place, test->program);
    if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
        _exit(126);
    execl(program, test->program, argument(test, 0, texts[0]), argument(test, 1, texts[1]), argument(test, 2, texts[2]), NULL);
    perror(program);
    _exit(127);
}

static void judge(const struct test *test, int status)
{
    char how[60];

    if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "died of signal %d", WTERMSIG(status));
    else
        snprintf(how, sizeof how, "failed (exit %d)", WEXITSTATUS(status));
    if (status != 0)
        fail(test->name, how);
}

/* Who is left when its test is over has come to us. */
static void look_for_orphans(const struct test *test)
{
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        ;
    if (pid == 0)
        fail(test->name, "left a process behind");
}

static void run(const struct test *test)
{
    int64_t late = now_ms() + test->most_ms + LATE_MS;
    int status = 0;
    pid_t pid;

    soak.seed = soak.seed * 6364136223846793005u + 1442695040888963407u;
    fflush(stdout);
    pid = fork();
    if (pid < 0)
        give_up("fork");
    if (pid == 0)
        become(test);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        if (now_ms() - soak.told >= TELL_MS)
            tell(test->name);
        if (now_ms() <= late)
            continue;
        kill(pid, SIGKILL); /* its children die with it */
        (void)waitpid(pid, &status, 0);
    }
    judge(test, status);
    look_for_orphans(test);
}

/* ---- what is left */

static unsigned count_entries(const char *path, const char *prefix)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    unsigned count = 0;

    if (!dir)
        return 0;
    while ((entry = readdir(dir)) != NULL)
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    closedir(dir);
    return count;
}

static void look_for_traces(unsigned before)
{
    unsigned scratch = count_entries("/dev/shm", SCRATCH), descriptors = count_entries("/proc/self/fd", "");

    if (descriptors > soak.descriptors)
        printf("soak: %u descriptors are left\n", descriptors - soak.descriptors), soak.failures++;
    if (scratch > before) /* tests/run looks at the names, and whether another tree has tests running */
        printf("soak: there are %u scratch directories in /dev/shm, there were %u\n", scratch, before);
}

/* ---- the whole */

static void begin(const char *program, double minutes)
{
    char path[400], sheet[128];

    snprintf(path, sizeof path, "%s", program);
    snprintf(soak.place, sizeof soak.place, "%s", dirname(path));
    snprintf(soak.dir, sizeof soak.dir, "/dev/shm/" SCRATCH "XXXXXX");
    if (!mkdtemp(soak.dir))
        give_up("/dev/shm");
    snprintf(sheet, sizeof sheet, "%s/totals", soak.dir);
    if (!totals_make(sheet) || setenv(TOTALS_ENVIRONMENT, sheet, 1) != 0)
        give_up(sheet);
    (void)unlink(LOG);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    soak.began = soak.told = now_ms();
    soak.end = soak.began + (int64_t)(minutes * 60000);
}

static void finish(void)
{
    char sheet[128];

    snprintf(sheet, sizeof sheet, "%s/totals", soak.dir);
    if (unlink(sheet) != 0 || rmdir(soak.dir) != 0)
        fail("soak", "cannot remove its sheet");
}

static int usage(void)
{
    fputs("usage: soak [--minutes N] [--seed SEED]\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    const char *minutes = getenv("PTQ_SOAK_MINUTES");
    unsigned before = count_entries("/dev/shm", SCRATCH);
    double length;

    soak.seed = (uint64_t)time(NULL) * 1000003u ^ (uint64_t)getpid();
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--minutes") == 0)
            minutes = argv[i + 1];
        else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0)
            soak.seed = strtoull(argv[i + 1], NULL, 0);
        else
            return usage();
    }
    length = minutes ? strtod(minutes, NULL) : 60;
    if (!(length > 0) || length > 60 * 24 * 365)
        return usage();
    soak.descriptors = count_entries("/proc/self/fd", "");
    printf("soak: %g minutes, seed %#llx\n", length, (unsigned long long)soak.seed);
    begin(argv[0], length);
    for (unsigned i = 0; now_ms() < soak.end && soak.failures == 0; i = (i + 1) % (sizeof tests / sizeof *tests))
        run(&tests[i]);
    tell("over");
    finish();
    tell_totals();
    look_for_traces(before);
    if (totals_get(TOTAL_LOST) + totals_get(TOTAL_DOUBLED) + totals_get(TOTAL_BREACHES) > 0)
        soak.failures++;
    puts(soak.failures ? "soak: FAILED" : "soak: nothing lost, nothing doubled in silence, nothing left");
    return soak.failures != 0;
}
