/* memory_limits.c -- what the process or its neighbours may refuse: descriptors, permissions, file modes. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "contract/contract.h"

struct poor {
    struct contract *c;
    struct ptt_page *page;
};

static bool is_no_descriptors(enum ptq_err err) { return err == PTQ_ENOMEM; }

/* Opens with 0, 1, 2, ... descriptors left, until it works: each failure is PTQ_ENOMEM and leaves nothing open. */
static int open_with_few_descriptors(void *context)
{
    struct poor *poor = context;
    struct rlimit limit;
    bool worked = false;

    getrlimit(RLIMIT_NOFILE, &limit);
    struct rlimit enough = limit;
    for (rlim_t more = 0; more < 16 && !worked; more++) {
        int lowest = dup(0);
        close(lowest);
        limit.rlim_cur = (rlim_t)lowest + more;
        setrlimit(RLIMIT_NOFILE, &limit);
        struct ptq_bus_options options = {.dir = poor->c->dir};
        ptq_bus *bus = NULL;
        ptq_queue *queue = NULL;
        enum ptq_err err = ptq_bus_open("test", &options, &bus);
        if (err == PTQ_OK)
            err = ptq_queue_open(bus, "tasks", NULL, &queue);
        int fd = -1;
        enum ptq_err descriptor = err == PTQ_OK ? ptq_queue_fd(queue, PTQ_SIDE_GET, &fd) : PTQ_OK;
        worked = err == PTQ_OK && descriptor == PTQ_OK;
        poor->page->words[more] = 1 + (uint64_t)(err != PTQ_OK ? err : descriptor);
        if (err == PTQ_OK && (ptq_put(queue, "x", 1, PTQ_NOWAIT) != PTQ_OK))
            return 3;
        ptq_queue_close(queue);
        ptq_bus_close(bus);
        setrlimit(RLIMIT_NOFILE, &enough);
        int after = dup(0);
        close(after);
        if (after != lowest)
            return 4; /* something was left open */
    }
    return worked ? 0 : 5;
}

static void without_descriptors_open_is_enomem_and_leaves_none(void **state)
{
    struct contract *c = *state;
    struct poor poor = {.c = c, .page = ptt_page_new()};

    ptt_assert_exit(ptt_fork(open_with_few_descriptors, &poor), 0, PTT_LONG);

    int failures = 0;
    for (int i = 0; i < 16; i++) {
        enum ptq_err err = (enum ptq_err)(poor.page->words[i] - 1);
        if (poor.page->words[i] == 0 || err == PTQ_OK)
            continue;
        failures++;
        if (!is_no_descriptors(err))
            fail_msg("with %d descriptors: %s", i, ptq_err_name(err));
    }
    assert_true(failures > 0);
    ptt_page_free(poor.page);
}

/* All descriptors are spent after the open: puts and gets, also sleeping ones, go on. */
static int sleep_without_descriptors(void *context)
{
    struct poor *poor = context;
    struct ptq_bus_options options = {.dir = poor->c->dir};
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    uint64_t number = 0;
    size_t size = 0;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK || ptq_queue_open(bus, "tasks", NULL, &queue) != PTQ_OK)
        return 1;
    struct rlimit limit = {64, 64};
    setrlimit(RLIMIT_NOFILE, &limit);
    while (dup(0) >= 0)
        ;
    poor->page->words[0] = 1;
    if (ptq_recv(queue, &number, sizeof number, PTT_LONG, &size) != PTQ_OK || number != 1)
        return 2;
    if (ptq_recv(queue, &number, sizeof number, 600, &size) != PTQ_TIMEDOUT)
        return 3;
    return 0;
}

static void a_sleep_needs_no_descriptor(void **state)
{
    struct contract *c = *state;
    struct poor poor = {.c = c, .page = ptt_page_new()};
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    pid_t child = ptt_fork(sleep_without_descriptors, &poor);
    assert_true(ptt_wait_word(&poor.page->words[0], 1, PTT_LONG));
    assert_true(ptt_wait_sleeping(child, child, PTT_LONG));
    put_number(queue, 1);
    ptt_assert_exit(child, 0, PTT_LONG);
    ptq_queue_close(queue);
    ptt_page_free(poor.page);
}

static void the_file_has_the_mode_that_was_asked_whatever_the_umask(void **state)
{
    struct contract *c = *state;
    static const mode_t modes[] = {0600, 0640, 0660, 0666};
    char path[200];
    struct stat status;

    mode_t before = umask(0077);
    for (int i = 0; i < 4; i++) {
        ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.file_mode = modes[i]});
        snprintf(path, sizeof path, "%s/test/tasks~v%d", c->dir, PTQ_LAYOUT_VERSION);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 0777, modes[i]);
        ptq_queue_close(queue);
        assert_ok(ptq_queue_unlink(c->bus, "tasks", false));
    }
    umask(before);
}

struct stranger {
    struct contract *c;
    enum ptq_err expected;
};

static int open_as_nobody(void *context)
{
    struct stranger *stranger = context;
    struct ptq_error error = {0};
    struct ptq_bus_options options = {.dir = stranger->c->dir, .error = &error};
    ptq_bus *bus = NULL;

    if (setgid(65534) != 0 || setuid(65534) != 0)
        return 2;
    enum ptq_err err = ptq_bus_open("test", &options, &bus);
    return err == stranger->expected && error.text[0] != '\0' ? 0 : 3;
}

static void another_user_is_not_let_in(void **state)
{
    struct contract *c = *state;
    struct stranger stranger = {.c = c, .expected = PTQ_EPERM};

    if (geteuid() != 0) {
        print_message("skipped: needs root to become somebody else\n");
        skip();
    }
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    ptt_assert_exit(ptt_fork(open_as_nobody, &stranger), 0, PTT_LONG);
    ptq_queue_close(queue);
}

/* The number of the descriptor that leads to what begins, or ends, so; -1. */
static int find_descriptor(const char *end)
{
    char path[64], target[256];

    for (int fd = 0; fd < 1024; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length <= 0)
            continue;
        target[length] = '\0';
        if (strlen(end) <= (size_t)length && strcmp(target + length - strlen(end), end) == 0)
            return fd;
    }
    return -1;
}

/* A dead process's descriptors are closed from the highest down, and inotify's close takes long: os/segment.c, lift. */
static void a_death_shows_before_the_kernel_takes_down_its_watches(void **state)
{
    struct contract *c = *state;
    ptq_queue *made = contract_open(c, "tasks", NULL), *opened = contract_open(c, "tasks", NULL);
    char end[40];
    int fd, watch, segment;

    assert_ok(ptq_queue_fd(made, PTQ_SIDE_GET, &fd));
    snprintf(end, sizeof end, "/test/tasks~v%d", PTQ_LAYOUT_VERSION);
    watch = find_descriptor("inotify");
    segment = find_descriptor(end); /* the lowest of the two */

    assert_true(watch >= 0);
    assert_true(segment > watch);
    ptq_queue_close(opened);
    ptq_queue_close(made);
}

static const struct contract_case limits_cases[] = {
    CONTRACT_CASE(without_descriptors_open_is_enomem_and_leaves_none),
    CONTRACT_CASE(a_sleep_needs_no_descriptor),
    CONTRACT_CASE(the_file_has_the_mode_that_was_asked_whatever_the_umask),
    CONTRACT_CASE(another_user_is_not_let_in),
    CONTRACT_CASE(a_death_shows_before_the_kernel_takes_down_its_watches),
};
CONTRACT_GROUP(limits);
