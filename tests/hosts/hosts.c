/* hosts.c -- children in namespaces, as other users and with less than enough. */
#include "hosts/hosts.h"

#include <errno.h>
#include <ftw.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct ptq_error hosts_error;

#define TEXT_AT 256
#define TEXT_SIZE 1024

static char *text_of(struct hosts *h) { return (char *)(h->page->words + TEXT_AT); }

void hosts_need_root(void)
{
    if (geteuid() == 0)
        return;
    puts("skipped: namespaces, mounts and other users need root");
    exit(HOSTS_SKIP);
}

int hosts_setup(void **state)
{
    struct hosts *h = calloc(1, sizeof *h);

    assert_non_null(h);
    strcpy(h->dir, "/dev/shm/ptq-test.XXXXXX");
    assert_non_null(mkdtemp(h->dir));
    assert_int_equal(chmod(h->dir, 0711), 0);
    snprintf(h->bus, sizeof h->bus, "%s/bus", h->dir);
    h->page = ptt_page_new();
    *state = h;
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

int hosts_teardown(void **state)
{
    struct hosts *h = *state;

    nftw(h->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    ptt_page_free(h->page);
    free(h);
    return 0;
}

/* ---- telling */

int hosts_wrong(struct hosts *h, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text_of(h), TEXT_SIZE, format, arguments);
    va_end(arguments);
    return 1;
}

int hosts_cannot(struct hosts *h, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text_of(h), TEXT_SIZE, format, arguments);
    va_end(arguments);
    return HOSTS_SKIP;
}

const char *hosts_lacks(const char *text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strstr(text, *words) == NULL)
            return *words;
    }
    return NULL;
}

pid_t hosts_start(struct hosts *h, int (*scene)(void *h)) { return ptt_fork(scene, h); }

/* Longer than the bounds of a scene that measures: they say what was slow. */
#define SCENE_MS (2 * PTT_LONG)

void hosts_judge(struct hosts *h, pid_t pid)
{
    int status = ptt_reap(pid, SCENE_MS);

    if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == HOSTS_SKIP) {
        print_message("skipped: %s\n", text_of(h));
        skip();
    }
    if (status == -1)
        fail_msg("the scene went on for more than %d ms; %s", SCENE_MS, text_of(h));
    if (WIFSIGNALED(status))
        fail_msg("the scene died of signal %d; %s", WTERMSIG(status), text_of(h));
    fail_msg("exit %d: %s", WEXITSTATUS(status), text_of(h));
}

void hosts_run(struct hosts *h, int (*scene)(void *h)) { hosts_judge(h, hosts_start(h, scene)); }

/* ---- places */

bool hosts_own_mounts(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static bool make_path(const char *path)
{
    char part[200];

    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0711) != 0 && errno != EEXIST)
            return false;
        *slash = '/';
    }
    return mkdir(part, 0711) == 0 || errno == EEXIST;
}

/* What is shared is bound first: then /dev/shm may become another. */
static bool arrange(const char *shared, const char *path)
{
    return hosts_own_mounts() && mount("tmpfs", "/mnt", "tmpfs", 0, "size=1m,mode=0755") == 0 && make_path(path) &&
           mount(shared, path, NULL, MS_BIND, NULL) == 0 && mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=8m") == 0;
}

int hosts_contain(struct hosts *h, const char *shared, const char *path, int (*work)(struct hosts *h),
                  _Atomic uint64_t *ret_pid)
{
    int status = 0;

    if (unshare(CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS) != 0 || !arrange(shared, path))
        return hosts_cannot(h, "a container cannot be made here: %s", strerror(errno));
    pid_t pid = fork();
    if (pid < 0)
        return hosts_cannot(h, "no process: %s", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("CMOCKA_TEST_ABORT", "1", 1);
        if (mount("proc", "/proc", "proc", 0, NULL) != 0 || getpid() != 1)
            _exit(hosts_cannot(h, "no /proc of its own: %s", strerror(errno)));
        _exit(work(h));
    }
    atomic_store(ret_pid, (uint64_t)pid);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool hosts_become(uid_t uid, gid_t gid, const gid_t *groups, size_t count)
{
    return setgroups(count, groups) == 0 && setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0;
}

/* ---- opening */

enum ptq_err hosts_bus(const char *dir, ptq_bus **ret_bus)
{
    struct ptq_bus_options options = {.dir = dir, .error = &hosts_error};

    return ptq_bus_open("test", &options, ret_bus);
}

enum ptq_err hosts_queue(ptq_bus *bus, const char *name, const struct ptq_queue_options *options, ptq_queue **ret_queue)
{
    struct ptq_queue_options filled = {0};

    if (options != NULL)
        filled = *options;
    filled.error = &hosts_error;
    return ptq_queue_open(bus, name, &filled, ret_queue);
}
